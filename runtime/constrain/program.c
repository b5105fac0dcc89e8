/* program.c - see program.h. */
#include "runtime/constrain/program.h"

#include <string.h>

#include "base/memory.h"

enum { INFINITE = INT32_MAX / 2 };

calmoe_status cm_program_open(struct calmoe_context *ctx, struct program *out)
{
    *out = (struct program){.ctx = ctx};
    out->returns = cm_emit_fork(out, NO_NODE, NO_NODE);
    if (out->status == CALMOE_OK) out->nodes[out->returns].op = NODE_RETURN;
    return out->status;
}

void cm_program_close(struct program *program)
{
    cm_free(program->nodes);
    cm_free(program->need);
    cm_free(program->sets);
    cm_free(program->until);
    cm_free(program->until_back);
    *program = (struct program){0};
}

void cm_program_fail(struct program *program, calmoe_status status)
{
    if (program->status == CALMOE_OK) program->status = status;
}

/* ---- making nodes ---- */

/* Room for one element more; false, and the program has failed, where there is none. */
static bool grow(struct program *program, void *array, int32_t n, int32_t *capacity, size_t size)
{
    if (program->status != CALMOE_OK) return false;
    if (n < *capacity) return true;
    const int32_t wanted = n < 64 ? 128 : 2 * n;
    program->status = n >= PROGRAM_MAX_NODES
                          ? cm_fail(program->ctx, CALMOE_UNSUPPORTED, "the constraint is too large: it takes more than "
                                    "%d steps to write down", PROGRAM_MAX_NODES)
                          : cm_grow(program->ctx, array, (size_t)n, (size_t)wanted, size, "a constraint");
    if (program->status != CALMOE_OK) return false;
    *capacity = wanted;
    return true;
}

/* 0, which is a node, where the program has failed. */
static int32_t emit(struct program *program, struct node node)
{
    if (!grow(program, &program->nodes, program->n_nodes, &program->capacity, sizeof *program->nodes))
        return 0;
    program->nodes[program->n_nodes] = node;
    return program->n_nodes++;
}

void cm_byte_set_add(struct byte_set *set, int first, int last)
{
    for (int byte = first; byte <= last; byte++) set->bits[byte / 64] |= (uint64_t)1 << byte % 64;
}

int32_t cm_emit_bytes(struct program *program, const struct byte_set *set, int32_t next)
{
    int32_t i = 0;
    while (i < program->n_sets && memcmp(&program->sets[i], set, sizeof *set) != 0) i++;
    if (i == program->n_sets) {
        if (!grow(program, &program->sets, i, &program->sets_capacity, sizeof *program->sets)) return 0;
        program->sets[program->n_sets++] = *set;
    }
    return emit(program, (struct node){.op = NODE_BYTES, .next = next, .other = i});
}

int32_t cm_emit_range(struct program *program, int first, int last, int32_t next)
{
    struct byte_set set = {{0}};
    cm_byte_set_add(&set, first, last);
    return cm_emit_bytes(program, &set, next);
}

int32_t cm_emit_text(struct program *program, const char *text, size_t n_bytes, int32_t next)
{
    for (size_t i = n_bytes; i-- > 0;)
        next = cm_emit_range(program, (unsigned char)text[i], (unsigned char)text[i], next);
    return next;
}

int32_t cm_emit_token(struct program *program, int32_t token, int32_t next)
{
    return emit(program, (struct node){.op = NODE_TOKEN, .next = next, .other = token});
}

int32_t cm_emit_end(struct program *program)
{
    return emit(program, (struct node){.op = NODE_END, .next = NO_NODE});
}

int32_t cm_emit_fork(struct program *program, int32_t one, int32_t other)
{
    if ((one == NO_NODE) != (other == NO_NODE)) return one == NO_NODE ? other : one;
    return emit(program, (struct node){.op = NODE_FORK, .next = one, .other = other});
}

/* What would only return from here need not come back. */
int32_t cm_emit_call(struct program *program, int32_t entry, int32_t next)
{
    if (next == program->returns) return entry;
    return emit(program, (struct node){.op = NODE_CALL, .next = next, .other = entry});
}

