/* runtime/make/quantize.c - calmoe_quantize: a copy of a model file with its matrices in another type. Tensors are
 * converted piece by piece, so memory stays small whatever the model's size. */
#include <calmoe/quantize.h>

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/memory.h"
#include "base/options.h"
#include "base/team.h"
#include "runtime/load/file_kind.h"
#include "runtime/load/number_check.h"
#include "runtime/load/tensor_types.h"
#include "runtime/make/file_type.h"
#include "runtime/make/merge.h"
#include "runtime/make/quantize_plan.h"

enum { PIECE_BYTES = 4 << 20 };

struct loss { /* of the rows that one worker converted */
    double   squares, differences; /* sums over weights                                       */
    uint64_t too_large;            /* place of the first that the type cannot hold; UINT64_MAX */
    bool     is_bad;               /* there was one that is no number                          */
};

struct quantizer {
    struct calmoe_context  *ctx;
    calmoe_quantize_options options;
    struct model_file      *file;
    struct quantize_plan    plan;
    struct merge           *merge;             /* NULL: no adapter is merged                   */
    struct topology         topology;
    struct team            *team;
    struct number_check    *check;
    struct model_writer    *writer;
    uint64_t                n_read, n_to_read; /* bytes of tensors */
    uint8_t                *in, *out;          /* a piece of a tensor                          */
    float                  *rows;              /* (n_workers, 2, the widest row)               */
    size_t                  widest;
    struct loss            *losses;            /* (n_workers)                                  */
    double                  squares, differences;
    /* the rows that the team converts now */
    const struct planned_tensor *tensor;
    uint64_t                first_row;
    size_t                  n_rows;
};

/* ---- a piece of a tensor ---- */

/* x (n), a row, became y; x[0] is weight number `place` of the tensor. What is too large for a type becomes infinite,
 * or is cut where its scales are float16: rounding alone never takes away a quarter of the row's largest weight. */
static void add_loss(const float *x, const float *y, size_t n, uint64_t place, struct loss *loss)
{
    double largest = 0.0;
    if (!cm_are_finite(x, n)) {
        loss->is_bad = true;
        return;
    }
    for (size_t i = 0; i < n; i++) {
        const double weight = (double)x[i], difference = weight - (double)y[i];
        loss->squares += weight * weight;
        loss->differences += difference * difference;
        if (fabs(weight) > largest) largest = fabs(weight);
    }
    const double safe = 32768.0; /* scales are no larger than the largest weight: float16 holds them */
    for (size_t i = 0; largest > safe && i < n; i++)
        if (!(fabs((double)x[i] - (double)y[i]) <= largest / 4.0) && place + i < loss->too_large)
            loss->too_large = place + i;
}

static void convert_rows(void *arg, const struct worker *me)
{
    const struct quantizer *q = arg;
    const struct file_tensor *source = q->tensor->source;
    const struct weight_type_row *from = &cm_weight_types[source->type], *to = &cm_weight_types[q->tensor->type];
    const size_t columns = (size_t)source->shape[0];
    const size_t in_bytes = cm_row_bytes(source->type, columns), out_bytes = cm_row_bytes(q->tensor->type, columns);
    const size_t n_from = columns / (size_t)from->n_elements, n_to = columns / (size_t)to->n_elements;
    float *x = q->rows + (size_t)me->index * 2 * q->widest, *y = x + q->widest;
    struct loss loss = {.too_large = UINT64_MAX};
    for (size_t i = (size_t)me->index; i < q->n_rows; i += (size_t)me->n_workers) {
        from->dequantize(q->in + i * in_bytes, x, n_from);
        cm_merge_row(q->merge, source, q->first_row + i, x);
        to->quantize(x, q->out + i * out_bytes, n_to);
        to->dequantize(q->out + i * out_bytes, y, n_to);
        add_loss(x, y, columns, (q->first_row + i) * columns, &loss);
    }
    q->losses[me->index] = loss;
}

static calmoe_status fail_not_finite(struct quantizer *q, const struct file_tensor *tensor)
{
    struct bad_numbers found;
    CM_TRY(cm_number_check_tensor(q->check, q->file, tensor, NULL, NULL, &found));
    return cm_fail_bad_numbers(q->ctx, q->file, tensor, &found);
}

