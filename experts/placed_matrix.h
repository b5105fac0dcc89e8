/* experts/placed_matrix.h - a dense matrix on the nodes: cut by rows, each node's workers multiply their node's rows;
 * or, where it is small and read by whoever owns a token, in whole copies. */
#ifndef EXPERTS_PLACED_MATRIX_H
#define EXPERTS_PLACED_MATRIX_H

#include "experts/packing.h"
#include "experts/placement.h"

struct matrix_part { /* rows first_row … first_row + matrix.n_rows of the whole */
    int           node;
    int           first_row;
    struct matrix matrix;
};

struct placed_matrix {
    int                 n_rows, n_columns;
    int                 n_parts; /* 0: there is no such matrix, or this rank has no row of it */
    struct matrix_part *parts;   /* in the order of rows; of copies, of nodes  */
    size_t              n_bytes; /* packed, of all rows once                   */
    unsigned            kind;    /* cm_placed_kind()                           */
};

/* Lists source for packing: rows first_row … on the nodes, rows[node] on each, in the order of the nodes. */
calmoe_status cm_placed_rows_open(struct calmoe_context *ctx, struct pack_list *list,
                                  const struct weight_source *source, int first_row, const int32_t *rows, int n_nodes,
                                  struct placed_matrix *out);
/* Some ranges of rows, ascending, each over the nodes by a plan's shares, in multiples of 16. */
struct row_range {
    int first, n;
};
calmoe_status cm_placed_ranges_open(struct calmoe_context *ctx, struct pack_list *list,
                                    const struct weight_source *source, const struct row_range *ranges, int n_ranges,
                                    const struct plan *plan, struct placed_matrix *out);
/* One of them. */
calmoe_status cm_placed_range_open(struct calmoe_context *ctx, struct pack_list *list,
                                   const struct weight_source *source, int first_row, int n_rows,
                                   const struct plan *plan, struct placed_matrix *out);
/* The rows that a plan gives this rank: all of one rank. */
calmoe_status cm_placed_shares_open(struct calmoe_context *ctx, struct pack_list *list,
                                    const struct weight_source *source, const struct plan *plan,
                                    struct placed_matrix *out);
/* A whole copy on each node that has workers. */
calmoe_status cm_placed_copies_open(struct calmoe_context *ctx, struct pack_list *list,
                                    const struct weight_source *source, const struct team *team, int n_nodes,
                                    struct placed_matrix *out);
void          cm_placed_close(struct placed_matrix *matrix); /* zeroed is fine */

/* Rows row … row + n_rows of a matrix in a file. */
struct weight_source cm_source_rows(const struct weight_source *source, int row, int n_rows);

/* The form of its input that it reads, as a bit, on ranks without a row of it as well; 0 for no matrix. */
static inline unsigned cm_placed_kind(const struct placed_matrix *matrix)
{
    return matrix->kind;
}

/* Rows of a part, counted from its first, that a worker does: those of its node are shared out among its workers. */
static inline void cm_part_share(const struct matrix_part *part, const struct worker *me, int *begin, int *end)
{
    if (cm_team_server(me->team, part->node) != me->node) *begin = *end = 0;
    else cm_share(part->matrix.n_rows, 16, me->rank_on_node, me->n_on_node, begin, end);
}

/* The copy that a worker reads. */
const struct matrix_part *cm_copy_for(const struct placed_matrix *matrix, const struct worker *me);

#endif
