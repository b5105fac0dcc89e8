/* runtime/engine/lookup.h - drafts that cost nothing: where the last tokens of a sequence stood before, what followed
 * them there is likely to follow here (prompt lookup decoding, Saxena 2023; LLMA, arXiv 2304.04487). Answers that quote
 * their prompt, or change a few words of it, come mostly of that.
 *
 * Pure: it is told what rounds gave, and says how long the next draft may be. A round verifies all drafted tokens in
 * one step, which costs more than a plain one, so drafts grow while all of them are accepted, shrink to what was, and
 * pause for longer and longer where they lose. */
#ifndef RUNTIME_ENGINE_LOOKUP_H
#define RUNTIME_ENGINE_LOOKUP_H

#include <stdint.h>

enum { LOOKUP_MOST = 15, LOOKUP_N = 3, LOOKUP_TABLE = 1 << 14 };

struct lookup {
    int32_t behind[LOOKUP_TABLE]; /* by a hash of LOOKUP_N tokens: the place behind where they stood last; 0: none */
    int     n_seen;               /* places whose tokens are in the table                                          */
    int     n_next;               /* tokens that the next draft may have                                           */
    int     n_pause, n_paused;    /* drafts that are left out after a loss; of them, those that were               */
};

void cm_lookup_begin(struct lookup *lookup); /* of zeroed memory */

/* tokens (n): the sequence so far. Writes at most `most` tokens that may follow it to draft, and answers how many. It
 * remembers what it saw: the first tokens must be those of the last call, unless cm_lookup_forget() was told. */
int  cm_lookup_find(struct lookup *lookup, const int32_t *tokens, int n, int32_t *draft, int most);
/* Tokens from place n on are not what they were. */
void cm_lookup_forget(struct lookup *lookup, int n);

/* A round had so many drafts, of which so many were accepted, and gave `gain` times the tokens a second of plain
 * steps. */
void cm_lookup_note(struct lookup *lookup, int n_drafts, int n_accepted, double gain);

#endif
