/* experts/packing.h - weights from the file into memory on their node, in the order in which the kernels
 * read them: one copy, done by the whole team. Packing is placement.
 *
 * First list the matrices (each tells its size), then run: one block a node is taken, then chunks of
 * rows are read and packed in parallel, in the order of the file. */
#ifndef EXPERTS_PACKING_H
#define EXPERTS_PACKING_H

#include "base/file_map.h"
#include "base/node_memory.h"
#include "base/team.h"
#include "kernels/linear.h"

struct weight_source { /* a matrix as it stands in a file */
    enum weight_type       type;
    const uint8_t         *rows; /* (n_rows) rows of cm_row_bytes(type, n_columns)     */
    int                    n_rows;
    int                    n_columns;
    const struct file_map *map;  /* that rows lie in; NULL = rows lie in plain memory  */
    const uint8_t         *turned_from; /* these rows are the columns of rows that stand there in the file, and were
                                           copied; NULL = they stand there themselves  */
};

/* Packed bytes of n rows of a matrix, from the first of a tile on. */
static inline size_t cm_rows_bytes(const struct matrix *matrix, int n)
{
    return matrix->kernel->packed_bytes((size_t)n, (size_t)matrix->n_columns);
}

/* Of all of them, without what aligns the next matrix. */
static inline size_t cm_matrix_bytes(const struct matrix *matrix) { return cm_rows_bytes(matrix, matrix->n_rows); }

struct packed_weights { /* where the packed bytes live */
    struct node_block blocks[CM_MAX_NODES];
    int               n_blocks;
    size_t            n_bytes;
};
void cm_packed_weights_close(struct packed_weights *weights); /* zeroed is fine */

struct pack_list;
calmoe_status cm_pack_list_open(struct calmoe_context *ctx, enum isa isa, struct pack_list **out);
void          cm_pack_list_close(struct pack_list **list);
enum isa      cm_pack_list_isa(const struct pack_list *list);

/* *out gets its shape and kernel now and its bytes when the list runs; it must stay where it is. A source without rows
 * gets no bytes. */
calmoe_status cm_pack_list_add(struct calmoe_context *ctx, struct pack_list *list,
                               const struct weight_source *source, int node, struct matrix *out);

/* Copies n float32 values into the node's memory, for what is read beside a matrix there. *out is the values themselves
 * until the list runs, then the copy. */
calmoe_status cm_pack_list_add_floats(struct calmoe_context *ctx, struct pack_list *list, const float *values, int n,
                                      int node, const float **out);

/* memory, of cm_alloc(), is the list's from now on, also after a failure: rows of a source lie there, and it is freed
 * when the list is closed. */
calmoe_status cm_pack_list_keep(struct calmoe_context *ctx, struct pack_list *list, void *memory);

/* Where a packed matrix comes from: whoever adds something to a file's tensor finds the matrices that are made of it.
 * */
struct matrix_origin {
    struct weight_source source; /* rows may be read no more */
    int                  node;
};
/* From now on the list gives each matrix that has rows an id, 1, 2, …; matrices of a list that does not have id 0. */
void cm_pack_list_number(struct pack_list *list);
/* A matrix whose bytes come from elsewhere, mapped or from disk, gets an id as well. */
calmoe_status cm_pack_list_note(struct calmoe_context *ctx, struct pack_list *list,
                                const struct weight_source *source, int node, struct matrix *matrix);
/* By id, the caller's (cm_free()): (*n), of which the first, of id 0, is empty. NO_MEMORY. */
calmoe_status cm_pack_list_origins(struct calmoe_context *ctx, const struct pack_list *list,
                                   struct matrix_origin **out, int *n);

/* What is listed by now, once the list has run in the order of the files: matrix i and its node (which may be NULL), or
 * NULL where entry i is plain numbers. i < cm_pack_list_size(). */
size_t               cm_pack_list_size(const struct pack_list *list);
const struct matrix *cm_pack_list_matrix(const struct pack_list *list, size_t i, int *node);

/* Packed bytes of all matrices that are listed by now, on all nodes. */
size_t cm_pack_list_bytes(const struct pack_list *list);

/* Rank 0 alone has the files of some sources: when the list runs, ranks fetch from it what is lent. The sharing stays
 * until then; NULL: all files are this machine's. */
struct file_sharing;
void cm_pack_list_share(struct pack_list *list, const struct file_sharing *sharing);

/* progress(user, fraction) != 0 stops with CANCELLED; it may be NULL. IO: a file cannot be read any more.
 * On failure nothing is kept. */
calmoe_status cm_pack_list_run(struct calmoe_context *ctx, struct pack_list *list,
                               const struct topology *topology, struct team *team,
                               int (*progress)(void *user, double fraction), void *user,
                               struct packed_weights *out);

#endif
