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

/* How many pieces, span_cost apart and the first at job_begin, begin before `at`. */
static int n_before(int64_t at, int64_t job_begin, int64_t span_cost, int n_spans)
{
    if (at <= job_begin) return 0;
    const int64_t n = (at - job_begin + span_cost - 1) / span_cost;
    return n < n_spans ? (int)n : n_spans;
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
    const int64_t job_begin = group->begin * crew->n_heads + head * job_cost(group);
    const int64_t span_cost = (int64_t)group->n_rows * CM_SPAN_BLOCKS;
    struct attend_share share = {.n_spans = n_spans, .slot = owner(plan, crew, job_begin)};
    if ((int64_t)group->n_rows * plan->heads_per_kv * n_spans > plan->max_parts) {
        share.end = share.slot == worker ? n_spans : 0;
        return share;
    }
    share.begin = n_before(border(plan, crew, worker), job_begin, span_cost, n_spans);
    share.end = n_before(border(plan, crew, worker + 1), job_begin, span_cost, n_spans);
    share.is_cut = n_before(border(plan, crew, share.slot + 1), job_begin, span_cost, n_spans) < n_spans;
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