/* What the workers said of the piece. */
static calmoe_status gather_losses(struct quantizer *q)
{
    uint64_t too_large = UINT64_MAX;
    const struct file_tensor *source = q->tensor->source;
    for (int i = 0; i < cm_team_n_workers(q->team); i++) {
        const struct loss *loss = &q->losses[i];
        if (loss->is_bad) return fail_not_finite(q, source);
        q->squares += loss->squares;
        q->differences += loss->differences;
        if (loss->too_large < too_large) too_large = loss->too_large;
    }
    if (too_large == UINT64_MAX) return CALMOE_OK;
    char  place[NUMBER_PLACE_BYTES];
    const struct weight_type_row *from = &cm_weight_types[source->type];
    const uint64_t in_piece = too_large - q->first_row * source->shape[0], block = (uint64_t)from->n_elements;
    float values[256];
    from->dequantize(q->in + in_piece / block * (uint64_t)from->n_bytes, values, 1);
    cm_number_place(source, too_large, place);
    return cm_fail(q->ctx, CALMOE_BAD_FILE, "'%s': tensor '%s' has a weight that is too large for %s: %g at %s",
                   q->file->name, source->name, cm_weight_types[q->tensor->type].name,
                   (double)values[in_piece % block], place);
}

/* ---- a tensor ---- */

static calmoe_status read_part(struct quantizer *q, const struct file_tensor *source, uint64_t offset, size_t n_bytes)
{
    const struct file_map *map = &q->file->maps[source->shard];
    const int error = cm_file_map_read(map, (size_t)(source->bytes - map->bytes) + (size_t)offset, n_bytes, q->in);
    if (error == 0) return CALMOE_OK;
    return cm_fail(q->ctx, CALMOE_IO, "'%s': cannot read tensor '%s': %s", q->file->name, source->name,
                   error == CM_FILE_ENDED ? "the file was cut short" : strerror(error));
}

static calmoe_status note_progress(struct quantizer *q, uint64_t n_bytes)
{
    q->n_read += n_bytes;
    const double fraction = q->n_to_read > 0 ? (double)q->n_read / (double)q->n_to_read : 1.0;
    if (!q->options.progress || !q->options.progress(q->options.progress_user, fraction)) return CALMOE_OK;
    return cm_fail(q->ctx, CALMOE_CANCELLED, "quantizing '%s' was cancelled", q->file->name);
}

static calmoe_status copy_tensor(struct quantizer *q, const struct file_tensor *source)
{
    struct bad_numbers found = {0};
    if (source->is_weight) CM_TRY(cm_number_check_tensor(q->check, q->file, source, NULL, NULL, &found));
    if (found.n_nan + found.n_infinite > 0) return cm_fail_bad_numbers(q->ctx, q->file, source, &found);
    for (uint64_t at = 0, n; at < source->n_bytes; at += n) {
        n = source->n_bytes - at < PIECE_BYTES ? source->n_bytes - at : PIECE_BYTES;
        CM_TRY(read_part(q, source, at, (size_t)n));
        CM_TRY(cm_model_writer_put_part(q->writer, q->in, n));
        CM_TRY(note_progress(q, n));
    }
    return cm_model_writer_end_tensor(q->writer);
}

/* As many rows as a piece holds, but one at least. */
static size_t rows_at_once(const struct planned_tensor *planned)
{
    const size_t columns = (size_t)planned->source->shape[0];
    const size_t in_bytes = cm_row_bytes(planned->source->type, columns);
    const size_t out_bytes = cm_row_bytes(planned->type, columns);
    const size_t n = PIECE_BYTES / (in_bytes > out_bytes ? in_bytes : out_bytes);
    return n > 0 ? n : 1;
}

