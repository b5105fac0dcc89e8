/* runtime/stats/counters.h - what the steps of an engine did. Each worker has a clock of its own; the rest is
 * written between phases by one worker at a time. So no locks; read between steps. */
#ifndef RUNTIME_STATS_COUNTERS_H
#define RUNTIME_STATS_COUNTERS_H

#include <stdbool.h>

#include "calmoe/stats.h"
#include "base/memory.h"
#include "base/team.h"
#include "router/routing.h"

/* Divides one worker's time among the phases of a step, without that in which it waited. */
struct phase_clock { /* on cache lines of its own */
    _Alignas(CM_ALIGNMENT) uint64_t ns[CALMOE_N_PHASES + 1]; /* the last: in no phase, between steps */
    uint64_t since_ns;  /* when the present phase began                     */
    uint64_t waited_ns; /* what the worker had waited till then, in all     */
    int      phase;
    uint64_t bytes_of[CALMOE_N_PHASES + 1][CM_MAX_NODES]; /* no time, but the worker's own too: packed bytes of weights
                                                             that it read in a phase from each node's memory */
};

/* Where the worker's present phase counts the bytes that it reads, by node. */
static inline uint64_t *cm_phase_bytes(struct phase_clock *clock) { return clock->bytes_of[clock->phase]; }

/* From now on the worker's time belongs to phase; CALMOE_N_PHASES = to none. */
static inline void cm_phase_clock_enter(struct phase_clock *clock, int phase, uint64_t now_ns, uint64_t waited_ns)
{
    clock->ns[clock->phase] += now_ns - clock->since_ns - (waited_ns - clock->waited_ns);
    clock->since_ns = now_ns;
    clock->waited_ns = waited_ns;
    clock->phase = phase;
}

struct counters {
    bool      is_paused; /* no clock runs */
    uint64_t  n_steps, n_rows, n_layers_run, n_experts_run;
    uint64_t  n_experts_touched;
    uint64_t  n_weight_bytes; /* all, of which: */
    uint64_t  n_expert_bytes, n_head_bytes;
    uint64_t  step_ns;
    uint64_t  worker_ns;     /* sum over steps: their time, times the workers that took part */
    uint64_t  busiest_ns;    /* sum over steps: the time in experts of the worker that had most of it */
    int       n_layers, n_experts, n_workers;
    uint64_t *expert_tokens; /* (n_layers, n_experts)                                     */
    uint64_t *exits;         /* (n_layers) tokens that left after so many layers          */
    struct phase_clock *clocks;     /* (n_workers)                                               */
    uint64_t           *experts_ns; /* (n_workers) clocks[].ns of the experts when the step began */
};

calmoe_status cm_counters_open(struct calmoe_context *ctx, int n_layers, int n_experts, int n_workers,
                               struct counters *out);
void          cm_counters_close(struct counters *counters);
void          cm_counters_reset(struct counters *counters);
/* What a step read of the output matrix. */
static inline void cm_count_head(struct counters *counters, size_t n_bytes)
{
    counters->n_weight_bytes += n_bytes;
    counters->n_head_bytes += n_bytes;
}
/* One layer's routing of one step. */
void          cm_count_routing(struct counters *counters, int layer, const struct routing *routing);
/* After a step, all its clocks being in no phase: it took step_ns for n_rows tokens. */
void          cm_count_step(struct counters *counters, int n_rows, int n_workers, uint64_t step_ns);
/* What steps read, and their time, is counted for another decoder's steps, whose part they are; from has none of it
 * then. Steps, rows and what was routed stay its own. */
void          cm_counters_hand_over(struct counters *from, struct counters *to);
/* Workers that took part in a step, mean over time. */
double        cm_mean_workers(const struct counters *counters);

/* Time in a phase, mean over workers; and the imbalance of calmoe_stats, 1 before any step. */
double cm_phase_seconds(const struct counters *counters, int phase);
double cm_imbalance(const struct counters *counters);
/* Bytes that a worker of own_node read from other nodes' memory; and all workers. */
uint64_t cm_remote_bytes_of(const struct phase_clock *clock, int own_node);
uint64_t cm_remote_bytes(const struct counters *counters, const struct team *team);

#endif
