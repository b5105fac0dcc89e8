/* team.c - a team is an OpenMP parallel region that is entered again and again.
 *
 * OpenMP keeps the threads between regions, and gives nothing else: hand-over, barriers and the end
 * of a run are ordered by atomics of our own, which thread checkers can see. */
#include "base/team.h"

#include <assert.h>
#include <fenv.h>
#include <omp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/barrier.h"
#include "base/core_claims.h"
#include "base/limits.h"
#include "base/memory.h"
#include "base/seats.h"

enum {
    MAX_WORKERS = 4096,
    N_SPINS = 2000 /* some 50 microseconds: a phase's usual imbalance, less than a time slice */
};

enum binding {
    BIND_NOTHING, /* threads run where the system puts them */
    BIND_NODE,    /* on any core of their node              */
    BIND_CORE     /* each on its own core                   */
};

struct seat { /* what one worker writes shares no cache line with another's */
    _Alignas(CM_ALIGNMENT) struct worker worker;
    int              core;       /* into topology.cores                               */
    bool             is_claimed; /* other processes are told that it is worked on     */
    bool             is_shared;  /* another process told so before                    */
    _Atomic uint64_t waited_ns;
};

struct team {
    const struct topology *topology;
    struct seat           *seats; /* (n_workers) */
    int                    n_workers;
    int                    n_called;              /* that take part                                       */
    struct worker         *called;                /* (n_workers): the first n_called, as they see themselves */
    int                    n_on_node[CM_MAX_NODES], n_called_on[CM_MAX_NODES];
    int                    n_spins; /* in a barrier, before yielding */
    bool                   is_untimed;           /* waiting is not measured */
    int                    server[CM_MAX_NODES]; /* cm_team_server()        */
    enum binding           binding;
    struct thread_mask     nodes[CM_MAX_NODES];  /* of BIND_NODE: the cores of each                        */
    unsigned long          number;   /* no other team of this program has or had it       */
    struct thread_mask     home;     /* where the caller may run, which a run narrows     */
    bool                   has_home; /* home was saved                                    */
    void (*phase)(void *arg, const struct worker *me);
    void *arg;
    uint64_t speaker;                          /* sentences of the run are the caller's: cm_message_thread() */

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

static bool bind_to_seat(const struct team *team, int index)
{
    const struct seat *seat = &team->seats[index];
    return team->binding == BIND_CORE ? cm_topology_bind_thread(team->topology, seat->core)
                                      : cm_thread_mask_apply(team->topology, &team->nodes[seat->worker.node]);
}

/* A worker by itself runs where the system puts it. */
static bool is_bound(const struct team *team) { return team->binding != BIND_NOTHING && team->n_called > 1; }

static void place_thread(struct team *team, int index)
{
    const int seat = team->called[index].seat;
    if (index == 0) { /* the caller's own thread: bound only if it can be given back afterwards */
        if (is_bound(team) && !(team->has_home && bind_to_seat(team, seat))) atomic_store(&team->was_refused, true);
        return;
    }
    const unsigned long wanted = team->binding != BIND_NOTHING ? team->number : 0;
    if (bound.team == wanted && (!wanted || bound.seat == seat)) return;
    if (wanted && !bind_to_seat(team, seat)) atomic_store(&team->was_refused, true);
    if (!wanted && team->has_home) cm_thread_mask_apply(team->topology, &team->home);
    bound.team = wanted;
    bound.seat = seat;
}

/* One thread's part of a run. A program may have set its threads to flush denormals or to round
 * upwards; the same bits everywhere need the same environment everywhere. */
static void serve(struct team *team, int index, int n_delivered)
{
    (void)atomic_load_explicit(&team->n_runs, memory_order_acquire);
    if (index == 0) atomic_store(&team->n_delivered, n_delivered);
    if (n_delivered == team->n_called) {
        fenv_t environment;
        fegetenv(&environment);
        fesetenv(FE_DFL_ENV);
        place_thread(team, index);
        cm_message_thread_be(team->speaker);
        team->phase(team->arg, &team->called[index]);
        fesetenv(&environment);
    }
    atomic_fetch_add_explicit(&team->n_finished, 1, memory_order_release);
}

/* The region. It has to give n_called threads even where the program asked OpenMP to choose their
 * number, or calls from inside a region of its own. Thread checkers do not see how OpenMP hands
 * `team` over, so this function, and only this one, is not checked. */
__attribute__((no_sanitize("thread"))) static void enter_region(struct team *team)
{
    const int is_dynamic = omp_get_dynamic();
    const int max_levels = omp_get_max_active_levels();
    omp_set_dynamic(0);
    if (omp_get_active_level() >= max_levels) omp_set_max_active_levels(omp_get_active_level() + 1);

#pragma omp parallel num_threads(team->n_called) firstprivate(team)
    serve(team, omp_get_thread_num(), omp_get_num_threads());

    omp_set_max_active_levels(max_levels);
    omp_set_dynamic(is_dynamic);
}

/* Returns the number of threads that there were; the phase ran only if all were there. */
static int run(struct team *team, void (*phase)(void *arg, const struct worker *me), void *arg)
{
    team->phase = phase;
    team->arg = arg;
    team->speaker = cm_message_thread();
    if (is_bound(team)) team->has_home = cm_thread_mask_save(team->topology, &team->home);
    atomic_store_explicit(&team->n_finished, 0, memory_order_relaxed);
    atomic_fetch_add_explicit(&team->n_runs, 1, memory_order_release);

    if (team->n_called == 1)
        serve(team, 0, 1);
    else
        enter_region(team);

    (void)atomic_load_explicit(&team->n_finished, memory_order_acquire);
    if (is_bound(team) && team->has_home) cm_thread_mask_apply(team->topology, &team->home);
    return atomic_load(&team->n_delivered);
}

/* A bound thread that is not where it was bound to counts as refused. */
static void check_seat(void *arg, const struct worker *me)
{
    struct team *team = arg;
    if (is_bound(team) && team->binding == BIND_CORE &&
        !cm_topology_is_on_core(team->topology, team->seats[me->seat].core))
        atomic_store(&team->was_refused, true);
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

static void fill_seats(struct team *team, const int *n_on_node, const int32_t *cores)
{
    int index = 0;
    find_servers(team->topology, n_on_node, team->server);
    memcpy(team->n_on_node, n_on_node, (size_t)team->topology->n_nodes * sizeof *n_on_node);
    for (int node = 0; node < team->topology->n_nodes; node++)
        for (int rank = 0; rank < n_on_node[node]; rank++, index++) {
            team->seats[index].core = cores[index];
            team->seats[index].worker = (struct worker){.team = team,
                                                        .index = index,
                                                        .seat = index,
                                                        .n_workers = team->n_workers,
                                                        .node = node,
                                                        .rank_on_node = rank,
                                                        .n_on_node = n_on_node[node]};
        }
}

/* ---- cores that other processes work on ---- */

static int look_for_others(const struct topology *topology, bool *taken)
{
    int n_taken = 0;
    for (int core = 0; topology->is_this_machine && core < topology->n_cores; core++)
        n_taken += taken[core] = cm_core_is_taken(topology->cores[core].os_pu);
    return n_taken;
}

static void release_claims(struct team *team)
{
    for (int i = 0; team->seats && i < team->n_workers; i++) {
        struct seat *seat = &team->seats[i];
        if (seat->is_claimed) cm_core_release(team->topology->cores[seat->core].os_pu);
        seat->is_claimed = false;
    }
}

/* False where another process was faster with one that looked free. */
static bool claim_cores(struct team *team, const bool *taken)
{
    bool has_all = true;
    for (int i = 0; i < team->n_workers; i++) {
        struct seat *seat = &team->seats[i];
        seat->is_shared = taken[seat->core];
        if (seat->is_shared) continue;
        seat->is_claimed = cm_core_claim(team->topology->cores[seat->core].os_pu);
        has_all = has_all && seat->is_claimed;
        seat->is_shared = !seat->is_claimed;
    }
    return has_all;
}

/* Seats on cores of their own, as far as there are any, for other processes to see. A team that is larger than the
 * machine, or that describes another machine, claims nothing. */
static void take_seats(struct team *team, bool *taken, int32_t *cores)
{
    enum { TRIES = 4 };
    const struct topology *topology = team->topology;
    int                    n_on_node[CM_MAX_NODES];
    for (int i = 0; i < TRIES; i++) {
        if (i > 0) look_for_others(topology, taken);
        cm_plan_seats(topology, team->n_workers, taken, n_on_node, cores);
        fill_seats(team, n_on_node, cores);
        if (!topology->is_this_machine || team->n_workers > topology->n_cores || claim_cores(team, taken)) return;
        if (i < TRIES - 1) release_claims(team);
    }
}

/* Says, once for a program, what the user may not expect of the number of threads. */
static void remark(struct calmoe_context *ctx, const struct team *team, bool is_default, int n_taken)
{
    static atomic_bool was_said;
    const struct topology *topology = team->topology;
    const int n_by_quota = cm_quota_threads(topology->cpu_quota, topology->n_cores);
    int       n_shared = 0;
    for (int i = 0; i < team->n_workers; i++) n_shared += team->seats[i].is_shared;
    const bool is_fewer = is_default && n_by_quota == topology->n_cores && team->n_workers < topology->n_cores;
    const bool is_above = n_by_quota < topology->n_cores && team->n_workers > n_by_quota && team->n_workers > 1;
    if ((!n_shared && !is_fewer && !is_above) || atomic_exchange(&was_said, true)) return;
    if (is_above)
        cm_log(ctx, "%d threads run under a quota of %.3g processors, which stops them now and then; %d would do",
               team->n_workers, topology->cpu_quota, n_by_quota);
    else if (n_shared)
        cm_log(ctx, "other processes of calmoe work on %d of the %d cores, so %d of %d threads share theirs with them, "
               "and both are slower", n_taken, topology->n_cores, n_shared, team->n_workers);
    else
        cm_log(ctx, "other processes of calmoe work on %d of the %d cores: %d threads run on the others", n_taken,
               topology->n_cores, team->n_workers);
}

/* ---- opening ---- */

/* OpenMP ends the program where a thread cannot be started; so what would keep one from that is looked for before.
 * Threads that an earlier team started are used again. */
static calmoe_status check_threads(struct calmoe_context *ctx, int n_workers)
{
    static atomic_int n_most = 1; /* the program's first thread is there */
    const int         n_new = n_workers - atomic_load(&n_most);
    char              reason[CM_LIMIT_NAME + 64];
    pthread_attr_t    defaults;
    size_t            stack_bytes = 0;
    if (n_new <= 0) return CALMOE_OK;
    const uint64_t room = cm_thread_room(cm_limits_root(), reason);
    if (room < (uint64_t)n_new)
        return cm_fail(ctx, CALMOE_SYSTEM, "the system starts only %llu of %d threads: so much is left of %s",
                       (unsigned long long)room + 1, n_workers, reason);
    if (pthread_attr_init(&defaults) == 0) {
        (void)pthread_attr_getstacksize(&defaults, &stack_bytes);
        (void)pthread_attr_destroy(&defaults);
    }
    cm_mapping_reason(cm_limits_root(), (uint64_t)n_new * stack_bytes, reason, sizeof reason);
    if (reason[0] != '\0')
        return cm_fail(ctx, CALMOE_NO_MEMORY, "no memory for the stacks of %d threads: %d times %zu bytes%s", n_new,
                       n_new, stack_bytes, reason);
    atomic_store(&n_most, n_workers);
    return CALMOE_OK;
}

/* Starts the threads by a run that only looks where they are, and finds out what the system gives and refuses. */
static calmoe_status start(struct calmoe_context *ctx, struct team *team)
{
    for (int worker = 1; worker < team->n_workers; worker++)
        if (cm_request_fails())
            return cm_fail(ctx, CALMOE_SYSTEM, "the system starts only %d of %d threads", worker,
                           team->n_workers);
    CM_TRY(check_threads(ctx, team->n_workers));

    const int n_delivered = run(team, check_seat, team);
    if (n_delivered < team->n_workers)
        return cm_fail(ctx, CALMOE_SYSTEM,
                       "the system gives only %d of %d threads; ask for fewer, or look at"
                       " OMP_THREAD_LIMIT",
                       n_delivered, team->n_workers);
    if (atomic_load(&team->was_refused)) {
        cm_log(ctx, "the system does not pin threads to cores; they run where it puts them");
        team->binding = BIND_NOTHING;
    }
    return CALMOE_OK;
}

/* Single workers and teams larger than the machine are better off where the system puts them. So are those under a
 * quota: other groups, which nobody here sees, share the cores with them, and would all choose the first ones. */
static calmoe_status choose_binding(struct calmoe_context *ctx, struct team *team, bool pin)
{
    const struct topology *topology = team->topology;
    const bool has_quota = cm_quota_threads(topology->cpu_quota, topology->n_cores) < topology->n_cores;
    if (!pin || team->n_workers < 2 || team->n_workers > topology->n_cores || !topology->is_this_machine)
        return CALMOE_OK;
    team->binding = !has_quota ? BIND_CORE : topology->n_nodes > 1 ? BIND_NODE : BIND_NOTHING;
    for (int node = 0; team->binding == BIND_NODE && node < topology->n_nodes; node++) {
        CM_TRY(cm_thread_mask_open(ctx, &team->nodes[node]));
        (void)cm_thread_mask_of_node(topology, node, &team->nodes[node]);
    }
    return CALMOE_OK;
}

static calmoe_status open_seats(struct calmoe_context *ctx, struct team *team, bool pin)
{
    const bool is_default = team->n_workers == 0;
    bool      *taken = cm_alloc(ctx, (size_t)team->topology->n_cores, sizeof *taken, "a team's cores");
    int32_t   *cores = NULL;
    calmoe_status status = CALMOE_NO_MEMORY;
    if (!taken) return CALMOE_NO_MEMORY;
    const int n_taken = look_for_others(team->topology, taken);
    if (is_default) team->n_workers = cm_default_workers(team->topology, n_taken);
    team->n_spins = team->n_workers > omp_get_num_procs() ? 0 : N_SPINS;
    team->seats = cm_alloc(ctx, (size_t)team->n_workers, sizeof *team->seats, "a team's workers");
    team->called = cm_alloc(ctx, (size_t)team->n_workers, sizeof *team->called, "a team's workers");
    cores = cm_alloc(ctx, (size_t)team->n_workers, sizeof *cores, "a team's cores");
    if (team->seats && team->called && cores) {
        take_seats(team, taken, cores);
        cm_team_call_up(team, team->n_workers);
        remark(ctx, team, is_default, n_taken);
        status = choose_binding(ctx, team, pin);
    }
    cm_free(taken);
    cm_free(cores);
    return status;
}

calmoe_status cm_team_open(struct calmoe_context *ctx, const struct topology *topology, int n_workers,
                           bool pin, struct team **out)
{
    static atomic_ulong n_opened;

    *out = NULL;
    if (n_workers < 0 || n_workers > MAX_WORKERS)
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "%d threads; 0 to %d are possible", n_workers,
                       MAX_WORKERS);

    struct team *team = cm_alloc(ctx, 1, sizeof *team, "a team");
    if (!team) return CALMOE_NO_MEMORY;
    team->topology = topology;
    team->n_workers = n_workers;
    team->number = 1 + atomic_fetch_add(&n_opened, 1);
    calmoe_status status = open_seats(ctx, team, pin);
    if (status == CALMOE_OK) status = cm_thread_mask_open(ctx, &team->home);
    if (status == CALMOE_OK) {
        team->has_home = cm_thread_mask_save(topology, &team->home);
        status = start(ctx, team);
    }
    if (status != CALMOE_OK) cm_team_close(&team);
    *out = team;
    return status;
}

void cm_team_close(struct team **team)
{
    if (!team || !*team) return;
    release_claims(*team);
    for (int node = 0; node < CM_MAX_NODES; node++) cm_thread_mask_close(&(*team)->nodes[node]);
    cm_thread_mask_close(&(*team)->home);
    cm_free((*team)->seats);
    cm_free((*team)->called);
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

/* Each node keeps workers in proportion, and one at least: who lacks most for its share gets the next. */
static void share_out(struct team *team, int n)
{
    int n_called = 0;
    for (int node = 0; node < team->topology->n_nodes; node++)
        n_called += team->n_called_on[node] = team->n_on_node[node] > 0;
    for (; n_called < n; n_called++) {
        int64_t most = INT64_MIN;
        int     neediest = 0;
        for (int node = 0; node < team->topology->n_nodes; node++) {
            const int     n_all = team->n_on_node[node], n_on = team->n_called_on[node];
            const int64_t lack = (int64_t)n_all * n - (int64_t)n_on * team->n_workers;
            if (n_on == n_all || lack <= most) continue;
            most = lack;
            neediest = node;
        }
        team->n_called_on[neediest]++;
    }
    team->n_called = n_called;
}

void cm_team_call_up(struct team *team, int n)
{
    assert(n >= 1 && n <= team->n_workers);
    if (n == team->n_called) return;
    share_out(team, n);
    for (int seat = 0, index = 0; seat < team->n_workers; seat++) {
        const struct worker *worker = &team->seats[seat].worker;
        if (worker->rank_on_node >= team->n_called_on[worker->node]) continue;
        team->called[index] = *worker;
        team->called[index].index = index;
        team->called[index].n_workers = team->n_called;
        team->called[index++].n_on_node = team->n_called_on[worker->node];
    }
}

int cm_team_n_called(const struct team *team) { return team->n_called; }
int cm_team_n_called_on(const struct team *team, int node) { return team->n_called_on[node]; }

void cm_team_time_waits(struct team *team, bool is_timed) { team->is_untimed = !is_timed; }

int cm_team_server(const struct team *team, int node)
{
    assert(node >= 0 && node < team->topology->n_nodes);
    return team->server[node];
}

uint64_t cm_team_waited_ns(const struct team *team, int seat)
{
    assert(seat >= 0 && seat < team->n_workers);
    return atomic_load_explicit(&team->seats[seat].waited_ns, memory_order_relaxed);
}

void cm_team_run(struct team *team, void (*phase)(void *arg, const struct worker *me), void *arg)
{
    if (run(team, phase, arg) == team->n_called) return;
    /* cm_team_open() had them all, so a thread limit was set since; without its threads a phase would
     * wait in its first barrier for ever, and nobody would know why. */
    fputs("calmoe: the system took threads away from a running team\n", stderr);
    abort();
}

static uint64_t meet(const struct worker *me, void (*serial)(void *arg), void *arg)
{
    struct team   *team = me->team;
    uint64_t       waited_ns = 0;
    const uint64_t now_ns = cm_meet(&team->barrier, team->n_called, team->n_spins,
                                    team->is_untimed ? NULL : &waited_ns, serial, arg);
    if (waited_ns == 0) return now_ns;
    _Atomic uint64_t *sum = &team->seats[me->seat].waited_ns; /* only this worker writes it: no locked addition */
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
