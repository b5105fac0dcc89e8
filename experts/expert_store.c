/* experts/expert_store.c - see expert_store.h. */
#include "experts/expert_store.h"

#include "base/memory.h"

static int quantum_of(const struct expert *expert)
{
    const unsigned kinds = cm_matrix_kind(&expert->down);
    if (kinds & cm_kind_bit(ACTIVATION_Q256)) return 256;
    if (kinds & cm_kind_bit(ACTIVATION_Q32)) return 32;
    return 16;
}

calmoe_status cm_expert_bank_open(struct calmoe_context *ctx, struct expert_layer *layer, int bank_index,
                                  const struct expert_sources *sources, int n_experts,
                                  int (*node_of)(const void *arg, int expert), const void *arg,
                                  struct pack_list *list)
{
    struct expert_bank *bank = &layer->banks[bank_index];
    bank->experts = cm_alloc(ctx, (size_t)n_experts, sizeof *bank->experts, "experts");
    if (!bank->experts) return CALMOE_NO_MEMORY;
    bank->n_experts = n_experts;
    bank->width = sources[0].gate.n_rows;
    for (int i = 0; i < n_experts; i++) {
        struct expert *expert = &bank->experts[i];
        expert->node = node_of(arg, i);
        CM_TRY(cm_pack_list_add(ctx, list, &sources[i].gate, expert->node, &expert->gate));
        CM_TRY(cm_pack_list_add(ctx, list, &sources[i].up, expert->node, &expert->up));
        CM_TRY(cm_pack_list_add(ctx, list, &sources[i].down, expert->node, &expert->down));
        expert->n_bytes =
            cm_matrix_bytes(&expert->gate) + cm_matrix_bytes(&expert->up) + cm_matrix_bytes(&expert->down);
        layer->input_kinds |= cm_matrix_kind(&expert->gate) | cm_matrix_kind(&expert->up);
        bank->hidden_kinds |= cm_matrix_kind(&expert->down);
        const int quantum = quantum_of(expert);
        if (quantum > bank->quantum) bank->quantum = quantum;
    }
    return CALMOE_OK;
}

void cm_expert_layer_close(struct expert_layer *layer)
{
    for (int bank = 0; bank < N_BANKS; bank++) cm_free(layer->banks[bank].experts);
    *layer = (struct expert_layer){0};
}
