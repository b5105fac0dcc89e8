/* pretokenize.c - runs the patterns of a pre-tokenizer over a text.
 *
 * PCRE2's own memory goes through base/memory like everything else. Matching takes constant machine
 * stack: the interpreter keeps its frames on the heap, under a limit, and compiled code that would
 * need more than its 32 KiB says so and is replaced by the interpreter for that match. */
#include "runtime/text/pretokenize.h"

#include <stdint.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "base/memory.h"

enum {
    MAX_HEAP_KIB      = 64 * 1024, /* of backtracking frames                                       */
    STEPS_PER_BYTE    = 64,        /* linear patterns stay far below; what does not is cut off     */
    STEPS_AT_LEAST    = 1 << 16
};

struct pretokenizer {
    const struct pretokenizer_row *row;
    pcre2_general_context         *general;
    pcre2_code                    *codes[PRETOKENIZER_MAX_STAGES];
    int                            n_stages;
};

struct splitter {
    struct calmoe_context     *ctx;
    const struct pretokenizer *pretokenizer;
    pcre2_match_data          *match;
    pcre2_match_context       *limits;
    cm_piece_fn                put;
    void                      *arg;
};

static void *pcre2_memory(size_t n_bytes, void *unused)
{
    (void)unused;
    return cm_alloc(NULL, n_bytes, 1, "PCRE2");
}

static void pcre2_return(void *memory, void *unused)
{
    (void)unused;
    cm_free(memory);
}

static calmoe_status fail_of_pcre2(struct calmoe_context *ctx, const struct pretokenizer_row *row,
                                   int stage, int error)
{
    const bool     lacks_memory = error == PCRE2_ERROR_NOMEMORY || error == 121; /* 121: while compiling */
    unsigned char  words[128];
    if (pcre2_get_error_message(error, words, sizeof words) < 0) words[0] = '\0';
    return cm_fail(ctx, lacks_memory ? CALMOE_NO_MEMORY : CALMOE_INVALID_ARGUMENT,
                   "pattern %d of pre-tokenizer '%s' failed: PCRE2 says '%s' (%d)", stage + 1,
                   row->names[0], (const char *)words, error);
}

/* ---- open, close ---- */

static calmoe_status compile(struct calmoe_context *ctx, struct pretokenizer *pretokenizer)
{
    const struct pretokenizer_row *row = pretokenizer->row;
    pcre2_compile_context *context = pcre2_compile_context_create(pretokenizer->general);
    if (!context) return cm_fail(ctx, CALMOE_NO_MEMORY, "no memory for a PCRE2 compile context");
    calmoe_status status = CALMOE_OK;
    for (int stage = 0; stage < PRETOKENIZER_MAX_STAGES && row->stages[stage]; stage++) {
        const uint32_t flags = PCRE2_UTF | PCRE2_UCP | PCRE2_DOLLAR_ENDONLY | PCRE2_NEVER_BACKSLASH_C;
        int            error;
        PCRE2_SIZE     at;
        pcre2_code    *code = pcre2_compile((PCRE2_SPTR)row->stages[stage], PCRE2_ZERO_TERMINATED,
                                            flags, &error, &at, context);
        if (!code) {
            status = fail_of_pcre2(ctx, row, stage, error);
            break;
        }
        pretokenizer->codes[pretokenizer->n_stages++] = code;
        (void)pcre2_jit_compile(code, PCRE2_JIT_COMPLETE); /* refused: interpreted, the same matches */
    }
    pcre2_compile_context_free(context);
    return status;
}

calmoe_status cm_pretokenizer_open(struct calmoe_context *ctx, const struct pretokenizer_row *row,
                                   struct pretokenizer **out)
{
    *out = NULL;
    struct pretokenizer *pretokenizer = cm_alloc(ctx, 1, sizeof *pretokenizer, "a pre-tokenizer");
    if (!pretokenizer) return CALMOE_NO_MEMORY;
    pretokenizer->row = row;
    pretokenizer->general = pcre2_general_context_create(pcre2_memory, pcre2_return, NULL);
    calmoe_status status = CALMOE_NO_MEMORY;
    if (pretokenizer->general)
        status = compile(ctx, pretokenizer);
    else
        cm_fail(ctx, status, "no memory for a PCRE2 context");
    if (status != CALMOE_OK)
        cm_pretokenizer_close(&pretokenizer);
    *out = pretokenizer;
    return status;
}

