/* likeliest.c - see likeliest.h. */
#include "runtime/sample/likeliest.h"

#include <math.h>

#include "kernels/argmax.h"

/* Token by token: for the rare logits whose largest is no token that may be sampled. */
static int32_t likeliest_of_usable(const float *logits, int32_t n, const uint8_t *usable)
{
    int32_t first = -1, best = -1;
    for (int32_t id = 0; id < n; id++) {
        if (usable && !usable[id]) continue;
        if (first < 0) first = id;
        if (!isnan(logits[id]) && (best < 0 || logits[id] > logits[best])) best = id;
    }
    return best >= 0 ? best : first >= 0 ? first : 0;
}

int32_t cm_likeliest_token(const float *logits, int32_t n, const uint8_t *usable)
{
    const int32_t best = n > 0 ? cm_argmax(logits, n) : 0;
    if (n > 0 && logits[best] > -INFINITY && (!usable || usable[best])) return best;
    return likeliest_of_usable(logits, n, usable);
}
