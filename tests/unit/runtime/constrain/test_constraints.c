/* test_constraints.c - what constraints let through: of random schemas only documents that a validator accepts, and
 * all those that another writer makes; masks that are those of token after token tried by itself; marks, free text,
 * and that an answer can always be finished. On a small vocabulary, without a model that has opinions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "base/random.h"
#include "runtime/constrain/constraint.h"
#include "runtime/constrain/walker.h"
#include "runtime/engine/handles.h"
#include "tests/support/context_fixture.h"
#include "tests/support/json_schemas.h"
#include "tests/support/running.h"
#include "tests/support/tiny_model.h"

enum { MAX_TEXT = 1 << 14 };

static calmoe_model *model;
static int           n_vocab;

/* ---- texts through constraints ---- */

static calmoe_constraint *open_schema(const char *schema, int compact)
{
    calmoe_constraint_options options;
    calmoe_constraint *constraint;
    calmoe_constraint_options_init(&options);
    options.compact = compact;
    const calmoe_status status =
        calmoe_constraint_open_json_schema(model, schema, strlen(schema), &options, &constraint);
    if (status != CALMOE_OK) fail_msg("%s: %s", schema, calmoe_context_message(context));
    return constraint;
}

static struct walker *open_walker(const calmoe_constraint *constraint)
{
    struct walker *walker;
    assert_int_equal(cm_walker_open(context, &constraint->program, constraint->trie, n_vocab, &walker), CALMOE_OK);
    return walker;
}

static bool may(const uint64_t *mask, int32_t token) { return mask[token / 64] >> token % 64 & 1; }

/* The token of one byte. */
static int32_t token_of(unsigned char byte)
{
    static int32_t tokens[256];
    static bool    is_made;
    for (int32_t id = 0; id < n_vocab && !is_made; id++) {
        size_t      n;
        const char *bytes = calmoe_token_bytes(model, id, 0, &n);
        if (n == 1) tokens[(unsigned char)bytes[0]] = id;
    }
    is_made = true;
    return tokens[byte];
}

/* Does the whole text fit, byte by byte? */
static bool lets_through(struct walker *walker, const char *text, size_t n)
{
    bool fits = true;
    cm_walker_begin(walker);
    for (size_t i = 0; i < n && fits; i++) {
        const int32_t token = token_of((unsigned char)text[i]);
        fits = may(cm_walker_mask(walker), token);
        assert_int_equal(cm_walker_accept(walker, token), fits);
    }
    return fits && may(cm_walker_mask(walker), model->trie->ends[0]);
}

static bool ends_answers(int32_t token) { return calmoe_token_ends(model, token); }

/* A token that may come: any; or, to come to an end, one that closes what is open. -1: none may. */
static int32_t choose(struct random *random, const uint64_t *mask, bool hurries)
{
    static const char closers[] = "}]\",:0n";
    int32_t found = -1;
    int     n = 0;
    for (int32_t id = 0; id < n_vocab && hurries; id++)
        if (may(mask, id) && ends_answers(id)) return id;
    for (const char *c = closers; *c && hurries; c++)
        if (may(mask, token_of((unsigned char)*c))) return token_of((unsigned char)*c);
    for (int32_t id = 0; id < n_vocab; id++)
        if (may(mask, id) && cm_random_below(random, (uint64_t)++n) == 0) found = id;
    return found;
}

/* Writes an answer of random tokens that the constraint lets through; its length, which is MAX_TEXT where it found no
 * end. hurry: tokens after which it comes to an end where it can. */
static size_t random_answer(struct walker *walker, struct random *random, int hurry, char *text)
{
    size_t n = 0;
    cm_walker_begin(walker);
    for (int i = 0; i < 4000; i++) {
        size_t        n_bytes;
        const int32_t token = choose(random, cm_walker_mask(walker), i >= hurry);
        if (token < 0) fail_msg("no token may come after \"%.*s\"", (int)n, text);
        if (ends_answers(token)) break;
        assert_true(cm_walker_accept(walker, token));
        const char *bytes = calmoe_token_bytes(model, token, 1, &n_bytes);
        if (n + n_bytes >= MAX_TEXT || i == 3999) return MAX_TEXT;
        memcpy(text + n, bytes, n_bytes);
        n += n_bytes;
    }
    return n;
}

