/* test_policy_file.c - policies: written, read back to the bit, refused with the very sentence; and which rung is
 * chosen. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <math.h>

#include <cmocka.h>

#include "base/memory.h"
#include "base/random.h"
#include "runtime/documents/policy_file.h"
#include "tests/support/temp_folder.h"

#define HEAD "{\"schema\": \"calmoe.policy.1\", \"version\": \"0.1.0\", "
#define MODEL "\"model\": {\"fingerprint\": \"0123456789abcdef\", \"layers\": 4}, "
#define RUNGS(text) HEAD MODEL "\"rungs\": [" text "]}"
#define PROOF_OF(delta, n, p) "{\"delta\": " delta ", \"epsilon\": 0.05, \"loss\": \"token_disagreement\", " \
                              "\"p_value\": \"wsr\", \"n\": " n ", \"p\": " p ", "
#define PROOF PROOF_OF("0.01", "1500", "0.01")
#define EXITS(text) "\"exits\": [" text "], "
#define EXIT "{\"layer\": 2, \"measure\": \"softmax\", \"threshold\": 0.9, \"schedule\": \"constant\"}"
#define TAIL "\"kv\": \"propagate\", \"k_tail\": \"none\", "
#define NO_WIDTH "\"width\": []}"
#define WIDTH(text) "\"width\": [{\"rule\": \"off\"}, {\"rule\": \"off\"}, " text ", {\"rule\": \"off\"}]}"
#define RATIO "{\"rule\": \"ratio\", \"bound\": 0.25, \"k\": 2, \"renormalise\": true}"
#define RUNG PROOF EXITS(EXIT) TAIL NO_WIDTH
#define RUNG_AT(delta) PROOF_OF(delta, "1500", "0.01") EXITS(EXIT) TAIL NO_WIDTH
#define EXIT_OF(text) RUNGS(PROOF EXITS(text) TAIL NO_WIDTH)
#define TAIL_OF(text) RUNGS(PROOF EXITS(EXIT) text NO_WIDTH)
#define FRONTS(text) "{\"schema\": \"calmoe.policy.2\", \"version\": \"0.1.0\", " MODEL "\"rungs\": [" text "]}"
#define KEPT(text, rungs) \
    "{\"schema\": \"calmoe.policy.3\", \"version\": \"0.1.0\", " MODEL text "\"rungs\": [" rungs "]}"
#define OF_PLAN "\"kept\": {\"fingerprint\": \"00aa00aa00aa00aa\", \"reads\": 4}, "
#define RESIDENT "{\"rule\": \"resident\", \"bound\": 0.5, \"k\": 1, \"renormalise\": false}"
#define PARTS(text) "\"parts\": " text ", "
#define WIDTH_OF(text) RUNGS(PROOF EXITS(EXIT) TAIL WIDTH(text))

static const struct {
    const char *text;
    const char *message; /* after "'p.json': " */
} faults[] = {
    {"{\"schema\": \"calmoe.plan.1\"}",
     "schema: found \"calmoe.plan.1\", wanted \"calmoe.policy.1\" or \"calmoe.policy.2\" or \"calmoe.policy.3\""},
    {"{}", "schema: found nothing, wanted a value"},
    {HEAD MODEL "\"rungs\": [], \"x\": 1}", "x: found an unknown member, wanted none of that name"},
    {HEAD "\"rungs\": []}", "model: found nothing, wanted a value"},
    {HEAD "\"model\": {\"fingerprint\": \"123\", \"layers\": 4}, \"rungs\": []}",
     "model.fingerprint: found \"123\", wanted 16 digits 0-9a-f"},
    {HEAD MODEL "\"exits\": \"0123456789abcdeg\", \"rungs\": []}",
     "exits: found \"0123456789abcdeg\", wanted 16 digits 0-9a-f"},
    {HEAD MODEL "\"exits\": null, \"rungs\": []}", NULL},
    {HEAD MODEL "\"prompts\": 7, \"rungs\": []}", "prompts: found 7, wanted a text"},
    {HEAD "\"model\": {\"fingerprint\": \"0123456789abcdef\", \"layers\": 0}, \"rungs\": []}",
     "model.layers: found 0, wanted an integer from 1 to 4096"},
    {HEAD MODEL "\"rungs\": {}}", "rungs: found an object, wanted an array of 0 to 256"},

    /* what is proven */
    {RUNGS("{}"), "rungs[0].delta: found nothing, wanted a value"},
    {RUNGS(PROOF "\"y\": 1}"), "rungs[0].y: found an unknown member, wanted none of that name"},
    {RUNGS(RUNG_AT("NaN")), NULL},
    {RUNGS(RUNG_AT("\"nan\"")), "rungs[0].delta: found \"nan\", wanted a number from 0 to 1"},
    {RUNGS(RUNG_AT("-0.5")), "rungs[0].delta: found the number -0.5, wanted a number from 0 to 1"},
    {RUNGS(RUNG_AT("0")), "rung 0: delta 0, epsilon 0.05; both must be above 0 and below 1"},
    {RUNGS(RUNG ", " RUNG_AT("0.005")), "rung 1: delta 0.005 behind delta 0.01; they must ascend"},
    {RUNGS(RUNG ", " RUNG), "rung 1: delta 0.01 as before it, which wants both to have their parts"},
    {RUNGS(PROOF PARTS("{}") EXITS(EXIT) TAIL NO_WIDTH),
     "rungs[0].parts: found an unknown member, wanted none of that name"},
    {FRONTS(PROOF PARTS("{\"layers\": 1}") EXITS(EXIT) TAIL NO_WIDTH),
     "rungs[0].parts.layers: found an unknown member, wanted none of that name"},
    {FRONTS(PROOF PARTS("{\"layer\": -1}") EXITS(EXIT) TAIL NO_WIDTH),
     "rungs[0].parts.layer: found -1, wanted a number from 0 to 1.04858e+06"},
    {FRONTS(PROOF PARTS("{\"layer\": 3}") EXITS(EXIT) TAIL NO_WIDTH ", " RUNG),
     "rung 1: delta 0.01 as before it, which wants both to have their parts"},
    {FRONTS(PROOF PARTS("{\"layer\": 3}") EXITS(EXIT) TAIL NO_WIDTH ", "
            PROOF_OF("0.01", "1501", "0.01") PARTS("{}") EXITS(EXIT) TAIL NO_WIDTH),
     "rung 1: delta 0.01 as before it, but another epsilon, loss, p-value or number of prompts; they must be proven "
     "together"},
    {RUNGS(PROOF_OF("0.01", "1500", "0.06") EXITS(EXIT) TAIL NO_WIDTH),
     "rung 0: p = 0.06 proves nothing at epsilon 0.05"},
    {RUNGS(PROOF_OF("0.01", "298", "0.01") EXITS(EXIT) TAIL NO_WIDTH),
     "rung 0: 298 prompts cannot prove a risk of at most 0.01 at epsilon 0.05"},
    {RUNGS("{\"delta\": 0.1, \"epsilon\": 0.05, \"loss\": \"bleu\"}"),
     "rungs[0].loss: found \"bleu\", wanted token_disagreement, total_variation, rouge_l or exact_match"},
    {RUNGS("{\"delta\": 0.1, \"epsilon\": 0.05, \"loss\": \"rouge_l\", \"p_value\": \"t\"}"),
     "rungs[0].p_value: found \"t\", wanted wsr, hoeffding_bentkus or binomial"},
    {RUNGS("{\"delta\": 0.1, \"epsilon\": 0.05, \"loss\": \"rouge_l\", \"p_value\": \"binomial\", \"n\": 99, \"p\": 0, "
           EXITS(EXIT) TAIL NO_WIDTH),
     "rung 0: the p-value 'binomial' is for losses of 0 and 1; 'rouge_l' is another"},

    /* exits */
    {EXIT_OF("{}"), "rungs[0].exits[0].layer: found nothing, wanted a value"},
    {EXIT_OF("{\"layer\": 4}"), "rungs[0].exits[0].layer: found 4, wanted an integer from 1 to 3"},
    {EXIT_OF("{\"layer\": 0}"), "rungs[0].exits[0].layer: found 0, wanted an integer from 1 to 3"},
    {EXIT_OF(EXIT ", " EXIT), "rung 0: an exit after layer 2 behind one after layer 2; they must ascend"},
    {EXIT_OF("{\"layer\": 3, \"measure\": \"sure\"}"),
     "rungs[0].exits[0].measure: found \"sure\", wanted softmax, state, classifier, shortlist, lead or always"},
    {EXIT_OF("{\"layer\": 3, \"measure\": \"state\", \"threshold\": 1.5}"),
     "rungs[0].exits[0].threshold: found the number 1.5, wanted a number from 0 to 1"},
    {EXIT_OF("{\"layer\": 3, \"measure\": \"state\", \"threshold\": 0}"),
     "rungs[0].exits[0].threshold: found 0, wanted a number above 0"},
    {EXIT_OF("{\"layer\": 3, \"measure\": \"state\", \"threshold\": 1e-60}"),
     "rungs[0].exits[0].threshold: found the number 1e-60, wanted a number above 0"},
    {EXIT_OF("{\"layer\": 3, \"measure\": \"state\", \"threshold\": 0.5, \"schedule\": \"off\"}"),
     "rungs[0].exits[0].schedule: found \"off\", wanted constant, paper or code"},
    {EXIT_OF("{\"layer\": 3, \"measure\": \"state\", \"threshold\": 0.5, \"schedule\": \"constant\", \"tau\": 4}"),
     "rungs[0].exits[0].tau: found 4, wanted nothing, since the schedule is constant"},
    {EXIT_OF("{\"layer\": 3, \"measure\": \"state\", \"threshold\": 0.5, \"schedule\": \"paper\", \"tau\": 4}"),
     "rungs[0].exits[0].length: found nothing, wanted a value"},
    {EXIT_OF("{\"layer\": 3, \"measure\": \"state\", \"threshold\": 0.5, \"schedule\": \"code\", \"tau\": -1, "
             "\"length\": 9}"),
     "rungs[0].exits[0].tau: found -1, wanted a number from 0 to 1e+06"},
    {EXIT_OF("{\"layer\": 1, \"measure\": \"state\", \"threshold\": 0.5, \"schedule\": \"constant\"}"),
     "rung 0: an exit after layer 1 by 'state', which compares two layers"},
    {RUNGS(PROOF EXITS() TAIL NO_WIDTH), "rung 0: neither exits nor widths; it leaves out nothing"},

    /* keys and values, tail */
    {TAIL_OF("\"kv\": \"copy\", \"k_tail\": \"none\", "),
     "rungs[0].kv: found \"copy\", wanted propagate, lazy or catch_up"},
    {TAIL_OF("\"kv\": \"lazy\", \"k_tail\": \"none\", "), "rungs[0].max_pending: found nothing, wanted a value"},
    {TAIL_OF("\"kv\": \"lazy\", \"max_pending\": 0, \"k_tail\": 0, "),
     "rungs[0].max_pending: found 0, wanted an integer from 1 to 1024"},
    {TAIL_OF("\"kv\": \"propagate\", \"max_pending\": 9, \"k_tail\": 0, "),
     "rungs[0].max_pending: found 9, wanted nothing, since nothing waits where kv is \"propagate\""},
    {TAIL_OF("\"kv\": \"propagate\", \"k_tail\": -1, "), "rungs[0].k_tail: found -1, wanted an integer from 0 to 64"},
    {TAIL_OF("\"kv\": \"propagate\", \"k_tail\": \"all\", "),
     "rungs[0].k_tail: found \"all\", wanted \"none\" or a number"},
    {TAIL_OF("\"kv\": \"propagate\", "), "rungs[0].k_tail: found nothing, wanted a value"},

    /* widths */
    {RUNGS(PROOF EXITS(EXIT) TAIL "\"width\": [{\"rule\": \"off\"}]}"),
     "rungs[0].width: found an array of 1, wanted an array of 4"},
    {WIDTH_OF(RESIDENT), "rungs[0].width[2].rule: found \"resident\", wanted off, fixed, ratio or top_p"},
    {FRONTS(PROOF PARTS("{\"read\": 1}") EXITS(EXIT) TAIL NO_WIDTH),
     "rung 0: reads from disk; the policy does not say of which plan"},
    {KEPT("", RUNG), "kept: found nothing, wanted a value"},
    {KEPT("\"kept\": {\"fingerprint\": \"0\", \"reads\": 1}, ", RUNG),
     "kept.fingerprint: found \"0\", wanted 16 digits 0-9a-f"},
    {KEPT("\"kept\": {\"fingerprint\": \"00aa00aa00aa00aa\"}, ", RUNG), "kept.reads: found nothing, wanted a value"},
    {KEPT("\"kept\": {\"fingerprint\": \"00aa00aa00aa00aa\", \"reads\": -1}, ", RUNG),
     "kept.reads: found -1, wanted a number from 0 to 1.04858e+06"},
    {HEAD MODEL OF_PLAN "\"rungs\": []}", "kept: found an unknown member, wanted none of that name"},
    {WIDTH_OF("{\"rule\": \"half\"}"),
     "rungs[0].width[2].rule: found \"half\", wanted off, fixed, ratio or top_p"},
    {WIDTH_OF("{\"rule\": \"off\", \"k\": 1}"), "rungs[0].width[2].k: found 1, wanted nothing, for this rule has none"},
    {WIDTH_OF("{\"rule\": \"fixed\", \"bound\": 1}"),
     "rungs[0].width[2].bound: found 1, wanted nothing, for this rule has none"},
    {WIDTH_OF("{\"rule\": \"fixed\", \"k\": 0}"), "rungs[0].width[2].k: found 0, wanted an integer from 1 to 64"},
    {WIDTH_OF("{\"rule\": \"top_p\", \"k\": 1}"), "rungs[0].width[2].bound: found nothing, wanted a value"},
    {WIDTH_OF("{\"rule\": \"top_p\", \"bound\": 1.01, \"k\": 1}"),
     "rungs[0].width[2].bound: found the number 1.01, wanted a number from 0 to 1"},
    {WIDTH_OF("{\"rule\": \"ratio\", \"bound\": 0.5, \"k\": 1}"),
     "rungs[0].width[2].renormalise: found nothing, wanted a value"},
};

