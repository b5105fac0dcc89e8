/* answer.c - answers with sources. Passages that fit a question are found in an index; the model answers from them, and
 * cites a passage by its number and a quotation. The program checks that the quotation stands in that passage, and
 * prints its lines.
 *
 *     answer index INDEX FOLDER                       the text files of a folder into an index, a file of SQLite's
 *     answer ask [-m MODEL.gguf] [-k N] [--free] INDEX QUESTION
 *     answer measure [-m MODEL.gguf] [-k N] INDEX QUESTIONS.txt
 *
 * While it writes a citation, the model may only choose the number of a passage that it was given, and then words of
 * that passage in their order. (calmoe/constraint.h has no form for that, so this program chooses among the logits
 * itself.) With --free the model writes as it likes, and the citation is only checked. `measure` asks each line of a
 * file both ways, and counts the answers in which every citation is right. Needs SQLite with FTS5. */
#define _POSIX_C_SOURCE 200809L
#include <calmoe/calmoe.h>

#include <ctype.h>
#include <dirent.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum {
    PASSAGE_BYTES = 400,     /* a passage ends with the first line end after so many bytes    */
    MAX_PASSAGE = 600,       /* or after so many, whether at a line end or not                */
    MAX_FILE = 1 << 20,      /* only so many bytes of a file are read                         */
    MAX_PASSAGES = 9,        /* so that the number is a single digit                          */
    MAX_TEXT = 16384,
    SENTENCE_TOKENS = 32,    /* most tokens before the citation                               */
    FREE_TOKENS = 96,        /* most tokens of an answer with --free                          */
    ANSWER_ROOM = 112,       /* positions that the passages leave for an answer               */
    MIN_QUOTE = 20,          /* bytes of the shortest quotation                               */
    MAX_QUOTE = 160
};

static int complain(const char *what, const char *why)
{
    fprintf(stderr, "answer: %s: %s\n", what, why);
    return 1;
}

/* ---- the index ---- */

static int add_passage(sqlite3_stmt *insert, const char *file, const char *text, size_t n, int first, int last)
{
    sqlite3_bind_text(insert, 1, text, (int)n, SQLITE_STATIC);
    sqlite3_bind_text(insert, 2, file, -1, SQLITE_STATIC);
    sqlite3_bind_int(insert, 3, first);
    sqlite3_bind_int(insert, 4, last);
    const int rc = sqlite3_step(insert);
    sqlite3_reset(insert);
    return rc == SQLITE_DONE ? 0 : 1;
}

/* Cuts a file into passages of whole lines. Files that are not text are skipped. */
static int index_file(sqlite3_stmt *insert, const char *path)
{
    static char text[MAX_FILE];
    FILE       *file = fopen(path, "rb");
    if (!file) return 0;
    const size_t n = fread(text, 1, sizeof text, file);
    fclose(file);
    if (n == 0 || memchr(text, '\0', n)) return 0;

    int first = 1, line = 1;
    for (size_t begin = 0, end = 0; begin < n; begin = end, first = line) {
        while (end < n && end - begin < PASSAGE_BYTES) {
            const char *newline = memchr(text + end, '\n', n - end);
            end = newline ? (size_t)(newline - text) + 1 : n;
            line++;
        }
        const size_t n_bytes = end - begin < MAX_PASSAGE ? end - begin : MAX_PASSAGE;
        if (add_passage(insert, path, text + begin, n_bytes, first, line - 1)) return 1;
    }
    return 0;
}

static int index_folder(sqlite3_stmt *insert, const char *folder, int *n_files)
{
    DIR           *directory = opendir(folder);
    struct dirent *entry;
    int            failed = 0;
    while (directory && !failed && (entry = readdir(directory)) != NULL) {
        char        path[4096];
        struct stat status;
        if (entry->d_name[0] == '.' ||
            snprintf(path, sizeof path, "%s/%s", folder, entry->d_name) >= (int)sizeof path ||
            lstat(path, &status) != 0)
            continue;
        if (S_ISDIR(status.st_mode)) failed = index_folder(insert, path, n_files);
        if (S_ISREG(status.st_mode)) failed = index_file(insert, path), ++*n_files;
    }
    if (directory) closedir(directory);
    return failed;
}

