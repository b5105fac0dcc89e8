/* runtime/make/quantize.c - calmoe_quantize: a copy of a model file with its float matrices in fewer bits. */
#include <calmoe/model.h>

#include <string.h>
#include <sys/stat.h>

#include "base/memory.h"
#include "base/team.h"
#include "runtime/load/model_writer.h"
#include "runtime/make/file_type.h"

struct conversion { /* of one tensor, by all workers */
    const struct file_tensor *source;
    enum weight_type          type;
    uint8_t                  *out;
    float                    *rows; /* (n_workers, columns) */
};

static void convert_rows(void *arg, const struct worker *me)
{
    const struct conversion *c = arg;
    const struct weight_type_row *from = &cm_weight_types[c->source->type], *to = &cm_weight_types[c->type];
    const size_t columns = (size_t)c->source->shape[0];
    const size_t in_bytes = cm_row_bytes(c->source->type, columns), out_bytes = cm_row_bytes(c->type, columns);
    const size_t n_rows = (size_t)(c->source->shape[1] * c->source->shape[2] * c->source->shape[3]);
    float *row = c->rows + (size_t)me->index * columns;
    for (size_t i = (size_t)me->index; i < n_rows; i += (size_t)me->n_workers) {
        from->dequantize(c->source->bytes + i * in_bytes, row, columns / (size_t)from->n_elements);
        to->quantize(row, c->out + i * out_bytes, columns / (size_t)to->n_elements);
    }
}

static bool ends_with(const char *text, const char *end)
{
    const size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

/* Vectors, norms and routers keep their type, as in published files. */
static bool is_converted(const struct file_tensor *tensor)
{
    const bool is_float =
        tensor->is_weight && (tensor->type == WEIGHT_F32 || tensor->type == WEIGHT_F16 || tensor->type == WEIGHT_BF16);
    return is_float && tensor->n_dims >= 2 && tensor->shape[1] > 1 && ends_with(tensor->name, ".weight") &&
           !strstr(tensor->name, "_norm") && !strstr(tensor->name, "ffn_gate_inp");
}

/* The type that a tensor gets: `wanted`, more bits for the output head of q4_k, and where blocks do not divide
 * its rows one with blocks of 32, or as it is. */
static enum weight_type type_of(const struct model_file *file, const struct file_tensor *tensor,
                                enum weight_type wanted)
{
    if (!is_converted(tensor)) return tensor->type;
    const bool is_tied = !cm_file_tensor(file, "output.weight");
    const bool is_head = strcmp(tensor->name, is_tied ? "token_embd.weight" : "output.weight") == 0;
    enum weight_type type = wanted == WEIGHT_Q4_K && is_head ? WEIGHT_Q6_K : wanted;
    if (tensor->shape[0] % (uint64_t)cm_weight_types[type].n_elements != 0) type = WEIGHT_Q8_0;
    if (tensor->shape[0] % (uint64_t)cm_weight_types[type].n_elements != 0) type = tensor->type;
    return type;
}

struct quantizer {
    struct calmoe_context  *ctx;
    struct model_file            *file;
    enum weight_type        type;
    struct topology         topology;
    struct team            *team;
    struct new_tensor *tensors;
    struct model_writer     *writer;
    calmoe_progress_fn      progress;
    void                   *user;
};

static calmoe_status write_tensor(struct quantizer *q, const struct new_tensor *tensor)
{
    const struct file_tensor *source = tensor->source;
    if (tensor->file_id == source->file_id) return cm_model_writer_put(q->writer, source->bytes, source->n_bytes);
    struct conversion conversion = {.source = source, .type = type_of(q->file, source, q->type)};
    const size_t n_workers = (size_t)cm_team_n_workers(q->team);
    conversion.out = cm_alloc(q->ctx, 1, (size_t)tensor->n_bytes, "a converted tensor");
    conversion.rows = cm_alloc(q->ctx, n_workers * (size_t)source->shape[0], sizeof(float), "rows to convert");
    calmoe_status status = conversion.out && conversion.rows ? CALMOE_OK : CALMOE_NO_MEMORY;
    if (status == CALMOE_OK) {
        cm_team_run(q->team, convert_rows, &conversion);
        status = cm_model_writer_put(q->writer, conversion.out, tensor->n_bytes);
    }
    cm_free(conversion.out);
    cm_free(conversion.rows);
    return status;
}

static calmoe_status plan_tensors(struct quantizer *q)
{
    q->tensors = cm_alloc(q->ctx, (size_t)q->file->n_tensors, sizeof *q->tensors, "the tensor table");
    if (!q->tensors) return CALMOE_NO_MEMORY;
    for (uint64_t i = 0; i < q->file->n_tensors; i++) {
        const struct file_tensor *source = &q->file->tensors[i];
        q->tensors[i] = (struct new_tensor){source, source->file_id, source->n_bytes};
        if (!is_converted(source)) continue;
        const enum weight_type type = type_of(q->file, source, q->type);
        const uint64_t n_rows = source->shape[1] * source->shape[2] * source->shape[3];
        q->tensors[i].file_id = cm_weight_types[type].file_id;
        q->tensors[i].n_bytes = n_rows * cm_row_bytes(type, (size_t)source->shape[0]);
    }
    return CALMOE_OK;
}

static calmoe_status convert(struct quantizer *q, const char *in, const char *out)
{
    static const char *const dropped[] = {"general.file_type", "general.quantization_version", "split."};
    const struct new_meta_u32 added[] = {{"general.file_type", cm_file_type_of(q->type)},
                                         {"general.quantization_version", 2}};
    struct stat a, b;
    if (stat(in, &a) == 0 && stat(out, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino)
        return cm_fail(q->ctx, CALMOE_INVALID_ARGUMENT, "'%s' and '%s' are the same file", in, out);
    CM_TRY(cm_model_file_open(q->ctx, in, &q->file));
    CM_TRY(cm_topology_open(q->ctx, NULL, &q->topology));
    CM_TRY(cm_team_open(q->ctx, &q->topology, 0, true, &q->team));
    CM_TRY(plan_tensors(q));
    CM_TRY(cm_model_writer_open(q->ctx, out, q->file, dropped, 3, added, 2, q->tensors, q->file->n_tensors,
                               &q->writer));
    const uint64_t n = q->file->n_tensors;
    for (uint64_t i = 0; i <= n; i++) { /* the last time only asks whether to finish */
        if (q->progress && q->progress(q->user, i < n ? (double)i / (double)n : 1.0))
            return cm_fail(q->ctx, CALMOE_CANCELLED, "writing '%s' was cancelled", out);
        if (i < n) CM_TRY(write_tensor(q, &q->tensors[i]));
    }
    return cm_model_writer_finish(q->writer);
}

calmoe_status calmoe_quantize(calmoe_context *ctx, const char *in, const char *out, const char *type,
                              calmoe_progress_fn progress, void *user)
{
    struct quantizer q = {.ctx = ctx, .progress = progress, .user = user};
    if (!ctx || !in || !out || !type)
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "calmoe_quantize: context, in, out and type are needed");
    const bool is_known = cm_weight_type_of_name(type, &q.type);
    if (!is_known || q.type == WEIGHT_F32 || !cm_weight_types[q.type].quantize)
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "type is '%s'; q8_0, q4_0, q4_k, q6_k, f16 or bf16 is wanted",
                       type);
    const calmoe_status status = convert(&q, in, out);
    cm_model_writer_close(&q.writer);
    cm_free(q.tensors);
    cm_team_close(&q.team);
    cm_topology_close(&q.topology);
    cm_model_file_close(&q.file);
    return status;
}
