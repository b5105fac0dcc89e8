/* tests/support/random_adapter.h - an adapter with random numbers for everything that a float32 model multiplies by, and
 * the model with the adapter merged into its tensors by other code than the library's. */
#ifndef TESTS_SUPPORT_RANDOM_ADAPTER_H
#define TESTS_SUPPORT_RANDOM_ADAPTER_H

#include <stdbool.h>
#include <stdint.h>

struct random_adapter {
    uint64_t    seed;
    const char *only;   /* a part of the tensors' names; NULL = all tensors */
    bool        is_for_all; /* stacks of experts get one matrix for all     */
    int         rank;
    float       size;   /* of the change beside the weights, about          */
};

/* Writes the adapter; how many tensors it changes. */
int  random_adapter_write(const char *model_path, const struct random_adapter *random, const char *path);
/* Writes the model with scale times the adapter added. */
void random_adapter_merge(const char *model_path, const char *adapter_path, float scale, const char *path);

#endif