static int make_index(sqlite3 *db, const char *folder)
{
    sqlite3_stmt *insert = NULL;
    int           n_files = 0;
    int           failed =
        sqlite3_exec(db, "DROP TABLE IF EXISTS passages;"
                         "CREATE VIRTUAL TABLE passages USING fts5(text, file UNINDEXED, first UNINDEXED,"
                         " last UNINDEXED, tokenize = 'porter unicode61');"
                         "BEGIN", NULL, NULL, NULL) != SQLITE_OK ||
        sqlite3_prepare_v2(db, "INSERT INTO passages VALUES (?, ?, ?, ?)", -1, &insert, NULL) != SQLITE_OK ||
        index_folder(insert, folder, &n_files) != 0;
    sqlite3_finalize(insert);
    failed = failed || sqlite3_exec(db, "COMMIT", NULL, NULL, NULL) != SQLITE_OK;
    if (failed) return complain(folder, sqlite3_errmsg(db));
    fprintf(stderr, "%d files\n", n_files);
    return 0;
}

/* ---- the search ---- */

struct passage { /* its text with single blanks, and the line of each byte */
    char text[MAX_PASSAGE + 1];
    int  lines[MAX_PASSAGE + 1];
    char file[1024];
};

static void squeeze(const char *text, int line, char *out, int *lines, size_t capacity)
{
    size_t n = 0;
    for (; *text && n + 1 < capacity; text++) {
        const int is_blank = isspace((unsigned char)*text);
        if (!is_blank || (n > 0 && out[n - 1] != ' ')) {
            if (lines) lines[n] = line;
            out[n++] = is_blank ? ' ' : *text;
        }
        line += *text == '\n';
    }
    while (n > 0 && out[n - 1] == ' ') n--;
    out[n] = '\0';
}

/* The question's words as a query of FTS5 for any of them; passages with the rarest words come first. */
static void make_query(const char *question, char *query, size_t capacity)
{
    size_t n = 0;
    query[0] = '\0';
    while (*question) {
        size_t length = 0;
        while (isalnum((unsigned char)question[length])) length++;
        if (length > 2 && n + length + 8 < capacity)
            n += (size_t)snprintf(query + n, capacity - n, "%s\"%.*s\"", n ? " OR " : "", (int)length, question);
        question += length ? length : 1;
    }
}

static int find(sqlite3 *db, const char *question, struct passage *passages, int k)
{
    sqlite3_stmt *select = NULL;
    char          query[4096];
    int           n = 0;
    make_query(question, query, sizeof query);
    if (sqlite3_prepare_v2(db, "SELECT text, file, first FROM passages WHERE passages MATCH ? ORDER BY rank LIMIT ?",
                           -1, &select, NULL) != SQLITE_OK)
        return complain("the index", sqlite3_errmsg(db)), -1;
    sqlite3_bind_text(select, 1, query, -1, SQLITE_STATIC);
    sqlite3_bind_int(select, 2, k);
    while (query[0] && n < k && sqlite3_step(select) == SQLITE_ROW) {
        squeeze((const char *)sqlite3_column_text(select, 0), sqlite3_column_int(select, 2), passages[n].text,
                passages[n].lines, sizeof passages[n].text);
        snprintf(passages[n].file, sizeof passages[n].file, "%s", (const char *)sqlite3_column_text(select, 1));
        n++;
    }
    sqlite3_finalize(select);
    return n;
}

/* ---- the answer ---- */

