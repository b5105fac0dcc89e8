/* base/crew_size.h - how many of a team's workers a step should have on a machine that others use, too. Pure: it is
 * told what steps took, and answers how many the next one gets.
 *
 * On a quiet machine all workers are best. Where another program takes a core, the worker that lost it makes all others
 * wait at every barrier, and fewer workers are quicker. Nobody says so but the steps themselves; so now and then a
 * smaller or a larger number is tried for some steps, and kept where it is clearly quicker:
 *   smaller  once workers wait for more than a sixth of a step
 *   larger   from time to time, as long as fewer than all work
 * What trials cost beyond the steps that they replace stays below a fortieth of all time, and those that fail become
 * rarer, until one is of use. Steps are compared with steps of about as many rows, since prompts and single tokens
 * differ. */
#ifndef BASE_CREW_SIZE_H
#define BASE_CREW_SIZE_H

#include <stdbool.h>
#include <stdint.h>

enum { CREW_MAX_SIZES = 8, CREW_N_CLASSES = 12 };

struct crew_class {          /* steps of 2^i to 2^(i + 1) - 1 rows                                */
    int      at;             /* the number of workers that is kept, an index of sizes             */
    int      tried;          /* the one that is tried now; -1 = none                              */
    bool     is_known;       /* steps of this class were seen                                     */
    double   row_ns;         /* nanoseconds a row with what is kept, lately                       */
    double   waiting;        /* share of a step that workers waited, lately                       */
    double   trial_ns;       /* of the trial so far                                               */
    int64_t  trial_rows;
    int      trial_steps;
    double   pause_smaller, pause_larger;     /* since the last trial of each kind, ns            */
    uint64_t may_try_smaller, may_try_larger; /* not before this time, ns                         */
};

struct crew_size {
    int               n_sizes;
    int               sizes[CREW_MAX_SIZES]; /* numbers of workers, descending from all of them   */
    int               at;                    /* what was kept last, of any class                  */
    struct crew_class classes[CREW_N_CLASSES];
    uint64_t          n_trials, n_changes;   /* so far                                            */
};

/* A team of n workers: all, one fewer, three quarters, a half, a quarter, …, one. */
void cm_crew_open(struct crew_size *crew, int n_workers);

/* From now on only n workers may be had, fewer or more than before: what was learnt of other numbers is forgotten. */
void cm_crew_limit(struct crew_size *crew, int n_workers);

/* For the next step, of n_rows rows. */
int  cm_crew_choose(struct crew_size *crew, int n_rows);

/* That step began at now_ns and took ns; waiting: the mean share of it that workers waited. */
void cm_crew_note(struct crew_size *crew, int n_rows, uint64_t now_ns, uint64_t ns, double waiting);

#endif
