/* session_sampler.c - a session's sampler: opened, replaced, kept in step with the session's tokens, asked. */
#include "base/options.h"
#include "runtime/engine/handles.h"

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

static bool is_answer(const calmoe_session *session, int position)
{
    return session->answer_begin >= 0 && position >= session->answer_begin;
}

void cm_session_accept(calmoe_session *session, int position)
{
    cm_sampler_accept(session->sampler, session->tokens[position], is_answer(session, position));
}

void cm_session_accept_anew(calmoe_session *session, int n)
{
    int first = n - cm_sampler_repeat_last(session->sampler);
    if (session->answer_begin >= 0 && session->answer_begin < first) first = session->answer_begin;
    cm_sampler_forget(session->sampler);
    for (int i = first > 0 ? first : 0; i < n; i++) cm_session_accept(session, i);
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

calmoe_status calmoe_session_set_limits(calmoe_session *session, int max_new_tokens, int ignore_end)
{
    if (!session || max_new_tokens < 0)
        return cm_fail(session ? session->engine->ctx : NULL, CALMOE_INVALID_ARGUMENT,
                       "calmoe_session_set_limits: a session, and 0 (no limit) or more tokens, are needed");
    session->max_new = session->asked.max_new_tokens = max_new_tokens;
    session->asked.ignore_end = ignore_end;
    session->ignores_end = ignore_end != 0;
    return CALMOE_OK;
}

static calmoe_status no_token(const calmoe_session *session)
{
    calmoe_context *ctx = session->engine->ctx;
    switch (cm_sampler_problem(session->sampler)) {
    case SAMPLER_COMPLETE: return CALMOE_END;
    case SAMPLER_STUCK:
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "no token of the vocabulary goes on with the answer as its "
                       "constraint asks: it was begun without, or the vocabulary lacks the bytes");
    default:
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "the sampler's biases ban all tokens that may come");
    }
}

calmoe_status calmoe_session_sample(calmoe_session *session, int32_t *token)
{
    if (!session || !token)
        return cm_fail(session ? session->engine->ctx : NULL, CALMOE_INVALID_ARGUMENT,
                       "calmoe_session_sample: session and token are needed");
    calmoe_context *ctx = session->engine->ctx;
    const float *logits = cm_session_logits(session, session->n_logits - 1);
    if (!logits)
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT,
                       "calmoe_session_sample: the last step computed no logits of this session");
    CM_TRY(cm_session_check_logits(session, session->n_logits - 1));
    *token = cm_sampler_pick(session->sampler, logits, session->engine->model->usable);
    return *token >= 0 ? CALMOE_OK : no_token(session);
}
