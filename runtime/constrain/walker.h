/* runtime/constrain/walker.h - one answer's way through a program: which tokens may come next, and where one leads.
 *
 * Where the answer stands is a state: all places in the program that it may be at, each with its stack. States that
 * were met are kept, numbered, with the number that each byte leads to, so most steps are a look into a table; where
 * the table is full it is begun anew. What is allowed does not depend on what the table holds. Where a state has
 * more places than there is room for, the rest is left out: less is allowed then, never something wrong, and each
 * place can be finished by itself. */
#ifndef RUNTIME_CONSTRAIN_WALKER_H
#define RUNTIME_CONSTRAIN_WALKER_H

#include "runtime/constrain/program.h"
#include "runtime/constrain/token_trie.h"

struct walker; /* one answer's; serves one thread at a time */

/* At the beginning. n_vocab: tokens of a mask, at least the vocabulary's. Borrows program and trie; nothing is
 * allocated afterwards. NO_MEMORY. */
calmoe_status cm_walker_open(struct calmoe_context *ctx, const struct program *program, const struct token_trie *trie,
                             int32_t n_vocab, struct walker **out);
void          cm_walker_close(struct walker **walker); /* sets it to NULL; NULL is fine */

void cm_walker_begin(struct walker *walker);
/* The answer goes on with a token. False: it does not fit, and from then on nothing does, until it begins anew. */
bool cm_walker_accept(struct walker *walker, int32_t token);
/* Bit `id % 64` of element `id / 64`: may the token come? Tokens that end the answer may where it may end. Borrowed
 * until the next call. */
const uint64_t *cm_walker_mask(struct walker *walker);
/* Is the text complete, and can nothing be added to it? */
bool cm_walker_is_complete(const struct walker *walker);

/* Notes where the answer stands; one such place is kept. */
void cm_walker_mark(struct walker *walker);
void cm_walker_return(struct walker *walker);
/* Stands where another one of the same program does. */
void cm_walker_copy(struct walker *walker, const struct walker *from);

#endif
