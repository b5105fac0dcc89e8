/* runtime/calibrate/width_search.h - how wide each layer should be: one rule after the other is tried in one layer
 * alone, and for a price each layer then takes the rule that serves it best, as if layers did not know of each other.
 * Pure. What comes out is a candidate, and is run before anything is said about it. */
#ifndef RUNTIME_CALIBRATE_WIDTH_SEARCH_H
#define RUNTIME_CALIBRATE_WIDTH_SEARCH_H

#include "router/width.h"

struct width_effect { /* of one rule in one layer, all others whole */
    double risk; /* seen                            */
    double kept; /* mean experts of a token in there */
    double reads; /* mean experts of a token from disk, beyond those of a token with all layers whole */
};

struct width_search {
    int                        n_layers, n_rules, n_used;
    const struct width_rule   *rules;   /* (n_rules)           */
    const struct width_effect *effects; /* (n_layers, n_rules) */
    const double              *expert;  /* (n_layers) cost     */
    double                     read;    /* cost                */
};

/* For each layer the rule with the least expert * kept + read * reads + price * risk; off where none is better than
 * all experts. */
void cm_width_search(const struct width_search *search, double price, struct width_rule *out);

/* Rules worth trying for n_used experts: ratio, with a plan that streams resident, top_p and fixed, each from mild to
 * sharp. Writes at most capacity. */
int cm_width_rules_to_try(int n_used, bool renormalise, bool has_plan, struct width_rule *out, int capacity);

#endif