static void random_schemas_are_kept_to(void **state)
{
    (void)state;
    static char text[MAX_TEXT], schema[SCHEMA_BYTES], document[SCHEMA_BYTES];
    struct random random = cm_random(5);
    int n_valid = 0, n_written = 0;
    for (int trial = 0; trial < 150; trial++) {
        char what[200] = "";
        random_schema(&random, schema);
        calmoe_constraint *constraint = open_schema(schema, trial % 2);
        struct walker *walker = open_walker(constraint);
        for (int run = 0; run < 3; run++) {
            const size_t n = random_answer(walker, &random, run * 30, text);
            if (n == MAX_TEXT) continue;
            const bool is_valid = fits_schema(schema, text, n, what);
            if (!is_valid && !strstr(what, "a member that was there before")) /* keys that are not listed may do that */
                fail_msg("%s\nlets \"%.*s\" through: %s", schema, (int)n, text, what);
            n_valid += is_valid;
        }
        if (random_document(&random, schema, document)) {
            if (!fits_schema(schema, document, strlen(document), what)) fail_msg("test: %s: %s", document, what);
            if (!lets_through(walker, document, strlen(document)))
                fail_msg("%s\ndoes not let %s through", schema, document);
            n_written++;
        }
        cm_walker_close(&walker);
        calmoe_constraint_close(&constraint);
    }
    assert_true(n_valid > 350);
    assert_true(n_written > 100);
}

/* ---- masks ---- */

static void check_mask(struct walker *walker, struct walker *other)
{
    uint64_t mask[32];
    assert_true(n_vocab <= 32 * 64);
    memcpy(mask, cm_walker_mask(walker), (size_t)(n_vocab + 63) / 64 * sizeof *mask);
    for (int32_t id = 0; id < n_vocab; id++) {
        cm_walker_copy(other, walker);
        const bool fits = cm_walker_accept(other, id);
        if (fits != may(mask, id)) fail_msg("token %d: %d, by the mask %d", (int)id, fits, may(mask, id));
    }
}

static void masks_are_those_of_each_token(void **state)
{
    (void)state;
    static char schema[SCHEMA_BYTES];
    static const char with_lengths[] = "{\"type\":\"array\",\"items\":{\"type\":\"string\",\"maxLength\":900}}";
    struct random random = cm_random(9);
    for (int trial = 0; trial < 12; trial++) {
        if (trial == 0) snprintf(schema, sizeof schema, "%s", with_lengths); /* more states than the table holds */
        else random_schema(&random, schema);
        calmoe_constraint *constraint = open_schema(schema, 0);
        struct walker *walker = open_walker(constraint), *other = open_walker(constraint);
        for (int i = 0; i < (trial == 0 ? 600 : 12); i++) {
            if (trial > 0 || i % 100 == 0) check_mask(walker, other);
            const int32_t token = choose(&random, cm_walker_mask(walker), false);
            if (token < 0 || ends_answers(token)) break;
            assert_true(cm_walker_accept(walker, token));
        }
        cm_walker_close(&walker);
        cm_walker_close(&other);
        calmoe_constraint_close(&constraint);
    }
}

/* ---- patterns and numbers ---- */

