/* runtime/engine/engine.c - calmoe_engine: opened on this machine, and closed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/options.h"
#include "runtime/documents/packed_file.h"
#include "runtime/engine/engine_ranks.h"

enum { DEFAULT_ROWS = 512, MAX_ROWS = 65536, MAX_THREADS = 4096, FIRST_LOGITS = 8 };

void calmoe_engine_options_init(calmoe_engine_options *options)
{
    if (options) *options = (calmoe_engine_options){.size = sizeof *options, .pin_threads = CALMOE_PIN_AUTO};
}

/* CALMOE_ISA caps the level (kernels/cpu.h); a name that is none caps nothing. */
static void say_ignored_cap(calmoe_context *ctx)
{
    const char *const cap = getenv("CALMOE_ISA");
    enum isa          level;
    if (cap && *cap && !cm_isa_of_name(cap, &level))
        cm_log(ctx, "CALMOE_ISA is '%s', which is no instruction set; it is ignored", cap);
}

static calmoe_status read_options(calmoe_context *ctx, const calmoe_engine_options *given, calmoe_engine *engine)
{
    calmoe_engine_options *options = &engine->options;
    calmoe_engine_options_init(options);
    CM_TRY(cm_options_copy(ctx, "calmoe_engine_options", options, sizeof *options, given));
    if (options->n_threads < 0 || options->n_threads > MAX_THREADS)
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "n_threads is %d; 0 (every core) to %d is wanted",
                       options->n_threads, MAX_THREADS);
    if (options->max_rows < 0 || options->max_rows > MAX_ROWS)
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "max_rows is %d; 0 (%d) to %d is wanted", options->max_rows,
                       DEFAULT_ROWS, MAX_ROWS);
    if (options->max_rows == 0) options->max_rows = DEFAULT_ROWS;
    engine->machine.isa = cm_isa_best();
    say_ignored_cap(ctx);
    if (!options->isa) return CALMOE_OK;
    if (!cm_isa_of_name(options->isa, &engine->machine.isa)) {
        char known[80] = "";
        for (int isa = 0; isa < ISA_COUNT; isa++) {
            const size_t n = strlen(known);
            snprintf(known + n, sizeof known - n, "%s%s", isa == 0 ? "" : ", ", cm_isa_name((enum isa)isa));
        }
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "isa is '%s'; one of %s is wanted", options->isa, known);
    }
    if (!cm_isa_is_supported(engine->machine.isa))
        return cm_fail(ctx, CALMOE_UNSUPPORTED, "this machine has no %s; its best level is %s", options->isa,
                       cm_isa_name(cm_isa_best()));
    return CALMOE_OK;
}

/* Where there are several nodes: says what weights lie on another than the plan's, and which are read from afar though
 * their node has cores. */
static void report_pages(const calmoe_engine *engine)
{
    const struct packed_weights *packed = &engine->weights->packed;
    const struct topology_node  *nodes = engine->topology.nodes;
    if (engine->topology.n_nodes < 2) return;
    for (int i = 0; i < packed->n_blocks; i++) {
        const struct node_block *block = &packed->blocks[i];
        const int                server = cm_team_server(engine->team, i);
        struct node_pages pages;
        if (!block->bytes) continue;
        if (server != i && nodes[i].n_cores > 0)
            cm_log(engine->ctx, "no thread runs on node %u; its weights are read by those of node %u",
                   nodes[i].os_index, nodes[server].os_index);
        if (!cm_node_block_check(&engine->topology, block, &pages) || pages.n_elsewhere == 0) continue;
        cm_log(engine->ctx, "of %zu pages of weights for node %u, %zu lie on other nodes, such as node %d",
               pages.n_touched, nodes[block->node].os_index, pages.n_elsewhere, pages.elsewhere);
    }
}

static calmoe_status open_machine(calmoe_engine *engine, const calmoe_engine_options *given)
{
    const calmoe_engine_options *options = &engine->options;
    CM_TRY(read_options(engine->ctx, given, engine));
    CM_TRY(cm_topology_open(engine->ctx, NULL, &engine->topology));
    CM_TRY(cm_team_open(engine->ctx, &engine->topology, options->n_threads, (enum team_pin)options->pin_threads,
                        &engine->team));
    cm_crew_open(&engine->crew, cm_team_n_called(engine->team));
    return CALMOE_OK;
}

