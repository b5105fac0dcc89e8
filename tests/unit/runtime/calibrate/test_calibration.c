/* test_calibration.c - calibration through the public API on a tiny model: what it says is what sessions then do, token
 * after token; what is refused, in which words; nothing is left behind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <calmoe/calibration.h>

#include "base/memory.h"
#include "base/names.h"
#include "runtime/calibrate/calibrate_parts.h"
#include "runtime/calibrate/boldness.h"
#include "runtime/proof/deal.h"
#include "runtime/proof/losses.h"
#include "tests/support/running.h"
#include "tests/support/folder_fixture.h"
#include "tests/support/tiny_model.h"
#include "tests/support/thin.h"

enum { N_LAYERS = 4, N_PROMPTS = 60, N_FIRST = 30, N_TOKENS = 5, N_ANSWER = 6, N_VOCAB = 317 };

static char path[600];
static int32_t       tokens[N_PROMPTS][N_TOKENS], references[N_PROMPTS][N_ANSWER];
static calmoe_prompt prompts[N_PROMPTS];

static struct running open_running(int max_rows)
{
    calmoe_engine_options options = running_options(1, NULL);
    options.max_rows = max_rows;
    return running_open(path, &options, NULL);
}

static struct tiny_model small_model(void)
{
    struct tiny_model tiny = tiny_model();
    tiny.n_layers  = N_LAYERS;
    tiny.n_experts = 8;
    tiny.n_used    = 3;
    return tiny;
}

static calmoe_calibrate_options small(void)
{
    static const double deltas[] = {0.01, 0.5, 0.9};
    calmoe_calibrate_options options;
    calmoe_calibrate_options_init(&options);
    options.costs = CALMOE_COSTS_BYTES;
    options.deltas = deltas;
    options.n_deltas = 3;
    options.first_share = 0.5;
    options.answer_tokens = N_ANSWER;
    options.most = 40;
    return options;
}

/* ---- it says the same again ---- */

/* Where costs are bytes, neither threads nor what else the machine does changes a policy. */
static void counted_costs_are_always_the_same(void **state)
{
    (void)state;
    calmoe_calibrate_options options = small();
    char found[2][512];
    for (int way = 0; way < 2; way++) {
        const calmoe_engine_options engine = running_options(1 + 2 * way, NULL);
        struct running r = running_open(path, &engine, NULL);
        calmoe_calibration *calibration = NULL;
        calmoe_finding finding = {.size = sizeof finding};
        running_must(r.context, calmoe_calibrate(r.engine, prompts, N_PROMPTS, &options, &calibration));
        running_must(r.context, calmoe_calibration_get_finding(calibration, 2, &finding));
        assert_true(finding.is_proven);
        snprintf(found[way], sizeof found[way], "%s, %.17g", finding.policy, finding.cost);
        calmoe_calibration_close(&calibration);
        running_close(&r);
    }
    assert_string_equal(found[0], found[1]);
}

/* ---- what it says is true ---- */

struct answer {
    int     n;
    int32_t tokens[N_ANSWER];
};

/* What a session with these options answers. */
static struct answer write_answer(struct running *r, const calmoe_session_options *options, const calmoe_prompt *prompt)
{
    struct answer answer = {0};
    calmoe_session *session = NULL;
    running_must(r->context, calmoe_session_open(r->engine, options, &session));
    running_must(r->context, calmoe_session_feed_tokens(session, prompt->tokens, (size_t)prompt->n_tokens));
    while (answer.n < N_ANSWER) {
        const calmoe_status status = calmoe_session_next(session, &answer.tokens[answer.n]);
        if (answer.tokens[answer.n] >= 0) answer.n++;
        if (status != CALMOE_OK) break;
    }
    calmoe_session_close(&session);
    return answer;
}

/* Reads the tokens of `forced` but the last, one after the other behind the prompt: the likeliest token, and logits,
 * behind each of them. */
