/* runtime/engine/engine.c - calmoe_engine: open on this machine, step a batch, close. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/options.h"
#include "router/router.h"
#include "runtime/engine/handles.h"
#include "runtime/documents/exits_file.h"

enum { DEFAULT_ROWS = 512, MAX_ROWS = 65536, MAX_THREADS = 4096, FIRST_LOGITS = 8 };

void calmoe_engine_options_init(calmoe_engine_options *options)
{
    if (options) *options = (calmoe_engine_options){.size = sizeof *options, .pin_threads = 1};
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
    engine->isa = cm_isa_best();
    if (!options->isa) return CALMOE_OK;
    if (!cm_isa_of_name(options->isa, &engine->isa)) {
        char known[80] = "";
        for (int isa = 0; isa < ISA_COUNT; isa++) {
            const size_t n = strlen(known);
            snprintf(known + n, sizeof known - n, "%s%s", isa == 0 ? "" : ", ", cm_isa_name((enum isa)isa));
        }
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "isa is '%s'; one of %s is wanted", options->isa, known);
    }
    if (!cm_isa_is_supported(engine->isa))
        return cm_fail(ctx, CALMOE_UNSUPPORTED, "this machine has no %s; its best level is %s", options->isa,
                       cm_isa_name(cm_isa_best()));
    return CALMOE_OK;
}

static void profile_layer(const calmoe_engine *engine, const struct decoder *decoder, int layer)
{
    const struct routing *routing = &decoder->routing;
    for (int r = 0; r < decoder->n_rows; r++) {
        const struct row     *row = &decoder->rows[r];
        const calmoe_session *session = row->owner;
        const size_t          at = (size_t)r * (size_t)routing->n_slots;
        cm_profiler_count(engine->profiler, layer, row->position, routing->experts + at, routing->weights + at,
                          cm_n_kept(routing, r), session->last_used);
    }
}

/* After a step of n rows. */
static void profile_exits(const calmoe_engine *engine, int n)
{
    for (int r = 0; r < n; r++) cm_profiler_exit(engine->profiler, engine->decoder->layers_used[r] - 1);
}

static void on_routing(void *user, const struct decoder *decoder, int layer)
{
    const calmoe_engine *engine = user;
    const struct routing *routing = &decoder->routing;
    if (engine->profiler && !decoder->counters.is_paused) profile_layer(engine, decoder, layer);
    if (!engine->options.routing) return;
    for (int r = 0; r < decoder->n_rows; r++) {
        const size_t at = (size_t)r * (size_t)routing->n_slots;
        if (routing->n_slots > 0 && cm_n_kept(routing, r) == 0) continue;
        const calmoe_routing_event event = {
            .session = decoder->rows[r].owner,
            .layer = layer,
            .position = decoder->rows[r].position,
            .token = decoder->rows[r].token,
            .n = cm_n_kept(routing, r),
            .experts = routing->experts + at,
            .weights = routing->weights + at,
        };
        engine->options.routing(engine->options.routing_user, &event);
    }
}

void cm_engine_watch_routing(calmoe_engine *engine)
{
    const bool is_wanted = engine->options.routing || (engine->profiler && !engine->decoder->counters.is_paused);
    engine->decoder->on_routing = is_wanted ? on_routing : NULL;
}

static bool is_choice(const int32_t *experts, const float *weights, int n, int n_experts)
{
    uint64_t seen[ROUTER_MAX_EXPERTS / 64] = {0};
    for (int slot = 0; slot < n; slot++) {
        const int32_t expert = experts[slot];
        if (expert < 0 || expert >= n_experts || !isfinite(weights[slot])) return false;
        if (seen[expert / 64] >> expert % 64 & 1) return false;
        seen[expert / 64] |= (uint64_t)1 << expert % 64;
    }
    return true;
}

static void on_choice(void *user, const struct decoder *decoder, int layer, int r, int32_t *experts, float *weights)
{
    const calmoe_engine      *engine = user;
    const struct router_spec *router = &decoder->spec->layers[layer].ffn.router;
    const struct row         *row = &decoder->rows[r];
    const size_t n = (size_t)router->n_used;
    int32_t new_experts[ROUTER_MAX_USED];
    float   new_weights[ROUTER_MAX_USED];
    memcpy(new_experts, experts, n * sizeof *experts);
    memcpy(new_weights, weights, n * sizeof *weights);
    const calmoe_routing_choice choice = {row->owner, layer,       row->index, row->position, row->token,
                                          router->n_used, new_experts, new_weights};
    engine->options.routing_source(engine->options.routing_source_user, &choice);
    if (!is_choice(new_experts, new_weights, router->n_used, router->n_experts)) return;
    memcpy(experts, new_experts, n * sizeof *experts);
    memcpy(weights, new_weights, n * sizeof *weights);
}

