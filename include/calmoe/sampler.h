/* calmoe/sampler.h - how the next token is chosen from the logits. */
#ifndef CALMOE_SAMPLER_H
#define CALMOE_SAMPLER_H

#include <stddef.h>
#include <stdint.h>

#include "calmoe/constraint.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The steps are applied in this order: constraint, repetition penalty, biases, presence and frequency penalties, top_k,
 * temperature, top_p, min_p, random draw. The same seed and logits give the same tokens on every machine. */
typedef struct calmoe_sampler_options {
    size_t   size;           /* set by calmoe_sampler_options_init()                                */
    float    temperature;    /* 0 = greedy: the likeliest token, of equal ones the lowest id (default 0) */
    int      top_k;          /* keep the so many likeliest tokens; 0 = off (default)                 */
    float    top_p;          /* keep the likeliest tokens until their probabilities add up to this; 0 = only the
                                likeliest; 1 = off (default)                                         */
    float    min_p;          /* keep tokens whose probability is at least min_p times the best one's; 0 = off
                                (default)                                                            */
    float    repeat_penalty; /* for each of the last repeat_last tokens, fed or generated: divides its logit if it is
                                positive, else multiplies it; 1 = off (default)                              */
    int      repeat_last;    /* default 64                                                           */
    uint64_t seed;           /* default 0                                                            */
    float    presence_penalty;  /* subtracted from the logits of tokens that occur in this answer; fed tokens do not
                                   count; 0 = off (default)                                          */
    float    frequency_penalty; /* the same, multiplied by how often the token occurs in this answer; 0 = off
                                   (default)                                                         */
    int      n_biases;          /* number of biases (default 0)                                      */
    const int32_t *bias_tokens; /* (n_biases) tokens to whose logits a bias is added; several of one token add up;
                                   copied                                                                */
    const float   *biases;      /* (n_biases) what is added; -INFINITY excludes the token; copied    */
    const calmoe_constraint *constraint; /* the form that answers must have (constraint.h); it belongs to the
                                            session's model and must outlive the sampler. NULL = any form (default) */
} calmoe_sampler_options;

CALMOE_API void calmoe_sampler_options_init(calmoe_sampler_options *options);

/* Sets the members about which the model's file gives advice, in its keys general.sampling.temp, top_k, top_p, min_p,
 * penalty_repeat and penalty_last_n; other members stay as calmoe_sampler_options_init() set them. Nothing else reads
 * these keys: a session samples exactly as its own options say. Advice of other kinds (mirostat, XTC, another order of
 * steps) is not followed, and the log says so. BAD_FILE: a key has a wrong type or value. */
CALMOE_API calmoe_status calmoe_model_sampler_defaults(const calmoe_model *model, calmoe_sampler_options *options);

#ifdef __cplusplus
}
#endif
#endif
