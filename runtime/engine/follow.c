/* follow.c - the ranks but 0 have sequences as rank 0 has sessions, and run its steps, as it tells them. */
#include <assert.h>
#include <string.h>

#include <calmoe/ranks.h>

#include "base/memory.h"
#include "runtime/engine/adapters.h"
#include "runtime/engine/drafter_parts.h"
#include "runtime/engine/followers.h"
#include "runtime/engine/rung_words.h"
#include "runtime/exits/exit_probe.h"
#include "runtime/mixers/prefix.h"

struct followed { /* a sequence of rank 0's */
    int                   id;
    int                   context; /* positions, without those of a prefix */
    struct sequence_state state;
    struct sequence       sequence;
    struct low_rank_use   used[CALMOE_MAX_ADAPTERS];
    struct low_rank_uses  uses;   /* of these      */
    const struct adapter_prefix *prefix; /* NULL: there is none */
    float                *states; /* of a reader: those of the model that it has, (n, dim); NULL: none */
    struct followed      *reader; /* of a session: its reader that has them; NULL: none                */
    struct followed      *next;
};

struct followed_rung { /* rows that wait have it for as long as they do */
    struct followed_rung *next; /* of those whose ids are others' now */
    struct policy_rung rung;
    struct width_rule  widths[]; /* (layers) */
};

struct follower {
    calmoe_engine         *engine;
    struct followed       *sequences;
    int                    n_rungs, rungs_capacity;
    struct followed_rung **rungs; /* (n_rungs): of id i + 1 */
    struct followed_rung  *old;   /* that have no id any more, and may still be some waiting row's */
    struct learned_exits   learned; /* that are being fitted: their translators */
    struct exit_weights   *translators;
    struct exits          *probed;  /* by these; NULL: there are none */
    bool                   is_over;
};

/* ---- sequences ---- */

static struct followed *find(const struct follower *f, int id)
{
    struct followed *at = f->sequences;
    while (at && at->id != id) at = at->next;
    return at;
}

static calmoe_status open_sequence(struct follower *f, const struct told *told, const struct machine *machine,
                                   const struct model_spec *spec)
{
    calmoe_engine   *engine = f->engine;
    struct followed *it = cm_alloc(engine->ctx, 1, sizeof *it, "a sequence");
    if (!it) return CALMOE_NO_MEMORY;
    it->id = told->id;
    it->context = told->value;
    it->sequence = (struct sequence){.state = &it->state, .owner = it};
    it->next = f->sequences;
    f->sequences = it;
    const struct state_place place = cm_engine_state_place(engine, told->value);
    return cm_sequence_state_open(machine, spec, &place, &it->state);
}

static calmoe_status open_reader(struct follower *f, const struct told *told)
{
    const struct drafter *drafter = f->engine->drafters[told->other];
    return open_sequence(f, told, &drafter->machine, drafter->spec);
}

static calmoe_status open_states(struct follower *f, const struct told *told)
{
    struct followed *it = find(f, told->id), *session = find(f, told->other);
    const size_t     n = (size_t)told->value * (size_t)f->engine->model->spec.dim;
    assert(it && session);
    it->states = cm_alloc(f->engine->ctx, n, sizeof *it->states, "drafts");
    session->reader = it;
    return it->states ? CALMOE_OK : CALMOE_NO_MEMORY;
}

static calmoe_status keep(struct follower *f, const struct told *told)
{
    return cm_sequence_state_keep(&find(f, told->id)->state, told->value, SIZE_MAX);
}

static void close_sequence(struct follower *f, int id)
{
    struct followed **at = &f->sequences;
    while (*at && (*at)->id != id) at = &(*at)->next;
    struct followed *it = *at;
    if (!it) return;
    *at = it->next;
    for (struct followed *other = f->sequences; other; other = other->next)
        if (other->reader == it) other->reader = NULL;
    cm_free(it->states);
    cm_waiting_close(&it->sequence.waiting);
    cm_sequence_state_close(&it->state);
    cm_free(it);
}

