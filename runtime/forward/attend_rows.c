/* runtime/forward/attend_rows.c - carries out attend_plan.h: each worker its pieces. Of a job that is cut, every worker
 * leaves its spans' parts in the job's slot, and the one that finishes last merges them, in the order of the
 * spans; likewise the worker that finishes the last job of a group quantizes the group's rows. Nobody waits,
 * and who does it changes no bit. */
#include <stdatomic.h>

#include "base/memory.h"
#include "base/task_ranges.h"
#include "runtime/forward/attend_plan.h"
#include "runtime/forward/attention.h"
#include "runtime/forward/decoder.h"

enum {
    JOB_QUERIES = 64, /* that pass over a span while it is in the cache, at most (if rows are many) */
    SLOT_PARTS = 4096 /* of a cut job: 64 queries over 32,768 positions, or 8 over 262,144          */
};

struct slot { /* where a cut job's parts meet; counters on cache lines of their own */
    _Alignas(CM_ALIGNMENT) atomic_int n_spans_done;
    _Alignas(CM_ALIGNMENT) float *parts; /* (SLOT_PARTS, part_floats) */
};

struct seat { /* of one worker */
    float        *whole, *part; /* (max_queries, part_floats) */
    const float **queries;      /* (max_queries)              */
    int          *n_positions;  /* (max_queries)              */
};

struct node_crew { /* of a node that keeps kv heads first_head … first_head + of.n_heads */
    struct attend_crew of;
    int                node; /* of the workers */
    int                first_head, first_slot;
};

struct attention {
    struct attend_plan plan;
    int                n_seats, max_queries, n_crews;
    size_t             part_floats;
    atomic_int        *n_jobs_done; /* (max_rows) of each group                      */
    struct node_crew  *crews;       /* (n_crews), in the order of heads              */
    struct slot       *slots;       /* one for each worker of each crew              */
    struct task_range *heads;       /* as many: kv heads whose q, k, v it multiplies */
    struct seat       *seats;
    void              *memory;      /* of the seats' arrays                          */
    struct node_block  parts;       /* of the slots: the system gives pages when they are written */
};

/* A crew for each node that keeps heads; returns the number of slots. */
static int form_crews(const struct plan *plan, const struct team *team, struct attention *a)
{
    int n_slots = 0, head = 0;
    for (int node = 0; node < plan->n_nodes; head += plan->kv_heads[node++]) {
        struct node_crew *crew = &a->crews[a->n_crews];
        if (plan->kv_heads[node] == 0) continue;
        *crew = (struct node_crew){{0, plan->kv_heads[node]}, cm_team_server(team, node), head, n_slots};
        for (int i = 0; i < a->n_seats; i++) crew->of.n_workers += cm_team_worker(team, i)->node == crew->node;
        n_slots += crew->of.n_workers;
        a->n_crews++;
    }
    return n_slots;
}

static calmoe_status open_slots(struct calmoe_context *ctx, const struct topology *topology, int n_slots,
                                struct attention *a)
{
    const size_t floats = SLOT_PARTS * a->part_floats;
    a->slots = cm_alloc(ctx, (size_t)n_slots, sizeof *a->slots, "attention's slots");
    a->heads = cm_alloc(ctx, (size_t)n_slots, sizeof *a->heads, "attention's heads");
    if (!a->slots || !a->heads) return CALMOE_NO_MEMORY;
    CM_TRY(cm_node_block_open_sparse(ctx, topology, 0, (size_t)n_slots * floats * sizeof(float), &a->parts));
    for (int i = 0; i < n_slots; i++) a->slots[i].parts = (float *)a->parts.bytes + (size_t)i * floats;
    return CALMOE_OK;
}

