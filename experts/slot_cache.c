/* experts/slot_cache.c - see slot_cache.h. */
#include "experts/slot_cache.h"

#include <stdlib.h>

#include "base/memory.h"

/* 2^(-1 / SLOT_HALF_LIFE) */
static const float KEPT = 0.97857206f;

calmoe_status cm_slot_cache_open(struct calmoe_context *ctx, int n_keys, int n_slots, struct slot_cache *out)
{
    const size_t keys = (size_t)n_keys, slots = (size_t)n_slots;
    *out = (struct slot_cache){.n_keys = n_keys, .n_slots = n_slots};
    out->slot_of = cm_alloc(ctx, keys, sizeof *out->slot_of, "slots of experts");
    out->key_in = cm_alloc(ctx, slots, sizeof *out->key_in, "slots of experts");
    out->holds = cm_alloc(ctx, slots, sizeof *out->holds, "slots of experts");
    out->prior = cm_alloc(ctx, keys, sizeof *out->prior, "slots of experts");
    out->recent = cm_alloc(ctx, keys, sizeof *out->recent, "slots of experts");
    out->last_use = cm_alloc(ctx, keys, sizeof *out->last_use, "slots of experts");
    if (!out->slot_of || !out->key_in || !out->holds || !out->prior || !out->recent || !out->last_use) {
        cm_slot_cache_close(out);
        return CALMOE_NO_MEMORY;
    }
    for (int key = 0; key < n_keys; key++) out->slot_of[key] = NO_SLOT;
    for (int slot = 0; slot < n_slots; slot++) out->key_in[slot] = NO_KEY;
    return CALMOE_OK;
}

void cm_slot_cache_close(struct slot_cache *cache)
{
    cm_free(cache->slot_of);
    cm_free(cache->key_in);
    cm_free(cache->holds);
    cm_free(cache->prior);
    cm_free(cache->recent);
    cm_free(cache->last_use);
    *cache = (struct slot_cache){0};
}

void cm_slot_cache_set_priors(struct slot_cache *cache, const uint64_t *uses, int n_layers, int n_experts, int n_used)
{
    for (int layer = 0; layer < n_layers; layer++) {
        const uint64_t *of_layer = uses + (size_t)layer * (size_t)n_experts;
        double          all = 0;
        for (int expert = 0; expert < n_experts; expert++) all += (double)of_layer[expert];
        for (int expert = 0; expert < n_experts && all > 0; expert++)
            cache->prior[layer * n_experts + expert] = (float)((double)of_layer[expert] * n_used / all);
    }
}

void cm_slot_cache_step(struct slot_cache *cache)
{
    for (int key = 0; key < cache->n_keys; key++) cache->recent[key] *= KEPT;
}

void cm_slot_cache_use(struct slot_cache *cache, int key)
{
    cache->recent[key] += 1 - KEPT;
    cache->last_use[key] = ++cache->n_uses;
}

/* Is the expert in slot a worth less than that in slot b? */
static bool is_worth_less(const struct slot_cache *cache, int a, int b)
{
    const int32_t left = cache->key_in[a], right = cache->key_in[b];
    if (left == NO_KEY || right == NO_KEY) return left == NO_KEY && right != NO_KEY;
    const float worth = cache->prior[left] + cache->recent[left], other = cache->prior[right] + cache->recent[right];
    return worth < other || (worth == other && cache->last_use[left] < cache->last_use[right]);
}

int cm_slot_cache_victim(const struct slot_cache *cache, bool also_ahead)
{
    int best = NO_SLOT, best_ahead = NO_SLOT;
    for (int slot = 0; slot < cache->n_slots; slot++) {
        int *of_kind = cache->holds[slot] == 0 ? &best : cache->holds[slot] == SLOT_AHEAD ? &best_ahead : NULL;
        if (of_kind && (*of_kind == NO_SLOT || is_worth_less(cache, slot, *of_kind))) *of_kind = slot;
    }
    return best != NO_SLOT || !also_ahead ? best : best_ahead;
}

void cm_slot_cache_put(struct slot_cache *cache, int slot, int key)
{
    if (cache->key_in[slot] != NO_KEY) cache->slot_of[cache->key_in[slot]] = NO_SLOT;
    cache->key_in[slot] = key;
    if (key != NO_KEY) cache->slot_of[key] = slot;
}

void cm_slot_cache_release(struct slot_cache *cache, unsigned holds)
{
    for (int slot = 0; slot < cache->n_slots; slot++) cache->holds[slot] &= (uint8_t)~holds;
}

struct first { /* an expert, as cm_slot_cache_first() orders them */
    float prior;
    int   expert, key;
};

static int compare_first(const void *a, const void *b)
{
    const struct first *left = a, *right = b;
    if (left->prior != right->prior) return left->prior < right->prior ? 1 : -1;
    if (left->expert != right->expert) return left->expert < right->expert ? -1 : 1;
    return (left->key > right->key) - (left->key < right->key);
}

calmoe_status cm_slot_cache_first(struct calmoe_context *ctx, const struct slot_cache *cache, int n_layers,
                                  const bool *is_there, int32_t *keys, int *n_keys)
{
    const int     n_experts = n_layers > 0 ? cache->n_keys / n_layers : 0;
    struct first *all = cm_alloc(ctx, (size_t)cache->n_keys, sizeof *all, "slots of experts");
    int           n = 0;
    if (!all) return CALMOE_NO_MEMORY;
    for (int key = 0; key < cache->n_keys; key++)
        if (!is_there || is_there[key]) all[n++] = (struct first){cache->prior[key], key % n_experts, key};
    qsort(all, (size_t)n, sizeof *all, compare_first);
    *n_keys = n < cache->n_slots ? n : cache->n_slots;
    for (int i = 0; i < *n_keys; i++) keys[i] = all[i].key;
    cm_free(all);
    return CALMOE_OK;
}
