/* followers.c - rank 0 tells the others: it writes down what happens to its sequences, in words, and hands all of them
 * over with the step that comes next. So a token costs one message. */
#include <string.h>

#include "base/memory.h"
#include "runtime/engine/engine_ranks.h"

struct followers {
    struct calmoe_context *ctx;
    struct ranks          *ranks;
    int                    next_id;
    int32_t               *words;  /* (n) that are not told yet */
    size_t                 n, capacity;
    bool                   is_full; /* there was no memory for words: the others know too little */
};

static void write(struct followers *f, const int32_t *words, size_t n)
{
    if (f->n + n > f->capacity) {
        const size_t capacity = 2 * f->capacity > f->n + n ? 2 * f->capacity : f->n + n;
        const calmoe_status status =
            cm_grow(f->ctx, &f->words, f->n, capacity, sizeof *words, "words for other ranks");
        f->is_full |= status != CALMOE_OK;
        if (status != CALMOE_OK) return;
        f->capacity = capacity;
    }
    memcpy(f->words + f->n, words, n * sizeof *words);
    f->n += n;
}

static void hear_event(void *user, enum state_event event, int id, int value, int from_id)
{
    write(user, (const int32_t[WORDS_OF_EVENT]){(int32_t)event, id, value, from_id}, WORDS_OF_EVENT);
}

static calmoe_status tell(struct followers *f)
{
    if (f->is_full)
        return cm_fail(f->ctx, CALMOE_NO_MEMORY, "the other ranks could not be told of all that was done");
    const calmoe_status status = cm_ranks_tell(f->ranks, f->words, f->n * sizeof *f->words);
    f->n = 0;
    return status;
}

calmoe_status cm_followers_open(calmoe_engine *engine, struct followers **out)
{
    enum { FIRST_WORDS = 4096 };
    struct followers *f = *out = cm_alloc(engine->ctx, 1, sizeof *f, "other ranks");
    if (!f) return CALMOE_NO_MEMORY;
    *f = (struct followers){.ctx = engine->ctx, .ranks = engine->options.ranks->ranks, .next_id = 1};
    f->words = cm_alloc(engine->ctx, FIRST_WORDS, sizeof *f->words, "words for other ranks");
    if (!f->words) return CALMOE_NO_MEMORY;
    f->capacity = FIRST_WORDS;
    write(f, (const int32_t[WORDS_OF_EVENT]){STATE_TOUCH}, WORDS_OF_EVENT); /* of no sequence: a first sign of life */
    cm_ranks_hold(f->ranks);
    const calmoe_status status = tell(f);
    cm_ranks_let_go(f->ranks);
    return status;
}

void cm_followers_close(struct followers **followers)
{
    struct followers *f = *followers;
    if (!f) return;
    write(f, (const int32_t[WORDS_OF_EVENT]){WORD_END}, WORDS_OF_EVENT);
    cm_ranks_hold(f->ranks);
    (void)tell(f);
    cm_ranks_let_go(f->ranks);
    cm_ranks_rest(f->ranks);
    cm_free(f->words);
    cm_free(f);
    *followers = NULL;
}

void cm_followers_add(struct followers *f, struct sequence_state *state, int n_positions)
{
    state->listener = (struct state_listener){hear_event, f, f->next_id++};
    write(f, (const int32_t[WORDS_OF_EVENT]){WORD_OPEN, state->listener.id, n_positions}, WORDS_OF_EVENT);
}

calmoe_status cm_followers_begin_step(struct followers *f, const struct step *step)
{
    write(f, (const int32_t[WORDS_OF_EVENT]){WORD_STEP, step->n_rows, step->n_logits}, WORDS_OF_EVENT);
    for (int r = 0; r < step->n_rows; r++) {
        const struct row_request *asked = &step->rows[r].asked;
        const int32_t row[WORDS_OF_ROW] = {asked->sequence->state->listener.id, asked->position, asked->token,
                                           asked->logits_row};
        write(f, row, WORDS_OF_ROW);
    }
    cm_ranks_hold(f->ranks);
    const calmoe_status status = tell(f);
    if (status != CALMOE_OK) cm_ranks_let_go(f->ranks);
    return status;
}

void cm_followers_end_step(struct followers *f) { cm_ranks_let_go(f->ranks); }
