/* base/seats.c - see seats.h. */
#include "base/seats.h"

#include "base/barrier.h"
#include "base/limits.h"

int cm_default_workers(const struct topology *topology, int n_taken)
{
    const int n = topology->n_cores, n_by_quota = cm_quota_threads(topology->cpu_quota, n);
    if (n_by_quota < n || n_taken <= 0) return n_by_quota;
    return 2 * n_taken <= n ? n - n_taken : n;
}

/* Distributes workers over the nodes in proportion to the cores that count; the remainder goes to the nodes with the
 * largest fractions. */
static void spread(const struct topology *topology, int n_workers, const int *n_counting, int *n_on_node)
{
    int64_t remainder[CM_MAX_NODES];
    int     n_left = n_workers, n_cores = 0;
    for (int node = 0; node < topology->n_nodes; node++) n_cores += n_counting[node];
    for (int node = 0; node < topology->n_nodes; node++) {
        const int64_t share = (int64_t)n_workers * n_counting[node];
        n_on_node[node] = (int)(share / n_cores);
        remainder[node] = share % n_cores;
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

/* The core of a node's worker with this rank: first the cores that are not taken, in order, then the others. */
static int core_of_rank(const struct topology_node *node, const bool *taken, int rank)
{
    int left = rank % node->n_cores;
    for (int pass = 0; pass < 2; pass++)
        for (int core = node->first_core; core < node->first_core + node->n_cores; core++)
            if (taken[core] == (pass == 1) && left-- == 0) return core;
    return node->first_core;
}

void cm_plan_seats(const struct topology *topology, int n_workers, const bool *taken, int *n_on_node, int32_t *cores)
{
    int n_counting[CM_MAX_NODES], n_free = 0;
    for (int core = 0; core < topology->n_cores; core++) n_free += !taken[core];
    for (int node = 0; node < topology->n_nodes; node++) {
        const struct topology_node *facts = &topology->nodes[node];
        n_counting[node] = 0;
        for (int core = facts->first_core; core < facts->first_core + facts->n_cores; core++)
            n_counting[node] += n_workers > n_free || !taken[core];
    }
    spread(topology, n_workers, n_counting, n_on_node);
    for (int node = 0, index = 0; node < topology->n_nodes; node++)
        for (int rank = 0; rank < n_on_node[node]; rank++, index++)
            cores[index] = core_of_rank(&topology->nodes[node], taken, rank);
}

bool cm_begins_group(const struct topology_core *last, const struct topology_core *core, int n_members)
{
    return !last || core->cache != last->cache || core->node != last->node || n_members == CM_MOST_IN_GROUP;
}
