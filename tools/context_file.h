/* tools/context_file.h - texts that are read once and then asked about many times: saved sessions that know which text
 * they come from. */
#ifndef TOOLS_CONTEXT_FILE_H
#define TOOLS_CONTEXT_FILE_H

#include "tools/generation.h"

/* Feeds the text (n bytes) to an empty session. If is_system, it becomes the system text of a conversation, up to where
 * the user's first words begin; else it is read as it is, with the tokens that flags ask for (tokenizer.h). The text
 * and its name become the session's source. False with a sentence. */
bool cm_context_feed(const struct front *front, calmoe_session *session, const char *name, const struct bytes *text,
                     bool is_system, unsigned flags);

/* To be called after generation's session was restored from the file at `path`: prints what is in it. If conversations
 * are wanted, the text becomes what they begin with, and generation gets a history. False with a sentence: the file
 * holds no context, or one of the other kind. */
bool cm_context_begin(struct generation *generation, const char *path, bool converses);

/* Answers each line of the file as if it alone followed the context, each with a fork of the session. system is NULL.
 * False with a sentence; *was_interrupted: lines are left. */
bool cm_context_answer_lines(struct generation *generation, const char *path, bool converses, bool *was_interrupted);

#endif
