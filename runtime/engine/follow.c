/* follow.c - the ranks but 0 have sequences as rank 0 has sessions, and run its steps, as it tells them. */
#include <assert.h>

#include <calmoe/ranks.h>

#include "base/memory.h"
#include "runtime/engine/engine_ranks.h"

struct followed { /* a sequence of rank 0's */
    int                   id;
    struct sequence_state state;
    struct sequence       sequence;
    struct followed      *next;
};

struct follower {
    calmoe_engine   *engine;
    struct followed *sequences;
    bool             is_over;
};

static struct followed *find(const struct follower *f, int id)
{
    struct followed *at = f->sequences;
    while (at && at->id != id) at = at->next;
    return at;
}

static calmoe_status open_sequence(struct follower *f, int id, int n_positions)
{
    calmoe_engine   *engine = f->engine;
    struct followed *it = cm_alloc(engine->ctx, 1, sizeof *it, "a sequence");
    if (!it) return CALMOE_NO_MEMORY;
    it->id = id;
    it->sequence = (struct sequence){.state = &it->state, .owner = it};
    it->next = f->sequences;
    f->sequences = it;
    const struct state_place place = cm_engine_state_place(engine, n_positions);
    return cm_sequence_state_open(&engine->machine, &engine->model->spec, &place, &it->state);
}

static void close_sequence(struct follower *f, int id)
{
    struct followed **at = &f->sequences;
    while (*at && (*at)->id != id) at = &(*at)->next;
    struct followed *it = *at;
    if (!it) return;
    *at = it->next;
    cm_sequence_state_close(&it->state);
    cm_free(it);
}

static calmoe_status do_event(struct follower *f, const int32_t *words)
{
    struct followed       *it = find(f, words[1]);
    const struct followed *from = find(f, words[3]);
    if (words[0] == WORD_OPEN) return open_sequence(f, words[1], words[2]);
    if (words[0] == WORD_END) f->is_over = true;
    if (!it) return CALMOE_OK;
    switch (words[0]) {
    case STATE_CLOSE: close_sequence(f, words[1]); break;
    case STATE_NOTE: cm_sequence_state_note(&it->state, words[2]); break;
    case STATE_SNAPSHOT: return cm_sequence_state_snapshot(&it->state, words[2]);
    case STATE_TOUCH: cm_sequence_state_touch(&it->state, words[2]); break;
    case STATE_LOSE: cm_sequence_state_lose(&it->state); break;
    case STATE_REWIND: cm_sequence_state_rewind(&it->state, words[2]); break;
    case STATE_COPY:
        if (from) cm_sequence_state_copy(&from->state, words[2], &it->state, &(int){0}); /* nothing is shared */
        break;
    default: break;
    }
    return CALMOE_OK;
}

/* A step that was interrupted is no failure: what becomes of its sequences is told. */
static calmoe_status do_step(struct follower *f, const int32_t *head, const int32_t *rows)
{
    calmoe_engine         *engine = f->engine;
    const struct followed *of = NULL;
    CM_TRY(cm_decoder_reserve_logits(engine->decoder, head[2]));
    cm_step_begin(engine);
    engine->step.n_rows = head[1];
    engine->step.n_logits = head[2];
    for (int r = 0; r < head[1]; r++, rows += WORDS_OF_ROW) {
        if (!of || of->id != rows[0]) of = find(f, rows[0]);
        assert(of);
        engine->rows[r] = (struct row){
            .asked = {.sequence = &of->sequence, .position = rows[1], .token = rows[2], .logits_row = rows[3]}};
    }
    const calmoe_status status = cm_step_run(engine, NULL);
    return status == CALMOE_CANCELLED ? CALMOE_OK : status;
}

static calmoe_status do_all(struct follower *f, const int32_t *words, size_t n)
{
    const int32_t *const end = words + n;
    while (words < end && !f->is_over) {
        const int32_t *const head = words;
        words += WORDS_OF_EVENT;
        if (head[0] != WORD_STEP) {
            CM_TRY(do_event(f, head));
            continue;
        }
        words += (size_t)head[1] * WORDS_OF_ROW;
        CM_TRY(do_step(f, head, head + WORDS_OF_EVENT));
    }
    return CALMOE_OK;
}

calmoe_status calmoe_engine_follow(calmoe_engine *engine)
{
    if (!engine || !engine->machine.exchange || engine->shares.own == 0)
        return cm_fail(engine ? engine->ctx : NULL, CALMOE_INVALID_ARGUMENT,
                       "calmoe_engine_follow: the engine of a rank behind rank 0 is needed");
    struct follower f = {.engine = engine};
    calmoe_status   status = CALMOE_OK;
    while (status == CALMOE_OK && !f.is_over) {
        const void *words;
        size_t      n_bytes;
        status = cm_ranks_hear(engine->options.ranks->ranks, &words, &n_bytes);
        if (status == CALMOE_OK) status = do_all(&f, words, n_bytes / sizeof(int32_t));
    }
    while (f.sequences) close_sequence(&f, f.sequences->id);
    return status;
}
