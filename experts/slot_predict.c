/* experts/slot_predict.c - see slot_predict.h. */
#include "experts/slot_predict.h"

#include <string.h>

#include "base/memory.h"

/* Notes which experts the step's tokens take in a layer. */
static void note_named(const struct place_routings *routings, int first, int end, int layer, bool *is_named)
{
    for (int token = first; token < end; token++) {
        const size_t row = (size_t)token * (size_t)routings->n_layers + (size_t)layer;
        for (int slot = 0; slot < routings->n_slots; slot++) {
            const int32_t expert = routings->experts[row * (size_t)routings->n_slots + (size_t)slot];
            if (expert >= 0) is_named[expert] = true;
        }
    }
}

/* Experts that are always there need no slot. */
static void count_kept(bool *is_named, const bool *is_streamed, int n_experts, struct slot_prediction *out)
{
    for (int expert = 0; expert < n_experts; expert++) {
        if (!is_named[expert] || is_streamed[expert]) continue;
        is_named[expert] = false;
        out->n_wanted++;
        out->n_there++;
    }
}

/* One layer of a step: what is there is held first, then the others take slots. */
static void run_layer(struct slot_cache *cache, const bool *is_named, int first_key, int n_experts, uint64_t n_bytes,
                      struct slot_prediction *out)
{
    cm_slot_cache_release(cache, SLOT_NEEDED);
    for (int expert = 0; expert < n_experts; expert++) {
        const int slot = cache->slot_of[first_key + expert];
        if (is_named[expert] && slot != NO_SLOT) cache->holds[slot] = SLOT_NEEDED;
    }
    for (int expert = 0; expert < n_experts; expert++) {
        const int key = first_key + expert;
        if (!is_named[expert]) continue;
        cm_slot_cache_use(cache, key);
        out->n_wanted++;
        if (cache->slot_of[key] != NO_SLOT) {
            out->n_there++;
            continue;
        }
        const int slot = cm_slot_cache_victim(cache, true);
        cache->holds[slot] = SLOT_NEEDED;
        cm_slot_cache_put(cache, slot, key);
        out->n_bytes += n_bytes;
    }
}

calmoe_status cm_slot_predict(struct calmoe_context *ctx, struct slot_cache *cache,
                              const struct place_routings *routings, int n_experts, int batch,
                              const uint64_t *expert_bytes, const bool *is_streamed, struct slot_prediction *out)
{
    bool *is_named = cm_alloc(ctx, (size_t)n_experts, sizeof *is_named, "a prediction");
    *out = (struct slot_prediction){0};
    if (!is_named) return CALMOE_NO_MEMORY;
    for (int first = 0; first < routings->n_tokens; first += batch) {
        const int left = routings->n_tokens - first, end = first + (left < batch ? left : batch);
        cm_slot_cache_step(cache);
        for (int layer = 0; layer < routings->n_layers; layer++) {
            memset(is_named, 0, (size_t)n_experts * sizeof *is_named);
            note_named(routings, first, end, layer, is_named);
            if (is_streamed) count_kept(is_named, is_streamed + (size_t)layer * (size_t)n_experts, n_experts, out);
            run_layer(cache, is_named, layer * n_experts, n_experts, expert_bytes[layer], out);
        }
    }
    cm_free(is_named);
    return CALMOE_OK;
}
