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

/* Scores for the choice: with bias, without rejected groups. */
static void score_choice(const struct router_spec *spec, const float *scores, const float *bias, float *choice)
{
    for (int i = 0; i < spec->n_experts; i++) choice[i] = bias ? scores[i] + bias[i] : scores[i];
    if (spec->n_groups > 1) limit_groups(spec, choice);
}

/* The weights of the chosen experts, by their scores. */
static void weigh(const struct router_spec *spec, const struct vector_ops *ops, const float *scores,
                  const float *output_scale, const int32_t *experts, float *weights)
{
    const struct score_row *row = &cm_scores[spec->score];
    for (int slot = 0; slot < spec->n_used; slot++) weights[slot] = scores[experts[slot]];
    if (row->weigh) row->weigh(ops, weights, spec->n_used);
    if (row->weigh_among) row->weigh_among(scores, spec->n_experts, experts, spec->n_used, weights);
    if (spec->renormalise) renormalise(spec, weights);
    if (spec->scale != 1.0f)
        for (int slot = 0; slot < spec->n_used; slot++) weights[slot] *= spec->scale;
    for (int slot = 0; output_scale && slot < spec->n_used; slot++) weights[slot] *= output_scale[experts[slot]];
}

void cm_route(const struct router_spec *spec, const struct vector_ops *ops, float *logits,
              const struct router_vectors *vectors, int32_t *experts, float *weights)
{
    const float *bias = vectors->choice_bias;
    float        choice[ROUTER_MAX_EXPERTS];
    for (int i = 0; vectors->logit_bias && i < spec->n_experts; i++) logits[i] += vectors->logit_bias[i];
    const bool is_number = !holds_nan(logits, spec->n_experts) && !(bias && holds_nan(bias, spec->n_experts));
    cm_scores[spec->score].score(ops, logits, spec->n_experts);
    score_choice(spec, logits, bias, choice);
    cm_top_k(choice, spec->n_experts, spec->n_used, experts);
    weigh(spec, ops, logits, vectors->output_scale, experts, weights);
    for (int slot = 0; !is_number && slot < spec->n_used; slot++) weights[slot] = NAN;
}

/* The preferred expert of those that are not chosen with the largest score for the choice; -1: there is none. */
static int best_preferred(const struct router_spec *spec, const float *choice, const bool *is_preferred,
                          const bool *is_chosen)
{
    int best = -1;
    for (int i = 0; i < spec->n_experts; i++)
        if (is_preferred[i] && !is_chosen[i] && choice[i] > -INFINITY && (best < 0 || choice[i] > choice[best]))
            best = i;
    return best;
}

int cm_route_prefer(const struct router_spec *spec, const struct vector_ops *ops, const float *scores,
                    const struct router_vectors *vectors, const bool *is_preferred, float bound, int32_t *experts,
                    float *weights)
{
    const struct score_row *row = &cm_scores[spec->score];
    float choice[ROUTER_MAX_EXPERTS];
    bool  is_chosen[ROUTER_MAX_EXPERTS] = {false};
    int   n_replaced = 0;
    if (row->weigh_among || holds_nan(weights, spec->n_used)) return 0;
    score_choice(spec, scores, vectors->choice_bias, choice);
    for (int slot = 0; slot < spec->n_used; slot++) is_chosen[experts[slot]] = true;
    for (int slot = spec->n_used - 1; slot >= 0; slot--) {
        if (is_preferred[experts[slot]]) continue;
        const int other = best_preferred(spec, choice, is_preferred, is_chosen);
        if (other < 0) break;
        float pair[2] = {scores[experts[slot]], scores[other]};
        if (row->weigh) row->weigh(ops, pair, 2);
        if (!(pair[1] >= bound * pair[0])) continue;
        is_chosen[experts[slot]] = false;
        is_chosen[other] = true;
        n_replaced++;
    }
    if (n_replaced == 0) return 0;
    for (int i = 0; i < spec->n_experts; i++)
        if (!is_chosen[i]) choice[i] = -INFINITY;
    cm_top_k(choice, spec->n_experts, spec->n_used, experts);
    weigh(spec, ops, scores, vectors->output_scale, experts, weights);
    return n_replaced;
}