static void every_fault_has_its_sentence(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        struct calmoe_context ctx = {.log = NULL};
        struct policy         policy;
        assert_int_equal(cm_policy_file_parse(&ctx, "p.json", faults[i].text, strlen(faults[i].text), &policy),
                         CALMOE_BAD_FILE);
        assert_null(policy.widths);
        if (faults[i].message && (strncmp(ctx.message, "'p.json': ", 10) != 0 ||
                                  strcmp(ctx.message + 10, faults[i].message) != 0))
            fail_msg("fault %zu: %s\nwanted: %s", i, ctx.message, faults[i].message);
        assert_int_equal(cm_live_blocks(), 0);
    }
}

static struct policy parsed(const char *text)
{
    struct calmoe_context ctx = {.log = NULL};
    struct policy         policy;
    if (cm_policy_file_parse(&ctx, "p.json", text, strlen(text), &policy) != CALMOE_OK) fail_msg("%s", ctx.message);
    return policy;
}

static void what_is_right(void **state)
{
    (void)state;
    struct policy policy = parsed(RUNGS(
        RUNG ", " PROOF_OF("0.1", "99", "0")
        EXITS(EXIT ", {\"layer\": 3, \"measure\": \"classifier\", \"threshold\": 1, \"schedule\": \"paper\", "
              "\"tau\": 4, \"length\": 512}")
        "\"kv\": \"catch_up\", \"max_pending\": 7, \"k_tail\": 1, "
        WIDTH(RATIO)));
    assert_int_equal(policy.n_layers, 4);
    assert_int_equal(policy.n_rungs, 2);
    assert_int_equal(policy.rungs[0].k_tail, TAIL_NONE);
    assert_null(policy.rungs[0].widths);
    const struct policy_rung *rung = &policy.rungs[1];
    assert_int_equal(rung->n_exits, 2);
    assert_int_equal(rung->exits[1].measure, MEASURE_CLASSIFIER);
    assert_int_equal(rung->exits[1].threshold.schedule, SCHEDULE_PAPER);
    assert_int_equal(rung->exits[1].threshold.length, 512);
    assert_int_equal(rung->kv_fill, KV_CATCH_UP);
    assert_int_equal(rung->max_pending, 7);
    assert_int_equal(rung->k_tail, 1);
    assert_int_equal(rung->widths[2].kind, WIDTH_RATIO);
    assert_true(rung->widths[2].renormalise && rung->widths[2].bound == 0.25f);
    assert_int_equal(rung->widths[3].kind, WIDTH_OFF);

    /* the rung for a wish, and down the ladder */
    assert_null(cm_policy_rung(&policy, 0.0099));
    assert_ptr_equal(cm_policy_rung(&policy, 0.01), &policy.rungs[0]);
    assert_ptr_equal(cm_policy_rung(&policy, 0.0999), &policy.rungs[0]);
    assert_ptr_equal(cm_policy_rung(&policy, 0.1), rung);
    assert_ptr_equal(cm_policy_rung(&policy, 1.0), rung);
    assert_ptr_equal(cm_policy_step_down(&policy, rung), &policy.rungs[0]);
    assert_null(cm_policy_step_down(&policy, &policy.rungs[0]));
    assert_null(cm_policy_step_down(&policy, NULL));
    assert_null(cm_policy_rung(&policy, (double)NAN));

    struct calmoe_context ctx = {.log = NULL};
    assert_int_equal(cm_policy_fits(&ctx, &policy, "0123456789abcdef", 4, 2), CALMOE_OK);
    assert_int_equal(cm_policy_fits(&ctx, &policy, "fedcba9876543210", 4, 2), CALMOE_INVALID_ARGUMENT);
    assert_string_equal(ctx.message, "the policy is for a model with fingerprint 0123456789abcdef; this one's is "
                                     "fedcba9876543210");
    assert_int_equal(cm_policy_fits(&ctx, &policy, "0123456789abcdef", 5, 2), CALMOE_INVALID_ARGUMENT);
    assert_string_equal(ctx.message, "the policy is for 4 layers; this model has 5");
    assert_int_equal(cm_policy_fits(&ctx, &policy, "0123456789abcdef", 4, 1), CALMOE_INVALID_ARGUMENT);
    assert_string_equal(ctx.message, "rung 1 of the policy keeps at least 2 experts in layer 3; this model uses 1 of a "
                                     "token");
    cm_policy_close(&policy);
    policy = parsed(RUNGS("")); /* nothing was proven: always OFF */
    assert_null(cm_policy_rung(&policy, 1.0));
    cm_policy_close(&policy);
}

