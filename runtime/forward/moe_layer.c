/* runtime/forward/moe_layer.c - the feed-forward half of a block: norm; score; route; run the experts where
 * they live; add. A dense layer takes the same way, without a router: it has one expert that every token goes to. */
#include "router/router.h"
#include "runtime/forward/decoder_parts.h"

static void choose_experts(struct decoder *d, int index, int r)
{
    const struct router_spec *router = &d->batch.spec->layers[index].ffn.router;
    const struct layer *layer = &d->weights->layers[index];
    int32_t *experts = d->routing.experts + (size_t)r * (size_t)router->n_used;
    float *weights = cm_row(d->routing.weights, r, router->n_used);
    const struct router_vectors vectors = {.logit_bias = layer->router_bias, .choice_bias = layer->choice_bias,
                                           .output_scale = layer->expert_scale};
    cm_route(router, d->batch.ops, cm_row(d->router_logits, r, router->n_experts), &vectors, experts, weights);
    for (const struct step_observer *observer = d->step->observers; observer; observer = observer->next)
        if (observer->choice) observer->choice(observer->user, index, &d->batch.rows[r], experts, weights);
}

/* How many of the chosen experts are run. */
static void narrow_row(struct decoder *d, int index, int r)
{
    const struct router_spec *router = &d->batch.spec->layers[index].ffn.router;
    int32_t *experts = d->routing.experts + (size_t)r * (size_t)router->n_used;
    float *weights = cm_row(d->routing.weights, r, router->n_used);
    const struct step *step = d->step;
    struct row *row = &d->batch.rows[r];
    cm_prefer_kept(d, index, row, cm_row(d->router_logits, r, router->n_experts), experts, weights);
    row->came.n_experts += d->routing.n_kept ? step->between->width(step->between_self, row, index, r, weights)
                                             : router->n_used;
}

/* By all workers, as a barrier: the choice of rank 0 becomes that of all ranks. */
static void tell_choices(struct decoder *d, int index, const struct worker *me)
{
    const size_t n = (size_t)d->batch.n_rows * (size_t)d->batch.spec->layers[index].ffn.router.n_used;
    const struct exchange_words words[] = {{d->routing.experts, n * sizeof *d->routing.experts},
                                           {d->routing.weights, n * sizeof *d->routing.weights}};
    cm_exchange_tell(d->batch.exchange, words, 2, me);
}

/* What routed experts read. */
static struct activations *routed_input(struct decoder *d, const struct layer *layer)
{
    return layer->routed_norm ? &d->routed_input : &d->batch.normed;
}

static void route_rows(struct decoder *d, int index, int begin, int end, const struct worker *me)
{
    const struct layer *layer = &d->weights->layers[index];
    struct activations *input = routed_input(d, layer);
    if (layer->router.n_parts > 0) {
        if (layer->router_norm) cm_norm_ffn_rows(d, layer->ffn_kinds, layer->router_norm, begin, end, input);
        cm_multiply_own(d, &layer->router, input, begin, end, d->router_logits, me);
        if (layer->routed_norm) cm_norm_ffn_rows(d, layer->ffn_kinds, layer->routed_norm, begin, end, input);
        for (int r = begin; r < end; r++) choose_experts(d, index, r);
        if (d->step->tells_choices) tell_choices(d, index, me);
        for (int r = begin; r < end; r++) narrow_row(d, index, r);
        if (d->lookahead) cm_lookahead_ask(d, index, begin, end, me);
    }
    if (layer->shared_gate.n_parts > 0 && end > begin) {
        cm_multiply_own(d, &layer->shared_gate, &d->batch.normed, begin, end, d->shared_weights, me);
        d->batch.ops->sigmoid(d->shared_weights + begin, end - begin);
    }
}

struct layer_plan {
    struct decoder *decoder;
    int             layer;
};

/* By the worker that comes last, while the others wait. */
static void plan_experts(void *arg)
{
    const struct layer_plan *plan = arg;
    struct decoder *d = plan->decoder;
    const struct layer *layer = &d->weights->layers[plan->layer];
    cm_look_whether_to_stop(d);
    d->routing.n_tokens = d->batch.n_rows;
    d->routing.n_slots = d->batch.spec->layers[plan->layer].ffn.router.n_used;
    const struct expert_step step = {
        .n_tokens = d->batch.n_rows,
        .routing = &d->routing,
        .inputs = {[BANK_ROUTED] = routed_input(d, layer), [BANK_SHARED] = &d->batch.normed,
                   [BANK_DENSE] = &d->batch.normed},
        .weights = {[BANK_SHARED] = layer->shared_gate.n_parts > 0 ? d->shared_weights : NULL},
        .adapters = d->batch.adapters,
    };
    cm_expert_run_plan(d->experts, &layer->experts, &step);
    if (d->lookahead) cm_lookahead_tell(d, plan->layer);
    cm_count_routing(&d->batch.counters, plan->layer, &d->routing);
    const struct expert_reads reads = cm_expert_run_reads(d->experts);
    d->batch.counters.n_experts_touched += (uint64_t)reads.n_routed;
    d->batch.counters.n_weight_bytes += reads.n_bytes;
    d->batch.counters.n_expert_bytes += reads.n_bytes;
}

static void show_routing(const struct decoder *d, int index, const struct routing *routing)
{
    for (const struct step_observer *observer = d->step->observers; observer; observer = observer->next)
        if (observer->routing) observer->routing(observer->user, index, d->batch.rows, d->batch.n_rows, routing);
}

