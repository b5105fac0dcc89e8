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
    int         n_late;
    int32_t    *late;         /* (n_late) of them those whose rows left: made with the others, of their state then */
    bool        had_head, had_shortlist; /* some row read the whole output matrix, or its beginning */
    uint8_t    *had_rows;     /* (n_layers) 1: a row ran it                                */
    int              n_sequences;
    struct waiting **sequences; /* (max_rows + 1) of the rows, those that wait              */
    size_t      translator_bytes; /* that were read                                        */
    /* one exit point */
    int         n_full, n_few;
    int32_t    *full, *few;   /* rows of logits: to be made whole, or for the shortlist    */
    int         n_asked;
    int32_t    *asked;        /* rows whose state is to be translated for the head         */
    int                  n_fills;
    struct kv_fill_rows *fills; /* (max_rows): of rows that stand behind n_rows             */
    /* scratch */
    float      *previous;     /* (max_rows, dim): the state after the layer before         */
    float      *late_states;  /* (max_rows, dim): by rows of logits                        */
    float      *low;          /* (max_rows, max_rank): down h                              */
    float      *translated;   /* (max_rows, dim), by places of `asked`                     */
    float      *drifts;       /* (max_rows, dim), by rows: translated - state, until the exit point is over */
    struct row *rows;         /* (max_rows)                                                */
    uint8_t    *n_kept;       /* (max_rows)                                                */
};

/* Does a row that leaves by this exit get its logits with all others at the end? Nobody reads them before. With a
 * translator they are made at once, of the estimate. */
bool cm_exit_is_late(const struct decoder *decoder, const struct policy_exit *exit);
/* The exit that asks row after so many layers, NULL = none. */
const struct policy_exit *cm_exit_of(const struct row *row, int n_layers_run);

/* Are keys and values of rows that leave there made along a path, so that their drifts are needed? */
static inline bool cm_exit_has_path(const struct decoder *decoder, int n_layers_run)
{
    const struct exit_weight *weight = cm_exit_weight(decoder->exit_weights, n_layers_run);
    return weight && weight->path;
}

/* translate.c: the head's norm of the rows of `asked`, translated. By all workers; a barrier before, one at its end. */
void   cm_translate_asked(struct decoder *decoder, int n_layers_run, const struct worker *me);
size_t cm_translator_bytes(const struct exit_weight *weight);

/* One worker, between two layers, in this order. How far each sequence wants its rows that wait: limit, to_layer; */
void cm_exits_want(struct decoder *decoder, int n_layers_run);
/* those that run the real layers join; */
void cm_exits_join(struct decoder *decoder, int n_layers_run);
/* the others, and n_gone rows that stand behind the batch already, are listed in fills. */
void cm_exits_fill(struct decoder *decoder, int n_layers_run, int n_gone);
/* All workers, behind a barrier. */
void cm_exits_run_fills(struct decoder *decoder, const struct worker *me);

/* One worker: after rows came, went or had their logits. */
void cm_exits_list_staying(struct decoder *decoder);
void cm_move_row(struct decoder *decoder, int from, int to);

#endif
