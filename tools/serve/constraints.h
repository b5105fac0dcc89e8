/* tools/serve/constraints.h - makes constraints for answers that must have a form: because of "response_format", or
 * what other servers call it, or because a tool must be called. */
#ifndef TOOLS_SERVE_CONSTRAINTS_H
#define TOOLS_SERVE_CONSTRAINTS_H

#include <calmoe/chat.h>
#include <calmoe/constraint.h>

#include "tools/serve/server.h"

/* Makes the job's constraint from the request's "response_format", "json_schema", "guided_json" and the like; none if
 * any text will do. thinks: the answer begins inside a thought, which is not constrained. False, and the refusal
 * filled. */
bool cm_constrain_format(struct server *server, const struct sent_value *body, bool thinks, struct job *job,
                         struct refusal *refusal);

/* Makes the constraint for an answer that must be a call of one of the tools, or of the tool `name` unless that is
 * NULL, in the form in which the model's template writes calls. If that form is not JSON, *is_plain becomes true, and
 * calls are written as the text {"name": "…", "arguments": {…}}, which forced_calls.h reads. */
bool cm_constrain_calls(struct server *server, const struct sent_value *tools, const char *name, bool thinks,
                        struct job *job, bool *is_plain, struct refusal *refusal);

#endif
