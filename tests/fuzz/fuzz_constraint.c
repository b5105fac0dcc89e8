/* fuzz_constraint.c - any bytes as a schema or a pattern, and a random answer under what it makes.
 *
 * Byte 0 chooses what the rest is and the form. Whatever was opened never gets stuck: some token may come until the
 * answer may end, each that may come does, and an answer that ends is UTF-8 and, of a schema, JSON. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/constrain/constraint.h"
#include "runtime/constrain/walker.h"
#include "runtime/documents/json.h"
#include "runtime/engine/handles.h"
#include "runtime/text/utf8.h"
#include "base/random.h"
#include "tests/support/toy_tokenizer.h"

enum { MAX_TOKENS = 120, MAX_TEXT = MAX_TOKENS * 64 + 2, MAX_SCHEMA = 4096 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(condition) ((condition) ? (void)0 : abort())

static struct calmoe_context context;

static calmoe_model *vocabulary(void)
{
    static struct toy_tokenizer toy;
    static struct calmoe_model  model = {.ctx = &context}; /* for the whole run */
    if (!model.tokenizer) {
        toy_bpe(&toy, "qwen2");
        CHECK(toy_open(NULL, &toy, &model.tokenizer) == CALMOE_OK);
    }
    return &model;
}

static void check_end(const char *text, int n, bool is_json)
{
    for (int at = 0; at < n;) {
        const int length = cm_utf8_length(text + at, (size_t)(n - at));
        CHECK(length > 0);
        at += length;
    }
    if (!is_json) return;
    static char array[MAX_TEXT];
    struct json_document document;
    array[0] = '[';
    memcpy(array + 1, text, (size_t)n);
    array[n + 1] = ']';
    context.message[0] = '\0';
    if (cm_json_parse(&context, "answer", array, (size_t)n + 2, &document) == CALMOE_OK) cm_json_close(&document);
    else CHECK(strstr(context.message, "a member that was there before")); /* keys that no schema lists */
}

static void walk(const calmoe_constraint *constraint, const calmoe_model *model, bool is_json, uint64_t seed)
{
    static char    text[MAX_TEXT];
    struct random  random = cm_random(seed);
    struct walker *walker;
    const int32_t  n_vocab = cm_tokenizer_n_tokens(model->tokenizer);
    int            n = 0;
    CHECK(cm_walker_open(&context, &constraint->program, constraint->trie, n_vocab, &walker) == CALMOE_OK);
    for (int i = 0; i < MAX_TOKENS; i++) {
        const uint64_t *mask = cm_walker_mask(walker);
        int32_t         chosen = -1;
        int             n_may = 0, n_bytes;
        for (int32_t id = 0; id < n_vocab; id++)
            if (mask[id / 64] >> id % 64 & 1 && cm_random_below(&random, (uint64_t)++n_may) == 0) chosen = id;
        CHECK(chosen >= 0);
        if (cm_token_ends_generation(model->tokenizer, chosen)) {
            check_end(text, n, is_json);
            break;
        }
        CHECK(cm_walker_accept(walker, chosen));
        const char *bytes = cm_token_bytes(model->tokenizer, chosen, true, &n_bytes);
        memcpy(text + n, bytes, (size_t)n_bytes);
        n += n_bytes;
    }
    cm_walker_close(&walker);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    calmoe_model      *model = vocabulary();
    calmoe_constraint *constraint;
    calmoe_constraint_options options;
    if (size < 1 || size > MAX_SCHEMA) return 0;
    const char *text = (const char *)data + 1;
    const bool  is_json = (data[0] & 1) == 0;
    calmoe_constraint_options_init(&options);
    options.compact = data[0] >> 1 & 1;
    const calmoe_status status =
        is_json ? calmoe_constraint_open_json_schema(model, text, size - 1, &options, &constraint)
                : calmoe_constraint_open_pattern(model, text, size - 1, &options, &constraint);
    if (status != CALMOE_OK) {
        CHECK(context.message[0] != '\0' && constraint == NULL);
        return 0;
    }
    walk(constraint, model, is_json, (uint64_t)size * 131 + data[size - 1]);
    calmoe_constraint_close(&constraint);
    return 0;
}