static void force_answer(struct running *r, const calmoe_session_options *options, const calmoe_prompt *prompt,
                         const struct answer *forced, int32_t *winners, float (*logits)[N_VOCAB])
{
    calmoe_session *session = NULL;
    running_must(r->context, calmoe_session_open(r->engine, options, &session));
    assert_true(!options->policy || calmoe_session_rung(session) >= 0);
    calmoe_chunk chunk = {session, prompt->tokens, prompt->n_tokens, CALMOE_LOGITS_LAST};
    running_must(r->context, calmoe_engine_step(r->engine, &chunk, 1));
    calmoe_session_begin_answer(session);
    for (int t = 0; t + 1 < forced->n; t++) {
        chunk = (calmoe_chunk){session, &forced->tokens[t], 1, CALMOE_LOGITS_LAST};
        running_must(r->context, calmoe_engine_step(r->engine, &chunk, 1));
        running_must(r->context, calmoe_session_sample(session, &winners[t]));
        memcpy(logits[t], calmoe_session_logits(session, 0), sizeof logits[t]);
    }
    calmoe_session_close(&session);
}

static int n_said(const struct running *r, const struct answer *answer)
{
    return answer->n > 0 && calmoe_token_ends(r->model, answer->tokens[answer->n - 1]) ? answer->n - 1
                                                                                              : answer->n;
}

static double answer_loss(const struct running *r, enum loss_kind kind, const struct answer *answer,
                          const struct answer *wanted)
{
    int32_t   scratch[N_ANSWER + 1];
    const int n = n_said(r, answer), n_wanted = n_said(r, wanted);
    if (kind == LOSS_EXACT_MATCH) return cm_exact_match_loss(answer->tokens, n, wanted->tokens, n_wanted);
    return cm_rouge_l_loss(answer->tokens, n, wanted->tokens, n_wanted, 1.0, scratch);
}

/* What sessions lose on a prompt under the policy, against the whole model's answer or against the prompt's own. */
static double loss_of(struct running *r, const calmoe_session_options *early, enum loss_kind kind,
                      const calmoe_prompt *prompt)
{
    calmoe_session_options whole = *early;
    whole.policy = NULL;
    whole.quality = 0.0;
    const bool    has_reference = prompt->answer != NULL;
    struct answer wanted = {.n = prompt->n_answer < N_ANSWER ? prompt->n_answer : N_ANSWER};
    double        loss, full_loss = 0.0;
    if (has_reference) memcpy(wanted.tokens, prompt->answer, (size_t)wanted.n * sizeof *wanted.tokens);
    else wanted = write_answer(r, &whole, prompt);
    if (cm_loss_kinds[kind].is_free_running) {
        const struct answer answer = write_answer(r, early, prompt), full = write_answer(r, &whole, prompt);
        loss = answer_loss(r, kind, &answer, &wanted);
        full_loss = answer_loss(r, kind, &full, &wanted);
    } else {
        static float logits[2][N_ANSWER][N_VOCAB];
        int32_t      winners[2][N_ANSWER];
        const int    n = wanted.n - 1;
        if (n < 1) return 0.0;
        force_answer(r, early, prompt, &wanted, winners[0], logits[0]);
        force_answer(r, &whole, prompt, &wanted, winners[1], logits[1]);
        loss = cm_token_disagreement(winners[0], wanted.tokens + 1, n);
        full_loss = cm_token_disagreement(winners[1], wanted.tokens + 1, n);
        if (kind == LOSS_TOTAL_VARIATION) loss = 0.0;
        for (int t = 0; t < n && kind == LOSS_TOTAL_VARIATION; t++)
            loss += cm_total_variation(cm_decoder_ops(r->engine->decoder), logits[0][t], logits[1][t], N_VOCAB) / n;
    }
    return has_reference ? cm_excess_loss(loss, full_loss) : loss;
}

