/* runtime/engine/lossless_parts.h - drafts of a session inside: for lossless.c, draft_choice.c and draft_round.c. */
#ifndef RUNTIME_ENGINE_LOSSLESS_PARTS_H
#define RUNTIME_ENGINE_LOSSLESS_PARTS_H

#include "runtime/engine/handles.h"
#include "runtime/engine/lookup.h"
#include "runtime/engine/speculation.h"

enum { MAX_DRAFTS = 4, MAX_ROWS = LOOKUP_MOST + 1, LOOKED_UP = SPECULATION_MAX_ARMS };

struct way { /* an arm of the controller */
    int                kind; /* CALMOE_DRAFTS_BY_*        */
    struct policy_rung rung; /* of exits; zeros of others */
    int                n_drafts;
};

struct draft_counts {
    uint64_t rounds, drafted, accepted;
};

struct drafts {
    struct speculation control;
    bool               is_always;
    int                n_ways;
    struct way         ways[SPECULATION_MAX_ARMS];
    /* the last round: row i of the step's logits is of position first + i */
    uint64_t step;
    int      first, n_rows, n_read;
    int32_t  tokens[MAX_ROWS]; /* row i's                                              */
    int      layers[MAX_ROWS]; /* that token i was drafted from, 0: not by layers; i > 0 */
    int      kind;             /* CALMOE_DRAFTS_BY_*, of the last round that had drafts */
    int      arm;              /* of the controller, SPECULATION_PLAIN, or LOOKED_UP   */
    bool     is_open;          /* its end is not noted yet                             */
    uint64_t start_ns;
    double   ns;               /* that it took, with what is read again behind it      */
    uint64_t n_plain, n_turns;
    struct draft_counts by[CALMOE_N_DRAFT_KINDS];
    uint64_t *drafted, *accepted;    /* (n_layers) by the layers that were run */
    int      most_looked_up;         /* that a step has room for               */
    struct lookup lookup;
};

/* ---- draft_choice.c ---- */

/* The last round is over. How the next one drafts: at most how many tokens, 0 = none; *way NULL: they are looked up,
 * and stand in its tokens. */
int cm_drafts_choose(calmoe_session *session, const struct way **way);

/* ---- draft_round.c ---- */

/* The pending token and its drafts, chosen so, are run and verified. */
calmoe_status cm_round_run(calmoe_session *session, const struct way *way, int n_drafts);
/* The next row of the round is what a plain step would have brought. */
void          cm_round_take(calmoe_session *session);

#endif
