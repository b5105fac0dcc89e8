/* kernels/random_weights.h - random weights of every type, for synthetic models: uniform codes under scales that
 * differ from block to block, so that they have mean 0 and a given deviation. */
#ifndef KERNELS_RANDOM_WEIGHTS_H
#define KERNELS_RANDOM_WEIGHTS_H

#include "kernels/weight_type.h"

/* Fills n_blocks blocks of the type; the same seed gives the same bytes on every machine. deviation is finite and
 * within what the type's scales can represent; 1e-4 to 1e3 suits all types. mean is for float types only. */
void cm_random_weights(enum weight_type type, float mean, float deviation, uint64_t seed, void *blocks,
                       size_t n_blocks);

#endif
