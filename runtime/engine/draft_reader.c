/* runtime/engine/draft_reader.c - see drafter.h: what a session's drafter has read, and drafts that go on from there.
 *
 * Row i of a reader is the session's token begin + i + shift. Of a draft model all tokens are rows (begin and shift are
 * 0). A further block reads at position p the model's state of p and token p + 1 (shift is 1); states are kept for a
 * while only, and where those are gone that would come next, it begins anew with the oldest that is there: rotary
 * positions are relative. Behind the first draft it goes on from states of its own; such rows do not count as read. */
#include "runtime/engine/drafter_parts.h"
#include "runtime/engine/followers.h"

#include <string.h>

#include "base/memory.h"

enum { FOLLOW_ROWS = 8 /* fewer are read when drafts are wanted */, SPARE_STATES = 16 };

static float *place_of(const struct draft_reader *reader, int position)
{
    return reader->states + (size_t)(position % reader->n_kept) * (size_t)reader->drafter->spec->dim;
}

/* ---- opening ---- */

static calmoe_status open_states(calmoe_session *session, struct draft_reader *reader)
{
    calmoe_engine *engine = session->engine;
    const size_t   dim = (size_t)reader->drafter->spec->dim;
    reader->shift = 1;
    reader->n_kept = engine->options.max_rows + SPARE_STATES;
    if (reader->n_kept > session->context) reader->n_kept = session->context;
    reader->states = cm_alloc(engine->ctx, ((size_t)reader->n_kept + 1) * dim, sizeof *reader->states, "drafts");
    if (!reader->states) return CALMOE_NO_MEMORY;
    reader->own = reader->states + (size_t)reader->n_kept * dim;
    return CALMOE_OK;
}

static calmoe_status open_parts(calmoe_session *session, struct draft_reader *reader)
{
    calmoe_engine *engine = session->engine;
    const struct model_spec *spec = reader->drafter->spec;
    const struct state_place place = cm_engine_state_place(engine, session->context);
    const size_t n_vocab = (size_t)engine->model->spec.n_vocab;
    reader->sequence = (struct sequence){.state = &reader->state, .owner = session, .interrupt = &session->interrupt};
    reader->tokens = cm_alloc(engine->ctx, (size_t)session->context, sizeof *reader->tokens, "drafts");
    if (!reader->tokens) return CALMOE_NO_MEMORY;
    if ((size_t)spec->n_vocab < n_vocab) {
        reader->logits = cm_alloc(engine->ctx, n_vocab, sizeof *reader->logits, "drafts");
        if (!reader->logits) return CALMOE_NO_MEMORY;
    }
    if (cm_reads_states(reader->drafter)) CM_TRY(open_states(session, reader));
    return cm_sequence_state_open(&reader->drafter->machine, spec, &place, &reader->state);
}

calmoe_status cm_draft_reader_open(calmoe_session *session, enum drafter_kind kind, struct draft_reader **out)
{
    struct drafter *drafter = session->engine->drafters[kind];
    *out = NULL;
    if (!drafter) return CALMOE_OK;
    struct draft_reader *reader = *out = cm_alloc(session->engine->ctx, 1, sizeof *reader, "drafts");
    if (!reader) return CALMOE_NO_MEMORY;
    reader->kind = kind;
    reader->drafter = drafter;
    const calmoe_status status = open_parts(session, reader);
    if (status != CALMOE_OK) cm_draft_reader_close(out);
    return status;
}

void cm_draft_reader_close(struct draft_reader **reader)
{
    if (!*reader) return;
    cm_sequence_state_close(&(*reader)->state);
    cm_free((*reader)->tokens);
    cm_free((*reader)->logits);
    cm_free((*reader)->states);
    cm_free(*reader);
    *reader = NULL;
}

/* ---- the model's states ---- */

float *cm_draft_reader_state(struct draft_reader *reader, int position)
{
    if (!reader || !reader->states) return NULL;
    if (position < reader->first || position > reader->end) reader->first = position;
    reader->end = position + 1;
    if (reader->first < reader->end - reader->n_kept) reader->first = reader->end - reader->n_kept;
    return place_of(reader, position);
}

const float *cm_draft_reader_state_of(const struct draft_reader *reader, int position)
{
    return place_of(reader, position);
}

/* ---- reading ---- */

static void go_back(struct draft_reader *reader, int n)
{
    if (n < reader->n_read) reader->n_read = cm_sequence_state_rewind(&reader->state, n);
    if (reader->n_true > reader->n_read) reader->n_true = reader->n_read;
}

/* Back to the last row that is as the session's tokens are now, or before it; at most n_rows - 1, so that the last of
 * n_rows is read and gives logits. False: what a further block would read next is gone. */
static bool find_place(const calmoe_session *session, struct draft_reader *reader, int *n_rows)
{
    int n = reader->n_true, same = 0;
    if (reader->states && reader->begin + *n_rows > reader->end) return false;
    if (n > *n_rows - 1) n = *n_rows - 1;
    while (same < n && reader->tokens[same] == session->tokens[reader->begin + reader->shift + same]) same++;
    go_back(reader, same);
    if (!reader->states || reader->begin + reader->n_read >= reader->first) return *n_rows > 0;
    *n_rows -= reader->first - reader->begin;
    reader->begin = reader->first;
    go_back(reader, 0);
    return *n_rows > 0;
}