struct writer {
    calmoe_context *context;
    calmoe_model   *model;
    calmoe_engine  *engine;
    calmoe_session *session;
    int             n_vocab, has_chat;
    char            answer[MAX_TEXT];
    size_t          n;
};

static void append(struct writer *w, const char *text, size_t n)
{
    if (n >= sizeof w->answer - w->n) n = sizeof w->answer - w->n - 1;
    memcpy(w->answer + w->n, text, n);
    w->answer[w->n += n] = '\0';
}

static int has_room(const struct writer *w)
{
    return calmoe_session_n_tokens(w->session) + 2 < calmoe_session_context(w->session);
}

/* Reads what is pending and samples a token, which is then pending; -1: the answer would end here. The logits that it
 * was sampled from stay available until the session reads on. */
static calmoe_status peek(struct writer *w, int32_t *token)
{
    const calmoe_status status = calmoe_session_next(w->session, token);
    if (status != CALMOE_END) return status;
    *token = -1;
    return CALMOE_OK;
}

/* Replaces the token that was sampled last by another one, or by none (-1). */
static calmoe_status put_instead(struct writer *w, int32_t token)
{
    calmoe_status status = CALMOE_OK;
    if (calmoe_session_n_tokens(w->session) > calmoe_session_n_positions(w->session))
        status = calmoe_session_rewind(w->session, calmoe_session_n_tokens(w->session) - 1);
    return status == CALMOE_OK && token >= 0 ? calmoe_session_feed_tokens(w->session, &token, 1) : status;
}

static calmoe_status write_text(struct writer *w, const char *text)
{
    append(w, text, strlen(text));
    return calmoe_session_feed_text(w->session, text, strlen(text), 0);
}

/* Writes free text up to a byte of `ends`, which is left out, or up to an end token or n tokens. */
static calmoe_status write_freely(struct writer *w, const char *ends, int n)
{
    int32_t       token;
    calmoe_status status = CALMOE_OK;
    while (status == CALMOE_OK && n-- > 0 && has_room(w) && (status = peek(w, &token)) == CALMOE_OK) {
        size_t      n_bytes = 0, fits = 0;
        const char *bytes = token >= 0 ? calmoe_token_bytes(w->model, token, 0, &n_bytes) : "";
        while (fits < n_bytes && !strchr(ends, bytes[fits])) fits++;
        if (token < 0 || (fits < n_bytes && w->n > 0)) return put_instead(w, -1);
        append(w, bytes, n_bytes);
    }
    return status;
}

/* The likeliest token whose bytes continue the passage at one of the places (n_places). These places are then moved
 * behind it, and places where it does not fit are dropped. -1: a token that begins with '"' is likelier, or no token
 * fits. */
static int32_t next_of_quote(struct writer *w, const char *passage, size_t *places, int *n_places, int may_end)
{
    const float *logits = calmoe_session_logits(w->session, 0);
    int32_t      best = -1;
    size_t       n_bytes;
    for (int32_t token = 0; logits && token < w->n_vocab; token++) {
        if (best >= 0 && logits[token] <= logits[best]) continue;
        const char *bytes = calmoe_token_bytes(w->model, token, 0, &n_bytes);
        int         fits = n_bytes > 0 && may_end && bytes[0] == '"';
        const int is_words = n_bytes > 0 && !memchr(bytes, '"', n_bytes);
        for (int i = 0; i < *n_places && is_words && !fits; i++)
            fits = strncmp(passage + places[i], bytes, n_bytes) == 0;
        if (fits) best = token;
    }
    const char *bytes = best >= 0 ? calmoe_token_bytes(w->model, best, 0, &n_bytes) : "\"";
    if (bytes[0] == '"') return -1;
    int n = 0;
    for (int i = 0; i < *n_places; i++)
        if (strncmp(passage + places[i], bytes, n_bytes) == 0) places[n++] = places[i] + n_bytes;
    *n_places = n;
    append(w, bytes, n_bytes);
    return best;
}

