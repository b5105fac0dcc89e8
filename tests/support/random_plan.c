/* random_plan.c - see random_plan.h. */
#include "tests/support/random_plan.h"

#include "base/random.h"

static int below(struct random *random, int n) { return (int)cm_random_below(random, (uint64_t)n); }

/* n_items in multiples of quantum over the nodes, by random shares, of which some are 0. */
static void cut(struct random *random, int n_items, int quantum, int n_nodes, int32_t *items)
{
    double shares[CM_MAX_NODES];
    for (int node = 0; node < n_nodes; node++) shares[node] = below(random, 3) == 0 ? 0 : 1 + below(random, 9);
    shares[below(random, n_nodes)] += 1;
    cm_cut(n_items, quantum, shares, n_nodes, NULL, items);
}

static calmoe_status place_randomly(struct calmoe_context *ctx, struct random *random, struct plan *plan,
                                    struct place *place)
{
    struct slice slice = {{0}, {0}};
    *place = (struct place){.kind = (enum place_kind)below(random, 3)};
    switch (place->kind) {
    case PLACE_PINNED: place->node = below(random, plan->n_nodes); break;
    case PLACE_REPLICATED:
        for (int n = 1 + below(random, plan->n_nodes); n > 0; n--)
            place->replicas |= UINT64_C(1) << below(random, plan->n_nodes);
        break;
    case PLACE_SLICED:
        cut(random, plan->width, plan->quantum, plan->n_nodes, slice.rows);
        cut(random, plan->dim, plan->quantum, plan->n_nodes, slice.down_rows);
        return cm_plan_add_slice(ctx, plan, &slice, &place->slice);
    }
    return CALMOE_OK;
}

calmoe_status random_plan(struct calmoe_context *ctx, const struct plan *shape, uint64_t seed, struct plan *out)
{
    struct random random = cm_random(seed);
    calmoe_status status = cm_plan_open(ctx, shape, out);
    for (int layer = 0; layer < shape->n_layers; layer++)
        for (int expert = 0; expert < shape->n_experts && status == CALMOE_OK; expert++)
            status = place_randomly(ctx, &random, out, cm_place_of(out, layer, expert));
    for (int node = 0; node < shape->n_nodes; node++) out->shares[node] = below(&random, 4);
    out->shares[below(&random, shape->n_nodes)] += 2;
    cut(&random, shape->n_kv_heads, 1, shape->n_nodes, out->kv_heads);
    if (status == CALMOE_OK) status = cm_plan_check(ctx, out, shape);
    if (status != CALMOE_OK) cm_plan_close(out);
    return status;
}