calmoe_status cm_engine_reserve_logits(calmoe_engine *engine, int n)
{
    if (n <= engine->logits_capacity) return CALMOE_OK;
    const size_t n_vocab = (size_t)engine->model->spec.n_vocab;
    float *logits = cm_alloc(engine->ctx, (size_t)n * n_vocab, sizeof *logits, "logits");
    if (!logits) return CALMOE_NO_MEMORY;
    cm_free(engine->decoder->logits);
    engine->decoder->logits = logits;
    engine->logits_capacity = n;
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

static calmoe_status open_exits(calmoe_engine *engine)
{
    const struct model_spec *spec = &engine->model->spec;
    struct learned_exits *exits = &engine->learned_exits;
    if (!engine->options.exits) return CALMOE_OK;
    CM_TRY(cm_exits_file_read(engine->ctx, engine->options.exits, exits));
    CM_TRY(cm_learned_exits_fit(engine->ctx, exits, engine->model->fingerprint, spec->n_layers, spec->dim));
    CM_TRY(cm_exit_weights_open(engine->ctx, engine->isa, &engine->topology, engine->team, &engine->plan,
                                exits, &engine->exit_weights));
    engine->decoder->exit_weights = engine->exit_weights;
    return CALMOE_OK;
}

static calmoe_status open_parts(calmoe_engine *engine)
{
    calmoe_context *ctx = engine->ctx;
    const calmoe_engine_options *options = &engine->options;
    CM_TRY(cm_topology_open(ctx, NULL, &engine->topology));
    CM_TRY(cm_team_open(ctx, &engine->topology, options->n_threads, options->pin_threads != 0, &engine->team));
    CM_TRY(cm_engine_open_plan(engine));
    const struct weights_options weights = {.isa = engine->isa, .topology = &engine->topology,
                                            .team = engine->team, .plan = &engine->plan,
                                            .progress = options->progress, .user = options->progress_user};
    CM_TRY(cm_weights_open(ctx, &engine->model->spec, &engine->model->tensors, &weights, &engine->weights));
    report_pages(engine);
    CM_TRY(cm_decoder_open(ctx, &engine->model->spec, engine->weights, engine->isa, &engine->topology,
                           engine->team, options->max_rows, &engine->decoder));
    engine->decoder->usable = engine->model->usable;
    CM_TRY(open_exits(engine));
    if (options->profile)
        CM_TRY(cm_profiler_open(ctx, engine->model->fingerprint, engine->model->spec.n_layers,
                                engine->model->spec.most.n_experts, engine->model->spec.most.n_used,
                                &engine->profiler));
    engine->decoder->on_routing_user = engine;
    cm_engine_watch_routing(engine);
    engine->decoder->on_choice = options->routing_source ? on_choice : NULL;
    engine->decoder->on_choice_user = engine;
    engine->waited_at_reset = cm_alloc(ctx, (size_t)cm_team_n_workers(engine->team),
                                       sizeof *engine->waited_at_reset, "statistics");
    if (!engine->waited_at_reset) return CALMOE_NO_MEMORY;
    const int first = FIRST_LOGITS < options->max_rows ? FIRST_LOGITS : options->max_rows;
    return cm_engine_reserve_logits(engine, first);
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
    calmoe_status status = read_options(ctx, given, engine);
    if (status == CALMOE_OK) status = open_parts(engine);
    if (status != CALMOE_OK) calmoe_engine_close(&engine);
    *out = engine;
    return status;
}

void calmoe_engine_close(calmoe_engine **engine_pointer)
{
    if (!engine_pointer || !*engine_pointer) return;
    calmoe_engine *engine = *engine_pointer;
    if (engine->decoder) cm_free(engine->decoder->logits);
    cm_decoder_close(&engine->decoder);
    cm_exit_weights_close(&engine->exit_weights);
    cm_learned_exits_close(&engine->learned_exits);
    cm_weights_close(&engine->weights);
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

static int logits_of(const calmoe_chunk *chunk)
{
    return chunk->logits == CALMOE_LOGITS_ALL ? chunk->n_tokens : chunk->logits == CALMOE_LOGITS_LAST ? 1 : 0;
}

static calmoe_status check_chunk(const calmoe_engine *engine, const calmoe_chunk *chunks, int i)
{
    const calmoe_chunk *chunk = &chunks[i];
    const calmoe_session *session = chunk->session;
    calmoe_context *ctx = engine->ctx;
    if (!session || session->engine != engine)
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "chunk %d has no session of this engine", i);
    for (int j = 0; j < i; j++)
        if (chunks[j].session == session)
            return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "chunks %d and %d are of the same session", j, i);
    if (!chunk->tokens || chunk->n_tokens < 1)
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "chunk %d has %d tokens; at least one is wanted", i,
                       chunk->n_tokens);
    if (chunk->logits < CALMOE_LOGITS_NONE || chunk->logits > CALMOE_LOGITS_ALL)
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "chunk %d wants logits %d; 0 to 2 is wanted", i, chunk->logits);
    for (int j = 0; j < chunk->n_tokens; j++)
        if (chunk->tokens[j] < 0 || chunk->tokens[j] >= engine->model->spec.n_vocab)
            return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "token %d of chunk %d is %d; 0 to %d is wanted", j, i,
                           (int)chunk->tokens[j], engine->model->spec.n_vocab - 1);
    if (chunk->n_tokens > session->context - session->n_positions)
        return cm_fail(ctx, CALMOE_FULL, "the context of %d tokens is full: %d are in it, %d more do not fit",
                       session->context, session->n_positions, chunk->n_tokens);
    return CALMOE_OK;
}

