/* runtime/forward/decoder.c - embed; all layers; head. And the memory that they work in. */
#include "runtime/forward/decoder_parts.h"

#include <string.h>

#include "base/memory.h"
#include "kernels/bad_numbers.h"
#include "runtime/mixers/sequence_state.h"

/* ---- a step ---- */

/* Notes of rows begin … end, whose states were just computed by this worker, which of them stopped being numbers. */
static void look_for_breaks(struct decoder *d, int n_layers_run, int begin, int end)
{
    const int dim = d->batch.spec->dim;
    for (int r = begin; r < end; r++) {
        struct row_outcome *came = &d->batch.rows[r].came;
        if (came->broke_after < 0 && !cm_are_finite(cm_row(d->batch.x, r, dim), (size_t)dim))
            came->broke_after = n_layers_run;
    }
}

/* Own rows: the token's row of the embedding, and the angles of its position. */
static void embed_rows(struct decoder *d, const struct worker *me)
{
    const struct weight_source *embedding = &d->weights->embedding;
    const struct weight_type_row *type = &cm_weight_types[embedding->type];
    const int dim = d->batch.spec->dim, n_pairs = d->batch.rope.n_pairs;
    const size_t row_bytes = cm_row_bytes(embedding->type, (size_t)dim);
    int begin, end;
    cm_own_rows(&d->batch, me, &begin, &end);
    for (int r = begin; r < end; r++) {
        const struct row_request *asked = &d->batch.rows[r].asked;
        float *x = cm_row(d->batch.x, r, dim);
        type->dequantize(embedding->rows + (size_t)asked->token * row_bytes, x, (size_t)(dim / type->n_elements));
        cm_low_rank_embed(d->batch.ops, asked->sequence->adapters, asked->token, dim, x);
        if (d->batch.spec->embedding_scale != 1.0f)
            for (int i = 0; i < dim; i++) x[i] *= d->batch.spec->embedding_scale;
        if (d->weights->first_norm) cm_norm(&d->batch, x, d->weights->first_norm, x);
        cm_rope_row(&d->batch.rope, cm_row_position(&d->batch.rows[r]), cm_row(d->batch.cosines, r, n_pairs),
                    cm_row(d->batch.sines, r, n_pairs));
    }
    look_for_breaks(d, 0, begin, end);
}

static void show_states(struct decoder *d, int layer, int begin, int end)
{
    for (const struct step_observer *observer = d->step->observers; observer; observer = observer->next)
        if (observer->states) observer->states(observer->user, layer, begin, end, d->batch.x);
}

/* What a layer has but for experts. */
static size_t dense_bytes(const struct layer *layer)
{
    return layer->mixer.mixer->step_bytes(layer->mixer.weights) + layer->router.n_bytes + layer->shared_gate.n_bytes;
}

static void run_layer(struct decoder *d, int layer, const struct worker *me)
{
    int begin, end;
    if (me->index == 0) d->batch.counters.n_weight_bytes += dense_bytes(&d->weights->layers[layer]);
    cm_mixer_of(&d->batch, layer)->run(&d->batch, layer, me);
    if (cm_has_ffn(&d->batch.spec->layers[layer].ffn)) cm_moe_layer(d, layer, me);
    else if (me->index == 0) cm_show_no_routing(d, layer);
    cm_own_rows(&d->batch, me, &begin, &end);
    look_for_breaks(d, layer + 1, begin, end);
    if (d->step->observers) show_states(d, layer, begin, end);
}

static void run_step(void *arg, const struct worker *me)
{
    struct decoder *d = arg;
    const struct between_layers *between = d->step->between;
    void *self = d->step->between_self;
    cm_enter_phase(&d->batch, me, CALMOE_PHASE_OTHER);
    embed_rows(d, me);
    if (d->weights->joint.n_rows > 0) cm_join_states(d, me);
    if (between) between->after(self, d, 0, me);
    for (int layer = 0; layer < d->batch.spec->n_layers; layer++) {
        if (d->batch.n_rows == 0 && !(between && between->more_come(self))) break;
        if (d->batch.n_rows > 0) run_layer(d, layer, me);
        if (d->is_stopped) break;
        if (between) between->after(self, d, layer + 1, me);
    }
    if (!d->is_stopped) {
        cm_enter_phase(&d->batch, me, CALMOE_PHASE_HEAD);
        cm_lm_head(d, me);
    }
    cm_enter_phase(&d->batch, me, CALMOE_N_PHASES);
}

/* The rows of the batch and of logits that adapters may add to. */
static void begin_adapters(struct decoder *d, const struct step *step)
{
    d->batch.adapters = step->n_adapters > 0 ? &d->row_adapters : NULL;
    if (!d->batch.adapters) return;
    d->row_adapters = (struct low_rank_rows){step->n_adapters, step->adapters, d->row_uses};
    d->logit_adapters = (struct low_rank_rows){step->n_adapters, step->adapters, d->logit_uses};
    for (int i = 0; i < step->n_logits; i++) d->logit_uses[i] = NULL; /* until its row comes: cm_batch_changed() */
}

