/* runtime/calibrate/lanes.h - many sessions that read or write side by side. */
#ifndef RUNTIME_CALIBRATE_LANES_H
#define RUNTIME_CALIBRATE_LANES_H

#include "runtime/engine/handles.h"

enum { MAX_LANES = 32 };

struct lane {
    calmoe_session *session;
    int             prompt;   /* which it holds, in dealt order           */
    int             n_prompt; /* positions                                */
    const int32_t  *tokens;   /* to be read: (n_tokens)                   */
    int             n_tokens, n_read;
};

struct lanes {
    calmoe_engine *engine;
    int            n_open;    /* sessions                                 */
    int            n;         /* in use                                   */
    const struct step_observer *observer; /* of what is read; NULL = nobody      */
    struct lane    at[MAX_LANES];
};

calmoe_status cm_lanes_open(calmoe_engine *engine, int n, int context, struct lanes *out);
void          cm_lanes_close(struct lanes *lanes);
/* Goes back to the end of each prompt; what comes is an answer under the rung. NULL: OFF. */
void          cm_lanes_begin(struct lanes *lanes, const struct policy_rung *rung);

/* After a step: rows first … first + n of what the lane reads; their logits are its session's rows 0 … n - 1. */
typedef void (*lane_rows_fn)(void *user, const struct lane *lane, int first, int n);
/* Reads all tokens of all lanes, in as few steps as max_rows allows. rows may be NULL. */
calmoe_status cm_lanes_read(struct lanes *lanes, int logits, lane_rows_fn rows, void *user);

#endif
