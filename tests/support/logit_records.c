/* logit_records.c - see logit_records.h. */
#include "tests/support/logit_records.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/running.h"

enum { MAX_RECORDS = 512, MAX_NAME = 112, MAX_TEXT = LOGIT_ANSWER_TEXT, TOKENS_IN_LINE = 6 };

struct record {
    char name[MAX_NAME];
    char text[MAX_TEXT]; /* the lines below the name, as they stand in the file */
    bool is_used;
};

struct logit_records {
    char          path[600];
    bool          is_recording;
    int           n;
    struct record records[MAX_RECORDS];
};

static void die(const char *path, const char *why)
{
    fprintf(stderr, "%s: %s\n", path, why);
    abort();
}

/* Appends to a text of MAX_TEXT bytes. */
static void append(char *text, const char *format, ...)
{
    const size_t n = strlen(text);
    va_list arguments;
    va_start(arguments, format);
    const int n_more = vsnprintf(text + n, MAX_TEXT - n, format, arguments);
    va_end(arguments);
    if (n_more < 0 || n + (size_t)n_more >= MAX_TEXT) die("logit_records", "an answer is too long for a record");
}

static struct record *find(struct logit_records *records, const char *name)
{
    for (int i = 0; i < records->n; i++)
        if (strcmp(records->records[i].name, name) == 0) return &records->records[i];
    return NULL;
}

static struct record *add(struct logit_records *records, const char *name)
{
    if (records->n == MAX_RECORDS || strlen(name) >= MAX_NAME) die(name, "too many records, or too long a name");
    struct record *record = &records->records[records->n++];
    *record = (struct record){.is_used = false};
    snprintf(record->name, sizeof record->name, "%s", name);
    return record;
}

/* ---- the file ---- */

static void read_file(struct logit_records *records, FILE *file)
{
    char line[MAX_NAME + 200];
    struct record *record = NULL;
    while (fgets(line, sizeof line, file)) {
        char *end = strrchr(line, ']');
        if (line[0] == '#' || line[0] == '\n') continue;
        if (line[0] == '[' && end) {
            *end = '\0';
            if (find(records, line + 1)) die(records->path, "two records of one name");
            record = add(records, line + 1);
        } else {
            if (!record) die(records->path, "a line before the first name");
            append(record->text, "%s", line);
        }
    }
}

struct logit_records *logit_records_open(const char *path, bool is_recording)
{
    struct logit_records *records = calloc(1, sizeof *records);
    if (!records) die(path, "no memory");
    snprintf(records->path, sizeof records->path, "%s", path);
    records->is_recording = is_recording;
    if (is_recording) return records;
    FILE *file = fopen(path, "r");
    if (!file) die(path, "cannot be read");
    read_file(records, file);
    fclose(file);
    return records;
}

int logit_records_unused(const struct logit_records *records)
{
    int n = 0;
    for (int i = 0; i < records->n; i++) {
        if (records->records[i].is_used) continue;
        printf("%s: nothing asks for [%s]\n", records->path, records->records[i].name);
        n++;
    }
    return n;
}

static bool write_file(const struct logit_records *records)
{
    FILE *file = fopen(records->path, "w");
    if (!file) return false;
    fprintf(file, "# Written by the test beside this file, which says how. [configuration], the SHA-256 of all\n"
                  "# logits, and for each new token: id/layers:how the hash began when it was chosen.\n");
    for (int i = 0; i < records->n; i++)
        fprintf(file, "\n[%s]\n%s", records->records[i].name, records->records[i].text);
    const bool is_written = !ferror(file);
    return fclose(file) == 0 && is_written;
}

bool logit_records_close(struct logit_records **records)
{
    bool is_done = true;
    if (*records && (*records)->is_recording) {
        is_done = write_file(*records);
        printf("%s: %d records %s\n", (*records)->path, (*records)->n, is_done ? "written" : "could not be written");
    }
    free(*records);
    *records = NULL;
    return is_done;
}

/* ---- an answer ---- */

struct logit_answer logit_answer(calmoe_context *context, calmoe_session *session)
{
    return (struct logit_answer){.context = context, .session = session};
}

void logit_answer_go_on(struct logit_answer *answer, int n)
{
    for (int i = 0; i < n; i++) {
        char hash[65];
        int32_t token;
        calmoe_depth depth;
        running_must(answer->context, calmoe_session_next(answer->session, &token));
        depth = running_depth(answer->session, -1);
        running_must(answer->context, calmoe_session_logit_hash(answer->session, hash));
        const int at = answer->n++;
        append(answer->text, "%s%d/%d:%.8s", at % TOKENS_IN_LINE ? " " : at ? "\nanswer " : "answer ", (int)token,
               depth.layers, hash);
    }
}

/* In which new token the two part: a blank stands before each. */
static int first_difference(const char *recorded, const char *found)
{
    int n = -1;
    const char *a = strstr(recorded, "answer"), *b = strstr(found, "answer");
    for (; a && b && *a && *a == *b; a++, b++) n += *b == ' ';
    return n;
}

bool logit_records_check(struct logit_records *records, const char *name, const char *way,
                         const struct logit_answer *answer)
{
    char text[MAX_TEXT] = "", hash[65];
    running_must(answer->context, calmoe_session_logit_hash(answer->session, hash));
    append(text, "logits %s\n%s\n", hash, answer->text);
    struct record *record = find(records, name);
    if (!record && records->is_recording) {
        record = add(records, name);
        memcpy(record->text, text, sizeof text);
    }
    if (record) record->is_used = true;
    if (record && strcmp(record->text, text) == 0) return true;
    printf("[%s] %s: ", name, way);
    if (record) printf("another answer than was recorded, from its token %d on (of %d)\nrecorded:\n%s",
                       first_difference(record->text, text), answer->n, record->text);
    else printf("nothing is recorded\n");
    printf("found:\n%s\n", text);
    return false;
}