/* Room for so many rows that wait. */
static calmoe_status let_wait(const struct follower *f, struct followed *it, int capacity)
{
    if (it->sequence.waiting && it->sequence.waiting->capacity == capacity) return CALMOE_OK;
    cm_waiting_close(&it->sequence.waiting);
    return cm_waiting_open(f->engine->ctx, capacity, f->engine->model->spec.dim, &it->sequence.waiting);
}

static calmoe_status copy_sequence(const struct follower *f, const struct followed *from, int n_positions,
                                   struct followed *to)
{
    const struct waiting *waiting = from->sequence.waiting;
    cm_sequence_state_copy(&from->state, n_positions, &to->state, &(int){0}); /* nothing is shared */
    if (!waiting) return CALMOE_OK;
    CM_TRY(let_wait(f, to, waiting->capacity));
    cm_waiting_copy(waiting, &to->sequence, to->sequence.waiting);
    return CALMOE_OK;
}

static calmoe_status save(struct follower *f, const struct told *told)
{
    struct sequence_state *state = &find(f, told->id)->state;
    cm_sequence_state_wipe(state, told->value);
    return cm_sequence_state_write(state, told->value, NULL, NULL);
}

/* Where rank 0 cannot read on, it closes the sequence. */
static calmoe_status restore(struct follower *f, const struct told *told)
{
    const calmoe_status status = cm_sequence_state_read(&find(f, told->id)->state, told->value, NULL, NULL);
    return status == CALMOE_CANCELLED ? CALMOE_OK : status;
}

static calmoe_status do_event(struct follower *f, const struct told *told)
{
    struct followed *it = find(f, told->id), *from = find(f, told->other);
    if (!it) return CALMOE_OK;
    switch (told->word) {
    case STATE_CLOSE: close_sequence(f, told->id); break;
    case STATE_NOTE: cm_sequence_state_note(&it->state, told->value); break;
    case STATE_SNAPSHOT: return cm_sequence_state_snapshot(&it->state, told->value);
    case STATE_TOUCH: cm_sequence_state_touch(&it->state, told->value); break;
    case STATE_LOSE: cm_sequence_state_lose(&it->state); break;
    case STATE_REWIND: cm_sequence_state_rewind(&it->state, told->value); break;
    case STATE_TAKE_KEPT: cm_sequence_state_take_kept(&it->state, told->other, told->value); break;
    case STATE_COPY: return from ? copy_sequence(f, from, told->value, it) : CALMOE_OK;
    default: break;
    }
    return CALMOE_OK;
}

/* ---- adapters ---- */

/* Where some rank cannot, rank 0 has none, and all go on. */
static calmoe_status open_adapter(struct follower *f, const int32_t *path)
{
    calmoe_adapter *adapter;
    (void)cm_adapter_open_here(f->engine, (const char *)path, &adapter);
    return cm_ranks_are_lost(f->engine->options.ranks->ranks) ? CALMOE_IO : CALMOE_OK;
}

static calmoe_adapter *adapter_of(const struct follower *f, int number)
{
    const struct engine_adapters *all = &f->engine->adapters;
    int i = 0;
    while (i < all->n && all->adapters[i]->number != number) i++;
    assert(i < all->n);
    return all->adapters[i];
}

/* The state, empty, with room for so many positions before its own; rank 0 has done so, too. */
static calmoe_status open_state_anew(const struct follower *f, struct followed *it, int n_prefix)
{
    const calmoe_engine *engine = f->engine;
    struct state_place place = cm_engine_state_place(engine, it->context);
    const int n_kept = it->state.n_kept;
    place.n_prefix = n_prefix;
    cm_sequence_state_close(&it->state);
    CM_TRY(cm_sequence_state_open(&engine->machine, &engine->model->spec, &place, &it->state));
    return n_kept > 0 ? cm_sequence_state_keep(&it->state, n_kept, SIZE_MAX) : CALMOE_OK;
}

