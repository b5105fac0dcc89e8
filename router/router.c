/* router/router.c - the six steps of a gate, one after the other: score (with the logits' own bias), bias, limit
 * groups, choose, weigh, renormalise and scale. Which of them act is data (router_spec.h). */
#include "router/router.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "router/score.h"
#include "router/topk.h"

calmoe_status cm_router_check(struct calmoe_context *ctx, const struct router_spec *spec)
{
    if (spec->n_experts < 1 || spec->n_experts > ROUTER_MAX_EXPERTS)
        return cm_fail(ctx, CALMOE_UNSUPPORTED, "%d experts in a layer; 1 to %d are supported",
                       spec->n_experts, ROUTER_MAX_EXPERTS);
    if (spec->n_used < 1 || spec->n_used > spec->n_experts)
        return cm_fail(ctx, CALMOE_BAD_FILE, "%d experts used of %d; it must be 1 to all of them",
                       spec->n_used, spec->n_experts);
    if (spec->n_used > ROUTER_MAX_USED)
        return cm_fail(ctx, CALMOE_UNSUPPORTED, "%d experts for each token; at most %d are supported",
                       spec->n_used, ROUTER_MAX_USED);
    if (spec->n_groups < 1 || spec->n_experts % spec->n_groups != 0)
        return cm_fail(ctx, CALMOE_BAD_FILE, "%d expert groups do not divide %d experts", spec->n_groups,
                       spec->n_experts);
    if (spec->n_groups_used < 1 || spec->n_groups_used > spec->n_groups)
        return cm_fail(ctx, CALMOE_BAD_FILE, "%d expert groups used of %d", spec->n_groups_used,
                       spec->n_groups);
    if (spec->n_groups_used * (spec->n_experts / spec->n_groups) < spec->n_used)
        return cm_fail(ctx, CALMOE_BAD_FILE, "%d groups of %d experts cannot give %d experts to a token",
                       spec->n_groups_used, spec->n_experts / spec->n_groups, spec->n_used);
    return CALMOE_OK;
}

static float group_score_of(const struct router_spec *spec, const float *scores, int n)
{
    float best = -INFINITY, second = -INFINITY;
    for (int i = 0; i < n; i++) {
        if (scores[i] > best) second = best, best = scores[i];
        else if (scores[i] > second) second = scores[i];
    }
    return spec->group_score == GROUP_MAX || n == 1 ? best : best + second;
}

/* Scores of experts in groups that are not among the best become -inf. */
static void limit_groups(const struct router_spec *spec, float *scores)
{
    float group_scores[ROUTER_MAX_EXPERTS];
    int32_t kept[ROUTER_MAX_EXPERTS];
    const int size = spec->n_experts / spec->n_groups;
    for (int group = 0; group < spec->n_groups; group++)
        group_scores[group] = group_score_of(spec, scores + group * size, size);
    cm_top_k(group_scores, spec->n_groups, spec->n_groups_used, kept);
    float limited[ROUTER_MAX_EXPERTS];
    for (int i = 0; i < spec->n_experts; i++) limited[i] = -INFINITY;
    for (int i = 0; i < spec->n_groups_used; i++)
        memcpy(limited + kept[i] * size, scores + kept[i] * size, (size_t)size * sizeof *scores);
    memcpy(scores, limited, (size_t)spec->n_experts * sizeof *scores);
}

static void renormalise(const struct router_spec *spec, float *weights)
{
    float sum = 0.0f;
    for (int i = 0; i < spec->n_used; i++) sum += weights[i];
    sum += spec->sum_epsilon;
    if (sum < spec->least_sum) sum = spec->least_sum;
    if (sum > 0.0f)
        for (int i = 0; i < spec->n_used; i++) weights[i] /= sum;
}

static bool holds_nan(const float *x, int n)
{
    bool found = false;
    for (int i = 0; i < n; i++) found |= isnan(x[i]) != 0;
    return found;
}

void cm_route(const struct router_spec *spec, const struct vector_ops *ops, float *logits,
              const struct router_vectors *vectors, int32_t *experts, float *weights)
{
    const struct score_row *row = &cm_scores[spec->score];
    const float *bias = vectors->choice_bias;
    for (int i = 0; vectors->logit_bias && i < spec->n_experts; i++) logits[i] += vectors->logit_bias[i];
    const bool is_number = !holds_nan(logits, spec->n_experts) && !(bias && holds_nan(bias, spec->n_experts));
    row->score(ops, logits, spec->n_experts);

    float choice[ROUTER_MAX_EXPERTS]; /* scores for the choice: with bias, without rejected groups */
    for (int i = 0; i < spec->n_experts; i++) choice[i] = bias ? logits[i] + bias[i] : logits[i];
    if (spec->n_groups > 1) limit_groups(spec, choice);
    cm_top_k(choice, spec->n_experts, spec->n_used, experts);

    for (int slot = 0; slot < spec->n_used; slot++) weights[slot] = logits[experts[slot]];
    if (row->weigh) row->weigh(ops, weights, spec->n_used);
    if (row->weigh_among) row->weigh_among(logits, spec->n_experts, experts, spec->n_used, weights);
    if (spec->renormalise) renormalise(spec, weights);
    if (spec->scale != 1.0f)
        for (int slot = 0; slot < spec->n_used; slot++) weights[slot] *= spec->scale;
    for (int slot = 0; vectors->output_scale && slot < spec->n_used; slot++)
        weights[slot] *= vectors->output_scale[experts[slot]];
    for (int slot = 0; !is_number && slot < spec->n_used; slot++) weights[slot] = NAN;
}