/* Holds the findings for which something is proven to what sessions with that policy lose; returns their number. */
static int check_findings(struct running *r, const calmoe_calibration *calibration, enum loss_kind kind)
{
    calmoe_policy *policy = NULL;
    int order[N_PROMPTS], n_proven = 0, n_rungs = 0;
    cm_deal(order, N_PROMPTS, 1);
    running_must(r->context, calmoe_calibration_get_policy(calibration, &policy));
    for (int i = 0; i < 3; i++) {
        calmoe_finding finding = {.size = sizeof finding};
        running_must(r->context, calmoe_calibration_get_finding(calibration, i, &finding));
        if (!finding.is_proven) continue;
        calmoe_session_options options;
        calmoe_session_options_init(&options);
        options.max_new_tokens = N_ANSWER;
        options.policy = policy;
        options.quality = finding.delta;
        const int first = cm_policy_front_for(&policy->policy, finding.delta);
        int       n_members;
        (void)cm_policy_front(&policy->policy, first, &n_members);
        for (int member = 1; member <= n_members; member++) { /* each is proven; the first is told */
            double mean = 0.0;
            running_must(r->context, calmoe_policy_fix(policy, finding.delta, member));
            for (int p = N_FIRST; p < N_PROMPTS; p++)
                mean += loss_of(r, &options, kind, &prompts[order[p]]) / (N_PROMPTS - N_FIRST);
            if (!(member == 1 ? fabs(mean - finding.mean_loss) < 1e-9 : mean < finding.delta))
                fail_msg("%s, %d of %d: sessions lose %g, not %g", finding.policy, member, n_members, mean,
                         finding.mean_loss);
        }
        n_rungs += n_members;
        assert_true(finding.mean_loss < finding.delta && finding.p <= 0.05 && finding.cost < 1.0);
        assert_true(finding.policy[0] != '\0');
        n_proven++;
    }
    if (policy) assert_int_equal(calmoe_policy_n_rungs(policy), n_rungs);
    calmoe_policy_close(&policy);
    return n_proven;
}

static void findings_are_what_sessions_do(void **state)
{
    (void)state;
    struct running r = open_running(13); /* less than a lane's answer and others' */
    calmoe_calibrate_options options = small();
    calmoe_calibration *calibration = NULL;
    calmoe_policy      *policy = NULL;
    options.rivals = 1;
    running_must(r.context, calmoe_calibrate(r.engine, prompts, N_PROMPTS, &options, &calibration));
    assert_int_equal(r.engine->n_sessions, 1); /* the test's own */
    running_must(r.context, calmoe_calibration_get_policy(calibration, &policy));
    calmoe_calibration_info info = {.size = sizeof info};
    running_must(r.context, calmoe_calibration_get_info(calibration, &info));
    assert_int_equal(info.n_prompts[0], N_FIRST);
    assert_int_equal(info.n_prompts[1], N_PROMPTS - N_FIRST);
    assert_true(info.n_policies > 10 && info.step > 0.0 && info.oracle_layers >= 1.0);
    assert_int_equal(strlen(info.prompts), 16);

    calmoe_finding finding = {.size = sizeof finding};
    running_must(r.context, calmoe_calibration_get_finding(calibration, 0, &finding));
    assert_false(finding.is_proven); /* 1 % of 30 prompts */
    assert_int_equal(finding.n_needed, 308);
    assert_non_null(strstr(finding.sentence, "too few prompts: 30, but"));
    assert_true(finding.cost == 1.0);

    const int n_proven = check_findings(&r, calibration, LOSS_TOKEN_DISAGREEMENT);
    assert_true(n_proven > 0);

    int n_rivals = 0; /* that are proven */
    for (int kind = 0; kind < CALMOE_N_RIVALS; kind++) { /* of their kind, and not better than the best of all */
        calmoe_finding rival = {.size = sizeof rival};
        running_must(r.context, calmoe_calibration_get_rival(calibration, kind, 2, &rival));
        const bool has_width = strstr(rival.policy, "width") != NULL;
        n_rivals += rival.is_proven;
        if (rival.is_proven) assert_true(has_width ? kind != CALMOE_RIVAL_DEPTH : kind != CALMOE_RIVAL_WIDTH);
        if (rival.is_proven && kind == CALMOE_RIVAL_STATIC)
            assert_true(strstr(rival.policy, "always") || strstr(rival.policy, "fixed"));
        assert_true(rival.delta == 0.9 && rival.cost <= 1.0);
    }
    assert_true(n_rivals > 0);
    assert_int_equal(calmoe_calibration_get_rival(calibration, 3, 0, &finding), CALMOE_INVALID_ARGUMENT);

    const char *file = temp_file(folder, "policy.json"); /* and it reads back */
    running_must(r.context, calmoe_policy_save(policy, file));
    const int n_rungs = calmoe_policy_n_rungs(policy);
    calmoe_policy_close(&policy);
    running_must(r.context, calmoe_policy_open(r.model, file, &policy));
    assert_int_equal(calmoe_policy_n_rungs(policy), n_rungs);
    assert_true(n_rungs > n_proven); /* of some bound there is a choice */
    calmoe_policy_close(&policy);
    calmoe_calibration_close(&calibration);
    running_close(&r);
}

