/* deal.c - see deal.h. */
#include "runtime/proof/deal.h"

#include "base/random.h"

/* Fisher-Yates. */
void cm_deal(int *prompts, int n, uint64_t seed)
{
    struct random random = cm_random(seed);
    for (int i = 0; i < n; i++) prompts[i] = i;
    for (int i = n - 1; i > 0; i--) {
        const int j = (int)cm_random_below(&random, (uint64_t)i + 1), other = prompts[j];
        prompts[j] = prompts[i];
        prompts[i] = other;
    }
}
