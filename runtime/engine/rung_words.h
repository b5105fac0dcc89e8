/* runtime/engine/rung_words.h - what a rung leaves out, as words, so that rank 0 can tell it to the others. What is
 * proven of it is not among them: steps do not look at that. */
#ifndef RUNTIME_ENGINE_RUNG_WORDS_H
#define RUNTIME_ENGINE_RUNG_WORDS_H

#include "runtime/policy/policy.h"

/* How many words a rung of a model of so many layers takes at most. */
size_t cm_rung_words_most(int n_layers);
/* Writes them; answers how many. Rungs by which rows leave alike have the same. */
size_t cm_rung_words_write(const struct policy_rung *rung, int n_layers, int32_t *words);
/* widths (n_layers) is the caller's, and the rung borrows it where it has any. */
void   cm_rung_words_read(const int32_t *words, int n_layers, struct width_rule *widths, struct policy_rung *out);

#endif
