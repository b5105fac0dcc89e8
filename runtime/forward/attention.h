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
/* Before that, the norm of a row's k (all kv heads), where the layer has one that spans all heads. */
void cm_norm_keys(struct decoder *decoder, int layer, float *k);

/* The part of it that reads the cache: d->q becomes cm_attended(): values, and the forms that the layer's o reads. By
 * all workers; barriers around. */
void cm_attend_rows(struct decoder *d, int layer, const struct worker *me);
const struct activations *cm_attended(const struct attention *attention, int layer); /* (rows, n_heads * value_size) */

/* Before that, the workers of each node take the kv heads of its part of the layer's k, to compute q, k and v of them.
 * One worker deals the heads out while others wait. Then each takes some, *begin … *end counted from the first of
 * part i of k, half of what is left of its own but at_least so many; false: none is left. */
void cm_attend_deal_heads(struct attention *attention, int layer);
bool cm_attend_take_heads(struct attention *attention, int layer, int part, const struct worker *me, int at_least,
                          int *begin, int *end);
/* Whether on each node that keeps kv heads of the layer its workers share them evenly. */
bool cm_attend_is_even(const struct attention *attention, int layer);

#endif
