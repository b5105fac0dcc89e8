/* followers.c - rank 0 tells the others: it writes down what happens to its sequences, in words, and hands all of them
 * over with the step that comes next. So a token costs one message.
 *
 * Rows that wait (exits/waiting.h) are not followed event by event: before a step, the others are told how many are
 * left of those that each of its sequences had. */
#include <string.h>

#include "base/memory.h"
#include "runtime/engine/adapters.h"
#include "runtime/engine/drafter_parts.h"
#include "runtime/engine/followers.h"
#include "runtime/engine/rung_words.h"

enum { MANY_RUNGS = 8 }; /* that the others know: from then on a new one takes the place of one that is out of use */

struct told_rung {
    int32_t *words; /* (n) */
    size_t   n;
    uint64_t step;  /* the last that had it */
};

struct followers {
    struct calmoe_context *ctx;
    struct ranks          *ranks;
    int                    n_layers;
    int                    next_id;
    int32_t               *words;  /* (n) that are not told yet */
    size_t                 n, capacity;
    bool                   is_full; /* there was no memory for words: the others know too little */
    int                    n_rungs, rungs_capacity;
    struct told_rung      *rungs;   /* (n_rungs) that the others know; number i has the id i + 1 */
    uint64_t               n_steps;
    int32_t               *written; /* scratch: a rung's words */
};

static bool has_room(struct followers *f, size_t n)
{
    if (f->n + n > f->capacity) {
        const size_t capacity = 2 * f->capacity > f->n + n ? 2 * f->capacity : f->n + n;
        const calmoe_status status =
            cm_grow(f->ctx, &f->words, f->n, capacity, sizeof *f->words, "words for other ranks");
        f->is_full |= status != CALMOE_OK;
        if (status != CALMOE_OK) return false;
        f->capacity = capacity;
    }
    return true;
}

static void write(struct followers *f, const void *words, size_t n)
{
    if (!has_room(f, n)) return;
    memcpy(f->words + f->n, words, n * sizeof *f->words);
    f->n += n;
}

static void write_told(struct followers *f, int word, int id, int value, int other)
{
    write(f, &(struct told){word, id, value, other}, WORDS_TOLD);
}

static void hear_event(void *user, enum state_event event, int id, int value, int from_id)
{
    write_told(user, (int)event, id, value, from_id);
}

static calmoe_status tell(struct followers *f)
{
    if (f->is_full)
        return cm_fail(f->ctx, CALMOE_NO_MEMORY, "the other ranks could not be told of all that was done");
    const calmoe_status status = cm_ranks_tell(f->ranks, f->words, f->n * sizeof *f->words);
    f->n = 0;
    return status;
}

/* What was written is told, and no sign of life is given until cm_followers_end_step(). */
static calmoe_status hold_and_tell(struct followers *f)
{
    cm_ranks_hold(f->ranks);
    const calmoe_status status = tell(f);
    if (status != CALMOE_OK) cm_ranks_let_go(f->ranks);
    return status;
}

calmoe_status cm_followers_open(calmoe_engine *engine, struct followers **out)
{
    enum { FIRST_WORDS = 4096 };
    const int n_layers = engine->model->spec.n_layers;
    struct followers *f = *out = cm_alloc(engine->ctx, 1, sizeof *f, "other ranks");
    if (!f) return CALMOE_NO_MEMORY;
    *f = (struct followers){.ctx = engine->ctx, .ranks = engine->options.ranks->ranks, .n_layers = n_layers,
                            .next_id = 1};
    f->words = cm_alloc(engine->ctx, FIRST_WORDS, sizeof *f->words, "words for other ranks");
    f->written = cm_alloc(engine->ctx, cm_rung_words_most(n_layers), sizeof *f->written, "words for other ranks");
    if (!f->words || !f->written) return CALMOE_NO_MEMORY;
    f->capacity = FIRST_WORDS;
    write_told(f, STATE_TOUCH, 0, 0, 0); /* of no sequence: a first sign of life */
    const calmoe_status status = hold_and_tell(f);
    if (status == CALMOE_OK) cm_ranks_let_go(f->ranks);
    return status;
}

void cm_followers_close(struct followers **followers)
{
    struct followers *f = *followers;
    if (!f) return;
    write_told(f, WORD_END, 0, 0, 0);
    if (hold_and_tell(f) == CALMOE_OK) cm_ranks_let_go(f->ranks);
    cm_ranks_rest(f->ranks);
    for (int i = 0; i < f->n_rungs; i++) cm_free(f->rungs[i].words);
    cm_free(f->rungs);
    cm_free(f->written);
    cm_free(f->words);
    cm_free(f);
    *followers = NULL;
}

