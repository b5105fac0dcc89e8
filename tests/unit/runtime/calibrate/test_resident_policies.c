/* test_resident_policies.c - rungs that go by which experts a plan keeps in memory: proven under a plan, they lose in
 * sessions what calibration says, with any number of threads; under a plan that keeps others they are refused, or left
 * out of the choice, and what goes by no plan stays. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <calmoe/calibration.h>

#include "runtime/documents/plan_file.h"
#include "runtime/engine/handles.h"
#include "runtime/proof/deal.h"
#include "tests/support/folder_fixture.h"
#include "tests/support/running.h"
#include "tests/support/tiny_model.h"

enum { N_LAYERS = 2, N_EXPERTS = 8, N_PROMPTS = 40, N_FIRST = 20, N_TOKENS = 4, N_ANSWER = 5 };

static char          model_path[600], plan_paths[2][600], policy_path[600];
static int32_t       tokens[N_PROMPTS][N_TOKENS];
static calmoe_prompt prompts[N_PROMPTS];

static struct running open_under(const char *plan, int n_threads)
{
    calmoe_engine_options options = running_options(n_threads, NULL);
    options.plan = plan;
    return running_open(model_path, &options, NULL);
}

/* Every other expert is streamed, from the first on or the second. */
static void write_plan(int which)
{
    struct running   r = open_under(NULL, 1);
    struct plan_file file = {.plan = r.engine->plan};
    memcpy(file.fingerprint, r.model->file_fingerprint, sizeof file.fingerprint);
    for (int i = 0; i < N_LAYERS * N_EXPERTS; i++)
        if (i % 2 == which) cm_plan_stream(&file.plan, i / N_EXPERTS, i % N_EXPERTS);
    assert_int_equal(cm_plan_file_write(r.context, plan_paths[which], &file), CALMOE_OK);
    running_close(&r);
}

/* Only rules of width, of which one expert a token leaves those that go by the plan; a bound for which random text
 * proves much. */
static calmoe_calibrate_options wish(void)
{
    static const double deltas[] = {0.9};
    calmoe_calibrate_options options;
    calmoe_calibrate_options_init(&options);
    options.costs = CALMOE_COSTS_BYTES;
    options.deltas = deltas;
    options.n_deltas = 1;
    options.first_share = 0.5;
    options.answer_tokens = N_ANSWER;
    options.most = 20;
    options.measures = "";
    options.resident = 1;
    return options;
}

/* The policy proven under the first plan. *finding's texts are gone. */
static calmoe_policy *prove(struct running *r, calmoe_finding *finding)
{
    const calmoe_calibrate_options options = wish();
    calmoe_calibration *calibration = NULL;
    calmoe_policy      *policy = NULL;
    running_must(r->context, calmoe_calibrate(r->engine, prompts, N_PROMPTS, &options, &calibration));
    running_must(r->context, calmoe_calibration_get_policy(calibration, &policy));
    finding->size = sizeof *finding;
    running_must(r->context, calmoe_calibration_get_finding(calibration, 0, finding));
    calmoe_calibration_info info = {.size = sizeof info};
    running_must(r->context, calmoe_calibration_get_info(calibration, &info));
    assert_true(info.read > 0.0 && info.reads > 0.0 && finding->mean_reads < info.reads);
    calmoe_calibration_close(&calibration);
    return policy;
}

/* The first member of the only front that goes by the plan, from 1 on; 0: none does. */
static int resident_member(const calmoe_policy *policy)
{
    for (int i = 0; i < policy->policy.n_rungs; i++)
        if (cm_rung_goes_by_plan(&policy->policy.rungs[i], N_LAYERS)) return i + 1;
    return 0;
}

/* What the whole model answers to the prompt, where policy is NULL; else what reading that answer token by token under
 * the policy loses. */
static double read_answer(struct running *r, const calmoe_policy *policy, const calmoe_prompt *prompt, int32_t *answer,
                          int *n_answer)
{
    calmoe_session        *session = NULL;
    calmoe_session_options options;
    int                    n_differ = 0;
    calmoe_session_options_init(&options);
    options.policy = policy;
    options.quality = policy ? 0.9 : 0.0;
    running_must(r->context, calmoe_session_open(r->engine, &options, &session));
    calmoe_chunk chunk = {session, prompt->tokens, prompt->n_tokens, CALMOE_LOGITS_LAST};
    running_must(r->context, calmoe_engine_step(r->engine, &chunk, 1));
    if (policy) calmoe_session_begin_answer(session);
    for (int t = 0; t < (policy ? *n_answer : N_ANSWER); t++) {
        int32_t likeliest;
        running_must(r->context, calmoe_session_sample(session, &likeliest));
        if (policy && t > 0) n_differ += likeliest != answer[t];
        if (!policy) answer[(*n_answer)++] = likeliest;
        if (!policy && calmoe_token_ends(r->model, likeliest)) break;
        chunk = (calmoe_chunk){session, &answer[t], 1, CALMOE_LOGITS_LAST};
        running_must(r->context, calmoe_engine_step(r->engine, &chunk, 1));
    }
    calmoe_session_close(&session);
    return *n_answer > 1 ? (double)n_differ / (*n_answer - 1) : 0.0;
}

static double mean_loss(struct running *r, const calmoe_policy *policy)
{
    double sum = 0.0;
    int    order[N_PROMPTS];
    cm_deal(order, N_PROMPTS, 1);
    for (int p = N_FIRST; p < N_PROMPTS; p++) {
        int32_t answer[N_ANSWER];
        int     n = 0;
        read_answer(r, NULL, &prompts[order[p]], answer, &n);
        sum += read_answer(r, policy, &prompts[order[p]], answer, &n);
    }
    return sum / (N_PROMPTS - N_FIRST);
}

