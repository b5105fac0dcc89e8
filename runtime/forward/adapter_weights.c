/* runtime/forward/adapter_weights.c - see adapter_weights.h.
 *
 * Which tensor a packed matrix comes from is told by where its rows stand in the file (matrix_origin). So it does not
 * matter what the matrix is for, or how many matrices a tensor was cut into. */
#include "runtime/forward/adapter_weights.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

/* ---- where matrices come from ---- */

struct placed_origin {
    const uint8_t              *rows; /* in the file */
    const struct matrix_origin *from;
    int                         id;
};

static int compare_origins(const void *a, const void *b)
{
    const struct placed_origin *left = a, *right = b;
    if (left->rows != right->rows) return left->rows < right->rows ? -1 : 1;
    return (left->id > right->id) - (left->id < right->id);
}

/* (*n) in the order of the file; the caller's. */
static calmoe_status sort_origins(struct calmoe_context *ctx, const struct weights *weights,
                                  struct placed_origin **out, int *n)
{
    *n = 0;
    *out = cm_alloc(ctx, (size_t)weights->n_origins, sizeof **out, "an adapter");
    if (!*out) return CALMOE_NO_MEMORY;
    for (int id = 1; id < weights->n_origins; id++) {
        const struct weight_source *source = &weights->origins[id].source;
        (*out)[(*n)++] = (struct placed_origin){source->turned_from ? source->turned_from : source->rows,
                                                &weights->origins[id], id};
    }
    qsort(*out, (size_t)*n, sizeof **out, compare_origins);
    return CALMOE_OK;
}

struct builder {
    const struct machine   *machine;
    const struct adapter   *adapter;
    struct placed_origin   *origins;
    int                     n_origins;
    uint64_t               *found;  /* rows of each pair */
    struct pack_list       *list;   /* NULL: parts are only counted */
    struct adapter_weights *out;
};

/* The first origin at or behind a byte of the file. */
static int first_origin(const struct builder *b, const uint8_t *at)
{
    int low = 0, high = b->n_origins;
    while (low < high) {
        const int middle = low + (high - low) / 2;
        if (b->origins[middle].rows < at) low = middle + 1;
        else high = middle;
    }
    return low;
}

/* ---- pairs ---- */

/* Rows of a tensor's matrix, as many as an origin and a pair have in common. */
struct common {
    int first, n;   /* of the tensor's matrix       */
    int of_origin;  /* where they begin among the origin's rows */
};

/* B's rows first … first + n (its own count), column by column; the list's memory. */
static calmoe_status turn_b(const struct builder *b, const struct adapter_pair *pair, int first, int n, float **out)
{
    const size_t rank = (size_t)pair->rank, n_rows = (size_t)n;
    float *turned = *out = cm_alloc(b->machine->ctx, rank * n_rows, sizeof *turned, "an adapter");
    if (!turned) return CALMOE_NO_MEMORY;
    CM_TRY(cm_pack_list_keep(b->machine->ctx, b->list, turned));
    for (size_t row = 0; row < n_rows; row++)
        for (size_t i = 0; i < rank; i++) turned[i * n_rows + row] = pair->b[((size_t)first + row) * rank + i];
    return CALMOE_OK;
}

static calmoe_status list_part(const struct builder *b, const struct adapter_pair *pair,
                               const struct placed_origin *origin, const struct common *rows, struct low_rank *part)
{
    const bool is_turned = origin->from->source.turned_from != NULL;
    const int  node = origin->from->node, n_columns = (int)pair->target->shape[0];
    float     *turned;
    CM_TRY(turn_b(b, pair, rows->first - pair->first_row, rows->n, &turned));
    /* The matrix is W, or it is W' (rows of which are columns of W), and W' + (B A)' = W' + A' B'. */
    const struct weight_source a = {.type = WEIGHT_F32, .rows = (const uint8_t *)(is_turned ? turned : pair->a),
                                    .n_rows = pair->rank, .n_columns = is_turned ? rows->n : n_columns};
    part->first_row = is_turned ? 0 : rows->of_origin;
    part->n_rows = is_turned ? n_columns : rows->n;
    part->scale = pair->scale;
    CM_TRY(cm_pack_list_add(b->machine->ctx, b->list, &a, node, &part->a));
    return cm_pack_list_add_floats(b->machine->ctx, b->list, is_turned ? pair->a : turned, pair->rank * part->n_rows,
                                   node, &part->b);
}

/* The chain of a matrix's parts keeps the order of the pairs. */
static void chain(struct adapter_weights *out, int id, const struct low_rank *part)
{
    const struct low_rank **end = &out->set.of[id];
    if (!*end) {
        *end = part;
        return;
    }
    struct low_rank *last = &out->parts[*end - out->parts];
    while (last->next) last = &out->parts[last->next - out->parts];
    last->next = part;
}

static calmoe_status add_part(struct builder *b, const struct adapter_pair *pair, const struct placed_origin *origin,
                              const struct common *rows)
{
    const int i = b->out->n_parts++;
    if (!b->list) return CALMOE_OK;
    struct low_rank *part = &b->out->parts[i];
    CM_TRY(list_part(b, pair, origin, rows, part));
    chain(b->out, origin->id, part);
    return CALMOE_OK;
}

