/* runtime/engine/scheduler.c - see scheduler.h. */
#include "runtime/engine/scheduler.h"

#include <stdbool.h>

int cm_schedule(struct demand *demands, int n, int max_rows, int max_prompt_rows, int *order)
{
    int left = max_rows, left_of_prompts = max_prompt_rows;
    for (int i = 0; i < n; i++) { /* insertion sort: few sessions, and nearly in order from step to step */
        int at = i;
        for (; at > 0 && demands[i].last_step < demands[order[at - 1]].last_step; at--) order[at] = order[at - 1];
        order[at] = i;
        demands[i].n_granted = 0;
    }
    for (int i = 0; i < n && left > 0; i++) {
        struct demand *demand = &demands[order[i]];
        const bool is_prompt = demand->n_pending > 1;
        demand->n_granted = demand->n_pending > 0 && (!is_prompt || left_of_prompts > 0) ? 1 : 0;
        left -= demand->n_granted;
        left_of_prompts -= is_prompt ? demand->n_granted : 0;
    }
    for (int i = 0; i < n; i++) {
        struct demand *demand = &demands[order[i]];
        int more = demand->n_granted ? demand->n_pending - 1 : 0;
        if (more > left) more = left;
        if (more > left_of_prompts) more = left_of_prompts;
        demand->n_granted += more;
        left -= more;
        left_of_prompts -= more;
    }
    return max_rows - left;
}
