/* runtime/mixers/attend_plan.h - who attends to what in a step: a pure function of the rows and the number of workers.
 *
 * Rows of one sequence that follow each other form groups; a job is a group's queries of one kv head, which read
 * the same keys and values; a piece is a job's span of 512 positions. Pieces in the order (group, kv head, span)
 * are laid end to end by their cost, and each worker has an equal length of that: it takes the pieces whose middle lies
 * there. So one row of a long sequence with few kv heads is spread over many workers as evenly as a prompt is.
 * Where nodes keep different kv heads, groups are the same for all, and pieces are dealt out on each node. */
#ifndef RUNTIME_MIXERS_ATTEND_PLAN_H
#define RUNTIME_MIXERS_ATTEND_PLAN_H

#include <stdbool.h>
#include <stdint.h>

struct row;

struct attend_group {
    int     first_row, n_rows;
    int     n_positions; /* before which its last row attends          */
    int     first_span;  /* the first that any of its rows attends     */
    int64_t begin;       /* where its job of one kv head begins, in cost */
};

struct attend_plan {
    int                  n_workers, n_kv_heads; /* of all crews */
    int                  window;    /* positions that a row attends, its own among them; 0 = all */
    bool                 is_chunked; /* attention_spec.is_chunked                                */
    int                  max_parts; /* a job with more (queries x spans) is not cut */
    int                  heads_per_kv;
    int                  n_groups;
    struct attend_group *groups;    /* (rows)                          */
    int64_t              cost;      /* of one kv head: its jobs of all groups */
};

/* Workers that share the jobs of some kv heads: those of the node that keeps the heads. */
struct attend_crew {
    int n_workers, n_heads;
};

struct attend_share { /* a worker's part of one job */
    int  begin, end;  /* spans, counted from the group's first one                         */
    int  n_spans;     /* of the whole job                                                  */
    int  slot;        /* of a job that is cut: the crew's worker in whose length it begins; no other cut job does */
    bool is_cut;
};

/* A group has max_queries queries at most, and fewer where groups would be too few for the workers.
 * plan: the first six are set, groups has room for n_rows. */
void cm_attend_plan(struct attend_plan *plan, const struct row *rows, int n_rows, int max_queries);

/* What a crew's worker has of job (group, head), the crew's heads being 0 … n_heads - 1; begin == end is nothing. */
struct attend_share cm_attend_share(const struct attend_plan *plan, const struct attend_crew *crew, int worker,
                                    int group, int head);
/* Groups of which it has any part: *begin … *end. */
void cm_attend_groups(const struct attend_plan *plan, const struct attend_crew *crew, int worker, int *begin, int *end);

#endif