void cm_show_no_routing(const struct decoder *d, int index)
{
    const struct routing none = {.n_tokens = d->batch.n_rows};
    show_routing(d, index, &none);
}

/* sum += part (dim), what a bank gave a row, normed by itself; in place. */
static void add_normed_bank(const struct decoder *d, const struct layer *layer, int bank, float *part, float *sum)
{
    const int dim = d->batch.spec->dim;
    d->batch.ops->rms_norm(part, layer->after_bank_norms[bank], d->batch.spec->norm_eps, dim, part);
    d->batch.ops->add_scaled(sum, part, 1.0f, dim);
}

/* sum (dim) = what the banks gave row r: together, or that of each normed by itself. */
static void sum_outputs(struct decoder *d, const struct layer *layer, int r, float *sum)
{
    const int dim = d->batch.spec->dim;
    unsigned together = 0;
    for (int bank = 0; bank < N_BANKS; bank++)
        if (!layer->after_bank_norms[bank]) together |= 1u << bank;
    cm_expert_run_sum(d->experts, r, together, sum);
    for (int bank = 0; bank < N_BANKS; bank++) {
        if (!layer->after_bank_norms[bank]) continue;
        float *part = cm_row(d->routed_input.values, r, dim); /* was read in the phases before */
        cm_expert_run_sum(d->experts, r, 1u << bank, part);
        add_normed_bank(d, layer, bank, part, sum);
    }
}

/* What the experts gave row r, normed where the layer does that, is added to x. */
static void add_sum(struct decoder *d, int index, int r, float *sum)
{
    const struct layer *layer = &d->weights->layers[index];
    const int dim = d->batch.spec->dim;
    float *x = cm_row(d->batch.x, r, dim);
    if (layer->after_ffn_norm) cm_add_normed(&d->batch, index, layer->after_ffn_norm, r, sum);
    else d->batch.ops->add_scaled(x, sum, d->batch.spec->layers[index].residual_scale, dim);
    for (int i = 0; layer->output_scale && i < dim; i++) x[i] *= layer->output_scale[0];
}

/* The same of all rows where ranks have columns of what the experts gave: each sums its own, and the sums come
 * together. */
static void add_gathered(struct decoder *d, int index, int begin, int end, const struct worker *me)
{
    const struct layer *layer = &d->weights->layers[index];
    const int dim = d->batch.spec->dim, n_rows = d->batch.n_rows;
    struct exchange_piece pieces[1 + N_BANKS] = {cm_columns_piece(d->batch.projected, n_rows, dim)};
    unsigned together = 0;
    int      n_pieces = 1;
    for (int bank = 0; bank < N_BANKS; bank++) {
        if (!layer->after_bank_norms[bank]) together |= 1u << bank;
        else pieces[n_pieces++] = cm_columns_piece(d->bank_sums[bank], n_rows, dim);
    }
    for (int r = begin; r < end; r++) {
        cm_expert_run_sum(d->experts, r, together, cm_row(d->batch.projected, r, dim));
        for (int bank = 0; bank < N_BANKS; bank++)
            if (layer->after_bank_norms[bank])
                cm_expert_run_sum(d->experts, r, 1u << bank, cm_row(d->bank_sums[bank], r, dim));
    }
    cm_barrier_gather(&d->batch, me, pieces, n_pieces, CALMOE_PHASE_OTHER);
    for (int r = begin; r < end; r++) {
        float *sum = cm_row(d->batch.projected, r, dim);
        for (int bank = 0; bank < N_BANKS; bank++)
            if (layer->after_bank_norms[bank]) add_normed_bank(d, layer, bank, cm_row(d->bank_sums[bank], r, dim), sum);
        add_sum(d, index, r, sum);
    }
}

void cm_moe_layer(struct decoder *d, int index, const struct worker *me)
{
    const struct layer *layer = &d->weights->layers[index];
    struct layer_plan plan = {d, index};
    int begin, end;
    cm_own_rows(&d->batch, me, &begin, &end);

    cm_enter_phase(&d->batch, me, CALMOE_PHASE_OTHER);
    cm_norm_ffn_rows(d, layer->ffn_kinds, layer->ffn_norm, begin, end, &d->batch.normed);
    cm_enter_phase(&d->batch, me, CALMOE_PHASE_ROUTE);
    route_rows(d, index, begin, end, me);
    cm_barrier_with(me, plan_experts, &plan);
    if (me->index == 0 && d->step->observers) show_routing(d, index, &d->routing);
    cm_enter_phase(&d->batch, me, CALMOE_PHASE_EXPERTS);
    cm_expert_run_gate_up(d->experts, me, cm_phase_bytes(&d->batch.counters.clocks[me->seat]));
    if (d->batch.exchange) cm_expert_run_gather(d->experts, me);
    else cm_barrier(me);
    cm_expert_run_down(d->experts, me, cm_phase_bytes(&d->batch.counters.clocks[me->seat]));
    cm_barrier_into(&d->batch, me, CALMOE_PHASE_OTHER);
    if (layer->experts.stream && me->index == 0 && cm_expert_run_has_failed(d->experts)) {
        atomic_store(&d->failure, CALMOE_IO);
        if (d->batch.exchange) d->batch.exchange->has_failed = true; /* told with the sums */
    }
    if (d->batch.exchange) add_gathered(d, index, begin, end, me);
    for (int r = begin; r < end && !d->batch.exchange; r++) {
        float *sum = cm_row(d->batch.projected, r, d->batch.spec->dim);
        sum_outputs(d, layer, r, sum);
        add_sum(d, index, r, sum);
    }
}