/* Rows of the origin's matrix that the pair changes; none: n is 0. A matrix that lies turned is taken whole or not. */
static struct common common_rows(const struct adapter_pair *pair, const struct placed_origin *origin)
{
    const struct file_tensor *tensor = pair->target;
    const struct weight_source *source = &origin->from->source;
    const int n_of_matrix = (int)tensor->shape[1];
    const int n_rows = source->turned_from ? source->n_columns : source->n_rows;
    const size_t row = (size_t)(origin->rows - tensor->bytes) / cm_row_bytes(tensor->type, (size_t)tensor->shape[0]);
    const int at = (int)(row % (size_t)n_of_matrix), end = pair->first_row + pair->n_rows;
    struct common common = {at > pair->first_row ? at : pair->first_row, 0, 0};
    if (pair->slice >= 0 && (size_t)pair->slice != row / (size_t)n_of_matrix) return common;
    common.n = (at + n_rows < end ? at + n_rows : end) - common.first;
    common.of_origin = common.first - at;
    if (common.n < 0 || (source->turned_from && common.n < n_rows)) common.n = 0;
    return common;
}

static calmoe_status add_pair(struct builder *b, const struct adapter_pair *pair, uint64_t *found)
{
    const struct file_tensor *tensor = pair->target;
    const uint64_t n_stacked = tensor->shape[2], of_slice = tensor->n_bytes / n_stacked;
    const uint8_t *begin = tensor->bytes + (pair->slice > 0 ? (uint64_t)pair->slice * of_slice : 0);
    const uint8_t *end = pair->slice >= 0 ? begin + of_slice : tensor->bytes + tensor->n_bytes;
    for (int i = first_origin(b, begin); i < b->n_origins && b->origins[i].rows < end; i++) {
        const struct common rows = common_rows(pair, &b->origins[i]);
        if (rows.n == 0) continue;
        CM_TRY(add_part(b, pair, &b->origins[i], &rows));
        *found += (uint64_t)rows.n;
    }
    return CALMOE_OK;
}

static calmoe_status check_pair(struct calmoe_context *ctx, const struct adapter_pair *pair, uint64_t n_found)
{
    const struct file_tensor *tensor = pair->target;
    const uint64_t n_slices = pair->slice >= 0 ? 1 : tensor->shape[2];
    if (pair->is_embedding || n_found >= (uint64_t)pair->n_rows * n_slices) return CALMOE_OK;
    if (n_found > 0)
        return cm_fail(ctx, CALMOE_UNSUPPORTED,
                       "the adapter changes '%s', of which only a part was packed into memory", tensor->name);
    return cm_fail(ctx, CALMOE_INVALID_ARGUMENT,
                   "the adapter changes '%s', which is no matrix that this model multiplies by", tensor->name);
}

calmoe_status cm_adapter_weights_check(struct calmoe_context *ctx, const struct adapter *adapter, const uint64_t *found)
{
    for (int i = 0; i < adapter->n_pairs; i++)
        CM_TRY(check_pair(ctx, &adapter->pairs[i], found[i]));
    return CALMOE_OK;
}

static calmoe_status add_embedding(struct builder *b, const struct adapter_pair *pair)
{
    const size_t rank = (size_t)pair->rank;
    const size_t n_vocab = (size_t)pair->target->shape[1], dim = (size_t)pair->target->shape[0];
    struct low_rank_embedding *embedding = &b->out->set.embedding;
    float *at = b->out->embedding = cm_alloc(b->machine->ctx, rank * (n_vocab + dim), sizeof *at, "an adapter");
    if (!at) return CALMOE_NO_MEMORY;
    memcpy(at, pair->a, rank * n_vocab * sizeof *at);
    *embedding = (struct low_rank_embedding){pair->rank, at, at + rank * n_vocab, pair->scale};
    at += rank * n_vocab;
    for (size_t row = 0; row < dim; row++)
        for (size_t i = 0; i < rank; i++) at[i * dim + row] = pair->b[row * rank + i];
    return CALMOE_OK;
}

static calmoe_status add_pairs(struct builder *b)
{
    b->out->n_parts = 0;
    for (int i = 0; i < b->adapter->n_pairs; i++) {
        const struct adapter_pair *pair = &b->adapter->pairs[i];
        b->found[i] = 0;
        if (!pair->is_embedding) CM_TRY(add_pair(b, pair, &b->found[i]));
        else if (b->list) CM_TRY(add_embedding(b, pair));
    }
    return CALMOE_OK;
}

static calmoe_status build(struct builder *b, const struct weights *weights)
{
    struct calmoe_context  *ctx = b->machine->ctx;
    struct adapter_weights *out = b->out;
    CM_TRY(sort_origins(ctx, weights, &b->origins, &b->n_origins));
    CM_TRY(add_pairs(b)); /* counted */
    if (!b->machine->exchange) CM_TRY(cm_adapter_weights_check(ctx, b->adapter, b->found));
    out->parts = cm_alloc(ctx, (size_t)out->n_parts, sizeof *out->parts, "an adapter");
    out->set.of = cm_alloc(ctx, (size_t)weights->n_origins, sizeof *out->set.of, "an adapter");
    if (!out->parts || !out->set.of) return CALMOE_NO_MEMORY;
    CM_TRY(cm_pack_list_open(ctx, b->machine->isa, &b->list));
    CM_TRY(add_pairs(b));
    return cm_pack_list_run(ctx, b->list, b->machine->topology, b->machine->team, NULL, NULL, &out->packed);
}

calmoe_status cm_adapter_weights_open(const struct machine *machine, const struct weights *weights,
                                      const struct adapter *adapter, uint64_t *found, struct adapter_weights *out)
{
    struct builder b = {.machine = machine, .adapter = adapter, .found = found, .out = out};
    *out = (struct adapter_weights){0};
    const calmoe_status status = build(&b, weights);
    cm_pack_list_close(&b.list);
    cm_free(b.origins);
    if (status != CALMOE_OK) cm_adapter_weights_close(out);
    return status;
}

void cm_adapter_weights_close(struct adapter_weights *weights)
{
    cm_packed_weights_close(&weights->packed);
    cm_free(weights->parts);
    cm_free(weights->set.of);
    cm_free(weights->embedding);
    *weights = (struct adapter_weights){0};
}