static calmoe_status check_chunks(calmoe_engine *engine, const calmoe_chunk *chunks, int n_chunks)
{
    int64_t n_rows = 0, n_logits = 0;
    for (int i = 0; i < n_chunks; i++) {
        CM_TRY(check_chunk(engine, chunks, i));
        n_rows += chunks[i].n_tokens;
        n_logits += logits_of(&chunks[i]);
    }
    if (n_rows > engine->options.max_rows)
        return cm_fail(engine->ctx, CALMOE_INVALID_ARGUMENT, "%lld tokens in one step; the engine was opened for %d",
                       (long long)n_rows, engine->options.max_rows);
    return cm_engine_reserve_logits(engine, (int)n_logits);
}

/* Adds a chunk's rows to the decoder's step. */
static void place_chunk(calmoe_engine *engine, const calmoe_chunk *chunk)
{
    struct decoder *d = engine->decoder;
    calmoe_session *session = chunk->session;
    session->first_logits = d->n_logits;
    session->n_logits = logits_of(chunk);
    session->logits_step = session->last_step = engine->n_steps;
    for (int i = 0; i < chunk->n_tokens; i++) {
        const bool has_logits = i >= chunk->n_tokens - session->n_logits;
        d->rows[d->n_rows++] = (struct row){.cache = &session->cache, .position = session->n_positions + i,
                                            .token = chunk->tokens[i], .owner = session,
                                            .waiting = session->waiting,
                                            .logits_row = has_logits ? d->n_logits++ : -1};
        struct row *row = &d->rows[d->n_rows - 1];
        if (!session->rung || session->answer_begin < 0 || row->position < session->answer_begin ||
            session->audit.state == AUDIT_IN_FULL)
            continue;
        row->rung = session->rung;
        row->t = row->position - session->answer_begin;
    }
}

/* The chunk's tokens are now part of the sequence. */
static void finish_chunk(calmoe_engine *engine, const calmoe_chunk *chunk)
{
    calmoe_session *session = chunk->session;
    if (cm_session_note_audit(session)) {
        if (session->waiting) cm_waiting_rewind(session->waiting, session->n_positions);
        return;
    }
    for (int i = 0; i < chunk->n_tokens; i++) {
        session->tokens[session->n_positions + i] = chunk->tokens[i];
        cm_sampler_accept(session->sampler, chunk->tokens[i]);
    }
    session->n_positions += chunk->n_tokens;
    if (session->n_known < session->n_positions) session->n_known = session->n_positions;
    const size_t n_vocab = (size_t)engine->model->spec.n_vocab;
    if (session->hashes)
        cm_sha256_add(&session->logit_hash, engine->decoder->logits + (size_t)session->first_logits * n_vocab,
                      (size_t)session->n_logits * n_vocab * sizeof(float));
}

/* Lets all rows that wait in this session run, as many at once as a step may have. */
static void catch_up(calmoe_engine *engine, struct waiting *waiting)
{
    struct decoder *d = engine->decoder;
    while (waiting->n > 0) {
        const int n = waiting->n < engine->options.max_rows ? waiting->n : engine->options.max_rows;
        d->n_rows = d->n_logits = 0;
        d->driven = waiting;
        waiting->driven_below = waiting->rows[n - 1].position + 1;
        cm_decoder_step(d);
    }
}

