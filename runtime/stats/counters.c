/* runtime/stats/counters.c - see counters.h. */
#include "runtime/stats/counters.h"

#include <string.h>

calmoe_status cm_counters_open(struct calmoe_context *ctx, int n_layers, int n_experts, int n_workers,
                               struct counters *out)
{
    *out = (struct counters){.n_layers = n_layers, .n_experts = n_experts, .n_workers = n_workers};
    out->expert_tokens =
        cm_alloc(ctx, (size_t)n_layers * (size_t)n_experts, sizeof *out->expert_tokens, "statistics");
    out->exits = cm_alloc(ctx, (size_t)n_layers, sizeof *out->exits, "statistics");
    out->clocks = cm_alloc(ctx, (size_t)n_workers, sizeof *out->clocks, "statistics");
    out->experts_ns = cm_alloc(ctx, (size_t)n_workers, sizeof *out->experts_ns, "statistics");
    if (!out->expert_tokens || !out->exits || !out->clocks || !out->experts_ns) {
        cm_counters_close(out);
        return CALMOE_NO_MEMORY;
    }
    cm_counters_reset(out);
    return CALMOE_OK;
}

void cm_counters_close(struct counters *counters)
{
    cm_free(counters->expert_tokens);
    cm_free(counters->exits);
    cm_free(counters->clocks);
    cm_free(counters->experts_ns);
    *counters = (struct counters){0};
}

void cm_counters_reset(struct counters *counters)
{
    const size_t n = (size_t)counters->n_layers * (size_t)counters->n_experts;
    memset(counters->expert_tokens, 0, n * sizeof *counters->expert_tokens);
    memset(counters->exits, 0, (size_t)counters->n_layers * sizeof *counters->exits);
    for (int i = 0; i < counters->n_workers; i++) {
        counters->clocks[i] = (struct phase_clock){.phase = CALMOE_N_PHASES};
        counters->experts_ns[i] = 0;
    }
    *counters = (struct counters){.is_paused = counters->is_paused,
                                  .n_layers = counters->n_layers, .n_experts = counters->n_experts,
                                  .n_workers = counters->n_workers, .expert_tokens = counters->expert_tokens,
                                  .exits = counters->exits, .clocks = counters->clocks,
                                  .experts_ns = counters->experts_ns};
}

void cm_count_routing(struct counters *counters, int layer, const struct routing *routing)
{
    uint64_t *tokens = counters->expert_tokens + (size_t)layer * (size_t)counters->n_experts;
    for (int token = 0; token < routing->n_tokens; token++) {
        const int32_t *experts = routing->experts + (size_t)token * (size_t)routing->n_slots;
        const int n_kept = cm_n_kept(routing, token);
        for (int slot = 0; slot < n_kept; slot++) tokens[experts[slot]]++;
        counters->n_experts_run += (uint64_t)n_kept;
    }
    counters->n_layers_run += (uint64_t)routing->n_tokens;
}

void cm_count_step(struct counters *counters, int n_rows, int n_workers, uint64_t step_ns)
{
    uint64_t busiest_ns = 0;
    for (int i = 0; i < counters->n_workers; i++) {
        const uint64_t all_ns = counters->clocks[i].ns[CALMOE_PHASE_EXPERTS];
        const uint64_t ns = all_ns - counters->experts_ns[i];
        if (ns > busiest_ns) busiest_ns = ns;
        counters->experts_ns[i] = all_ns;
    }
    counters->busiest_ns += busiest_ns;
    counters->step_ns += step_ns;
    counters->worker_ns += step_ns * (uint64_t)n_workers;
    counters->n_steps++;
    counters->n_rows += (uint64_t)n_rows;
}

static void move(uint64_t *from, uint64_t *to)
{
    *to += *from;
    *from = 0;
}

void cm_counters_hand_over(struct counters *from, struct counters *to)
{
    move(&from->n_weight_bytes, &to->n_weight_bytes);
    move(&from->n_expert_bytes, &to->n_expert_bytes);
    move(&from->n_head_bytes, &to->n_head_bytes);
    move(&from->step_ns, &to->step_ns);
    move(&from->worker_ns, &to->worker_ns);
    move(&from->busiest_ns, &to->busiest_ns);
    for (int i = 0; i < from->n_workers; i++) {
        struct phase_clock *clock = &from->clocks[i], *other = &to->clocks[i];
        from->experts_ns[i] = 0;
        to->experts_ns[i] += clock->ns[CALMOE_PHASE_EXPERTS]; /* was told apart into busiest_ns before */
        for (int phase = 0; phase < CALMOE_N_PHASES; phase++) {
            move(&clock->ns[phase], &other->ns[phase]);
            for (int node = 0; node < CM_MAX_NODES; node++)
                move(&clock->bytes_of[phase][node], &other->bytes_of[phase][node]);
        }
    }
}

double cm_mean_workers(const struct counters *counters)
{
    return counters->step_ns > 0 ? (double)counters->worker_ns / (double)counters->step_ns : counters->n_workers;
}

static double mean_ns(const struct counters *counters, int phase)
{
    double sum = 0.0;
    for (int i = 0; i < counters->n_workers; i++) sum += (double)counters->clocks[i].ns[phase];
    return sum / cm_mean_workers(counters);
}

double cm_phase_seconds(const struct counters *counters, int phase)
{
    return mean_ns(counters, phase) * 1e-9;
}

double cm_imbalance(const struct counters *counters)
{
    const double mean = mean_ns(counters, CALMOE_PHASE_EXPERTS);
    return mean > 0.0 ? (double)counters->busiest_ns / mean : 1.0;
}

uint64_t cm_remote_bytes_of(const struct phase_clock *clock, int own_node)
{
    uint64_t sum = 0;
    for (int phase = 0; phase <= CALMOE_N_PHASES; phase++)
        for (int node = 0; node < CM_MAX_NODES; node++)
            if (node != own_node) sum += clock->bytes_of[phase][node];
    return sum;
}

uint64_t cm_remote_bytes(const struct counters *counters, const struct team *team)
{
    uint64_t sum = 0;
    for (int i = 0; i < counters->n_workers; i++)
        sum += cm_remote_bytes_of(&counters->clocks[i], cm_team_worker(team, i)->node);
    return sum;
}
