/* runtime/calibrate/configurations.h - the policies that calibration weighs against each other: a list of rungs of
 * which nothing is proven, each once. */
#ifndef RUNTIME_CALIBRATE_CONFIGURATIONS_H
#define RUNTIME_CALIBRATE_CONFIGURATIONS_H

#include "runtime/policy/policy.h"

struct configurations { /* zeroed = empty */
    int                 n, capacity, n_layers;
    struct policy_rung *rungs;  /* (capacity); widths are theirs or NULL */
    struct width_rule  *widths; /* (capacity, n_layers)                  */
};

calmoe_status cm_configurations_open(struct calmoe_context *ctx, int capacity, int n_layers,
                                     struct configurations *out);
/* Room for n more. Rungs move. */
calmoe_status cm_configurations_grow(struct calmoe_context *ctx, int n, struct configurations *list);
void          cm_configurations_close(struct configurations *list);

/* Adds a copy of what the rung leaves out, with widths (n_layers, NULL = all experts) in place of its own. Rules that
 * are off everywhere are none. False where it is there already, leaves out nothing, or the list is full. */
bool cm_configurations_add(struct configurations *list, const struct policy_rung *rung,
                           const struct width_rule *widths);
/* Where it is; -1: nowhere. */
int cm_configurations_find(const struct configurations *list, const struct policy_rung *rung,
                           const struct width_rule *widths);

/* "softmax 4:0.91 7:0.8, tail 1, ratio 0.3 0.3 off …" (at most n_bytes). */
void cm_configuration_text(const struct policy_rung *rung, int n_layers, char *text, size_t n_bytes);

#endif
