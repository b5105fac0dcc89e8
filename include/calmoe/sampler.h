/* calmoe/sampler.h - how the next token is chosen from the logits. */
#ifndef CALMOE_SAMPLER_H
#define CALMOE_SAMPLER_H

#include <stddef.h>
#include <stdint.h>

#include "calmoe/constraint.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Applied in this order: the constraint, repetition penalty, biases, presence and frequency penalties, top_k,
 * temperature, top_p, min_p, draw. The same seed and logits give the same tokens on every machine. */
typedef struct calmoe_sampler_options {
    size_t   size;           /* set by calmoe_sampler_options_init()                                */
    float    temperature;    /* 0 = greedy, ties to the lower id (default 0)                         */
    int      top_k;          /* 0 = off (default)                                                    */
    float    top_p;          /* 0 = only the likeliest; 1 = off (default)                            */
    float    min_p;          /* keep tokens with p >= min_p * the best p; 0 = off (default)          */
    float    repeat_penalty; /* divides positive logits, multiplies negative ones, of the last
                                repeat_last tokens, of texts that were fed and of answers; 1 = off (default) */
    int      repeat_last;    /* default 64                                                           */
    uint64_t seed;           /* default 0                                                            */
    float    presence_penalty;  /* taken off the logits of tokens that stand in this answer; tokens that were fed do
                                   not count; 0 = off (default)                                      */
    float    frequency_penalty; /* the same, times how often they stand in it; 0 = off (default)     */
    int      n_biases;          /* default 0                                                         */
    const int32_t *bias_tokens; /* (n_biases) whose logits get biases; those of one token add up; copied */
    const float   *biases;      /* (n_biases) -INFINITY: the token never comes; copied               */
    const calmoe_constraint *constraint; /* the form of answers, constraint.h; of the session's model, and outlives the
                                   sampler. NULL = any (default)                                     */
} calmoe_sampler_options;

CALMOE_API void calmoe_sampler_options_init(calmoe_sampler_options *options);

/* Sets those members that the model's file gives advice on, by its keys general.sampling.temp, top_k, top_p, min_p,
 * penalty_repeat and penalty_last_n, and leaves the others as they are; options was filled by
 * calmoe_sampler_options_init(). Nobody else reads these keys: a session samples as its own options say. Advice of
 * other kinds (mirostat, XTC, an order of its own) is not followed, which the log says. BAD_FILE: a key's type or
 * value is wrong. */
CALMOE_API calmoe_status calmoe_model_sampler_defaults(const calmoe_model *model, calmoe_sampler_options *options);

#ifdef __cplusplus
}
#endif
#endif
