/* runtime/forward/prefer_kept.c - the width rule that goes by where experts are, for the layer at work and for the one
 * that is looked ahead to. */
#include "router/router.h"
#include "runtime/forward/decoder_parts.h"
#include "runtime/policy/policy.h"

void cm_prefer_kept(const struct decoder *d, int index, const struct row *row, const float *scores, int32_t *experts,
                    float *weights)
{
    const struct policy_rung *rung = row->may.rung;
    const struct width_rule *rule = rung && rung->widths ? &rung->widths[index] : NULL;
    const struct router_spec *router = &d->batch.spec->layers[index].ffn.router;
    const struct layer *layer = &d->weights->layers[index];
    bool is_kept[ROUTER_MAX_EXPERTS];
    if (!rule || rule->kind != WIDTH_RESIDENT || !layer->experts.plan_streams) return;
    for (int expert = 0; expert < router->n_experts; expert++)
        is_kept[expert] = !cm_place_of(layer->experts.plan, index, expert)->is_streamed;
    const struct router_vectors vectors = {.choice_bias = layer->choice_bias, .output_scale = layer->expert_scale};
    cm_route_prefer(router, d->batch.ops, scores, &vectors, is_kept, rule->bound, experts, weights);
}
