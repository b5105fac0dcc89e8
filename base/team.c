/* team.c - a team is an OpenMP parallel region that is entered again and again.
 *
 * OpenMP keeps the threads between regions, and gives nothing else: hand-over, barriers and the end
 * of a run are ordered by atomics of our own, which thread checkers can see. */
#include "base/team.h"

#include <assert.h>
#include <fenv.h>
#include <omp.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/barrier.h"
#include "base/memory.h"

enum {
    MAX_WORKERS = 4096,
    N_SPINS = 2000 /* some 50 microseconds: a phase's usual imbalance, less than a time slice */
};

struct seat { /* what one worker writes shares no cache line with another's */
    _Alignas(CM_ALIGNMENT) struct worker worker;
    int              core; /* into topology.cores */
    _Atomic uint64_t waited_ns;
};

struct team {
    const struct topology *topology;
    struct seat           *seats; /* (n_workers) */
    int                    n_workers;
    int                    n_spins; /* in a barrier, before yielding */
    bool                   is_untimed;           /* waiting is not measured */
    int                    server[CM_MAX_NODES]; /* cm_team_server()        */
    bool                   pin;
    unsigned long          number;   /* no other team of this program has or had it       */
    struct thread_mask     home;     /* where the caller may run, which a run narrows     */
    bool                   has_home; /* home was saved                                    */
    void (*phase)(void *arg, const struct worker *me);
    void *arg;

    _Alignas(CM_ALIGNMENT) atomic_uint n_runs; /* released when phase and arg are set */
    atomic_int  n_delivered;                   /* threads that OpenMP gave this run   */
    atomic_bool was_refused;                   /* a thread could not be bound         */
    _Alignas(CM_ALIGNMENT) atomic_int n_finished;
    struct barrier barrier;
};

/* For which seat this thread is bound; team 0 = for none. OpenMP's threads serve one team after the
 * other, and are bound anew only when the seat changes. */
static _Thread_local struct {
    unsigned long team;
    int           seat;
} bound;

static void place_thread(struct team *team, int index)
{
    if (index == 0) { /* the caller's own thread: bound only if it can be given back afterwards */
        if (team->pin && !(team->has_home &&
                           cm_topology_bind_thread(team->topology, team->seats[0].core)))
            atomic_store(&team->was_refused, true);
        return;
    }
    const unsigned long wanted = team->pin ? team->number : 0;
    if (bound.team == wanted && (!wanted || bound.seat == index)) return;
    if (team->pin && !cm_topology_bind_thread(team->topology, team->seats[index].core))
        atomic_store(&team->was_refused, true);
    if (!team->pin && team->has_home) cm_thread_mask_apply(team->topology, &team->home);
    bound.team = wanted;
    bound.seat = index;
}

/* One thread's part of a run. A program may have set its threads to flush denormals or to round
 * upwards; the same bits everywhere need the same environment everywhere. */
static void serve(struct team *team, int index, int n_delivered)
{
    (void)atomic_load_explicit(&team->n_runs, memory_order_acquire);
    if (index == 0) atomic_store(&team->n_delivered, n_delivered);
    if (n_delivered == team->n_workers) {
        fenv_t environment;
        fegetenv(&environment);
        fesetenv(FE_DFL_ENV);
        place_thread(team, index);
        team->phase(team->arg, &team->seats[index].worker);
        fesetenv(&environment);
    }
    atomic_fetch_add_explicit(&team->n_finished, 1, memory_order_release);
}

/* The region. It has to give n_workers threads even where the program asked OpenMP to choose their
 * number, or calls from inside a region of its own. Thread checkers do not see how OpenMP hands
 * `team` over, so this function, and only this one, is not checked. */
__attribute__((no_sanitize("thread"))) static void enter_region(struct team *team)
{
    const int is_dynamic = omp_get_dynamic();
    const int max_levels = omp_get_max_active_levels();
    omp_set_dynamic(0);
    if (omp_get_active_level() >= max_levels) omp_set_max_active_levels(omp_get_active_level() + 1);

#pragma omp parallel num_threads(team->n_workers) firstprivate(team)
    serve(team, omp_get_thread_num(), omp_get_num_threads());

    omp_set_max_active_levels(max_levels);
    omp_set_dynamic(is_dynamic);
}