/* Two policies at 1 %, one at 5 %, and what machines with other prices take of them. */
static void of_a_front(void **state)
{
    (void)state;
    struct policy policy = parsed(FRONTS(
        PROOF PARTS("{\"layer\": 3, \"head\": 2, \"softmax\": 1}") EXITS(EXIT) TAIL NO_WIDTH ", "
        PROOF PARTS("{\"layer\": 3.5, \"head\": 1, \"state\": 1}") EXITS(EXIT) TAIL NO_WIDTH ", "
        PROOF_OF("0.05", "1500", "0.01") PARTS("{\"layer\": 2, \"head\": 1.5}") EXITS(EXIT) TAIL NO_WIDTH));
    struct calmoe_context ctx = {.log = NULL};
    struct parts          prices = {{[PART_LAYER] = 10.0, [PART_HEAD] = 1.0}};
    int                   n;
    assert_int_equal(policy.n_rungs, 3);
    assert_true(policy.rungs[1].has_parts && policy.rungs[1].parts.of[PART_LAYER] == 3.5);
    assert_int_equal(cm_policy_front(&policy, 1, &n), 0);
    assert_int_equal(n, 2);
    assert_int_equal(cm_policy_front(&policy, 2, &n), 2);
    assert_int_equal(n, 1);
    assert_ptr_equal(cm_policy_rung(&policy, 0.01), &policy.rungs[0]); /* the first, unless somebody chooses */
    assert_int_equal(cm_policy_choose(&ctx, &policy, "", &prices, 40.0), CALMOE_OK);
    assert_ptr_equal(cm_policy_rung(&policy, 0.01), &policy.rungs[0]);
    prices.of[PART_HEAD] = 9.0;
    assert_int_equal(cm_policy_choose(&ctx, &policy, "", &prices, 49.0), CALMOE_OK);
    assert_ptr_equal(cm_policy_rung(&policy, 0.01), &policy.rungs[1]);
    assert_ptr_equal(cm_policy_safest(&policy), &policy.rungs[1]);
    assert_ptr_equal(cm_policy_rung(&policy, 0.05), &policy.rungs[2]);
    assert_ptr_equal(cm_policy_step_down(&policy, &policy.rungs[2]), &policy.rungs[1]);
    assert_null(cm_policy_step_down(&policy, &policy.rungs[1]));
    assert_int_equal(cm_policy_choose(&ctx, &policy, "", &prices, 40.0), CALMOE_OK); /* OFF is cheaper at 1 % */
    assert_null(cm_policy_rung(&policy, 0.01));
    assert_null(cm_policy_safest(&policy));
    assert_null(cm_policy_step_down(&policy, &policy.rungs[2]));
    assert_ptr_equal(cm_policy_rung(&policy, 0.05), &policy.rungs[2]);
    prices.of[PART_CHECK + MEASURE_STATE] = (double)NAN;
    assert_int_equal(cm_policy_choose(&ctx, &policy, "", &prices, 40.0), CALMOE_INVALID_ARGUMENT);
    assert_string_equal(ctx.message, "the costs say nothing of a part that rung 1 of the policy has");
    cm_policy_close(&policy);
}

