/* runtime/engine/chunks.c - one step that reads chunks of sessions' tokens, from what it needs to what is kept. */
#include "runtime/engine/handles.h"

calmoe_status cm_chunks_run(calmoe_engine *engine, const calmoe_chunk *chunks, int n_chunks,
                            const struct step_observer *observers)
{
    CM_TRY(cm_chunks_make_ready(engine, chunks, n_chunks));
    engine->n_steps++;
    cm_step_begin(engine);
    for (int i = 0; i < n_chunks; i++) cm_step_add_chunk(engine, &chunks[i]);
    const calmoe_status status = engine->step.n_rows > 0 ? cm_step_run(engine, observers) : CALMOE_OK;
    cm_chunks_keep(engine, chunks, n_chunks, status);
    return status;
}
