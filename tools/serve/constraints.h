/* tools/serve/constraints.h - answers that must have a form: "response_format" and what other servers call it; tools
 * that must be called. */
#ifndef TOOLS_SERVE_CONSTRAINTS_H
#define TOOLS_SERVE_CONSTRAINTS_H

#include <calmoe/chat.h>
#include <calmoe/constraint.h>

#include "tools/serve/server.h"

/* "response_format" of the request, or "json_schema", "guided_json" and the like, becomes the job's constraint; none
 * where any text will do. thinks: the answer begins inside a thought, which is free. False and the refusal filled. */
bool cm_constrain_format(struct server *server, const struct sent_value *body, bool thinks, struct job *job,
                         struct refusal *refusal);

/* The answer must be a call of one of the tools, or of the one of that name (NULL: any), in the form in which the
 * model's template writes calls. Where that is no JSON, *is_plain, and calls are the text
 * {"name": "…", "arguments": {…}}, which forced_calls.h reads. */
bool cm_constrain_calls(struct server *server, const struct sent_value *tools, const char *name, bool thinks,
                        struct job *job, bool *is_plain, struct refusal *refusal);

#endif
