/* tools/serve/contexts.h - contexts are texts that were read once and saved in files; requests name them:
 * "calmoe": {"context": "manual"}.
 *
 * Such a file is in the folder of --slot-save-path and was made by "calmoe context" or by saving a slot. A text from
 * "calmoe context --chat" becomes the system text of the request's conversation; everything else stands before a plain
 * prompt, token for token. The session of a named file is kept in memory, and slots begin with copies of it, so that it
 * is not read again. */
#ifndef TOOLS_SERVE_CONTEXTS_H
#define TOOLS_SERVE_CONTEXTS_H

#include "tools/serve/answering.h"

/* The path of the file with this name, which is inside the folder and nowhere else. field: the member of the request
 * that names it. False, and the refusal filled. */
bool cm_saved_path(const struct server *server, const char *field, const char *name, char *path, size_t capacity,
                   struct refusal *refusal);

/* If the request names a context, puts the context's tokens before those of the job's prompt. False, and the refusal
 * filled. */
bool cm_prepend_context(struct answering *answering, struct refusal *refusal);
/* The same for a conversation in the form of chat completions, whose object is body: *written becomes the conversation
 * with the context as its first message; it is not touched if the request names no context. */
bool cm_begin_with_context(struct answering *answering, const struct sent_value *body, struct json_writer *written,
                           struct refusal *refusal);

#endif
