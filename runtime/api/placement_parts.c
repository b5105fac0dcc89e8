/* runtime/api/placement_parts.c - see placement_parts.h. */
#include "runtime/api/placement_parts.h"

calmoe_status cm_placement_check_experts(const calmoe_placement *p, const int32_t *experts, int n_tokens,
                                         int n_slots, const char *call)
{
    if (!experts || n_tokens < 1 || n_slots < 1)
        return cm_fail(p->ctx, CALMOE_INVALID_ARGUMENT, "%s: experts of at least one token are needed", call);
    for (size_t row = 0; row < (size_t)n_tokens * (size_t)p->shape.n_layers; row++)
        for (int slot = 0; slot < n_slots; slot++) {
            const int32_t *slots = experts + row * (size_t)n_slots;
            bool           is_ok = slots[slot] >= -1 && slots[slot] < p->shape.n_experts;
            for (int before = 0; is_ok && before < slot; before++)
                is_ok = slots[slot] == -1 || slots[before] != slots[slot];
            if (is_ok) continue;
            return cm_fail(p->ctx, CALMOE_INVALID_ARGUMENT,
                           "token %zu takes expert %d in layer %zu; each of 0 to %d at most once is wanted",
                           row / (size_t)p->shape.n_layers, (int)slots[slot], row % (size_t)p->shape.n_layers,
                           p->shape.n_experts - 1);
        }
    return CALMOE_OK;
}

struct place_routings cm_placement_routings(const calmoe_placement *p, const int32_t *experts, int n_tokens,
                                             int n_slots)
{
    return (struct place_routings){.n_tokens = n_tokens, .n_layers = p->shape.n_layers, .n_slots = n_slots,
                                   .experts = experts};
}
