/* router/topk.c - see topk.h. Insertion into a sorted list of k: k is small, and values that do not make
 * the list cost one comparison. */
#include "router/topk.h"

#include <stdbool.h>

static bool is_above(float a, float b) { return a > b || (b != b && a == a); }

void cm_top_k(const float *values, int n, int k, int32_t *indices)
{
    int n_kept = 0;
    for (int i = 0; i < n; i++) {
        int at = n_kept;
        /* Later elements have higher indices, so equal ones stay behind those kept. */
        while (at > 0 && is_above(values[i], values[indices[at - 1]])) at--;
        if (at == k) continue;
        if (n_kept < k) n_kept++;
        for (int j = n_kept - 1; j > at; j--) indices[j] = indices[j - 1];
        indices[at] = i;
    }
}
