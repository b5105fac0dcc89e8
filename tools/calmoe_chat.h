/* tools/calmoe_chat.h - `calmoe run --chat`: a conversation in which each line is a turn. */
#ifndef TOOLS_CALMOE_CHAT_H
#define TOOLS_CALMOE_CHAT_H

#include "tools/generation.h"

/* Reads turns from standard input until its end, /quit, or Ctrl-C at the prompt. Returns the exit status. system may be
 * NULL. */
int cm_chat(struct generation *generation, const char *system);

#endif
