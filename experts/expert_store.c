/* experts/expert_store.c - see expert_store.h. */
#include "experts/expert_store.h"

#include "base/memory.h"
#include "experts/placed_matrix.h"

static int quantum_of(const struct matrix *down)
{
    const unsigned kinds = cm_matrix_kind(down);
    if (kinds & cm_kind_bit(ACTIVATION_Q256)) return 256;
    if (kinds & cm_kind_bit(ACTIVATION_Q32)) return 32;
    return 16;
}

/* Is the expert read from disk? Where the plan does not say which are, all routed ones of the stream's layers are. */
static bool is_streamed(const struct expert_layer *layer, int bank, int expert)
{
    if (bank != BANK_ROUTED || !layer->stream) return false;
    return !layer->plan_streams || cm_place_of(layer->plan, layer->index, expert)->is_streamed;
}

static int rows_of(const struct expert_layer *layer, int bank, int expert, struct expert_rows *rows)
{
    const struct plan *plan = layer->plan;
    if (bank != BANK_ROUTED || is_streamed(layer, bank, expert))
        return cm_parts_of_shared(plan, layer->banks[bank].width, layer->dim, rows);
    return cm_parts_of_place(plan, cm_place_of(plan, layer->index, expert), rows);
}

static bool has_gate(const struct expert_bank *bank) { return cm_nonlinearities[bank->nonlinearity].has_gate; }

struct adding { /* where matrices of an expert go */
    struct calmoe_context *ctx;
    struct pack_list      *list;
    struct expert_stream  *stream; /* NULL: into the list */
    int                    layer, expert;
    const uint8_t         *mapped; /* the expert, packed whole; NULL: it is to be packed */
    uint64_t               at;     /* in an expert that is packed whole: the next matrix */
};

/* Rows of a matrix that stands packed in a mapped file. */
static void map_rows(const struct adding *to, const struct weight_source *rows, uint64_t at, struct matrix *out)
{
    *out = (struct matrix){.kernel = cm_linear_kernel(rows->type, cm_pack_list_isa(to->list)), .n_rows = rows->n_rows,
                           .n_columns = rows->n_columns, .packed = to->mapped + at};
}

/* Rows of a matrix, from `row` on. A packed matrix has them one behind the other: they begin with a tile. */
static calmoe_status add_weights(struct adding *to, const struct weight_source *matrix, int row,
                                 const struct weight_source *rows, int node, struct matrix *out)
{
    const struct linear_kernel *kernel = cm_linear_kernel(matrix->type, cm_pack_list_isa(to->list));
    const size_t   columns = (size_t)matrix->n_columns;
    const uint64_t at = to->at + kernel->packed_bytes((size_t)row, columns);
    to->at += (kernel->packed_bytes((size_t)matrix->n_rows, columns) + CM_ALIGNMENT - 1) / CM_ALIGNMENT * CM_ALIGNMENT;
    if (!to->stream && !to->mapped) return cm_pack_list_add(to->ctx, to->list, rows, node, out);
    if (to->stream) CM_TRY(cm_expert_stream_add(to->stream, to->layer, to->expert, rows, at, node, out));
    else map_rows(to, rows, at, out);
    return cm_pack_list_note(to->ctx, to->list, rows, node, out);
}

/* Rows row … row + n_rows of a matrix and of its bias (NULL = none). */
static calmoe_status add_matrix(struct adding *to, const struct weight_source *source, const float *bias, int row,
                                int n_rows, int node, struct expert_matrix *out)
{
    const struct weight_source rows = cm_source_rows(source, row, n_rows);
    CM_TRY(add_weights(to, source, row, &rows, node, &out->weights));
    if (!bias || n_rows == 0) return CALMOE_OK;
    return cm_pack_list_add_floats(to->ctx, to->list, bias + row, n_rows, node, &out->bias);
}

static calmoe_status add_part(struct adding *to, const struct expert_bank *bank,
                              const struct expert_sources *from, const struct expert_rows *rows,
                              struct expert_part *out)
{
    const int node = out->node = rows->node;
    out->row = rows->row;
    out->down_row = rows->down_row;
    to->at = 0;
    if (has_gate(bank))
        CM_TRY(add_matrix(to, &from->gate, from->gate_bias, rows->row, rows->n_rows, node, &out->gate));
    CM_TRY(add_matrix(to, &from->up, from->up_bias, rows->row, rows->n_rows, node, &out->up));
    return add_matrix(to, &from->down, from->down_bias, rows->down_row, rows->n_down_rows, node, &out->down);
}

