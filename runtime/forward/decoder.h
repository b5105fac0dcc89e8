/* runtime/forward/decoder.h - a batch of rows through the layers. A row is one token of one sequence; rows of many
 * sequences, prompt chunks and single tokens, stand in one batch.
 *
 * Every worker of the team walks the same code and meets the others at barriers. Two kinds of phases:
 *   "own rows"  each worker has its share of rows, the same share in every such phase of a step, so from
 *               one to the next no barrier is needed;
 *   "shared"    output rows of a matrix, attention heads, or expert tasks are split; barriers around.
 * All memory is reserved at opening; a step cannot fail.
 *
 * Rows that leave early (exits.h) are moved behind the others, and n_rows shrinks: no later phase sees them. Rows that
 * left in an earlier step (waiting.h) may join between two layers, and n_rows grows. */
#ifndef RUNTIME_FORWARD_DECODER_H
#define RUNTIME_FORWARD_DECODER_H

#include "base/clock.h"
#include "base/team.h"
#include "experts/expert_run.h"
#include "router/routing.h"
#include "runtime/policy/policy.h"
#include "runtime/forward/attention.h"
#include "runtime/forward/exit_weights.h"
#include "runtime/forward/kv_cache.h"
#include "runtime/forward/rope.h"
#include "runtime/forward/weights.h"
#include "runtime/stats/counters.h"

struct row {
    const struct kv_cache *cache;
    int                    position;
    int32_t                token;
    int                    logits_row; /* where its logits go; -1 = none are wanted */
    void                  *owner;      /* for on_routing                            */
    int                    index;      /* of the row in the step as it was filled in; -1: it joined */
    /* what it may leave out; NULL: nothing, for it is a prompt's, or the policy is OFF */
    const struct policy_rung *rung;
    int                    t;          /* position in the answer, where there is a rung */
    struct waiting        *waiting;    /* of its sequence; NULL: no row of it ever waits */
    /* what came of it, kept by the step */
    bool                   is_leaving; /* at the exit at hand                       */
    bool                   is_in_tail; /* left, and goes on for its keys and values alone */
    bool                   is_following; /* joined: goes as far as rows behind it in its sequence do */
    int                    layers;     /* that its logits come from                 */
    int                    n_experts;  /* routed experts that it ran, over all layers */
    int32_t                pick;       /* its winner on the shortlist               */
    float                  confidence; /* at the last exit that was asked; 0 = none was */
    int                    n_refused;  /* exits that it would have taken, but the full head had another winner */
};

struct row_depth { /* how a row of logits came about */
    int   layers, n_experts, n_refused;
    float confidence;
};

struct exits;
struct waiting;

struct decoder {
    const struct model_spec *spec;
    const struct weights    *weights;
    const uint8_t           *usable; /* (n_vocab), for cm_likeliest_token(); NULL: all tokens may be sampled */
    const struct vector_ops *ops;
    struct team             *team;
    struct rope              rope;
    struct counters          counters;
    int                      max_rows;
    /* called by the caller's thread, for each layer of each step; may be NULL */
    void (*on_routing)(void *user, const struct decoder *decoder, int layer);
    void *on_routing_user;
    /* may change what the router chose for row r; called by one worker for a row; may be NULL */
    void (*on_choice)(void *user, const struct decoder *decoder, int layer, int r, int32_t *experts, float *weights);
    void *on_choice_user;
    /* sees the states after a layer, x, rows begin … end; called by each worker for its own; may be NULL */
    void (*on_state)(void *user, const struct decoder *decoder, int layer, int begin, int end);
    void *on_state_user;
    /* sees the answer of row (its owner, t, confidence) at an exit, whether it leaves or not; called by one worker
     * for a row; logits (n_vocab) where the measure read all of them, else NULL; may be NULL */
    void (*on_exit)(void *user, const struct row *row, int n_layers_run, const float *logits);
    void *on_exit_user;

    /* the step: filled in by the caller. Its rows, and those that wait in their sequences, are max_rows at most */
    int         n_rows;
    struct waiting *driven;    /* a sequence that has no row here, but a driven_below; NULL = none */
    struct row *rows;          /* (max_rows)                                   */
    int         n_logits;
    float      *logits;        /* (n_logits, n_vocab)                          */
    struct row_depth *depths;  /* (n_logits): written by the step              */
    int32_t    *layers_used;   /* (n_rows), by the row's index: likewise       */

    /* scratch, (n_rows, …) each */
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
    struct exits       *exits;              /* NULL: no row has a rung          */
    const struct exit_weights *exit_weights; /* NULL: none; set before cm_exits_open() */
    void               *memory;             /* of all but the experts'         */
};

calmoe_status cm_decoder_open(struct calmoe_context *ctx, const struct model_spec *spec,
                              const struct weights *weights, enum isa isa, const struct topology *topology,
                              struct team *team, int max_rows, struct decoder **out);
void          cm_decoder_close(struct decoder **decoder);

/* Runs the rows; afterwards their keys and values are in the caches and their logits in `logits`. */
void cm_decoder_step(struct decoder *decoder);

/* The parts of a step, one file each; by all workers. cm_attention(): attention.h. */
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

/* Row r of a matrix with rows of n floats. */
static inline float *cm_row(float *matrix, int r, int n) { return matrix + (size_t)r * (size_t)n; }

/* Own rows: *begin … *end. */
static inline void cm_own_rows(const struct decoder *decoder, const struct worker *me, int *begin, int *end)
{
    cm_share(decoder->n_rows, 1, me->index, me->n_workers, begin, end);
}

/* How row's logits, where it has any, came about. */
static inline void cm_report_depth(struct decoder *d, const struct row *row)
{
    if (row->logits_row >= 0)
        d->depths[row->logits_row] =
            (struct row_depth){row->layers, row->n_experts, row->n_refused, row->confidence};
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