/* A front of which one policy goes by a plan, above one that does as a whole, above one that does not. */
static void of_a_plan(void **state)
{
    (void)state;
    const char *const kept = "00aa00aa00aa00aa";
    struct policy policy = parsed(KEPT(OF_PLAN,
        PROOF PARTS("{\"layer\": 3, \"head\": 1}") EXITS(EXIT) TAIL NO_WIDTH ", "
        PROOF_OF("0.02", "1500", "0.01") PARTS("{\"layer\": 4, \"read\": 1}") EXITS() TAIL WIDTH(RESIDENT) ", "
        PROOF_OF("0.05", "1500", "0.01") PARTS("{\"layer\": 4, \"read\": 0.5}") EXITS() TAIL WIDTH(RESIDENT) ", "
        PROOF_OF("0.05", "1500", "0.01") PARTS("{\"layer\": 3, \"read\": 3}") EXITS(EXIT) TAIL NO_WIDTH));
    struct calmoe_context ctx = {.log = NULL};
    struct parts          prices = {{[PART_LAYER] = 1.0, [PART_READ] = 10.0}};
    assert_string_equal(policy.kept, kept);
    assert_true(policy.off_reads == 4.0 && policy.rungs[1].widths[2].kind == WIDTH_RESIDENT);
    assert_int_equal(cm_policy_choose(&ctx, &policy, kept, &prices, 44.0), CALMOE_OK);
    assert_ptr_equal(cm_policy_rung(&policy, 0.05), &policy.rungs[2]);
    assert_ptr_equal(cm_policy_step_down(&policy, &policy.rungs[2]), &policy.rungs[1]);
    prices.of[PART_READ] = 0.0; /* another plan */
    assert_int_equal(cm_policy_choose(&ctx, &policy, "0123456789abcdef", &prices, 4.0), CALMOE_OK);
    assert_ptr_equal(cm_policy_rung(&policy, 0.05), &policy.rungs[3]);
    assert_ptr_equal(cm_policy_rung(&policy, 0.02), &policy.rungs[0]);
    assert_ptr_equal(cm_policy_step_down(&policy, &policy.rungs[3]), &policy.rungs[0]);
    assert_int_equal(cm_policy_n_untrue(&policy, ""), 2);
    cm_policy_leave_untrue(&policy, "");
    assert_ptr_equal(cm_policy_rung(&policy, 0.05), &policy.rungs[3]);
    assert_int_equal(cm_policy_n_untrue(&policy, kept), 0);
    cm_policy_leave_untrue(&policy, kept);
    assert_ptr_equal(cm_policy_rung(&policy, 0.05), &policy.rungs[2]);
    cm_policy_close(&policy);
}

