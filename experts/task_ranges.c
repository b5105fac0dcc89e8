/* experts/task_ranges.c - see task_ranges.h. Both ends of a range change in one word; they only approach each other, so
 * a word that is still the same has not changed meanwhile. */
#include "experts/task_ranges.h"

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

/* The range with most tasks left, in *ends what it had. */
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

int cm_take_task(struct task_range *ranges, int n_ranges, int own)
{
    uint64_t ends = atomic_load_explicit(&ranges[own].ends, memory_order_relaxed);
    while (n_left(ends) > 0)
        if (atomic_compare_exchange_weak_explicit(&ranges[own].ends, &ends, ends + 1, memory_order_relaxed,
                                                  memory_order_relaxed))
            return (int)first_of(ends);
    for (;;) {
        struct task_range *range = fullest(ranges, n_ranges, &ends);
        if (n_left(ends) == 0) return -1;
        if (atomic_compare_exchange_strong_explicit(&range->ends, &ends, ends - ((uint64_t)1 << 32),
                                                    memory_order_relaxed, memory_order_relaxed))
            return (int)end_of(ends) - 1;
    }
}
