/* base/crew_size.h - decides how many of a team's workers (its crew) take part in a step, on a machine that other
 * programs use as well. It measures nothing itself: it is told how long steps took, and answers how many workers the
 * next step gets.
 *
 * On a quiet machine, using all workers is fastest. If another program occupies a core, the worker on that core makes
 * all others wait at every barrier, and fewer workers are faster. Only the duration of steps reveals that; so from time
 * to time another number of workers is tried for some steps, and kept if it is clearly faster:
 *   a smaller number  once workers wait for more than a sixth of a step
 *   a larger number   from time to time, as long as not all workers take part
 * The time that trials lose stays below a fortieth of all time. Trials that fail become rarer, until one succeeds.
 * Steps are only compared with steps of a similar number of rows, since prompts and single tokens behave differently.
 * */
#ifndef BASE_CREW_SIZE_H
#define BASE_CREW_SIZE_H

#include <stdbool.h>
#include <stdint.h>

enum { CREW_MAX_SIZES = 8, CREW_N_CLASSES = 12 };

struct crew_class {          /* what is known of steps with 2^i to 2^(i + 1) - 1 rows             */
    int      at;             /* the number of workers in use, as an index into sizes              */
    int      tried;          /* the number that is being tried, as an index; -1 = none            */
    bool     is_known;       /* a step of this class was seen already                             */
    double   row_ns;         /* recent nanoseconds per row, with the number in use                */
    double   waiting;        /* recent share of a step that workers waited                        */
    double   trial_ns;       /* time that the present trial has taken so far; its rows and steps follow */
    int64_t  trial_rows;
    int      trial_steps;
    double   pause_smaller, pause_larger;     /* how long to pause between trials of each kind, ns */
    uint64_t may_try_smaller, may_try_larger; /* the next trial of each kind begins not before this time, ns */
};

struct crew_size {
    int               n_sizes;
    int               sizes[CREW_MAX_SIZES]; /* possible numbers of workers, from all of them downwards */
    int               at;                    /* the index that was last put in use, in any class  */
    struct crew_class classes[CREW_N_CLASSES];
    uint64_t          n_trials, n_changes;   /* so far                                            */
};

/* Prepares for a team of n workers. The possible numbers are: all, one fewer, three quarters, a half, a quarter, …,
 * one. */
void cm_crew_open(struct crew_size *crew, int n_workers);

/* From now on only n workers are available, more or fewer than before. What was learnt about other numbers is
 * forgotten. */
void cm_crew_limit(struct crew_size *crew, int n_workers);

/* The number of workers for the next step, which has n_rows rows. */
int  cm_crew_choose(struct crew_size *crew, int n_rows);

/* Reports how that step went: it began at now_ns and took ns; waiting is the share of it that workers waited, mean over
 * them. */
void cm_crew_note(struct crew_size *crew, int n_rows, uint64_t now_ns, uint64_t ns, double waiting);

#endif
