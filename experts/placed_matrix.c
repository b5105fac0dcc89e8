/* experts/placed_matrix.c - see placed_matrix.h. */
#include "experts/placed_matrix.h"

#include "base/memory.h"

struct weight_source cm_source_rows(const struct weight_source *source, int row, int n_rows)
{
    struct weight_source rows = *source;
    rows.rows += (size_t)row * cm_row_bytes(source->type, (size_t)source->n_columns);
    rows.n_rows = n_rows;
    return rows;
}

static calmoe_status open_parts(struct calmoe_context *ctx, const struct weight_source *source, int n_parts,
                                struct placed_matrix *out)
{
    *out = (struct placed_matrix){.n_rows = source->n_rows, .n_columns = source->n_columns};
    if (source->n_rows > 0) out->kind = cm_kind_bit(cm_weight_types[source->type].activation);
    out->parts = cm_alloc(ctx, (size_t)n_parts, sizeof *out->parts, "parts of a matrix");
    return out->parts ? CALMOE_OK : CALMOE_NO_MEMORY;
}

static calmoe_status add_part(struct calmoe_context *ctx, struct pack_list *list, const struct weight_source *source,
                              int node, int row, int n_rows, struct placed_matrix *out)
{
    struct matrix_part        *part = &out->parts[out->n_parts++];
    const struct weight_source rows = cm_source_rows(source, row, n_rows);
    part->node = node;
    part->first_row = row;
    return cm_pack_list_add(ctx, list, &rows, node, &part->matrix);
}

static calmoe_status add_rows(struct calmoe_context *ctx, struct pack_list *list, const struct weight_source *source,
                              int row, const int32_t *rows, int n_nodes, struct placed_matrix *out)
{
    for (int node = 0; node < n_nodes; row += rows[node++]) {
        if (rows[node] == 0) continue;
        CM_TRY(add_part(ctx, list, source, node, row, rows[node], out));
        out->n_bytes += cm_matrix_bytes(&out->parts[out->n_parts - 1].matrix);
    }
    return CALMOE_OK;
}

calmoe_status cm_placed_rows_open(struct calmoe_context *ctx, struct pack_list *list,
                                  const struct weight_source *source, int first_row, const int32_t *rows, int n_nodes,
                                  struct placed_matrix *out)
{
    CM_TRY(open_parts(ctx, source, n_nodes, out));
    return add_rows(ctx, list, source, first_row, rows, n_nodes, out);
}

calmoe_status cm_placed_ranges_open(struct calmoe_context *ctx, struct pack_list *list,
                                    const struct weight_source *source, const struct row_range *ranges, int n_ranges,
                                    const struct plan *plan, struct placed_matrix *out)
{
    double  shares[CM_MAX_NODES];
    int32_t rows[CM_MAX_NODES];
    for (int node = 0; node < plan->n_nodes; node++) shares[node] = plan->shares[node];
    CM_TRY(open_parts(ctx, source, n_ranges * plan->n_nodes, out));
    for (int i = 0; i < n_ranges; i++) {
        cm_cut(ranges[i].n, CM_SLICE_QUANTUM, shares, plan->n_nodes, NULL, rows);
        CM_TRY(add_rows(ctx, list, source, ranges[i].first, rows, plan->n_nodes, out));
    }
    return CALMOE_OK;
}

calmoe_status cm_placed_range_open(struct calmoe_context *ctx, struct pack_list *list,
                                   const struct weight_source *source, int first_row, int n_rows,
                                   const struct plan *plan, struct placed_matrix *out)
{
    return cm_placed_ranges_open(ctx, list, source, &(struct row_range){first_row, n_rows}, 1, plan, out);
}

calmoe_status cm_placed_shares_open(struct calmoe_context *ctx, struct pack_list *list,
                                    const struct weight_source *source, const struct plan *plan,
                                    struct placed_matrix *out)
{
    int       first;
    const int n_rows = cm_own_part(plan, source->n_rows, CM_SLICE_QUANTUM, &first);
    return cm_placed_range_open(ctx, list, source, first, n_rows, plan, out);
}

calmoe_status cm_placed_copies_open(struct calmoe_context *ctx, struct pack_list *list,
                                    const struct weight_source *source, const struct team *team, int n_nodes,
                                    struct placed_matrix *out)
{
    int n_parts = 0;
    for (int node = 0; node < n_nodes; node++) n_parts += cm_team_server(team, node) == node;
    CM_TRY(open_parts(ctx, source, n_parts, out));
    for (int node = 0; node < n_nodes; node++)
        if (cm_team_server(team, node) == node) CM_TRY(add_part(ctx, list, source, node, 0, source->n_rows, out));
    out->n_bytes = cm_matrix_bytes(&out->parts[0].matrix);
    return CALMOE_OK;
}

void cm_placed_close(struct placed_matrix *matrix)
{
    cm_free(matrix->parts);
    *matrix = (struct placed_matrix){0};
}

const struct matrix_part *cm_copy_for(const struct placed_matrix *matrix, const struct worker *me)
{
    int i = 0;
    while (i + 1 < matrix->n_parts && matrix->parts[i].node != me->node) i++;
    return &matrix->parts[i];
}
