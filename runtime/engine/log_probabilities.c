/* log_probabilities.c - how likely tokens were: of a row of logits that is there, and of texts as they are read. */
#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "runtime/engine/handles.h"
#include "runtime/sample/log_probability.h"

calmoe_status calmoe_session_logprobs(const calmoe_session *session, int row, int32_t token, float *logprob, int n_top,
                                      int32_t *top_tokens, float *top_logprobs)
{
    calmoe_context *ctx = session ? session->engine->ctx : NULL;
    if (!session) return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "calmoe_session_logprobs: a session is needed");
    const int n_vocab = session->engine->model->spec.n_vocab;
    if (row == -1) row = session->logits.n - 1;
    const float *logits = cm_session_logits(session, row);
    if (!logits)
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT,
                       "calmoe_session_logprobs: row %d of the last step has no logits of this session", row);
    const bool has_room = n_top <= 0 || (top_tokens && top_logprobs);
    if (token < 0 || token >= n_vocab || n_top < 0 || n_top > n_vocab || !has_room)
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "calmoe_session_logprobs: token %d and the %d likeliest, with "
                       "room for them, are wanted of a vocabulary of %d", (int)token, n_top, n_vocab);
    CM_TRY(cm_session_check_logits((calmoe_session *)session, row));
    const double log_sum = cm_log_sum(logits, n_vocab);
    if (logprob) *logprob = (float)((double)logits[token] - log_sum);
    cm_log_top(logits, n_vocab, log_sum, n_top, top_tokens, top_logprobs);
    return CALMOE_OK;
}

/* ---- of texts ---- */

static void forget(struct kept_logprobs *kept)
{
    cm_free(kept->logprobs);
    cm_free(kept->top_tokens);
    cm_free(kept->top_logprobs);
    *kept = (struct kept_logprobs){.n_top = -1};
}

void cm_session_close_logprobs(calmoe_session *session) { forget(&session->kept); }

calmoe_status cm_session_reserve_logprobs(calmoe_session *session, int n)
{
    calmoe_context       *ctx = session->engine->ctx;
    struct kept_logprobs *kept = &session->kept;
    if (kept->n_top < 0 || n <= kept->capacity) return CALMOE_OK;
    int capacity = n > INT32_MAX / 2 ? n : 2 * n;
    if (capacity > session->context) capacity = session->context;
    const size_t n_old = (size_t)kept->capacity, n_new = (size_t)capacity, n_top = (size_t)kept->n_top;
    const char  *what = "log-probabilities";
    CM_TRY(cm_grow(ctx, &kept->top_tokens, n_old * n_top, n_new * n_top, sizeof *kept->top_tokens, what));
    CM_TRY(cm_grow(ctx, &kept->top_logprobs, n_old * n_top, n_new * n_top, sizeof *kept->top_logprobs, what));
    CM_TRY(cm_grow(ctx, &kept->logprobs, n_old, n_new, sizeof *kept->logprobs, what));
    for (int i = kept->capacity; i < capacity; i++) kept->logprobs[i] = NOTHING_KEPT;
    kept->capacity = capacity;
    return CALMOE_OK;
}

calmoe_status calmoe_session_keep_logprobs(calmoe_session *session, int n_top)
{
    if (!session || n_top < -1 || n_top > session->engine->model->spec.n_vocab)
        return cm_fail(session ? session->engine->ctx : NULL, CALMOE_INVALID_ARGUMENT,
                       "calmoe_session_keep_logprobs: a session is needed, and the %d likeliest tokens cannot be kept: "
                       "-1 (nothing) to all of the vocabulary are wanted", n_top);
    forget(&session->kept);
    session->kept.n_top = n_top;
    const calmoe_status status = cm_session_reserve_logprobs(session, session->n_known);
    if (status != CALMOE_OK) forget(&session->kept);
    return status;
}

void cm_session_keep_logprobs(calmoe_session *session)
{
    struct kept_logprobs *kept = &session->kept;
    const int             n_vocab = session->engine->model->spec.n_vocab;
    for (int row = 0; row < session->logits.n; row++) {
        const int position = session->n_positions - session->logits.n + row + 1; /* whose token the row is about */
        if (position >= session->n_known || position >= kept->capacity) continue;
        const size_t  at = (size_t)position * (size_t)kept->n_top;
        const float  *logits = cm_session_logits(session, row);
        kept->logprobs[position] = NAN;
        if (cm_session_check_logits(session, row) != CALMOE_OK) continue;
        const double log_sum = cm_log_sum(logits, n_vocab);
        kept->logprobs[position] = (float)((double)logits[session->tokens[position]] - log_sum);
        cm_log_top(logits, n_vocab, log_sum, kept->n_top, kept->top_tokens + at, kept->top_logprobs + at);
    }
}

void cm_session_rewind_logprobs(calmoe_session *session, int n)
{
    struct kept_logprobs *kept = &session->kept;
    for (int i = n; i < kept->capacity; i++) kept->logprobs[i] = NOTHING_KEPT;
}

calmoe_status calmoe_session_kept_logprobs(const calmoe_session *session, int position, float *logprob, int n_top,
                                           int32_t *top_tokens, float *top_logprobs)
{
    calmoe_context *ctx = session ? session->engine->ctx : NULL;
    if (!session) return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "calmoe_session_kept_logprobs: a session is needed");
    const struct kept_logprobs *kept = &session->kept;
    if (n_top < 0 || n_top > (kept->n_top > 0 ? kept->n_top : 0) || (n_top > 0 && (!top_tokens || !top_logprobs)))
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "calmoe_session_kept_logprobs: the %d likeliest tokens, with room "
                       "for them, are wanted, and %d are kept", n_top, kept->n_top > 0 ? kept->n_top : 0);
    if (position == 0)
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "the first token of a session has no probability: nothing stands "
                       "before it");
    if (position < 0 || position >= kept->capacity || position >= session->n_known ||
        !(kept->logprobs[position] <= 0 || isnan(kept->logprobs[position])))
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "of the token at position %d no log-probability is kept: those of "
                       "texts are, from calmoe_session_keep_logprobs() on, as they are read", position);
    if (isnan(kept->logprobs[position]))
        return cm_fail(ctx, CALMOE_NOT_FINITE, "the logits before position %d are NaN or infinite", position);
    if (logprob) *logprob = kept->logprobs[position];
    const size_t at = (size_t)position * (size_t)(kept->n_top > 0 ? kept->n_top : 0);
    if (n_top > 0) memcpy(top_tokens, kept->top_tokens + at, (size_t)n_top * sizeof *top_tokens);
    if (n_top > 0) memcpy(top_logprobs, kept->top_logprobs + at, (size_t)n_top * sizeof *top_logprobs);
    return CALMOE_OK;
}
