/* experts/placement.c - see placement.h. */
#include "experts/placement.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/sha256.h"

/* ---- plans ---- */

calmoe_status cm_plan_open(struct calmoe_context *ctx, const struct plan *shape, struct plan *out)
{
    *out = *shape;
    out->n_slices = out->slices_capacity = 0;
    out->slices = NULL;
    memset(out->shares, 0, sizeof out->shares);
    memset(out->kv_heads, 0, sizeof out->kv_heads);
    out->shares[0] = 1;
    out->kv_heads[0] = shape->n_kv_heads;
    out->places = cm_alloc(ctx, (size_t)shape->n_layers * (size_t)shape->n_experts, sizeof *out->places,
                           "a placement plan");
    if (out->places) return CALMOE_OK;
    *out = (struct plan){0};
    return CALMOE_NO_MEMORY;
}

void cm_plan_close(struct plan *plan)
{
    cm_free(plan->places);
    cm_free(plan->slices);
    *plan = (struct plan){0};
}

calmoe_status cm_plan_add_slice(struct calmoe_context *ctx, struct plan *plan, const struct slice *slice, int *out)
{
    for (int i = plan->n_slices - 1; i >= 0; i--) /* the last ones come again soonest */
        if (memcmp(&plan->slices[i], slice, sizeof *slice) == 0) {
            *out = i;
            return CALMOE_OK;
        }
    if (plan->n_slices == plan->slices_capacity) {
        const int capacity = plan->slices_capacity > 0 ? 2 * plan->slices_capacity : 8;
        CM_TRY(cm_grow(ctx, &plan->slices, (size_t)plan->n_slices, (size_t)capacity, sizeof *slice,
                       "a placement plan"));
        plan->slices_capacity = capacity;
    }
    *out = plan->n_slices;
    plan->slices[plan->n_slices++] = *slice;
    return CALMOE_OK;
}

void cm_plan_stream(struct plan *plan, int layer, int expert)
{
    int nodes[CM_MAX_NODES], n = 0;
    for (int node = 0; node < plan->n_nodes; node++)
        if (plan->shares[node] > 0) nodes[n++] = node;
    *cm_place_of(plan, layer, expert) =
        (struct place){.kind = PLACE_PINNED, .node = n > 0 ? nodes[expert % n] : 0, .is_streamed = true};
}

int cm_plan_n_streamed(const struct plan *plan, int layer)
{
    int n = 0;
    for (int i = layer < 0 ? 0 : layer; i < (layer < 0 ? plan->n_layers : layer + 1); i++)
        for (int expert = 0; expert < plan->n_experts; expert++) n += cm_place_of(plan, i, expert)->is_streamed;
    return n;
}

void cm_plan_kept(const struct plan *plan, char kept[17])
{
    const int32_t shape[2] = {plan->n_layers, plan->n_experts};
    struct sha256 sha = cm_sha256();
    char          hex[65];
    kept[0] = '\0';
    if (cm_plan_n_streamed(plan, -1) == 0) return;
    cm_sha256_add(&sha, shape, sizeof shape);
    for (int i = 0; i < plan->n_layers * plan->n_experts; i++) {
        const uint8_t is_streamed = plan->places[i].is_streamed;
        cm_sha256_add(&sha, &is_streamed, 1);
    }
    cm_sha256_hex(&sha, hex);
    memcpy(kept, hex, 16);
    kept[16] = '\0';
}

void cm_plan_drop_unused(struct plan *plan)
{
    const size_t n = (size_t)plan->n_layers * (size_t)plan->n_experts;
    int          n_kept = 0;
    for (int slice = 0; slice < plan->n_slices; slice++) {
        bool is_used = false;
        for (size_t i = 0; i < n; i++) {
            struct place *place = &plan->places[i];
            if (place->kind != PLACE_SLICED || place->slice != slice) continue;
            place->slice = n_kept; /* lower, so it is not looked for again */
            is_used = true;
        }
        if (is_used) plan->slices[n_kept++] = plan->slices[slice];
    }
    plan->n_slices = n_kept;
}

void cm_cut(int n_rows, int quantum, const double *shares, int n_nodes, double *credit, int32_t *rows)
{
    const int n_quanta = (n_rows + quantum - 1) / quantum;
    double    sum = 0, owed[CM_MAX_NODES];
    int       n_left = n_quanta;
    for (int node = 0; node < n_nodes; node++) sum += shares[node];
    for (int node = 0; node < n_nodes; node++) {
        const double ideal = n_quanta * (shares[node] / sum);
        rows[node] = (int32_t)floor(ideal + 1e-9);
        n_left -= rows[node];
        owed[node] = ideal - rows[node] + (credit ? credit[node] : 0);
    }
    for (; n_left > 0; n_left--) {
        int best = -1;
        for (int node = 0; node < n_nodes; node++)
            if (shares[node] > 0 && (best < 0 || owed[node] > owed[best] + 1e-9)) best = node;
        rows[best]++;
        owed[best] -= 1;
    }
    int over = n_quanta * quantum - n_rows; /* rows that the last quantum lacks */
    for (int node = n_nodes - 1; node >= 0; node--) {
        rows[node] *= quantum;
        if (rows[node] > 0) {
            rows[node] -= over;
            over = 0;
        }
        if (credit) credit[node] = owed[node];
    }
}

