/* runtime/engine/results.c - what a session takes from its steps: its rows of logits, whether they are numbers, their
 * hash; and its sampler, which is told of the tokens that were read and draws the next one.
 *
 * Logits that are no numbers: steps say of each row after how many layers its state held NaN or infinities first, and a
 * session remembers the first of its positions of which that was said. From there they spread, by keys and values, to
 * all that follow. Whoever chooses a token looks at its logits, which costs one pass over them, and where they are no
 * numbers the sentence names that position and layer. */
#include <inttypes.h>

#include "base/options.h"
#include "kernels/bad_numbers.h"
#include "runtime/engine/handles.h"

/* ---- rows of logits ---- */

void cm_session_give_logits(calmoe_session *session, int first, int n)
{
    session->logits.first = first;
    session->logits.n = n;
    session->logits.step = session->last_step = session->engine->n_steps;
}

const float *cm_session_logits(const calmoe_session *session, int row)
{
    if (row < 0 || row >= session->logits.n || session->logits.step != session->engine->n_steps) return NULL;
    const size_t at = (size_t)(session->logits.first + row) * (size_t)session->engine->model->spec.n_vocab;
    return session->engine->step.logits + at;
}

void cm_session_hash(calmoe_session *session)
{
    const size_t n_floats = (size_t)session->logits.n * (size_t)session->engine->model->spec.n_vocab;
    const float *logits = cm_session_logits(session, 0);
    if (session->logits.hashes && logits) cm_sha256_add(&session->logits.hash, logits, n_floats * sizeof *logits);
}

/* ---- are they numbers? ---- */

static void note_numbers(calmoe_session *session, int position, const struct row_outcome *came)
{
    const bool is_known = session->broke.after >= 0 && session->broke.position < position;
    if (is_known) return;
    session->broke.position = position;
    session->broke.after = came->broke_after;
}

calmoe_status cm_session_check_logits(calmoe_session *session, int row)
{
    calmoe_context    *ctx = session->engine->ctx;
    const int          n_vocab = session->engine->model->spec.n_vocab;
    const int          position = session->n_positions - session->logits.n + row;
    const float       *logits = cm_session_logits(session, row);
    struct bad_numbers found = {0};
    if (!logits || cm_are_finite(logits, (size_t)n_vocab)) return CALMOE_OK;
    cm_count_bad_floats(logits, (size_t)n_vocab, 0, &found);
    const uint64_t n_bad = found.n_nan + found.n_infinite;
    if (session->broke.after < 0 || session->broke.position > position)
        return cm_fail(ctx, CALMOE_NOT_FINITE, "%" PRIu64 " of %d logits after position %d are NaN or infinite; it "
                       "begins in the output head", n_bad, n_vocab, position);
    if (session->broke.after == 0)
        return cm_fail(ctx, CALMOE_NOT_FINITE, "%" PRIu64 " of %d logits after position %d are NaN or infinite; it "
                       "begins in the embedding of token %d, at position %d", n_bad, n_vocab, position,
                       (int)session->tokens[session->broke.position], session->broke.position);
    return cm_fail(ctx, CALMOE_NOT_FINITE, "%" PRIu64 " of %d logits after position %d are NaN or infinite; it begins "
                   "in layer %d (blk.%d), at position %d", n_bad, n_vocab, position, session->broke.after - 1,
                   session->broke.after - 1, session->broke.position);
}

calmoe_status cm_chunks_check_logits(const calmoe_chunk *chunks, int n_chunks)
{
    for (int i = 0; i < n_chunks; i++)
        for (int row = 0; row < chunks[i].session->logits.n; row++)
            CM_TRY(cm_session_check_logits(chunks[i].session, row));
    return CALMOE_OK;
}

/* ---- tokens that were read ---- */

static void accept(calmoe_session *session, int position)
{
    cm_sampler_accept(session->sampler, session->tokens[position], cm_session_is_answer(session, position));
}