/* The same finding by any number of threads, kept in a file and read back; and what sessions lose is what it says. */
static void proven_under_a_plan(void **state)
{
    (void)state;
    calmoe_finding findings[2];
    calmoe_policy *policies[2];
    for (int way = 0; way < 2; way++) {
        struct running r = open_under(plan_paths[0], 1 + 2 * way);
        policies[way] = prove(&r, &findings[way]);
        assert_true(findings[way].is_proven && resident_member(policies[way]) > 0);
        assert_true(mean_loss(&r, policies[way]) == findings[way].mean_loss);
        if (way == 0) running_must(r.context, calmoe_policy_save(policies[0], policy_path));
        calmoe_policy *read = NULL;
        running_must(r.context, calmoe_policy_open(r.model, policy_path, &read));
        assert_string_equal(read->policy.kept, policies[way]->policy.kept);
        assert_true(read->policy.off_reads == policies[way]->policy.off_reads);
        assert_int_equal(read->policy.n_rungs, policies[way]->policy.n_rungs);
        const size_t n_bytes = (size_t)read->policy.n_rungs * N_LAYERS * sizeof *read->policy.widths;
        assert_memory_equal(read->policy.widths, policies[way]->policy.widths, n_bytes);
        calmoe_policy_close(&read);
        calmoe_policy_close(&policies[way]);
        running_close(&r);
    }
    assert_true(findings[0].mean_loss == findings[1].mean_loss && findings[0].p == findings[1].p);
    assert_true(findings[0].cost == findings[1].cost && findings[0].mean_reads == findings[1].mean_reads);
}

static void refused_under_another(void **state)
{
    (void)state;
    struct running         r = open_under(plan_paths[1], 1);
    calmoe_policy         *policy = NULL;
    calmoe_session        *session = NULL;
    calmoe_session_options options;
    calmoe_session_options_init(&options);
    char kept[17], wanted[300];
    running_must(r.context, calmoe_policy_open(r.model, policy_path, &policy));
    const int member = resident_member(policy), n_rungs = policy->policy.n_rungs;
    int       n_by_plan = 0;
    for (int i = 0; i < n_rungs; i++) n_by_plan += cm_rung_goes_by_plan(&policy->policy.rungs[i], N_LAYERS);
    options.policy = policy;
    options.quality = 0.9;
    running_must(r.context, calmoe_policy_fix(policy, 0.9, member));
    assert_int_equal(calmoe_session_open(r.engine, &options, &session), CALMOE_INVALID_ARGUMENT);
    cm_plan_kept(&r.engine->plan, kept);
    snprintf(wanted, sizeof wanted, "rung %d of the policy is proven under a plan that keeps other experts in memory "
             "(%s) than this engine's (%s)", member - 1, policy->policy.kept, kept);
    assert_string_equal(calmoe_context_message(r.context), wanted);

    running_must(r.context, calmoe_policy_choose(policy, r.engine, "bytes")); /* what goes by no plan is left */
    running_must(r.context, calmoe_session_open(r.engine, &options, &session));
    const int rung = calmoe_session_rung(session);
    assert_true(n_by_plan == n_rungs ? rung == -1 : rung < 0 || !cm_rung_goes_by_plan(&policy->policy.rungs[rung], 2));
    calmoe_session_close(&session);
    calmoe_policy_close(&policy);
    running_close(&r);
}

/* Nothing is there to prefer where no plan says what stays. */
static void refused_without_a_plan(void **state)
{
    (void)state;
    struct running                 r = open_under(NULL, 1);
    calmoe_calibration            *calibration = NULL;
    const calmoe_calibrate_options options = wish();
    assert_int_equal(calmoe_calibrate(r.engine, prompts, N_PROMPTS, &options, &calibration), CALMOE_INVALID_ARGUMENT);
    assert_string_equal(calmoe_context_message(r.context), "width 'resident' wants a plan that says which experts are "
                                                           "streamed; this engine's says nothing of it");
    running_close(&r);
}

static int set_up(void **state)
{
    struct tiny_model tiny = tiny_model();
    if (open_folder(state) != 0) return -1;
    tiny.n_layers = N_LAYERS;
    tiny.n_experts = N_EXPERTS;
    tiny.n_used = 1; /* so there is no other rule of width */
    snprintf(model_path, sizeof model_path, "%s", temp_file(folder, "tiny.gguf"));
    snprintf(plan_paths[0], sizeof plan_paths[0], "%s", temp_file(folder, "even.json"));
    snprintf(plan_paths[1], sizeof plan_paths[1], "%s", temp_file(folder, "odd.json"));
    snprintf(policy_path, sizeof policy_path, "%s", temp_file(folder, "policy.json"));
    tiny_model_write(&tiny, model_path);
    for (int which = 0; which < 2; which++) write_plan(which);
    for (int p = 0; p < N_PROMPTS; p++) {
        for (int i = 0; i < N_TOKENS; i++) tokens[p][i] = 30 + (p * 7 + i * i * 3) % 200;
        prompts[p] = (calmoe_prompt){.tokens = tokens[p], .n_tokens = 1 + p % N_TOKENS};
    }
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(proven_under_a_plan),
        cmocka_unit_test(refused_under_another),
        cmocka_unit_test(refused_without_a_plan),
    };
    return cmocka_run_group_tests_name("policies that go by a plan", tests, set_up, close_folder);
}