static struct width_rule random_rule(struct random *random, bool has_plan)
{
    struct width_rule rule = {.kind = (enum width_kind)cm_random_below(random, WIDTH_RESIDENT + has_plan)};
    if (rule.kind == WIDTH_OFF) return rule;
    if (rule.kind != WIDTH_FIXED) rule.bound = 1.0f - (float)cm_random_unit(random) * 0.999f;
    rule.k = 1 + (int)cm_random_below(random, 8);
    rule.renormalise = cm_random_below(random, 2) == 1;
    return rule;
}

static struct exit_threshold random_threshold(struct random *random)
{
    struct exit_threshold threshold = {(enum threshold_schedule)(1 + cm_random_below(random, SCHEDULE_COUNT - 1)),
                                       1.0f - (float)cm_random_unit(random) * 0.999f, 0.0f, 0};
    if (threshold.schedule == SCHEDULE_CONSTANT) return threshold;
    threshold.tau = (float)cm_random_unit(random) * 10.0f;
    threshold.length = 1 + (int)cm_random_below(random, 4096);
    return threshold;
}

static void make_random(struct random *random, struct policy *policy)
{
    *policy = (struct policy){.fingerprint = "00112233aabbccdd", .n_layers = 20, .n_rungs = 6};
    assert_int_equal(cm_policy_reserve(NULL, policy), CALMOE_OK);
    const bool has_parts = cm_random_below(random, 2) == 1, has_plan = cm_random_below(random, 3) == 0;
    if (has_plan) policy->off_reads = cm_random_unit(random) * 40.0;
    if (has_plan) memcpy(policy->kept, "8899aabbccddeeff", sizeof policy->kept);
    for (int i = 0; i < 6; i++) {
        struct policy_rung *rung = &policy->rungs[i];
        *rung = (struct policy_rung){
            .delta = (i + cm_random_unit(random)) / 7.0 + 0.01, .epsilon = 0.05, .loss = LOSS_EXACT_MATCH,
            .p_value = (enum p_value_kind)cm_random_below(random, P_VALUE_KIND_COUNT), .n_prompts = 1000 + i,
            .p = cm_random_unit(random) * 0.05, .n_exits = 1 + i,
            .kv_fill = (enum kv_fill)cm_random_below(random, KV_FILL_COUNT),
            .k_tail = (int)cm_random_below(random, 4) - 1};
        if (rung->kv_fill != KV_PROPAGATE) rung->max_pending = 1 + (int)cm_random_below(random, 100);
        for (int exit = 0; exit < rung->n_exits; exit++)
            rung->exits[exit] = (struct policy_exit){
                2 + 3 * exit, (enum exit_measure)cm_random_below(random, MEASURE_COUNT), random_threshold(random)};
        rung->has_parts = has_parts;
        for (int part = 0; part < PART_COUNT && has_parts; part++)
            rung->parts.of[part] = part == PART_READ && !has_plan ? 0.0 : cm_random_unit(random) * 40.0;
        if (i % 2) rung->widths = cm_policy_widths(policy, i);
        for (int layer = 0; rung->widths && layer < 20; layer++) rung->widths[layer] = random_rule(random, has_plan);
    }
}

