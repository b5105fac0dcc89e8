/* runtime/engine/draft_choice.c - how the next round drafts: what followed where the last tokens stood before, an arm
 * of the controller, or not at all; by what the last round gave and took. */
#include "runtime/engine/lossless_parts.h"

/* Drafts that the context has room for, and that the answer may still take. */
static int most_drafts(const calmoe_session *session)
{
    const int room = session->context - session->n_positions - 1;
    const int left = session->answer.max_new - session->answer.n_new - 1;
    return session->answer.max_new > 0 && left < room ? left : room;
}

static int least(int a, int b) { return a < b ? a : b; }

/* Of those that were looked up, the ones before one that ends the answer. */
static int before_the_end(const calmoe_session *session, int n)
{
    const struct tokenizer *tokenizer = session->engine->model->tokenizer;
    for (int i = 1; i <= n && !session->ignores_end; i++)
        if (cm_token_ends_generation(tokenizer, session->drafts->tokens[i])) return i - 1;
    return n;
}

int cm_drafts_choose(calmoe_session *session, const struct way **way)
{
    struct drafts *drafts = session->drafts;
    struct speculation *control = &drafts->control;
    const int  most = most_drafts(session);
    const bool was_open = drafts->is_open, was_looked_up = drafts->arm == LOOKED_UP;
    double     gain = 1.0;
    drafts->is_open = false;
    if (was_open && !was_looked_up) cm_speculation_note(control, drafts->arm, drafts->n_read, drafts->ns);
    if (was_open && was_looked_up) gain = cm_speculation_note_other(control, drafts->n_read, drafts->ns);
    const bool may_look = drafts->is_always ? drafts->n_ways == 0 || drafts->kind != CALMOE_DRAFTS_BY_LOOKUP
                                            : cm_speculation_may(control);
    if (was_open && was_looked_up) cm_lookup_note(&drafts->lookup, drafts->n_rows - 1, drafts->n_read - 1, gain);
    const int n_found = cm_lookup_find(&drafts->lookup, session->tokens, session->n_known, drafts->tokens + 1,
                                       may_look ? least(most, drafts->most_looked_up) : 0);
    const int n_looked_up = before_the_end(session, n_found);
    *way = NULL;
    drafts->arm = LOOKED_UP;
    if (n_looked_up > 0) return n_looked_up;
    if (drafts->is_always && drafts->n_ways > 0) drafts->arm = (int)(drafts->n_turns++ % (uint64_t)drafts->n_ways);
    else drafts->arm = cm_speculation_choose(control);
    if (drafts->arm == SPECULATION_PLAIN) return 0;
    const int n_drafts = least(most, drafts->ways[drafts->arm].n_drafts);
    if (n_drafts > 0) *way = &drafts->ways[drafts->arm];
    else drafts->arm = SPECULATION_PLAIN; /* the context is full, or the answer long enough */
    return n_drafts;
}
