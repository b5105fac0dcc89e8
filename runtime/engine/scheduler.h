/* runtime/engine/scheduler.h - which sessions get how many rows of the next step. Pure.
 *
 * The session that has waited longest comes first. Each gets one row while rows last, so none starves and
 * sessions that generate go on at every step; what is left goes to prompts, in the same order. Of prompts, which are
 * demands of two rows and more, a step takes a number of rows at most. */
#ifndef RUNTIME_ENGINE_SCHEDULER_H
#define RUNTIME_ENGINE_SCHEDULER_H

#include <stdint.h>

struct demand {
    int      n_pending; /* rows that the session could use                  */
    uint64_t last_step; /* number of the step in which it last got a row    */
    int      n_granted; /* the answer                                       */
};

/* max_prompt_rows: at least 1. order: scratch (n). Returns the rows granted in all, at most max_rows. */
int cm_schedule(struct demand *demands, int n, int max_rows, int max_prompt_rows, int *order);

#endif