calmoe_status cm_attention_open(struct calmoe_context *ctx, const struct model_spec *spec,
                                const struct topology *topology, const struct team *team, const struct plan *plan,
                                int max_rows, struct attention **out)
{
    struct attention *a = *out = cm_alloc(ctx, 1, sizeof *a, "attention");
    if (!a) return CALMOE_NO_MEMORY;
    const int heads_per_kv = spec->n_heads / spec->n_kv_heads;
    a->n_seats = cm_team_n_workers(team);
    a->max_queries = heads_per_kv > JOB_QUERIES ? heads_per_kv : JOB_QUERIES;
    a->part_floats = cm_part_floats(spec->value_size);
    a->plan = (struct attend_plan){.n_workers = a->n_seats, .n_kv_heads = spec->n_kv_heads,
                                   .max_parts = SLOT_PARTS, .heads_per_kv = heads_per_kv};
    const size_t n = (size_t)a->n_seats, n_queries = (size_t)a->max_queries, n_rows = (size_t)max_rows;
    const size_t buffer = n_queries * a->part_floats * sizeof(float); /* a multiple of 64 */
    const size_t pointers = n_queries * sizeof(float *);
    const size_t own = 2 * buffer + pointers + n_queries * sizeof(int);
    const size_t stride = (own + CM_ALIGNMENT - 1) / CM_ALIGNMENT * CM_ALIGNMENT;
    a->plan.groups = cm_alloc(ctx, n_rows, sizeof *a->plan.groups, "attention's plan");
    a->n_jobs_done = cm_alloc(ctx, n_rows, sizeof *a->n_jobs_done, "attention's plan");
    a->crews = cm_alloc(ctx, (size_t)plan->n_nodes, sizeof *a->crews, "attention's workers");
    a->seats = cm_alloc(ctx, n, sizeof *a->seats, "attention's workers");
    a->memory = cm_alloc(ctx, n, stride, "attention's scratch");
    if (!a->plan.groups || !a->n_jobs_done || !a->crews || !a->seats || !a->memory) return CALMOE_NO_MEMORY;
    for (size_t i = 0; i < n; i++) {
        uint8_t *at = (uint8_t *)a->memory + i * stride;
        a->seats[i].whole = (float *)at;
        a->seats[i].part = (float *)(at + buffer);
        a->seats[i].queries = (const float **)(at + 2 * buffer);
        a->seats[i].n_positions = (int *)(at + 2 * buffer + pointers);
    }
    return open_slots(ctx, topology, form_crews(plan, team, a), a);
}

void cm_attention_close(struct attention **attention)
{
    struct attention *a = *attention;
    if (!a) return;
    cm_node_block_close(&a->parts);
    cm_free(a->memory);
    cm_free(a->seats);
    cm_free(a->slots);
    cm_free(a->heads);
    cm_free(a->crews);
    cm_free(a->n_jobs_done);
    cm_free(a->plan.groups);
    cm_free(a);
    *attention = NULL;
}

void cm_attention_plan(struct decoder *d)
{
    cm_attend_plan(&d->attention->plan, d->rows, d->n_rows, JOB_QUERIES);
}

/* The queries of a group for one kv head: row by row, of each its heads. */
static struct attention_input gather(const struct decoder *d, int layer, const struct attend_group *group,
                                     int kv_head, struct seat *seat)
{
    const struct model_spec *spec = d->spec;
    const int n_heads = spec->n_heads / spec->n_kv_heads, n_q = spec->n_heads * spec->head_size;
    const struct kv_cache *cache = d->rows[group->first_row].cache;
    for (int i = 0; i < group->n_rows * n_heads; i++) {
        const int r = group->first_row + i / n_heads, head = kv_head * n_heads + i % n_heads;
        seat->queries[i] = cm_row(d->q, r, n_q) + head * spec->head_size;
        seat->n_positions[i] = d->rows[r].position + 1;
    }
    return (struct attention_input){
        .keys = cm_kv_keys(cache, layer, kv_head),
        .values = cm_kv_values(cache, layer, kv_head),
        .span_bytes = cm_kv_part(cache, kv_head)->span_bytes,
        .type = cache->type,
        .head_size = spec->head_size,
        .value_size = spec->value_size,
        .scale = spec->attention_scale,
        .n_queries = group->n_rows * n_heads,
        .queries = seat->queries,
        .n_positions = seat->n_positions,
    };
}

/* whole (queries) takes in the parts of span, of those queries that reach into it. */
static void merge(const struct decoder *d, const struct attention_input *in, int span, const float *parts, float *whole)
{
    const size_t stride = d->attention->part_floats;
    for (int i = 0; i < in->n_queries; i++)
        if (in->n_positions[i] > span * CM_ATTEND_SPAN)
            d->ops->attend_merge(whole + (size_t)i * stride, parts + (size_t)i * stride, in->value_size);
}