/* Rows n_read … n_read + n - 1, whose tokens are set; is_own: the one row goes on from the last one's state. */
static calmoe_status run(const calmoe_session *session, struct draft_reader *reader, int n, bool wants_logits,
                         bool is_own)
{
    struct drafter  *drafter = reader->drafter;
    struct counters *counters = cm_decoder_counters(drafter->decoder);
    struct step      step = {.rows = drafter->rows, .n_rows = n, .n_logits = wants_logits};
    for (int r = 0; r < n; r++) {
        const int at = reader->n_read + r;
        struct row_request *asked = &drafter->rows[r].asked;
        drafter->rows[r] = (struct row){.asked = {.sequence = &reader->sequence, .position = at,
                                                  .token = reader->tokens[at], .logits_row = -1}};
        if (reader->states) asked->before = is_own ? reader->own : place_of(reader, reader->begin + at);
        if (r < n - 1 || !wants_logits) continue;
        asked->logits_row = 0;
        asked->state = reader->own;
    }
    counters->is_paused = cm_decoder_counters(session->engine->decoder)->is_paused;
    struct followers *followers = session->engine->followers;
    if (followers) CM_TRY(cm_followers_begin_draft(followers, &step, reader->kind));
    const calmoe_status status = cm_decoder_run(drafter->decoder, &step);
    if (followers) cm_followers_end_step(followers);
    cm_counters_hand_over(counters, cm_decoder_counters(session->engine->decoder));
    if (status == CALMOE_OK) {
        reader->n_read += n;
        cm_sequence_state_note(&reader->state, reader->n_read);
        if (!is_own || !reader->states) reader->n_true = reader->n_read;
    } else {
        cm_sequence_state_lose(&reader->state);
        reader->n_read = cm_sequence_state_rewind(&reader->state, reader->n_read);
        go_back(reader, reader->n_read);
    }
    return status;
}

/* Up to n_rows rows of the session's tokens. *is_whole: false where the drafter does not know a token. */
static calmoe_status read_to(const calmoe_session *session, struct draft_reader *reader, int n_rows, bool wants_logits,
                             bool *is_whole)
{
    const int n_vocab = reader->drafter->spec->n_vocab, most = reader->drafter->max_rows;
    for (int at = reader->n_read; at < n_rows; at++) {
        reader->tokens[at] = session->tokens[reader->begin + reader->shift + at];
        *is_whole &= reader->tokens[at] < n_vocab;
    }
    while (*is_whole && reader->n_read < n_rows) {
        const int left = n_rows - reader->n_read, n = left < most ? left : most;
        CM_TRY(run(session, reader, n, wants_logits && n == left, false));
    }
    return CALMOE_OK;
}

void cm_draft_reader_follow(const calmoe_session *session, struct draft_reader *reader)
{
    if (!reader) return;
    const int n_known = session->n_known - reader->shift;
    int       n_rows = (n_known < session->n_positions ? n_known : session->n_positions) - reader->begin;
    bool      is_whole = true;
    if (n_rows - reader->n_true < FOLLOW_ROWS || !find_place(session, reader, &n_rows)) return;
    (void)read_to(session, reader, n_rows, false, &is_whole);
}

/* ---- drafting ---- */

/* By the logits that the drafter's last row gave, as the session's sampler draws. */
static int32_t pick(calmoe_session *session, struct draft_reader *reader, const float *logits)
{
    const calmoe_model *model = session->engine->model;
    if (reader->logits) /* tokens that it lacks cannot be used */
        memcpy(reader->logits, logits, (size_t)reader->drafter->spec->n_vocab * sizeof *logits);
    return cm_sampler_pick(session->sampler, reader->logits ? reader->logits : logits, model->usable);
}

calmoe_status cm_draft_reader_draft(calmoe_session *session, struct draft_reader *reader, int n, int32_t *tokens,
                                    int *n_drafts)
{
    const struct tokenizer *tokenizer = session->engine->model->tokenizer;
    int  n_rows = session->n_known - reader->begin - reader->shift;
    bool is_whole = true;
    *n_drafts = 0;
    if (n < 1 || !find_place(session, reader, &n_rows)) return CALMOE_OK;
    CM_TRY(read_to(session, reader, n_rows, true, &is_whole));
    if (n > 1 && is_whole) CM_TRY(cm_sequence_state_snapshot(&reader->state, reader->n_read));
    while (is_whole) {
        const int32_t token = pick(session, reader, cm_step_logits(reader->drafter->decoder, 0));
        if (token < 0 || (!session->ignores_end && cm_token_ends_generation(tokenizer, token))) break;
        cm_sampler_suppose(session->sampler, token);
        tokens[(*n_drafts)++] = token;
        if (*n_drafts == n) break;
        reader->tokens[reader->n_read] = token;
        CM_TRY(run(session, reader, 1, true, true));
    }
    return CALMOE_OK;
}