static void patterns_mean_what_they_say(void **state)
{
    (void)state;
    static const struct { const char *pattern, *fits, *fits_not; } rows[] = { /* texts with | between them */
        {"a|bc*", "a|b|bccc", "|ab|c|bcb"},
        {"(?:ab){2,3}x?", "abab|ababab|ababx", "ab|abababab|ababxx"},
        {"[^a-c\\d]+", "xyz|é|-|漢", "a|x1|"},
        {"\\w\\W\\s\\S", "a- b|_é x", "a-b |abcd"},
        {"\\u00e9\\x41.", "éAx|éA\xf0\x9f\x98\x80", "éA\n|eAx"},
        {"(a*)*b", "b|aaab", "a|ba"},
        {"a{0}b{3}", "bbb", "abbb|bb|bbbb"},
        {"(|a)b", "b|ab", "aab"},
        {"[+\\-*/]\\.", "+.|-.|/.", "x.|+"},
        {"^x$", "x", "xx"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct { const char *texts; bool fits; } kinds[] = {{rows[i].fits, true}, {rows[i].fits_not, false}};
        calmoe_constraint *constraint;
            running_must(context, calmoe_constraint_open_pattern(model, rows[i].pattern, strlen(rows[i].pattern), NULL,
                                                             &constraint));
        struct walker *walker = open_walker(constraint);
        for (int kind = 0; kind < 2; kind++)
            for (const char *at = kinds[kind].texts;; at++) {
                const size_t n = strcspn(at, "|");
                if (lets_through(walker, at, n) != kinds[kind].fits)
                    fail_msg("%s and %.*s", rows[i].pattern, (int)n, at);
                at += n;
                if (!*at) break;
            }
        cm_walker_close(&walker);
        calmoe_constraint_close(&constraint);
    }
}

static void bounds_are_exact(void **state)
{
    (void)state;
    struct random random = cm_random(3);
    for (int trial = 0; trial < 60; trial++) {
        const int low = (int)cm_random_below(&random, 3000) - 1500, high = low + (int)cm_random_below(&random, 400);
        const bool is_whole = trial % 2;
        const double scale = is_whole ? 1 : trial % 4 ? 8 : 100;
        char schema[200], text[40];
        snprintf(schema, sizeof schema, "{\"type\":\"%s\",\"minimum\":%.10g,\"maximum\":%.10g}",
                 is_whole ? "integer" : "number", low / scale, high / scale);
        calmoe_constraint *constraint = open_schema(schema, 1);
        struct walker *walker = open_walker(constraint);
        for (int value = low - 30; value <= high + 30; value++) {
            snprintf(text, sizeof text, "%.10g", value / scale);
            if (value == 0 && text[0] == '-') continue;
            const bool fits = value >= low && value <= high;
            if (lets_through(walker, text, strlen(text)) != fits) fail_msg("%s and %s", schema, text);
        }
        cm_walker_close(&walker);
        calmoe_constraint_close(&constraint);
    }
}

/* ---- refused ---- */

static const struct { const char *schema; calmoe_status status; const char *message; } refused[] = {
    {"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"array\",\"uniqueItems\":true}}}", CALMOE_UNSUPPORTED,
     "schema: properties.a.uniqueItems: this keyword is not read"},
    {"{\"properties\":{\"a\":{\"multipleOf\":2}}}", CALMOE_UNSUPPORTED,
     "schema: properties.a.multipleOf: this keyword is not read"},
    {"{\"not\":{}}", CALMOE_UNSUPPORTED, "schema: not: this keyword is not read"},
    {"{\"if\":{},\"then\":{}}", CALMOE_UNSUPPORTED, "schema: if: this keyword is not read"},
    {"{\"patternProperties\":{}}", CALMOE_UNSUPPORTED, "schema: patternProperties: this keyword is not read"},
    {"{\"minProperties\":1}", CALMOE_UNSUPPORTED, "schema: minProperties: this keyword is not read"},
    {"{\"prefixItems\":[]}", CALMOE_UNSUPPORTED, "schema: prefixItems: this keyword is not read"},
    {"{\"type\":\"strng\"}", CALMOE_INVALID_ARGUMENT,
     "schema: type: wanted names of types: null, boolean, integer, number, string, array, object"},
    {"{\"$ref\":\"#/$defs/none\"}", CALMOE_UNSUPPORTED, "schema: $ref: wanted a reference to a part of this schema "
     "that is there, such as \"#/$defs/name\""},
    {"{\"$ref\":\"other.json\"}", CALMOE_UNSUPPORTED, "schema: $ref: wanted a reference to a part of this schema "
     "that is there, such as \"#/$defs/name\""},
    {"{\"anyOf\":[{\"type\":\"null\"}],\"properties\":{}}", CALMOE_UNSUPPORTED,
     "schema: properties: this keyword is not read beside 'anyOf'"},
    {"{\"enum\":[1],\"minimum\":0}", CALMOE_UNSUPPORTED, "schema: minimum: this keyword is not read beside 'enum'"},
    {"{\"enum\":[\"a\"],\"type\":\"integer\"}", CALMOE_INVALID_ARGUMENT,
     "schema: none of the values is of its type"},
    {"{\"allOf\":[{},{}]}", CALMOE_UNSUPPORTED, "schema: allOf: allOf is read of one schema"},
    {"{\"type\":\"string\",\"format\":\"email\"}", CALMOE_UNSUPPORTED,
     "schema: format: formats that are read: date, time, date-time, uuid"},
    {"{\"type\":\"string\",\"pattern\":\"a\",\"maxLength\":3}", CALMOE_UNSUPPORTED,
     "schema: pattern, format and lengths are not read beside each other"},
    {"{\"pattern\":\"a(?=b)\"}", CALMOE_UNSUPPORTED, "schema: pattern, at byte 2 of \"a(?=b)\": groups that look "
     "ahead or behind, or have names, are not read"},
    {"{\"pattern\":\"a\\\\\"}", CALMOE_UNSUPPORTED, "schema: pattern, at byte 2 of \"a\\\": this escape is not read"},
    {"{\"pattern\":\"(a)\\\\1\"}", CALMOE_UNSUPPORTED, "schema: pattern, at byte 5 of \"(a)\\1\": this escape is "
     "not read"},
    {"{\"pattern\":\"a(\"}", CALMOE_UNSUPPORTED, "schema: pattern, at byte 2 of \"a(\": wanted )"},
    {"{\"minLength\":3,\"maxLength\":2}", CALMOE_INVALID_ARGUMENT, "schema: maxLength is less than minLength"},
    {"{\"minItems\":3,\"maxItems\":2}", CALMOE_INVALID_ARGUMENT, "schema: maxItems is less than minItems"},
    {"{\"minItems\":-1}", CALMOE_INVALID_ARGUMENT, "schema: minItems: wanted a whole number from 0 to 1000000"},
    {"{\"minimum\":3,\"maximum\":2}", CALMOE_INVALID_ARGUMENT, "schema: no number lies between its bounds"},
    {"{\"type\":\"integer\",\"minimum\":0.25,\"maximum\":0.75}", CALMOE_INVALID_ARGUMENT,
     "schema: no number lies between its bounds"},
    {"{\"minimum\":1e40}", CALMOE_INVALID_ARGUMENT, "schema: no number lies between its bounds"},
    {"{\"properties\":{\"a\":{}},\"required\":[\"b\"]}", CALMOE_UNSUPPORTED,
     "schema: required[0]: wanted the name of one of the 'properties'"},
    {"{\"properties\":{\"a\":false}}", CALMOE_UNSUPPORTED,
     "schema: properties.a: a schema is read that is an object, or true"},
    {"{\"oneOf\":[{\"type\":\"integer\"},{\"type\":\"number\"}]}", CALMOE_UNSUPPORTED,
     "schema: oneOf: a document may fit both alternative 0 and 1, or it cannot be told that none does; anyOf asks "
         "for one or both"},
    {"{\"oneOf\":[{\"items\":true},{\"additionalProperties\":false}]}", CALMOE_UNSUPPORTED, /* {} fits both */
     "schema: oneOf: a document may fit both alternative 0 and 1, or it cannot be told that none does; anyOf asks for "
     "one or both"},
    {"{\"$ref\":\"#\"}", CALMOE_INVALID_ARGUMENT, "no text fits the constraint: what it asks for has no end, or is "
     "nested more than 100 levels deep"},
    {"{\"properties\":{\"a\":{\"$ref\":\"#\"}},\"required\":[\"a\"]}", CALMOE_INVALID_ARGUMENT,
     "no text fits the constraint: what it asks for has no end, or is nested more than 100 levels deep"},
    {"{\"type\":", CALMOE_BAD_FILE, "'schema', line 1, column 8: the text ends too early"},
    {"[]", CALMOE_UNSUPPORTED, "schema: a schema is read that is an object, or true"},
};

static void what_is_not_read_is_told(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        calmoe_constraint *constraint = (calmoe_constraint *)&refused;
        const calmoe_status status =
            calmoe_constraint_open_json_schema(model, refused[i].schema, strlen(refused[i].schema), NULL, &constraint);
        if (status != refused[i].status || strcmp(calmoe_context_message(context), refused[i].message) != 0)
            fail_msg("%s: %s: %s", refused[i].schema, calmoe_status_name(status), calmoe_context_message(context));
        assert_null(constraint);
    }
}

