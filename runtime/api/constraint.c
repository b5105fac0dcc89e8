/* runtime/api/constraint.c - calmoe_constraint: opened from schemas, patterns and choices. */
#include "runtime/constrain/constraint.h"

#include <limits.h>
#include <string.h>

#include "base/memory.h"
#include "base/options.h"
#include "runtime/constrain/pattern.h"
#include "runtime/constrain/schema.h"
#include "runtime/engine/handles.h"

enum { MAX_LITERAL_BYTES = 4096, MAX_CHOICES = 1000, MAX_BLANKS = 4 /* behind the text that ends the free text */ };

void calmoe_constraint_options_init(calmoe_constraint_options *options)
{
    if (options) *options = (calmoe_constraint_options){.size = sizeof *options, .min_count = 1, .max_count = 1};
}

void calmoe_constraint_close(calmoe_constraint **constraint)
{
    if (!constraint || !*constraint) return;
    cm_program_close(&(*constraint)->program);
    cm_free(*constraint);
    *constraint = NULL;
}

/* ---- parts ---- */

struct wanted { /* one of the kinds of constraints */
    const char *schema;  /* NULL: any object */
    const char *pattern;
    size_t      n_bytes;
    const calmoe_constraint_choice *choices; /* (n_choices) */
    int         n_choices;
};

struct mark { /* a token in a text */
    int32_t token;   /* -1: a byte of text begins here; -2: inside of a mark */
    int     n_bytes;
};

static void take_longer(const struct tokenizer *tokenizer, int32_t token, const char *text, struct mark *found)
{
    int         n;
    const char *bytes = cm_token_bytes(tokenizer, token, true, &n);
    if (n > found->n_bytes && strncmp(text, bytes, (size_t)n) == 0) *found = (struct mark){token, n};
}

static struct mark mark_at(const struct token_trie *trie, const char *text)
{
    struct mark found = {-1, 0};
    for (int32_t i = 0; i < trie->n_specials; i++) take_longer(trie->tokenizer, trie->specials[i].id, text, &found);
    for (int32_t i = 0; i < trie->n_ends; i++) take_longer(trie->tokenizer, trie->ends[i], text, &found);
    return found;
}

/* A text with its marks as tokens. It is written from its end, so they are looked for before. */
static int32_t emit_literal(struct calmoe_constraint *constraint, const char *text, int32_t next)
{
    struct mark     marks[MAX_LITERAL_BYTES];
    const size_t    n = text ? strlen(text) : 0;
    struct program *program = &constraint->program;
    if (n > MAX_LITERAL_BYTES) {
        cm_program_fail(program, cm_fail(program->ctx, CALMOE_UNSUPPORTED,
                                         "a text of the constraint has %zu bytes, more "
                                         "than %d", n, MAX_LITERAL_BYTES));
        return 0;
    }
    for (size_t i = 0; i < n; i++) {
        marks[i] = mark_at(constraint->trie, text + i);
        for (int left = marks[i].n_bytes; left > 1; left--) marks[++i] = (struct mark){-2, 0};
    }
    for (size_t i = n; i-- > 0;) {
        if (marks[i].token == -1) next = cm_emit_text(program, text + i, 1, next);
        else if (marks[i].token >= 0) next = cm_emit_token(program, marks[i].token, next);
    }
    return next;
}

static int32_t emit_document(struct program *program, const char *schema, size_t n_bytes, bool is_compact, int32_t next)
{
    const struct schema_form form = {.is_compact = is_compact};
    return schema ? cm_emit_schema(program, schema, n_bytes, &form, next) : cm_emit_any_object(program, &form, next);
}

static int32_t emit_choice(struct calmoe_constraint *constraint, const struct wanted *wanted, bool is_compact,
                           int32_t next)
{
    struct program *program = &constraint->program;
    int32_t ways = NO_NODE;
    for (int i = wanted->n_choices; i-- > 0 && program->status == CALMOE_OK;) {
        const calmoe_constraint_choice *choice = &wanted->choices[i];
        int32_t entry = emit_literal(constraint, choice->suffix, next);
        entry = emit_document(program, choice->schema, choice->n_bytes, is_compact, entry);
        ways = cm_emit_fork(program, emit_literal(constraint, choice->prefix, entry), ways);
    }
    return ways;
}

/* One choice, and others behind it. */
static int32_t emit_choices(struct calmoe_constraint *constraint, const struct wanted *wanted,
                            const calmoe_constraint_options *options, int32_t next)
{
    struct program *program = &constraint->program;
    const bool is_compact = options->compact != 0;
    if (options->max_count == 1) return emit_choice(constraint, wanted, is_compact, next);
    const int32_t entry = emit_choice(constraint, wanted, is_compact, program->returns);
    const int32_t further = emit_literal(constraint, options->separator, entry);
    const int     most = options->max_count == 0 ? NO_LIMIT : options->max_count - 1;
    return cm_emit_call(program, entry, cm_emit_repeat(program, further, options->min_count - 1, most, next));
}

