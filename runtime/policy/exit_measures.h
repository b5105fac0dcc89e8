/* runtime/policy/exit_measures.h - how sure a token is after some of its layers: the confidence measures, and
 * the thresholds that they must reach. Pure: no memory, no failure, the same bits everywhere. */
#ifndef RUNTIME_POLICY_EXIT_MEASURES_H
#define RUNTIME_POLICY_EXIT_MEASURES_H

#include <stdbool.h>

#include "kernels/vector_ops.h"

enum exit_measure {
    MEASURE_SOFTMAX,    /* p1 - p2 of the exit's whole distribution                                 */
    MEASURE_STATE,      /* cosine of the hidden state and the one a layer before; below 0 counts as 0 */
    MEASURE_CLASSIFIER, /* sigmoid(w · features + b)                                                */
    MEASURE_SHORTLIST,  /* p1 - p2 of the distribution over some candidate tokens                   */
    MEASURE_LEAD,       /* 1 - p2 / p1, of the two largest logits alone                             */
    MEASURE_ALWAYS,     /* 1: a static exit, for comparison                                         */
    MEASURE_COUNT
};

/* What a measure may look at. Unused parts may be NULL. */
struct exit_view {
    const float *logits;        /* (n_logits): of all tokens, or of the candidates               */
    int          n_logits;
    const float *hidden;        /* (dim): the residual stream after the layer, before any norm   */
    const float *previous;      /* (dim): after the layer before                                 */
    int          dim;
    const float *features;      /* (n_features): what the classifier was fitted to; often hidden */
    const float *classifier;    /* (n_features): w                                               */
    float        classifier_bias;
    int          n_features;
};

struct exit_measure_row {
    const char *name;           /* "softmax", … as options and policy files write it      */
    bool        reads_logits;   /* of the whole vocabulary: the head has run              */
    bool        reads_shortlist; /* the head has run on the candidates; the full head must confirm their winner */
    bool        reads_previous;
    bool        reads_features;
    /* In [0, 1], more is surer. Whatever is no answer (a NaN or an infinity anywhere, no logits, a zero vector)
     * gives 0, which reaches no threshold. */
    float (*confidence)(const struct vector_ops *ops, const struct exit_view *view);
};

extern const struct exit_measure_row cm_exit_measures[MEASURE_COUNT];

/* ---- thresholds ----
 *
 * CALM lowers the threshold with the position t among generated tokens, N the most there can be:
 *   paper   clip(9/10 lambda + 1/10 exp(-tau t / N))          eq. 5
 *   code    clip(lambda (9/10 + 1/10 exp(-tau t / N)))        as its authors' program computes it
 * In both, lambda = 1 with tau > 0 ends below 1; so "never" is a state of its own, not a number. */
enum threshold_schedule { SCHEDULE_OFF, SCHEDULE_CONSTANT, SCHEDULE_PAPER, SCHEDULE_CODE, SCHEDULE_COUNT };

extern const char *const cm_schedule_names[SCHEDULE_COUNT]; /* "off", "constant", "paper", "code" */

struct exit_threshold {
    enum threshold_schedule schedule; /* 0 = off                 */
    float                   lambda;   /* (0, 1]                  */
    float                   tau;      /* >= 0; 0 where constant  */
    int                     length;   /* N, > 0; 0 where constant */
};

/* The threshold of the t-th generated token, t from 0; above 1, so out of reach, where it is off. */
float cm_threshold_at(const struct exit_threshold *threshold, int t);

/* Does a token of this confidence leave? Never for off, a NaN, or a confidence of 0. */
bool cm_leaves(const struct exit_threshold *threshold, float confidence, int t);

#endif
