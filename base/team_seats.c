/* base/team_seats.c - decides on which cores workers sit and which of them take part: on the cores that other processes
 * leave free, bound or not, and as many as a quota is worth. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/bound_others.h"
#include "base/clock.h"
#include "base/core_claims.h"
#include "base/limits.h"
#include "base/seats.h"
#include "base/team_parts.h"

enum {
    SPIN_NS = 50000,     /* a phase's usual imbalance, and about what sleeping and waking up take */
    LOOK_NS = 1000000000, /* time between two looks at the quota                               */
    GROWTH = 4           /* threads are started for a quota that is so many times larger       */
};

/* ---- seats ---- */

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

static void release_claims(const struct team *team)
{
    for (int i = 0; team->seats && i < team->n_workers; i++) {
        struct seat *seat = &team->seats[i];
        if (seat->is_claimed) cm_core_release(team->topology->cores[seat->core].os_pu);
        seat->is_claimed = false;
    }
}

/* Claims a core that looked free. False if another process was faster. */
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

/* Claims the seats' cores, as far as each worker has its own, so that other processes see them. A team with more
 * workers than cores, or one for another machine, claims nothing. */
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

/* ---- who takes part ---- */

/* Chooses workers so that each node keeps its share, and at least one: the node that lacks most of its share gets the
 * next. */
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

static void form_groups(struct team *team)
{
    struct barrier             *barrier = &team->barrier;
    const struct topology_core *cores = team->topology->cores, *last = NULL;
    barrier->groups = team->groups;
    barrier->n_groups = 0;
    for (int i = 0; i < team->n_called; i++) {
        struct seat                *seat = &team->seats[team->called[i].seat];
        const struct topology_core *core = &cores[seat->core];
        const int n_members = barrier->n_groups > 0 ? team->groups[barrier->n_groups - 1].n_members : 0;
        if (cm_begins_group(last, core, n_members))
            team->groups[barrier->n_groups++].n_members = 0;
        seat->group = barrier->n_groups - 1;
        team->groups[seat->group].n_members++;
        last = core;
    }
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
    form_groups(team);
}

static int worth_of(const struct team *team, double quota)
{
    const int n_cores = team->topology->n_cores, n = cm_quota_threads(quota, n_cores);
    return n < n_cores && n < team->n_workers ? n : team->n_workers;
}

int cm_team_n_most(struct team *team, uint64_t now_ns)
{
    char name[CM_LIMIT_NAME];
    if (!team->topology->is_this_machine || (int64_t)(now_ns - team->looked_ns) < LOOK_NS) return team->n_most;
    team->looked_ns = now_ns;
    team->n_most = worth_of(team, cm_cpu_quota(cm_limits_root(), name));
    return team->n_most;
}

int cm_team_n_wanted(const struct team *team) { return team->is_default ? team->n_most : team->n_workers; }

int cm_team_n_called(const struct team *team) { return team->n_called; }
int cm_team_n_called_on(const struct team *team, int node) { return team->n_called_on[node]; }
int cm_team_n_workers(const struct team *team) { return team->n_workers; }

const struct worker *cm_team_worker(const struct team *team, int index)
{
    assert(index >= 0 && index < team->n_workers);
    return &team->seats[index].worker;
}

int cm_team_core(const struct team *team, int index)
{
    assert(index >= 0 && index < team->n_called);
    return team->seats[team->called[index].seat].core;
}

uint32_t cm_team_n_meetings(const struct team *team) { return atomic_load(&team->groups[0].n_passed); }

int cm_team_server(const struct team *team, int node)
{
    assert(node >= 0 && node < team->topology->n_nodes);
    return team->server[node];
}

const char *cm_team_binding(const struct team *team)
{
    static const char *const names[] = {"not bound", "bound to nodes", "bound to cores"};
    return names[team->n_workers > 1 ? team->binding : BIND_NOTHING];
}

const char *cm_team_crowd(const struct team *team) { return team->crowd; }

/* ---- opening ---- */

/* Logs, once for each program, what the user may not expect about the number of threads. */
static void remark(struct calmoe_context *ctx, const struct team *team, int n_taken)
{
    static atomic_bool was_said;
    const struct topology *topology = team->topology;
    int                    n_shared = 0;
    for (int i = 0; i < team->n_workers; i++) n_shared += team->seats[i].is_shared;
    const bool is_fewer = team->is_default && team->n_workers < topology->n_cores;
    const bool is_above = team->n_most < team->n_workers;
    if ((!n_shared && !is_fewer && !is_above) || atomic_exchange(&was_said, true)) return;
    if (is_above && !team->is_default)
        cm_log(ctx, "%d threads were asked for under a quota of %.3g processors, which is worth %d", team->n_workers,
               topology->cpu_quota, team->n_most);
    else if (is_above)
        cm_log(ctx, "a quota of %.3g processors is worth %d of %d threads", topology->cpu_quota, team->n_most,
               team->n_workers);
    else if (n_shared)
        cm_log(ctx, "other processes of calmoe work on %d of the %d cores, so %d of %d threads share theirs with them, "
               "and both are slower", n_taken, topology->n_cores, n_shared, team->n_workers);
    else
        cm_log(ctx, "other processes of calmoe work on %d of the %d cores: %d threads run on the others", n_taken,
               topology->n_cores, team->n_workers);
}

