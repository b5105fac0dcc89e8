/* tools/chat_history.h - a conversation that is written anew at each turn, by the model's own template: for models
 * whose template has no turns that can be appended one by one. What the session holds already is not read again. */
#ifndef TOOLS_CHAT_HISTORY_H
#define TOOLS_CHAT_HISTORY_H

#include "tools/generation.h"

struct chat_history { /* zeroed = no turn yet */
    struct bytes        messages; /* JSON, with commas between them                 */
    struct bytes        known;    /* int32_t each: the tokens of the session        */
    size_t              n_before; /* bytes of messages before the last user's       */
    size_t              n_fixed;  /* of those that it always begins with            */
    size_t              n_fixed_known; /* bytes of known that are theirs            */
    calmoe_chat_prompt *prompt;   /* the last one                                   */
};

/* Whether the model's template writes conversations. */
bool cm_history_is_possible(const struct front *front);
/* Feeds the session a user's turn: appended, or where generation has a history, what the conversation with this turn
 * has beyond the session's tokens. system may be NULL. FULL: nothing was fed. */
calmoe_status cm_feed_turn(struct generation *generation, const char *system, const char *user);
/* Takes in the answer, whose ids generation kept; false with a sentence. */
bool cm_history_note_answer(struct chat_history *history, const struct generation *generation);
/* The conversation begins with that system text (n bytes), which the session has read. False with a sentence. */
bool cm_history_begin(struct chat_history *history, const calmoe_session *session, const char *system, size_t n);
/* Nothing was said yet. The session is to go back to its first tokens, or is another one that has them: answers how
 * many. */
int  cm_history_reset(struct chat_history *history);
void cm_history_take_back(struct chat_history *history); /* the last turn */
void cm_history_close(struct chat_history *history);     /* and zeroes it */

#endif
