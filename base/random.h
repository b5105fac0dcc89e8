/* base/random.h - seeded random numbers (xoshiro256**, seeded by splitmix64; Blackman & Vigna 2018):
 * the same seed gives the same numbers on every machine. */
#ifndef BASE_RANDOM_H
#define BASE_RANDOM_H

#include <stdint.h>

struct random {
    uint64_t state[4];
};

struct random cm_random(uint64_t seed);
uint64_t      cm_random_u64(struct random *random);
double        cm_random_unit(struct random *random);              /* [0, 1), 53 bits    */
uint64_t      cm_random_below(struct random *random, uint64_t n); /* 0 … n - 1, n > 0   */
float         cm_random_normal(struct random *random);            /* mean 0, variance 1 */

#endif
