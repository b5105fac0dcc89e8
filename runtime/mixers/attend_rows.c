/* runtime/mixers/attend_rows.c - carries out attend_plan.h: each worker its pieces. Of a job that is cut, every worker
 * leaves its spans' parts in the job's slot, and the one that finishes last merges them, in the order of the
 * spans; likewise the worker that finishes the last job of a group quantizes the group's rows. Nobody waits,
 * and who does it changes no bit. */
#include <stdatomic.h>

#include "base/memory.h"
#include "base/task_ranges.h"
#include "runtime/mixers/attend_plan.h"
#include "runtime/mixers/attend_rows.h"
#include "runtime/mixers/kv_cache.h"
#include "runtime/mixers/sequence_state.h"

enum {
    MAX_KINDS = 16,   /* of layers, by the numbers of their heads */
    JOB_QUERIES = 64, /* that pass over a span while it is in the cache, at most (if rows are many) */
    SLOT_PARTS = 4096, /* of a cut job: 64 queries over 32,768 positions, or 8 over 262,144         */
    JOINED_QUERIES = 32,  /* of a position, which read latents together, at most */
    PIECES_OF_WORKER = 3  /* of joined heads, at least; fewer are not dealt out evenly */
};

struct slot { /* where a cut job's parts meet; counters on cache lines of their own */
    _Alignas(CM_ALIGNMENT) atomic_int n_spans_done;
    _Alignas(CM_ALIGNMENT) float *parts; /* (SLOT_PARTS, part_floats) */
};

struct seat { /* of one worker */
    float        *whole, *part; /* (max_queries, part_floats) */
    const float **queries;      /* (max_queries)              */
    int          *n_positions;  /* (max_queries)              */
    int          *first;        /* (max_queries)              */
    float        *slopes;       /* (max_queries)              */
};

/* Of a node that keeps kv heads first_kv_head … first_kv_head + n_kv_heads. Of latents, jobs may take n of them
 * together: then jobs are counted as if those were one kv head. */
struct node_crew {
    struct attend_crew of; /* n_heads: n_kv_heads / n    */
    int                first_head; /* first_kv_head / n          */
    int                first_kv_head, n_kv_heads;
    int                node; /* of the workers             */
    int                first_slot;
};

/* Layers whose heads have the same numbers, and that see as far back, share the plan of a step. */
struct attend_kind {
    int                n_heads, n_kv_heads, value_size, window;
    bool               has_latents, is_chunked;
    int                most_joined; /* kv heads of a job, at most: 1, but of latents */
    struct attend_plan plan;        /* whose kv heads are joined                    */
    int                n_crews;
    struct node_crew  *crews;    /* (n_crews), in the order of heads               */
    struct activations attended; /* (rows, n_heads * value_size), of latents (rows * n_heads, value_size), in memory
                                    that the kinds share                                        */
};

struct attention {
    const struct team  *team;
    int                 n_kinds;
    struct attend_kind *kinds;
    uint8_t            *kind_of;     /* (n_layers)                                    */
    int                 n_seats, max_queries;
    size_t              part_floats; /* of the kind with the longest values           */
    atomic_int         *n_jobs_done; /* (max_rows) of each group                      */
    struct slot        *slots;       /* one for each worker of each crew              */
    struct task_range  *heads;       /* as many: kv heads whose q, k, v it multiplies */
    struct seat        *seats;
    void               *memory;      /* of the seats' arrays                          */
    void               *attended;    /* of the kinds' activations                     */
    struct node_block   parts;       /* of the slots: the system gives pages when they are written */
};

static struct attend_kind *kind_of(const struct attention *a, int layer) { return &a->kinds[a->kind_of[layer]]; }

/* A crew for each node that keeps heads, or has the heads' queries; returns the number of slots. */
static int form_crews(const struct plan *plan, const struct team *team, int n_seats, struct attend_kind *kind)
{
    int     n_slots = 0;
    int32_t heads[CM_MAX_NODES];
    int     head = cm_own_heads(plan, kind->n_kv_heads, heads);
    for (int node = 0; node < plan->n_nodes; head += heads[node++]) {
        struct node_crew *crew = &kind->crews[kind->n_crews];
        if (heads[node] == 0) continue;
        *crew = (struct node_crew){.first_kv_head = head, .n_kv_heads = heads[node],
                                   .node = cm_team_server(team, node), .first_slot = n_slots};
        for (int i = 0; i < n_seats; i++) crew->of.n_workers += cm_team_worker(team, i)->node == crew->node;
        n_slots += crew->of.n_workers;
        kind->n_crews++;
    }
    return n_slots;
}