/* A path is one policy made bolder step by step: the same exits and rules, thresholds that fall, bounds that rise. */
static void is_bolder(const struct policy_rung *a, const struct policy_rung *b)
{
    assert_true(a->n_exits == b->n_exits && a->k_tail == b->k_tail && !a->widths == !b->widths);
    for (int i = 0; i < a->n_exits; i++) {
        assert_true(a->exits[i].layer == b->exits[i].layer && a->exits[i].measure == b->exits[i].measure);
        assert_true(a->exits[i].threshold.lambda >= b->exits[i].threshold.lambda);
    }
    for (int i = 0; i < N_LAYERS && a->widths; i++) {
        assert_true(a->widths[i].kind == b->widths[i].kind && a->widths[i].k == b->widths[i].k);
        if (a->widths[i].kind == WIDTH_RATIO) assert_true(a->widths[i].bound <= b->widths[i].bound);
        if (a->widths[i].kind == WIDTH_TOP_P) assert_true(a->widths[i].bound >= b->widths[i].bound);
    }
}

static bool has_one_to_scale(const struct calmoe_calibration *c, int kind)
{
    struct width_rule  widths[N_LAYERS];
    struct policy_rung rung;
    for (int i = 0; i < c->configurations.n; i++)
        if (cm_calibrate_has_run(c, i, N_FIRST) && cm_calibrate_is_of_kind(&c->configurations.rungs[i], kind) &&
            cm_rung_at_boldness(&c->configurations.rungs[i], N_LAYERS, 2.0, widths, &rung))
            return true;
    return false;
}

static void check_path(const struct calmoe_calibration *c, int kind, const struct aim *aim)
{
    for (int i = 0; i < aim->n; i++) {
        const struct policy_rung *rung = &c->configurations.rungs[aim->order[i]];
        assert_true(cm_calibrate_has_run(c, aim->order[i], N_FIRST) && cm_calibrate_is_of_kind(rung, kind));
        if (i > 0) is_bolder(&c->configurations.rungs[aim->order[i - 1]], rung);
    }
}

static void paths_lead_to_the_bound(void **state)
{
    (void)state;
    struct running r = open_running(0);
    calmoe_calibrate_options options = small();
    calmoe_calibration *c = NULL;
    options.rivals = 1;
    running_must(r.context, calmoe_calibrate(r.engine, prompts, N_PROMPTS, &options, &c));
    assert_true(c->aims[KIND_ANY][1][0].n > 1 && c->aims[KIND_WIDTH][1][0].n > 1);
    assert_int_equal(c->aims[KIND_STATIC][1][0].n, 0); /* nothing of it has odds */
    for (int kind = 0; kind < N_KINDS; kind++) {
        assert_int_equal(c->aims[kind][0][0].n, 0); /* 30 prompts cannot prove 1 % */
        assert_true((c->aims[kind][1][0].n > 1) == has_one_to_scale(c, kind));
        check_path(c, kind, &c->aims[kind][1][0]);
    }
    calmoe_calibration_close(&c);
    running_close(&r);
}

