/* runtime/engine/engine_disk.c - what an engine's options say about experts on disk, for its weights. */
#include <string.h>

#include "base/limits.h"
#include "base/memory.h"
#include "runtime/documents/packed_file.h"
#include "runtime/documents/profile_file.h"
#include "runtime/engine/handles.h"

static calmoe_status read_uses(calmoe_engine *engine, uint64_t **uses)
{
    const struct model_spec *spec = &engine->model->spec;
    calmoe_context          *ctx = engine->ctx;
    struct profile           profile;
    CM_TRY(cm_profile_read(ctx, engine->options.memory_profile, &profile));
    calmoe_status status = CALMOE_OK;
    if (strcmp(profile.fingerprint, engine->model->fingerprint) != 0 || profile.n_layers != spec->n_layers ||
        profile.n_experts != spec->most.n_experts)
        status = cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "the profile is of the model %s; this one's fingerprint is %s",
                         profile.fingerprint, engine->model->fingerprint);
    if (status == CALMOE_OK) {
        *uses = cm_alloc(ctx, (size_t)spec->n_layers * (size_t)spec->most.n_experts, sizeof **uses, "a profile");
        status = *uses ? cm_profile_counts(ctx, &profile, NULL, *uses) : CALMOE_NO_MEMORY;
    }
    cm_profile_close(&profile);
    return status;
}

/* Whether reads go past the system's cache: it would keep little of a file that is larger than what is left for it. */
static bool is_direct(const calmoe_engine *engine)
{
    const uint64_t     limit = engine->options.memory_limit; /* 0: the plan streams */
    struct memory_room room;
    if (engine->options.disk_reads != CALMOE_DISK_AUTO) return engine->options.disk_reads == CALMOE_DISK_DIRECT;
    cm_limits_room(&room);
    if (room.room == UINT64_MAX) return false;
    return room.room < limit || room.room - limit < engine->model->file->n_file_bytes;
}

void cm_expert_matrices(const calmoe_model *model, int layer, int expert, const struct weight_source *matrices[3])
{
    const struct expert_sources *sources = &model->tensors.layers[layer].banks[BANK_ROUTED].experts[expert];
    const enum nonlinearity      kind = model->spec.layers[layer].ffn.branches[BANK_ROUTED].nonlinearity;
    matrices[0] = cm_nonlinearities[kind].has_gate ? &sources->gate : NULL;
    matrices[1] = &sources->up;
    matrices[2] = &sources->down;
}

calmoe_status cm_open_packed(const calmoe_model *model, const char *path, struct packed_experts *out)
{
    CM_TRY(cm_packed_file_open(model->ctx, path, out));
    if (strcmp(out->fingerprint, model->file_fingerprint) == 0 && out->n_layers == model->spec.n_layers &&
        out->n_experts == model->spec.most.n_experts)
        return CALMOE_OK;
    const calmoe_status status =
        cm_fail(model->ctx, CALMOE_INVALID_ARGUMENT,
                "'%s' has packed experts of the model %s; this one's fingerprint is %s", path, out->fingerprint,
                model->file_fingerprint);
    cm_packed_file_close(out);
    return status;
}

/* Are all experts there, as this machine's kernels read them? */
static calmoe_status check_packing(const calmoe_engine *engine)
{
    const struct model_spec *spec = &engine->model->spec;
    for (int layer = 0; layer < spec->n_layers; layer++)
        for (int expert = 0; expert < spec->layers[layer].ffn.router.n_experts; expert++) {
            const struct packed_expert *found = cm_packed_expert(&engine->packed, layer, expert);
            const struct weight_source *matrices[3];
            uint64_t                    n_bytes;
            cm_expert_matrices(engine->model, layer, expert, matrices);
            const uint64_t layout = cm_packed_layout(matrices, 3, engine->machine.isa, &n_bytes);
            if (found->n_bytes == n_bytes && found->layout == layout) continue;
            return cm_fail(engine->ctx, CALMOE_INVALID_ARGUMENT,
                           "'%s' is packed for other kernels than those of %s; calmoe pack writes it anew",
                           engine->options.packed, cm_isa_name(engine->machine.isa));
        }
    return CALMOE_OK;
}

static calmoe_status open_packed(calmoe_engine *engine)
{
    const char *path = engine->options.packed;
    if (engine->topology.n_nodes > 1)
        return cm_fail(engine->ctx, CALMOE_UNSUPPORTED, "packed experts are for one memory node; here are %d nodes",
                       engine->topology.n_nodes);
    CM_TRY(cm_open_packed(engine->model, path, &engine->packed));
    return check_packing(engine);
}

calmoe_status cm_engine_disk_options(calmoe_engine *engine, struct weights_options *out, uint64_t **uses)
{
    const calmoe_engine_options *options = &engine->options;
    *uses = NULL;
    if (options->disk_reads < CALMOE_DISK_AUTO || options->disk_reads > CALMOE_DISK_DIRECT)
        return cm_fail(engine->ctx, CALMOE_INVALID_ARGUMENT, "disk_reads is %d; %d to %d is wanted",
                       options->disk_reads, CALMOE_DISK_AUTO, CALMOE_DISK_DIRECT);
    if (options->packed) {
        CM_TRY(open_packed(engine));
        out->packed = &engine->packed;
    }
    if (options->memory_limit == 0 && cm_plan_n_streamed(&engine->plan, -1) == 0) return CALMOE_OK;
    if (cm_model_sharing(engine->model) && engine->shares.own > 0 && !options->packed)
        return cm_fail(engine->ctx, CALMOE_UNSUPPORTED,
                       "experts are read from the model's file or from packed ones when they are needed; this rank has "
                       "no file, since rank 0 shares its own");
    if (options->memory_profile) CM_TRY(read_uses(engine, uses));
    out->memory_limit = options->memory_limit;
    out->uses = *uses;
    out->is_direct = is_direct(engine);
    out->looks_ahead = !options->no_lookahead;
    return CALMOE_OK;
}
