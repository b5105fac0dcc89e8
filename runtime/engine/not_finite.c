/* runtime/engine/not_finite.c - logits that are no numbers. Whoever chooses a token looks at its logits first, which
 * costs one pass over them. Only when they hold a NaN or an infinity is more done: the sequence is read once more, in a
 * cache of its own and with an observer who looks at the states after each layer, so that the sentence can say where
 * numbers stopped being numbers. Nothing of the engine or the session changes by that. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "base/memory.h"
#include "kernels/bad_numbers.h"
#include "runtime/engine/handles.h"

/* A longer sequence is not read again, for that may take minutes: only its last token is. */
enum { MAX_READ_AGAIN = 4096 };

struct search {
    calmoe_engine  *engine;
    struct sequence_state state;
    struct sequence sequence;
    struct row     *rows;     /* (max_rows) */
    int            *first;    /* (max_rows) the layer after which row r's state is not finite, -1 = none */
    /* found: */
    int             layer, position;
};

static void look_at_states(void *user, int layer, int begin, int end, const float *x)
{
    const struct search *search = user;
    const size_t dim = (size_t)search->engine->model->spec.dim;
    for (int r = begin; r < end; r++)
        if (search->first[r] < 0 && !cm_are_finite(x + (size_t)r * dim, dim)) search->first[r] = layer;
}

/* Reads n tokens at `position`; true where the state of one of them stops being finite. */
static bool read_again(struct search *search, const struct sequence *sequence, const int32_t *tokens, int position,
                       int n, calmoe_status *status)
{
    const struct step_observer observer = {search, .states = look_at_states};
    struct step step = {.rows = search->rows, .n_rows = n, .observers = &observer};
    for (int r = 0; r < n; r++) {
        search->first[r] = -1;
        search->rows[r] = (struct row){.asked = {sequence, position + r, tokens[position + r], -1}};
    }
    *status = cm_decoder_run(search->engine->decoder, &step);
    for (int r = 0; r < n && *status == CALMOE_OK; r++) {
        if (search->first[r] < 0) continue;
        search->layer = search->first[r];
        search->position = position + r;
        return true;
    }
    return false;
}

static calmoe_status search_all(struct search *search, const int32_t *tokens, int n)
{
    const calmoe_engine *engine = search->engine;
    const enum kv_type   type = engine->options.kv_float32 ? KV_F32 : KV_F16;
    const int            most = engine->options.max_rows;
    const struct state_place place = {.type = type, .n_positions = n, .max_rows = most,
                                      .topology = &engine->topology, .kv_heads = engine->plan.kv_heads};
    CM_TRY(cm_sequence_state_open(engine->ctx, &engine->model->spec, &place, &search->state));
    search->sequence = (struct sequence){.state = &search->state};
    for (int at = 0; at < n; at += most) {
        calmoe_status status;
        if (read_again(search, &search->sequence, tokens, at, n - at < most ? n - at : most, &status)) break;
        CM_TRY(status);
    }
    return CALMOE_OK;
}

/* search->layer is -1 where all states are finite, or where they could not be looked at. */
static void find_layer(calmoe_session *session, int position, struct search *search)
{
    calmoe_engine   *engine = session->engine;
    struct counters *counters = cm_decoder_counters(engine->decoder);
    const bool       was_paused = counters->is_paused;
    const size_t     n = (size_t)engine->options.max_rows;
    calmoe_status    status;
    *search = (struct search){.engine = engine, .layer = -1, .position = position};
    search->rows = cm_alloc(engine->ctx, n, sizeof *search->rows, "a search");
    search->first = cm_alloc(engine->ctx, n, sizeof *search->first, "a search");
    counters->is_paused = true; /* what is read again is no work of the model's */
    if (search->rows && search->first) {
        if (position < MAX_READ_AGAIN) (void)search_all(search, session->tokens, position + 1);
        else if (session->state.fixed_bytes == 0) /* a state would take the token in twice */
            (void)read_again(search, &session->sequence, session->tokens, position, 1, &status);
    }
    counters->is_paused = was_paused;
    cm_sequence_state_close(&search->state);
    cm_free(search->rows);
    cm_free(search->first);
}

static bool is_embedding_finite(const calmoe_engine *engine, int32_t token)
{
    const struct weight_source *embedding = &engine->weights->embedding;
    const size_t       dim = (size_t)engine->model->spec.dim, row_bytes = cm_row_bytes(embedding->type, dim);
    struct bad_numbers found = {0};
    cm_count_bad_weights(embedding->type, embedding->rows + (size_t)token * row_bytes,
                         dim / (size_t)cm_weight_types[embedding->type].n_elements, 0, &found);
    return found.n_nan + found.n_infinite == 0;
}

enum { PLACE_BYTES = 160 };

/* "in layer 3, at position 17" */
static void say_place(const calmoe_session *session, const struct search *search, char text[PLACE_BYTES])
{
    const char *before = search->position >= MAX_READ_AGAIN ? " or before it" : "";
    if (search->layer < 0)
        snprintf(text, PLACE_BYTES, "%s", session->rung ? "after the layers that the policy leaves on, or in the head"
                                                        : "in the output head");
    else if (search->layer == 0 && !is_embedding_finite(session->engine, session->tokens[search->position]))
        snprintf(text, PLACE_BYTES, "in the embedding of token %d, at position %d",
                 (int)session->tokens[search->position], search->position);
    else snprintf(text, PLACE_BYTES, "in layer %d (blk.%d), at position %d%s", search->layer, search->layer,
                  search->position, before);
}

calmoe_status cm_session_check_logits(calmoe_session *session, int row)
{
    const int    n_vocab = session->engine->model->spec.n_vocab;
    const float *logits = cm_session_logits(session, row);
    if (!logits || cm_are_finite(logits, (size_t)n_vocab)) return CALMOE_OK;
    const int          position = session->n_positions - session->n_logits + row;
    struct bad_numbers found = {0};
    struct search      search;
    char               place[PLACE_BYTES];
    cm_count_bad_floats(logits, (size_t)n_vocab, 0, &found);
    find_layer(session, position, &search);
    say_place(session, &search, place);
    return cm_fail(session->engine->ctx, CALMOE_NOT_FINITE,
                   "%" PRIu64 " of %d logits after position %d are NaN or infinite; it begins %s",
                   found.n_nan + found.n_infinite, n_vocab, position, place);
}

calmoe_status cm_chunks_check_logits(const calmoe_chunk *chunks, int n_chunks)
{
    for (int i = 0; i < n_chunks; i++)
        for (int row = 0; row < chunks[i].session->n_logits; row++)
            CM_TRY(cm_session_check_logits(chunks[i].session, row));
    return CALMOE_OK;
}
