/* checks.c - see checks.h. */
#include "tests/numa/checks.h"

#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

const char *row_name = "start";
int         n_seen;
unsigned    seen[MAX_WORKERS * 64];

void fail(const char *format, ...)
{
    va_list list;
    printf("FAIL %s: ", row_name);
    va_start(list, format);
    vprintf(format, list);
    va_end(list);
    printf("\n");
    fflush(stdout);
    _exit(1);
}

void must(const struct process *p, calmoe_status status, const char *what)
{
    if (status != CALMOE_OK)
        fail("%s: %s: %s", what, calmoe_status_name(status), calmoe_context_message(p->context));
}

static int node_of_page(const void *at)
{
    void *page = (void *)((uintptr_t)at / PAGE * PAGE);
    int   node = -1;
    if (syscall(SYS_move_pages, 0, 1ul, &page, NULL, &node, 0) != 0) fail("move_pages: the system does not say");
    return node;
}

/* Every page that any byte of these lies on is on that node; answers how many there are. */
static int check_bytes(const void *bytes, size_t n_bytes, unsigned os_index, const char *what, int layer, int index)
{
    const uintptr_t first = (uintptr_t)bytes / PAGE, last = ((uintptr_t)bytes + n_bytes - 1) / PAGE;
    for (uintptr_t page = first; page <= last; page++) {
        const int node = node_of_page((const void *)(page * PAGE));
        if (node != (int)os_index)
            fail("%s %d of layer %d: page %d lies on node %d, not %u", what, index, layer, (int)(page - first), node,
                 os_index);
    }
    return (int)(last - first) + 1;
}

static int check_matrix(const struct matrix *matrix, unsigned os_index, const char *what, int layer, int index)
{
    return matrix->n_rows > 0 ? check_bytes(matrix->packed, cm_matrix_bytes(matrix), os_index, what, layer, index) : 0;
}

/* The parts of an expert are those that the plan says, and lie there. */
static int check_expert(const struct calmoe_engine *engine, int layer, int bank, int e)
{
    const struct expert *expert = &engine->weights->layers[layer].experts.banks[bank].experts[e];
    const struct plan   *plan = &engine->plan;
    const int            width = engine->model->spec.layers[layer].ffn.branches[BANK_SHARED].width;
    struct expert_rows   rows[CM_MAX_NODES];
    const int            n = bank == BANK_ROUTED
                                 ? cm_parts_of_place(plan, cm_place_of(plan, layer, e), rows)
                                 : cm_parts_of_shared(plan, width, plan->dim, rows);
    int n_pages = 0;
    if (expert->n_parts != n) fail("expert %d of layer %d has %d parts, not %d", e, layer, expert->n_parts, n);
    for (int i = 0; i < n; i++) {
        const struct expert_part *part = &expert->parts[i];
        const unsigned            wanted = engine->topology.nodes[rows[i].node].os_index;
        if (part->gate.weights.n_rows != rows[i].n_rows || part->up.weights.n_rows != rows[i].n_rows ||
            part->down.weights.n_rows != rows[i].n_down_rows)
            fail("expert %d of layer %d: part %d has %d and %d rows", e, layer, i, part->gate.weights.n_rows,
                 part->down.weights.n_rows);
        n_pages += check_matrix(&part->gate.weights, wanted, "expert", layer, e);
        n_pages += check_matrix(&part->up.weights, wanted, "expert", layer, e);
        n_pages += check_matrix(&part->down.weights, wanted, "expert", layer, e);
    }
    return n_pages;
}

/* rows[node] rows of a dense matrix lie on each node. */
static int check_dense(const struct calmoe_engine *engine, const struct placed_matrix *matrix, const int32_t *rows,
                       const char *what, int layer)
{
    int n_pages = 0, i = 0;
    for (int node = 0; node < engine->plan.n_nodes; node++) {
        if (rows[node] == 0) continue;
        const struct matrix_part *part = i < matrix->n_parts ? &matrix->parts[i] : NULL;
        if (!part || part->node != node || part->matrix.n_rows != rows[node])
            fail("%s of layer %d: part %d is not %d rows for node %d", what, layer, i, rows[node], node);
        n_pages += check_matrix(&part->matrix, engine->topology.nodes[node].os_index, what, layer, i++);
    }
    if (i != matrix->n_parts) fail("%s of layer %d has %d parts, not %d", what, layer, matrix->n_parts, i);
    return n_pages;
}

static int check_layer(const struct calmoe_engine *engine, int index)
{
    const struct layer *layer = &engine->weights->layers[index];
    const struct attention_weights *mixer = layer->mixer.weights;
    const struct plan  *plan = &engine->plan;
    int32_t q[CM_MAX_NODES], k[CM_MAX_NODES], v[CM_MAX_NODES], o[CM_MAX_NODES], copies[CM_MAX_NODES];
    int     n_pages = 0;
    for (int node = 0; node < plan->n_nodes; node++) {
        q[node] = mixer->q.n_rows / plan->n_kv_heads * plan->kv_heads[node];
        k[node] = mixer->k.n_rows / plan->n_kv_heads * plan->kv_heads[node];
        v[node] = mixer->v.n_rows / plan->n_kv_heads * plan->kv_heads[node];
        copies[node] = engine->topology.nodes[node].n_cores > 0 ? layer->router.n_rows : 0;
    }
    cm_dense_rows(plan, mixer->o.n_rows, o);
    n_pages += check_dense(engine, &mixer->q, q, "q", index) + check_dense(engine, &mixer->k, k, "k", index);
    n_pages += check_dense(engine, &mixer->v, v, "v", index) + check_dense(engine, &mixer->o, o, "o", index);
    n_pages += check_dense(engine, &layer->router, copies, "the router", index);
    for (int bank = 0; bank < N_BANKS; bank++)
        for (int e = 0; e < layer->experts.banks[bank].n_experts; e++) n_pages += check_expert(engine, index, bank, e);
    return n_pages;
}

