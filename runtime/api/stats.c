/* runtime/api/stats.c - calmoe_stats: the engine's counters as the public API shows them. */
#include <string.h>

#include "base/options.h"
#include "runtime/api/hand_out.h"
#include "runtime/engine/engine_work.h"
#include "runtime/engine/handles.h"
#include "runtime/stats/exposition.h"

const char *calmoe_phase_name(int phase) { return phase >= 0 && phase < CALMOE_N_PHASES ? cm_phase_name(phase) : ""; }

static double wait_share(const calmoe_engine *engine)
{
    const int n = cm_team_n_workers(engine->team);
    double waited = 0.0;
    for (int i = 0; i < n; i++) waited += (double)(cm_team_waited_ns(engine->team, i) - engine->waited_at_reset[i]);
    const double run = (double)cm_decoder_counters(engine->decoder)->worker_ns;
    return run > 0.0 ? waited / run : 0.0;
}

calmoe_status calmoe_engine_get_stats(const calmoe_engine *engine, calmoe_stats *out)
{
    if (!engine || !out || out->size < sizeof out->size)
        return cm_fail(engine ? engine->ctx : NULL, CALMOE_INVALID_ARGUMENT,
                       "calmoe_engine_get_stats: engine and stats with its size set are needed");
    const struct counters *counters = cm_decoder_counters(engine->decoder);
    calmoe_stats stats = {
        .n_steps = counters->n_steps,
        .n_rows = counters->n_rows,
        .n_layers_run = counters->n_layers_run,
        .n_experts_run = counters->n_experts_run,
        .step_seconds = (double)counters->step_ns * 1e-9,
        .wait_share = wait_share(engine),
        .n_packed_bytes = engine->weights->packed.n_bytes,
        .n_threads = cm_team_n_wanted(engine->team),
        .n_nodes = engine->topology.n_nodes,
        .isa = cm_isa_name(engine->machine.isa),
        .imbalance = cm_imbalance(counters),
        .n_weight_bytes = counters->n_weight_bytes,
        .n_experts_touched = counters->n_experts_touched,
        .n_remote_bytes = cm_remote_bytes(counters, engine->team),
        .mean_threads = cm_mean_workers(counters),
        .n_thread_changes = engine->crew.n_changes,
    };
    for (int layer = 0; layer < counters->n_layers; layer++) stats.n_exits += counters->exits[layer];
    const struct packed_weights *packed = &engine->weights->packed;
    for (int node = 0; node < packed->n_blocks && node < CALMOE_MAX_NODES; node++)
        stats.node_bytes[node] = packed->blocks[node].n_bytes;
    if (engine->weights->stream) {
        const struct stream_size size = cm_expert_stream_size(engine->weights->stream);
        stats.n_packed_bytes += size.n_bytes;
        for (int node = 0; node < CALMOE_MAX_NODES; node++) stats.node_bytes[node] += size.bytes_on[node];
    }
    cm_options_give(out, &stats, sizeof stats);
    return CALMOE_OK;
}

calmoe_status calmoe_engine_get_disk_stats(const calmoe_engine *engine, calmoe_disk_stats *out)
{
    if (!engine || !out || out->size < sizeof out->size)
        return cm_fail(engine ? engine->ctx : NULL, CALMOE_INVALID_ARGUMENT,
                       "calmoe_engine_get_disk_stats: engine and stats with its size set are needed");
    calmoe_disk_stats           stats = {0};
    const struct expert_stream *stream = engine->weights->stream;
    if (stream) {
        const struct stream_size   size = cm_expert_stream_size(stream);
        const struct stream_counts counts = cm_expert_stream_counts(stream);
        stats = (calmoe_disk_stats){
            .n_experts = size.n_experts + size.n_kept, .n_slots = size.n_slots, .n_kept = size.n_kept,
            .uses_io_uring = size.ring_error == 0, .n_slot_bytes = size.n_bytes,
            .is_direct = size.is_direct, .n_wanted = counts.n_wanted, .n_there = counts.n_there,
            .n_ahead = counts.n_ahead, .n_asked = counts.n_asked, .n_named = counts.n_named,
            .n_reads = counts.n_reads, .n_bytes = counts.n_bytes,
            .waited_seconds = (double)counts.waited_ns * 1e-9 / cm_team_n_wanted(engine->team)};
    }
    cm_options_give(out, &stats, sizeof stats);
    return CALMOE_OK;
}

calmoe_status calmoe_engine_get_phases(const calmoe_engine *engine, double *seconds, int n)
{
    if (!engine || n < 0)
        return cm_fail(engine ? engine->ctx : NULL, CALMOE_INVALID_ARGUMENT,
                       "calmoe_engine_get_phases: an engine and n from 0 on are needed");
    const struct counters *counters = cm_decoder_counters(engine->decoder);
    double all[CALMOE_N_PHASES];
    for (int phase = 0; phase < CALMOE_N_PHASES; phase++) all[phase] = cm_phase_seconds(counters, phase);
    cm_hand_out_phases(all, NULL, seconds, NULL, n);
    return CALMOE_OK;
}

