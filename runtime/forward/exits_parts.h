/* runtime/forward/exits_parts.h - what the files behind exits.h share. */
#ifndef RUNTIME_FORWARD_EXITS_PARTS_H
#define RUNTIME_FORWARD_EXITS_PARTS_H

#include "runtime/forward/exits.h"

struct exits {
    int         n_short;      /* candidates of the shortlist                               */
    /* the step */
    bool        is_deciding;  /* some row may leave                                        */
    int         n_staying;
    int32_t    *staying;      /* (n_staying) rows of logits that are still to be made      */
    bool        had_head, had_shortlist; /* some row read the whole output matrix, or its beginning */
    int         first_empty;  /* layers from here on had no row                            */
    /* one exit point */
    int         n_full, n_few;
    int32_t    *full, *few;   /* rows of logits: to be made whole, or for the shortlist    */
    int         n_gone;       /* rows that left now: they stand at n_rows …                */
    /* scratch */
    float      *previous;     /* (max_rows, dim): the state after the layer before         */
    float      *scratch;      /* (n_workers, n_vocab)                                      */
    struct row *rows;         /* (max_rows)                                                */
    uint8_t    *n_kept;       /* (max_rows)                                                */
};

/* The exit that asks row after so many layers, NULL = none. */
const struct policy_exit *cm_exit_of(const struct row *row, int n_layers_run);

#endif
