/* runtime/exits/exits.h - what the rungs of rows (runtime/policy/policy.h) mean for a step: experts that are left
 * out, exits, and the keys and values of layers that were skipped. It runs between layers (forward/decoder.h), and the
 * decoder knows nothing of it.
 *
 * A row that leaves has its logits then and there. With k_tail "none" it is taken out of the batch, and when no row is
 * left the step ends. Its skipped layers' keys and values are made of its state at the exit, at once (KV_PROPAGATE: it
 * is moved behind the rows that stay) or when a later row wants them (KV_LAZY), or it joins again to run the real
 * layers (KV_CATCH_UP); where it waits: waiting.h. With k_tail it goes on through all layers, with so many experts,
 * for its keys and values alone.
 * Rows without a rung are computed as if there were no others. */
#ifndef RUNTIME_EXITS_EXITS_H
#define RUNTIME_EXITS_EXITS_H

#include "runtime/exits/exit_weights.h"
#include "runtime/exits/waiting.h"
#include "runtime/forward/between.h"
#include "runtime/policy/policy.h"

struct exits;

/* Scratch for the decoder's steps. weights: learned exits, or NULL; usable (n_vocab): which tokens may win
 * (sample/likeliest.h); both outlive *out. NO_MEMORY: *out is NULL. */
calmoe_status cm_exits_open(struct calmoe_context *ctx, const struct decoder *decoder,
                            const struct exit_weights *weights, const uint8_t *usable, struct exits **out);
void          cm_exits_close(struct exits **exits); /* NULL inside is fine */

/* What the step takes with exits as its between_self. */
extern const struct between_layers cm_exits_between;

/* For the next step alone: rows of this sequence that wait before position `below` go through all layers, though the
 * step may have no row of the sequence. */
void cm_exits_drive(struct exits *exits, const struct sequence *sequence, int below);
/* That sequence; NULL = none. */
const struct sequence *cm_exits_driven(const struct exits *exits);

/* Candidates of the measure "shortlist": the first tokens of the vocabulary. Where merging made the vocabulary, these
 * are the bytes and the most frequent pieces. An eighth of it, but 256 to 4096, in whole 16s. */
int cm_shortlist_length(int n_vocab);

/* Can this version run it, with these learned exits (NULL: none)? UNSUPPORTED, INVALID_ARGUMENT: what it cannot. */
calmoe_status cm_exits_check(struct calmoe_context *ctx, const struct policy_rung *rung,
                             const struct exit_weights *weights);

/* Rows of a sequence that may have to wait under these rungs, at most. */
int cm_exits_max_waiting(const struct policy_rung *rungs, int n_rungs);

#endif