calmoe_status calmoe_engine_get_node_stats(const calmoe_engine *engine, int i, calmoe_node_stats *out)
{
    if (!engine || !out || out->size < sizeof out->size || i < 0)
        return cm_fail(engine ? engine->ctx : NULL, CALMOE_INVALID_ARGUMENT,
                       "calmoe_engine_get_node_stats: engine, a node and stats with their size set are needed");
    if (i >= engine->topology.n_nodes) return CALMOE_END;
    const struct profile_node work = cm_engine_node_work(engine, i);
    cm_hand_out_node(&work, out);
    return CALMOE_OK;
}

calmoe_status calmoe_engine_get_node_phases(const calmoe_engine *engine, int i, double *seconds, uint64_t *n_bytes,
                                            int n)
{
    if (!engine || i < 0 || n < 0)
        return cm_fail(engine ? engine->ctx : NULL, CALMOE_INVALID_ARGUMENT,
                       "calmoe_engine_get_node_phases: an engine, a node and n from 0 on are needed");
    if (i >= engine->topology.n_nodes) return CALMOE_END;
    const struct profile_node work = cm_engine_node_work(engine, i);
    cm_hand_out_phases(work.seconds, work.bytes, seconds, n_bytes, n);
    return CALMOE_OK;
}

void calmoe_engine_reset_stats(calmoe_engine *engine)
{
    if (!engine) return;
    cm_engine_profile_work(engine);
    engine->profiled = (struct profile_work){0};
    cm_counters_reset(cm_decoder_counters(engine->decoder));
    if (engine->weights->stream) cm_expert_stream_reset_counts(engine->weights->stream);
    for (int i = 0; i < cm_team_n_workers(engine->team); i++)
        engine->waited_at_reset[i] = cm_team_waited_ns(engine->team, i);
    if (engine->machine.exchange) engine->ranks_work_at_reset = cm_ranks_work(engine->machine.exchange->ranks);
}

void calmoe_engine_set_counting(calmoe_engine *engine, int is_on)
{
    if (!engine) return;
    cm_decoder_counters(engine->decoder)->is_paused = !is_on;
    cm_team_time_waits(engine->team, is_on != 0);
}

calmoe_status calmoe_engine_get_exit_counts(const calmoe_engine *engine, uint64_t *counts, int n)
{
    if (!engine || !counts || n < cm_decoder_counters(engine->decoder)->n_layers)
        return cm_fail(engine ? engine->ctx : NULL, CALMOE_INVALID_ARGUMENT,
                       "calmoe_engine_get_exit_counts: engine and room for a count of each layer are needed");
    const struct counters *counters = cm_decoder_counters(engine->decoder);
    memcpy(counts, counters->exits, (size_t)counters->n_layers * sizeof *counts);
    return CALMOE_OK;
}

calmoe_status calmoe_engine_get_expert_counts(const calmoe_engine *engine, int layer, uint64_t *counts, int n)
{
    calmoe_context *ctx = engine ? engine->ctx : NULL;
    if (!engine || !counts)
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "calmoe_engine_get_expert_counts: engine and counts are needed");
    const struct counters *counters = cm_decoder_counters(engine->decoder);
    if (layer < 0 || layer >= counters->n_layers || n < counters->n_experts)
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT,
                       "layer %d and room for %d counts; the model has %d layers of %d experts",
                       layer, n, counters->n_layers, counters->n_experts);
    const uint64_t *of_layer = counters->expert_tokens + (size_t)layer * (size_t)counters->n_experts;
    memcpy(counts, of_layer, (size_t)counters->n_experts * sizeof *counts);
    return CALMOE_OK;
}

calmoe_status calmoe_engine_get_stats_text(const calmoe_engine *engine, char *text, size_t capacity, size_t *n_text)
{
    calmoe_context *ctx = engine ? engine->ctx : NULL;
    if (!engine || !n_text || (!text && capacity > 0))
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT,
                       "calmoe_engine_get_stats_text: engine, n_text, and text of the capacity are needed");
    calmoe_stats stats = {.size = sizeof stats};
    CM_TRY(calmoe_engine_get_stats(engine, &stats));
    struct exposition   out = {.text = text, .capacity = capacity};
    struct profile_node nodes[CM_MAX_NODES];
    for (int i = 0; i < stats.n_nodes; i++) nodes[i] = cm_engine_node_work(engine, i);
    cm_expose_stats(&out, &stats, cm_decoder_counters(engine->decoder), nodes);
    calmoe_disk_stats disk = {.size = sizeof disk};
    CM_TRY(calmoe_engine_get_disk_stats(engine, &disk));
    cm_expose_disk(&out, &disk);
    return cm_exposition_end(&out, ctx, n_text);
}
