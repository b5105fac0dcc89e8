/* team.c - a team is an OpenMP parallel region that is entered for every run.
 *
 * OpenMP keeps the threads between regions, and nothing else of it is used: handing over the work, barriers and the end
 * of a run are synchronised by our own atomics, which thread sanitizers understand. */
#include "base/team.h"

#include <assert.h>
#include <fenv.h>
#include <omp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/stack.h"
#include "base/team_parts.h"

enum { MAX_WORKERS = 4096 };

/* The seat for which this thread is bound; team 0 = none. OpenMP's threads serve one team after another, and are only
 * bound again when their seat changes. */
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

/* A single worker runs wherever the system puts it. */
static bool is_bound(const struct team *team) { return team->binding != BIND_NOTHING && team->n_called > 1; }

static void place_thread(struct team *team, int index)
{
    const int seat = team->called[index].seat;
    if (index == 0) { /* the caller's thread: bound only if its old mask can be restored later */
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

/* One thread's part of a run. A program may have set its threads to flush denormals or to round upwards; but the same
 * bits everywhere require the same floating-point environment everywhere. */
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

/* The parallel region. It must have n_called threads even if the program lets OpenMP choose the number, or calls from
 * inside a region of its own. Thread sanitizers do not see how OpenMP passes `team` to the threads, so this function,
 * and only this one, is not checked. */
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

/* Returns the number of threads that there were; the phase ran only if that is all of them. */
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

/* Checks each thread at the beginning. A thread that does not run where it was bound to counts as refused. Stacks may
 * be too small for the steps because of ulimit -s, OMP_STACKSIZE, or a thread of the host program. */
static void check_seat(void *arg, const struct worker *me)
{
    struct team *team = arg;
    const size_t small = cm_small_stack();
    if (small > 0) atomic_store(&team->small_stack, small);
    if (is_bound(team) && team->binding == BIND_CORE &&
        !cm_topology_is_on_core(team->topology, team->seats[me->seat].core))
        atomic_store(&team->was_refused, true);
}

/* ---- opening ---- */

static void *wait_for_the_rest(void *arg)
{
    pthread_mutex_t *const lock = arg;
    pthread_mutex_lock(lock);
    pthread_mutex_unlock(lock);
    return NULL;
}

/* Starts so many threads at the same time and ends them, to find out whether the system allows that, whatever may limit
 * it. */
static calmoe_status rehearse(struct calmoe_context *ctx, int n_new)
{
    pthread_mutex_t  lock = PTHREAD_MUTEX_INITIALIZER;
    pthread_t *const threads = cm_alloc(ctx, (size_t)n_new, sizeof *threads, "a team");
    int              n_started = 0, failure = 0;
    if (!threads) return CALMOE_NO_MEMORY;
    pthread_mutex_lock(&lock);
    while (n_started < n_new && failure == 0) {
        failure = pthread_create(&threads[n_started], NULL, wait_for_the_rest, &lock);
        n_started += failure == 0;
    }
    pthread_mutex_unlock(&lock);
    for (int i = 0; i < n_started; i++) (void)pthread_join(threads[i], NULL);
    cm_free(threads);
    if (failure == 0) return CALMOE_OK;
    return cm_fail(ctx, CALMOE_SYSTEM, "the system starts only %d of %d threads: %s", n_started + 1, n_new + 1,
                   strerror(failure));
}

/* OpenMP ends the whole program if a thread cannot be started; so everything that could prevent that is checked before.
 * Threads that an earlier team started are used again. */
static calmoe_status check_threads(struct calmoe_context *ctx, int n_workers)
{
    static atomic_int n_most = 1; /* the program's first thread exists already */
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
    CM_TRY(rehearse(ctx, n_new));
    atomic_store(&n_most, n_workers);
    return CALMOE_OK;
}

/* Starts the threads with a run in which each only checks where it is, and finds out what the system provides and
 * refuses. */
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
    const size_t small = atomic_load(&team->small_stack);
    if (small > 0) return cm_refuse_stack(ctx, small);
    if (atomic_load(&team->was_refused)) {
        cm_log(ctx, "the system does not pin threads to cores; they run where it puts them");
        team->binding = BIND_NOTHING;
    }
    return CALMOE_OK;
}

calmoe_status cm_team_open(struct calmoe_context *ctx, const struct topology *topology, int n_workers,
                           enum team_pin pin, struct team **out)
{
    static atomic_ulong n_opened;

    *out = NULL;
    if (n_workers < 0 || n_workers > MAX_WORKERS)
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "%d threads; 0 to %d are possible", n_workers,
                       MAX_WORKERS);
    if (pin != PIN_NO && pin != PIN_YES && pin != PIN_AUTO)
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "pin_threads is %d; %d (no), %d (yes) or %d (auto) is wanted",
                       (int)pin, PIN_NO, PIN_YES, PIN_AUTO);

    struct team *team = cm_alloc(ctx, 1, sizeof *team, "a team");
    if (!team) return CALMOE_NO_MEMORY;
    team->topology = topology;
    team->n_workers = n_workers;
    team->number = 1 + atomic_fetch_add(&n_opened, 1);
    calmoe_status status = cm_team_open_seats(ctx, team, pin, omp_get_num_procs());
    if (status == CALMOE_OK) status = cm_thread_mask_open(ctx, &team->home);
    if (status == CALMOE_OK) {
        team->has_home = cm_thread_mask_save(topology, &team->home);
        status = start(ctx, team);
    }
    if (status == CALMOE_OK) cm_team_call_up(team, cm_team_n_wanted(team));
    if (status != CALMOE_OK) cm_team_close(&team);
    *out = team;
    return status;
}

void cm_team_close(struct team **team)
{
    if (!team || !*team) return;
    cm_team_close_seats(*team);
    cm_thread_mask_close(&(*team)->home);
    cm_free(*team);
    *team = NULL;
}

void cm_team_time_waits(struct team *team, bool is_timed) { team->is_untimed = !is_timed; }

uint64_t cm_team_waited_ns(const struct team *team, int seat)
{
    assert(seat >= 0 && seat < team->n_workers);
    return atomic_load_explicit(&team->seats[seat].waited_ns, memory_order_relaxed);
}

uint64_t cm_team_waited_in_all_ns(const struct team *team)
{
    uint64_t sum = 0;
    for (int seat = 0; seat < team->n_workers; seat++) sum += cm_team_waited_ns(team, seat);
    return sum;
}

void cm_team_run(struct team *team, void (*phase)(void *arg, const struct worker *me), void *arg)
{
    if (run(team, phase, arg) == team->n_called) return;
    /* cm_team_open() had all threads, so a thread limit was set since then. Without all of its threads a phase
     * would wait in its first barrier for ever, so the program ends here with a message. */
    fputs("calmoe: the system took threads away from a running team\n", stderr);
    abort();
}

static uint64_t meet(const struct worker *me, void (*serial)(void *arg), void *arg)
{
    struct team   *team = me->team;
    uint64_t       waited_ns = 0;
    const uint64_t now_ns = cm_meet(&team->barrier, team->seats[me->seat].group,
                                    team->is_untimed ? NULL : &waited_ns, serial, arg);
    if (waited_ns == 0) return now_ns;
    _Atomic uint64_t *sum = &team->seats[me->seat].waited_ns; /* no atomic addition: only this worker writes */
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
