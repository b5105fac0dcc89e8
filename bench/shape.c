/* bench/shape.c - reads shapes of models from text files with lines "key = value"; "#" begins a comment. docs/ADDING.md
 * lists the keys. */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/bench.h"

#ifndef BENCH_SHAPES_FROM_BIN
#define BENCH_SHAPES_FROM_BIN "../share/calmoe/shapes"
#endif

enum { MAX_LINE = 512, FAMILY_BYTES = 32 };

enum key_kind { KEY_FAMILY, KEY_INT, KEY_REAL, KEY_YES_NO, KEY_NORMS, KEY_LETTERS };

static const struct key {
    const char   *name;
    enum key_kind kind;
    size_t        offset;
    bool          is_needed;
} keys[] = {
#define KEY(name, kind, member, is_needed) {name, kind, offsetof(calmoe_synthetic_options, member), is_needed}
    KEY("family", KEY_FAMILY, family, true),
    KEY("layers", KEY_INT, n_layers, true),
    KEY("width", KEY_INT, width, true),
    KEY("heads", KEY_INT, n_heads, true),
    KEY("kv_heads", KEY_INT, n_kv_heads, true),
    KEY("head_size", KEY_INT, head_size, true),
    KEY("experts", KEY_INT, n_experts, true),
    KEY("experts_used", KEY_INT, n_experts_used, false),
    KEY("expert_width", KEY_INT, expert_width, true),
    KEY("shared_width", KEY_INT, shared_width, false),
    KEY("shared_gate", KEY_YES_NO, shared_gate, false),
    KEY("vocabulary", KEY_INT, n_vocab, true),
    KEY("context", KEY_INT, context_length, true),
    KEY("head_norms", KEY_NORMS, head_norms, false),
    KEY("qkv_biases", KEY_YES_NO, qkv_biases, false),
    KEY("tied", KEY_YES_NO, tied, false),
    KEY("rotated", KEY_INT, rotated, false),
    KEY("attention_interval", KEY_INT, attention_interval, false),
    KEY("delta_key_heads", KEY_INT, delta_key_heads, false),
    KEY("delta_value_heads", KEY_INT, delta_value_heads, false),
    KEY("delta_head_size", KEY_INT, delta_head_size, false),
    KEY("window", KEY_INT, window, false),
    KEY("latent", KEY_INT, latent, false),
    KEY("q_rank", KEY_INT, q_rank, false),
    KEY("value_size", KEY_INT, value_size, false),
    KEY("dense_layers", KEY_INT, dense_layers, false),
    KEY("dense_width", KEY_INT, dense_width, false),
    KEY("window_head_size", KEY_INT, window_head_size, false),
    KEY("window_kv_heads", KEY_INT, window_kv_heads, false),
    KEY("keys_are_values", KEY_YES_NO, keys_are_values, false),
    KEY("dense_part", KEY_INT, dense_part, false),
    KEY("kinds", KEY_LETTERS, kinds, false),
    KEY("state_size", KEY_INT, state_size, false),
    KEY("rope_base", KEY_REAL, rope_base, false),
    KEY("norm_eps", KEY_REAL, norm_eps, false),
    KEY("embedding_scale", KEY_REAL, embedding_scale, false),
    KEY("residual_scale", KEY_REAL, residual_scale, false),
    KEY("attention_scale", KEY_REAL, attention_scale, false),
    KEY("logit_scale", KEY_REAL, logit_scale, false),
#undef KEY
};
enum { N_KEYS = sizeof keys / sizeof keys[0] };

static char *trimmed(char *text)
{
    while (*text == ' ' || *text == '\t') text++;
    size_t n = strlen(text);
    while (n > 0 && strchr(" \t\r\n", text[n - 1]) != NULL) text[--n] = '\0';
    return text;
}

/* The index of value among words, -1 = none. */
static int word_of(const char *value, const char *const *words, int n)
{
    for (int i = 0; i < n; i++)
        if (strcmp(value, words[i]) == 0) return i;
    return -1;
}

/* NULL, or what should stand in place of value. */
static const char *set_value(const struct key *key, const char *value, struct bench_synthetic *out)
{
    static const char *const yes_no[] = {"no", "yes"}, *const norms[] = {"none", "heads", "whole"};
    void *const setting = (char *)&out->options + key->offset;
    char       *end = NULL;
    errno = 0;
    switch (key->kind) {
    case KEY_FAMILY:
        if (value[0] == '\0' || strlen(value) >= FAMILY_BYTES) return "a name of 1 to 31 bytes";
        snprintf(out->family, sizeof out->family, "%s", value);
        out->options.family = out->family;
        return NULL;
    case KEY_INT: {
        const long number = strtol(value, &end, 10);
        if (end == value || *end != '\0' || errno != 0 || number < 0 || number > INT_MAX) return "a whole number";
        *(int *)setting = (int)number;
        return NULL;
    }
    case KEY_REAL: {
        const float number = strtof(value, &end);
        if (end == value || *end != '\0' || !(number >= 0.0f && number < 1e30f)) return "a number";
        *(float *)setting = number;
        return NULL;
    }
    case KEY_YES_NO:
        *(int *)setting = word_of(value, yes_no, 2);
        return *(int *)setting < 0 ? "yes or no" : NULL;
    case KEY_NORMS:
        *(int *)setting = word_of(value, norms, 3);
        return *(int *)setting < 0 ? "none, heads or whole" : NULL;
    case KEY_LETTERS:
        if (value[0] == '\0' || strlen(value) >= sizeof out->kinds) return "1 to 127 letters";
        snprintf(out->kinds, sizeof out->kinds, "%s", value);
        out->options.kinds = out->kinds;
        return NULL;
    }
    return NULL;
}

