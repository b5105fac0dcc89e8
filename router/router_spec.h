/* router/router_spec.h - what a family says of its gate, as data. The six steps of router.c read it. */
#ifndef ROUTER_ROUTER_SPEC_H
#define ROUTER_ROUTER_SPEC_H

#include <stdbool.h>

enum score_kind {           /* logits z → scores p                                                   */
    SCORE_SOFTMAX,          /* over all experts                                                      */
    SCORE_SIGMOID,          /* each alone                                                            */
    SCORE_SOFTMAX_SELECTED, /* p = z for the choice; weights = softmax over the chosen logits        */
    SCORE_SQRT_SOFTPLUS,    /* sqrt(ln(1 + e^z))                                                     */
    SCORE_SIGMOID_SELECTED, /* p = z for the choice; weights = sigmoid of each chosen logit alone    */
    SCORE_SPARSEMIXER,      /* p = z for the choice; weights: each chosen logit's softmax over those near it (Liu et
                               al., 2023, at inference): of experts not chosen before, those whose logits lie behind
                               the largest by a fiftieth at most of the larger of that and of their own size */
    SCORE_KIND_COUNT
};

enum group_score { GROUP_TOP2_SUM, GROUP_MAX }; /* how a group's scores become one: its best two added, or its best */

struct router_spec {
    int              n_experts;
    int              n_used;        /* k, experts of a token                                        */
    enum score_kind  score;
    bool             has_bias;      /* a bias (n_experts) is added for the choice, never to weights */
    int              n_groups;      /* 1 = no groups                                                */
    int              n_groups_used;
    enum group_score group_score;
    bool             renormalise;   /* weights / max(their sum + sum_epsilon, least_sum)            */
    float            sum_epsilon, least_sum; /* 0 = none                                            */
    float            scale;         /* then times this; 1 = none                                    */
};

/* What a layer's gate adds of its own, each (n_experts) or NULL. */
/* Whether the chosen experts' weights add up to a constant, so that those of fewer experts have to be scaled again. */
static inline bool cm_renormalises(const struct router_spec *spec)
{
    return spec->renormalise || spec->score == SCORE_SOFTMAX_SELECTED;
}

struct router_vectors {
    const float *logit_bias;    /* added to the logits, before all else            */
    const float *choice_bias;   /* added to the scores for the choice only         */
    const float *output_scale;  /* of the chosen: their weights times this, at last */
};

#endif