/* Rows that wait may join any step of their session: together they must not be more than a step may have. */
static void make_room(calmoe_engine *engine, const calmoe_chunk *chunks, int n_chunks)
{
    int n_rows = 0;
    for (int i = 0; i < n_chunks; i++)
        n_rows += chunks[i].n_tokens + (chunks[i].session->waiting ? chunks[i].session->waiting->n : 0);
    for (int i = 0; i < n_chunks && n_rows > engine->options.max_rows; i++) {
        struct waiting *waiting = chunks[i].session->waiting;
        if (!waiting) continue;
        n_rows -= waiting->n;
        catch_up(engine, waiting);
    }
}

calmoe_status cm_engine_run(calmoe_engine *engine, const calmoe_chunk *chunks, int n_chunks)
{
    CM_TRY(check_chunks(engine, chunks, n_chunks));
    engine->n_steps++;
    make_room(engine, chunks, n_chunks);
    engine->decoder->n_rows = engine->decoder->n_logits = 0;
    for (int i = 0; i < n_chunks; i++) place_chunk(engine, &chunks[i]);
    const int n_rows = engine->decoder->n_rows;
    if (n_rows > 0) cm_decoder_step(engine->decoder);
    if (engine->profiler && !engine->decoder->counters.is_paused) profile_exits(engine, n_rows);
    for (int i = 0; i < n_chunks; i++) finish_chunk(engine, &chunks[i]);
    return CALMOE_OK;
}

calmoe_status calmoe_engine_step(calmoe_engine *engine, const calmoe_chunk *chunks, int n_chunks)
{
    if (!engine || n_chunks < 0 || (!chunks && n_chunks > 0))
        return cm_fail(engine ? engine->ctx : NULL, CALMOE_INVALID_ARGUMENT,
                       "calmoe_engine_step: engine and chunks are needed");
    for (int i = 0; i < n_chunks; i++)
        if (chunks[i].session && chunks[i].session->n_known > chunks[i].session->n_positions)
            return cm_fail(engine->ctx, CALMOE_INVALID_ARGUMENT,
                           "chunk %d: its session was fed %d tokens that are not read yet; "
                           "calmoe_session_next() reads them",
                           i, chunks[i].session->n_known - chunks[i].session->n_positions);
    return cm_engine_run(engine, chunks, n_chunks);
}

/* One chunk for each session that the scheduler grants rows. */
static int make_chunks(calmoe_engine *engine)
{
    int n_chunks = 0;
    for (int i = 0; i < engine->n_sessions; i++) {
        const calmoe_session *session = engine->sessions[i];
        const int n_pending = session->has_ended ? 0 : session->n_known - session->n_positions;
        engine->demands[i] = (struct demand){.n_pending = n_pending, .last_step = session->last_step};
    }
    cm_schedule(engine->demands, engine->n_sessions, engine->options.max_rows, engine->order);
    for (int i = 0; i < engine->n_sessions; i++) {
        const struct demand *demand = &engine->demands[i];
        calmoe_session *session = engine->sessions[i];
        if (demand->n_granted == demand->n_pending) cm_session_pick_audit(session, demand->n_granted);
        if (demand->n_granted > 0)
            engine->chunks[n_chunks++] = (calmoe_chunk){
                .session = session, .tokens = session->tokens + session->n_positions, .n_tokens = demand->n_granted,
                .logits = cm_session_wants_logits(session, demand->n_granted == demand->n_pending)};
    }
    return n_chunks;
}

calmoe_status calmoe_engine_next(calmoe_engine *engine, calmoe_event *events, int capacity, int *n_events)
{
    if (!engine || !events || !n_events || capacity < engine->n_sessions)
        return cm_fail(engine ? engine->ctx : NULL, CALMOE_INVALID_ARGUMENT,
                       "calmoe_engine_next: engine, n_events and room for an event of each session are needed");
    *n_events = 0;
    for (int i = 0; i < engine->n_sessions; i++) { /* those that end without another step hear it once */
        calmoe_session *session = engine->sessions[i];
        const bool is_at_limit = session->max_new > 0 && session->n_new >= session->max_new;
        if (session->has_ended || (!is_at_limit && !session->is_full)) continue;
        session->has_ended = true;
        cm_session_end_answer(session);
        events[(*n_events)++] = (calmoe_event){session, is_at_limit ? CALMOE_END : CALMOE_FULL, -1};
    }
    const int n_chunks = make_chunks(engine);
    if (n_chunks == 0) return *n_events > 0 ? CALMOE_OK : CALMOE_END;
    CM_TRY(cm_engine_run(engine, engine->chunks, n_chunks));
    for (int i = 0; i < n_chunks; i++) {
        calmoe_session *session = engine->chunks[i].session;
        if (session->n_positions == session->n_known) events[(*n_events)++] = cm_session_advance(session);
    }
    return CALMOE_OK;
}
