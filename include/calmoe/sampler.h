/* calmoe/sampler.h - how the next token is chosen from the logits. */
#ifndef CALMOE_SAMPLER_H
#define CALMOE_SAMPLER_H

#include <stddef.h>
#include <stdint.h>

#include "calmoe/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Applied in this order: repetition penalty, top_k, temperature, top_p, min_p, draw. The same seed and
 * logits give the same tokens on every machine. */
typedef struct calmoe_sampler_options {
    size_t   size;           /* set by calmoe_sampler_options_init()                                */
    float    temperature;    /* 0 = greedy, ties to the lower id (default 0)                         */
    int      top_k;          /* 0 = off (default)                                                    */
    float    top_p;          /* 1 = off (default)                                                    */
    float    min_p;          /* keep tokens with p >= min_p * the best p; 0 = off (default)          */
    float    repeat_penalty; /* divides positive logits, multiplies negative ones, of the last
                                repeat_last tokens; 1 = off (default)                                */
    int      repeat_last;    /* default 64                                                           */
    uint64_t seed;           /* default 0                                                            */
} calmoe_sampler_options;

CALMOE_API void calmoe_sampler_options_init(calmoe_sampler_options *options);

#ifdef __cplusplus
}
#endif
#endif