static void same_exit(const struct policy_exit *a, const struct policy_exit *b)
{
    assert_int_equal(a->layer, b->layer);
    assert_int_equal(a->measure, b->measure);
    assert_int_equal(a->threshold.schedule, b->threshold.schedule);
    assert_true(a->threshold.lambda == b->threshold.lambda && a->threshold.tau == b->threshold.tau);
    assert_int_equal(a->threshold.length, b->threshold.length);
}

static void same_rung(const struct policy_rung *a, const struct policy_rung *b)
{
    assert_true(a->delta == b->delta && a->epsilon == b->epsilon && a->p == b->p);
    assert_int_equal(a->loss, b->loss);
    assert_int_equal(a->p_value, b->p_value);
    assert_int_equal(a->n_prompts, b->n_prompts);
    assert_int_equal(a->n_exits, b->n_exits);
    for (int i = 0; i < a->n_exits; i++) same_exit(&a->exits[i], &b->exits[i]);
    assert_int_equal(a->kv_fill, b->kv_fill);
    assert_int_equal(a->max_pending, b->max_pending);
    assert_int_equal(a->k_tail, b->k_tail);
    assert_int_equal(a->has_parts, b->has_parts);
    assert_memory_equal(&a->parts, &b->parts, sizeof a->parts);
    assert_int_equal(a->widths != NULL, b->widths != NULL);
    for (int layer = 0; a->widths && layer < 20; layer++) {
        assert_int_equal(a->widths[layer].kind, b->widths[layer].kind);
        assert_true(a->widths[layer].bound == b->widths[layer].bound);
        assert_int_equal(a->widths[layer].k, b->widths[layer].k);
        assert_int_equal(a->widths[layer].renormalise, b->widths[layer].renormalise);
    }
}