static calmoe_status use_adapters(struct follower *f, const struct told *told, const int32_t *words)
{
    const struct told_use *uses = (const void *)words;
    struct followed *it = find(f, told->id);
    int n_prefix = 0, n_uses = 0;
    it->prefix = NULL;
    for (int i = 0; i < told->value; i++) {
        const calmoe_adapter *adapter = adapter_of(f, uses[i].number);
        n_prefix += adapter->prefix.n_positions;
        if (adapter->prefix.n_positions > 0) it->prefix = &adapter->prefix;
        else it->used[n_uses++] = (struct low_rank_use){&adapter->weights.set, uses[i].scale};
    }
    it->uses = (struct low_rank_uses){n_uses, it->used};
    it->sequence.adapters = n_uses > 0 ? &it->uses : NULL;
    return n_prefix == it->state.n_prefix ? CALMOE_OK : open_state_anew(f, it, n_prefix);
}

/* As cm_session_may_write() does on rank 0, before a step that reads a sequence's first tokens. */
static void write_prefixes(const struct follower *f, const struct row *rows, int n)
{
    for (int r = 0; r < n; r++) {
        const struct followed *of = rows[r].asked.sequence->owner;
        if (rows[r].asked.position == 0 && of->prefix)
            cm_prefix_write(cm_vector_ops(f->engine->machine.isa), of->prefix, rows[r].asked.sequence->state);
    }
}

/* ---- steps ---- */

static bool is_waited_with(const struct follower *f, const struct policy_rung *rung)
{
    for (const struct followed *it = f->sequences; it; it = it->next)
        for (int i = 0; it->sequence.waiting && i < it->sequence.waiting->n; i++)
            if (it->sequence.waiting->rows[i].rung == rung) return true;
    return false;
}

static void free_old_rungs(struct follower *f)
{
    struct followed_rung **at = &f->old;
    while (*at) {
        struct followed_rung *rung = *at;
        if (is_waited_with(f, &rung->rung)) {
            at = &rung->next;
            continue;
        }
        *at = rung->next;
        cm_free(rung);
    }
}

static calmoe_status take_rung(struct follower *f, const struct told *told, const int32_t *words)
{
    const int n_layers = f->engine->model->spec.n_layers;
    struct followed_rung *rung;
    if (f->n_rungs == f->rungs_capacity) {
        const int capacity = f->n_rungs ? 2 * f->n_rungs : 8;
        CM_TRY(cm_grow(f->engine->ctx, &f->rungs, (size_t)f->n_rungs, (size_t)capacity, sizeof *f->rungs, "rungs"));
        f->rungs_capacity = capacity;
    }
    rung = cm_alloc(f->engine->ctx, 1, sizeof *rung + (size_t)n_layers * sizeof *rung->widths, "a rung");
    if (!rung) return CALMOE_NO_MEMORY;
    cm_rung_words_read(words, n_layers, rung->widths, &rung->rung);
    struct followed_rung **place = &f->rungs[told->id - 1];
    if (told->id > f->n_rungs) *place = NULL; /* new ids ascend by one */
    if (told->id > f->n_rungs) f->n_rungs = told->id;
    if (*place) {
        (*place)->next = f->old;
        f->old = *place;
    }
    *place = rung;
    free_old_rungs(f);
    return CALMOE_OK;
}

static uint8_t *kept_of(const struct followed *it, int i) { return i < 0 ? NULL : it->state.kept[i]; }

/* A reader's own states, or those of a session's reader. */
static float *state_of(const struct follower *f, const struct followed *it, int i)
{
    if (i < 0) return NULL;
    return (it->reader ? it->reader->states : it->states) + (size_t)i * (size_t)f->engine->model->spec.dim;
}

static calmoe_status take_waiting(struct follower *f, const struct told *told, const int32_t *words)
{
    const struct told_waiting *rows = (const void *)words;
    struct followed *it = find(f, told->id);
    assert(it);
    CM_TRY(let_wait(f, it, told->value));
    struct waiting *waiting = it->sequence.waiting;
    assert(told->other <= waiting->n);
    waiting->n = told->other;
    for (int i = 0; i < waiting->n; i++) {
        waiting->rows[i].logits_row = rows[i].logits_row;
        waiting->rows[i].kept = kept_of(it, rows[i].kept);
        waiting->rows[i].state = state_of(f, it, rows[i].state);
    }
    return CALMOE_OK;
}

