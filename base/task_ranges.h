/* base/task_ranges.h - distributes tasks 0 … n - 1 among workers. Each worker has a range of consecutive tasks and
 * takes them from its front. A worker that has none left takes tasks from the back of the range that has most.
 *
 * So a worker reads the weights of consecutive tasks as one stream, which the CPU's prefetcher follows; and yet a slow
 * worker delays the others by one task at most. With a single counter for all workers, consecutive tasks would go to
 * different workers, and each task would begin by waiting for memory. */
#ifndef BASE_TASK_RANGES_H
#define BASE_TASK_RANGES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/memory.h"

struct task_range { /* the tasks of one worker, on a cache line of its own */
    _Alignas(CM_ALIGNMENT) _Atomic uint64_t ends; /* lower half: the first task that is left; upper half: the one
                                                     after the last                                                 */
};

/* Divides n_tasks into n_ranges ranges of (nearly) equal length. One worker calls this while the others wait. */
void cm_deal_tasks(struct task_range *ranges, int n_ranges, int n_tasks);
/* Takes a task for the worker whose range is `own`; -1 when all are taken. Any worker may call it at any time; each
 * task is given out once. */
int cm_take_task(struct task_range *ranges, int n_ranges, int own);
/* Takes the tasks from *begin up to *end: half of what is left in the worker's own range, but at least at_least tasks;
 * or one task of another range. false when all are taken. */
bool cm_take_tasks(struct task_range *ranges, int n_ranges, int own, int at_least, int *begin, int *end);

#endif
