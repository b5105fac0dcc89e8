/* runtime/forward/decoder.c - embed; all layers; head. And the memory that they work in. */
#include "runtime/forward/decoder_parts.h"

#include <string.h>

#include "base/memory.h"

void cm_linear_part(struct decoder *d, const struct placed_matrix *matrix, const struct matrix_part *part, int begin,
                    int end, const struct activations *x, const int32_t *tokens, int n_tokens, const float *bias,
                    float *y, const struct worker *me)
{
    const size_t stride = (size_t)matrix->n_rows;
    const int first = part->first_row;
    if (begin >= end) return;
    part->matrix.kernel->multiply(&part->matrix, begin, end, x, tokens, n_tokens, y + first + begin, stride);
    cm_phase_bytes(&d->counters.clocks[me->index])[part->node] += cm_rows_bytes(&part->matrix, end - begin);
    if (!bias) return;
    for (int token = 0; token < n_tokens; token++)
        for (int i = first + begin; i < first + end; i++) y[(size_t)token * stride + (size_t)i] += bias[i];
}

void cm_linear_shared(struct decoder *d, const struct placed_matrix *matrix, const struct activations *x,
                      const int32_t *tokens, int n_tokens, const float *bias, float *y, const struct worker *me)
{
    for (int i = 0; i < matrix->n_parts; i++) {
        int begin, end;
        cm_part_share(&matrix->parts[i], me, &begin, &end);
        cm_linear_part(d, matrix, &matrix->parts[i], begin, end, x, tokens, n_tokens, bias, y, me);
    }
}

/* ---- a step ---- */

/* Own rows: the token's row of the embedding, and the angles of its position. */
static void embed_rows(struct decoder *d, const struct worker *me)
{
    const struct weight_source *embedding = &d->weights->embedding;
    const struct weight_type_row *type = &cm_weight_types[embedding->type];
    const int dim = d->spec->dim, n_pairs = d->rope.n_pairs;
    const size_t row_bytes = cm_row_bytes(embedding->type, (size_t)dim);
    int begin, end;
    cm_own_rows(d, me, &begin, &end);
    for (int r = begin; r < end; r++) {
        const struct row_request *asked = &d->rows[r].asked;
        float *x = cm_row(d->x, r, dim);
        type->dequantize(embedding->rows + (size_t)asked->token * row_bytes, x, (size_t)(dim / type->n_elements));
        if (d->spec->embedding_scale != 1.0f)
            for (int i = 0; i < dim; i++) x[i] *= d->spec->embedding_scale;
        cm_rope_row(&d->rope, asked->position, cm_row(d->cosines, r, n_pairs), cm_row(d->sines, r, n_pairs));
    }
}

static void show_states(struct decoder *d, int layer, const struct worker *me)
{
    int begin, end;
    cm_own_rows(d, me, &begin, &end);
    for (const struct step_observer *observer = d->step->observers; observer; observer = observer->next)
        if (observer->states) observer->states(observer->user, layer, begin, end, d->x);
}

/* What a layer has but for experts. */
static size_t dense_bytes(const struct layer *layer)
{
    return layer->q.n_bytes + layer->k.n_bytes + layer->v.n_bytes + layer->o.n_bytes + layer->router.n_bytes +
           layer->shared_gate.n_bytes;
}

static void run_layer(struct decoder *d, int layer, const struct worker *me)
{
    if (me->index == 0) d->counters.n_weight_bytes += dense_bytes(&d->weights->layers[layer]);
    cm_attention(d, layer, me);
    cm_moe_layer(d, layer, me);
    if (d->step->observers) show_states(d, layer, me);
}

static void run_step(void *arg, const struct worker *me)
{
    struct decoder *d = arg;
    const struct between_layers *between = d->step->between;
    void *self = d->step->between_self;
    cm_enter_phase(d, me, CALMOE_PHASE_OTHER);
    embed_rows(d, me);
    if (between) between->after(self, d, 0, me);
    for (int layer = 0; layer < d->spec->n_layers; layer++) {
        if (d->n_rows == 0 && !(between && between->more_come(self))) break;
        if (d->n_rows > 0) run_layer(d, layer, me);
        if (d->is_stopped) break;
        if (between) between->after(self, d, layer + 1, me);
    }
    if (!d->is_stopped) {
        cm_enter_phase(d, me, CALMOE_PHASE_HEAD);
        cm_lm_head(d, me);
    }
    cm_enter_phase(d, me, CALMOE_N_PHASES);
}

static void begin_step(struct decoder *d, struct step *step)
{
    d->step = step;
    d->n_rows = step->n_rows;
    d->is_stopped = false;
    atomic_store(&d->failure, CALMOE_OK);
    step->logits = d->logits;
    step->outcomes = d->outcomes;
    for (int r = 0; r < step->n_rows; r++) {
        step->rows[r].came = (struct row_outcome){.layers = d->spec->n_layers};
        d->rows[r] = (struct row){.asked = step->rows[r].asked, .may = step->rows[r].may, .came = step->rows[r].came,
                                  .index = r};
    }
    if (step->between) step->between->begin(step->between_self, d);
    d->routing.n_kept = step->between ? step->between->widths(step->between_self) : NULL;
    if (d->n_rows > 0) cm_attention_plan(d);
}

static calmoe_status status_of(const struct decoder *d)
{
    const calmoe_status failure = (calmoe_status)atomic_load(&d->failure);
    if (failure != CALMOE_OK) return failure; /* whose part failed said why */
    return d->is_stopped ? cm_fail(d->ctx, CALMOE_CANCELLED, "the step was interrupted") : CALMOE_OK;
}

