/* runtime/forward/exits.h - what the rungs of rows (runtime/policy/policy.h) mean for a step: experts that are left
 * out, exits, and the keys and values of layers that were skipped.
 *
 * A row that leaves has its logits then and there. With k_tail "none" it is taken out of the batch, and when no row is
 * left the step ends. Its skipped layers' keys and values are made of its state at the exit, at once (KV_PROPAGATE: it
 * is moved behind the rows that stay) or when a later row wants them (KV_LAZY), or it joins again to run the real
 * layers (KV_CATCH_UP); where it waits: waiting.h. With k_tail it goes on through all layers, with so many experts,
 * for its keys and values alone.
 * Rows without a rung are computed as if there were no others. */
#ifndef RUNTIME_FORWARD_EXITS_H
#define RUNTIME_FORWARD_EXITS_H

#include "runtime/forward/decoder.h"
#include "runtime/forward/waiting.h"

/* Reserves d->exits, once, before the first row with a rung. NO_MEMORY: d->exits stays NULL. */
calmoe_status cm_exits_open(struct calmoe_context *ctx, struct decoder *decoder);
void          cm_exits_close(struct exits **exits); /* NULL inside is fine */

/* Candidates of the measure "shortlist": the first tokens of the vocabulary. Where merging made the vocabulary, these
 * are the bytes and the most frequent pieces. An eighth of it, but 256 to 4096, in whole 16s. */
int cm_shortlist_length(int n_vocab);

/* Can this version run it, with these learned exits (NULL: none)? UNSUPPORTED, INVALID_ARGUMENT: what it cannot. */
calmoe_status cm_exits_check(struct calmoe_context *ctx, const struct policy_rung *rung,
                             const struct exit_weights *weights);

/* Rows of a sequence that may have to wait under these rungs, at most. */
int cm_exits_max_waiting(const struct policy_rung *rungs, int n_rungs);

/* Before and after a step, by one thread. A sequence without room for all its rows that may leave is driven. */
void cm_exits_begin(struct decoder *decoder);
void cm_exits_count(struct decoder *decoder);

/* Slots of row r that are run in a layer: weights may be renormalised; noted in routing.n_kept. */
int cm_exits_width(struct decoder *decoder, int layer, int r, float *weights);
/* *rows: the rows of logits that are still to be made, ascending; how many. */
int cm_exits_staying(const struct decoder *decoder, const int32_t **rows);
/* All workers: the head's norm of those of them whose rows left. */
void cm_exits_norm_late(struct decoder *decoder, const struct worker *me);

/* By one worker: a layer is about to run. */
void cm_exits_note(struct decoder *decoder, int layer);
/* After a layer, by all workers: asks the rows that have an exit here, lets go who may leave, and brings in who waits
 * and is wanted. */
void cm_exit_point(struct decoder *decoder, int layer, const struct worker *me);
/* The last part alone, after so many layers. */
void cm_exits_catch_up(struct decoder *decoder, int n_layers_run, const struct worker *me);
/* Will rows join, though there may be none now? */
bool cm_exits_more_come(const struct decoder *decoder);

/* Keys and values of some layers, for rows begin … begin + n that left after exit_layer: their state, moved along the
 * exit's path where it has one, through each layer's norm, W_K and W_V, with each row's own position. By all workers; a
 * barrier before. Uses d->normed, d->k, d->v. */
struct kv_fill_rows {
    int begin, n, exit_layer, from_layer, to_layer;
};
void cm_kv_propagate(struct decoder *decoder, const struct kv_fill_rows *rows, const struct worker *me);

/* lm_head.c: own row r's norm, into the row of normed that its logits have; or that of another state (dim). */
void cm_head_norm(struct decoder *decoder, int r);
void cm_head_norm_state(struct decoder *decoder, const float *state, int logits_row);
/* Shared: these rows of logits (ascending), tokens below n_tokens. A barrier before. */
void cm_head_multiply(struct decoder *decoder, const int32_t *rows, int n_rows, int n_tokens, const struct worker *me);

#endif
