/* experts/slot_cache.h - which experts stay in a bounded number of slots of memory, and which one goes when another is
 * needed. Pure data: whoever reads experts from disk keeps its book here (expert_stream.h), and whoever predicts what
 * that will do for a recorded routing runs the same book (runtime/api/trace.c).
 *
 * An expert is worth   prior + recent,   both shares of tokens: prior is what a profile says of it, or 0; recent is a
 * mean over the last steps in which a step back counts 1 / 2^(1 / SLOT_HALF_LIFE) as much as the one behind it. The
 * slot whose expert is worth least goes; of equals, the one that was used longest ago. */
#ifndef EXPERTS_SLOT_CACHE_H
#define EXPERTS_SLOT_CACHE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

enum { SLOT_HALF_LIFE = 32 }; /* steps */
enum { NO_SLOT = -1, NO_KEY = -1 };

/* Why a slot must stay as it is. */
enum slot_hold {
    SLOT_NEEDED  = 1, /* by the layer at work                             */
    SLOT_AHEAD   = 2, /* named for the next layer: goes only for a need   */
    SLOT_READING = 4  /* its bytes are on their way                       */
};

struct slot_cache {
    int       n_keys;   /* experts of all layers: layer * n_experts + expert */
    int       n_slots;
    int32_t  *slot_of;  /* (n_keys) NO_SLOT: not in memory    */
    int32_t  *key_in;   /* (n_slots) NO_KEY: empty            */
    uint8_t  *holds;    /* (n_slots) SLOT_… bits              */
    float    *prior;    /* (n_keys) 0 … 1                     */
    float    *recent;   /* (n_keys) 0 … 1                     */
    uint64_t *last_use; /* (n_keys) counted in uses; 0: never */
    uint64_t  n_uses;
};

/* Empty slots, priors of 0. NO_MEMORY. */
calmoe_status cm_slot_cache_open(struct calmoe_context *ctx, int n_keys, int n_slots, struct slot_cache *out);
void          cm_slot_cache_close(struct slot_cache *cache); /* zeroed is fine */

/* uses (n_layers, n_experts): tokens that took each, as profiles have it; prior = its share of the layer's tokens,
 * which take n_used experts each. */
void cm_slot_cache_set_priors(struct slot_cache *cache, const uint64_t *uses, int n_layers, int n_experts, int n_used);

/* A step begins: what was recent becomes less so. */
void cm_slot_cache_step(struct slot_cache *cache);
/* The step uses the expert. */
void cm_slot_cache_use(struct slot_cache *cache, int key);
/* The slot that may best take another expert: an empty one, or that of least worth of those without a hold; where there
 * is none and also_ahead is set, of those that are held as SLOT_AHEAD only. NO_SLOT: all are held. */
int  cm_slot_cache_victim(const struct slot_cache *cache, bool also_ahead);
/* The slot gets the expert; what was in it is out. NO_KEY: it becomes empty. Holds stay. */
void cm_slot_cache_put(struct slot_cache *cache, int slot, int key);
/* No slot has these holds any more. */
void cm_slot_cache_release(struct slot_cache *cache, unsigned holds);

/* keys (n_slots): which experts to begin with, those worth most by their priors; of equals, the same number of each
 * layer. *n_keys: n_slots, or as many as exist: is_there (n_keys of the cache), NULL: all. NO_MEMORY. */
calmoe_status cm_slot_cache_first(struct calmoe_context *ctx, const struct slot_cache *cache, int n_layers,
                                  const bool *is_there, int32_t *keys, int *n_keys);

#endif
