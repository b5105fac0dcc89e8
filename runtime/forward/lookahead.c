/* runtime/forward/lookahead.c - what the next layer will probably need of experts on disk, so that they are read while
 * this layer's run.
 *
 * A layer adds little to a row's state, so the next layer's router is asked with the state that this layer begins with:
 * its norm of that, its matrix, its rule. The answer says what is read, and nothing else: when the next layer comes,
 * its router is asked again with the state as it is then. A step of many rows needs most experts of a layer anyway;
 * then no router is asked, and all of them are named. */
#include "base/memory.h"
#include "router/router.h"
#include "runtime/forward/decoder_parts.h"

enum { MOST_ROWS = 16 }; /* of a step for which routers are asked */

struct lookahead {
    struct activations input;   /* (MOST_ROWS, dim)                                */
    void              *memory;
    float             *logits;  /* (MOST_ROWS, most experts)                       */
    float             *weights; /* (MOST_ROWS, most used): not looked at           */
    int32_t           *experts; /* (MOST_ROWS, most used)                          */
    int32_t           *all;     /* (most experts) 0, 1, 2, …                       */
};

calmoe_status cm_lookahead_open(struct decoder *d, struct lookahead **out)
{
    const struct layer_maxima *most = &d->batch.spec->most;
    const int                  dim = d->batch.spec->dim;
    struct lookahead          *l = *out = cm_alloc(d->ctx, 1, sizeof *l, "looking ahead");
    if (!l) return CALMOE_NO_MEMORY;
    l->memory = cm_alloc(d->ctx, cm_activations_bytes(MOST_ROWS, dim), 1, "looking ahead");
    l->logits = cm_alloc(d->ctx, MOST_ROWS * (size_t)most->n_experts, sizeof *l->logits, "looking ahead");
    l->weights = cm_alloc(d->ctx, MOST_ROWS * (size_t)most->n_used, sizeof *l->weights, "looking ahead");
    l->experts = cm_alloc(d->ctx, MOST_ROWS * (size_t)most->n_used, sizeof *l->experts, "looking ahead");
    l->all = cm_alloc(d->ctx, (size_t)most->n_experts, sizeof *l->all, "looking ahead");
    if (!l->memory || !l->logits || !l->weights || !l->experts || !l->all) return CALMOE_NO_MEMORY;
    cm_activations_place(&l->input, MOST_ROWS, dim, l->memory);
    for (int expert = 0; expert < most->n_experts; expert++) l->all[expert] = expert;
    return CALMOE_OK;
}

void cm_lookahead_close(struct lookahead **lookahead)
{
    struct lookahead *l = *lookahead;
    if (!l) return;
    cm_free(l->memory);
    cm_free(l->logits);
    cm_free(l->weights);
    cm_free(l->experts);
    cm_free(l->all);
    cm_free(l);
    *lookahead = NULL;
}

/* The next layer with a router; after the last one, -1: the next step's rows are not known. */
static int next_routed(const struct decoder *d, int layer)
{
    const struct model_spec *spec = d->batch.spec;
    while (++layer < spec->n_layers)
        if (cm_is_routed(&spec->layers[layer].ffn)) return layer;
    return -1;
}

void cm_lookahead_ask(struct decoder *d, int index, int begin, int end, const struct worker *me)
{
    struct lookahead *l = d->lookahead;
    const int         next = next_routed(d, index);
    if (next < 0 || d->batch.n_rows > MOST_ROWS) return;
    const struct router_spec   *router = &d->batch.spec->layers[next].ffn.router;
    const struct layer         *layer = &d->weights->layers[next];
    const struct router_vectors vectors = {.logit_bias = layer->router_bias, .choice_bias = layer->choice_bias,
                                           .output_scale = layer->expert_scale};
    cm_norm_ffn_rows(d, cm_placed_kind(&layer->router), layer->router_norm ? layer->router_norm : layer->ffn_norm,
                     begin, end, &l->input);
    cm_multiply_own(d, &layer->router, &l->input, begin, end, l->logits, me);
    for (int r = begin; r < end; r++) {
        float   *logits = cm_row(l->logits, r, router->n_experts), *weights = cm_row(l->weights, r, router->n_used);
        int32_t *experts = l->experts + (size_t)r * (size_t)router->n_used;
        cm_route(router, d->batch.ops, logits, &vectors, experts, weights);
        cm_prefer_kept(d, next, &d->batch.rows[r], logits, experts, weights);
    }
}

void cm_lookahead_tell(struct decoder *d, int index)
{
    const struct lookahead *l = d->lookahead;
    const int               next = next_routed(d, index), n_rows = d->batch.n_rows;
    if (next < 0) return;
    const struct router_spec *router = &d->batch.spec->layers[next].ffn.router;
    if (n_rows <= MOST_ROWS)
        cm_expert_stream_ahead(d->weights->stream, next, l->experts, n_rows * router->n_used, true);
    else cm_expert_stream_ahead(d->weights->stream, next, l->all, router->n_experts, false);
}
