/* runtime/engine/engine_exits.c - early exits of an engine: those that were fitted, read with the engine, and what runs
 * between layers, made when the first session has a rung. */
#include "runtime/documents/exits_file.h"
#include "runtime/engine/handles.h"

calmoe_status cm_engine_read_exits(calmoe_engine *engine)
{
    const struct model_spec *spec = &engine->model->spec;
    struct learned_exits *exits = &engine->learned_exits;
    if (!engine->options.exits) return CALMOE_OK;
    CM_TRY(cm_exits_file_read(engine->ctx, engine->options.exits, exits));
    CM_TRY(cm_learned_exits_fit(engine->ctx, exits, engine->model->fingerprint, spec->n_layers, spec->dim));
    return cm_exit_weights_open(&engine->machine, exits, &engine->exit_weights);
}

calmoe_status cm_engine_need_exits(calmoe_engine *engine)
{
    return engine->exits ? CALMOE_OK
                         : cm_exits_open(engine->ctx, engine->decoder, engine->exit_weights,
                                         engine->model->usable, &engine->exits);
}

const char *cm_engine_exits(const calmoe_engine *engine)
{
    return engine->exit_weights ? engine->learned_exits.fingerprint : "";
}