/* Keywords hold of their types, whatever other types there are. */
static void several_types(void **state)
{
    (void)state;
    calmoe_constraint *constraint = open_schema("{\"type\":[\"null\",\"boolean\",\"integer\",\"number\",\"string\","
                                                "\"array\","
                                                "\"object\"],\"minLength\":2,\"minimum\":5,\"maxItems\":1}", 1);
    struct walker *walker = open_walker(constraint);
    static const struct { const char *text; bool fits; } rows[] = {
        {"null", true}, {"false", true}, {"\"a\"", false}, {"\"ab\"", true}, {"4.9", false}, {"5.5", true}, {"[1]",
            true},
        {"[1,2]", false}, {"{\"a\":1}", true}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(lets_through(walker, rows[i].text, strlen(rows[i].text)), rows[i].fits);
    cm_walker_close(&walker);
    calmoe_constraint_close(&constraint);
}

static void alternatives_that_are_apart(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "{\"oneOf\":[{\"type\":\"integer\"},{\"type\":[\"string\",\"null\"]}]}",
        "{\"oneOf\":[{\"const\":1},{\"enum\":[2,\"a\"]},{\"const\":null}]}",
        "{\"oneOf\":[{\"properties\":{\"kind\":{\"const\":\"a\"}},\"required\":[\"kind\"]},"
        "{\"properties\":{\"kind\":{\"const\":\"b\"}},\"required\":[\"kind\"]}]}",
        "{\"oneOf\":[{\"properties\":{\"a\":{}},\"required\":[\"a\"]},{\"properties\":{\"b\":{}},"
            "\"required\":[\"b\"]}]}",
        "{\"$defs\":{\"n\":{\"type\":\"null\"}},\"oneOf\":[{\"$ref\":\"#/$defs/n\"},{\"type\":\"object\"}]}",
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        calmoe_constraint *constraint = open_schema(rows[i], 0);
        calmoe_constraint_close(&constraint);
    }
}

