/* router/score.h - the gating functions: one row each. */
#ifndef ROUTER_SCORE_H
#define ROUTER_SCORE_H

#include "kernels/vector_ops.h"
#include "router/router_spec.h"

struct score_row {
    const char *name;
    /* logits (n) become scores in place. */
    void (*score)(const struct vector_ops *ops, float *logits, int n);
    /* The weights of the k chosen, from their scores, in place; NULL: the scores are the weights. */
    void (*weigh)(const struct vector_ops *ops, float *weights, int k);
    /* Or from all n scores and which are chosen, best first; NULL: it is as said. */
    void (*weigh_among)(const float *scores, int n, const int32_t *experts, int k, float *weights);
};

extern const struct score_row cm_scores[SCORE_KIND_COUNT];

#endif
