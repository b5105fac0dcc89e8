/* runtime/mixers/attend_plan.c - see attend_plan.h. */
#include "runtime/mixers/attend_plan.h"

#include "runtime/mixers/sequence_state.h"

enum { JOBS_PER_WORKER = 4 };

static int ratio_up(int a, int b) { return (a + b - 1) / b; }

/* Cost: a row's pass over 64 positions is 1. */
static int64_t job_cost(const struct attend_group *group)
{
    return (int64_t)group->n_rows * ratio_up(group->n_positions - group->first_span * CM_ATTEND_SPAN, CM_KV_BLOCK);
}

static bool continues(const struct row *row, const struct row *next)
{
    return next->asked.sequence == row->asked.sequence && next->asked.position == row->asked.position + 1;
}

void cm_attend_plan(struct attend_plan *plan, const struct row *rows, int n_rows, int max_queries)
{
    const int64_t n_jobs = (int64_t)JOBS_PER_WORKER * plan->n_workers;
    const int64_t enough = ((int64_t)n_rows * plan->n_kv_heads + n_jobs - 1) / n_jobs;
    const int most = max_queries / plan->heads_per_kv;
    const int max_rows = most > enough ? (int)enough : most > 1 ? most : 1;
    plan->n_groups = 0;
    plan->cost = 0;
    for (int r = 0; r < n_rows;) {
        struct attend_group *group = &plan->groups[plan->n_groups++];
        *group = (struct attend_group){.first_row = r, .begin = plan->cost};
        for (; group->n_rows == 0 ||
               (group->n_rows < max_rows && r < n_rows && continues(&rows[r - 1], &rows[r]));
             r++)
            group->n_rows++;
        group->n_positions = cm_row_position(&rows[r - 1]) + 1;
        const int first = cm_row_position(&rows[group->first_row]);
        group->first_span = cm_first_attended(plan->window, plan->is_chunked, first) / CM_ATTEND_SPAN;
        plan->cost += job_cost(group);
    }
}

/* Where worker's length begins; of n_workers: where the last one ends. */
static int64_t border(const struct attend_plan *plan, const struct attend_crew *crew, int worker)
{
    return plan->cost * crew->n_heads * worker / crew->n_workers;
}

struct pieces { /* of a job, end to end: all as long as the first, but for the last, which ends where the job does */
    int64_t begin, end, length;
    int     n;
};

/* How many pieces have their middle before `at`. */
static int n_before(const struct pieces *of, int64_t at)
{
    const int64_t last = of->begin + (of->n - 1) * of->length;
    if ((last + of->end) / 2 < at) return of->n;
    const int64_t n = (at - of->begin - of->length / 2 + of->length - 1) / of->length;
    return n <= 0 ? 0 : n < of->n ? (int)n : of->n - 1;
}

/* Whose length holds `at`. */
static int owner(const struct attend_plan *plan, const struct attend_crew *crew, int64_t at)
{
    int worker = (int)(at * crew->n_workers / (plan->cost * crew->n_heads));
    while (border(plan, crew, worker + 1) <= at) worker++;
    while (border(plan, crew, worker) > at) worker--;
    return worker;
}

struct attend_share cm_attend_share(const struct attend_plan *plan, const struct attend_crew *crew, int worker,
                                    int index, int head)
{
    const struct attend_group *group = &plan->groups[index];
    const int n_spans = ratio_up(group->n_positions, CM_ATTEND_SPAN) - group->first_span;
    const int64_t cost = job_cost(group), begin = group->begin * crew->n_heads + head * cost;
    const struct pieces pieces = {begin, begin + cost, (int64_t)group->n_rows * CM_SPAN_BLOCKS, n_spans};
    struct attend_share share = {.n_spans = n_spans, .slot = owner(plan, crew, begin)};
    if ((int64_t)group->n_rows * plan->heads_per_kv * n_spans > plan->max_parts) {
        share.end = share.slot == worker ? n_spans : 0;
        return share;
    }
    share.begin = n_before(&pieces, border(plan, crew, worker));
    share.end = n_before(&pieces, border(plan, crew, worker + 1));
    share.is_cut = share.end - share.begin < n_spans;
    return share;
}

void cm_attend_groups(const struct attend_plan *plan, const struct attend_crew *crew, int worker, int *begin, int *end)
{
    const int64_t first = border(plan, crew, worker), last = border(plan, crew, worker + 1);
    int low = 0, high = plan->n_groups; /* the last group that begins at or before first */
    while (high - low > 1) {
        const int middle = low + (high - low) / 2;
        if (plan->groups[middle].begin * crew->n_heads <= first) low = middle;
        else high = middle;
    }
    *begin = low;
    for (*end = low; first < last && *end < plan->n_groups && plan->groups[*end].begin * crew->n_heads < last;) ++*end;
}