/* Writes words of a passage, from any word on, until the model would rather end the quotation. */
static calmoe_status write_quote(struct writer *w, const char *passage)
{
    size_t        places[MAX_PASSAGE], begin = w->n;
    int           n_places = 0;
    calmoe_status status = CALMOE_OK;
    for (size_t i = 0; passage[i]; i++)
        if (passage[i] != ' ' && (i == 0 || passage[i - 1] == ' ') && strcspn(passage + i, "\"") >= MIN_QUOTE)
            places[n_places++] = i;
    while (status == CALMOE_OK && n_places > 0) {
        int32_t   token;
        const int is_word = isalnum((unsigned char)passage[places[0]]); /* a quotation does not end inside a word */
        if (!has_room(w) || (w->n - begin >= MAX_QUOTE && !is_word)) break;
        if ((status = peek(w, &token)) != CALMOE_OK) break;
        token = next_of_quote(w, passage, places, &n_places, w->n - begin >= MIN_QUOTE && !is_word);
        status = put_instead(w, token);
        if (token < 0) break;
    }
    return status;
}

/* Chooses the number of a passage, from 1 to k: the likeliest digit. */
static calmoe_status write_number(struct writer *w, int k, int *number)
{
    float         best = 0.0f;
    int32_t       token, chosen = -1;
    calmoe_status status = peek(w, &token);
    for (int i = 1; i <= k && status == CALMOE_OK; i++) {
        const char   digit = (char)('0' + i);
        const float *logits = calmoe_session_logits(w->session, 0);
        size_t       n;
        status = calmoe_tokenize(w->context, w->model, &digit, 1, 0, &token, 1, &n);
        if (status == CALMOE_OK && (chosen < 0 || logits[token] > best)) {
            *number = i;
            chosen = token;
            best = logits[token];
        }
    }
    const char text = (char)('0' + *number);
    append(w, &text, 1);
    return status == CALMOE_OK ? put_instead(w, chosen) : status;
}

static calmoe_status write_bound(struct writer *w, const struct passage *passages, int k)
{
    int           number = 1;
    calmoe_status status = write_freely(w, "[\"\n", SENTENCE_TOKENS);
    if (status == CALMOE_OK) status = write_text(w, " [");
    if (status == CALMOE_OK) status = write_number(w, k, &number);
    if (status == CALMOE_OK) status = write_text(w, "] \"");
    if (status == CALMOE_OK) status = write_quote(w, passages[number - 1].text);
    append(w, "\"", 1);
    return status;
}

static const char example[] =
    "Answer each question from its passages, and cite the words that say so.\n\n"
    "Passages:\n\n[1] The lamp has a green shade.\n\n[2] The kettle holds two litres of water.\n\n"
    "Question: How much water does the kettle hold?\n"
    "Answer: Two litres. [2] \"The kettle holds two litres of water.\"\n\n";

/* Opens a session that will read the question with k passages. FULL: they leave no room for an answer. */
static calmoe_status ask(struct writer *w, const char *question, const struct passage *passages, int k)
{
    char   prompt[MAX_TEXT];
    size_t n = (size_t)snprintf(prompt, sizeof prompt, "%sPassages:\n\n", example);
    for (int i = 0; i < k && n < sizeof prompt; i++)
        n += (size_t)snprintf(prompt + n, sizeof prompt - n, "[%d] %s\n\n", i + 1, passages[i].text);
    if (n < sizeof prompt)
        n += (size_t)snprintf(prompt + n, sizeof prompt - n, "Question: %s%s", question,
                              w->has_chat ? "" : "\nAnswer:");
    if (n >= sizeof prompt) return CALMOE_FULL;
    calmoe_status status = calmoe_session_rewind(w->session, 0);
    if (status == CALMOE_OK)
        status = w->has_chat ? calmoe_session_feed_chat(w->session, NULL, prompt)
                             : calmoe_session_feed_text(w->session, prompt, n, CALMOE_TOKENIZE_BOS);
    const int room = calmoe_session_context(w->session) - calmoe_session_n_tokens(w->session);
    return status == CALMOE_OK && room < ANSWER_ROOM ? CALMOE_FULL : status;
}