/* Returns the number of threads that there were; the phase ran only if all were there. */
static int run(struct team *team, void (*phase)(void *arg, const struct worker *me), void *arg)
{
    team->phase = phase;
    team->arg = arg;
    if (team->pin) team->has_home = cm_thread_mask_save(team->topology, &team->home);
    atomic_store_explicit(&team->n_finished, 0, memory_order_relaxed);
    atomic_fetch_add_explicit(&team->n_runs, 1, memory_order_release);

    if (team->n_workers == 1)
        serve(team, 0, 1);
    else
        enter_region(team);

    (void)atomic_load_explicit(&team->n_finished, memory_order_acquire);
    if (team->pin && team->has_home) cm_thread_mask_apply(team->topology, &team->home);
    return atomic_load(&team->n_delivered);
}

/* A bound thread that is not where it was bound to counts as refused. */
static void check_seat(void *arg, const struct worker *me)
{
    struct team *team = arg;
    if (team->pin && !cm_topology_is_on_core(team->topology, team->seats[me->index].core))
        atomic_store(&team->was_refused, true);
}

/* The workers of a node: in proportion to its cores, what remains to the largest remainders, of
 * equals to the first node. A node gets no more workers than cores unless the machine does. */
static void spread(const struct topology *topology, int n_workers, int *n_on_node)
{
    int64_t remainder[CM_MAX_NODES];
    int     n_left = n_workers;
    for (int node = 0; node < topology->n_nodes; node++) {
        const int64_t share = (int64_t)n_workers * topology->nodes[node].n_cores;
        n_on_node[node] = (int)(share / topology->n_cores);
        remainder[node] = share % topology->n_cores;
        n_left -= n_on_node[node];
    }
    for (; n_left > 0; n_left--) {
        int largest = 0;
        for (int node = 1; node < topology->n_nodes; node++)
            if (remainder[node] > remainder[largest]) largest = node;
        n_on_node[largest]++;
        remainder[largest] = -1;
    }
}

static void find_servers(const struct topology *topology, const int *n_on_node, int *server)
{
    for (int node = 0; node < topology->n_nodes; node++) {
        const int nearest = topology->nodes[node].served_by;
        int       best = -1;
        for (int other = 0; other < topology->n_nodes; other++)
            if (n_on_node[other] > 0 && (best < 0 || abs(other - node) < abs(best - node))) best = other;
        server[node] = n_on_node[node] > 0 ? node : n_on_node[nearest] > 0 ? nearest : best;
    }
}

static void fill_seats(struct team *team)
{
    const struct topology *topology = team->topology;
    int                    n_on_node[CM_MAX_NODES];
    spread(topology, team->n_workers, n_on_node);
    find_servers(topology, n_on_node, team->server);

    int index = 0;
    for (int node = 0; node < topology->n_nodes; node++) {
        const struct topology_node *facts = &topology->nodes[node];
        for (int rank = 0; rank < n_on_node[node]; rank++, index++) {
            team->seats[index].core = facts->first_core + rank % facts->n_cores;
            team->seats[index].worker = (struct worker){.team = team,
                                                        .index = index,
                                                        .n_workers = team->n_workers,
                                                        .node = node,
                                                        .rank_on_node = rank,
                                                        .n_on_node = n_on_node[node]};
        }
    }
}

/* Starts the threads by a run that only looks where they are, and finds out what the system gives and refuses. */
static calmoe_status start(struct calmoe_context *ctx, struct team *team)
{
    for (int worker = 1; worker < team->n_workers; worker++)
        if (cm_request_fails())
            return cm_fail(ctx, CALMOE_SYSTEM, "the system starts only %d of %d threads", worker,
                           team->n_workers);

    const int n_delivered = run(team, check_seat, team);
    if (n_delivered < team->n_workers)
        return cm_fail(ctx, CALMOE_SYSTEM,
                       "the system gives only %d of %d threads; ask for fewer, or look at"
                       " OMP_THREAD_LIMIT",
                       n_delivered, team->n_workers);
    if (atomic_load(&team->was_refused)) {
        cm_log(ctx, "the system does not pin threads to cores; they run where it puts them");
        team->pin = false;
    }
    return CALMOE_OK;
}

