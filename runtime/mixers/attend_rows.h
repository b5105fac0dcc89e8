/* runtime/mixers/attend_rows.h - how the queries of a step read the cache, for every mixer that keeps keys by position.
 * A struct attention holds what its layers keep between steps: the plan of the step, room for the parts of jobs that
 * several workers share, and each worker's own scratch. */
#ifndef RUNTIME_MIXERS_ATTEND_ROWS_H
#define RUNTIME_MIXERS_ATTEND_ROWS_H

#include "runtime/mixers/mixer.h"

static inline const struct attention_spec *cm_attention_spec(const struct batch *batch, int layer)
{
    return &batch->spec->layers[layer].attention;
}

struct attention;

/* For the layers of one mixer. */
calmoe_status cm_attend_open(const struct mixer_place *place, enum mixer_kind mixer, struct attention **out);
void          cm_attend_close(struct attention **attention); /* NULL inside is fine */
void          cm_attend_plan_rows(struct attention *attention, const struct row *rows, int n_rows);

struct attend_reader { /* who attends, and who reads what is attended */
    struct attention *attention;
    const float      *q;     /* (rows, n_heads * cm_query_size())                        */
    const float      *gates; /* (rows, n_heads * gate_size)                              */
    const float      *sinks; /* (n_heads) or NULL                                        */
    const float      *slopes; /* (n_heads) or NULL: of scores over distance              */
    unsigned          kinds; /* forms of what is attended, as the next product reads it  */
};

/* The queries of all rows become cm_attended(): values, and those forms. By all workers; barriers around. */
void cm_attend_rows(struct batch *batch, int layer, const struct attend_reader *reader, const struct worker *me);
/* Where there are other ranks, behind that and before a barrier: what their heads attended comes in, and each worker
 * makes the forms of its own rows, all at once. Not of latents, whose value matrices are the heads' own. */
void cm_attend_gather(struct batch *batch, int layer, const struct attend_reader *reader, const struct worker *me);
/* (rows, n_heads * value_size); of latents the rows of (rows * n_heads, value_size) have forms of their own. */
const struct activations *cm_attended(const struct attention *attention, int layer);

/* The layer's kv heads that this rank has. */
struct attend_heads {
    int first, n;
};
struct attend_heads cm_attend_own_heads(const struct attention *attention, int layer);

/* Before that, the workers of each node take the kv heads of its part of the layer's k, to compute q, k and v of them.
 * One worker deals the heads out while others wait. Then each takes some, *begin … *end counted from the first of
 * part i of k, half of what is left of its own but at_least so many; false: none is left. */
void cm_attend_deal_heads(struct attention *attention, int layer);
bool cm_attend_take_heads(struct attention *attention, int layer, int part, const struct worker *me, int at_least,
                          int *begin, int *end);
/* Whether on each node that keeps kv heads of the layer its workers share them evenly. */
bool cm_attend_is_even(const struct attention *attention, int layer);

#endif
