/* runtime/constrain/program.h - what texts are allowed, as a machine that reads bytes: nodes, a stack, counters.
 *
 * A program is made from its end to its beginning: each emit function makes nodes that lead to `next` and returns the
 * first of them. It runs on several ways at once (walker.h): a fork goes both ways. A call notes on the stack where to
 * go on, so that schemas may refer to themselves; a repetition notes how often it was done.
 *
 * Failures are kept: the first one stays in `status`, its sentence in the context, and whatever is emitted after it
 * is ignored. */
#ifndef RUNTIME_CONSTRAIN_PROGRAM_H
#define RUNTIME_CONSTRAIN_PROGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

enum {
    PROGRAM_MAX_NODES = 1 << 18,
    PROGRAM_MAX_DEPTH = 100,     /* of the stack: what would need more is not begun */
    NO_LIMIT = INT32_MAX,        /* of a repetition                                 */
    NO_NODE = -1
};

enum node_op {
    NODE_BYTES,  /* a byte of set `other`, then next                                      */
    NODE_TOKEN,  /* the token `other`, whatever its bytes, then next                      */
    NODE_UNTIL,  /* any text; `other` bytes of the one that ends it have come, then next  */
    NODE_END,    /* the text may end here                                                 */
    NODE_FORK,   /* goes on at next and, unless it is NO_NODE, at other                   */
    NODE_CALL,   /* other, and where that returns, next                                   */
    NODE_RETURN,
    NODE_REPEAT  /* other min to max times, each of which returns, then next              */
};

struct node {
    enum node_op op;
    int32_t      next, other;
    int32_t      min, max;
};

struct byte_set { uint64_t bits[4]; };

struct program {
    struct calmoe_context *ctx;
    calmoe_status    status;
    int32_t          n_nodes, capacity;
    struct node     *nodes;      /* (n_nodes)                                                          */
    int32_t         *need;       /* (n_nodes) how much deeper the stack must be able to become from there */
    int32_t          n_sets, sets_capacity;
    struct byte_set *sets;       /* (n_sets)                                                           */
    int32_t          start;
    int32_t          returns;    /* the one NODE_RETURN                                                */
    char            *until;      /* (n_until) what ends the free text; NULL: there is none             */
    int32_t         *until_back; /* (n_until) of its first i + 1 bytes, the longest end that is its beginning */
    int32_t          n_until;
    bool             until_may_end; /* the answer may end in the free text                             */
};

calmoe_status cm_program_open(struct calmoe_context *ctx, struct program *out);
void          cm_program_close(struct program *program); /* zeroes it; a zeroed one is fine */
/* The first failure counts. */
void          cm_program_fail(struct program *program, calmoe_status status);

void    cm_byte_set_add(struct byte_set *set, int first, int last);
int32_t cm_emit_bytes(struct program *program, const struct byte_set *set, int32_t next);
int32_t cm_emit_range(struct program *program, int first, int last, int32_t next);
int32_t cm_emit_text(struct program *program, const char *text, size_t n_bytes, int32_t next);
int32_t cm_emit_token(struct program *program, int32_t token, int32_t next);
int32_t cm_emit_end(struct program *program);
/* NO_NODE as one of the two gives the other. */
int32_t cm_emit_fork(struct program *program, int32_t one, int32_t other);
int32_t cm_emit_call(struct program *program, int32_t entry, int32_t next);
/* body ends in program->returns. */
int32_t cm_emit_repeat(struct program *program, int32_t body, int min, int max, int32_t next);
/* body, which leads to the loop itself, any number of times. */
int32_t cm_emit_loop(struct program *program);
void    cm_set_loop(struct program *program, int32_t loop, int32_t body, int32_t next);
/* Any text up to and with the first time that `text` (n_bytes > 0) comes. Once in a program. */
int32_t cm_emit_until(struct program *program, const char *text, size_t n_bytes, int32_t next);

/* The program begins at start. INVALID_ARGUMENT where no text fits. */
calmoe_status cm_program_finish(struct program *program, int32_t start);

bool    cm_program_has(const struct program *program, int32_t set, unsigned char byte);
/* Bytes of the ending text that have come behind `position` of them and one byte more. */
int32_t cm_program_until(const struct program *program, int32_t position, unsigned char byte);

#endif