/* ---- marks, free text, several ---- */

/* The answer's tokens, each as a text; true: all may come, and the answer may end there. */
static bool takes(const calmoe_constraint *constraint, const char *const *texts)
{
    struct walker *walker = open_walker(constraint);
    bool           fits = true;
    for (; *texts && fits; texts++) {
        const int32_t mark = cm_tokenizer_find(model->tokenizer, *texts);
        if (mark >= 0) {
            fits = may(cm_walker_mask(walker), mark) && cm_walker_accept(walker, mark);
            continue;
        }
        for (const char *c = *texts; *c && fits; c++)
            fits = cm_walker_accept(walker, token_of((unsigned char)*c));
    }
    fits = fits && may(cm_walker_mask(walker), constraint->trie->ends[0]);
    cm_walker_close(&walker);
    return fits;
}

#define TAKES(constraint, ...) assert_true(takes(constraint, (const char *const[]){__VA_ARGS__, NULL}))
#define TAKES_NOT(constraint, ...) assert_false(takes(constraint, (const char *const[]){__VA_ARGS__, NULL}))

static void calls_of_tools(void **state)
{
    (void)state;
    static const char one[] = "{\"properties\":{\"x\":{\"type\":\"integer\"}},\"required\":[\"x\"]}";
    const calmoe_constraint_choice choices[] = {
        {"<|user|>f:", one, sizeof one - 1, "<|system|>\n"},
        {"<tool>g:", NULL, 0, NULL},
    };
    calmoe_constraint_options options;
    calmoe_constraint *constraint;
    calmoe_constraint_options_init(&options);
    running_must(context, calmoe_constraint_open_choice(model, choices, 2, &options, &constraint));
    TAKES(constraint, "<|user|>", "f:{\"x\":1}", "<|system|>", "\n");
    TAKES(constraint, "<tool>", "g:{\"any\":[]}");
    TAKES_NOT(constraint, "<|user|>", "f:{\"y\":1}", "<|system|>", "\n");
    TAKES_NOT(constraint, "f:{\"x\":1}", "<|system|>", "\n");
    TAKES_NOT(constraint, "<|us", "er|>f:{\"x\":1}", "<|system|>", "\n"); /* spelt out, it is no mark */
    TAKES_NOT(constraint, "<tool>", "g:{\"any\":\"", "<|user|>", "\"}");  /* and inside there is none */
    TAKES_NOT(constraint, "<tool>", "g:{\"any\":\"", "<tool>", "\"}");
    TAKES_NOT(constraint, "<tool>", "g:{}", "<tool>", "g:{}");
    calmoe_constraint_close(&constraint);
    options.min_count = 2;
    options.max_count = 3;
    options.separator = ";";
    running_must(context, calmoe_constraint_open_choice(model, choices, 2, &options, &constraint));
    TAKES_NOT(constraint, "<tool>", "g:{}");
    TAKES(constraint, "<tool>", "g:{};", "<tool>", "g:{}");
    TAKES(constraint, "<tool>", "g:{};", "<|user|>", "f:{\"x\":1}", "<|system|>", "\n;", "<tool>", "g:{}");
    TAKES_NOT(constraint, "<tool>", "g:{};", "<tool>", "g:{};", "<tool>", "g:{};", "<tool>", "g:{}");
    calmoe_constraint_close(&constraint);
}