static bool read_line(const char *path, int n_line, char *line, bool *is_set, struct bench_synthetic *out)
{
    line[strcspn(line, "#")] = '\0';
    char *name = trimmed(line);
    if (name[0] == '\0') return true;
    char *equals = strchr(name, '=');
    if (equals == NULL) {
        cm_say("%s:%d: found '%.60s'; wanted 'key = value'", path, n_line, name);
        return false;
    }
    *equals = '\0';
    name = trimmed(name);
    const char *value = trimmed(equals + 1);
    int i = 0;
    while (i < N_KEYS && strcmp(keys[i].name, name) != 0) i++;
    if (i == N_KEYS) {
        cm_say("%s:%d: there is no key '%.60s'", path, n_line, name);
        return false;
    }
    if (is_set[i]) {
        cm_say("%s:%d: key '%s' stands twice", path, n_line, name);
        return false;
    }
    is_set[i] = true;
    const char *wanted = set_value(&keys[i], value, out);
    if (wanted != NULL) cm_say("%s:%d: %s is '%.60s'; wanted %s", path, n_line, name, value, wanted);
    return wanted == NULL;
}

static bool read_lines(const char *path, FILE *file, struct bench_synthetic *out)
{
    char line[MAX_LINE];
    bool is_set[N_KEYS] = {false};
    for (int n_line = 1; fgets(line, sizeof line, file) != NULL; n_line++) {
        if (strchr(line, '\n') == NULL && !feof(file)) {
            cm_say("%s:%d: a line of more than %d bytes", path, n_line, MAX_LINE - 2);
            return false;
        }
        if (!read_line(path, n_line, line, is_set, out)) return false;
    }
    if (ferror(file)) {
        cm_say("cannot read '%s': %s", path, strerror(errno));
        return false;
    }
    for (int i = 0; i < N_KEYS; i++)
        if (keys[i].is_needed && !is_set[i]) {
            cm_say("%s: key '%s' is missing", path, keys[i].name);
            return false;
        }
    return true;
}

/* The folder of shapes: $CALMOE_SHAPES, else its place relative to the program. */
static void find_folder(char folder[PATH_MAX])
{
    const char *wanted = getenv("CALMOE_SHAPES");
    char        program[PATH_MAX / 2];
    const ssize_t n = readlink("/proc/self/exe", program, sizeof program - 1);
    program[n > 0 ? n : 0] = '\0';
    char *slash = strrchr(program, '/');
    if (slash != NULL) *slash = '\0';
    if (wanted != NULL && wanted[0] != '\0') snprintf(folder, PATH_MAX, "%s", wanted);
    else snprintf(folder, PATH_MAX, "%s/%s", program, BENCH_SHAPES_FROM_BIN);
}

static int is_text_file(const struct dirent *entry)
{
    const size_t n = strlen(entry->d_name);
    return n > 4 && strcmp(entry->d_name + n - 4, ".txt") == 0;
}

static void say_no_shape(const char *shape, const char *folder)
{
    struct dirent **entries = NULL;
    char            names[1024] = "";
    const int       n = scandir(folder, &entries, is_text_file, alphasort);
    for (int i = 0; i < n; i++) {
        const size_t at = strlen(names);
        snprintf(names + at, sizeof names - at, "%s%.*s", i > 0 ? ", " : "",
                 (int)(strlen(entries[i]->d_name) - 4), entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
    cm_say("there is no shape '%.60s' in '%s'; there are: %s", shape, folder, n > 0 ? names : "none");
}

bool cm_bench_read_shape(const char *shape, struct bench_synthetic *out)
{
    char       folder[PATH_MAX], path[2 * PATH_MAX];
    const bool is_path = strchr(shape, '/') != NULL;
    find_folder(folder);
    if (is_path) snprintf(path, sizeof path, "%s", shape);
    else snprintf(path, sizeof path, "%s/%s.txt", folder, shape);
    const char *slash = strrchr(path, '/');
    const char *name = slash != NULL ? slash + 1 : path;
    const size_t n_name = strlen(name);
    const bool has_ending = n_name > 4 && strcmp(name + n_name - 4, ".txt") == 0;
    snprintf(out->name, sizeof out->name - sizeof out->type, "%.*s", (int)(has_ending ? n_name - 4 : n_name), name);
    calmoe_synthetic_options_init(&out->options);
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        if (is_path || errno != ENOENT) cm_say("cannot open '%s': %s", path, strerror(errno));
        else say_no_shape(shape, folder);
        return false;
    }
    const bool fine = read_lines(path, file, out);
    (void)fclose(file);
    return fine;
}
