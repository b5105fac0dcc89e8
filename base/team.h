/* base/team.h - a team of pinned worker threads. Only team.c uses OpenMP.
 *
 * A step of the engine is one cm_team_run(): every worker executes the same function, and workers wait for each other
 * at barriers. There is no other synchronisation. */
#ifndef BASE_TEAM_H
#define BASE_TEAM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/topology.h"

struct team;

enum team_pin {
    PIN_NO,  /* threads run wherever the system puts them                                   */
    PIN_YES, /* each thread stays on its own core                                           */
    PIN_AUTO /* as PIN_YES, unless busy threads of other programs are bound to these cores already */
};

struct worker {
    struct team *team;
    int          index;        /* 0 … n_workers - 1; worker 0 runs on the caller's thread */
    int          n_workers;    /* number of workers that take part                        */
    int          seat;         /* its number among all workers of the team, to find data that is kept for it */
    int          node;         /* the memory node of its core                             */
    int          rank_on_node; /* its number on this node, 0 … n_on_node - 1              */
    int          n_on_node;
};

/* n_workers 0 = the default number (seats.h): one for each core, except those that other processes of calmoe use. Under
 * a quota of processor time the team has more threads than the quota is worth, since it may grow, but calls up only as
 * many as it is worth. Workers are distributed over the nodes in proportion to their cores, and sit on cores that no
 * other process of calmoe uses, if there are enough. There may be more workers than cores; then none is pinned. With
 * PIN_NO the system chooses the cores, and under a quota that is worth fewer than all cores it chooses them within each
 * node. If the system refuses to pin, one sentence goes to the log, and threads run unpinned. SYSTEM, NO_MEMORY: the
 * system does not start that many threads. topology must outlive the team. */
calmoe_status cm_team_open(struct calmoe_context *ctx, const struct topology *topology, int n_workers,
                           enum team_pin pin, struct team **out);
void          cm_team_close(struct team **team);
int           cm_team_n_workers(const struct team *team);
const struct worker *cm_team_worker(const struct team *team, int index);

/* The largest number of workers that is useful: all, or what the quota of processor time is worth. The quota is read
 * again once a second. */
int cm_team_n_most(struct team *team, uint64_t now_ns);
/* The same as it was last found, without reading the quota; if the caller of cm_team_open() gave a number of workers,
 * that number. */
int cm_team_n_wanted(const struct team *team);

/* To be called between runs: only n of the workers take part in the runs that follow, at least one on each node that
 * has any. They are numbered anew from 0 and keep their seats. At first all take part. */
void cm_team_call_up(struct team *team, int n);
/* For people: how the threads are bound, "bound to cores", "bound to nodes" or "not bound"; and the thread of another
 * program because of which PIN_AUTO did not bind, "" = none. */
const char *cm_team_binding(const struct team *team);
const char *cm_team_crowd(const struct team *team);

/* The core of worker `index`, of the workers that are called up, as an index into topology.cores. */
int      cm_team_core(const struct team *team, int index);
/* The number of barriers that all workers have passed since the team was opened, modulo 2^32. */
uint32_t cm_team_n_meetings(const struct team *team);

/* The number of workers that take part, altogether and on a node. */
int  cm_team_n_called(const struct team *team);
int  cm_team_n_called_on(const struct team *team, int node);

/* The node whose workers do the work for a node's memory. It is the node itself if it has workers. If not (it has
 * memory only, or there are fewer workers than nodes), it is the node whose cores are nearest if that has workers, else
 * the one with workers whose number is nearest. */
int cm_team_server(const struct team *team, int node);

/* Runs phase(arg, worker) on all workers that are called up, and returns when all have returned. The calling thread is
 * worker 0; afterwards it has its own CPU affinity again. Phases run in the default floating-point environment (round
 * to nearest, denormals kept), whatever the caller's is. Not reentrant. */
void cm_team_run(struct team *team, void (*phase)(void *arg, const struct worker *me), void *arg);

/* To be called inside a phase: waits until all workers have called it. Whatever each wrote before is visible to all
 * afterwards. A waiting worker polls for a while and then sleeps, so that on a crowded machine the late worker can get
 * its core. */
void cm_barrier(const struct worker *me);
/* The same; returns the time at which this worker continued if that was measured anyway, else 0. */
uint64_t cm_barrier_now(const struct worker *me);
/* The same; the worker that arrives last runs serial(arg) before the others continue. */
void cm_barrier_with(const struct worker *me, void (*serial)(void *arg), void *arg);

/* Divides n items among workers in multiples of `grain`: the part of worker `index` is *begin up to *end. The parts are
 * in order, do not overlap, and cover 0 … n. */
void cm_share(int n, int grain, int index, int n_workers, int *begin, int *end);

/* To be called between runs: whether waiting is timed, as it is at first. */
void cm_team_time_waits(struct team *team, bool is_timed);
/* Nanoseconds that the worker on a seat has waited in barriers since the team was opened. */
uint64_t cm_team_waited_ns(const struct team *team, int seat);
uint64_t cm_team_waited_in_all_ns(const struct team *team); /* all of them together */

#endif
