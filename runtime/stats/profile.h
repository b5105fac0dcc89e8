/* runtime/stats/profile.h - counts how the experts are used while a model runs. One worker calls it, for each row of
 * each layer, between the phases of a step; it allocates nothing there and cannot fail. So no locks; read between
 * steps.
 *
 * Memory, for L layers of E experts: pairs are counted in full, 4 L E (E - 1) bytes, where E is at most 256 (12.5 MB
 * for 48 layers of 256). Beyond, 128 KiB a layer: 1024 sets of 8 counters; a pair that finds its set full takes one
 * off the set's smallest and enters once that is 0, so that counts of such layers are lower bounds. Each session
 * has 4 L E bytes for the last uses. */
#ifndef RUNTIME_STATS_PROFILE_H
#define RUNTIME_STATS_PROFILE_H

#include <stdbool.h>

#include "runtime/documents/profile_file.h"

enum { PROFILER_FULL_PAIRS = 256, PROFILER_SETS = 1024, PROFILER_SET = 8, PROFILER_WAITING = 128 };

struct profiler_row { /* a token in a layer, yet to be counted; its experts follow, and their weights */
    int32_t *last_used;
    int32_t  position, n;
    int32_t  experts[];
};

struct profiler {
    struct calmoe_context *ctx;
    struct profile         done;      /* domains that were counted before, and the present one up to the last fold */
    struct profile         now;       /* one domain, without its pairs                                             */
    uint64_t              *all_pairs; /* (n_layers, n_experts (n_experts - 1) / 2); NULL: more than 256 experts    */
    struct profile_pair   *sets;      /* (n_layers, PROFILER_SETS, PROFILER_SET); NULL: all are counted            */
    struct profile_pair   *scratch;   /* a layer's pairs, while they are folded                                    */
    /* Tokens wait, until a layer has so many that its counters are worth fetching into the cache. */
    int                   *n_waiting; /* (n_layers)                                                                */
    size_t                 row_bytes;
    uint8_t               *rows;      /* (n_layers, PROFILER_WAITING) of row_bytes                                 */
};

calmoe_status cm_profiler_open(struct calmoe_context *ctx, const char *fingerprint, int n_layers, int n_experts,
                               int n_used, struct profiler **out);
void          cm_profiler_close(struct profiler **profiler);

/* What follows is of this domain; it may have been counted before. NO_MEMORY: then all is as it was. */
calmoe_status cm_profiler_begin(struct profiler *profiler, const char *domain);
/* Moves what was counted of the present domain to `done`. */
calmoe_status cm_profiler_fold(struct profiler *profiler);

/* One token's n <= n_used different experts in one layer. last_used (n_layers, n_experts): of the token's sequence, the
 * position of an expert's last use + 1; 0 = never. It is written now or later, until cm_profiler_flush(). */
void cm_profiler_count(struct profiler *profiler, int layer, int position, const int32_t *experts,
                       const float *weights, int n, int32_t *last_used);
/* Counts all that waits; before a sequence ends or goes back. */
void cm_profiler_flush(struct profiler *profiler);
/* A token left after the layer. */
void cm_profiler_exit(struct profiler *profiler, int layer);

#endif
