/* runtime/policy/learned_exits.h - what is fitted to a model that was not trained for early exits: for some of its
 * layers a translator and a classifier. Plain data; runtime/fit/fit_exits.c makes it,
 * runtime/documents/exits_file.h stores it, the decoder runs it (runtime/exits/exit_weights.h).
 *
 *     the head reads  t = h + up (down h) + bias    instead of the state h
 *     keys and values of the layers behind are made of  h + path_l (t - h), l layers having run,    instead of h
 *     confidence      sigmoid(classifier · h + classifier_bias) */
#ifndef RUNTIME_POLICY_LEARNED_EXITS_H
#define RUNTIME_POLICY_LEARNED_EXITS_H

#include "runtime/policy/policy.h"

struct learned_exit {
    int    layer;           /* layers that have run, 1 … n_layers - 1                             */
    int    rank;            /* of the translator, 1 … dim; 0 = none, the head reads h as it is     */
    float *down, *up, *bias; /* (rank, dim), (dim, rank), (dim); NULL where rank is 0              */
    float *path;            /* (n_layers): how far the state is on its way to t when l layers have run, from l = layer
                               on (there 0, as it is fitted); NULL = keys and values are made of h itself */
    float *classifier;      /* (dim); NULL = none                                                 */
    float  classifier_bias;
};

struct learned_exits {
    char                model[17];       /* fingerprint of the model that it was fitted to        */
    char                fingerprint[17]; /* of all that is here, by cm_learned_exits_seal()       */
    int                 n_layers, dim;   /* of that model                                         */
    int                 n;
    struct learned_exit exits[POLICY_MAX_EXITS]; /* layers ascending, each once                   */
};

void cm_learned_exits_close(struct learned_exits *exits); /* zeroes it; a zeroed one is fine */

/* Memory for the parts of one exit, zeroed, in place of what it had. */
calmoe_status cm_learned_translator_reserve(struct calmoe_context *ctx, struct learned_exit *exit, int dim, int rank);
calmoe_status cm_learned_path_reserve(struct calmoe_context *ctx, struct learned_exit *exit, int n_layers);
void          cm_learned_translator_drop(struct learned_exit *exit); /* with its path */
calmoe_status cm_learned_classifier_reserve(struct calmoe_context *ctx, struct learned_exit *exit, int dim);

/* Sets the fingerprint: policies that were calibrated with these exits carry it. */
void cm_learned_exits_seal(struct learned_exits *exits);

/* Ranges, order, and that every number is finite. BAD_FILE: "the translator after layer 5: …". */
calmoe_status cm_learned_exits_check(struct calmoe_context *ctx, const struct learned_exits *exits);
/* Are they this model's? INVALID_ARGUMENT: what differs. */
calmoe_status cm_learned_exits_fit(struct calmoe_context *ctx, const struct learned_exits *exits, const char *model,
                                   int n_layers, int dim);

#endif
