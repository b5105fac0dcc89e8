/* router/topk.h - the k largest, ties to the lower index. */
#ifndef ROUTER_TOPK_H
#define ROUTER_TOPK_H

#include <stdint.h>

/* indices (k): of the k largest of values (n), k <= n, in descending order. NaN counts as less than
 * every number. */
void cm_top_k(const float *values, int n, int k, int32_t *indices);

#endif
