/* runtime/mixers/prefix.c - see prefix.h. */
#include "runtime/mixers/prefix.h"

void cm_prefix_write(const struct vector_ops *ops, const struct adapter_prefix *prefix, struct sequence_state *state)
{
    const int    size = prefix->head_size;
    const float *at = prefix->numbers;
    for (int position = 0; position < prefix->n_positions; position++) /* ascending: a ring's last spans stay */
        for (int layer = 0; layer < prefix->n_layers; layer++) {
            const float *values = at + (size_t)prefix->n_heads * (size_t)size;
            for (int head = 0; head < prefix->n_heads; head++) {
                const struct kv_region region = cm_kv_region(&state->kv, layer, head, position / CM_ATTEND_SPAN);
                ops->store_kv(at, values, region.keys, region.values, state->kv.type, size, size,
                              position % CM_ATTEND_SPAN);
                at += size;
                values += size;
            }
            at = values;
        }
}
