/* runtime/forward/decoder_parts.h - the decoder inside: for the files of this folder only.
 *
 * Rows may leave between two layers and n_rows shrinks: no later phase sees them. Others may join, and it grows. */
#ifndef RUNTIME_FORWARD_DECODER_PARTS_H
#define RUNTIME_FORWARD_DECODER_PARTS_H

#include "experts/expert_run.h"
#include "runtime/forward/between.h"

struct decoder {
    struct batch             batch;     /* the rows of the step at hand, and what its halves share */
    struct calmoe_context   *ctx;
    const struct weights    *weights;
    struct team             *team;
    struct mixer_layer      *mixers;    /* (n_layers): batch.layers                */
    void                    *works[MIXER_KIND_COUNT]; /* batch.works               */
    int                      logits_capacity;
    struct low_rank_rows     row_adapters;   /* of the batch's rows (max_rows): batch.adapters   */
    struct low_rank_rows     logit_adapters; /* of rows of logits (logits_capacity)              */
    const struct low_rank_uses **row_uses, **logit_uses; /* their of_row */

    /* the step at hand */
    struct step *step;
    float       *logits;          /* (logits_capacity, n_vocab)                 */
    struct row_outcome *outcomes; /* (logits_capacity)                          */
    atomic_int   failure;    /* a calmoe_status: what a worker could not do; 0 = nothing                       */
    bool         is_stopped; /* no layer more: written by one worker, others waiting; read behind that barrier */

    /* scratch of the feed-forward half, (max_rows, …) each */
    float              *router_logits;  /* n_experts of the layer */
    struct routing      routing;        /* n_used of the layer    */
    float              *shared_weights; /* 1                      */
    struct activations  joined;         /* 2 dim: of further blocks, what joint reads */
    struct activations  routed_input;   /* dim: what router and experts read where norms of their own make it */
    float              *bank_sums[N_BANKS]; /* dim: of banks that are normed by themselves, among several ranks */
    struct expert_run  *experts;
    struct lookahead   *lookahead;      /* NULL: all experts are in memory, or nobody wants it */
    void               *memory;         /* of all but the experts', the mixers' and the logits */
};

/* The halves of a block, and the head, one file each; by all workers. The mixers: mixers/mixer.h. */
void cm_moe_layer(struct decoder *decoder, int layer, const struct worker *me);
/* Where the row's policy wants it (WIDTH_RESIDENT), experts that the plan keeps in memory take the places of streamed
 * ones. scores (n_experts), experts and weights (n_used) are as cm_route() left them. It goes by the plan alone, never
 * by what happens to be in a slot: so the same plan gives the same bits. */
void cm_prefer_kept(const struct decoder *decoder, int layer, const struct row *row, const float *scores,
                    int32_t *experts, float *weights);
/* In the place of the feed-forward half, where a layer has none, by one worker: observers are told that nothing is
 * routed. */
void cm_show_no_routing(const struct decoder *decoder, int layer);
void cm_lm_head(struct decoder *decoder, const struct worker *me);
/* Of a further block, behind the embedding: x = joint (normed embedding, normed state that came with the row). */
void cm_join_states(struct decoder *decoder, const struct worker *me);

/* ---- lookahead.c: what the next layer will probably need of experts on disk ---- */

calmoe_status cm_lookahead_open(struct decoder *decoder, struct lookahead **out);
void          cm_lookahead_close(struct lookahead **lookahead); /* NULL is fine */
/* Behind the routing of own rows begin … end in a layer: they ask the router of the next one that has any. */
void          cm_lookahead_ask(struct decoder *decoder, int layer, int begin, int end, const struct worker *me);
/* By one worker, others waiting, when the layer's own needs are known: what was answered is read ahead. */
void          cm_lookahead_tell(struct decoder *decoder, int layer);

/* ---- own_rows.c ---- */

/* Norms of own rows' states in the forms `kinds`; and y (end - begin, n rows) = the node's copy of a matrix times own
 * rows of the input. */
void cm_norm_ffn_rows(struct decoder *decoder, unsigned kinds, const float *norm, int begin, int end,
                  struct activations *out);
void cm_multiply_own(struct decoder *decoder, const struct placed_matrix *matrix, const struct activations *input,
                     int begin, int end, float *y, const struct worker *me);

static inline bool cm_any_is_wanted(const struct row *rows, int n)
{
    for (int r = 0; r < n; r++) {
        const atomic_int *interrupt = rows[r].asked.sequence->interrupt;
        if (!interrupt || atomic_load_explicit(interrupt, memory_order_relaxed) == 0) return true;
    }
    return false;
}

/* Once in each layer with a feed-forward half, by one worker, others waiting: a step that nobody wants any more, or a
 * part of which failed, ends. Rows that left early are still the step's, and rows that joined are in the batch
 * alone. */
static inline void cm_look_whether_to_stop(struct decoder *d)
{
    const bool is_wanted = cm_any_is_wanted(d->step->rows, d->step->n_rows) ||
                           cm_any_is_wanted(d->batch.rows, d->batch.n_rows);
    const bool wants_stop = !is_wanted || atomic_load_explicit(&d->failure, memory_order_relaxed) != 0;
    struct exchange *exchange = d->batch.exchange;
    if (exchange) { /* all ranks stop at the same layer: behind the exchange that told them */
        exchange->wants_stop |= wants_stop;
        d->is_stopped = exchange->is_stopped || exchange->failure != CALMOE_OK;
    } else if (wants_stop) {
        d->is_stopped = true;
    }
}

#endif
