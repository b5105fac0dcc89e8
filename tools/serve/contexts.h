/* tools/serve/contexts.h - texts that were read once, in files, which requests name: "calmoe": {"context": "manual"}.
 *
 * A file is what "calmoe context" made, or a slot that was saved, in the folder of --slot-save-path. A text of "calmoe
 * context --chat" is the system text of the request's conversation; all else stands before a plain prompt, token
 * for token. The session of a file that was named is kept, and slots begin with copies of it, so that what is in it is
 * not read again. */
#ifndef TOOLS_SERVE_CONTEXTS_H
#define TOOLS_SERVE_CONTEXTS_H

#include "tools/serve/answering.h"

/* Where the file of this name is: in the folder, and nowhere else. field: of the request. False and the refusal
 * filled. */
bool cm_saved_path(const struct server *server, const char *field, const char *name, char *path, size_t capacity,
                   struct refusal *refusal);

/* Where the request named a context: sets its tokens before those of the job's prompt. False and the refusal filled. */
bool cm_prepend_context(struct answering *answering, struct refusal *refusal);
/* The same for a conversation in the form of chat completions, of which body is the object: *written is the one with
 * the context as its first message, or untouched where none was named. */
bool cm_begin_with_context(struct answering *answering, const struct sent_value *body, struct json_writer *written,
                           struct refusal *refusal);

#endif