static void begin_step(struct decoder *d, struct step *step)
{
    d->step = step;
    begin_adapters(d, step);
    d->batch.n_rows = step->n_rows;
    d->is_stopped = false;
    if (d->batch.exchange) cm_exchange_begin_step(d->batch.exchange);
    atomic_store(&d->failure, CALMOE_OK);
    if (d->weights->stream) cm_expert_stream_begin_step(d->weights->stream);
    step->logits = d->logits;
    step->outcomes = d->outcomes;
    for (int r = 0; r < step->n_rows; r++) {
        step->rows[r].came = (struct row_outcome){.layers = d->batch.spec->n_layers, .broke_after = -1};
        d->batch.rows[r] = (struct row){.asked = step->rows[r].asked, .may = step->rows[r].may,
                                        .came = step->rows[r].came, .index = r};
    }
    if (step->between) step->between->begin(step->between_self, d);
    d->routing.n_kept = step->between ? step->between->widths(step->between_self) : NULL;
    cm_batch_changed(d);
}

static calmoe_status status_of(const struct decoder *d)
{
    const calmoe_status failure = (calmoe_status)atomic_load(&d->failure);
    const struct exchange *exchange = d->batch.exchange;
    if (exchange && exchange->failure != CALMOE_OK) return exchange->failure;
    if (failure != CALMOE_OK) return cm_expert_stream_failure(d->weights->stream); /* nothing else can fail so far */
    if (exchange && exchange->failed_rank >= 0)
        return cm_fail(d->ctx, CALMOE_IO, "rank %d could not read an expert from its disk", exchange->failed_rank);
    return d->is_stopped ? cm_fail(d->ctx, CALMOE_CANCELLED, "the step was interrupted by all whose it is") : CALMOE_OK;
}

calmoe_status cm_decoder_run(struct decoder *d, struct step *step)
{
    const uint64_t start = cm_now_ns();
    begin_step(d, step);
    cm_team_run(d->team, run_step, d);
    for (int r = 0; r < d->batch.n_rows; r++) cm_report_row(d, &d->batch.rows[r]); /* those that left did so then */
    cm_count_step(&d->batch.counters, step->n_rows, cm_team_n_called(d->team), cm_now_ns() - start);
    const calmoe_status status = status_of(d);
    if (step->between) step->between->end(step->between_self, d, status != CALMOE_OK);
    else if (step->n_logits > 0) cm_count_head(&d->batch.counters, d->weights->output.n_bytes);
    d->batch.adapters = NULL;
    return status;
}

calmoe_status cm_decoder_reserve_logits(struct decoder *d, int n)
{
    if (n <= d->logits_capacity) return CALMOE_OK;
    float *logits = cm_alloc(d->ctx, (size_t)n * (size_t)d->batch.spec->n_vocab, sizeof *logits, "logits");
    struct row_outcome *outcomes = cm_alloc(d->ctx, (size_t)n, sizeof *outcomes, "logits");
    const struct low_rank_uses **uses = cm_alloc(d->ctx, (size_t)n, sizeof *uses, "logits");
    if (!logits || !outcomes || !uses) {
        cm_free(logits);
        cm_free(outcomes);
        cm_free(uses);
        return CALMOE_NO_MEMORY;
    }
    cm_free(d->logits);
    cm_free(d->outcomes);
    cm_free(d->logit_uses);
    d->logits = logits;
    d->outcomes = outcomes;
    d->logit_uses = uses;
    d->logits_capacity = n;
    return CALMOE_OK;
}

/* ---- memory ---- */

/* Pieces of one block of memory, each aligned; first to add up (base NULL), then to lay out. */
struct layout {
    uint8_t *base;
    size_t   n_bytes;
};

static void *piece(struct layout *layout, size_t n, size_t size)
{
    void *at = layout->base ? layout->base + layout->n_bytes : NULL;
    layout->n_bytes += (n * size + CM_ALIGNMENT - 1) / CM_ALIGNMENT * CM_ALIGNMENT;
    return at;
}

static void place_activations(struct layout *layout, int n_rows, int n_columns, struct activations *out)
{
    void *at = piece(layout, cm_activations_bytes(n_rows, n_columns), 1);
    if (at) cm_activations_place(out, n_rows, n_columns, at);
}

static void lay_out(struct decoder *d, struct layout *layout)
{
    const struct model_spec *spec = d->batch.spec;
    const struct layer_maxima *most = &spec->most;
    const size_t n = (size_t)d->batch.max_rows, dim = (size_t)spec->dim, used = (size_t)most->n_used;
    d->batch.rows = piece(layout, n, sizeof *d->batch.rows);
    d->batch.x = piece(layout, n * dim, sizeof(float));
    place_activations(layout, d->batch.max_rows, spec->dim, &d->batch.normed);
    d->batch.cosines = piece(layout, n * (size_t)d->batch.rope.n_pairs, sizeof(float));
    d->batch.sines = piece(layout, n * (size_t)d->batch.rope.n_pairs, sizeof(float));
    d->batch.projected = piece(layout, n * dim, sizeof(float));
    d->router_logits = piece(layout, n * (size_t)most->n_experts, sizeof(float));
    d->routing.experts = piece(layout, n * used, sizeof(int32_t));
    d->routing.weights = piece(layout, n * used, sizeof(float));
    d->shared_weights = piece(layout, n, sizeof(float));
    if (d->weights->joint.n_rows > 0) place_activations(layout, d->batch.max_rows, 2 * spec->dim, &d->joined);
    if (most->width[BANK_DENSE] > 0) place_activations(layout, d->batch.max_rows, spec->dim, &d->routed_input);
    for (int bank = 0; bank < N_BANKS && d->batch.exchange && most->width[BANK_DENSE] > 0; bank++)
        d->bank_sums[bank] = piece(layout, n * dim, sizeof(float));
    d->batch.identity = piece(layout, n, sizeof(int32_t));
    d->row_uses = piece(layout, n, sizeof *d->row_uses);
}

