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

/* What a session's drafter has read: draft_reader.c. */
struct draft_reader {
    enum drafter_kind     kind;
    struct drafter       *drafter;
    struct sequence_state state;
    struct sequence       sequence;
    int                   begin, shift;
    int                   n_read;  /* rows that state is behind                                            */
    int                   n_true;  /* first rows of which that is what the session's tokens gave           */
    int32_t              *tokens;  /* (context), of rows                                                   */
    float                *logits;  /* (vocabulary of the engine's model), where the drafter's is smaller   */
    /* of a further block */
    int                   first, end, n_kept; /* positions whose states are kept, n_kept of them at most    */
    float                *states;             /* (n_kept + 1, dim), by position modulo n_kept, and own      */
    float                *own;                /* (dim) that its last row gave                               */
};

/* Whether it reads the model's states beside tokens. */
static inline bool cm_reads_states(const struct drafter *drafter) { return drafter->spec->first_block > 0; }

#endif