/* Answers its id. */
static int listen_to(struct followers *f, struct sequence_state *state)
{
    state->listener = (struct state_listener){hear_event, f, f->next_id};
    return f->next_id++;
}

void cm_followers_add(struct followers *f, calmoe_session *session)
{
    const int id = listen_to(f, &session->state);
    write_told(f, WORD_OPEN, id, session->context, 0);
    if (session->state.n_kept > 0) write_told(f, WORD_KEEP, id, session->state.n_kept, 0);
    for (int kind = 0; kind < N_DRAFTERS; kind++) {
        struct draft_reader *reader = session->readers[kind];
        if (!reader) continue;
        const int of_reader = listen_to(f, &reader->state);
        write_told(f, WORD_OPEN_READER, of_reader, session->context, kind);
        if (reader->states) write_told(f, WORD_STATES, of_reader, reader->n_kept + 1, id); /* its own is the last */
    }
}

/* ---- adapters ---- */

calmoe_status cm_followers_begin_adapter(struct followers *f, const char *path)
{
    const size_t n_bytes = strlen(path), n = n_bytes / sizeof(int32_t) + 1; /* with a NUL at least */
    write_told(f, WORD_ADAPTER, 0, (int)n_bytes, 0);
    if (has_room(f, n)) {
        memset(f->words + f->n, 0, n * sizeof *f->words);
        memcpy(f->words + f->n, path, n_bytes);
        f->n += n;
    }
    return hold_and_tell(f);
}

void cm_followers_drop_adapter(struct followers *f, int number) { write_told(f, WORD_DROP_ADAPTER, number, 0, 0); }

void cm_followers_use(struct followers *f, const calmoe_session *session)
{
    const struct session_adapters *own = &session->adapters;
    write_told(f, WORD_USE, session->state.listener.id, own->n, 0);
    for (int i = 0; i < own->n; i++)
        write(f, &(struct told_use){own->used[i].adapter->number, own->used[i].scale}, WORDS_OF_USE);
}

/* ---- what a step needs to be told before it ---- */

/* The place for a rung that the others do not know: a new one, or that of the rung which has been out of use for
 * longest. -1: there is no memory. */
static int place_for_rung(struct followers *f)
{
    int oldest = 0;
    for (int i = 1; i < f->n_rungs; i++)
        if (f->rungs[i].step < f->rungs[oldest].step) oldest = i;
    if (f->n_rungs >= MANY_RUNGS && f->rungs[oldest].step < f->n_steps) return oldest;
    if (f->n_rungs == f->rungs_capacity) {
        const int capacity = f->n_rungs ? 2 * f->n_rungs : MANY_RUNGS;
        if (cm_grow(f->ctx, &f->rungs, (size_t)f->n_rungs, (size_t)capacity, sizeof *f->rungs,
                    "words for other ranks") != CALMOE_OK)
            return -1;
        f->rungs_capacity = capacity;
    }
    f->rungs[f->n_rungs] = (struct told_rung){0};
    return f->n_rungs++;
}

/* The id under which the others know such a rung, told now where they do not. */
static int id_of_rung(struct followers *f, const struct policy_rung *rung)
{
    const size_t n = cm_rung_words_write(rung, f->n_layers, f->written);
    for (int i = f->n_rungs - 1; i >= 0; i--) {
        struct told_rung *told = &f->rungs[i];
        if (told->n != n || memcmp(told->words, f->written, n * sizeof *f->written) != 0) continue;
        told->step = f->n_steps;
        return i + 1;
    }
    const int i = place_for_rung(f);
    int32_t  *words = i >= 0 ? cm_alloc(f->ctx, n, sizeof *words, "words for other ranks") : NULL;
    f->is_full |= !words;
    if (!words) return 0;
    memcpy(words, f->written, n * sizeof *words);
    cm_free(f->rungs[i].words);
    f->rungs[i] = (struct told_rung){words, n, f->n_steps};
    write_told(f, WORD_RUNG, i + 1, (int)n, 0);
    write(f, words, n);
    return i + 1;
}

/* All rungs that the step's rows have, so that the rows can name them. */
static void write_rungs(struct followers *f, const struct step *step)
{
    for (int r = 0; r < step->n_rows; r++) {
        const struct policy_rung *rung = step->rows[r].may.rung;
        if (rung && (r == 0 || step->rows[r - 1].may.rung != rung)) (void)id_of_rung(f, rung);
    }
}

static int number_of_kept(const struct sequence_state *state, const uint8_t *kept)
{
    int i = kept ? state->n_kept - 1 : -1;
    while (i >= 0 && state->kept[i] != kept) i--;
    return i;
}

