/* runtime/engine/engine_disk.c - what an engine's options say about experts on disk, for its weights. */
#include <string.h>

#include "base/limits.h"
#include "base/memory.h"
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
    const uint64_t     limit = engine->options.memory_limit;
    struct memory_room room;
    if (engine->options.disk_reads != CALMOE_DISK_AUTO) return engine->options.disk_reads == CALMOE_DISK_DIRECT;
    cm_limits_room(&room);
    if (room.room == UINT64_MAX) return false;
    return room.room < limit || room.room - limit < engine->model->file->n_file_bytes;
}

calmoe_status cm_engine_disk_options(calmoe_engine *engine, struct weights_options *out, uint64_t **uses)
{
    const calmoe_engine_options *options = &engine->options;
    *uses = NULL;
    if (options->disk_reads < CALMOE_DISK_AUTO || options->disk_reads > CALMOE_DISK_DIRECT)
        return cm_fail(engine->ctx, CALMOE_INVALID_ARGUMENT, "disk_reads is %d; %d to %d is wanted",
                       options->disk_reads, CALMOE_DISK_AUTO, CALMOE_DISK_DIRECT);
    if (options->memory_limit == 0) return CALMOE_OK;
    if (engine->shares.n_ranks > 1)
        return cm_fail(engine->ctx, CALMOE_UNSUPPORTED, "a memory limit works on one rank only; these are %d",
                       engine->shares.n_ranks);
    if (options->memory_profile) CM_TRY(read_uses(engine, uses));
    out->memory_limit = options->memory_limit;
    out->uses = *uses;
    out->is_direct = is_direct(engine);
    out->looks_ahead = !options->no_lookahead;
    return CALMOE_OK;
}