static calmoe_status convert_tensor(struct quantizer *q, const struct planned_tensor *planned)
{
    const struct file_tensor *source = planned->source;
    const size_t columns = (size_t)source->shape[0], at_once = rows_at_once(planned);
    const size_t in_bytes = cm_row_bytes(source->type, columns), out_bytes = cm_row_bytes(planned->type, columns);
    const uint64_t n_rows = source->shape[1] * source->shape[2] * source->shape[3];
    q->tensor = planned;
    for (q->first_row = 0; q->first_row < n_rows; q->first_row += q->n_rows) {
        q->n_rows = n_rows - q->first_row < at_once ? (size_t)(n_rows - q->first_row) : at_once;
        CM_TRY(read_part(q, source, q->first_row * in_bytes, q->n_rows * in_bytes));
        cm_team_run(q->team, convert_rows, q);
        CM_TRY(gather_losses(q));
        CM_TRY(cm_model_writer_put_part(q->writer, q->out, q->n_rows * out_bytes));
        CM_TRY(note_progress(q, q->n_rows * in_bytes));
    }
    return cm_model_writer_end_tensor(q->writer);
}

/* ---- the file ---- */

/* Writing to a folder, a device or the model itself would not end well. */
static calmoe_status check_out(const struct quantizer *q, const char *out)
{
    struct stat target, shard;
    if (stat(out, &target) != 0) return CALMOE_OK;
    if (!S_ISREG(target.st_mode))
        return cm_fail(q->ctx, CALMOE_INVALID_ARGUMENT, "cannot write '%s': it is no regular file", out);
    for (int i = 0; i < q->file->n_shards; i++)
        if (fstat(q->file->maps[i].file, &shard) == 0 && shard.st_dev == target.st_dev && shard.st_ino == target.st_ino)
            return cm_fail(q->ctx, CALMOE_INVALID_ARGUMENT, "'%s' is a file of the model that is read", out);
    return CALMOE_OK;
}

static calmoe_status open_buffers(struct quantizer *q)
{
    size_t n_in = PIECE_BYTES, n_out = PIECE_BYTES;
    for (uint64_t i = 0; i < q->plan.n_tensors; i++) {
        const struct planned_tensor *planned = &q->plan.tensors[i];
        const size_t columns = (size_t)planned->source->shape[0];
        q->n_to_read += planned->source->n_bytes;
        if (!planned->is_converted) continue;
        const size_t in_bytes = cm_row_bytes(planned->source->type, columns);
        const size_t out_bytes = cm_row_bytes(planned->type, columns);
        if (in_bytes > n_in) n_in = in_bytes;
        if (out_bytes > n_out) n_out = out_bytes;
        if (columns > q->widest) q->widest = columns;
    }
    const size_t n_workers = (size_t)cm_team_n_workers(q->team);
    q->in = cm_alloc(q->ctx, n_in, 1, "a piece of a tensor");
    q->out = cm_alloc(q->ctx, n_out, 1, "a piece of a tensor");
    q->rows = cm_alloc(q->ctx, n_workers * 2 * q->widest, sizeof *q->rows, "rows to convert");
    q->losses = cm_alloc(q->ctx, n_workers, sizeof *q->losses, "rows to convert");
    return q->in && q->out && q->rows && q->losses ? CALMOE_OK : CALMOE_NO_MEMORY;
}

static void tell_tensors(const struct quantizer *q)
{
    for (uint64_t i = 0; q->options.on_tensor && i < q->plan.n_tensors; i++) {
        const struct planned_tensor *planned = &q->plan.tensors[i];
        const calmoe_quantized_tensor told = {
            .name = planned->source->name,
            .from = cm_tensor_type_name(planned->source->file_id),
            .to = cm_tensor_type_name(q->plan.written[i].file_id),
            .fate = planned->fate,
            .n_columns = planned->source->shape[0],
            .block = cm_weight_types[q->plan.wanted].n_elements,
        };
        q->options.on_tensor(q->options.on_tensor_user, &told);
    }
}

