/* argmax.c - see argmax.h. First the largest value, over lanes that become vector instructions, then its place. */
#include "kernels/argmax.h"

#include <math.h>

enum { LANES = 16 };

int32_t cm_argmax(const float *x, int32_t n)
{
    float   tops[LANES], top = -INFINITY;
    int32_t i = 0;
    for (int lane = 0; lane < LANES; lane++) tops[lane] = -INFINITY;
    for (; i + LANES <= n; i += LANES)
        for (int lane = 0; lane < LANES; lane++) tops[lane] = x[i + lane] > tops[lane] ? x[i + lane] : tops[lane];
    for (; i < n; i++) top = x[i] > top ? x[i] : top;
    for (int lane = 0; lane < LANES; lane++) top = tops[lane] > top ? tops[lane] : top;
    if (!(top > -INFINITY)) return 0;
    for (i = 0; i + LANES <= n; i += LANES) {
        int is_here = 0;
        for (int lane = 0; lane < LANES; lane++) is_here |= x[i + lane] == top;
        if (is_here) break;
    }
    while (x[i] != top) i++;
    return i;
}