/* Every loss, with references and without. */
static void every_loss(void **state)
{
    (void)state;
    static const char *const losses[] = {"token_disagreement", "total_variation", "rouge_l", "exact_match"};
    struct running r = open_running(0);
    for (int with = 0; with < 2; with++)
        for (int i = 0; i < 4; i++) {
            if (with && way_is_left_out(i, 2) && i != 1) continue;
            calmoe_calibrate_options options = small();
            calmoe_calibration *calibration = NULL;
            calmoe_finding finding = {.size = sizeof finding};
            options.loss = losses[i];
            options.measures = "softmax";
            options.n_splits = 20;
            options.most = 12;
            for (int p = 0; p < N_PROMPTS; p++) prompts[p].answer = with ? references[p] : NULL;
            const calmoe_status status = calmoe_calibrate(r.engine, prompts, N_PROMPTS, &options, &calibration);
            if (with && i == 1) {
                assert_int_equal(status, CALMOE_INVALID_ARGUMENT);
                continue;
            }
            running_must(r.context, status);
            running_must(r.context, calmoe_calibration_get_finding(calibration, 2, &finding));
            assert_true(finding.n_tried > 0);
            const int loss = cm_name_find(CM_NAMES(cm_loss_kinds, name), losses[i]);
            if (check_findings(&r, calibration, (enum loss_kind)loss) == 0) fail_msg("%s: no proof", losses[i]);
            calmoe_split_finding split = {.size = sizeof split};
            running_must(r.context, calmoe_calibration_get_splits(calibration, 2, &split));
            assert_int_equal(split.n_splits, 20);
            assert_true(split.mean_cost > 0.0 && split.mean_cost <= 1.0);
            calmoe_calibration_close(&calibration);
        }
    for (int p = 0; p < N_PROMPTS; p++) prompts[p].answer = NULL;
    running_close(&r);
}

/* The token that the model writes most often. */
static int32_t favourite(struct running *r)
{
    int counts[N_VOCAB] = {0}, best = 0;
    calmoe_session_options options;
    calmoe_session_options_init(&options);
    for (int p = 0; p < N_PROMPTS; p++) {
        const struct answer answer = write_answer(r, &options, &prompts[p]);
        for (int i = 0; i < answer.n; i++) counts[answer.tokens[i]]++;
    }
    for (int id = 1; id < N_VOCAB; id++)
        if (counts[id] > counts[best]) best = id;
    return best;
}

/* References have no token that ends them, answers do. References here are the full model's own answers, so nobody but
 * the full model loses nothing. */
static void ends_are_not_compared(void **state)
{
    (void)state;
    static int32_t    own[N_PROMPTS][N_ANSWER];
    struct tiny_model tiny = small_model();
    struct running    r    = open_running(0);
    int               n_ended = 0;
    tiny.eos = favourite(&r);
    running_close(&r);
    tiny_model_write(&tiny, temp_file(folder, "ends.gguf"));
    const calmoe_engine_options engine = running_options(1, NULL);
    r = running_open(temp_file(folder, "ends.gguf"), &engine, NULL);
    calmoe_session_options whole;
    calmoe_session_options_init(&whole);
    for (int p = 0; p < N_PROMPTS; p++) {
        const struct answer answer = write_answer(&r, &whole, &prompts[p]);
        memcpy(own[p], answer.tokens, sizeof own[p]);
        prompts[p].answer   = own[p];
        const int n = n_said(&r, &answer);
        prompts[p].n_answer = n > 0 ? n : answer.n; /* none may be empty */
        n_ended += n > 0 && n < answer.n;
    }
    assert_in_range(n_ended, 3, N_PROMPTS);
    for (int kind = LOSS_ROUGE_L; kind <= LOSS_EXACT_MATCH; kind++) {
        calmoe_calibrate_options options = small();
        calmoe_calibration      *calibration = NULL;
        options.loss = cm_loss_kinds[kind].name;
        options.most = 12;
        running_must(r.context, calmoe_calibrate(r.engine, prompts, N_PROMPTS, &options, &calibration));
        if (check_findings(&r, calibration, (enum loss_kind)kind) == 0) fail_msg("%s: no proof", options.loss);
        calmoe_calibration_close(&calibration);
    }
    for (int p = 0; p < N_PROMPTS; p++) {
        prompts[p].answer   = NULL;
        prompts[p].n_answer = 2 + p % (N_ANSWER - 1);
    }
    running_close(&r);
}

