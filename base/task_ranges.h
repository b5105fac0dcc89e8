/* base/task_ranges.h - tasks 0 … n - 1 dealt out to workers. Each has a range of its own, tasks that stand side by
 * side, and takes them from the front; one that has none left takes from the back of the range that has most.
 *
 * So a worker reads the weights of neighbouring tasks one after the other, as one stream that the CPU follows ahead of
 * the loads, while a slow worker still holds up the others by one task at most. With one counter for all, neighbouring
 * tasks go to different workers, and each task begins by waiting for memory. */
#ifndef BASE_TASK_RANGES_H
#define BASE_TASK_RANGES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/memory.h"

struct task_range { /* of one worker, on a cache line of its own */
    _Alignas(CM_ALIGNMENT) _Atomic uint64_t ends; /* first task left, and in the upper half the one behind the last */
};

/* By one worker, others waiting: n_tasks in n_ranges ranges of equal length, or nearly. */
void cm_deal_tasks(struct task_range *ranges, int n_ranges, int n_tasks);
/* A task for the worker whose range is `own`; -1 when all are taken. Any worker at any time; each task comes once. */
int cm_take_task(struct task_range *ranges, int n_ranges, int own);
/* Tasks *begin … *end: half of what its own range has left, but at_least so many; of another's range one. false when
 * all are taken. */
bool cm_take_tasks(struct task_range *ranges, int n_ranges, int own, int at_least, int *begin, int *end);

#endif