static void free_text_comes_first(void **state)
{
    (void)state;
    static const char schema[] = "{\"type\":\"integer\"}";
    calmoe_constraint_options options;
    calmoe_constraint *constraint;
    calmoe_constraint_options_init(&options);
    for (options.may_end = 0; options.may_end < 2; options.may_end++) {
        options.after = "aab<|assistant|>";
        running_must(context, calmoe_constraint_open_json_schema(model, schema, sizeof schema - 1, &options,
                                                                 &constraint));
        TAKES(constraint, "anything {\"x\" aaab", "<|assistant|>", "\n\n12");
        TAKES(constraint, "aab", "<|user|>", "aab", "<|assistant|>", "7");
        TAKES_NOT(constraint, "aab", "<|assistant|>", "\n\nx");
        TAKES_NOT(constraint, "aab", "<|assistant|>");
        TAKES_NOT(constraint, "aab", "<|assistant|>", "1", "<|user|>");
        assert_int_equal(takes(constraint, (const char *const[]){"text aa", NULL}), options.may_end);
        calmoe_constraint_close(&constraint);
    }
}

static void any_object(void **state)
{
    (void)state;
    calmoe_constraint *constraint;
    running_must(context, calmoe_constraint_open_json_object(model, NULL, &constraint));
    TAKES(constraint, "{}");
    TAKES(constraint, "{\"a\": [1, 2.5e3, {\"b\":null},\n  \"\\u00e9\xc3\xa9\"], \"c\":true}");
    TAKES_NOT(constraint, "[]");
    TAKES_NOT(constraint, "{\"a\":01}");
    TAKES_NOT(constraint, "{\"a\":\"\\ud800\"}");
    TAKES_NOT(constraint, "{\"a\":\"\xc3\"}");
    TAKES_NOT(constraint, "{\"a\":\"\xed\xa0\x80\"}"); /* a surrogate in UTF-8 */
    TAKES_NOT(constraint, "{\"a\":\"\n\"}");
    TAKES(constraint, "{\"a\":\"\xc2\x80\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xf0\x90\x80\x80\xf4\x8f\xbf\xbf\"}");
    TAKES_NOT(constraint, "{\"a\":\"\xc0\x80\"}"); /* overlong */
    TAKES_NOT(constraint, "{\"a\":\"\xe0\x80\x80\"}");
    TAKES_NOT(constraint, "{\"a\":\"\xf4\x90\x80\x80\"}"); /* beyond the last character */
    char deep[600] = "{\"a\":";
    memset(deep + 5, '[', 200);
    memset(deep + 205, ']', 200);
    memcpy(deep + 405, "}", 2);
    TAKES_NOT(constraint, deep); /* deeper than is begun */
    calmoe_constraint_close(&constraint);
}

