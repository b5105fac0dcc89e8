/* runtime/mixers/mla_keep.c - what latent attention keeps of a position. */
#include "runtime/mixers/kv_cache.h"
#include "runtime/mixers/mla_parts.h"
#include "runtime/mixers/sequence_state.h"

void cm_mla_rotate(const struct batch *b, int index, int r, float *x)
{
    const struct rope_kind *rope = &b->rope.kinds[cm_attention_spec(b, index)->rope];
    const size_t at = (size_t)r * (size_t)b->rope.n_pairs + (size_t)rope->first_pair;
    if (rope->n_pairs > 0) b->ops->rope(x, b->cosines + at, b->sines + at, 2 * rope->n_pairs, rope->pairing);
}

void cm_remember_latent(struct batch *b, int index, int r, float *latent)
{
    const struct attention_spec *spec = cm_attention_spec(b, index);
    const struct kv_cache *cache = &b->rows[r].asked.sequence->state->kv;
    const int position = cm_row_position(&b->rows[r]);
    const struct kv_region region = cm_kv_region(cache, index, 0, position / CM_ATTEND_SPAN);
    b->ops->rms_norm(latent, cm_mla_weights(b, index)->latent_norm, b->spec->norm_eps, spec->value_size, latent);
    cm_mla_rotate(b, index, r, latent + spec->value_size);
    b->ops->store_kv(NULL, latent, NULL, region.values, cache->type, 0, spec->head_size, position % CM_ATTEND_SPAN);
}
