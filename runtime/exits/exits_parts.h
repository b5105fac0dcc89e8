/* runtime/exits/exits_parts.h - what the files behind exits.h share. */
#ifndef RUNTIME_EXITS_EXITS_PARTS_H
#define RUNTIME_EXITS_EXITS_PARTS_H

#include "runtime/exits/exits.h"

struct exits {
    const struct exit_weights *weights; /* NULL: no learned exits                              */
    const uint8_t *usable;      /* (n_vocab): tokens that may win; NULL: all                   */
    const struct model_spec *spec;
    int         dim, n_layers, n_vocab;
    int         n_short;        /* candidates of the shortlist                                 */
    const struct sequence *driven; /* it may have no row in the step; NULL = none             */
    /* the step */
    bool        is_deciding;    /* some row may leave                                          */
    bool        has_widths;     /* some row may run fewer experts                              */
    int         n_staying;
    int32_t    *staying;        /* (n_staying) rows of logits that are still to be made        */
    int         n_late;
    int32_t    *late;           /* (n_late) of them those whose rows left: made with the others, of their state then */
    bool        had_head, had_shortlist; /* some row read the whole output matrix, or its beginning */
    int              n_sequences;
    struct waiting **sequences; /* (max_rows + 1) of the rows, those that wait                 */
    size_t      translator_bytes; /* that were read                                            */
    /* one exit point */
    int         n_full, n_few;
    int32_t    *full, *few;     /* rows of logits: to be made whole, or for the shortlist      */
    int         n_asked;
    int32_t    *asked;          /* rows whose state is to be translated for the head           */
    int                n_fills;
    struct exit_fill  *fills;   /* (max_rows): of rows that stand behind the batch             */
    /* scratch */
    float      *previous;       /* (max_rows, dim): the state after the layer before           */
    float      *late_states;    /* (max_rows, dim): by rows of logits                          */
    float      *low;            /* (max_rows, max_rank): down h                                */
    float      *translated;     /* (max_rows, dim), by places of `asked`                       */
    float      *drifts;         /* (max_rows, dim), by rows: translated - state, until the exit point is over */
    struct row *aside;          /* (max_rows) rows that are taken out of the batch for a moment, */
    float      *aside_floats;   /* (max_rows, cm_batch_row_floats) and what belongs to them     */
    uint8_t    *n_kept;         /* (max_rows)                                                  */
};

struct exit_fill { /* rows that left after exit_layer */
    int exit_layer;
    struct layer_fill layers;
};

/* Does a row that leaves by this exit get its logits with all others at the end? Nobody reads them before. With a
 * translator they are made at once, of the estimate. */
bool cm_exit_is_late(const struct exits *exits, const struct policy_exit *exit);
/* The exit that asks row after so many layers, NULL = none. */
const struct policy_exit *cm_exit_of(const struct row *row, int n_layers_run);

/* Are keys and values of rows that leave there made along a path, so that their drifts are needed? */
static inline bool cm_exit_has_path(const struct exits *exits, int n_layers_run)
{
    const struct exit_weight *weight = cm_exit_weight(exits->weights, n_layers_run);
    return weight && weight->path;
}

/* translate.c: the head's norm of the rows of `asked`, translated. By all workers; a barrier before, one at its end. */
void   cm_translate_asked(struct exits *exits, struct decoder *decoder, int n_layers_run, const struct worker *me);
size_t cm_translator_bytes(const struct exit_weight *weight);

/* exit_point.c: after n_layers_run layers, by all workers: asks the rows that have an exit here, lets go who may leave,
 * and brings in who waits and is wanted. */
void cm_exit_point(struct exits *exits, struct decoder *decoder, int n_layers_run, const struct worker *me);

/* catch_up.c. The last part of an exit point alone: */
void cm_exits_catch_up(struct exits *exits, struct decoder *decoder, int n_layers_run, const struct worker *me);
bool cm_exits_more_come(const struct exits *exits);
/* One worker, between two layers, in this order. How far each sequence wants its rows that wait: limit, to_layer; */
void cm_exits_want(struct exits *exits, const struct decoder *decoder, int n_layers_run);
/* those that run the real layers join; */
void cm_exits_join(struct exits *exits, struct decoder *decoder, int n_layers_run);
/* the others, and n_gone rows that stand behind the batch already, are listed in fills. */
void cm_exits_fill(struct exits *exits, struct decoder *decoder, int n_layers_run, int n_gone);
/* All workers, behind a barrier. */
void cm_exits_run_fills(struct exits *exits, struct decoder *decoder, const struct worker *me);

/* staying.c. One worker: after rows came, went or had their logits. */
void cm_exits_list_staying(struct exits *exits, const struct decoder *decoder);

#endif