/* Answers from the first *k passages, or from as many as there is room for; *k becomes their number. */
static calmoe_status write_answer(struct writer *w, const char *question, const struct passage *passages, int *k,
                                  int is_free)
{
    calmoe_status status = ask(w, question, passages, *k);
    while (status == CALMOE_FULL && *k > 1) status = ask(w, question, passages, --*k);
    w->n = 0;
    w->answer[0] = '\0';
    if (status != CALMOE_OK) return status;
    return is_free ? write_freely(w, "\n", FREE_TOKENS) : write_bound(w, passages, *k);
}

/* ---- checking citations ---- */

/* Finds the next citation, [number] "quotation", from text on; NULL: there is none. quote: with single blanks. */
static const char *next_citation(const char *text, int *number, char *quote, size_t capacity)
{
    while ((text = strchr(text, '[')) != NULL) {
        char      *end;
        const long value = strtol(++text, &end, 10);
        if (end == text || *end != ']') continue;
        *number = value >= 0 && value < 1000 ? (int)value : 0;
        text = end + 1;
        while (*text == ' ' || *text == ':') text++;
        const char *closing = *text == '"' ? strchr(text + 1, '"') : NULL;
        char        raw[MAX_TEXT];
        quote[0] = '\0';
        if (closing) {
            snprintf(raw, sizeof raw, "%.*s", (int)(closing - text - 1), text + 1);
            squeeze(raw, 0, quote, NULL, capacity);
        }
        return closing ? closing + 1 : text;
    }
    return NULL;
}

/* Prints each citation with its lines. 1: there is a citation, and all quotations stand where they should. */
static int check_answer(const char *answer, const struct passage *passages, int k, FILE *out)
{
    char        quote[MAX_TEXT];
    int         number, n = 0, n_good = 0;
    const char *at = answer;
    while ((at = next_citation(at, &number, quote, sizeof quote)) != NULL) {
        n++;
        const struct passage *passage = number >= 1 && number <= k ? &passages[number - 1] : NULL;
        const char *found = passage && strlen(quote) >= MIN_QUOTE / 2 ? strstr(passage->text, quote) : NULL;
        if (found) n_good++;
        if (out && !passage) fprintf(out, "  [%d] there is no such passage\n", number);
        if (out && passage && !found) fprintf(out, "  [%d] these words do not stand in %s\n", number, passage->file);
        if (out && found) {
            const int *lines = passage->lines + (found - passage->text);
            fprintf(out, "  [%d] %s, lines %d to %d\n", number, passage->file, lines[0], lines[strlen(quote) - 1]);
        }
    }
    if (out && n == 0) fprintf(out, "  nothing is cited\n");
    return n > 0 && n_good == n;
}

static calmoe_status measure(struct writer *w, sqlite3 *db, FILE *questions, struct passage *passages, int k)
{
    char          question[1024];
    int           n = 0, n_good[2] = { 0, 0 };
    calmoe_status status = CALMOE_OK;
    while (status == CALMOE_OK && fgets(question, sizeof question, questions)) {
        question[strcspn(question, "\n")] = '\0';
        int n_found = question[0] ? find(db, question, passages, k) : 0;
        if (n_found <= 0) continue;
        n++;
        for (int is_free = 0; is_free < 2 && status == CALMOE_OK; is_free++) {
            status = write_answer(w, question, passages, &n_found, is_free);
            n_good[is_free] += status == CALMOE_OK && check_answer(w->answer, passages, n_found, NULL);
        }
    }
    if (status == CALMOE_OK)
        printf("%d questions: everything cited stands where it should in %d answers; without the constraint in %d\n", n,
               n_good[0], n_good[1]);
    return status;
}

