/* base/task_ranges.c - see task_ranges.h. Both ends of a range are in one atomic word. They only move towards each
 * other, so a word never returns to an earlier value, and compare-and-swap is safe. */
#include "base/task_ranges.h"

static uint32_t first_of(uint64_t ends) { return (uint32_t)ends; }
static uint32_t end_of(uint64_t ends) { return (uint32_t)(ends >> 32); }
static uint32_t n_left(uint64_t ends) { return end_of(ends) - first_of(ends); }

void cm_deal_tasks(struct task_range *ranges, int n_ranges, int n_tasks)
{
    for (int i = 0; i < n_ranges; i++) {
        const uint64_t first = (uint64_t)n_tasks * (uint64_t)i / (uint64_t)n_ranges;
        const uint64_t end = (uint64_t)n_tasks * (uint64_t)(i + 1) / (uint64_t)n_ranges;
        atomic_store_explicit(&ranges[i].ends, end << 32 | first, memory_order_relaxed);
    }
}

/* The range with most tasks left; *ends is its value when it was read. */
static struct task_range *fullest(struct task_range *ranges, int n_ranges, uint64_t *ends)
{
    struct task_range *best = ranges;
    *ends = atomic_load_explicit(&best->ends, memory_order_relaxed);
    for (int i = 1; i < n_ranges; i++) {
        const uint64_t other = atomic_load_explicit(&ranges[i].ends, memory_order_relaxed);
        if (n_left(other) <= n_left(*ends)) continue;
        best = &ranges[i];
        *ends = other;
    }
    return best;
}

/* Replaces the range by `wanted` if it is still *ends; else *ends becomes what it is now, and the answer is false. */
static bool exchange(struct task_range *range, uint64_t *ends, uint64_t wanted)
{
    return atomic_compare_exchange_strong_explicit(&range->ends, ends, wanted, memory_order_relaxed,
                                                   memory_order_relaxed);
}

/* Takes a share-th of the worker's own range, but at least at_least tasks; or one task of another range. */
static bool take(struct task_range *ranges, int n_ranges, int own, uint32_t share, uint32_t at_least, int *begin,
                 int *end)
{
    uint64_t ends = atomic_load_explicit(&ranges[own].ends, memory_order_relaxed);
    while (n_left(ends) > 0) {
        const uint32_t part = n_left(ends) / share, wanted = part > at_least ? part : at_least;
        const uint32_t n = wanted < n_left(ends) ? wanted : n_left(ends);
        *begin = (int)first_of(ends);
        *end = *begin + (int)n;
        if (exchange(&ranges[own], &ends, ends + n)) return true;
    }
    for (;;) {
        struct task_range *range = fullest(ranges, n_ranges, &ends);
        if (n_left(ends) == 0) return false;
        *end = (int)end_of(ends);
        *begin = *end - 1;
        if (exchange(range, &ends, ends - ((uint64_t)1 << 32))) return true;
    }
}

int cm_take_task(struct task_range *ranges, int n_ranges, int own)
{
    int begin, end;
    return take(ranges, n_ranges, own, UINT32_MAX, 1, &begin, &end) ? begin : -1;
}

bool cm_take_tasks(struct task_range *ranges, int n_ranges, int own, int at_least, int *begin, int *end)
{
    return take(ranges, n_ranges, own, 2, (uint32_t)at_least, begin, end);
}
