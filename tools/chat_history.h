/* tools/chat_history.h - a conversation that the model's own template writes as a whole at each turn. This is for
 * models whose template does not allow appending turn by turn. The tokens that the session has already are not read
 * again. */
#ifndef TOOLS_CHAT_HISTORY_H
#define TOOLS_CHAT_HISTORY_H

#include "tools/generation.h"

struct chat_history { /* zeroed: there was no turn yet */
    struct bytes        messages; /* the messages as JSON, separated by commas      */
    struct bytes        known;    /* int32_t each: the tokens that the session has  */
    size_t              n_before; /* bytes of messages before the last user's message */
    size_t              n_fixed;  /* bytes of messages with which every conversation begins (/new keeps them) */
    size_t              n_fixed_known; /* bytes of known that belong to them        */
    calmoe_chat_prompt *prompt;   /* the last prompt                                */
};

/* Whether the model's template can write conversations. */
bool cm_history_is_possible(const struct front *front);
/* Feeds a user's turn to the session. Without a history the turn is appended; if generation has a history, the whole
 * conversation is written, and the session is fed what it does not have yet. system may be NULL. FULL: nothing was
 * fed. */
calmoe_status cm_feed_turn(struct generation *generation, const char *system, const char *user);
/* Adds the answer, whose ids generation has kept, to the history; false with a sentence. */
bool cm_history_note_answer(struct chat_history *history, const struct generation *generation);
/* Declares that conversations begin with this system text (n bytes), which the session has read already. False with a
 * sentence. */
bool cm_history_begin(struct chat_history *history, const calmoe_session *session, const char *system, size_t n);
/* Forgets all turns. Returns the number of tokens that the session is to keep (or that a new session already has),
 * those of the fixed beginning. */
int  cm_history_reset(struct chat_history *history);
void cm_history_take_back(struct chat_history *history); /* removes the last turn */
void cm_history_close(struct chat_history *history);     /* also zeroes it */

#endif