static calmoe_status open_weights(calmoe_engine *engine)
{
    const calmoe_engine_options *options = &engine->options;
    struct weights_options weights = {.progress = options->progress, .user = options->progress_user,
                                      .n_bytes_behind = cm_engine_bytes_behind_weights(engine),
                                      .is_tuned = !options->no_tuning, .max_rows = options->max_rows,
                                      .sharing = cm_model_sharing(engine->model)};
    uint64_t     *uses;
    calmoe_status status = cm_engine_disk_options(engine, &weights, &uses);
    if (status == CALMOE_OK)
        status = cm_weights_open(&engine->machine, &engine->model->spec, &engine->model->tensors, &weights,
                                 &engine->weights);
    cm_free(uses);
    return status;
}

static calmoe_status open_parts(calmoe_engine *engine)
{
    calmoe_context *ctx = engine->ctx;
    const calmoe_engine_options *options = &engine->options;
    CM_TRY(cm_engine_open_plan(engine));
    engine->machine = (struct machine){.ctx = ctx, .isa = engine->machine.isa, .topology = &engine->topology,
                                       .team = engine->team, .plan = &engine->plan};
    CM_TRY(cm_engine_open_exchange(engine));
    CM_TRY(open_weights(engine));
    cm_engine_count_kv(engine);
    report_pages(engine);
    CM_TRY(cm_decoder_open(&engine->machine, &engine->model->spec, engine->weights, options->max_rows,
                           &engine->decoder));
    CM_TRY(cm_engine_read_exits(engine));
    if (options->draft_model) CM_TRY(cm_draft_model_check(engine));
    if (options->profile)
        CM_TRY(cm_profiler_open(ctx, engine->model->fingerprint, engine->model->spec.n_layers,
                                engine->model->spec.most.n_experts, engine->model->spec.most.n_used,
                                &engine->profiler));
    engine->waited_at_reset = cm_alloc(ctx, (size_t)cm_team_n_workers(engine->team),
                                       sizeof *engine->waited_at_reset, "statistics");
    engine->rows = cm_alloc(ctx, (size_t)options->max_rows, sizeof *engine->rows, "rows of a step");
    if (!engine->waited_at_reset || !engine->rows) return CALMOE_NO_MEMORY;
    const int first = FIRST_LOGITS < options->max_rows ? FIRST_LOGITS : options->max_rows;
    return cm_decoder_reserve_logits(engine->decoder, first);
}

calmoe_status calmoe_engine_open(calmoe_model *model, const calmoe_engine_options *given, calmoe_engine **out)
{
    if (out) *out = NULL;
    calmoe_context *ctx = model ? model->ctx : NULL;
    if (!model || !out) return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "calmoe_engine_open: model and out are needed");
    if (!model->has_weights)
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "'%s' was opened for its vocabulary only", model->path);
    calmoe_engine *engine = cm_alloc(ctx, 1, sizeof *engine, "the engine");
    if (!engine) return CALMOE_NO_MEMORY;
    engine->ctx = ctx;
    engine->model = model;
    calmoe_status status = cm_engine_join(engine, open_machine(engine, given));
    if (status == CALMOE_OK) status = cm_engine_begin_ranks(engine, open_parts(engine));
    if (status != CALMOE_OK) calmoe_engine_close(&engine);
    *out = engine;
    return status;
}

void calmoe_engine_close(calmoe_engine **engine_pointer)
{
    if (!engine_pointer || !*engine_pointer) return;
    calmoe_engine *engine = *engine_pointer;
    cm_engine_end_ranks(engine);
    cm_exits_close(&engine->exits);
    for (int i = 0; i < N_DRAFTERS; i++) cm_drafter_close(&engine->drafters[i]);
    cm_decoder_close(&engine->decoder);
    cm_engine_close_adapters(engine);
    cm_free(engine->rows);
    cm_exit_weights_close(&engine->exit_weights);
    cm_learned_exits_close(&engine->learned_exits);
    cm_weights_close(&engine->weights);
    cm_packed_file_close(&engine->packed);
    cm_team_close(&engine->team);
    cm_plan_close(&engine->plan);
    cm_topology_close(&engine->topology);
    cm_free(engine->sessions);
    cm_free(engine->demands);
    cm_free(engine->order);
    cm_free(engine->chunks);
    cm_free(engine->waited_at_reset);
    cm_profiler_close(&engine->profiler);
    cm_known_drafts_close(&engine->known_drafts);
    cm_free(engine);
    *engine_pointer = NULL;
}
