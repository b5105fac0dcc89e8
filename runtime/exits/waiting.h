/* runtime/exits/waiting.h - rows of one sequence that left early and whose keys and values of the layers behind the
 * exit are yet to come: where each stands, and its state there. Memory is reserved once.
 *
 * With KV_CATCH_UP such a row joins the batch after the layers that it ran, as soon as a row of a later position goes
 * on from there, and runs the real layers; where that row leaves, it waits again. With KV_LAZY the state at the exit
 * gives keys and values of the layers up to where the later row may leave. So a row always finds keys and values of all
 * positions before its own, and what they are does not depend on how a sequence was cut into steps. */
#ifndef RUNTIME_EXITS_WAITING_H
#define RUNTIME_EXITS_WAITING_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

struct policy_rung;
struct sequence;

struct waiting_row {
    const struct sequence *sequence;
    int     position;
    int32_t token;
    int     layers;     /* that have its keys and values; with KV_CATCH_UP its state is the one after them */
    int     exit_layer; /* after which it left                                                            */
    int     n_experts;  /* that it ran                                                                    */
    int     broke_after; /* as of struct row_outcome                                                      */
    int     logits_row; /* of the step at hand, made where it reaches the head; -1 = none                  */
    float  *state;      /* as of struct row_request; NULL = nowhere                                        */
    uint8_t *kept;      /* likewise                                                                        */
    const struct policy_rung *rung;
    int     slot;       /* of its state                                                                   */
};

struct waiting {
    int                    dim, capacity, n;
    struct waiting_row    *rows;   /* (capacity): the first n, positions ascending                             */
    float                 *states; /* (2 capacity, dim), by slot                                               */
    float                 *drifts; /* (2 capacity, dim), by slot: of rows whose exit has a translator (translate.c) */
    bool                  *is_taken; /* (2 capacity): slots of rows that wait, or that waited when the step began */
    /* a step's: */
    int                    n_before; /* what waited when it began, for cm_waiting_undo()                       */
    struct waiting_row    *before;   /* (capacity)                                                             */
    int driven_below; /* rows before this position go through all layers, whether or not a later one does; 0 = none */
    int limit;        /* rows before this position are wanted deeper     */
    int to_layer;     /* keys and values below this one are wanted       */
};

calmoe_status cm_waiting_open(struct calmoe_context *ctx, int capacity, int dim, struct waiting **out);
void          cm_waiting_close(struct waiting **waiting); /* NULL inside is fine */

/* to, of the same capacity and width, waits with the same rows; they are of the sequence then. */
void cm_waiting_copy(const struct waiting *from, const struct sequence *sequence, struct waiting *to);

/* Before and after a step, by one thread: what waits now can be had back, until the next begin. */
void cm_waiting_begin(struct waiting *waiting);
void cm_waiting_undo(struct waiting *waiting);

/* There is room. The row's slot and its logits_row are set here; state and drift (dim) are copied; drift may be
 * NULL. */
void cm_waiting_add(struct waiting *waiting, struct waiting_row row, const float *state, const float *drift);
void cm_waiting_remove(struct waiting *waiting, int i);
/* Forgets rows from this position on. */
void cm_waiting_rewind(struct waiting *waiting, int position);

static inline const float *cm_waiting_state(const struct waiting *waiting, int i)
{
    return waiting->states + (size_t)waiting->rows[i].slot * (size_t)waiting->dim;
}
static inline const float *cm_waiting_drift(const struct waiting *waiting, int i)
{
    return waiting->drifts + (size_t)waiting->rows[i].slot * (size_t)waiting->dim;
}

#endif