static bool divides_crews(const struct attend_kind *kind, int n)
{
    bool divides = true;
    for (int i = 0; i < kind->n_crews; i++)
        divides &= kind->crews[i].n_kv_heads % n == 0 && kind->crews[i].first_kv_head % n == 0;
    return divides;
}

/* A latent, which all heads read, is widened once for as many queries as read it together. So jobs take the heads of
 * several groups, as many as divide what each node has, so that all jobs have as many queries. */
static int most_joined(const struct attend_kind *kind)
{
    int n = kind->has_latents ? JOINED_QUERIES * kind->n_kv_heads / kind->n_heads : 1;
    while (n > 1 && !divides_crews(kind, n)) n--;
    return n > 1 ? n : 1;
}

/* From now on jobs take n kv heads together. */
static void join_heads(struct attend_kind *kind, int n)
{
    kind->plan.n_kv_heads = (kind->n_kv_heads + n - 1) / n;
    kind->plan.heads_per_kv = kind->n_heads / kind->n_kv_heads * n;
    for (int i = 0; i < kind->n_crews; i++) {
        struct node_crew *crew = &kind->crews[i];
        crew->of.n_heads = crew->n_kv_heads / n;
        crew->first_head = crew->first_kv_head / n;
    }
}

/* Sorts the layers of one mixer into kinds. */
static calmoe_status list_kinds(struct calmoe_context *ctx, const struct model_spec *spec, enum mixer_kind mixer,
                                struct attention *a)
{
    a->kind_of = cm_alloc(ctx, (size_t)spec->n_layers, sizeof *a->kind_of, "attention's kinds");
    a->kinds = cm_alloc(ctx, MAX_KINDS, sizeof *a->kinds, "attention's kinds");
    if (!a->kind_of || !a->kinds) return CALMOE_NO_MEMORY;
    for (int layer = 0; layer < spec->n_layers; layer++) {
        const struct attention_spec *of = &spec->layers[layer].attention;
        int i = 0;
        if (spec->layers[layer].mixer != mixer) continue;
        while (i < a->n_kinds && (a->kinds[i].n_heads != of->n_heads || a->kinds[i].n_kv_heads != of->n_kv_heads ||
                                  a->kinds[i].value_size != of->value_size || a->kinds[i].window != of->window ||
                                  a->kinds[i].is_chunked != of->is_chunked))
            i++;
        if (i == MAX_KINDS)
            return cm_fail(ctx, CALMOE_UNSUPPORTED, "the heads of layer %d make more than %d kinds of layers", layer,
                           MAX_KINDS);
        a->kind_of[layer] = (uint8_t)i;
        if (i < a->n_kinds) continue;
        a->kinds[a->n_kinds++] =
            (struct attend_kind){.n_heads = of->n_heads, .n_kv_heads = of->n_kv_heads, .value_size = of->value_size,
                                 .window = of->window, .has_latents = of->has_latents, .is_chunked = of->is_chunked};
    }
    return CALMOE_OK;
}

/* Of latents, a head's value matrix reads what that head attends; else one matrix reads what all of them do. */
static int inputs_of_row(const struct attend_kind *kind) { return kind->has_latents ? kind->n_heads : 1; }
static int columns_of_input(const struct attend_kind *kind)
{
    return kind->n_heads * kind->value_size / inputs_of_row(kind);
}

static calmoe_status open_attended(struct calmoe_context *ctx, int max_rows, struct attention *a)
{
    size_t most = 0;
    for (int i = 0; i < a->n_kinds; i++) {
        const size_t n = cm_activations_bytes(max_rows * inputs_of_row(&a->kinds[i]), columns_of_input(&a->kinds[i]));
        if (n > most) most = n;
    }
    a->attended = cm_alloc(ctx, most, 1, "attention's scratch");
    return a->attended ? CALMOE_OK : CALMOE_NO_MEMORY;
}

