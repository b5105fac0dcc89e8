/* runtime/exits/exit_weights.h - learned exits as an engine runs them: translators packed like the
 * model's matrices. */
#ifndef RUNTIME_EXITS_EXIT_WEIGHTS_H
#define RUNTIME_EXITS_EXIT_WEIGHTS_H

#include "experts/placed_matrix.h"
#include "experts/machine.h"
#include "runtime/policy/learned_exits.h"

struct exit_weight {
    struct placed_matrix down, up; /* (rank, dim), (dim, rank), cut by the plan's shares; no rows: the head reads the
                                      state as it is                                                       */
    const float  *bias;            /* (dim)                                                                */
    const float  *path;            /* (n_layers): learned_exits.h; NULL = none                             */
    const float  *classifier;      /* (dim); NULL = none                                                   */
    float         classifier_bias;
};

struct exit_weights {
    const struct learned_exits *learned; /* borrowed                                     */
    struct exit_weight   *layers;   /* (n_layers), by layers that have run               */
    int                   max_rank; /* 0: no translator                                  */
    struct packed_weights packed;
};

/* learned fits the model, and outlives *out. */
calmoe_status cm_exit_weights_open(const struct machine *machine, const struct learned_exits *learned,
                                   struct exit_weights **out);
void          cm_exit_weights_close(struct exit_weights **weights); /* NULL inside is fine */

/* What there is after so many layers; NULL = nothing. weights may be NULL. */
static inline const struct exit_weight *cm_exit_weight(const struct exit_weights *weights, int n_layers_run)
{
    if (!weights || n_layers_run >= weights->learned->n_layers) return NULL;
    return &weights->layers[n_layers_run];
}
static inline bool cm_exit_is_translated(const struct exit_weights *weights, int n_layers_run)
{
    const struct exit_weight *weight = cm_exit_weight(weights, n_layers_run);
    return weight && weight->down.n_rows > 0; /* of several ranks one may have no part of it */
}

#endif