static calmoe_status find_crowd(struct calmoe_context *ctx, struct team *team)
{
    bool *ours = cm_alloc(ctx, (size_t)team->topology->n_cores, sizeof *ours, "a team's cores");
    if (!ours) return CALMOE_NO_MEMORY;
    for (int i = 0; i < team->n_workers; i++) ours[team->seats[i].core] = true;
    (void)cm_another_is_bound(cm_limits_root(), team->topology, ours, team->crowd);
    cm_free(ours);
    return CALMOE_OK;
}

/* Decides how threads are bound. Single workers, and teams larger than the machine, do better where the system puts
 * them. Under a quota, threads are not bound to cores either: other groups, which cannot be seen from here, share the
 * cores, and all of them would choose the first ones. The same holds beside bound threads of other programs. */
static calmoe_status choose_binding(struct calmoe_context *ctx, struct team *team, enum team_pin pin)
{
    const struct topology *topology = team->topology;
    const bool has_quota = cm_quota_threads(topology->cpu_quota, topology->n_cores) < topology->n_cores;
    if (pin == PIN_NO || team->n_workers < 2 || team->n_workers > topology->n_cores || !topology->is_this_machine)
        return CALMOE_OK;
    if (pin == PIN_AUTO) CM_TRY(find_crowd(ctx, team));
    team->binding = team->crowd[0] == '\0' && !has_quota ? BIND_CORE : topology->n_nodes > 1 ? BIND_NODE : BIND_NOTHING;
    for (int node = 0; team->binding == BIND_NODE && node < topology->n_nodes; node++) {
        CM_TRY(cm_thread_mask_open(ctx, &team->nodes[node]));
        (void)cm_thread_mask_of_node(topology, node, &team->nodes[node]);
    }
    return CALMOE_OK;
}

/* If no number was given, and a quota is worth fewer threads than there are cores, more threads than that are started
 * if the system allows it, since the quota may grow. */
static void choose_number(struct team *team, int n_taken)
{
    const int n_cores = team->topology->n_cores, n_default = cm_default_workers(team->topology, n_taken);
    const bool has_quota = cm_quota_threads(team->topology->cpu_quota, n_cores) < n_cores;
    team->is_default = team->n_workers == 0;
    if (team->is_default && has_quota) {
        char           name[CM_LIMIT_NAME];
        const int      n_later = GROWTH * n_default < n_cores ? GROWTH * n_default : n_cores;
        const uint64_t room = cm_thread_room(cm_limits_root(), name);
        team->n_workers = room < (uint64_t)n_later ? n_default : n_later;
    } else if (team->is_default) {
        team->n_workers = n_default;
    }
    team->n_most = worth_of(team, team->topology->cpu_quota);
    team->looked_ns = cm_now_ns();
}

calmoe_status cm_team_open_seats(struct calmoe_context *ctx, struct team *team, enum team_pin pin, int n_processors)
{
    bool         *taken = cm_alloc(ctx, (size_t)team->topology->n_cores, sizeof *taken, "a team's cores");
    int32_t      *cores = NULL;
    calmoe_status status = CALMOE_NO_MEMORY;
    if (!taken) return CALMOE_NO_MEMORY;
    const int n_taken = look_for_others(team->topology, taken);
    choose_number(team, n_taken);
    team->barrier.spin_ns = team->n_workers > n_processors ? 0 : SPIN_NS;
    team->seats = cm_alloc(ctx, (size_t)team->n_workers, sizeof *team->seats, "a team's workers");
    team->called = cm_alloc(ctx, (size_t)team->n_workers, sizeof *team->called, "a team's workers");
    team->groups = cm_alloc(ctx, (size_t)team->n_workers, sizeof *team->groups, "a team's barrier");
    cores = cm_alloc(ctx, (size_t)team->n_workers, sizeof *cores, "a team's cores");
    if (team->seats && team->called && team->groups && cores) {
        take_seats(team, taken, cores);
        cm_team_call_up(team, team->n_workers);
        remark(ctx, team, n_taken);
        status = choose_binding(ctx, team, pin);
    }
    cm_free(taken);
    cm_free(cores);
    return status;
}

void cm_team_close_seats(struct team *team)
{
    release_claims(team);
    for (int node = 0; node < CM_MAX_NODES; node++) cm_thread_mask_close(&team->nodes[node]);
    cm_free(team->seats);
    cm_free(team->called);
    cm_free(team->groups);
}
