/* runtime/engine/lossless.h - lossless self-speculation of one session: drafts by an early exit, verified by the layers
 * behind it, which they join as rows that catch up (runtime/exits/waiting.h). What calmoe_session_next() calls. */
#ifndef RUNTIME_ENGINE_LOSSLESS_H
#define RUNTIME_ENGINE_LOSSLESS_H

#include <calmoe/calmoe.h>

enum { CM_KEPT_STATES = 4 }; /* rows of a round behind which states of fixed size are kept, where there is room */
struct drafts; /* NULL: the session is not lossless */
struct known_drafts; /* an engine's: what its sessions found out about the ways to draft that the last of them used */

/* options->lossless. The session's rung, if it has one, becomes the rule by which drafts leave, and the session is
 * OFF. INVALID_ARGUMENT, NO_MEMORY. */
calmoe_status cm_drafts_open(calmoe_session *session, const calmoe_session_options *options);
/* Fine without. What was found out is left to the engine's next session. */
void          cm_drafts_close(calmoe_session *session);
void          cm_known_drafts_close(struct known_drafts **known); /* NULL inside is fine */
/* For tests: nanoseconds that a token takes by an arm of the controller; 0: never tried. */
double        cm_drafts_cost(const calmoe_session *session, int arm);

/* Reads the one token that is pending, and has its logits: they were verified before, or a round or a step brings them
 * now. */
calmoe_status cm_drafts_read(calmoe_session *session);
/* What was verified ahead is of no use any more. */
void          cm_drafts_forget(calmoe_session *session);

#endif