int32_t cm_emit_repeat(struct program *program, int32_t body, int min, int max, int32_t next)
{
    if (max == 0) return next;
    return emit(program, (struct node){.op = NODE_REPEAT, .next = next, .other = body, .min = min, .max = max});
}

int32_t cm_emit_loop(struct program *program)
{
    return emit(program, (struct node){.op = NODE_FORK, .next = NO_NODE, .other = NO_NODE});
}

void cm_set_loop(struct program *program, int32_t loop, int32_t body, int32_t next)
{
    if (program->status != CALMOE_OK) return;
    program->nodes[loop].next = body;
    program->nodes[loop].other = next;
}

int32_t cm_emit_until(struct program *program, const char *text, size_t n_bytes, int32_t next)
{
    if (program->status != CALMOE_OK) return 0;
    program->until = cm_copy_text(program->ctx, text, n_bytes);
    program->until_back = cm_alloc(program->ctx, n_bytes, sizeof *program->until_back, "a constraint");
    if (!program->until || !program->until_back) {
        cm_program_fail(program, CALMOE_NO_MEMORY);
        return 0;
    }
    for (size_t i = 1; i < n_bytes; i++)
        program->until_back[i] = cm_program_until(program, program->until_back[i - 1], (unsigned char)text[i]);
    program->n_until = (int32_t)n_bytes;
    /* Node `first + i`: i bytes have come. */
    const int32_t first = program->n_nodes;
    for (int32_t i = 0; i < program->n_until; i++)
        (void)emit(program, (struct node){.op = NODE_UNTIL, .next = next, .other = i});
    return first;
}

/* ---- reading it ---- */

bool cm_program_has(const struct program *program, int32_t set, unsigned char byte)
{
    return program->sets[set].bits[byte / 64] >> byte % 64 & 1;
}

int32_t cm_program_until(const struct program *program, int32_t position, unsigned char byte)
{
    while (position > 0 && (unsigned char)program->until[position] != byte)
        position = program->until_back[position - 1];
    return (unsigned char)program->until[position] == byte ? position + 1 : 0;
}

/* ---- what can be finished ---- */

static int32_t larger(int32_t a, int32_t b) { return a > b ? a : b; }

static int32_t need_of(const struct program *program, int32_t node)
{
    return node == NO_NODE ? INFINITE : program->need[node];
}

static int32_t need_at(const struct program *program, const struct node *node)
{
    const int32_t next = need_of(program, node->next);
    switch (node->op) {
    case NODE_END:
    case NODE_RETURN: return 0;
    case NODE_FORK: {
        const int32_t other = need_of(program, node->other);
        return next < other ? next : other;
    }
    case NODE_CALL: return larger(need_of(program, node->other) + 1, next);
    case NODE_REPEAT: return node->min == 0 ? next : larger(need_of(program, node->other) + 1, next);
    default: return next;
    }
}

/* By falling from "infinitely much" until nothing changes. Most nodes lead to earlier ones. */
calmoe_status cm_program_finish(struct program *program, int32_t start)
{
    if (program->status != CALMOE_OK) return program->status;
    program->start = start;
    program->need = cm_alloc(program->ctx, (size_t)program->n_nodes, sizeof *program->need, "a constraint");
    if (!program->need) return program->status = CALMOE_NO_MEMORY;
    for (int32_t i = 0; i < program->n_nodes; i++) program->need[i] = INFINITE;
    for (bool has_changed = true; has_changed;) {
        has_changed = false;
        for (int32_t i = 0; i < program->n_nodes; i++) {
            const int32_t need = need_at(program, &program->nodes[i]);
            has_changed |= need < program->need[i];
            if (need < program->need[i]) program->need[i] = need;
        }
    }
    if (program->need[start] <= PROGRAM_MAX_DEPTH) return CALMOE_OK;
    return program->status = cm_fail(program->ctx, CALMOE_INVALID_ARGUMENT, "no text fits the constraint: what it "
                                     "asks for has no end, or is nested more than %d levels deep", PROGRAM_MAX_DEPTH);
}
