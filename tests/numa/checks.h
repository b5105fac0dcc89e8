/* checks.h - what rows of driver.c check of an engine that ran: where pages lie, where threads run, who read what. */
#ifndef TESTS_NUMA_CHECKS_H
#define TESTS_NUMA_CHECKS_H

#include "runtime/engine/handles.h"
#include "runtime/mixers/attention.h"

enum { PAGE = 4096, MAX_WORKERS = 64 };

extern const char *row_name;
/* Says FAIL and ends the process. */
__attribute__((noreturn, format(printf, 1, 2))) void fail(const char *format, ...);

struct process {
    calmoe_context *context;
    calmoe_model   *model;
    calmoe_engine  *engine;
    calmoe_session *session;
    char            plan[64]; /* path; "" = none */
};

void must(const struct process *process, calmoe_status status, const char *what);

extern int      n_seen;
extern unsigned seen[MAX_WORKERS * 64]; /* (n_seen) processors on which the prompt's routing was decided */

/* Every expert, dense matrix and kv head is where the plan says. */
void check_pages(const struct process *process);
/* One worker for each core, on it, and on the node that it believes in; and steps ran on all of them. */
void check_threads(const struct process *process);
/* No thread read weights from another node's memory, but of nodes that have no threads. */
void check_remote(const struct process *process);

#endif