static calmoe_status drive(struct follower *f, const struct told *told)
{
    CM_TRY(cm_engine_need_exits(f->engine));
    cm_exits_drive(f->engine->exits, &find(f, told->id)->sequence, told->value);
    return CALMOE_OK;
}

/* The rows of a step that is told. */
static void set_rows(const struct follower *f, const int32_t *words, int n, struct row *rows)
{
    const struct told_row *told = (const void *)words;
    const struct followed *of = NULL;
    for (int r = 0; r < n; r++) {
        if (!of || of->id != told[r].id) of = find(f, told[r].id);
        assert(of);
        rows[r] = (struct row){
            .asked = {.sequence = &of->sequence, .position = told[r].position, .token = told[r].token,
                      .logits_row = told[r].logits_row, .kept = kept_of(of, told[r].kept),
                      .state = state_of(f, of, told[r].state), .before = state_of(f, of, told[r].before)},
            .may = {told[r].rung > 0 ? &f->rungs[told[r].rung - 1]->rung : NULL, told[r].t}};
    }
}

/* A step that was interrupted, or in which some rank could not read an expert, is no failure of following: what becomes
 * of its sequences is told. Why this rank could not, rank 0 does not know. */
static calmoe_status unless_all_go_on(const struct follower *f, calmoe_status status)
{
    const struct exchange *exchange = f->engine->machine.exchange;
    if (status == CALMOE_CANCELLED) return CALMOE_OK;
    if (status != CALMOE_IO || exchange->failure != CALMOE_OK || exchange->failed_rank < 0) return status;
    if (exchange->failed_rank == f->engine->shares.own)
        cm_log(f->engine->ctx, "%s", calmoe_context_message(f->engine->ctx));
    return CALMOE_OK;
}

static calmoe_status do_step(struct follower *f, const struct told *told, const int32_t *words)
{
    calmoe_engine *engine = f->engine;
    if (told->other & STEP_HAS_EXITS) CM_TRY(cm_engine_need_exits(engine));
    CM_TRY(cm_decoder_reserve_logits(engine->decoder, told->value));
    cm_step_begin(engine);
    engine->step.tells_choices = (told->other & STEP_TELLS_CHOICES) != 0;
    engine->step.n_rows = told->id;
    engine->step.n_logits = told->value;
    set_rows(f, words, told->id, engine->rows);
    write_prefixes(f, engine->rows, told->id);
    return unless_all_go_on(f, cm_step_run(engine, NULL));
}

static calmoe_status do_draft(struct follower *f, const struct told *told, const int32_t *words)
{
    struct drafter *drafter = f->engine->drafters[told->other];
    struct step     step = {.rows = drafter->rows, .n_rows = told->id, .n_logits = told->value};
    set_rows(f, words, told->id, drafter->rows);
    return unless_all_go_on(f, cm_decoder_run(drafter->decoder, &step));
}

/* ---- fitting exits ---- */

static void drop_translators(struct follower *f)
{
    cm_exits_close(&f->probed);
    cm_exit_weights_close(&f->translators);
    cm_learned_exits_close(&f->learned);
}

static calmoe_status take_translators(struct follower *f, const struct told *told, const int32_t *words)
{
    const calmoe_engine     *engine = f->engine;
    const struct model_spec *spec = &engine->model->spec;
    const size_t             dim = (size_t)spec->dim;
    drop_translators(f);
    f->learned = (struct learned_exits){.n_layers = spec->n_layers, .dim = spec->dim, .n = told->id};
    for (int i = 0; i < told->id; i++) {
        struct learned_exit *exit = &f->learned.exits[i];
        const size_t         n = (size_t)words[1] * dim;
        exit->layer = words[0];
        CM_TRY(cm_learned_translator_reserve(engine->ctx, exit, spec->dim, words[1]));
        memcpy(exit->down, words + 2, n * sizeof *exit->down);
        memcpy(exit->bias, words + 2 + n, dim * sizeof *exit->bias);
        memcpy(exit->up, words + 2 + n + dim, n * sizeof *exit->up);
        words += cm_translator_words(spec->dim, words[1]);
    }
    CM_TRY(cm_exit_weights_open(&engine->machine, &f->learned, &f->translators));
    return cm_exits_open(engine->ctx, engine->decoder, f->translators, engine->model->usable, &f->probed);
}

