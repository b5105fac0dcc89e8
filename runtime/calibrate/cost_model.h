/* runtime/calibrate/cost_model.h - what a policy costs, from what its parts cost and what tokens were seen to do.
 * Pure.
 *
 * A token that leaves after e of L layers, with k_l experts kept in layer l, costs
 *   sum over l <= e of (layer_l + k_l expert_l)                      the layers that it runs
 *   + the checks of all exits up to e                                 (a whole head where the measure reads logits)
 *   + sum over l > e of fill_l, or of (layer_l + min(k_tail, k_l) expert_l)    the layers that it does not run
 *   + a head for the token that is emitted, and one for each exit that the full head did not confirm. */
#ifndef RUNTIME_CALIBRATE_COST_MODEL_H
#define RUNTIME_CALIBRATE_COST_MODEL_H

#include <stdint.h>

#include "runtime/policy/policy.h"

struct cost_table { /* microseconds, or kilobytes of weights, for one row at the batch size at hand; (n_layers) each */
    int           n_layers;
    const double *layer;                 /* attention, norms, gate, shared expert                  */
    const double *expert;                /* one routed expert                                      */
    const double *fill[KV_FILL_COUNT];   /* keys and values of a layer that was not run            */
    double        check[MEASURE_COUNT];  /* without the head; a shortlist's with its part of the head */
    double        head;
};

/* What layers are, as far as costs are concerned. */
struct cost_layers {
    int  n_layers;
    int *n_fixed;  /* (n_layers) experts that every token runs: those of a dense half, whose cost counts as theirs */
    int *n_routed; /* (n_layers) 1: has routed experts; 0                                                          */
};
/* The table by these prices. memory (4, n_layers) becomes the table's. */
void cm_price_layers(const struct cost_layers *layers, const struct parts *prices, double *memory,
                     struct cost_table *out);

struct token_depths { /* what n_tokens tokens did under a rung */
    int            n_tokens;
    const int32_t *n_layers_run; /* (n_tokens): 1 … n_layers; n_layers = did not leave               */
    const uint8_t *n_kept;       /* (n_tokens, n_layers): experts that the width rule keeps, or would
                                    keep in layers that were not run                                 */
    const uint8_t *n_refused;    /* (n_tokens): exits that the full head did not confirm; NULL = none */
};

/* The mean of a token. rung NULL = OFF: every layer, no checks, one head. */
double cm_expected_cost(const struct cost_table *table, const struct policy_rung *rung,
                        const struct token_depths *tokens);

/* Adds to counts what the tokens ran, in parts: their cost is cm_parts_cost() of that. tables[part] prices that part
 * at 1 and all others at 0. */
void cm_count_parts(const struct cost_table tables[PART_COUNT], const struct policy_rung *rung,
                    const struct token_depths *tokens, struct parts *counts);

/* Mean layers a token, CALM's main figure: those that ran in full. */
double cm_mean_layers(const struct token_depths *tokens);

#endif
