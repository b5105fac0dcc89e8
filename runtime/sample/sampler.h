/* runtime/sample/sampler.h - picks the next token from logits.
 *
 * In this order: repeat penalty; biases; presence and frequency penalties; tokens out that must not be used, that
 * are banned or whose logit is not a number; top-k; softmax at a temperature; top-p; min-p; draw. The same seed and
 * the same logits give the same tokens on every machine: only double arithmetic that IEEE 754 fixes, in a fixed
 * order. */
#ifndef RUNTIME_SAMPLE_SAMPLER_H
#define RUNTIME_SAMPLE_SAMPLER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/random.h"
#include "base/status.h"
#include "runtime/constrain/constraint.h"

struct sampler; /* one sequence's; serves one thread at a time */

struct sampler_options {
    float    temperature;    /* 0 = the most likely token, always (default)             */
    int      top_k;          /* only the k most likely tokens; 0 = all (default)        */
    float    top_p;          /* only the most likely ones that together have this probability,
                                one at least; 1 = all (default)                                       */
    float    min_p;          /* only those at least this times as likely as the most likely one;
                                0 = all (default)                                       */
    float    repeat_penalty; /* divides positive logits of recent tokens, multiplies negative
                                ones; 1 = off (default)                                 */
    int      repeat_last_n;  /* how many tokens are recent (default 64)                 */
    uint64_t seed;           /* default 0                                               */
    float    presence_penalty;  /* taken off the logits of tokens that stand in the answer; 0 = off (default) */
    float    frequency_penalty; /* the same for each time that they do; 0 = off (default)                     */
    int      n_biases;          /* default 0                                                                  */
    const int32_t *bias_tokens; /* (n_biases) copied when the sampler is opened                               */
    const float   *biases;      /* (n_biases) added to their logits; -INFINITY: the token is banned           */
    const struct calmoe_constraint *constraint; /* of answers; NULL = none (default)                          */
};

struct sampler_options cm_sampler_defaults(void);

/* INVALID_ARGUMENT where an option is out of range. Nothing is allocated afterwards. */
calmoe_status cm_sampler_open(struct calmoe_context *ctx, const struct sampler_options *options,
                              int32_t n_vocab, struct sampler **out);
/* Another one, with the same options, tokens that it noted, and random numbers to come. NO_MEMORY. */
calmoe_status cm_sampler_fork(struct calmoe_context *ctx, const struct sampler *from, struct sampler **out);
void          cm_sampler_close(struct sampler **sampler); /* sets *sampler to NULL; NULL is fine */

/* logits (n_vocab); usable (n_vocab): 1 for a token that may be picked, NULL: all may. Among equal logits the lower
 * id comes first. At temperature 0, and where no usable token has a number, it is what likeliest.h says. -1: no
 * token may come, and cm_sampler_refusal() says why. */
int32_t cm_sampler_pick(struct sampler *sampler, const float *logits, const uint8_t *usable);

/* Why the last pick was -1. END: the answer is complete, and the vocabulary has no token that says so.
 * INVALID_ARGUMENT, with the sentence: the answer so far does not fit the constraint, or no token goes on from there;
 * or all tokens are banned that are usable, and that the constraint lets through. */
calmoe_status cm_sampler_refusal(struct calmoe_context *ctx, const struct sampler *sampler);

/* Before picks that are not to count: the random numbers to come and the constraint's state are noted, once at a time.
 * Such picks go on from tokens that are supposed to follow; then all is put back. */
void cm_sampler_mark(struct sampler *sampler);
void cm_sampler_suppose(struct sampler *sampler, int32_t token);
void cm_sampler_return(struct sampler *sampler);

/* Notes a token of the sequence, from the prompt or picked, for the penalties; those of presence and frequency, and
 * the constraint, count it where it is an answer's. Ids that are none are ignored. */
void cm_sampler_accept(struct sampler *sampler, int32_t token, bool is_answer);
/* An answer begins: no token stands in it. */
void cm_sampler_begin_answer(struct sampler *sampler);
/* No token was noted. */
void cm_sampler_forget(struct sampler *sampler);
int  cm_sampler_repeat_last(const struct sampler *sampler);

#endif
