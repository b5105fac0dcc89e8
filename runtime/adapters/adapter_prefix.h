/* runtime/adapters/adapter_prefix.h - a prefix as data: what attention finds before a sequence's first token. */
#ifndef RUNTIME_ADAPTERS_ADAPTER_PREFIX_H
#define RUNTIME_ADAPTERS_ADAPTER_PREFIX_H

#include <stddef.h>

enum { ADAPTER_MAX_POSITIONS = 1 << 20 /* of a prefix */ };

/* Trained keys and values of positions before a sequence (prefix tuning: Li and Liang, 2021; in each layer: P-tuning
 * v2, Liu et al., 2021). All layers attend, with heads of one size and number. */
struct adapter_prefix {
    int    n_positions; /* 0: there is none                                              */
    int    n_layers, n_heads, head_size;
    float *numbers;     /* (n_positions, n_layers, 2, n_heads, head_size): keys as attention reads them, values */
};

static inline size_t cm_prefix_n_floats(const struct adapter_prefix *prefix) /* of one position */
{
    return (size_t)prefix->n_layers * 2 * (size_t)prefix->n_heads * (size_t)prefix->head_size;
}

#endif
