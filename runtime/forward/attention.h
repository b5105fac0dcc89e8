/* runtime/forward/attention.h - the attention half of a block, and what it keeps between steps: the plan of the step,
 * room for the parts of jobs that several workers share, and each worker's own scratch. */
#ifndef RUNTIME_FORWARD_ATTENTION_H
#define RUNTIME_FORWARD_ATTENTION_H

#include "base/node_memory.h"
#include "base/team.h"
#include "experts/placement.h"
#include "runtime/families/model_spec.h"

struct attention;
struct decoder;

calmoe_status cm_attention_open(struct calmoe_context *ctx, const struct model_spec *spec,
                                const struct topology *topology, const struct team *team, const struct plan *plan,
                                int max_rows, struct attention **out);
void          cm_attention_close(struct attention **attention); /* NULL inside is fine */

/* After the decoder's rows were set or changed, by one thread, before any worker goes on. */
void cm_attention_plan(struct decoder *decoder);

/* One layer, by all workers: norm; q, k, v; rotate and remember; attend; project; add. */
void cm_attention(struct decoder *decoder, int layer, const struct worker *me);

/* The part of it that keeps: k (head_size) and v (value_size) of row r for one kv head are normed where the norm is one
 * head long, clamped, rotated to the row's position, and stored. */
void cm_remember_kv(struct decoder *decoder, int layer, int r, int kv_head, float *k, float *v);

/* The part of it that reads the cache: d->q -> d->attended, values and the forms that o reads. By all workers;
 * barriers around. */
void cm_attend_rows(struct decoder *decoder, int layer, const struct worker *me);
/* Before that, the kv heads of part i of k, counted from its first, as the workers of its node come for them. Dealt by
 * one worker, others waiting; taken *begin … *end, half of what is left of one's own but at_least so many. */
void cm_attend_deal_heads(struct attention *attention);
bool cm_attend_take_heads(struct attention *attention, int part, const struct worker *me, int at_least, int *begin,
                          int *end);
/* Whether on each node that keeps kv heads its workers share them evenly. */
bool cm_attend_is_even(const struct attention *attention);

#endif
