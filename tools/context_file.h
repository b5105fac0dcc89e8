/* tools/context_file.h - texts that were read once, and are asked about again and again: sessions in files that know
 * their source. */
#ifndef TOOLS_CONTEXT_FILE_H
#define TOOLS_CONTEXT_FILE_H

#include "tools/generation.h"

/* Feeds an empty session the text (n bytes): as it is, with the tokens that flags ask for (tokenizer.h), or, is_system,
 * as the system text of a conversation, up to where what any user says begins. Notes it as the session's source by its
 * name. False with a sentence. */
bool cm_context_feed(const struct front *front, calmoe_session *session, const char *name, const struct bytes *text,
                     bool is_system, unsigned flags);

/* The session of generation comes of the file at `path`: says what is in it, and makes it what conversations begin with
 * where that is wanted; generation has a history then. False with a sentence: it is no context, or one of the other
 * kind. */
bool cm_context_begin(struct generation *generation, const char *path, bool converses);

/* Answers each line of the file behind the context, and nothing else: by a fork of the session. system NULL. False with
 * a sentence; *was_interrupted: there are further lines. */
bool cm_context_answer_lines(struct generation *generation, const char *path, bool converses, bool *was_interrupted);

#endif