static void check_kv(const struct process *p)
{
    const struct kv_cache *cache = &p->session->state.kv;
    struct node_pages      pages;
    int                    n_heads = 0;
    for (int i = 0; i < cache->n_parts; i++) {
        const struct kv_part *part = &cache->parts[i];
        const int             n = part->regions[0].n_heads;
        if (n != p->engine->plan.kv_heads[cm_kv_store_memory(&part->all)->node]) fail("kv heads: part %d", i);
        if (!cm_node_block_check(&p->engine->topology, cm_kv_store_memory(&part->all), &pages) ||
            pages.n_elsewhere != 0 ||
            pages.n_touched == 0)
            fail("keys and values: %zu pages, %zu elsewhere", pages.n_touched, pages.n_elsewhere);
        n_heads += n;
    }
    if (n_heads != p->model->spec.most.n_kv_heads) fail("the caches have %d kv heads", n_heads);
}

void check_pages(const struct process *p)
{
    const calmoe_engine *engine = p->engine;
    struct node_pages    pages;
    int32_t              rows[CM_MAX_NODES];
    int                  n_pages = 0;
    for (int i = 0; i < engine->weights->n_layers; i++) n_pages += check_layer(engine, i);
    cm_dense_rows(&engine->plan, engine->weights->output.n_rows, rows);
    n_pages += check_dense(engine, &engine->weights->output, rows, "output", 0);
    if (n_pages < 1000) fail("only %d pages of weights; the model is too small to say anything", n_pages);
    for (int i = 0; i < engine->weights->packed.n_blocks; i++) {
        const struct node_block *block = &engine->weights->packed.blocks[i];
        if (block->bytes && (!cm_node_block_check(&engine->topology, block, &pages) || pages.n_elsewhere != 0 ||
                             pages.n_touched < block->n_bytes / PAGE || !block->is_bound))
            fail("block of node %d: %zu pages, %zu elsewhere", i, pages.n_touched, pages.n_elsewhere);
    }
    check_kv(p);
}

struct whereabouts {
    const struct topology *topology;
    unsigned               cpu[MAX_WORKERS], node[MAX_WORKERS];
};

static void look_round(void *arg, const struct worker *me)
{
    struct whereabouts *where = arg;
    if (getcpu(&where->cpu[me->seat], &where->node[me->seat]) != 0) where->node[me->seat] = ~0u;
}

void check_threads(const struct process *p)
{
    const struct topology *topology = &p->engine->topology;
    struct team           *team = p->engine->team;
    struct whereabouts     where = {.topology = topology};
    const int              n = cm_team_n_workers(team);
    if (n != topology->n_cores || n > MAX_WORKERS) fail("%d workers for %d cores", n, topology->n_cores);
    cm_team_run(team, look_round, &where);
    for (int i = 0; i < n; i++) {
        const int      node = cm_team_worker(team, i)->node;
        const unsigned wanted = topology->nodes[node].os_index;
        if (where.node[i] != wanted)
            fail("worker %d runs on processor %u of node %u, not on node %u", i, where.cpu[i], where.node[i], wanted);
        for (int other = 0; other < i; other++)
            if (where.cpu[other] == where.cpu[i]) fail("workers %d and %d share processor %u", other, i, where.cpu[i]);
        int n_decided = 0;
        for (int at = 0; at < n_seen; at++) n_decided += seen[at] == where.cpu[i];
        if (n_decided == 0) fail("no row of the prompt was routed on processor %u", where.cpu[i]);
    }
}

/* Whether a step reads weights that lie on nodes without cores: dense parts, or experts that it took. Where an expert
 * is replicated, one of its nodes has cores here, and serves. */
static bool reads_from_afar(const struct process *p)
{
    const calmoe_engine *engine = p->engine;
    const struct plan   *plan = &engine->plan;
    uint64_t             counts[64];
    bool                 is_far[CM_MAX_NODES], reads = false;
    for (int node = 0; node < plan->n_nodes; node++) {
        is_far[node] = engine->topology.nodes[node].n_cores == 0;
        reads |= is_far[node] && plan->shares[node] + plan->kv_heads[node] > 0;
    }
    for (int layer = 0; layer < plan->n_layers; layer++) {
        must(p, calmoe_engine_get_expert_counts(engine, layer, counts, 64), "counts");
        for (int e = 0; e < plan->n_experts; e++) {
            const struct expert *expert = &engine->weights->layers[layer].experts.banks[BANK_ROUTED].experts[e];
            for (int i = 0; i < expert->n_parts && counts[e] > 0 && !expert->is_replicated; i++)
                reads |= is_far[expert->parts[i].node];
        }
    }
    return reads;
}

void check_remote(const struct process *p)
{
    calmoe_stats stats = {.size = sizeof stats};
    must(p, calmoe_engine_get_stats(p->engine, &stats), "stats");
    if (reads_from_afar(p) != (stats.n_remote_bytes > 0) || stats.n_remote_bytes > stats.n_weight_bytes)
        fail("%llu bytes of weights were read from other nodes, of %llu", (unsigned long long)stats.n_remote_bytes,
             (unsigned long long)stats.n_weight_bytes);
}