static calmoe_status probe(struct follower *f, const struct told *told, const int32_t *words)
{
    calmoe_engine     *engine = f->engine;
    struct exit_guess *guesses = cm_alloc(engine->ctx, (size_t)told->id, sizeof *guesses, "answers");
    if (!guesses) return CALMOE_NO_MEMORY;
    const calmoe_status status = cm_decoder_reserve_logits(engine->decoder, told->id);
    if (status == CALMOE_OK)
        cm_exit_probe(f->probed, engine->decoder, told->other / 2, told->other % 2 != 0, (const void *)words, told->id,
                      engine->model->usable, guesses);
    cm_free(guesses);
    return status == CALMOE_OK ? engine->machine.exchange->failure : status;
}

/* Where some rank cannot, rank 0 has no session that drafts, and all go on. */
static calmoe_status open_drafters(struct follower *f)
{
    (void)cm_drafters_follow(f->engine);
    return cm_ranks_are_lost(f->engine->options.ranks->ranks) ? CALMOE_IO : CALMOE_OK;
}

/* ---- what is told ---- */

static size_t words_behind(const struct told *told)
{
    switch (told->word) {
    case WORD_RUNG:
    case WORD_TRANSLATORS:
    case WORD_PROBE: return (size_t)told->value;
    case WORD_WAIT: return (size_t)told->other * WORDS_OF_WAITING;
    case WORD_ADAPTER: return (size_t)told->value / sizeof(int32_t) + 1;
    case WORD_USE: return (size_t)told->value * WORDS_OF_USE;
    case WORD_STEP:
    case WORD_DRAFT: return (size_t)told->id * WORDS_OF_ROW;
    default: return 0;
    }
}

static calmoe_status do_one(struct follower *f, const struct told *told, const int32_t *behind)
{
    switch (told->word) {
    case WORD_OPEN: return open_sequence(f, told, &f->engine->machine, &f->engine->model->spec);
    case WORD_RUNG: return take_rung(f, told, behind);
    case WORD_WAIT: return take_waiting(f, told, behind);
    case WORD_DRIVE: return drive(f, told);
    case WORD_STEP: return do_step(f, told, behind);
    case WORD_KEEP: return keep(f, told);
    case WORD_ADAPTER: return open_adapter(f, behind);
    case WORD_DROP_ADAPTER: cm_adapter_drop(adapter_of(f, told->id)); return CALMOE_OK;
    case WORD_USE: return use_adapters(f, told, behind);
    case WORD_SAVE: return save(f, told);
    case WORD_RESTORE: return restore(f, told);
    case WORD_DRAFTERS: return open_drafters(f);
    case WORD_OPEN_READER: return open_reader(f, told);
    case WORD_STATES: return open_states(f, told);
    case WORD_DRAFT: return do_draft(f, told, behind);
    case WORD_TRANSLATORS: return take_translators(f, told, behind);
    case WORD_PROBE: return probe(f, told, behind);
    case WORD_END: f->is_over = true; return CALMOE_OK;
    default: return do_event(f, told);
    }
}

static calmoe_status do_all(struct follower *f, const int32_t *words, size_t n)
{
    const int32_t *const end = words + n;
    while (words < end && !f->is_over) {
        const struct told *const told = (const void *)words;
        CM_TRY(do_one(f, told, words + WORDS_TOLD));
        words += WORDS_TOLD + words_behind(told);
    }
    return CALMOE_OK;
}

static void forget_all(struct follower *f)
{
    while (f->sequences) close_sequence(f, f->sequences->id);
    drop_translators(f);
    while (f->engine->adapters.n > 0) cm_adapter_drop(f->engine->adapters.adapters[0]);
    free_old_rungs(f);
    for (int i = 0; i < f->n_rungs; i++) cm_free(f->rungs[i]);
    cm_free(f->rungs);
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
    forget_all(&f);
    return status;
}
