/* runtime/mixers/prefix.c - see prefix.h. */
#include "runtime/mixers/prefix.h"

#include "runtime/mixers/state_parts.h"

void cm_prefix_write(const struct vector_ops *ops, const struct adapter_prefix *prefix, struct sequence_state *state)
{
    const int    size = prefix->head_size;
    const size_t n = (size_t)prefix->n_heads * (size_t)size; /* of a position's keys in a layer, and of its values */
    const float *keys = prefix->numbers;
    for (int position = 0; position < prefix->n_positions; position++) /* ascending: a ring's last spans stay */
        for (int layer = 0; layer < prefix->n_layers; layer++, keys += 2 * n) {
            const struct kept_heads here = cm_kept_here(&state->kv, layer);
            for (int head = here.first; head < here.first + here.n; head++) {
                const struct kv_region region = cm_kv_region(&state->kv, layer, head, position / CM_ATTEND_SPAN);
                const float *key = keys + (size_t)(head * size);
                ops->store_kv(key, key + n, region.keys, region.values, state->kv.type, size, size,
                              position % CM_ATTEND_SPAN);
            }
        }
}