calmoe_status cm_team_open(struct calmoe_context *ctx, const struct topology *topology, int n_workers,
                           bool pin, struct team **out)
{
    static atomic_ulong n_opened;

    *out = NULL;
    if (n_workers < 0 || n_workers > MAX_WORKERS)
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "%d threads; 0 to %d are possible", n_workers,
                       MAX_WORKERS);
    if (n_workers == 0) n_workers = topology->n_cores;

    struct team *team = cm_alloc(ctx, 1, sizeof *team, "a team");
    if (!team) return CALMOE_NO_MEMORY;
    team->topology = topology;
    team->n_workers = n_workers;
    team->n_spins = n_workers > omp_get_num_procs() ? 0 : N_SPINS;
    team->number = 1 + atomic_fetch_add(&n_opened, 1);
    team->pin = pin && n_workers > 1 && n_workers <= topology->n_cores && topology->is_this_machine;

    calmoe_status status = CALMOE_NO_MEMORY;
    team->seats = cm_alloc(ctx, (size_t)n_workers, sizeof *team->seats, "a team's workers");
    if (!team->seats) goto fail;
    status = cm_thread_mask_open(ctx, &team->home);
    if (status != CALMOE_OK) goto fail;
    team->has_home = cm_thread_mask_save(topology, &team->home);
    fill_seats(team);
    status = start(ctx, team);
    if (status != CALMOE_OK) goto fail;
    *out = team;
    return CALMOE_OK;

fail:
    cm_team_close(&team);
    return status;
}

void cm_team_close(struct team **team)
{
    if (!team || !*team) return;
    cm_thread_mask_close(&(*team)->home);
    cm_free((*team)->seats);
    cm_free(*team);
    *team = NULL;
}

int cm_team_n_workers(const struct team *team)
{
    return team->n_workers;
}

const struct worker *cm_team_worker(const struct team *team, int index)
{
    assert(index >= 0 && index < team->n_workers);
    return &team->seats[index].worker;
}

void cm_team_time_waits(struct team *team, bool is_timed) { team->is_untimed = !is_timed; }

int cm_team_server(const struct team *team, int node)
{
    assert(node >= 0 && node < team->topology->n_nodes);
    return team->server[node];
}

uint64_t cm_team_waited_ns(const struct team *team, int index)
{
    assert(index >= 0 && index < team->n_workers);
    return atomic_load_explicit(&team->seats[index].waited_ns, memory_order_relaxed);
}

void cm_team_run(struct team *team, void (*phase)(void *arg, const struct worker *me), void *arg)
{
    if (run(team, phase, arg) == team->n_workers) return;
    /* cm_team_open() had them all, so a thread limit was set since; without its threads a phase would
     * wait in its first barrier for ever, and nobody would know why. */
    fputs("calmoe: the system took threads away from a running team\n", stderr);
    abort();
}

static uint64_t meet(const struct worker *me, void (*serial)(void *arg), void *arg)
{
    struct team   *team = me->team;
    uint64_t       waited_ns = 0;
    const uint64_t now_ns = cm_meet(&team->barrier, team->n_workers, team->n_spins,
                                    team->is_untimed ? NULL : &waited_ns, serial, arg);
    if (waited_ns == 0) return now_ns;
    _Atomic uint64_t *sum = &team->seats[me->index].waited_ns; /* only this worker writes it: no locked addition */
    atomic_store_explicit(sum, atomic_load_explicit(sum, memory_order_relaxed) + waited_ns, memory_order_relaxed);
    return now_ns;
}

void cm_barrier(const struct worker *me) { (void)meet(me, NULL, NULL); }

uint64_t cm_barrier_now(const struct worker *me) { return meet(me, NULL, NULL); }

void cm_barrier_with(const struct worker *me, void (*serial)(void *arg), void *arg) { (void)meet(me, serial, arg); }

void cm_share(int n, int grain, int index, int n_workers, int *begin, int *end)
{
    assert(n >= 0 && grain > 0 && index >= 0 && index < n_workers);
    const int64_t n_grains = ((int64_t)n + grain - 1) / grain;
    const int64_t first = n_grains * index / n_workers * grain;
    const int64_t last = n_grains * (index + 1) / n_workers * grain;
    *begin = (int)(first < n ? first : n);
    *end = (int)(last < n ? last : n);
}
