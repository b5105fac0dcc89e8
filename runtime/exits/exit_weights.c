/* exit_weights.c - see exit_weights.h. */
#include "runtime/exits/exit_weights.h"

#include "base/memory.h"

static calmoe_status add(struct calmoe_context *ctx, struct pack_list *list, const float *values, int n_rows,
                         int n_columns, const struct plan *plan, struct placed_matrix *out)
{
    const struct weight_source source = {.type = WEIGHT_F32, .rows = (const uint8_t *)values, .n_rows = n_rows,
                                         .n_columns = n_columns};
    return cm_placed_shares_open(ctx, list, &source, plan, out);
}

static calmoe_status fill(struct calmoe_context *ctx, struct pack_list *list, const struct plan *plan,
                          struct exit_weights *out)
{
    const int dim = out->learned->dim;
    out->layers = cm_alloc(ctx, (size_t)out->learned->n_layers, sizeof *out->layers, "exits");
    if (!out->layers) return CALMOE_NO_MEMORY;
    for (int i = 0; i < out->learned->n; i++) {
        const struct learned_exit *exit = &out->learned->exits[i];
        struct exit_weight *weight = &out->layers[exit->layer];
        weight->classifier = exit->classifier;
        weight->classifier_bias = exit->classifier_bias;
        weight->bias = exit->bias;
        weight->path = exit->path;
        if (exit->rank == 0) continue;
        CM_TRY(add(ctx, list, exit->down, exit->rank, dim, plan, &weight->down));
        CM_TRY(add(ctx, list, exit->up, dim, exit->rank, plan, &weight->up));
        if (exit->rank > out->max_rank) out->max_rank = exit->rank;
    }
    return CALMOE_OK;
}

calmoe_status cm_exit_weights_open(const struct machine *machine, const struct learned_exits *learned,
                                   struct exit_weights **out)
{
    struct calmoe_context *ctx = machine->ctx;
    struct pack_list *list = NULL;
    struct exit_weights *weights = *out = cm_alloc(ctx, 1, sizeof *weights, "exits");
    if (!weights) return CALMOE_NO_MEMORY;
    weights->learned = learned;
    calmoe_status status = cm_pack_list_open(ctx, machine->isa, &list);
    if (status == CALMOE_OK) status = fill(ctx, list, machine->plan, weights);
    if (status == CALMOE_OK && weights->max_rank > 0)
        status = cm_pack_list_run(ctx, list, machine->topology, machine->team, NULL, NULL, &weights->packed);
    cm_pack_list_close(&list);
    if (status != CALMOE_OK) cm_exit_weights_close(out);
    return status;
}

void cm_exit_weights_close(struct exit_weights **weights)
{
    if (!*weights) return;
    for (int i = 0; (*weights)->layers && i < (*weights)->learned->n_layers; i++) {
        cm_placed_close(&(*weights)->layers[i].down);
        cm_placed_close(&(*weights)->layers[i].up);
    }
    cm_packed_weights_close(&(*weights)->packed);
    cm_free((*weights)->layers);
    cm_free(*weights);
    *weights = NULL;
}
