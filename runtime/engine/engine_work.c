/* engine_work.c - see engine_work.h. */
#include "runtime/engine/engine_work.h"

#include <math.h>

struct profile_node cm_engine_node_work(const calmoe_engine *engine, int node)
{
    const struct counters *counters = cm_decoder_counters(engine->decoder);
    struct profile_node    work = {.waited = 0};
    int                    n_threads = 0;
    for (int i = 0; i < cm_team_n_workers(engine->team); i++) {
        const struct phase_clock *clock = &counters->clocks[i];
        for (int phase = 0; phase < CALMOE_N_PHASES; phase++) work.bytes[phase] += clock->bytes_of[phase][node];
        if (cm_team_worker(engine->team, i)->node != node) continue;
        n_threads++;
        for (int phase = 0; phase < CALMOE_N_PHASES; phase++) work.seconds[phase] += (double)clock->ns[phase] * 1e-9;
        work.waited += (double)(cm_team_waited_ns(engine->team, i) - engine->waited_at_reset[i]) * 1e-9;
        work.remote_bytes += cm_remote_bytes_of(clock, node);
    }
    for (int phase = 0; phase < CALMOE_N_PHASES && n_threads > 0; phase++) work.seconds[phase] /= n_threads;
    if (n_threads > 0) work.waited /= n_threads;
    return work;
}

/* All that the engine's counters tell since they were reset. */
static struct profile_work work_of(const calmoe_engine *engine)
{
    const struct counters *counters = cm_decoder_counters(engine->decoder);
    const int              n_workers = cm_team_n_workers(engine->team);
    struct profile_work    work = {.n_steps = counters->n_steps, .expert_bytes = counters->n_expert_bytes,
                                   .head_bytes = counters->n_head_bytes, .n_nodes = engine->topology.n_nodes};
    work.dense_bytes = counters->n_weight_bytes - work.expert_bytes - work.head_bytes;
    for (int i = 0; i < CALMOE_N_PHASES; i++) work.seconds[i] = cm_phase_seconds(counters, i);
    for (int i = 0; i < n_workers; i++)
        work.waited += (double)(cm_team_waited_ns(engine->team, i) - engine->waited_at_reset[i]) * 1e-9 /
                       cm_mean_workers(counters);
    for (int i = 0; i < work.n_nodes; i++) work.nodes[i] = cm_engine_node_work(engine, i);
    return work;
}

static struct profile_node node_since(const struct profile_node *before, const struct profile_node *now)
{
    struct profile_node node = {.waited = fmax(now->waited - before->waited, 0),
                                .remote_bytes = now->remote_bytes - before->remote_bytes};
    for (int i = 0; i < CALMOE_N_PHASES; i++) {
        node.seconds[i] = fmax(now->seconds[i] - before->seconds[i], 0);
        node.bytes[i] = now->bytes[i] - before->bytes[i];
    }
    return node;
}

/* now - before, no time below 0: a mean of clocks may round. */
static struct profile_work work_since(const struct profile_work *before, const struct profile_work *now)
{
    struct profile_work work = {.n_steps = now->n_steps - before->n_steps,
                                .waited = fmax(now->waited - before->waited, 0),
                                .expert_bytes = now->expert_bytes - before->expert_bytes,
                                .head_bytes = now->head_bytes - before->head_bytes,
                                .dense_bytes = now->dense_bytes - before->dense_bytes, .n_nodes = now->n_nodes};
    for (int i = 0; i < CALMOE_N_PHASES; i++) work.seconds[i] = fmax(now->seconds[i] - before->seconds[i], 0);
    for (int i = 0; i < work.n_nodes; i++) work.nodes[i] = node_since(&before->nodes[i], &now->nodes[i]);
    return work;
}

void cm_engine_profile_work(calmoe_engine *engine)
{
    if (!engine->profiler) return;
    const struct profile_work all = work_of(engine), more = work_since(&engine->profiled, &all);
    cm_profile_add_work(&engine->profiler->now.domains->work, &more);
    engine->profiled = all;
}