/* The job is done: its columns of the rows, and the last of a group's jobs quantizes the rows. */
static void finish_job(struct decoder *d, int layer, int group_index, int kv_head, const struct attention_input *in,
                       const float *whole)
{
    struct attention *a = d->attention;
    const struct attend_group *group = &a->plan.groups[group_index];
    const int n_heads = a->plan.heads_per_kv, n_columns = d->attended.n_columns;
    for (int i = 0; i < in->n_queries; i++)
        d->ops->attend_finish(whole + (size_t)i * a->part_floats, in->value_size,
                              cm_row(d->attended.values, group->first_row + i / n_heads, n_columns) +
                                  (kv_head * n_heads + i % n_heads) * in->value_size);
    atomic_int *n_done = &a->n_jobs_done[group_index];
    if (atomic_fetch_add_explicit(n_done, 1, memory_order_acq_rel) + 1 < a->plan.n_kv_heads) return;
    atomic_store_explicit(n_done, 0, memory_order_relaxed); /* for the next layer, behind a barrier */
    for (int i = 0; i < group->n_rows; i++)
        d->ops->quantize(&d->attended, group->first_row + i, 0, n_columns, d->weights->layers[layer].o_kinds);
}

static void run_share(struct decoder *d, int layer, const struct worker *me, const struct node_crew *crew, int group,
                      int kv_head, const struct attend_share *share)
{
    struct attention *a = d->attention;
    struct seat *seat = &a->seats[me->index];
    struct slot *slot = &a->slots[crew->first_slot + share->slot];
    const struct attention_input in = gather(d, layer, &a->plan.groups[group], kv_head, seat);
    const size_t stride = a->part_floats, span_parts = (size_t)in.n_queries * stride;
    if (!share->is_cut) {
        d->ops->attend_span(&in, 0, seat->whole, stride);
        for (int span = 1; span < share->n_spans; span++) {
            d->ops->attend_span(&in, span, seat->part, stride);
            merge(d, &in, span, seat->part, seat->whole);
        }
        finish_job(d, layer, group, kv_head, &in, seat->whole);
        return;
    }
    for (int span = share->begin; span < share->end; span++)
        d->ops->attend_span(&in, span, slot->parts + (size_t)span * span_parts, stride);
    const int n = share->end - share->begin;
    if (atomic_fetch_add_explicit(&slot->n_spans_done, n, memory_order_acq_rel) + n < share->n_spans) return;
    atomic_store_explicit(&slot->n_spans_done, 0, memory_order_relaxed);
    for (int span = 1; span < share->n_spans; span++)
        merge(d, &in, span, slot->parts + (size_t)span * span_parts, slot->parts);
    finish_job(d, layer, group, kv_head, &in, slot->parts);
}

static void run_crew(struct decoder *d, int layer, const struct worker *me, const struct node_crew *crew)
{
    const struct attend_plan *plan = &d->attention->plan;
    int begin, end;
    cm_attend_groups(plan, &crew->of, me->rank_on_node, &begin, &end);
    for (int group = begin; group < end; group++)
        for (int head = 0; head < crew->of.n_heads; head++) {
            const struct attend_share share = cm_attend_share(plan, &crew->of, me->rank_on_node, group, head);
            if (share.begin < share.end) run_share(d, layer, me, crew, group, crew->first_head + head, &share);
        }
}

void cm_attend_rows(struct decoder *d, int layer, const struct worker *me)
{
    const struct attention *a = d->attention;
    for (int i = 0; i < a->n_crews; i++)
        if (a->crews[i].node == me->node) run_crew(d, layer, me, &a->crews[i]);
}

void cm_attend_deal_heads(struct attention *a)
{
    for (int i = 0; i < a->n_crews; i++)
        cm_deal_tasks(a->heads + a->crews[i].first_slot, a->crews[i].of.n_workers, a->crews[i].of.n_heads);
}

bool cm_attend_take_heads(struct attention *a, int part, const struct worker *me, int at_least, int *begin, int *end)
{
    const struct node_crew *crew = &a->crews[part];
    return cm_take_tasks(a->heads + crew->first_slot, crew->of.n_workers, me->rank_on_node, at_least, begin, end);
}

bool cm_attend_is_even(const struct attention *a)
{
    bool is_even = true;
    for (int i = 0; i < a->n_crews; i++) is_even &= a->crews[i].of.n_heads % a->crews[i].of.n_workers == 0;
    return is_even;
}