calmoe_status cm_decoder_run(struct decoder *d, struct step *step)
{
    const uint64_t start = cm_now_ns();
    begin_step(d, step);
    cm_team_run(d->team, run_step, d);
    for (int r = 0; r < d->n_rows; r++) cm_report_row(d, &d->rows[r]); /* those that left told theirs then */
    cm_count_step(&d->counters, step->n_rows, cm_now_ns() - start);
    const calmoe_status status = status_of(d);
    if (step->between) step->between->end(step->between_self, d, status != CALMOE_OK);
    else if (step->n_logits > 0) cm_count_head(&d->counters, d->weights->output.n_bytes);
    return status;
}

calmoe_status cm_decoder_reserve_logits(struct decoder *d, int n)
{
    if (n <= d->logits_capacity) return CALMOE_OK;
    float *logits = cm_alloc(d->ctx, (size_t)n * (size_t)d->spec->n_vocab, sizeof *logits, "logits");
    struct row_outcome *outcomes = cm_alloc(d->ctx, (size_t)n, sizeof *outcomes, "logits");
    if (!logits || !outcomes) {
        cm_free(logits);
        cm_free(outcomes);
        return CALMOE_NO_MEMORY;
    }
    cm_free(d->logits);
    cm_free(d->outcomes);
    d->logits = logits;
    d->outcomes = outcomes;
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
    const struct model_spec *spec = d->spec;
    const struct layer_maxima *most = &spec->most;
    const size_t n = (size_t)d->max_rows, dim = (size_t)spec->dim, used = (size_t)most->n_used;
    d->rows = piece(layout, n, sizeof *d->rows);
    d->x = piece(layout, n * dim, sizeof(float));
    place_activations(layout, d->max_rows, spec->dim, &d->normed);
    d->q = piece(layout, n * (size_t)most->q_columns, sizeof(float));
    d->k = piece(layout, n * (size_t)most->k_columns, sizeof(float));
    d->v = piece(layout, n * (size_t)most->v_columns, sizeof(float));
    d->cosines = piece(layout, n * (size_t)d->rope.n_pairs, sizeof(float));
    d->sines = piece(layout, n * (size_t)d->rope.n_pairs, sizeof(float));
    d->projected = piece(layout, n * dim, sizeof(float));
    d->router_logits = piece(layout, n * (size_t)most->n_experts, sizeof(float));
    d->routing.experts = piece(layout, n * used, sizeof(int32_t));
    d->routing.weights = piece(layout, n * used, sizeof(float));
    d->shared_weights = piece(layout, n, sizeof(float));
    d->identity = piece(layout, n, sizeof(int32_t));
}

static calmoe_status open_parts(struct calmoe_context *ctx, const struct topology *topology, struct decoder *d)
{
    const struct model_spec *spec = d->spec;
    CM_TRY(cm_rope_open(ctx, spec->ropes, spec->n_ropes, d->weights->rope_factors, &d->rope));
    CM_TRY(cm_counters_open(ctx, spec->n_layers, spec->most.n_experts,
                            cm_team_n_workers(d->team), &d->counters));
    const struct expert_run_limits limits = {
        .max_tokens = d->max_rows,
        .dim = spec->dim,
        .n_slots = spec->most.n_used,
        .max_experts = spec->most.n_experts,
        .max_width = {[BANK_ROUTED] = spec->most.width[BANK_ROUTED], [BANK_SHARED] = spec->most.width[BANK_SHARED]},
    };
    CM_TRY(cm_expert_run_open(ctx, &limits, d->ops, topology, d->team, &d->experts));
    CM_TRY(cm_attention_open(ctx, spec, topology, d->team, d->weights->plan, d->max_rows, &d->attention));
    struct layout layout = {0};
    lay_out(d, &layout);
    d->memory = layout.base = cm_alloc(ctx, layout.n_bytes, 1, "the decoder's scratch");
    if (!d->memory) return CALMOE_NO_MEMORY;
    layout.n_bytes = 0;
    lay_out(d, &layout);
    for (int i = 0; i < d->max_rows; i++) d->identity[i] = i;
    return CALMOE_OK;
}

calmoe_status cm_decoder_open(struct calmoe_context *ctx, const struct model_spec *spec,
                              const struct weights *weights, enum isa isa, const struct topology *topology,
                              struct team *team, int max_rows, struct decoder **out)
{
    *out = cm_alloc(ctx, 1, sizeof **out, "the decoder");
    if (!*out) return CALMOE_NO_MEMORY;
    (*out)->ctx = ctx;
    (*out)->spec = spec;
    (*out)->weights = weights;
    (*out)->ops = cm_vector_ops(isa);
    (*out)->team = team;
    (*out)->max_rows = max_rows;
    const calmoe_status status = open_parts(ctx, topology, *out);
    if (status != CALMOE_OK) cm_decoder_close(out);
    return status;
}

void cm_decoder_close(struct decoder **decoder)
{
    if (!*decoder) return;
    cm_rope_close(&(*decoder)->rope);
    cm_counters_close(&(*decoder)->counters);
    cm_expert_run_close(&(*decoder)->experts);
    cm_attention_close(&(*decoder)->attention);
    cm_free((*decoder)->logits);
    cm_free((*decoder)->outcomes);
    cm_free((*decoder)->memory);
    cm_free(*decoder);
    *decoder = NULL;
}

int                      cm_decoder_max_rows(const struct decoder *d) { return d->max_rows; }
const struct model_spec *cm_decoder_spec(const struct decoder *d) { return d->spec; }
const struct vector_ops *cm_decoder_ops(const struct decoder *d) { return d->ops; }
struct counters         *cm_decoder_counters(struct decoder *d) { return &d->counters; }