void cm_pretokenizer_close(struct pretokenizer **pretokenizer)
{
    if (!*pretokenizer) return;
    for (int stage = 0; stage < (*pretokenizer)->n_stages; stage++)
        pcre2_code_free((*pretokenizer)->codes[stage]);
    pcre2_general_context_free((*pretokenizer)->general);
    cm_free(*pretokenizer);
    *pretokenizer = NULL;
}

calmoe_status cm_splitter_open(struct calmoe_context *ctx, const struct pretokenizer *pretokenizer,
                               struct splitter **out)
{
    *out = NULL;
    struct splitter *splitter = cm_alloc(ctx, 1, sizeof *splitter, "a splitter");
    if (!splitter) return CALMOE_NO_MEMORY;
    splitter->ctx = ctx;
    splitter->pretokenizer = pretokenizer;
    splitter->match = pcre2_match_data_create(1, pretokenizer->general);
    splitter->limits = pcre2_match_context_create(pretokenizer->general);
    if (!splitter->match || !splitter->limits) {
        cm_splitter_close(&splitter);
        return cm_fail(ctx, CALMOE_NO_MEMORY, "no memory for a PCRE2 match");
    }
    *out = splitter;
    return CALMOE_OK;
}

void cm_splitter_close(struct splitter **splitter)
{
    if (!*splitter) return;
    pcre2_match_data_free((*splitter)->match);
    pcre2_match_context_free((*splitter)->limits);
    cm_free(*splitter);
    *splitter = NULL;
}

/* ---- cutting ---- */

/* The first match of a stage at or behind byte at: its bounds, or a PCRE2 error. */
static int find(struct splitter *splitter, int stage, const char *text, size_t n_bytes, size_t at,
                size_t bounds[2])
{
    const pcre2_code *code = splitter->pretokenizer->codes[stage];
    const PCRE2_SPTR  subject = (PCRE2_SPTR)text;
    int result = pcre2_match(code, subject, n_bytes, at, PCRE2_NO_UTF_CHECK, splitter->match,
                             splitter->limits);
    if (result == PCRE2_ERROR_JIT_STACKLIMIT)
        result = pcre2_match(code, subject, n_bytes, at, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT,
                             splitter->match, splitter->limits);
    if (result < 0) return result;
    const PCRE2_SIZE *vector = pcre2_get_ovector_pointer(splitter->match);
    bounds[0] = vector[0];
    bounds[1] = vector[1];
    return 0;
}

/* As deep as there are stages, never deeper. */
static calmoe_status split_stage(struct splitter *splitter, int stage, const char *text, size_t n_bytes)
{
    if (stage == splitter->pretokenizer->n_stages) return splitter->put(splitter->arg, text, n_bytes);
    size_t done = 0;
    while (done < n_bytes) {
        size_t    bounds[2];
        const int error = find(splitter, stage, text, n_bytes, done, bounds);
        if (error == PCRE2_ERROR_NOMATCH) break;
        if (error) return fail_of_pcre2(splitter->ctx, splitter->pretokenizer->row, stage, error);
        if (bounds[1] <= bounds[0]) break; /* empty: none of our patterns; the rest stays one piece */
        if (bounds[0] > done)
            CM_TRY(split_stage(splitter, stage + 1, text + done, bounds[0] - done));
        CM_TRY(split_stage(splitter, stage + 1, text + bounds[0], bounds[1] - bounds[0]));
        done = bounds[1];
    }
    if (done == n_bytes) return CALMOE_OK;
    return split_stage(splitter, stage + 1, text + done, n_bytes - done);
}

calmoe_status cm_split(struct splitter *splitter, const char *text, size_t n_bytes, cm_piece_fn put,
                       void *arg)
{
    const size_t   most = (UINT32_MAX - STEPS_AT_LEAST) / STEPS_PER_BYTE;
    const uint32_t steps = (uint32_t)(n_bytes < most ? n_bytes : most) * STEPS_PER_BYTE + STEPS_AT_LEAST;
    pcre2_set_match_limit(splitter->limits, steps);
    pcre2_set_depth_limit(splitter->limits, steps);
    pcre2_set_heap_limit(splitter->limits, MAX_HEAP_KIB);
    splitter->put = put;
    splitter->arg = arg;
    return n_bytes ? split_stage(splitter, 0, text, n_bytes) : CALMOE_OK;
}
