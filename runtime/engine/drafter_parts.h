/* runtime/engine/drafter_parts.h - an engine's drafter inside: for drafter.c and draft_reader.c. */
#ifndef RUNTIME_ENGINE_DRAFTER_PARTS_H
#define RUNTIME_ENGINE_DRAFTER_PARTS_H

#include "runtime/engine/handles.h"
#include "runtime/forward/between.h"

struct drafter {
    const struct model_spec *spec;
    struct plan              plan;
    struct machine           machine;  /* the engine's, with that plan */
    struct weights          *weights;
    struct decoder          *decoder;
    int                      max_rows;
    struct row              *rows;     /* (max_rows) of its steps      */
};

/* Whether it reads the model's states beside tokens. */
static inline bool cm_reads_states(const struct drafter *drafter) { return drafter->spec->first_block > 0; }

#endif
