/* runtime/engine/scheduler.c - see scheduler.h. */
#include "runtime/engine/scheduler.h"

int cm_schedule(struct demand *demands, int n, int max_rows, int *order)
{
    int left = max_rows;
    for (int i = 0; i < n; i++) { /* insertion sort: few sessions, and nearly in order from step to step */
        int at = i;
        for (; at > 0 && demands[i].last_step < demands[order[at - 1]].last_step; at--) order[at] = order[at - 1];
        order[at] = i;
        demands[i].n_granted = 0;
    }
    for (int i = 0; i < n && left > 0; i++) {
        struct demand *demand = &demands[order[i]];
        demand->n_granted = demand->n_pending > 0 ? 1 : 0;
        left -= demand->n_granted;
    }
    for (int i = 0; i < n && left > 0; i++) {
        struct demand *demand = &demands[order[i]];
        const int wanted = demand->n_granted ? demand->n_pending - 1 : 0;
        const int more = wanted < left ? wanted : left;
        demand->n_granted += more;
        left -= more;
    }
    return max_rows - left;
}
