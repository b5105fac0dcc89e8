/* runtime/forward/between.h - the decoder as it shows itself to what runs between layers: the batch's rows with their
 * states, the head, a matrix product by all workers, and keys and values of layers that a row skips.
 *
 * The batch is rows 0 … n - 1, in the order in which layers see them; room behind them, up to max_rows, may hold rows
 * that are no longer of the batch, for cm_fill_layers(). One worker changes the batch while the others wait, and ends
 * with cm_batch_changed(). */
#ifndef RUNTIME_FORWARD_BETWEEN_H
#define RUNTIME_FORWARD_BETWEEN_H

#include "runtime/forward/decoder.h"

/* ---- rows ---- */

int         cm_batch_n(const struct decoder *decoder);
void        cm_batch_set_n(struct decoder *decoder, int n);
struct row *cm_batch_row(const struct decoder *decoder, int r);
float      *cm_batch_state(const struct decoder *decoder, int r); /* (dim) */
/* Row `from` with all that belongs to it becomes row `to`. */
void        cm_batch_move(struct decoder *decoder, int from, int to);
/* Row r becomes this one, with the state (dim). */
void        cm_batch_place(struct decoder *decoder, int r, const struct row *row, const float *state);
/* A row's floats, its state among them: so many; out of the batch, and back. */
size_t      cm_batch_row_floats(const struct decoder *decoder);
void        cm_batch_save(const struct decoder *decoder, int r, float *to);
void        cm_batch_load(struct decoder *decoder, int r, const float *from);
/* After rows came or went, if any are left: layers plan anew. */
void        cm_batch_changed(struct decoder *decoder);
/* 0, 1, 2, … (max_rows): lists of rows that follow each other. */
const int32_t *cm_batch_identity(const struct decoder *decoder);
/* A worker's share of the rows: *begin … *end, the same wherever rows are shared. */
void        cm_batch_share(const struct decoder *decoder, const struct worker *me, int *begin, int *end);

/* ---- what came of rows ---- */

/* Now is the time to tell the caller what came of the row, and of its logits where it has any. */
void                        cm_report_row(struct decoder *decoder, const struct row *row);
const struct step_observer *cm_step_observers(const struct decoder *decoder);
float                      *cm_step_logits(const struct decoder *decoder, int logits_row); /* (n_vocab) */

/* ---- arithmetic, by all workers ---- */

/* From here on this worker's time belongs to the phase (CALMOE_PHASE_*). */
void cm_between_phase(struct decoder *decoder, const struct worker *me, int phase);
/* y (n, rows of the matrix) = matrix times rows `rows` of x; NULL = the first n. */
void cm_between_multiply(struct decoder *decoder, const struct placed_matrix *matrix, const struct activations *x,
                         const int32_t *rows, int n, float *y, const struct worker *me);
/* The barrier behind it, where all read whole rows of y (n, n_columns). */
void cm_between_gather(struct decoder *decoder, float *y, int n, int n_columns, const struct worker *me);
/* The states of all rows of the batch and behind it, as an input of that. */
struct activations cm_batch_states(const struct decoder *decoder);

/* The last norm of a state (dim), for a row of logits; by one worker. Uses the layers' scratch. */
void cm_head_norm(struct decoder *decoder, const float *state, int logits_row);
/* These rows of logits (ascending), tokens below n_tokens. A barrier before. */
void   cm_head_multiply(struct decoder *decoder, const int32_t *rows, int n_rows, int n_tokens,
                        const struct worker *me);
/* The barrier behind it, where all workers, and all ranks, read what it made: of all n lists. */
struct logit_rows {
    const int32_t *rows; /* (n) ascending        */
    int            n, n_tokens;
};
enum { MAX_HEAD_LISTS = 2 };
void   cm_head_gather(struct decoder *decoder, const struct logit_rows *lists, int n, const struct worker *me);
size_t cm_head_bytes(const struct decoder *decoder); /* of the output matrix */

/* Keys and values of layers from_layer … to_layer - 1, for rows begin … begin + n, which may stand behind the batch:
 * made of their state, moved along the path where there is one, through each layer's own norm, W_K and W_V, with each
 * row's own position. By all workers; a barrier before. Uses the layers' scratch. */
struct layer_fill {
    int          begin, n, from_layer, to_layer;
    const float *path;   /* (layers of the model): layer l reads h + path_l drift instead of h; NULL = none */
    const float *drifts; /* (rows, dim), where there is a path                                          */
};
void   cm_fill_layers(struct decoder *decoder, const struct layer_fill *fill, const struct worker *me);
/* The bytes of weights that it reads. */
size_t cm_fill_bytes(const struct decoder *decoder, int from_layer, int to_layer);

/* ---- between steps ---- */

/* Rows 0 … n - 1 have these states (n, dim) and rows of logits 0 … n - 1; then work runs on all workers. No step. */
void cm_batch_probe(struct decoder *decoder, const float *states, int n,
                    void (*work)(void *arg, const struct worker *me), void *arg);

#endif