/* rows of all nodes: none negative, whole quanta but for the last, the right sum. */
static bool adds_up(const int32_t *rows, int n_nodes, int quantum, int n_rows)
{
    int64_t sum = 0;
    for (int node = 0; node < n_nodes; node++) {
        if (rows[node] < 0) return false;
        sum += rows[node];
        if (rows[node] % quantum != 0 && sum != n_rows) return false;
    }
    return sum == n_rows;
}

static calmoe_status check_shape(struct calmoe_context *ctx, const struct plan *plan, const struct plan *shape)
{
    if (plan->n_nodes != shape->n_nodes)
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "the plan is for a machine with %d memory nodes; this one has %d",
                       plan->n_nodes, shape->n_nodes);
    if (plan->n_layers != shape->n_layers || plan->n_experts != shape->n_experts)
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT,
                       "the plan is for %d layers of %d experts; the model has %d layers of %d", plan->n_layers,
                       plan->n_experts, shape->n_layers, shape->n_experts);
    if (plan->width != 0 && (plan->width != shape->width || plan->dim != shape->dim))
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT,
                       "the plan cuts experts of width %d in a model of width %d; the model has %d and %d", plan->width,
                       plan->dim, shape->width, shape->dim);
    if (plan->n_kv_heads != 0 && plan->n_kv_heads != shape->n_kv_heads)
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "the plan keeps %d heads of keys and values; the model has %d",
                       plan->n_kv_heads, shape->n_kv_heads);
    if (plan->n_slices > 0 && shape->quantum > 0 && (plan->quantum < 1 || plan->quantum % shape->quantum != 0))
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT,
                       "the plan cuts rows in multiples of %d; this model's matrices are cut in multiples of %d",
                       plan->quantum, shape->quantum);
    return CALMOE_OK;
}

static bool is_good_place(const struct plan *plan, const struct place *place)
{
    const uint64_t all = plan->n_nodes >= 64 ? UINT64_MAX : (UINT64_C(1) << plan->n_nodes) - 1;
    switch (place->kind) {
    case PLACE_PINNED: return place->node >= 0 && place->node < plan->n_nodes;
    case PLACE_SLICED: return place->slice >= 0 && place->slice < plan->n_slices;
    case PLACE_REPLICATED: return place->replicas != 0 && (place->replicas & ~all) == 0;
    }
    return false;
}

calmoe_status cm_plan_check(struct calmoe_context *ctx, const struct plan *plan, const struct plan *shape)
{
    CM_TRY(check_shape(ctx, plan, shape));
    for (int i = 0; i < plan->n_slices; i++)
        if (!adds_up(plan->slices[i].rows, plan->n_nodes, plan->quantum, plan->width) ||
            !adds_up(plan->slices[i].down_rows, plan->n_nodes, plan->quantum, plan->dim))
            return cm_fail(ctx, CALMOE_INVALID_ARGUMENT,
                           "slice %d of the plan does not add up to %d and %d rows in multiples of %d", i, plan->width,
                           plan->dim, plan->quantum);
    for (int layer = 0; layer < plan->n_layers; layer++)
        for (int expert = 0; expert < plan->n_experts; expert++)
            if (!is_good_place(plan, cm_place_of(plan, layer, expert)))
                return cm_fail(ctx, CALMOE_INVALID_ARGUMENT,
                               "the plan puts expert %d of layer %d where there is nothing", expert, layer);
    int64_t n_heads = 0, n_shares = 0;
    for (int node = 0; node < plan->n_nodes; node++) {
        n_heads += plan->kv_heads[node];
        n_shares += plan->shares[node];
        if (plan->kv_heads[node] < 0 || plan->shares[node] < 0) n_shares = INT64_MIN / 2;
    }
    if (n_heads != plan->n_kv_heads || n_shares < 1)
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT,
                       "the plan's dense shares or heads of keys and values do not add up");
    return CALMOE_OK;
}

/* ---- a plan carried out ---- */

void cm_plan_complete(struct plan *plan, const struct plan *shape, int home)
{
    if (plan->n_kv_heads != 0) return;
    plan->width = shape->width;
    plan->dim = shape->dim;
    plan->quantum = shape->quantum;
    plan->n_kv_heads = shape->n_kv_heads;
    memset(plan->shares, 0, sizeof plan->shares);
    plan->shares[home] = 1;
    plan->kv_heads[home] = shape->n_kv_heads;
}

/* In the proportions that rows (n_nodes) have now. */
static void cut_again(int32_t *rows, int n_nodes, int n_rows, int quantum)
{
    double shares[CM_MAX_NODES], sum = 0;
    for (int node = 0; node < n_nodes; node++) sum += shares[node] = rows[node];
    if (sum > 0) cm_cut(n_rows, quantum, shares, n_nodes, NULL, rows);
}