/* ---- what is refused ---- */

static void refused(struct running *r, const calmoe_prompt *of, int n, calmoe_calibrate_options options,
                    calmoe_status wanted, const char *words)
{
    calmoe_calibration *calibration = (calmoe_calibration *)r;
    const calmoe_status status = calmoe_calibrate(r->engine, of, n, &options, &calibration);
    const char *sentence = calmoe_context_message(r->context);
    if (status != wanted || !strstr(sentence, words))
        fail_msg("%s: %s; '%s' is wanted", calmoe_status_name(status), sentence, words);
    assert_null(calibration);
    assert_int_equal(r->engine->n_sessions, 1);
}

static void options_that_are_wrong(void **state)
{
    (void)state;
    static const double falling[] = {0.5, 0.1}, one[] = {1.0}, nan_[] = {(double)NAN};
    struct running r = open_running(0);
    calmoe_calibrate_options options;
#define REFUSED(words, ...)                                                                           \
    do {                                                                                              \
        options = small();                                                                            \
        __VA_ARGS__;                                                                                  \
        refused(&r, prompts, N_PROMPTS, options, CALMOE_INVALID_ARGUMENT, words);                     \
    } while (0)
    REFUSED("loss is 'luck'", options.loss = "luck");
    REFUSED("p_value is 'luck'", options.p_value = "luck");
    REFUSED("is for losses of 0 and 1", options.p_value = "binomial");
    REFUSED("epsilon is 0", options.epsilon = 0.0);
    REFUSED("epsilon is nan", options.epsilon = (double)NAN);
    REFUSED("first_share is 1", options.first_share = 1.0);
    REFUSED("delta 1 is 0.1", options.deltas = falling, options.n_deltas = 2);
    REFUSED("delta 0 is 1", options.deltas = one, options.n_deltas = 1);
    REFUSED("delta 0 is nan", options.deltas = nan_, options.n_deltas = 1);
    REFUSED("n_deltas is 0", options.n_deltas = 0);
    REFUSED("n_deltas is 33", options.n_deltas = 33);
    REFUSED("answer_tokens is 1", options.answer_tokens = 1);
    REFUSED("batch is 33", options.batch = 33);
    REFUSED("max_exits is 4", options.max_exits = 4);
    REFUSED("most is 0", options.most = 0);
    REFUSED("n_splits is -1", options.n_splits = -1);
    REFUSED("width is 2", options.width = 2);
    REFUSED("rivals is 2", options.rivals = 2);
    REFUSED("measure is 'luck'", options.measures = "softmax,luck");
    REFUSED("the model was trained for 64", options.answer_tokens = 60);
    options = small();
    options.measures = "";
    options.width = 0;
    refused(&r, prompts, N_PROMPTS, options, CALMOE_UNSUPPORTED, "nothing to try");
    options.measures = "classifier";
    refused(&r, prompts, N_PROMPTS, options, CALMOE_UNSUPPORTED, "classifier");
    running_close(&r);
}

static void prompts_that_are_wrong(void **state)
{
    (void)state;
    struct running r = open_running(0);
    static const int32_t foreign[] = {1, 1 << 30}, fine[] = {40, 41};
    calmoe_prompt bad[3] = {{fine, 2, NULL, 0}, {fine, 2, NULL, 0}, {fine, 2, NULL, 0}};
    refused(&r, bad, 1, small(), CALMOE_INVALID_ARGUMENT, "1 prompts; 2 to");
    bad[1] = (calmoe_prompt){NULL, 2, NULL, 0};
    refused(&r, bad, 3, small(), CALMOE_INVALID_ARGUMENT, "prompt 1 is empty");
    bad[1] = (calmoe_prompt){fine, 0, NULL, 0};
    refused(&r, bad, 3, small(), CALMOE_INVALID_ARGUMENT, "prompt 1 is empty");
    bad[1] = (calmoe_prompt){foreign, 2, NULL, 0};
    refused(&r, bad, 3, small(), CALMOE_INVALID_ARGUMENT, "prompt 1: token 1 is 1073741824");
    bad[1] = (calmoe_prompt){fine, 2, fine, 2};
    refused(&r, bad, 3, small(), CALMOE_INVALID_ARGUMENT, "prompt 1 has a reference, others have none");
    for (int i = 0; i < 3; i++) bad[i].answer = fine;
    bad[1].n_answer = 0;
    bad[0].n_answer = bad[2].n_answer = 2;
    refused(&r, bad, 3, small(), CALMOE_INVALID_ARGUMENT, "the reference of prompt 1 is empty");
    assert_int_equal(calmoe_calibrate(NULL, bad, 3, NULL, NULL), CALMOE_INVALID_ARGUMENT);
    assert_int_equal(calmoe_calibration_get_info(NULL, NULL), CALMOE_INVALID_ARGUMENT);
    assert_int_equal(calmoe_policy_save(NULL, "x"), CALMOE_INVALID_ARGUMENT);
    calmoe_calibration_close(NULL);
    running_close(&r);
}

