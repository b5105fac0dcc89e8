/* runtime/mixers/attention_keep.c - what attention keeps of a position, its keys and values; and how a head of keys or
 * of queries is made ready. */
#include <math.h>
#include <string.h>

#include "kernels/elementary.h"
#include "runtime/mixers/attention.h"
#include "runtime/mixers/kv_cache.h"
#include "runtime/mixers/sequence_state.h"

static void clamp(float *x, int n, float limit)
{
    for (int i = 0; limit > 0.0f && i < n; i++) x[i] = x[i] > limit ? limit : x[i] < -limit ? -limit : x[i];
}

void cm_prepare_head(const struct batch *b, const struct attention_spec *spec, const float *norm, int r, float *head)
{
    const struct rope_kind *rope = &b->rope.kinds[spec->rope];
    const size_t at = (size_t)r * (size_t)b->rope.n_pairs + (size_t)rope->first_pair;
    if (norm && !spec->norms_follow_rotation) b->ops->rms_norm(head, norm, b->spec->norm_eps, spec->head_size, head);
    clamp(head, spec->head_size, spec->clamp);
    if (rope->n_pairs > 0) b->ops->rope(head, b->cosines + at, b->sines + at, 2 * rope->n_pairs, rope->pairing);
    if (spec->has_plain_norms || (norm && spec->norms_follow_rotation))
        b->ops->rms_norm(head, norm, b->spec->norm_eps, spec->head_size, head);
}

void cm_warm_query(const struct attention_spec *spec, int position, int n, float *q)
{
    if (spec->temperature == 0.0f) return;
    const double steps = floor(((double)position + spec->temperature_offset) / spec->temperature_length);
    const float  factor = (float)(1.0 + (double)spec->temperature * cm_ln(1.0 + steps));
    for (int i = 0; i < n; i++) q[i] *= factor;
}

void cm_remember_kv(struct batch *b, int index, int r, int kv_head, float *k, float *v)
{
    const struct attention_spec *spec = cm_attention_spec(b, index);
    const struct attention_weights *layer = cm_attention_weights(b, index);
    const struct kv_cache *cache = &b->rows[r].asked.sequence->state->kv;
    const int position = cm_row_position(&b->rows[r]);
    const struct kv_region region = cm_kv_region(cache, index, kv_head, position / CM_ATTEND_SPAN);
    if (spec->keys_are_values) memcpy(v, k, (size_t)spec->value_size * sizeof *v);
    if (spec->has_v_norm) b->ops->rms_norm(v, NULL, b->spec->norm_eps, spec->value_size, v);
    cm_prepare_head(b, spec, spec->k_norm == NORM_EACH_HEAD ? layer->k_norm : NULL, r, k);
    clamp(v, spec->value_size, spec->clamp);
    b->ops->store_kv(k, v, region.keys, region.values, cache->type, spec->head_size, spec->value_size,
                     position % CM_ATTEND_SPAN);
}

void cm_norm_keys(struct batch *b, int index, float *k)
{
    const struct attention_spec *spec = cm_attention_spec(b, index);
    const int n = spec->n_kv_heads * spec->head_size;
    if (spec->k_norm == NORM_ALL_HEADS)
        b->ops->rms_norm(k, cm_attention_weights(b, index)->k_norm, b->spec->norm_eps, n, k);
}
