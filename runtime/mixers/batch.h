/* runtime/mixers/batch.h - the rows of a step between two halves of a layer: which they are, their states, and the
 * scratch that every half may use. What a mixer, and all that stands to its right, sees of a step.
 *
 * Every worker of the team walks the same code and meets the others at barriers. Two kinds of phases:
 *   "own rows"  each worker has its share of rows, the same share in every such phase of a step, so from
 *               one to the next no barrier is needed;
 *   "shared"    output rows of a matrix, attention heads, or expert tasks are split; barriers around.
 * Several ranks share the second kind likewise, and each has all rows of the first; what they computed is gathered at
 * the barrier behind the phase, where someone reads more than his own of it. */
#ifndef RUNTIME_MIXERS_BATCH_H
#define RUNTIME_MIXERS_BATCH_H

#include "base/clock.h"
#include "base/team.h"
#include "experts/exchange.h"
#include "experts/low_rank.h"
#include "experts/placed_matrix.h"
#include "kernels/vector_ops.h"
#include "runtime/families/model_spec.h"
#include "runtime/mixers/rope.h"
#include "runtime/mixers/row.h"
#include "runtime/stats/counters.h"

struct mixer_layer;

struct batch {
    const struct model_spec *spec;
    const struct vector_ops *ops;
    struct rope              rope;
    struct counters          counters;
    int                      max_rows;
    struct mixer_layer      *layers;    /* (n_layers): how each mixes positions, and with what (mixer.h) */
    void                   **works;     /* (MIXER_KIND_COUNT): each mixer's own scratch                  */
    struct exchange         *exchange;  /* with other ranks; NULL: there is one only                     */
    const struct low_rank_rows *adapters; /* what rows of the step add to products; NULL: no row adds anything */

    int                 n_rows;
    struct row         *rows;           /* (max_rows)                  */
    /* (max_rows, …) each */
    float              *x;              /* dim: the residual stream    */
    struct activations  normed;         /* dim: what a half reads      */
    float              *projected;      /* dim: what it adds           */
    float              *cosines, *sines; /* rope.n_pairs               */
    int32_t            *identity;       /* 0, 1, 2, …                  */
};

/* From now on this worker's time belongs to phase (CALMOE_PHASE_*); waiting at barriers belongs to none. */
static inline void cm_enter_phase(struct batch *batch, const struct worker *me, int phase)
{
    struct phase_clock *clock = &batch->counters.clocks[me->seat];
    if (batch->counters.is_paused || clock->phase == phase) return;
    cm_phase_clock_enter(clock, phase, cm_now_ns(), cm_team_waited_ns(me->team, me->seat));
}

/* A barrier and a phase behind it, with one reading of the clock. */
static inline void cm_barrier_into(struct batch *batch, const struct worker *me, int phase)
{
    const uint64_t      now_ns = cm_barrier_now(me);
    struct phase_clock *clock = &batch->counters.clocks[me->seat];
    if (batch->counters.is_paused || clock->phase == phase) return;
    cm_phase_clock_enter(clock, phase, now_ns > 0 ? now_ns : cm_now_ns(), cm_team_waited_ns(me->team, me->seat));
}

/* The same barrier behind a shared phase whose outputs are read whole: where there are other ranks, theirs come in. */
static inline void cm_barrier_gather(struct batch *batch, const struct worker *me, const struct exchange_piece *pieces,
                                     int n_pieces, int phase)
{
    if (batch->exchange) cm_exchange_meet(batch->exchange, pieces, n_pieces, me);
    if (batch->exchange) cm_enter_phase(batch, me, phase);
    else cm_barrier_into(batch, me, phase);
}

/* Row r of a matrix with rows of n floats. */
static inline float *cm_row(float *matrix, int r, int n) { return matrix + (size_t)r * (size_t)n; }

/* Own rows: *begin … *end. */
static inline void cm_own_rows(const struct batch *batch, const struct worker *me, int *begin, int *end)
{
    cm_share(batch->n_rows, 1, me->index, me->n_workers, begin, end);
}

/* y (dim) = a row as the model norms states: norm is (dim) weights; where states are centred, too, a bias (dim) stands
 * behind them. x == y is fine. */
static inline void cm_norm(const struct batch *batch, const float *x, const float *norm, float *y)
{
    const struct model_spec *spec = batch->spec;
    if (spec->centres_norms) batch->ops->layer_norm(x, norm, norm + spec->dim, spec->norm_eps, spec->dim, y);
    else batch->ops->rms_norm(x, norm, spec->norm_eps, spec->dim, y);
}

/* What a layer's half gave for row r, y (dim), is normed in place, times the layer's residual scale added to x. */
void cm_add_normed(struct batch *batch, int layer, const float *norm, int r, float *y);

/* Shared: y (n_tokens, n_rows of the matrix) = matrix x + bias, and what the rows' adapters add; each worker does its
 * range of output rows on its node. x has a row for each of the batch's; tokens (n_tokens): which of them; NULL = the
 * first. */
void cm_linear_shared(struct batch *batch, const struct placed_matrix *matrix, const struct activations *x,
                      const int32_t *tokens, int n_tokens, const float *bias, float *y, const struct worker *me);
/* The same of rows begin … end of one part, counted from its first; by this worker. */
void cm_linear_part(struct batch *batch, const struct placed_matrix *matrix, const struct matrix_part *part, int begin,
                    int end, const struct activations *x, const int32_t *tokens, int n_tokens, const float *bias,
                    float *y, const struct worker *me);
/* Both without adapters: for rows of x that are not those of the batch. */
void cm_linear_plain(struct batch *batch, const struct placed_matrix *matrix, const struct activations *x,
                     const int32_t *tokens, int n_tokens, const float *bias, float *y, const struct worker *me);
void cm_linear_plain_part(struct batch *batch, const struct placed_matrix *matrix, const struct matrix_part *part,
                          int begin, int end, const struct activations *x, const int32_t *tokens, int n_tokens,
                          const float *bias, float *y, const struct worker *me);

/* Own rows: what half a layer reads: x normed, in the forms that kinds ask for. */
void cm_norm_rows(struct batch *batch, const float *norm, unsigned kinds, const struct worker *me);
/* Shared: what half a layer adds: x += residual_scale (matrix y + bias), or that product normed (norm NULL: it is not);
 * and the barrier behind it, from which each worker goes on with its own rows. */
void cm_add_product(struct batch *batch, int layer, const struct placed_matrix *matrix, const struct activations *y,
                    const float *bias, const float *norm, const struct worker *me);

#endif
