/* runtime/mixers/row.h - a row of a step: one token of one sequence, in three parts. What was asked and what it may
 * leave out is the caller's; what came of it is the step's. */
#ifndef RUNTIME_MIXERS_ROW_H
#define RUNTIME_MIXERS_ROW_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct low_rank_uses;
struct policy_rung;
struct sequence_state;
struct waiting;

/* What a step knows of the sequence that a row belongs to. It lives with the sequence, for as long as that does. */
struct sequence {
    struct sequence_state *state; /* what its layers keep of its positions                                     */
    struct waiting  *waiting; /* its rows that left early (runtime/exits/waiting.h); NULL: none ever waits. Only what
                                 runs between layers looks at it                                            */
    void            *owner;   /* for observers                                                              */
    const struct low_rank_uses *adapters; /* what its rows add to products (experts/low_rank.h); NULL = nothing */
    const atomic_int *interrupt; /* once it is not 0, nobody wants rows of this sequence any more; NULL: they are always
                                    wanted                                                                  */
};

struct row_request {
    const struct sequence *sequence;
    int                    position;
    int32_t                token;
    int                    logits_row; /* where in the step's logits this row's go; -1 = none are wanted */
    const float           *before;     /* (dim): of a model whose layers read a state beside the token, that state */
    uint8_t               *kept;       /* of sequence_state: where the state of fixed size behind this row goes, too;
                                          NULL = nowhere */
    float                 *state;      /* (dim): where the row's state behind the last norm goes, if it runs all layers
                                          (of a model that hands on its state plain: before that norm); NULL = nowhere
                                          */
};

struct row_freedom {
    const struct policy_rung *rung; /* NULL: nothing is left out, for the row is a prompt's, or the policy is OFF */
    int                       t;    /* position in the answer, where there is a rung                              */
};

struct row_outcome {
    int   layers;     /* that its logits come from                                                           */
    int   n_experts;  /* routed experts that it ran, over all layers                                         */
    int   n_refused;  /* exits that it would have taken, had the whole vocabulary had the shortlist's winner */
    float confidence; /* at the last exit where it was asked; 0 = it was asked nowhere                       */
    int   broke_after; /* so many layers, 0 for the embedding, its state held NaN or infinities; -1 = it never did */
};

struct row {
    struct row_request asked;
    struct row_freedom may;
    struct row_outcome came;
    /* the step's own */
    int     index;        /* among the rows that the caller handed over; -1: it joined between two layers   */
    bool    is_leaving;   /* at the exit at hand                                                            */
    bool    is_in_tail;   /* it left, and goes on for its keys and values alone                             */
    bool    is_following; /* it joined, and goes as far as rows behind it in its sequence do                */
    int32_t pick;         /* its winner on the shortlist of the exit at hand                                */
};

#endif