static calmoe_status quantize(struct quantizer *q, const char *in, const char *out, enum weight_type type)
{
    static const char *const dropped[] = {"general.file_type", "general.quantization_version", "split."};
    CM_TRY(cm_model_file_open(q->ctx, in, &q->file));
    CM_TRY(cm_check_holds_model(q->ctx, q->file, false));
    CM_TRY(check_out(q, out));
    CM_TRY(cm_quantize_plan_open(q->ctx, q->file, type, q->options.quantized, &q->plan));
    if (q->options.adapter) {
        CM_TRY(cm_merge_open(q->ctx, q->file, q->options.adapter, q->options.adapter_scale, &q->merge));
        CM_TRY(cm_merge_plan(q->ctx, q->merge, q->options.quantized, &q->plan));
    }
    const struct new_meta_u32 added[] = {{"general.file_type", cm_file_type_of(q->plan.most)},
                                         {"general.quantization_version", 2}};
    CM_TRY(cm_topology_open(q->ctx, NULL, &q->topology));
    CM_TRY(cm_team_open(q->ctx, &q->topology, q->options.n_threads, PIN_AUTO, &q->team));
    CM_TRY(cm_number_check_open(q->ctx, q->team, &q->check));
    CM_TRY(open_buffers(q));
    CM_TRY(cm_model_writer_open(q->ctx, out, q->file, dropped, 3, added, 2, q->plan.written, q->plan.n_tensors,
                                &q->writer));
    tell_tensors(q);
    CM_TRY(note_progress(q, 0));
    for (uint64_t i = 0; i < q->plan.n_tensors; i++) {
        const struct planned_tensor *planned = &q->plan.tensors[i];
        CM_TRY(planned->is_converted ? convert_tensor(q, planned) : copy_tensor(q, planned->source));
    }
    return cm_model_writer_finish(q->writer);
}

static void give_result(const struct quantizer *q, calmoe_quantize_result *result)
{
    const calmoe_quantize_result filled = {
        .type = cm_weight_types[q->plan.most].name,
        .n_bytes = q->plan.n_bytes,
        .n_requantized = q->plan.n_requantized,
        .relative_error = q->squares > 0.0 ? sqrt(q->differences / q->squares) : 0.0,
    };
    if (result) cm_options_give(result, &filled, sizeof filled);
}

static void close_quantizer(struct quantizer *q)
{
    cm_model_writer_close(&q->writer);
    cm_number_check_close(&q->check);
    cm_quantize_plan_close(&q->plan);
    cm_merge_close(&q->merge);
    cm_free(q->in);
    cm_free(q->out);
    cm_free(q->rows);
    cm_free(q->losses);
    cm_team_close(&q->team);
    cm_topology_close(&q->topology);
    cm_model_file_close(&q->file);
}

/* ---- the public calls ---- */

void calmoe_quantize_options_init(calmoe_quantize_options *options)
{
    if (options) *options = (calmoe_quantize_options){.size = sizeof *options, .adapter_scale = 1.0f};
}

const char *calmoe_quantize_type(int i)
{
    for (int type = 0; type < WEIGHT_TYPE_COUNT; type++)
        if (cm_weight_types[type].quantize && i-- == 0) return cm_weight_types[type].name;
    return NULL;
}

static calmoe_status check_type(struct calmoe_context *ctx, const char *name, enum weight_type *type)
{
    if (cm_weight_type_of_name(name, type) && cm_weight_types[*type].quantize) return CALMOE_OK;
    char known[256] = "";
    for (int i = 0; calmoe_quantize_type(i); i++) {
        const size_t n = strlen(known);
        snprintf(known + n, sizeof known - n, "%s%s", i > 0 ? ", " : "", calmoe_quantize_type(i));
    }
    return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "type is '%.40s'; one of %s is wanted", name, known);
}

calmoe_status calmoe_quantize(calmoe_context *ctx, const char *in, const char *out, const char *type,
                              const calmoe_quantize_options *given, calmoe_quantize_result *result)
{
    struct quantizer q = {.ctx = ctx};
    enum weight_type wanted;
    if (!ctx || !in || !out || !type || (result && result->size < sizeof result->size))
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT,
                       "calmoe_quantize: context, in, out and type are needed, and a result has its size set");
    calmoe_quantize_options_init(&q.options);
    CM_TRY(cm_options_copy(ctx, "calmoe_quantize_options", &q.options, sizeof q.options, given));
    if (q.options.quantized < CALMOE_QUANTIZED_REFUSE || q.options.quantized > CALMOE_QUANTIZED_CONVERT ||
        q.options.n_threads < 0)
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT,
                       "quantized is %d and n_threads %d; 0 to %d and 0 or more are wanted",
                       q.options.quantized, q.options.n_threads, CALMOE_QUANTIZED_CONVERT);
    CM_TRY(check_type(ctx, type, &wanted));
    const calmoe_status status = quantize(&q, in, out, wanted);
    if (status == CALMOE_OK) give_result(&q, result);
    close_quantizer(&q);
    return status;
}
