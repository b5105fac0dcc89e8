/* base/meeting_cost.c - see meeting_cost.h. */
#include "base/meeting_cost.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/memory.h"
#include "base/seats.h"

enum { N_PASSES = 9, N_ROUNDS = 400, MOST_PAIRS = 32 };
enum { LOOKS_BETWEEN_CLOCKS = 4096, MOST_NS = 5000000 };
static const unsigned OVER = ~0u;

struct meter {
    const struct topology *topology;
    int      first, second; /* the pair's workers */
    int      n_rounds;      /* of a pass          */
    uint64_t ns;            /* time that they took */
    _Alignas(CM_ALIGNMENT) atomic_uint turn; /* even: the first one's turn, odd: the second one's; OVER: the pass has
                                                ended                                 */
};

/* Waits for its turn. False if the pass has taken too long because the pair's threads share a core; the pass then ends
 * for both. */
static bool take_turn(struct meter *m, unsigned mine, uint64_t began_ns)
{
    for (unsigned look = 1;; look++) {
        const unsigned turn = atomic_load_explicit(&m->turn, memory_order_acquire);
        if (turn == mine) return true;
        if (turn == OVER) return false;
        if (look % LOOKS_BETWEEN_CLOCKS == 0 && cm_now_ns() - began_ns > MOST_NS) atomic_store(&m->turn, OVER);
    }
}

/* The turn passes N_ROUNDS times to the second worker and back, while all other workers sleep at the barrier. */
static void pass_turns(void *arg, const struct worker *me)
{
    struct meter *m = arg;
    cm_barrier(me);
    const bool is_first = me->index == m->first;
    if (is_first || me->index == m->second) {
        const uint64_t began_ns = cm_now_ns();
        unsigned       round = 0;
        for (; round < N_ROUNDS; round++) {
            const unsigned mine = 2 * round + (is_first ? 0 : 1);
            if (!take_turn(m, mine, began_ns)) break;
            atomic_store_explicit(&m->turn, mine + 1, memory_order_release);
        }
        if (is_first) {
            m->ns = cm_now_ns() - began_ns;
            m->n_rounds = round > 0 ? (int)round : 1;
        }
    }
    cm_barrier(me);
}

static void meet_often(void *arg, const struct worker *me)
{
    struct meter *m = arg;
    cm_barrier(me);
    const uint64_t began_ns = cm_now_ns();
    for (int round = 0; round < N_ROUNDS; round++) cm_barrier(me);
    if (me->index == 0) m->ns = cm_now_ns() - began_ns;
}

static int ascending(const void *a, const void *b)
{
    const double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

static struct delay delay_of(double *seconds, int n)
{
    if (n == 0) return (struct delay){0, 0};
    qsort(seconds, (size_t)n, sizeof *seconds, ascending);
    return (struct delay){seconds[0], (seconds[(n - 1) / 2] + seconds[n / 2]) / 2};
}

static double line_seconds(struct meter *m, struct team *team, int first, int second)
{
    double passes[N_PASSES];
    m->first = first;
    m->second = second;
    for (int i = 0; i < N_PASSES; i++) {
        atomic_store(&m->turn, 0);
        cm_team_run(team, pass_turns, m);
        passes[i] = (double)m->ns * 1e-9 / (2 * m->n_rounds);
    }
    return delay_of(passes, N_PASSES).median;
}

static bool share_cache(const struct meter *m, const struct team *team, int first, int second)
{
    const struct topology_core *a = &m->topology->cores[cm_team_core(team, first)];
    const struct topology_core *b = &m->topology->cores[cm_team_core(team, second)];
    return a->node == b->node && a->cache == b->cache;
}

/* Pairs of neighbours, which mostly share a cache, and pairs that are half of the machine apart. */
static void measure_lines(struct meter *m, struct team *team, struct meeting_delays *out)
{
    double    near[2 * MOST_PAIRS], far[2 * MOST_PAIRS];
    int       n_near = 0, n_far = 0;
    const int n = cm_team_n_called(team), step = n > MOST_PAIRS ? n / MOST_PAIRS : 1;
    for (int i = 0, n_pairs = 0; i < n && n_pairs < MOST_PAIRS; i += step, n_pairs++) {
        const int others[] = {i + 1, i + n / 2};
        for (int k = 0; k < (n > 3 ? 2 : 1); k++) {
            if (others[k] >= n) continue;
            const double seconds = line_seconds(m, team, i, others[k]);
            if (share_cache(m, team, i, others[k])) near[n_near++] = seconds;
            else far[n_far++] = seconds;
        }
    }
    out->near = delay_of(near, n_near);
    out->far = delay_of(far, n_far);
}

calmoe_status cm_measure_meetings(struct calmoe_context *ctx, struct team *team, const struct topology *topology,
                                  struct meeting_delays *out)
{
    double        passes[N_PASSES];
    struct meter *m = cm_alloc(ctx, 1, sizeof *m, "a measurement");
    *out = (struct meeting_delays){0};
    if (!m) return CALMOE_NO_MEMORY;
    m->topology = topology;
    if (cm_team_n_called(team) <= topology->n_cores) measure_lines(m, team, out);
    for (int i = 0; i < N_PASSES; i++) {
        cm_team_run(team, meet_often, m);
        passes[i] = (double)m->ns * 1e-9 / N_ROUNDS;
    }
    out->barrier = delay_of(passes, N_PASSES);
    cm_free(m);
    return CALMOE_OK;
}

double cm_barrier_seconds(const struct topology *topology, double near, double far)
{
    const struct topology_core *last = NULL;
    int                         n_groups = 0, n_members = 0, most = 0;
    for (int i = 0; i < topology->n_cores; i++) {
        const struct topology_core *core = &topology->cores[i];
        n_members = cm_begins_group(last, core, n_members) ? 1 : n_members + 1;
        n_groups += n_members == 1;
        most = n_members > most ? n_members : most;
        last = core;
    }
    return 2 * (most - 1) * near + (n_groups > 1 ? (2 * n_groups - 1) * far : 0);
}