static calmoe_status open_mixers(const struct machine *machine, struct decoder *d)
{
    const struct model_spec *spec = d->batch.spec;
    const struct mixer_place place = {.machine = machine, .spec = spec, .max_rows = d->batch.max_rows};
    d->batch.works = d->works;
    d->batch.layers = d->mixers = cm_alloc(machine->ctx, (size_t)spec->n_layers, sizeof *d->mixers, "layers");
    if (!d->mixers) return CALMOE_NO_MEMORY;
    for (int i = 0; i < spec->n_layers; i++) {
        const enum mixer_kind kind = spec->layers[i].mixer;
        d->mixers[i] = d->weights->layers[i].mixer;
        if (!d->works[kind]) CM_TRY(cm_mixers[kind]->open(&place, &d->works[kind]));
    }
    return CALMOE_OK;
}

static void close_mixers(struct decoder *d)
{
    for (int kind = 0; kind < MIXER_KIND_COUNT; kind++) cm_mixers[kind]->close(&d->works[kind]);
    cm_free(d->mixers);
}

static calmoe_status open_parts(const struct machine *machine, struct decoder *d)
{
    struct calmoe_context   *ctx = machine->ctx;
    const struct model_spec *spec = d->batch.spec;
    CM_TRY(cm_rope_open(ctx, spec->ropes, spec->n_ropes, d->weights->rope_factors, &d->batch.rope));
    CM_TRY(cm_counters_open(ctx, spec->n_layers, spec->most.n_experts,
                            cm_team_n_workers(d->team), &d->batch.counters));
    struct expert_run_limits limits = {
        .max_tokens = d->batch.max_rows,
        .dim = spec->dim,
        .n_slots = spec->most.n_used,
        .max_experts = spec->most.n_experts,
        .has_stream = d->weights->stream != NULL,
    };
    memcpy(limits.max_width, spec->most.width, sizeof limits.max_width);
    CM_TRY(cm_expert_run_open(machine, &limits, &d->experts));
    CM_TRY(open_mixers(machine, d));
    if (d->weights->stream && d->weights->looks_ahead) CM_TRY(cm_lookahead_open(d, &d->lookahead));
    struct layout layout = {0};
    lay_out(d, &layout);
    d->memory = layout.base = cm_alloc(ctx, layout.n_bytes, 1, "the decoder's scratch");
    if (!d->memory) return CALMOE_NO_MEMORY;
    layout.n_bytes = 0;
    lay_out(d, &layout);
    for (int i = 0; i < d->batch.max_rows; i++) d->batch.identity[i] = i;
    return CALMOE_OK;
}

calmoe_status cm_decoder_open(const struct machine *machine, const struct model_spec *spec,
                              const struct weights *weights, int max_rows, struct decoder **out)
{
    *out = cm_alloc(machine->ctx, 1, sizeof **out, "the decoder");
    if (!*out) return CALMOE_NO_MEMORY;
    (*out)->ctx = machine->ctx;
    (*out)->batch.spec = spec;
    (*out)->weights = weights;
    (*out)->batch.ops = cm_vector_ops(machine->isa);
    (*out)->team = machine->team;
    (*out)->batch.exchange = machine->exchange;
    (*out)->batch.max_rows = max_rows;
    const calmoe_status status = open_parts(machine, *out);
    if (status != CALMOE_OK) cm_decoder_close(out);
    return status;
}

void cm_decoder_close(struct decoder **decoder)
{
    if (!*decoder) return;
    cm_rope_close(&(*decoder)->batch.rope);
    cm_counters_close(&(*decoder)->batch.counters);
    cm_expert_run_close(&(*decoder)->experts);
    cm_lookahead_close(&(*decoder)->lookahead);
    close_mixers(*decoder);
    cm_free((*decoder)->logits);
    cm_free((*decoder)->outcomes);
    cm_free((*decoder)->logit_uses);
    cm_free((*decoder)->memory);
    cm_free(*decoder);
    *decoder = NULL;
}

int                      cm_decoder_max_rows(const struct decoder *d) { return d->batch.max_rows; }
const struct model_spec *cm_decoder_spec(const struct decoder *d) { return d->batch.spec; }
const struct vector_ops *cm_decoder_ops(const struct decoder *d) { return d->batch.ops; }
struct counters         *cm_decoder_counters(struct decoder *d) { return &d->batch.counters; }