static void wrong_arguments_and_no_memory(void **state)
{
    (void)state;
    static const char schema[] = "{\"properties\":{\"a\":{\"pattern\":\"a\"},\"b\":{\"enum\":[1,2]},"
        "\"c\":{\"$ref\":\"#\"}}}";
    calmoe_constraint *constraint;
    calmoe_constraint_options options;
    calmoe_constraint_options_init(&options);
    calmoe_constraint_options_init(NULL);
    assert_int_equal(calmoe_constraint_open_json_object(NULL, NULL, &constraint), CALMOE_INVALID_ARGUMENT);
    assert_int_equal(calmoe_constraint_open_json_object(model, NULL, NULL), CALMOE_INVALID_ARGUMENT);
    assert_int_equal(calmoe_constraint_open_json_schema(model, NULL, 0, NULL, &constraint), CALMOE_INVALID_ARGUMENT);
    assert_int_equal(calmoe_constraint_open_pattern(model, NULL, 0, NULL, &constraint), CALMOE_INVALID_ARGUMENT);
    assert_int_equal(calmoe_constraint_open_choice(model, NULL, 1, NULL, &constraint), CALMOE_INVALID_ARGUMENT);
    options.max_count = -1;
    assert_int_equal(calmoe_constraint_open_json_object(model, &options, &constraint), CALMOE_INVALID_ARGUMENT);
    const long n_live = cm_live_blocks();
    calmoe_status status = CALMOE_NO_MEMORY;
    for (long nth = 1; status != CALMOE_OK; nth++) {
        struct walker *walker;
        cm_fail_request(nth);
        status = calmoe_constraint_open_json_schema(model, schema, sizeof schema - 1, NULL, &constraint);
        if (status == CALMOE_OK) {
            status = cm_walker_open(context, &constraint->program, constraint->trie, n_vocab, &walker);
            cm_walker_close(&walker);
        }
        assert_true(status == CALMOE_OK || status == CALMOE_NO_MEMORY);
        calmoe_constraint_close(&constraint);
        assert_int_equal(cm_live_blocks(), n_live);
    }
    cm_fail_request(0);
    calmoe_constraint_close(NULL);
}

static int open_all(void **state)
{
    const struct tiny_model tiny = tiny_model();
    if (open_folder_and_context(state)) return 1;
    const char *file = temp_file(folder, "vocabulary.gguf");
    tiny_model_write(&tiny, file);
    running_must(context, calmoe_model_open(context, file, NULL, &model));
    n_vocab = cm_tokenizer_n_tokens(model->tokenizer);
    return 0;
}

static int close_all(void **state)
{
    calmoe_model_close(&model);
    return close_folder_and_context(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(patterns_mean_what_they_say),
        cmocka_unit_test(bounds_are_exact),
        cmocka_unit_test(what_is_not_read_is_told),
        cmocka_unit_test(several_types),
        cmocka_unit_test(alternatives_that_are_apart),
        cmocka_unit_test(any_object),
        cmocka_unit_test(calls_of_tools),
        cmocka_unit_test(free_text_comes_first),
        cmocka_unit_test(masks_are_those_of_each_token),
        cmocka_unit_test(random_schemas_are_kept_to),
        cmocka_unit_test(wrong_arguments_and_no_memory),
    };
    return cmocka_run_group_tests_name("constraints", tests, open_all, close_all);
}