/* ---- the command ---- */

struct request {
    const char *command, *model, *index, *text;
    int         k, is_free;
};

static int parse(int argc, char **argv, struct request *request)
{
    const char *words[3] = { NULL, NULL, NULL };
    int         n = 0;
    *request = (struct request){ .k = 2 };
    for (int i = 1; i < argc; i++) {
        if (i + 1 < argc && strcmp(argv[i], "-m") == 0) request->model = argv[++i];
        else if (i + 1 < argc && strcmp(argv[i], "-k") == 0) request->k = (int)strtol(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--free") == 0) request->is_free = 1;
        else if (n < 3) words[n++] = argv[i];
    }
    request->command = words[0];
    request->index = words[1];
    request->text = words[2];
    return n == 3 && request->k >= 1 && request->k <= MAX_PASSAGES;
}

static calmoe_status answer(struct writer *w, sqlite3 *db, const struct request *request)
{
    static struct passage passages[MAX_PASSAGES];
    if (strcmp(request->command, "measure") == 0) {
        FILE *questions = fopen(request->text, "r");
        if (!questions) return CALMOE_IO;
        const calmoe_status status = measure(w, db, questions, passages, request->k);
        fclose(questions);
        return status;
    }
    int n = find(db, request->text, passages, request->k);
    if (n <= 0) {
        printf("nothing in the index fits the question\n");
        return CALMOE_OK;
    }
    const calmoe_status status = write_answer(w, request->text, passages, &n, request->is_free);
    if (status == CALMOE_OK) {
        printf("%s\n", w->answer);
        (void)check_answer(w->answer, passages, n, stdout);
    }
    return status;
}

static calmoe_status open_writer(struct writer *w, const char *path)
{
    calmoe_model_info info = { .size = sizeof info };
    calmoe_status     status = calmoe_context_open(NULL, &w->context);
    if (status == CALMOE_OK) status = calmoe_model_open(w->context, path, NULL, &w->model);
    if (status == CALMOE_OK) status = calmoe_model_get_info(w->model, &info);
    if (status == CALMOE_OK) status = calmoe_engine_open(w->model, NULL, &w->engine);
    if (status == CALMOE_OK) status = calmoe_session_open(w->engine, NULL, &w->session);
    w->n_vocab = info.n_vocab;
    w->has_chat = status == CALMOE_OK && info.chat_format[0] != '\0';
    return status;
}

int main(int argc, char **argv)
{
    static struct writer w;
    struct request       request;
    sqlite3             *db = NULL;
    calmoe_status        status = CALMOE_OK;
    int                  rc = 0;

    if (!parse(argc, argv, &request)) {
        fprintf(stderr, "usage: answer index INDEX FOLDER\n"
                        "       answer ask [-m MODEL.gguf] [-k 1 to %d] [--free] INDEX QUESTION\n"
                        "       answer measure [-m MODEL.gguf] [-k 1 to %d] INDEX QUESTIONS.txt\n",
                MAX_PASSAGES, MAX_PASSAGES);
        return 2;
    }
    const int makes = strcmp(request.command, "index") == 0; /* only then may there be no file yet */
    if (sqlite3_open_v2(request.index, &db, makes ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE : SQLITE_OPEN_READONLY,
                        NULL) != SQLITE_OK) {
        rc = complain(request.index, sqlite3_errmsg(db));
    } else if (makes) {
        rc = make_index(db, request.text);
    } else {
        status = open_writer(&w, request.model);
        if (status == CALMOE_OK) status = answer(&w, db, &request);
        if (status != CALMOE_OK) rc = complain(calmoe_status_text(status), calmoe_context_message(w.context));
    }
    calmoe_session_close(&w.session);
    calmoe_engine_close(&w.engine);
    calmoe_model_close(&w.model);
    calmoe_context_close(&w.context);
    sqlite3_close(db);
    return rc;
}