static void round_trip(void **state)
{
    (void)state;
    struct temp_folder   *folder = temp_folder_open();
    struct random         random = cm_random(51);
    struct calmoe_context ctx = {.log = NULL};
    for (int trial = 0; trial < 100; trial++) {
        struct policy policy, back;
        const char   *path = temp_file(folder, "policy.json");
        make_random(&random, &policy);
        if (trial % 3) snprintf(policy.prompts, sizeof policy.prompts, "0011223344%06d", trial);
        if (trial % 2) snprintf(policy.exits, sizeof policy.exits, "fedcba98765432%02d", trial);
        if (cm_policy_check(&ctx, &policy) != CALMOE_OK) fail_msg("%s", ctx.message);
        assert_int_equal(cm_policy_file_write(&ctx, path, &policy), CALMOE_OK);
        if (cm_policy_file_read(&ctx, path, &back) != CALMOE_OK) fail_msg("%s", ctx.message);
        assert_string_equal(back.fingerprint, policy.fingerprint);
        assert_string_equal(back.exits, policy.exits);
        assert_string_equal(back.prompts, policy.prompts);
        assert_string_equal(back.kept, policy.kept);
        assert_true(back.off_reads == policy.off_reads);
        assert_int_equal(back.n_layers, policy.n_layers);
        assert_int_equal(back.n_rungs, policy.n_rungs);
        for (int i = 0; i < policy.n_rungs; i++) same_rung(&policy.rungs[i], &back.rungs[i]);
        cm_policy_close(&policy);
        cm_policy_close(&back);
    }
    struct policy none = {.fingerprint = "00112233aabbccdd", .n_layers = 2};
    assert_int_equal(cm_policy_file_write(&ctx, "/nowhere/policy.json", &none), CALMOE_IO);
    assert_string_equal(ctx.message, "cannot write '/nowhere/policy.json': No such file or directory");
    temp_folder_close(&folder);
    assert_int_equal(cm_live_blocks(), 0);
}