/* Only a block that reads the model's states has any of them. */
static int number_of_state(const struct sequence *sequence, const float *state)
{
    const calmoe_session *session = sequence->owner;
    const struct draft_reader *reader = session->readers[DRAFTER_FURTHER];
    return state ? (int)((state - reader->states) / reader->drafter->spec->dim) : -1;
}

static void write_waiting(struct followers *f, const struct sequence *sequence)
{
    const struct waiting *waiting = sequence->waiting;
    if (!waiting) return;
    write_told(f, WORD_WAIT, sequence->state->listener.id, waiting->capacity, waiting->n);
    for (int i = 0; i < waiting->n; i++) {
        const struct waiting_row *row = &waiting->rows[i];
        write(f, &(struct told_waiting){row->logits_row, number_of_kept(sequence->state, row->kept),
                                        number_of_state(sequence, row->state)}, WORDS_OF_WAITING);
    }
}

static void write_rows(struct followers *f, const struct step *step)
{
    int rung_id = 0;
    for (int r = 0; r < step->n_rows; r++) {
        const struct row_request *asked = &step->rows[r].asked;
        const struct policy_rung *rung = step->rows[r].may.rung;
        if (r == 0 || step->rows[r - 1].may.rung != rung) rung_id = rung ? id_of_rung(f, rung) : 0;
        const struct told_row row = {asked->sequence->state->listener.id, asked->position, asked->token,
                                     asked->logits_row, rung_id, step->rows[r].may.t,
                                     number_of_kept(asked->sequence->state, asked->kept),
                                     number_of_state(asked->sequence, asked->state),
                                     number_of_state(asked->sequence, asked->before)};
        write(f, &row, WORDS_OF_ROW);
    }
}

calmoe_status cm_followers_begin_step(struct followers *f, const struct step *step, const struct exits *exits)
{
    const struct sequence *driven = exits ? cm_exits_driven(exits) : NULL;
    f->n_steps++;
    write_rungs(f, step);
    for (int r = 0; r < step->n_rows; r++)
        if (r == 0 || step->rows[r - 1].asked.sequence != step->rows[r].asked.sequence)
            write_waiting(f, step->rows[r].asked.sequence);
    if (driven) write_waiting(f, driven);
    if (driven) write_told(f, WORD_DRIVE, driven->state->listener.id, driven->waiting->driven_below, 0);
    write_told(f, WORD_STEP, step->n_rows, step->n_logits,
               (exits ? STEP_HAS_EXITS : 0) | (step->tells_choices ? STEP_TELLS_CHOICES : 0));
    write_rows(f, step);
    return hold_and_tell(f);
}

calmoe_status cm_followers_begin_draft(struct followers *f, const struct step *step, enum drafter_kind kind)
{
    write_told(f, WORD_DRAFT, step->n_rows, step->n_logits, (int)kind);
    write_rows(f, step);
    return hold_and_tell(f);
}

calmoe_status cm_followers_begin_state(struct followers *f, int word, const struct sequence_state *state,
                                       int n_positions)
{
    write_told(f, word, state->listener.id, n_positions, 0);
    return hold_and_tell(f);
}

/* ---- fitting exits ---- */

void cm_followers_take_translators(struct followers *f, const struct learned_exits *learned)
{
    const size_t dim = (size_t)learned->dim;
    size_t       n = 0;
    int          n_exits = 0;
    for (int i = 0; i < learned->n; i++)
        if (learned->exits[i].rank > 0) n += cm_translator_words(learned->dim, learned->exits[i].rank), n_exits++;
    write_told(f, WORD_TRANSLATORS, n_exits, (int)n, 0);
    for (int i = 0; i < learned->n; i++) {
        const struct learned_exit *exit = &learned->exits[i];
        const size_t               rank = (size_t)exit->rank;
        if (rank == 0) continue;
        write(f, (const int32_t[]){exit->layer, exit->rank}, 2);
        write(f, exit->down, rank * dim);
        write(f, exit->bias, dim);
        write(f, exit->up, rank * dim);
    }
}

calmoe_status cm_followers_begin_probe(struct followers *f, int n_layers_run, bool is_translated, const float *states,
                                       int n, int dim)
{
    write_told(f, WORD_PROBE, n, n * dim, 2 * n_layers_run + is_translated);
    write(f, states, (size_t)n * (size_t)dim);
    return hold_and_tell(f);
}

calmoe_status cm_followers_begin_drafters(struct followers *f)
{
    write_told(f, WORD_DRAFTERS, 0, 0, 0);
    return hold_and_tell(f);
}

void cm_followers_end_step(struct followers *f) { cm_ranks_let_go(f->ranks); }