void cm_plan_take_part(struct plan *plan, const struct plan *part)
{
    plan->width = part->width;
    plan->dim = part->dim;
    plan->n_kv_heads = part->n_kv_heads;
    for (int i = 0; i < plan->n_slices; i++) {
        cut_again(plan->slices[i].rows, plan->n_nodes, part->width, plan->quantum);
        cut_again(plan->slices[i].down_rows, plan->n_nodes, part->dim, plan->quantum);
    }
    cut_again(plan->kv_heads, plan->n_nodes, part->n_kv_heads, 1);
}

/* The first rows are row and down_row of the expert. */
static int parts_of_slice(const struct slice *slice, int n_nodes, int row, int down_row, struct expert_rows *parts)
{
    int n = 0;
    for (int node = 0; node < n_nodes; node++) {
        if (slice->rows[node] + slice->down_rows[node] > 0)
            parts[n++] = (struct expert_rows){node, row, slice->rows[node], down_row, slice->down_rows[node]};
        row += slice->rows[node];
        down_row += slice->down_rows[node];
    }
    if (n == 0) parts[n++] = (struct expert_rows){0, row, 0, down_row, 0}; /* a rank may have no row of it */
    return n;
}

bool cm_is_elsewhere(const struct plan *plan, int expert)
{
    int first;
    if (plan->ranks.n_ranks <= 1 || !plan->ranks.has_whole_experts) return false;
    const int n = cm_own_part(plan, plan->n_experts, 1, &first);
    return expert < first || expert >= first + n;
}

int cm_parts_of_place(const struct plan *plan, const struct place *place, struct expert_rows *parts)
{
    int n = 0;
    if (plan->ranks.has_whole_experts && cm_is_elsewhere(plan, (int)((place - plan->places) % plan->n_experts))) {
        *parts = (struct expert_rows){0};
        return 1;
    }
    if (place->kind == PLACE_SLICED)
        return parts_of_slice(&plan->slices[place->slice], plan->n_nodes, plan->first_row, plan->first_down_row, parts);
    for (int node = 0; node < plan->n_nodes; node++)
        if (place->kind == PLACE_PINNED ? place->node == node : place->replicas >> node & 1)
            parts[n++] = (struct expert_rows){node, plan->first_row, plan->width, plan->first_down_row, plan->dim};
    return n;
}

void cm_rank_borders(const struct rank_shares *ranks, int n, int quantum, int32_t *borders)
{
    int32_t rows[CM_MAX_RANKS];
    cm_cut(n, quantum, ranks->of, ranks->n_ranks, NULL, rows);
    borders[0] = 0;
    for (int rank = 0; rank < ranks->n_ranks; rank++) borders[rank + 1] = borders[rank] + rows[rank];
}

int cm_own_part(const struct plan *plan, int n, int quantum, int *first)
{
    int32_t borders[CM_MAX_RANKS + 1];
    *first = 0;
    if (plan->ranks.n_ranks <= 1) return n;
    cm_rank_borders(&plan->ranks, n, quantum, borders);
    *first = borders[plan->ranks.own];
    return borders[plan->ranks.own + 1] - *first;
}

int cm_dense_rows(const struct plan *plan, int n_rows, int32_t *rows)
{
    double    shares[CM_MAX_NODES];
    int       first;
    const int n_own = cm_own_part(plan, n_rows, CM_SLICE_QUANTUM, &first);
    for (int node = 0; node < plan->n_nodes; node++) shares[node] = plan->shares[node];
    cm_cut(n_own, CM_SLICE_QUANTUM, shares, plan->n_nodes, NULL, rows);
    return first;
}

int cm_own_heads(const struct plan *plan, int n_heads, int32_t *heads)
{
    int       first;
    const int n_own = cm_own_part(plan, n_heads, 1, &first);
    cm_cut_heads(plan->n_kv_heads > 0 ? plan->kv_heads : plan->shares, plan->n_nodes, n_own, heads);
    return first;
}

int cm_parts_of_shared(const struct plan *plan, int width, int dim, struct expert_rows *parts)
{
    struct slice slice;
    const int row = cm_dense_rows(plan, width, slice.rows), down_row = cm_dense_rows(plan, dim, slice.down_rows);
    return parts_of_slice(&slice, plan->n_nodes, row, down_row, parts);
}

void cm_cut_heads(const int32_t *kv_heads, int n_nodes, int n_heads, int32_t *out)
{
    double shares[CM_MAX_NODES];
    int    n_all = 0;
    for (int node = 0; node < n_nodes; node++) {
        shares[node] = kv_heads[node];
        n_all += kv_heads[node];
    }
    if (n_heads == n_all) memcpy(out, kv_heads, (size_t)n_nodes * sizeof *out);
    else cm_cut(n_heads, 1, shares, n_nodes, NULL, out);
}

int cm_home_node(const struct topology *topology)
{
    for (int node = 0; node < topology->n_nodes; node++)
        if (topology->nodes[node].n_cores > 0 && topology->nodes[node].memory_bytes > 0) return node;
    return 0;
}
