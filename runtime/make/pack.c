/* runtime/make/pack.c - calmoe_pack: a model's routed experts, written once in the order in which kernels read them. */
#include <calmoe/pack.h>

#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/options.h"
#include "runtime/documents/packed_file.h"
#include "runtime/engine/handles.h"

void calmoe_pack_options_init(calmoe_pack_options *options)
{
    if (options) *options = (calmoe_pack_options){.size = sizeof *options};
}

struct packer {
    calmoe_context            *ctx;
    const calmoe_model        *model;
    const calmoe_pack_options *options;
    enum isa                   isa;
    struct packed_experts      packed; /* without a map */
    struct packed_writer       writer;
    uint8_t                   *buffer, *out; /* of the largest matrix in the file, of the largest expert packed */
};

static int experts_of(const struct packer *p, int layer)
{
    return p->model->spec.layers[layer].ffn.router.n_experts;
}

/* Matrices for the largest expert, so that nothing is taken later. */
static calmoe_status open_buffers(struct packer *p)
{
    uint64_t largest = 1, largest_matrix = 1;
    for (int layer = 0; layer < p->packed.n_layers; layer++)
        for (int expert = 0; expert < experts_of(p, layer); expert++) {
            const struct weight_source *matrices[3];
            uint64_t                    n_bytes;
            cm_expert_matrices(p->model, layer, expert, matrices);
            cm_packed_layout(matrices, 3, p->isa, &n_bytes);
            if (n_bytes > largest) largest = n_bytes;
            for (int i = 0; i < 3; i++) {
                if (!matrices[i]) continue;
                const size_t row = cm_row_bytes(matrices[i]->type, (size_t)matrices[i]->n_columns);
                if (row * (size_t)matrices[i]->n_rows > largest_matrix)
                    largest_matrix = row * (size_t)matrices[i]->n_rows;
            }
        }
    p->buffer = cm_alloc(p->ctx, (size_t)largest_matrix, 1, "packing");
    p->out = cm_alloc(p->ctx, (size_t)largest, 1, "packing");
    return p->buffer && p->out ? CALMOE_OK : CALMOE_NO_MEMORY;
}

static calmoe_status pack_one(struct packer *p, int layer, int expert)
{
    const struct weight_source *matrices[3];
    uint64_t                    n_bytes;
    cm_expert_matrices(p->model, layer, expert, matrices);
    const uint64_t layout = cm_packed_layout(matrices, 3, p->isa, &n_bytes);
    const int      failure = cm_pack_expert(matrices, 3, p->isa, p->buffer, p->out);
    if (failure != 0)
        return cm_fail(p->ctx, CALMOE_IO, "cannot read the model's weights: %s",
                       failure == CM_FILE_ENDED ? "the file has become shorter" : strerror(failure));
    return cm_packed_add(p->ctx, &p->writer, layer, expert, layout, p->out, (size_t)n_bytes);
}

static calmoe_status pack_all(struct packer *p)
{
    CM_TRY(cm_packed_begin(p->ctx, &p->writer));
    for (int layer = 0; layer < p->packed.n_layers; layer++) {
        const double done = (double)layer / p->packed.n_layers;
        if (p->options->progress && p->options->progress(p->options->progress_user, done))
            return cm_fail(p->ctx, CALMOE_CANCELLED, "packing was cancelled");
        for (int expert = 0; expert < experts_of(p, layer); expert++) CM_TRY(pack_one(p, layer, expert));
    }
    return cm_packed_end(p->ctx, &p->writer);
}

static calmoe_status pack(struct packer *p, const char *path)
{
    struct whole_file        file;
    const struct model_spec *spec = &p->model->spec;
    if (cm_is_dense_model(spec))
        return cm_fail(p->ctx, CALMOE_UNSUPPORTED, "'%s' has no routed experts to pack", p->model->path);
    p->packed.n_layers = spec->n_layers;
    p->packed.n_experts = spec->most.n_experts;
    memcpy(p->packed.fingerprint, p->model->file_fingerprint, sizeof p->packed.fingerprint);
    p->packed.experts = cm_alloc(p->ctx, (size_t)spec->n_layers * (size_t)spec->most.n_experts,
                                 sizeof *p->packed.experts, "packing");
    if (!p->packed.experts) return CALMOE_NO_MEMORY;
    CM_TRY(open_buffers(p));
    CM_TRY(cm_whole_file_open(p->ctx, path, &file));
    p->writer = (struct packed_writer){.file = &file, .packed = &p->packed};
    calmoe_status status = pack_all(p);
    if (status == CALMOE_OK) status = cm_whole_file_finish(p->ctx, &file);
    cm_whole_file_close(&file);
    return status;
}

static calmoe_status check_model(const calmoe_model *model, const char *path, const char *call)
{
    if (!model || !path)
        return cm_fail(model ? model->ctx : NULL, CALMOE_INVALID_ARGUMENT, "%s: model and path are needed", call);
    if (!model->has_weights)
        return cm_fail(model->ctx, CALMOE_INVALID_ARGUMENT, "'%s' was opened for its vocabulary only", model->path);
    return CALMOE_OK;
}

calmoe_status calmoe_pack(const calmoe_model *model, const char *path, const calmoe_pack_options *given)
{
    calmoe_pack_options options;
    calmoe_pack_options_init(&options);
    CM_TRY(check_model(model, path, "calmoe_pack"));
    struct packer p = {.ctx = model->ctx, .model = model, .options = &options, .isa = cm_isa_best()};
    CM_TRY(cm_options_copy(p.ctx, "calmoe_pack_options", &options, sizeof options, given));
    if (options.isa && !cm_isa_of_name(options.isa, &p.isa))
        return cm_fail(p.ctx, CALMOE_INVALID_ARGUMENT, "isa is '%s', which is no level of instructions", options.isa);
    const calmoe_status status = pack(&p, path);
    cm_free(p.packed.experts);
    cm_free(p.buffer);
    cm_free(p.out);
    return status;
}

calmoe_status calmoe_pack_check(const calmoe_model *model, const char *path)
{
    struct packed_experts packed;
    CM_TRY(check_model(model, path, "calmoe_pack_check"));
    CM_TRY(cm_open_packed(model, path, &packed));
    const calmoe_status status = cm_packed_file_check(model->ctx, &packed);
    cm_packed_file_close(&packed);
    return status;
}