static int32_t emit_after(struct program *program, const calmoe_constraint_options *options, int32_t next)
{
    struct byte_set white = {{0}};
    if (!options->after || !*options->after) return next;
    cm_byte_set_add(&white, ' ', ' ');
    cm_byte_set_add(&white, '\t', '\n');
    program->until_may_end = options->may_end != 0;
    const int32_t blank = cm_emit_bytes(program, &white, program->returns);
    return cm_emit_until(program, options->after, strlen(options->after),
                         cm_emit_repeat(program, blank, 0, MAX_BLANKS, next));
}

/* ---- opening ---- */

static calmoe_status write_program(struct calmoe_constraint *constraint, const struct wanted *wanted,
                                   const calmoe_constraint_options *options)
{
    struct program *program = &constraint->program;
    const struct pattern pattern = {.text = wanted->pattern, .n_bytes = wanted->n_bytes, .writing = WRITING_PLAIN,
                                    .is_whole = true, .where = "pattern"};
    CM_TRY(cm_program_open(constraint->ctx, program));
    const int32_t end = cm_emit_end(program);
    const int32_t entry = wanted->pattern     ? cm_emit_pattern(program, &pattern, end)
                          : wanted->n_choices ? emit_choices(constraint, wanted, options, end)
                                              : emit_document(program, wanted->schema, wanted->n_bytes,
                                                              options->compact != 0, end);
    return cm_program_finish(program, emit_after(program, options, entry));
}

static calmoe_status check_options(struct calmoe_context *ctx, const calmoe_constraint_options *options)
{
    const bool is_range = options->max_count == 0 || options->max_count >= options->min_count;
    if (options->min_count >= 1 && options->max_count >= 0 && is_range && options->max_count <= MAX_CHOICES)
        return CALMOE_OK;
    return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "%d to %d choices in a row; 1 to %d, or 0 for any number, are wanted",
                   options->min_count, options->max_count, MAX_CHOICES);
}

/* The model's vocabulary by its bytes is made when it is first asked for. */
static calmoe_status open_constraint(calmoe_model *model, const struct wanted *wanted,
                                     const calmoe_constraint_options *given, calmoe_constraint **out)
{
    calmoe_context *ctx = model ? model->ctx : NULL;
    calmoe_constraint_options options;
    if (out) *out = NULL;
    if (!model || !out || !model->tokenizer)
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "a constraint needs a model with a vocabulary, and out");
    calmoe_constraint_options_init(&options);
    CM_TRY(cm_options_copy(ctx, "calmoe_constraint_options", &options, sizeof options, given));
    CM_TRY(check_options(ctx, &options));
    if (!model->trie) CM_TRY(cm_token_trie_open(ctx, model->tokenizer, &model->trie));
    calmoe_constraint *constraint = cm_alloc(ctx, 1, sizeof *constraint, "a constraint");
    if (!constraint) return CALMOE_NO_MEMORY;
    constraint->ctx = ctx;
    constraint->trie = model->trie;
    const calmoe_status status = write_program(constraint, wanted, &options);
    if (status != CALMOE_OK) calmoe_constraint_close(&constraint);
    *out = constraint;
    return status;
}

static calmoe_status misses(calmoe_model *model, const char *call, const char *what, calmoe_constraint **out)
{
    if (out) *out = NULL;
    return cm_fail(model ? model->ctx : NULL, CALMOE_INVALID_ARGUMENT, "%s: %s needed", call, what);
}

calmoe_status calmoe_constraint_open_json_schema(calmoe_model *model, const char *schema, size_t n_bytes,
                                                 const calmoe_constraint_options *options, calmoe_constraint **out)
{
    const struct wanted wanted = {.schema = schema, .n_bytes = n_bytes};
    if (!schema) return misses(model, "calmoe_constraint_open_json_schema", "a schema is", out);
    return open_constraint(model, &wanted, options, out);
}

calmoe_status calmoe_constraint_open_json_object(calmoe_model *model, const calmoe_constraint_options *options,
                                                 calmoe_constraint **out)
{
    const struct wanted wanted = {.schema = NULL};
    return open_constraint(model, &wanted, options, out);
}

calmoe_status calmoe_constraint_open_pattern(calmoe_model *model, const char *pattern, size_t n_bytes,
                                             const calmoe_constraint_options *options, calmoe_constraint **out)
{
    const struct wanted wanted = {.pattern = pattern, .n_bytes = n_bytes};
    if (!pattern) return misses(model, "calmoe_constraint_open_pattern", "a pattern is", out);
    return open_constraint(model, &wanted, options, out);
}

calmoe_status calmoe_constraint_open_choice(calmoe_model *model, const calmoe_constraint_choice *choices, int n,
                                            const calmoe_constraint_options *options, calmoe_constraint **out)
{
    const struct wanted wanted = {.choices = choices, .n_choices = n};
    if (!choices || n < 1 || n > MAX_CHOICES)
        return misses(model, "calmoe_constraint_open_choice", "1 to 1000 choices are", out);
    return open_constraint(model, &wanted, options, out);
}
