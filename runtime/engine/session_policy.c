/* runtime/engine/session_policy.c - the rung of a policy that a session goes by, and what its rows need for it. */
#include <string.h>

#include "runtime/engine/handles.h"

static bool has_widths(const struct policy *policy)
{
    bool has = false;
    for (int i = 0; i < policy->n_rungs; i++)
        for (int layer = 0; policy->rungs[i].widths && layer < policy->n_layers; layer++)
            has |= policy->rungs[i].widths[layer].kind != WIDTH_OFF;
    return has;
}

calmoe_status cm_policy_fits_model(const calmoe_model *model, const struct policy *policy)
{
    if (strcmp(policy->fingerprint, model->file_fingerprint) == 0 &&
        strcmp(model->fingerprint, model->file_fingerprint) != 0)
        return cm_fail(model->ctx, CALMOE_INVALID_ARGUMENT,
                       "the policy is for '%s' as the file says; it was opened with other numbers (n_experts_used, "
                       "rope_…), and nothing is known of those", model->path);
    CM_TRY(cm_policy_fits(model->ctx, policy, model->fingerprint, model->spec.n_layers, model->spec.most.n_used));
    if (!cm_is_dense_model(&model->spec) || !has_widths(policy)) return CALMOE_OK;
    return cm_fail(model->ctx, CALMOE_INVALID_ARGUMENT,
                   "the policy runs fewer experts; '%s' is a dense model, which has none to leave out", model->path);
}

calmoe_status cm_session_let_wait(calmoe_session *session, int n)
{
    cm_waiting_close(&session->sequence.waiting);
    return cm_waiting_open(session->engine->ctx, n, session->engine->model->spec.dim, &session->sequence.waiting);
}

/* What was proven with learned exits is not true without them, or with others. */
static calmoe_status check_exits(const calmoe_engine *engine, const calmoe_policy *policy)
{
    const char *wanted = policy->policy.exits, *found = cm_engine_exits(engine);
    if (strcmp(wanted, found) == 0) return CALMOE_OK;
    return cm_fail(engine->ctx, CALMOE_INVALID_ARGUMENT,
                   "the policy was calibrated %s%s; the engine was opened %s%s", wanted[0] ? "with the exits " :
                   "without an exits file", wanted, found[0] ? "with the exits " : "without an exits file", found);
}

/* A rule that goes by what the plan keeps in memory wants such a plan; and where it is proven, one that keeps the same
 * experts. */
static calmoe_status check_residency(const calmoe_engine *engine, const calmoe_policy *policy,
                                     const struct policy_rung *rung)
{
    char kept[17];
    if (!cm_rung_goes_by_plan(rung, policy->policy.n_layers)) return CALMOE_OK;
    CM_TRY(cm_engine_check_streams(engine));
    cm_plan_kept(&engine->plan, kept);
    if (!policy->is_proven || strcmp(policy->policy.kept, kept) == 0) return CALMOE_OK;
    return cm_fail(engine->ctx, CALMOE_INVALID_ARGUMENT, "rung %d of the policy is proven under a plan that keeps "
                   "other experts in memory (%s) than this engine's (%s)", cm_policy_index(&policy->policy, rung),
                   policy->policy.kept, kept);
}

calmoe_status cm_engine_check_streams(const calmoe_engine *engine)
{
    if (cm_plan_n_streamed(&engine->plan, -1) > 0) return CALMOE_OK;
    return cm_fail(engine->ctx, CALMOE_INVALID_ARGUMENT, "width '%s' wants a plan that says which experts are "
                   "streamed; this engine's says nothing of it", cm_width_rules[WIDTH_RESIDENT].name);
}

calmoe_status cm_session_set_policy(calmoe_session *session, const calmoe_policy *policy, double quality)
{
    calmoe_context *ctx = session->engine->ctx;
    if (!(quality >= 0.0 && quality < 1.0))
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "quality is %g; 0 (the safest rung) to below 1 is wanted",
                       quality);
    if (!policy) {
        if (quality > 0.0) return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "quality %g without a policy", quality);
        return CALMOE_OK;
    }
    if (quality > 0.0 && !policy->is_proven)
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "quality %g is wanted of a policy of which nothing is proven",
                       quality);
    CM_TRY(cm_policy_fits_model(session->engine->model, &policy->policy));
    session->rung = quality > 0.0 ? cm_policy_rung(&policy->policy, quality) : cm_policy_safest(&policy->policy);
    session->policy = policy;
    if (!session->rung) return CALMOE_OK;
    CM_TRY(cm_session_check_policy_with_adapters(session));
    for (const struct policy_rung *rung = session->rung; rung; rung = cm_policy_step_down(&policy->policy, rung))
        CM_TRY(check_residency(session->engine, policy, rung)); /* that alarms may lead to, too */
    if (policy->is_proven && session->rung->n_exits > 0) CM_TRY(check_exits(session->engine, policy));
    CM_TRY(cm_exits_check(ctx, session->rung, session->engine->exit_weights));
    const int n_rungs = cm_policy_index(&policy->policy, session->rung) + 1; /* that alarms may lead to */
    const int max_waiting = cm_exits_max_waiting(policy->policy.rungs, n_rungs);
    if (max_waiting > 0) CM_TRY(cm_session_let_wait(session, max_waiting));
    return cm_engine_need_exits(session->engine);
}

calmoe_status calmoe_session_set_policy(calmoe_session *session, const calmoe_policy *policy, double quality)
{
    if (!session || session->drafts)
        return cm_fail(session ? session->engine->ctx : NULL, CALMOE_INVALID_ARGUMENT,
                       session ? "calmoe_session_set_policy: a lossless session drafts by the policy that it has"
                               : "calmoe_session_set_policy: a session is needed");
    CM_TRY(cm_session_catch_up(session));
    cm_session_end_answer(session);
    cm_waiting_close(&session->sequence.waiting);
    session->policy = NULL;
    session->rung = NULL;
    session->audit.share = 0.0;
    calmoe_session_options options = session->asked;
    options.policy = policy;
    options.quality = quality;
    calmoe_status status = cm_session_set_policy(session, policy, quality);
    if (status == CALMOE_OK) status = cm_session_open_audit(session, &options);
    if (status != CALMOE_OK) {
        session->policy = options.policy = NULL;
        session->rung = NULL;
        session->audit.share = options.quality = 0.0;
    }
    session->asked = options;
    return status;
}

int calmoe_session_rung(const calmoe_session *session)
{
    return session && session->rung ? cm_policy_index(&session->policy->policy, session->rung) : -1;
}