/* What no reader lets through, but a program might make. */
static void check_refuses(void **state)
{
    (void)state;
    struct random random = cm_random(52);
    struct policy policy;
    make_random(&random, &policy);
    struct policy_rung *rung = &policy.rungs[3];
    const struct policy_rung good = *rung;
    const float  bad_shares[] = {0.0f, -0.1f, 1.1f, NAN, INFINITY};
    const double bad_numbers[] = {0.0, 1.0, (double)NAN, -1.0};
    assert_int_equal(cm_policy_check(NULL, &policy), CALMOE_OK);
    for (int i = 0; i < 5; i++) {
        rung->exits[1].threshold.lambda = bad_shares[i];
        assert_int_equal(cm_policy_check(NULL, &policy), CALMOE_BAD_FILE);
        *rung = good;
        const struct width_rule rule = rung->widths[5];
        rung->widths[5] = (struct width_rule){WIDTH_RATIO, bad_shares[i], 1, false};
        assert_int_equal(cm_policy_check(NULL, &policy), CALMOE_BAD_FILE);
        rung->widths[5] = rule;
    }
    for (int i = 0; i < 4; i++) {
        rung->delta = bad_numbers[i];
        assert_int_equal(cm_policy_check(NULL, &policy), CALMOE_BAD_FILE);
        *rung = good;
        rung->epsilon = bad_numbers[i];
        assert_int_equal(cm_policy_check(NULL, &policy), CALMOE_BAD_FILE);
        *rung = good;
    }
    rung->p = (double)NAN;
    assert_int_equal(cm_policy_check(NULL, &policy), CALMOE_BAD_FILE);
    *rung = good;
    rung->exits[0].threshold.schedule = SCHEDULE_OFF;
    assert_int_equal(cm_policy_check(NULL, &policy), CALMOE_BAD_FILE);
    *rung = good;
    rung->exits[3].layer = 20;
    assert_int_equal(cm_policy_check(NULL, &policy), CALMOE_BAD_FILE);
    *rung = good;
    policy.n_rungs = POLICY_MAX_RUNGS + 1;
    assert_int_equal(cm_policy_check(NULL, &policy), CALMOE_BAD_FILE);
    cm_policy_close(&policy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_fault_has_its_sentence), cmocka_unit_test(what_is_right), cmocka_unit_test(of_a_front),
        cmocka_unit_test(of_a_plan),
        cmocka_unit_test(round_trip),
        cmocka_unit_test(check_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
