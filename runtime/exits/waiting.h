/* runtime/exits/waiting.h - the rows of one sequence that left early, and that have no keys and values yet in the
 * layers behind their exit: how far each of them got, and its state there. All memory is reserved when the list is
 * opened.
 *
 * Such a row waits until a row of a later position goes on from the same depth, because that row will look at its
 * keys and values. With KV_CATCH_UP the waiting row then joins the batch and runs the real layers; where the later
 * row leaves, it waits again. With KV_LAZY keys and values are made of the state at the exit, for the layers up to
 * the one behind which the later row may leave. Either way a row finds keys and values of all positions before its
 * own, and these do not depend on how a sequence was cut into steps. */
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
    int     layers;     /* so many have its keys and values; with KV_CATCH_UP its state is the one after them */
    int     exit_layer; /* the layer after which it left                                                  */
    int     n_experts;  /* so many it ran                                                                 */
    int     broke_after; /* as of struct row_outcome                                                      */
    int     logits_row; /* the row of logits in this step that it fills if it reaches the head; -1 = none  */
    float  *state;      /* as of struct row_request; NULL = nowhere                                        */
    uint8_t *kept;      /* likewise                                                                        */
    const struct policy_rung *rung;
    int     slot;       /* where its state lies: see struct waiting                                       */
};

/* A state stays in its slot for as long as its row waits, and to the end of the step if it waited when the step began:
 * then cm_waiting_undo() can have it back. So there are twice as many slots as rows. */
struct waiting {
    int                    dim, capacity, n;
    struct waiting_row    *rows;   /* (capacity): the first n, positions ascending                             */
    float                 *states; /* (2 capacity, dim), by slot                                               */
    float                 *drifts; /* (2 capacity, dim), by slot: of rows whose exit has a translator (translate.c) */
    bool                  *is_taken; /* (2 capacity): by slot                                                    */
    /* of the step that runs: */
    int                    n_before; /* rows that waited when it began, for cm_waiting_undo()                  */
    struct waiting_row    *before;   /* (capacity)                                                             */
    int driven_below; /* rows before this position go through all layers, whether or not a later one does; 0 = none */
    int limit;        /* rows before this position are wanted deeper     */
    int to_layer;     /* keys and values below this one are wanted       */
};

calmoe_status cm_waiting_open(struct calmoe_context *ctx, int capacity, int dim, struct waiting **out);
void          cm_waiting_close(struct waiting **waiting); /* NULL inside is fine */

/* Gives `to`, which has the same capacity and width, a copy of all rows. The copies belong to `sequence`. */
void cm_waiting_copy(const struct waiting *from, const struct sequence *sequence, struct waiting *to);

/* One thread calls cm_waiting_begin() before a step. Where the step fails, cm_waiting_undo() has the rows wait again
 * that waited then. */
void cm_waiting_begin(struct waiting *waiting);
void cm_waiting_undo(struct waiting *waiting);

/* Adds a row by its position; the caller knows that there is room. Slot and logits_row are set here. state and drift
 * (dim) are copied; drift may be NULL. */
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
