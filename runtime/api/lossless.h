/* runtime/api/lossless.h - lossless self-speculation of one session: drafts by an early exit, verified by the layers
 * behind it, which they join as rows that catch up (runtime/forward/waiting.h). What calmoe_session_next() calls. */
#ifndef RUNTIME_API_LOSSLESS_H
#define RUNTIME_API_LOSSLESS_H

#include <calmoe/calmoe.h>

struct drafts; /* NULL: the session is not lossless */

/* options->lossless. The session's rung, if it has one, becomes the rule by which drafts leave, and the session is
 * OFF. INVALID_ARGUMENT, NO_MEMORY. */
calmoe_status cm_drafts_open(calmoe_session *session, const calmoe_session_options *options);
void          cm_drafts_close(struct drafts **drafts); /* NULL inside is fine */

/* Reads the one token that is pending, and has its logits: they were verified before, or a round or a step brings them
 * now. */
calmoe_status cm_drafts_read(calmoe_session *session);
/* What was verified ahead is of no use any more. */
void          cm_drafts_forget(calmoe_session *session);

#endif