/* The kinds' plans and crews; *n_slots: of the kind that has most. */
static calmoe_status open_kinds(struct calmoe_context *ctx, const struct plan *plan, const struct team *team,
                                int max_rows, struct attention *a, int *n_slots)
{
    *n_slots = 0;
    for (int i = 0; i < a->n_kinds; i++) {
        struct attend_kind *kind = &a->kinds[i];
        kind->plan = (struct attend_plan){.n_workers = a->n_seats, .window = kind->window,
                                          .is_chunked = kind->is_chunked, .max_parts = SLOT_PARTS};
        kind->plan.groups = cm_alloc(ctx, (size_t)max_rows, sizeof *kind->plan.groups, "attention's plan");
        kind->crews = cm_alloc(ctx, (size_t)plan->n_nodes, sizeof *kind->crews, "attention's workers");
        if (!kind->plan.groups || !kind->crews) return CALMOE_NO_MEMORY;
        cm_activations_place(&kind->attended, max_rows * inputs_of_row(kind), columns_of_input(kind), a->attended);
        const int n = form_crews(plan, team, a->n_seats, kind);
        if (n > *n_slots) *n_slots = n;
        kind->most_joined = most_joined(kind);
        join_heads(kind, 1);
    }
    return CALMOE_OK;
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

static calmoe_status open_seats(struct calmoe_context *ctx, struct attention *a)
{
    const size_t n = (size_t)a->n_seats, n_queries = (size_t)a->max_queries;
    const size_t buffer = n_queries * a->part_floats * sizeof(float); /* a multiple of 64 */
    const size_t pointers = n_queries * sizeof(float *);
    const size_t own = 2 * buffer + pointers + n_queries * (2 * sizeof(int) + sizeof(float));
    const size_t stride = (own + CM_ALIGNMENT - 1) / CM_ALIGNMENT * CM_ALIGNMENT;
    a->seats = cm_alloc(ctx, n, sizeof *a->seats, "attention's workers");
    a->memory = cm_alloc(ctx, n, stride, "attention's scratch");
    if (!a->seats || !a->memory) return CALMOE_NO_MEMORY;
    for (size_t i = 0; i < n; i++) {
        uint8_t *at = (uint8_t *)a->memory + i * stride;
        a->seats[i].whole = (float *)at;
        a->seats[i].part = (float *)(at + buffer);
        a->seats[i].queries = (const float **)(at + 2 * buffer);
        a->seats[i].n_positions = (int *)(at + 2 * buffer + pointers);
        a->seats[i].first = a->seats[i].n_positions + n_queries;
        a->seats[i].slopes = (float *)(a->seats[i].first + n_queries);
    }
    return CALMOE_OK;
}

calmoe_status cm_attend_open(const struct mixer_place *place, enum mixer_kind mixer, struct attention **out)
{
    struct calmoe_context   *ctx = place->machine->ctx;
    const struct model_spec *spec = place->spec;
    struct attention *a = *out = cm_alloc(ctx, 1, sizeof *a, "attention");
    int               n_slots;
    if (!a) return CALMOE_NO_MEMORY;
    a->team = place->machine->team;
    a->n_seats = cm_team_n_workers(a->team);
    a->part_floats = cm_part_floats(spec->most.value_size);
    CM_TRY(list_kinds(ctx, spec, mixer, a));
    a->max_queries = JOB_QUERIES;
    for (int i = 0; i < a->n_kinds; i++) {
        const int heads_per_kv = a->kinds[i].n_heads / a->kinds[i].n_kv_heads;
        if (heads_per_kv > a->max_queries) a->max_queries = heads_per_kv;
    }
    a->n_jobs_done = cm_alloc(ctx, (size_t)place->max_rows, sizeof *a->n_jobs_done, "attention's plan");
    if (!a->n_jobs_done) return CALMOE_NO_MEMORY;
    CM_TRY(open_attended(ctx, place->max_rows, a));
    CM_TRY(open_seats(ctx, a));
    CM_TRY(open_kinds(ctx, place->machine->plan, place->machine->team, place->max_rows, a, &n_slots));
    return open_slots(ctx, place->machine->topology, n_slots, a);
}

void cm_attend_close(struct attention **attention)
{
    struct attention *a = *attention;
    if (!a) return;
    for (int i = 0; i < a->n_kinds; i++) {
        cm_free(a->kinds[i].crews);
        cm_free(a->kinds[i].plan.groups);
    }
    cm_node_block_close(&a->parts);
    cm_free(a->attended);
    cm_free(a->memory);
    cm_free(a->seats);
    cm_free(a->slots);
    cm_free(a->heads);
    cm_free(a->n_jobs_done);
    cm_free(a->kinds);
    cm_free(a->kind_of);
    cm_free(a);
    *attention = NULL;
}

/* Whether a step's jobs are pieces enough for each crew's workers, and may all be cut into them. */
static bool are_pieces_enough(const struct attend_kind *kind)
{
    const struct attend_plan *plan = &kind->plan;
    int64_t n_spans = 0;
    for (int i = 0; i < plan->n_groups; i++) {
        const int n = (plan->groups[i].n_positions + CM_ATTEND_SPAN - 1) / CM_ATTEND_SPAN - plan->groups[i].first_span;
        if ((int64_t)plan->groups[i].n_rows * plan->heads_per_kv * n > plan->max_parts) return false;
        n_spans += n;
    }
    for (int i = 0; i < kind->n_crews; i++)
        if (n_spans * kind->crews[i].of.n_heads < (int64_t)PIECES_OF_WORKER * kind->crews[i].of.n_workers) return false;
    return true;
}

void cm_attend_plan_rows(struct attention *a, const struct row *rows, int n_rows)
{
    for (int i = 0; i < a->n_kinds; i++) {
        struct attend_kind *kind = &a->kinds[i];
        kind->plan.n_workers = cm_team_n_called(a->team);
        for (int c = 0; c < kind->n_crews; c++)
            kind->crews[c].of.n_workers = cm_team_n_called_on(a->team, kind->crews[c].node);
        int n = kind->most_joined;
        do {
            while (kind->most_joined % n != 0) n--;
            join_heads(kind, n);
            cm_attend_plan(&kind->plan, rows, n_rows, JOB_QUERIES);
        } while (!are_pieces_enough(kind) && n-- > 1);
    }
}

const struct activations *cm_attended(const struct attention *a, int layer) { return &kind_of(a, layer)->attended; }

/* The queries of a group for one kv head: row by row, of each its heads. Keys and values are set span by span. */
static struct attention_input gather(const struct batch *b, int layer, const struct attend_reader *reader,
                                     const struct attend_group *group, int kv_head, struct seat *seat)
{
    const struct attention_spec *spec = cm_attention_spec(b, layer);
    const int n_heads = kind_of(reader->attention, layer)->plan.heads_per_kv, q_size = cm_query_size(spec);
    const int n_q = spec->n_heads * q_size;
    for (int i = 0; i < group->n_rows * n_heads; i++) {
        const int r = group->first_row + i / n_heads, head = kv_head * n_heads + i % n_heads;
        const int position = cm_row_position(&b->rows[r]);
        seat->queries[i] = reader->q + (size_t)r * (size_t)n_q + head * q_size;
        seat->n_positions[i] = position + 1;
        seat->first[i] = cm_first_attended(spec->window, spec->is_chunked, position);
        if (reader->slopes) seat->slopes[i] = reader->slopes[head];
    }
    return (struct attention_input){
        .type = b->rows[group->first_row].asked.sequence->state->kv.type,
        .head_size = spec->head_size,
        .value_size = spec->value_size,
        .scale = spec->scale,
        .soft_cap = spec->soft_cap,
        .n_queries = group->n_rows * n_heads,
        .queries = seat->queries,
        .n_positions = seat->n_positions,
        .first = spec->window > 0 ? seat->first : NULL,
        .slopes = reader->slopes ? seat->slopes : NULL,
    };
}

struct job { /* a group's queries of one kv head */
    const struct batch        *batch;
    const struct attend_reader *reader;
    int                        layer, kv_head;
    const struct attend_group *group;
    struct attention_input     in;
};

/* The job's part of span group->first_span + i. A window's cache keeps only some spans, each somewhere. */
static void attend(struct job *job, int i, float *parts, size_t stride)
{
    const struct kv_cache *cache = &job->batch->rows[job->group->first_row].asked.sequence->state->kv;
    const int span = job->group->first_span + i;
    const bool has_latents = cm_attention_spec(job->batch, job->layer)->has_latents;
    const struct kv_region region = cm_kv_region(cache, job->layer, has_latents ? 0 : job->kv_head, span);
    job->in.keys = has_latents ? NULL : region.keys;
    job->in.values = region.values;
    job->in.span_bytes = 0;
    job->batch->ops->attend_span(&job->in, span, parts, stride);
}

/* What a head attends in row r, weighted by its gates: gates (rows, n_heads * gate_size). */
static void weigh(const struct vector_ops *ops, const struct attention_spec *spec, const float *gates, int r, int head,
                  float *attended)
{
    gates += (size_t)(r * spec->n_heads + head) * (size_t)spec->gate_size;
    if (spec->gate_size == 1) /* softplus(gate), one for all elements */
        for (int i = 0; i < spec->value_size; i++) attended[i] *= *gates;
    else if (spec->has_soft_gates) ops->multiply(attended, gates, spec->value_size);
    else ops->sigmoid_multiply(attended, gates, spec->value_size);
}

/* The job is done: its columns of the rows. Of latents each head's are quantized by themselves; else the last of a
 * group's jobs quantizes the rows, unless other ranks have some of these jobs: cm_attend_gather(). */
static void finish_job(const struct job *job, int group_index, float *whole)
{
    const struct batch *b = job->batch;
    struct attention *a = job->reader->attention;
    struct attend_kind *kind = kind_of(a, job->layer);
    const struct attention_spec *spec = cm_attention_spec(b, job->layer);
    const int n_heads = kind->plan.heads_per_kv, n_columns = kind->attended.n_columns;
    const unsigned kinds = job->reader->kinds;
    const int value_size = job->in.value_size;
    for (int i = 0; i < job->in.n_queries; i++) {
        const int head = job->kv_head * n_heads + i % n_heads, r = job->group->first_row + i / n_heads;
        float *of_query = whole + (size_t)i * a->part_floats;
        if (job->reader->sinks) b->ops->attend_sink(of_query, job->reader->sinks[head], value_size);
        float *attended = cm_row(kind->attended.values, r, kind->n_heads * value_size) + head * value_size;
        b->ops->attend_finish(of_query, value_size, attended);
        if (spec->has_gate) b->ops->sigmoid_multiply(attended, job->in.queries[i] + spec->head_size, value_size);
        if (spec->gate_size > 0) weigh(b->ops, spec, job->reader->gates, r, head, attended);
        if (kind->has_latents) b->ops->quantize(&kind->attended, r * kind->n_heads + head, 0, n_columns, kinds);
    }
    if (kind->has_latents || b->exchange) return;
    atomic_int *n_done = &a->n_jobs_done[group_index];
    if (atomic_fetch_add_explicit(n_done, 1, memory_order_acq_rel) + 1 < kind->n_kv_heads) return;
    atomic_store_explicit(n_done, 0, memory_order_relaxed); /* for the next layer, behind a barrier */
    for (int i = 0; i < job->group->n_rows; i++)
        b->ops->quantize(&kind->attended, job->group->first_row + i, 0, n_columns, kinds);
}

/* All spans of a job by one worker. */
static void run_whole(struct job *job, int group, const struct attend_share *share, struct seat *seat, size_t stride)
{
    const struct vector_ops *ops = job->batch->ops;
    for (int i = 0; i < share->n_spans; i++) {
        float *parts = i == 0 ? seat->whole : seat->part;
        attend(job, i, parts, stride);
        cm_attend_take(ops, &job->in, job->group->first_span + i, parts, seat->whole, stride);
    }
    finish_job(job, group, seat->whole);
}

static void run_share(struct batch *b, int layer, const struct attend_reader *reader, const struct worker *me,
                      const struct node_crew *crew, int group, int kv_head, const struct attend_share *share)
{
    struct attention *a = reader->attention;
    struct seat *seat = &a->seats[me->index];
    struct slot *slot = &a->slots[crew->first_slot + share->slot];
    struct job job = {b, reader, layer, kv_head, &kind_of(a, layer)->plan.groups[group], {0}};
    job.in = gather(b, layer, reader, job.group, kv_head, seat);
    const size_t stride = a->part_floats, span_parts = (size_t)job.in.n_queries * stride;
    if (!share->is_cut) {
        run_whole(&job, group, share, seat, stride);
        return;
    }
    for (int i = share->begin; i < share->end; i++) attend(&job, i, slot->parts + (size_t)i * span_parts, stride);
    const int n = share->end - share->begin;
    if (atomic_fetch_add_explicit(&slot->n_spans_done, n, memory_order_acq_rel) + n < share->n_spans) return;
    atomic_store_explicit(&slot->n_spans_done, 0, memory_order_relaxed);
    for (int i = 0; i < share->n_spans; i++)
        cm_attend_take(b->ops, &job.in, job.group->first_span + i, slot->parts + (size_t)i * span_parts, slot->parts,
                       stride);
    finish_job(&job, group, slot->parts);
}

static void run_crew(struct batch *b, int layer, const struct attend_reader *reader, const struct worker *me,
                     const struct node_crew *crew)
{
    const struct attend_plan *plan = &kind_of(reader->attention, layer)->plan;
    int begin, end;
    cm_attend_groups(plan, &crew->of, me->rank_on_node, &begin, &end);
    for (int group = begin; group < end; group++)
        for (int head = 0; head < crew->of.n_heads; head++) {
            const struct attend_share share = cm_attend_share(plan, &crew->of, me->rank_on_node, group, head);
            if (share.begin < share.end) run_share(b, layer, reader, me, crew, group, crew->first_head + head, &share);
        }
}

void cm_attend_rows(struct batch *b, int layer, const struct attend_reader *reader, const struct worker *me)
{
    const struct attend_kind *kind = kind_of(reader->attention, layer);
    for (int i = 0; i < kind->n_crews; i++)
        if (kind->crews[i].node == me->node) run_crew(b, layer, reader, me, &kind->crews[i]);
}

void cm_attend_gather(struct batch *b, int layer, const struct attend_reader *reader, const struct worker *me)
{
    struct activations *attended = &kind_of(reader->attention, layer)->attended;
    const struct attention_spec *spec = cm_attention_spec(b, layer);
    const int size = spec->n_heads / spec->n_kv_heads * spec->value_size;
    const struct exchange_piece heads =
        cm_input_piece(cm_heads_piece(attended->values, b->n_rows, spec->n_kv_heads, size), attended, reader->kinds,
                       b->adapters != NULL);
    int begin, end;
    cm_exchange_meet(b->exchange, &heads, 1, me);
    cm_own_rows(b, me, &begin, &end);
    for (int r = begin; r < end; r++) cm_exchange_quantize(b->exchange, &heads, r);
}

struct attend_heads cm_attend_own_heads(const struct attention *a, int layer)
{
    const struct attend_kind *kind = kind_of(a, layer);
    struct attend_heads       heads = {0, 0};
    for (int i = 0; i < kind->n_crews; i++) {
        if (i == 0) heads.first = kind->crews[i].first_head;
        heads.n += kind->crews[i].of.n_heads;
    }
    return heads;
}

void cm_attend_deal_heads(struct attention *a, int layer)
{
    const struct attend_kind *kind = kind_of(a, layer);
    for (int i = 0; i < kind->n_crews; i++)
        cm_deal_tasks(a->heads + kind->crews[i].first_slot, kind->crews[i].of.n_workers, kind->crews[i].of.n_heads);
}

bool cm_attend_take_heads(struct attention *a, int layer, int part, const struct worker *me, int at_least, int *begin,
                          int *end)
{
    const struct node_crew *crew = &kind_of(a, layer)->crews[part];
    return cm_take_tasks(a->heads + crew->first_slot, crew->of.n_workers, me->rank_on_node, at_least, begin, end);
}

bool cm_attend_is_even(const struct attention *a, int layer)
{
    const struct attend_kind *kind = kind_of(a, layer);
    bool is_even = true;
    for (int i = 0; i < kind->n_crews; i++)
        is_even &= kind->crews[i].of.n_heads % kind->crews[i].of.n_workers == 0;
    return is_even;
}
