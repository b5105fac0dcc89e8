/* tests/support/learned.h - learned exits of random numbers. */
#ifndef TESTS_SUPPORT_LEARNED_H
#define TESTS_SUPPORT_LEARNED_H

#include "runtime/policy/learned_exits.h"

/* After each of n layers a translator of that rank (0: none), as large as the states that it is for, its path (where
 * two layers or more follow) and a classifier; sealed. The same for the same seed. */
struct learned_exits learned_random(const char *model, int n_layers, int dim, const int *layers, int n, int rank,
                                    uint64_t seed);

#endif
