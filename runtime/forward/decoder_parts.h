/* runtime/forward/decoder_parts.h - the decoder inside: for the files of this folder only.
 *
 * Every worker of the team walks the same code and meets the others at barriers. Two kinds of phases:
 *   "own rows"  each worker has its share of rows, the same share in every such phase of a step, so from
 *               one to the next no barrier is needed;
 *   "shared"    output rows of a matrix, attention heads, or expert tasks are split; barriers around.
 *
 * Rows may leave between two layers and n_rows shrinks: no later phase sees them. Others may join, and it grows. */
#ifndef RUNTIME_FORWARD_DECODER_PARTS_H
#define RUNTIME_FORWARD_DECODER_PARTS_H

#include "base/clock.h"
#include "base/team.h"
#include "experts/expert_run.h"
#include "runtime/forward/attention.h"
#include "runtime/forward/between.h"
#include "runtime/forward/kv_cache.h"
#include "runtime/forward/rope.h"

struct decoder {
    struct calmoe_context   *ctx;
    const struct model_spec *spec;
    const struct weights    *weights;
    const struct vector_ops *ops;
    struct team             *team;
    struct rope              rope;
    struct counters          counters;
    int                      max_rows;
    int                      logits_capacity;

    /* the step at hand */
    struct step *step;
    int          n_rows;
    struct row  *rows;          /* (max_rows)                                   */
    float       *logits;        /* (logits_capacity, n_vocab)                   */
    struct row_outcome *outcomes; /* (logits_capacity)                          */
    atomic_int   failure;       /* a calmoe_status: what a worker could not do; 0 = nothing                        */
    bool         is_stopped;    /* no layer more: written by one worker, others waiting; read behind that barrier  */

    /* scratch, (max_rows, …) each */
    float              *x;                  /* dim: the residual stream        */
    struct activations  normed;             /* dim                             */
    float              *q, *k, *v;          /* heads * size, as the layer has it */
    float              *cosines, *sines;    /* rope.n_pairs                    */
    float              *projected;          /* dim                             */
    float              *router_logits;      /* n_experts of the layer          */
    struct routing      routing;            /* n_used of the layer             */
    float              *shared_weights;     /* 1                               */
    int32_t            *identity;           /* 0, 1, 2, …                      */
    struct expert_run  *experts;
    struct attention   *attention;
    void               *memory;             /* of all but the experts' and the logits */
};

/* The halves of a block, and the head, one file each; by all workers. cm_attention(): attention.h. */
void cm_moe_layer(struct decoder *decoder, int layer, const struct worker *me);
void cm_lm_head(struct decoder *decoder, const struct worker *me);

/* From now on this worker's time belongs to phase (CALMOE_PHASE_*); waiting at barriers belongs to none. */
static inline void cm_enter_phase(struct decoder *d, const struct worker *me, int phase)
{
    struct phase_clock *clock = &d->counters.clocks[me->index];
    if (d->counters.is_paused || clock->phase == phase) return;
    cm_phase_clock_enter(clock, phase, cm_now_ns(), cm_team_waited_ns(me->team, me->index));
}

/* A barrier and a phase behind it, with one reading of the clock. */
static inline void cm_barrier_into(struct decoder *d, const struct worker *me, int phase)
{
    const uint64_t      now_ns = cm_barrier_now(me);
    struct phase_clock *clock = &d->counters.clocks[me->index];
    if (d->counters.is_paused || clock->phase == phase) return;
    cm_phase_clock_enter(clock, phase, now_ns > 0 ? now_ns : cm_now_ns(), cm_team_waited_ns(me->team, me->index));
}

/* Own rows: *begin … *end. */
static inline void cm_own_rows(const struct decoder *decoder, const struct worker *me, int *begin, int *end)
{
    cm_share(decoder->n_rows, 1, me->index, me->n_workers, begin, end);
}

/* Once in each layer, by one worker, others waiting: a step that was interrupted, or a part of which failed, ends. */
static inline void cm_look_whether_to_stop(struct decoder *d)
{
    const atomic_int *interrupt = d->step->interrupt;
    if (atomic_load_explicit(&d->failure, memory_order_relaxed) != 0) d->is_stopped = true;
    if (interrupt && atomic_load_explicit(interrupt, memory_order_relaxed) != 0) d->is_stopped = true;
}

/* Shared: y (n_tokens, n_rows of the matrix) = matrix x + bias; each worker does its range of output rows on its node.
 * tokens (n_tokens): which rows of x; NULL = the first. */
void cm_linear_shared(struct decoder *decoder, const struct placed_matrix *matrix, const struct activations *x,
                      const int32_t *tokens, int n_tokens, const float *bias, float *y, const struct worker *me);
/* The same of rows begin … end of one part, counted from its first; by this worker. */
void cm_linear_part(struct decoder *decoder, const struct placed_matrix *matrix, const struct matrix_part *part,
                    int begin, int end, const struct activations *x, const int32_t *tokens, int n_tokens,
                    const float *bias, float *y, const struct worker *me);

#endif