static int calls_left;
static int stop_after(void *user, double fraction)
{
    (void)user;
    assert_true(fraction >= 0.0 && fraction <= 1.0);
    return calls_left-- <= 0;
}

static void cancelled_anywhere(void **state)
{
    (void)state;
    struct running r = open_running(0);
    calmoe_calibrate_options options = small();
    options.progress = stop_after;
    for (int n = 0; n < 64; n = 2 * n + 1) {
        calls_left = n;
        refused(&r, prompts, N_PROMPTS, options, CALMOE_CANCELLED, "cancelled");
    }
    running_close(&r);
}

/* The n-th request for memory fails, for every n. */
static void without_memory(void **state)
{
    (void)state;
    struct running r = open_running(0);
    calmoe_calibrate_options options = small();
    options.measures = "state";
    options.most = 4;
    options.answer_tokens = 3;
    options.n_splits = 2;
    calmoe_calibration *calibration = NULL;
    running_must(r.context, calmoe_calibrate(r.engine, prompts, 6, &options, &calibration));
    calmoe_calibration_close(&calibration);
    const long before = cm_live_blocks(); /* with the decoder's memory of exits, which is the engine's */
    calmoe_status status = CALMOE_NO_MEMORY;
    long          n = 1;
    for (; status != CALMOE_OK; n++) {
        cm_fail_request(n);
        status = calmoe_calibrate(r.engine, prompts, 6, &options, &calibration);
        cm_fail_request(0);
        if (status != CALMOE_OK && status != CALMOE_NO_MEMORY)
            fail_msg("request %ld: %s: %s", n, calmoe_status_name(status), calmoe_context_message(r.context));
        calmoe_calibration_close(&calibration);
        assert_int_equal(cm_live_blocks(), before);
    }
    assert_true(n > 40);
    running_close(&r);
}

static int set_up(void **state)
{
    (void)state;
    const struct tiny_model tiny = small_model();
    folder = temp_folder_open();
    snprintf(path, sizeof path, "%s", temp_file(folder, "tiny.gguf"));
    tiny_model_write(&tiny, path);
    for (int p = 0; p < N_PROMPTS; p++) {
        for (int i = 0; i < N_TOKENS; i++) tokens[p][i] = 30 + (p * 7 + i * i * 3) % 200;
        for (int i = 0; i < N_ANSWER; i++) references[p][i] = 30 + (p * 5 + i) % 200;
        prompts[p] = (calmoe_prompt){tokens[p], 1 + p % N_TOKENS, NULL, 2 + p % (N_ANSWER - 1)};
    }
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counted_costs_are_always_the_same),
        cmocka_unit_test(findings_are_what_sessions_do),
        cmocka_unit_test(paths_lead_to_the_bound),
        cmocka_unit_test(every_loss),
        cmocka_unit_test(ends_are_not_compared),
        cmocka_unit_test(options_that_are_wrong),
        cmocka_unit_test(prompts_that_are_wrong),
        cmocka_unit_test(cancelled_anywhere),
        cmocka_unit_test(without_memory),
    };
    return cmocka_run_group_tests_name("calibration", tests, set_up, close_folder);
}
