/* runtime/engine/audit.c - the audit of a session: some tokens of its answers are run twice, by the policy and then
 * by all layers and experts, and runtime/proof/exit_audit.h bets that they differ more often than the policy's bound
 * allows.
 *
 * A token is picked before its step. The policy's step is a trial: its likeliest token is noted, and nothing else
 * is kept of it, neither position nor hash nor what the sampler counts. The token is then still to be read, so the next
 * step reads it as any other, without a rung. Both writes of its keys and values go to the same place, and the full
 * ones stay. Picks are drawn by a stream of the session's own: one number for each token that the policy is for, so
 * they depend neither on what the tokens are nor on who shares the batch. */
#include <stdio.h>
#include <string.h>

#include "base/options.h"
#include "kernels/elementary.h"
#include "runtime/engine/handles.h"
#include "runtime/sample/likeliest.h"

static void begin_test(calmoe_session *session)
{
    if (session->rung)
        cm_audit_begin(&session->audit.test, AUDIT_EVER, session->rung->delta, session->audit.alpha);
}

static calmoe_status check_options(const calmoe_session *session, const calmoe_session_options *options)
{
    calmoe_context *ctx = session->engine->ctx;
    if (options->audit < CALMOE_AUDIT_WHERE_PROVEN || options->audit > CALMOE_AUDIT_NEVER)
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "audit is %d; one of CALMOE_AUDIT_*, %d to %d, is wanted",
                       options->audit, CALMOE_AUDIT_WHERE_PROVEN, CALMOE_AUDIT_NEVER);
    if (!(options->audit_share > 0.0 && options->audit_share <= 1.0))
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "audit_share is %g; above 0 and at most 1 is wanted",
                       options->audit_share);
    if (!(options->audit_alpha > 0.0 && options->audit_alpha < 1.0))
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "audit_alpha is %g; above 0 and below 1 is wanted",
                       options->audit_alpha);
    if (options->audit != CALMOE_AUDIT_REQUIRED) return CALMOE_OK;
    if (!session->policy || !session->policy->is_proven)
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "an audit is wanted without a policy of which a bound is proven");
    if (session->rung && session->rung->loss != LOSS_TOKEN_DISAGREEMENT)
        return cm_fail(ctx, CALMOE_UNSUPPORTED, "an audit is wanted of a bound on '%s'; this version audits '%s' only",
                       cm_loss_kinds[session->rung->loss].name, cm_loss_kinds[LOSS_TOKEN_DISAGREEMENT].name);
    return CALMOE_OK;
}

calmoe_status cm_session_open_audit(calmoe_session *session, const calmoe_session_options *options)
{
    struct session_audit *audit = &session->audit;
    CM_TRY(check_options(session, options));
    const bool is_wanted = options->audit != CALMOE_AUDIT_NEVER && session->rung && session->policy->is_proven &&
                           session->rung->loss == LOSS_TOKEN_DISAGREEMENT;
    audit->share = is_wanted ? options->audit_share : 0.0;
    audit->alpha = options->audit_alpha;
    audit->picks = cm_random(options->audit_seed);
    begin_test(session);
    if (audit->share == 0.0) return CALMOE_OK;
    const struct policy_rung *rung = session->rung;
    while ((rung = cm_policy_step_down(&session->policy->policy, rung)) != NULL) /* where alarms lead */
        CM_TRY(cm_exits_check(session->engine->ctx, rung, session->engine->exit_weights));
    return CALMOE_OK;
}

/* ---- a token ---- */

void cm_session_pick_audit(calmoe_session *session, int n_tokens)
{
    struct session_audit *audit = &session->audit;
    const bool is_answer = cm_session_is_answer(session, session->n_positions);
    if (audit->share == 0.0 || !session->rung || !is_answer || n_tokens != 1 || audit->state != AUDIT_NO_TOKEN) return;
    if (cm_random_unit(&audit->picks) < audit->share) audit->state = AUDIT_TRIAL;
}

bool cm_session_note_audit(calmoe_session *session)
{
    struct session_audit *audit = &session->audit;
    if (audit->state == AUDIT_NO_TOKEN) return false;
    const float *logits = cm_session_logits(session, session->logits.n - 1);
    const calmoe_model *model = session->engine->model;
    const int32_t token = cm_likeliest_token(logits, model->spec.n_vocab, model->usable);
    if (audit->state == AUDIT_TRIAL) {
        audit->state = AUDIT_IN_FULL;
        audit->token = token;
        return true;
    }
    audit->state = AUDIT_NO_TOKEN;
    audit->n_tokens++;
    audit->n_different += token != audit->token;
    cm_audit_token(&audit->test, token != audit->token);
    return false;
}

/* ---- an answer ---- */

/* The policy's next safer front from now on, and a new test. */
static void step_down(calmoe_session *session, const struct policy_rung *rung)
{
    struct session_audit *audit = &session->audit;
    const double delta = session->rung->delta;
    char now[64] = "nothing is left out from now on";
    session->rung = rung;
    audit->n_alarms++;
    if (rung) snprintf(now, sizeof now, "the bound is %g from now on", rung->delta);
    cm_log(session->engine->ctx, "audit: more than %g of tokens differ from the full model's (%llu of %llu that were "
           "run twice); %s", delta, (unsigned long long)audit->n_different, (unsigned long long)audit->n_tokens, now);
    begin_test(session);
}

void cm_session_end_answer(calmoe_session *session)
{
    struct session_audit *audit = &session->audit;
    audit->state = AUDIT_NO_TOKEN;
    if (audit->share > 0.0 && session->rung && cm_audit_answer(&audit->test))
        step_down(session, cm_policy_step_down(&session->policy->policy, session->rung));
}

calmoe_status calmoe_session_audit(const calmoe_session *session, calmoe_audit *out)
{
    if (!session || !out || out->size < sizeof out->size)
        return cm_fail(session ? session->engine->ctx : NULL, CALMOE_INVALID_ARGUMENT,
                       "calmoe_session_audit: session and audit with its size set are needed");
    const struct session_audit *audit = &session->audit;
    const bool is_on = audit->share > 0.0 && session->rung;
    calmoe_audit now = {
        .share = is_on ? audit->share : 0.0,
        .n_tokens = audit->n_tokens,
        .n_different = audit->n_different,
        .n_answers = is_on ? audit->test.n : 0,
        .ln_evidence = is_on ? cm_audit_ln_evidence(&audit->test) : 0.0,
        .ln_limit = is_on ? -cm_ln(audit->alpha) : 0.0,
        .rung = session->rung ? cm_policy_index(&session->policy->policy, session->rung) : -1,
        .n_alarms = audit->n_alarms,
    };
    cm_options_give(out, &now, sizeof now);
    return CALMOE_OK;
}