/* Of a part, as a step reads it. */
static size_t bytes_of_part(const struct expert_part *part)
{
    return cm_expert_matrix_bytes(&part->gate, part->gate.weights.n_rows) +
           cm_expert_matrix_bytes(&part->up, part->up.weights.n_rows) +
           cm_expert_matrix_bytes(&part->down, part->down.weights.n_rows);
}

static calmoe_status open_expert(struct calmoe_context *ctx, struct expert_layer *layer, int bank_index, int index,
                                 const struct expert_sources *sources, struct pack_list *list)
{
    struct expert_bank *bank = &layer->banks[bank_index];
    struct expert      *expert = &bank->experts[index];
    struct expert_rows  rows[CM_MAX_NODES];
    const bool    on_disk = is_streamed(layer, bank_index, index);
    struct adding to = {ctx, list, on_disk ? layer->stream : NULL, layer->index, index, NULL, 0};
    if (bank_index == BANK_ROUTED && layer->stream && !on_disk) cm_expert_stream_keep(layer->stream);
    if (bank_index == BANK_ROUTED && layer->packed)
        to.mapped = layer->packed->map.bytes + cm_packed_expert(layer->packed, layer->index, index)->at;
    expert->n_parts = rows_of(layer, bank_index, index, rows);
    expert->is_replicated = expert->n_parts > 1 && bank_index == BANK_ROUTED && !on_disk &&
                            cm_place_of(layer->plan, layer->index, index)->kind == PLACE_REPLICATED;
    layer->has_replicas |= expert->is_replicated;
    for (int i = 0; i < expert->n_parts; i++) {
        struct expert_part *part = &expert->parts[i];
        CM_TRY(add_part(&to, bank, sources, &rows[i], part));
        if (i == 0 || !expert->is_replicated) expert->n_bytes += bytes_of_part(part);
    }
    const struct expert_part *first = &expert->parts[0];
    const int quantum = quantum_of(&first->down.weights);
    bank->input_kinds |= cm_matrix_kind(&first->up.weights);
    if (has_gate(bank)) bank->input_kinds |= cm_matrix_kind(&first->gate.weights);
    layer->input_kinds |= bank->input_kinds;
    bank->hidden_kinds |= cm_matrix_kind(&first->down.weights);
    if (quantum > bank->quantum) bank->quantum = quantum;
    return CALMOE_OK;
}

static double bytes_of(const struct weight_source *source)
{
    return (double)cm_row_bytes(source->type, (size_t)source->n_columns) * source->n_rows;
}

calmoe_status cm_expert_bank_open(struct calmoe_context *ctx, struct expert_layer *layer, int bank_index,
                                  const struct expert_sources *sources, int n_experts, struct pack_list *list)
{
    struct expert_bank *bank = &layer->banks[bank_index];
    struct expert_rows  rows[CM_MAX_NODES];
    size_t              n_parts = 0;
    bank->n_experts = n_experts;
    bank->width = sources[0].up.n_rows;
    for (int i = 0; i < n_experts; i++) n_parts += (size_t)rows_of(layer, bank_index, i, rows);
    bank->experts = cm_alloc(ctx, (size_t)n_experts, sizeof *bank->experts, "experts");
    bank->parts = cm_alloc(ctx, n_parts, sizeof *bank->parts, "experts");
    if (!bank->experts || !bank->parts) return CALMOE_NO_MEMORY;
    struct expert_part *next = bank->parts;
    for (int i = 0; i < n_experts; i++) {
        bank->experts[i].parts = next;
        CM_TRY(open_expert(ctx, layer, bank_index, i, &sources[i], list));
        next += bank->experts[i].n_parts;
    }
    if (bank_index != BANK_ROUTED) return CALMOE_OK;
    layer->gate_up_bytes = bytes_of(&sources[0].up);
    if (has_gate(bank)) layer->gate_up_bytes += bytes_of(&sources[0].gate);
    layer->down_bytes = bytes_of(&sources[0].down);
    return CALMOE_OK;
}

void cm_expert_layer_close(struct expert_layer *layer)
{
    for (int bank = 0; bank < N_BANKS; bank++) {
        cm_free(layer->banks[bank].experts);
        cm_free(layer->banks[bank].parts);
    }
    *layer = (struct expert_layer){0};
}