void cm_session_accept_anew(calmoe_session *session, int n)
{
    int first = n - cm_sampler_repeat_last(session->sampler);
    if (session->answer_begin >= 0 && session->answer_begin < first) first = session->answer_begin;
    cm_sampler_forget(session->sampler);
    for (int i = first > 0 ? first : 0; i < n; i++) accept(session, i);
}

void cm_session_keep_row(calmoe_session *session, int position, const struct row_outcome *came)
{
    note_numbers(session, position, came);
    accept(session, position);
}

void cm_session_take_row(calmoe_session *session, int row, int n_ahead)
{
    const struct row_outcome *came = &session->engine->step.outcomes[row];
    const int position = session->n_positions++;
    cm_session_give_logits(session, row, 1);
    note_numbers(session, position, came);
    cm_session_hash(session);
    cm_sampler_accept(session->sampler, session->tokens[position], cm_session_is_answer(session, position));
    cm_sequence_state_note(&session->state, session->n_positions + n_ahead);
}

/* ---- the sampler ---- */

void calmoe_sampler_options_init(calmoe_sampler_options *options)
{
    const struct sampler_options defaults = cm_sampler_defaults();
    if (options)
        *options = (calmoe_sampler_options){.size = sizeof *options, .temperature = defaults.temperature,
                                            .top_k = defaults.top_k, .top_p = defaults.top_p,
                                            .min_p = defaults.min_p, .repeat_penalty = defaults.repeat_penalty,
                                            .repeat_last = defaults.repeat_last_n, .seed = defaults.seed};
}

static calmoe_status open_sampler(const calmoe_session *session, const calmoe_sampler_options *given,
                                  struct sampler **out)
{
    calmoe_context *ctx = session->engine->ctx;
    calmoe_sampler_options options;
    calmoe_sampler_options_init(&options);
    CM_TRY(cm_options_copy(ctx, "calmoe_sampler_options", &options, sizeof options, given));
    const struct sampler_options sampler = {
        .temperature = options.temperature, .top_k = options.top_k, .top_p = options.top_p, .min_p = options.min_p,
        .repeat_penalty = options.repeat_penalty, .repeat_last_n = options.repeat_last, .seed = options.seed,
        .presence_penalty = options.presence_penalty, .frequency_penalty = options.frequency_penalty,
        .n_biases = options.n_biases, .bias_tokens = options.bias_tokens, .biases = options.biases,
        .constraint = options.constraint};
    if (options.constraint && options.constraint->trie != session->engine->model->trie)
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "the sampler's constraint was opened for another model");
    return cm_sampler_open(ctx, &sampler, session->engine->model->spec.n_vocab, out);
}

calmoe_status cm_session_open_sampler(calmoe_session *session, const calmoe_sampler_options *given)
{
    return open_sampler(session, given, &session->sampler);
}

calmoe_status calmoe_session_set_sampler(calmoe_session *session, const calmoe_sampler_options *options)
{
    struct sampler *sampler;
    if (!session)
        return cm_fail(NULL, CALMOE_INVALID_ARGUMENT, "calmoe_session_set_sampler: a session is needed");
    CM_TRY(open_sampler(session, options, &sampler));
    cm_sampler_close(&session->sampler);
    session->sampler = sampler;
    cm_session_accept_anew(session, cm_session_n_read(session));
    return CALMOE_OK;
}

calmoe_status calmoe_session_sample(calmoe_session *session, int32_t *token)
{
    if (!session || !token)
        return cm_fail(session ? session->engine->ctx : NULL, CALMOE_INVALID_ARGUMENT,
                       "calmoe_session_sample: session and token are needed");
    calmoe_context *ctx = session->engine->ctx;
    const float *logits = cm_session_logits(session, session->logits.n - 1);
    if (!logits)
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT,
                       "calmoe_session_sample: the last step computed no logits of this session");
    CM_TRY(cm_session_check_logits(session, session->logits.n - 1));
    *token = cm_sampler_pick(session->sampler, logits, session->engine->model->usable);
    return *token >= 0 ? CALMOE_OK : cm_sampler_refusal(ctx, session->sampler);
}
