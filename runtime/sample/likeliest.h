/* runtime/sample/likeliest.h - the likeliest token: the one definition that greedy sampling, drafts, exits, audits,
 * fitting and the proofs of calibration share, so that a bound is proven on the tokens that are audited and sampled. */
#ifndef RUNTIME_SAMPLE_LIKELIEST_H
#define RUNTIME_SAMPLE_LIKELIEST_H

#include <stdint.h>

/* Of the tokens 0 … n - 1 that may be sampled, the one with the largest logit, the lowest id of equals. A NaN is never
 * the largest; where no such token has a number, it is the first that may be sampled, and 0 where none may.
 * usable (n): 1 for a token that may be sampled, 0 for padding and unused ones; NULL: all may. */
int32_t cm_likeliest_token(const float *logits, int32_t n, const uint8_t *usable);

#endif
