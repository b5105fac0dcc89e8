/* test_router.c - routing one token: vectors made by hand, a plain reference in double for every score, and what
 * must hold for any logits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <math.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "router/router.h"
#include "router/score.h"

enum { MAX_EXPERTS = 64 };

static struct router_spec plain(int n_experts, int n_used, enum score_kind score)
{
    return (struct router_spec){.n_experts = n_experts, .n_used = n_used, .score = score, .n_groups = 1,
                                .n_groups_used = 1, .scale = 1.0f};
}

/* ---- a plain reference ---- */

static double score_of(enum score_kind kind, const double *z, int n, int i)
{
    double sum = 0.0, largest = -INFINITY;
    switch (kind) {
    case SCORE_SOFTMAX:
        for (int j = 0; j < n; j++) largest = fmax(largest, z[j]);
        for (int j = 0; j < n; j++) sum += exp(z[j] - largest);
        return exp(z[i] - largest) / sum;
    case SCORE_SIGMOID: return 1.0 / (1.0 + exp(-z[i]));
    case SCORE_SQRT_SOFTPLUS: return sqrt(z[i] > 30.0 ? z[i] : log1p(exp(z[i])));
    default: return z[i];
    }
}

/* The index of the largest that is not yet taken; the lower one of equals. */
static int take_largest(const double *values, int n, bool *is_taken)
{
    int best = -1;
    for (int i = 0; i < n; i++)
        if (!is_taken[i] && (best < 0 || values[i] > values[best])) best = i;
    is_taken[best] = true;
    return best;
}

static void limit_groups(const struct router_spec *spec, double *choice)
{
    const int size = spec->n_experts / spec->n_groups;
    double group[MAX_EXPERTS];
    bool is_kept[MAX_EXPERTS] = {false};
    for (int g = 0; g < spec->n_groups; g++) {
        bool is_taken[MAX_EXPERTS] = {false};
        group[g] = choice[g * size + take_largest(choice + g * size, size, is_taken)];
        if (spec->group_score == GROUP_TOP2_SUM && size > 1)
            group[g] += choice[g * size + take_largest(choice + g * size, size, is_taken)];
    }
    for (int k = 0; k < spec->n_groups_used; k++) take_largest(group, spec->n_groups, is_kept);
    for (int i = 0; i < spec->n_experts; i++)
        if (!is_kept[i / size]) choice[i] = -INFINITY;
}

/* Softmax, at the logit that was chosen for the slot, over those that lie within a fiftieth of it and were not chosen
 * for slots before. */
static double share_of_near(const double *z, int n, const int *experts, int slot)
{
    const double largest = z[experts[slot]];
    double sum = 0.0;
    for (int i = 0; i < n; i++) {
        bool is_out = (largest - z[i]) / fmax(fabs(z[i]), largest) > 0.02;
        for (int before = 0; before < slot; before++) is_out |= experts[before] == i;
        if (!is_out) sum += exp(z[i] - largest);
    }
    return 1.0 / sum;
}

static void route_plainly(const struct router_spec *spec, const float *logits, const struct router_vectors *vectors,
                          int *experts, double *weights)
{
    const float *bias = vectors->choice_bias;
    const int n = spec->n_experts;
    double z[MAX_EXPERTS], score[MAX_EXPERTS], choice[MAX_EXPERTS], sum = 0.0;
    bool is_taken[MAX_EXPERTS] = {false};
    for (int i = 0; i < n; i++)
        z[i] = (double)(vectors->logit_bias ? logits[i] + vectors->logit_bias[i] : logits[i]);
    for (int i = 0; i < n; i++) score[i] = score_of(spec->score, z, n, i);
    for (int i = 0; i < n; i++) choice[i] = score[i] + (bias ? (double)bias[i] : 0.0);
    if (spec->n_groups > 1) limit_groups(spec, choice);
    for (int slot = 0; slot < spec->n_used; slot++) {
        experts[slot] = take_largest(choice, n, is_taken);
        weights[slot] = score[experts[slot]];
    }
    if (spec->score == SCORE_SOFTMAX_SELECTED) {
        double chosen[MAX_EXPERTS];
        memcpy(chosen, weights, (size_t)spec->n_used * sizeof *chosen);
        for (int slot = 0; slot < spec->n_used; slot++)
            weights[slot] = score_of(SCORE_SOFTMAX, chosen, spec->n_used, slot);
    }
    if (spec->score == SCORE_SIGMOID_SELECTED)
        for (int slot = 0; slot < spec->n_used; slot++) weights[slot] = score_of(SCORE_SIGMOID, weights, n, slot);
    if (spec->score == SCORE_SPARSEMIXER)
        for (int slot = 0; slot < spec->n_used; slot++) weights[slot] = share_of_near(z, n, experts, slot);
    for (int slot = 0; slot < spec->n_used; slot++) sum += weights[slot];
    sum = fmax(sum + (double)spec->sum_epsilon, (double)spec->least_sum);
    for (int slot = 0; slot < spec->n_used; slot++) {
        weights[slot] *= (spec->renormalise ? 1.0 / sum : 1.0) * (double)spec->scale;
        if (vectors->output_scale) weights[slot] *= (double)vectors->output_scale[experts[slot]];
    }
}

/* ---- by hand ---- */

static void route(const struct router_spec *spec, const float *logits, const float *bias, int32_t *experts,
                  float *weights)
{
    float scratch[MAX_EXPERTS];
    memcpy(scratch, logits, (size_t)spec->n_experts * sizeof *scratch);
    cm_route(spec, cm_vector_ops(ISA_REF), scratch, &(struct router_vectors){.choice_bias = bias}, experts, weights);
}

static void near(float found, double wanted)
{
    const double error = fabs((double)found - wanted) / fmax(1.0, fabs(wanted));
    if (!(error <= 2e-6)) fail_msg("%.9g, not %.9g", (double)found, wanted);
}

static void by_hand(void **state)
{
    (void)state;
    const float logits[] = {0.0f, 1.0986123f, -1.0f, 0.6931472f}; /* e^z = 1, 3, 0.3679, 2 */
    int32_t experts[4];
    float weights[4];
    struct router_spec spec = plain(4, 2, SCORE_SOFTMAX);
    route(&spec, logits, NULL, experts, weights);
    assert_int_equal(experts[0], 1);
    assert_int_equal(experts[1], 3);
    near(weights[0], 3.0 / 6.3678794);
    near(weights[1], 2.0 / 6.3678794);
    spec.renormalise = true;
    spec.scale = 2.5f;
    route(&spec, logits, NULL, experts, weights);
    near(weights[0], 1.5);
    near(weights[1], 1.0);
    spec = plain(4, 2, SCORE_SOFTMAX_SELECTED);
    route(&spec, logits, NULL, experts, weights);
    near(weights[0], 0.6);
    near(weights[1], 0.4);
    spec = plain(4, 2, SCORE_SIGMOID);
    route(&spec, logits, NULL, experts, weights);
    near(weights[0], 0.75);
    near(weights[1], 2.0 / 3.0);
    spec = plain(4, 1, SCORE_SQRT_SOFTPLUS);
    route(&spec, logits, NULL, experts, weights);
    near(weights[0], 1.1774100); /* sqrt(ln 4) */
}

static void bias_chooses_but_does_not_weigh(void **state)
{
    (void)state;
    const float logits[] = {0.0f, 1.0f, 2.0f, 3.0f}, bias[] = {5.0f, 0.0f, 4.0f, 0.0f};
    int32_t experts[2];
    float weights[2];
    const struct router_spec spec = plain(4, 2, SCORE_SIGMOID);
    route(&spec, logits, bias, experts, weights);
    assert_int_equal(experts[0], 0);
    assert_int_equal(experts[1], 2);
    near(weights[0], 0.5);
    near(weights[1], 1.0 / (1.0 + exp(-2.0)));
}

/* Where large logits all have the sigmoid 1, the largest still wins when the choice is by logits. */
static void selected_sigmoids(void **state)
{
    (void)state;
    const float logits[] = {30.0f, 40.0f, 35.0f, 0.0f}, scales[] = {7.0f, 0.5f, -3.0f, 1.0f};
    int32_t experts[2];
    float weights[2], scratch[4];
    struct router_spec spec = plain(4, 2, SCORE_SIGMOID_SELECTED);
    route(&spec, logits, NULL, experts, weights);
    assert_int_equal(experts[0], 1);
    assert_int_equal(experts[1], 2);
    near(weights[0], 1.0);
    memcpy(scratch, logits, sizeof scratch);
    const struct router_vectors vectors = {.output_scale = scales};
    cm_route(&spec, cm_vector_ops(ISA_REF), scratch, &vectors, experts, weights);
    assert_int_equal(experts[0], 1);
    near(weights[0], 0.5);
    near(weights[1], -3.0);
}

/* A bias on the logits chooses and weighs. */
static void logit_bias(void **state)
{
    (void)state;
    const float logits[] = {0.0f, 1.0f, 2.0f}, bias[] = {1.6931472f, 0.0f, -9.0f};
    float scratch[3], weights[2];
    int32_t experts[2];
    const struct router_spec spec = plain(3, 2, SCORE_SOFTMAX_SELECTED);
    memcpy(scratch, logits, sizeof scratch);
    cm_route(&spec, cm_vector_ops(ISA_REF), scratch, &(struct router_vectors){.logit_bias = bias}, experts, weights);
    assert_int_equal(experts[0], 0);
    assert_int_equal(experts[1], 1);
    near(weights[0], 2.0 / 3.0); /* e^1.693 : e^1 = 2 : 1 */
    near(weights[1], 1.0 / 3.0);
}

/* Weights whose sum is tiny are divided by what the model says instead. */
static void sums_of_weights(void **state)
{
    (void)state;
    const float logits[] = {-9.0f, -9.0f};
    const double one = 1.0 / (1.0 + exp(9.0));
    int32_t experts[2];
    float weights[2];
    struct router_spec spec = plain(2, 2, SCORE_SIGMOID);
    spec.renormalise = true;
    route(&spec, logits, NULL, experts, weights);
    near(weights[0], 0.5);
    spec.sum_epsilon = 1e-3f;
    route(&spec, logits, NULL, experts, weights);
    near(weights[0], one / (2.0 * one + 1e-3));
    spec.sum_epsilon = 0.0f;
    spec.least_sum = 1e-2f;
    route(&spec, logits, NULL, experts, weights);
    near(weights[0], one / 1e-2);
}

/* Groups {0,1}, {2,3}, {4,5}: one has the best expert, another the best two. */
static void groups(void **state)
{
    (void)state;
    const float logits[] = {3.0f, -9.0f, 1.6f, 1.5f, 1.0f, 1.1f};
    int32_t experts[2];
    float weights[2];
    struct router_spec spec = plain(6, 2, SCORE_SOFTMAX_SELECTED);
    spec.n_groups = 3;
    spec.group_score = GROUP_TOP2_SUM;
    route(&spec, logits, NULL, experts, weights);
    assert_int_equal(experts[0], 2);
    assert_int_equal(experts[1], 3);
    spec.group_score = GROUP_MAX;
    route(&spec, logits, NULL, experts, weights);
    assert_int_equal(experts[0], 0);
    assert_int_equal(experts[1], 1);
    spec.n_groups_used = 2;
    route(&spec, logits, NULL, experts, weights);
    assert_int_equal(experts[0], 0);
    assert_int_equal(experts[1], 2);
    /* a score below zero in a group that is kept stands above those of groups that are not */
    const float negative[] = {-1.0f, -2.0f, -3.0f, -4.0f, -0.5f, -9.0f};
    spec.n_groups_used = 1;
    spec.group_score = GROUP_TOP2_SUM;
    route(&spec, negative, NULL, experts, weights);
    assert_int_equal(experts[0], 0);
    assert_int_equal(experts[1], 1);
}

/* ---- against the reference ---- */

static bool divides_clearly(const struct router_spec *spec, const float *logits, const struct router_vectors *vectors)
{
    const float *bias = vectors->logit_bias;
    for (int i = 0; i < spec->n_experts; i++) /* no two scores so close that rounding decides */
        for (int j = 0; j < i; j++)
            if (fabsf((bias ? logits[i] + bias[i] : logits[i]) - (bias ? logits[j] + bias[j] : logits[j])) < 1e-3f)
                return false;
    return vectors->choice_bias == NULL || spec->score == SCORE_SOFTMAX_SELECTED || spec->n_groups == 1;
}

static void compare(const struct router_spec *spec, const float *logits, const struct router_vectors *vectors)
{
    int wanted[MAX_EXPERTS];
    double wanted_weights[MAX_EXPERTS];
    int32_t experts[MAX_EXPERTS];
    float weights[MAX_EXPERTS];
    route_plainly(spec, logits, vectors, wanted, wanted_weights);
    for (int isa = 0; isa < ISA_COUNT; isa++) {
        if (!cm_isa_is_supported((enum isa)isa)) continue;
        float scratch[MAX_EXPERTS];
        memcpy(scratch, logits, (size_t)spec->n_experts * sizeof *scratch);
        cm_route(spec, cm_vector_ops((enum isa)isa), scratch, vectors, experts, weights);
        for (int slot = 0; slot < spec->n_used; slot++) {
            assert_int_equal(experts[slot], wanted[slot]);
            near(weights[slot], wanted_weights[slot]);
        }
    }
}

static void every_score_against_the_reference(void **state)
{
    (void)state;
    struct random random = cm_random(9);
    float logits[MAX_EXPERTS], bias[MAX_EXPERTS], logit_bias[MAX_EXPERTS], output_scale[MAX_EXPERTS];
    int n_compared = 0;
    for (int run = 0; run < 4000; run++) {
        const int n_groups = (int[]){1, 1, 2, 4}[cm_random_below(&random, 4)];
        struct router_spec spec = plain(n_groups * (1 + (int)cm_random_below(&random, 8)), 1,
                                        (enum score_kind)(run % SCORE_KIND_COUNT));
        spec.n_groups = n_groups;
        spec.n_groups_used = 1 + (int)cm_random_below(&random, (uint64_t)n_groups);
        spec.n_used = 1 + (int)cm_random_below(&random, (uint64_t)(spec.n_experts / n_groups * spec.n_groups_used));
        spec.group_score = run % 8 < 4 ? GROUP_TOP2_SUM : GROUP_MAX;
        spec.renormalise = cm_random_below(&random, 2) && spec.score != SCORE_SOFTMAX_SELECTED &&
                           spec.score != SCORE_SIGMOID_SELECTED;
        spec.sum_epsilon = run % 7 == 0 ? 0.5f : 0.0f;
        spec.least_sum = run % 9 == 0 ? 0.75f : 0.0f;
        spec.scale = cm_random_below(&random, 2) ? 1.0f : 2.5f;
        for (int i = 0; i < spec.n_experts; i++) {
            logits[i] = 3.0f * cm_random_normal(&random);
            bias[i] = 0.5f * (float)i; /* far apart */
            logit_bias[i] = run % 5 == 0 ? cm_random_normal(&random) : 0.0f;
            output_scale[i] = cm_random_normal(&random);
        }
        const struct router_vectors vectors = {.choice_bias = n_groups == 1 && run % 3 == 0 ? bias : NULL,
                                               .logit_bias = run % 5 == 0 ? logit_bias : NULL,
                                               .output_scale = run % 11 < 4 ? output_scale : NULL};
        if (!divides_clearly(&spec, logits, &vectors)) continue;
        compare(&spec, logits, &vectors);
        n_compared++;
    }
    assert_true(n_compared > 1000);
}

/* Near ones share, far ones do not; what was chosen first is out of the second's sum. A size below zero counts as such,
 * and of zeros all are near. */
static void a_sparse_mixer(void **state)
{
    (void)state;
    const float far[] = {1.0f, 3.0f, 2.9f, 2.95f, 0.0f}, below[] = {-2.0f, -1.0f, -1.01f, -3.0f}, zeros[4] = {0.0f};
    const struct { const float *logits; int n, first, second; double weights[2]; } cases[] = {
        {far, 5, 1, 3, {1.0 / (1.0 + exp(-0.05)), 1.0 / (1.0 + exp(-0.05))}}, /* 0.1 is more than 0.02 * 3 */
        {below, 4, 1, 2, {1.0 / (1.0 + exp(-0.01)), 1.0}},
        {zeros, 4, 0, 1, {0.25, 1.0 / 3.0}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct router_spec spec = plain(cases[i].n, 2, SCORE_SPARSEMIXER);
        int32_t experts[2];
        float   weights[2];
        route(&spec, cases[i].logits, NULL, experts, weights);
        assert_int_equal(experts[0], cases[i].first);
        assert_int_equal(experts[1], cases[i].second);
        near(weights[0], cases[i].weights[0]);
        near(weights[1], cases[i].weights[1]);
    }
}

/* Whatever comes in: distinct experts of the layer, and a second call gives the same. */
static void any_logits_give_distinct_experts(void **state)
{
    (void)state;
    struct random random = cm_random(10);
    const float special[] = {NAN, INFINITY, -INFINITY, 3.4e38f, -3.4e38f, 0.0f, 0x1p-149f, 100.0f};
    float logits[MAX_EXPERTS], weights[MAX_EXPERTS];
    int32_t experts[MAX_EXPERTS];
    for (int run = 0; run < 4000; run++) {
        struct router_spec spec = plain(1 + (int)cm_random_below(&random, MAX_EXPERTS), 1,
                                        (enum score_kind)(run % SCORE_KIND_COUNT));
        spec.n_used = 1 + (int)cm_random_below(&random, (uint64_t)spec.n_experts);
        spec.renormalise = run % 2 == 0;
        const uint64_t n_special = 1 + cm_random_below(&random, 8);
        for (int i = 0; i < spec.n_experts; i++)
            logits[i] = cm_random_below(&random, 3) && run % 5 ? cm_random_normal(&random)
                                                              : special[cm_random_below(&random, n_special)];
        route(&spec, logits, NULL, experts, weights);
        bool is_taken[MAX_EXPERTS] = {false};
        for (int slot = 0; slot < spec.n_used; slot++) {
            assert_in_range(experts[slot], 0, (uintmax_t)spec.n_experts - 1);
            assert_false(is_taken[experts[slot]]);
            is_taken[experts[slot]] = true;
        }
    }
}

/* A logit that is no number chooses no expert, and does not vanish either: the weights tell. */
static void a_nan_does_not_win_and_is_not_lost(void **state)
{
    (void)state;
    const float logits[] = {NAN, 1.0f, NAN, 0.5f, -70.0f}, bias[] = {0.0f, 0.0f, NAN, 0.0f, 0.0f}, zeros[5] = {0.0f};
    for (int score = 0; score < SCORE_KIND_COUNT; score++) {
        const struct router_spec spec = plain(5, 2, (enum score_kind)score);
        int32_t experts[2];
        float weights[2];
        route(&spec, logits, NULL, experts, weights);
        assert_true(isnan(weights[0]) && isnan(weights[1]));
        if (spec.score != SCORE_SOFTMAX) { /* whose sum is NaN, and so are all scores */
            assert_int_equal(experts[0], 1);
            assert_int_equal(experts[1], 3);
        }
        route(&spec, zeros, bias, experts, weights);
        assert_true(experts[0] != 2 && experts[1] != 2 && isnan(weights[0]) && isnan(weights[1]));
    }
}

/* ---- what files claim ---- */

/* ---- preferred experts ---- */

/* By softmax, experts 0 to 3 have weights that fall by e; 1 and 3 are preferred. */
static void preferred_by_hand(void **state)
{
    (void)state;
    static const float  logits[] = {3, 2, 1, 0};
    static const bool   is_preferred[] = {false, true, false, true};
    const struct vector_ops *ops = cm_vector_ops(ISA_REF);
    static const enum score_kind scores[] = {SCORE_SOFTMAX, SCORE_SOFTMAX_SELECTED};
    for (size_t i = 0; i < sizeof scores / sizeof *scores; i++) {
        const struct router_spec spec = plain(4, 2, scores[i]);
        const double             sum = exp(2) + 1 + (i == 0 ? exp(3) + exp(1) : 0);
        float   left[4], weights[2];
        int32_t experts[2];
        memcpy(left, logits, sizeof left);
        cm_route(&spec, ops, left, &(struct router_vectors){0}, experts, weights);
        const float before = weights[0];
        assert_int_equal(cm_route_prefer(&spec, ops, left, &(struct router_vectors){0}, is_preferred, 0.0499f, experts,
                                         weights), 0);
        assert_true(experts[0] == 0 && experts[1] == 1 && weights[0] == before);
        assert_int_equal(cm_route_prefer(&spec, ops, left, &(struct router_vectors){0}, is_preferred, 0.0497f, experts,
                                         weights), 1); /* e^-3 is 0.04979 */
        assert_true(experts[0] == 1 && experts[1] == 3);
        near(weights[0], exp(2) / sum);
        near(weights[1], 1 / sum);
    }
}

/* Any scores: experts stay distinct and in the order of their scores; preferred ones that were chosen stay; with a
 * bound of nearly 0 no other one stays while a preferred one is left; what is done once is done. The sparse mixer's
 * choice stays as it is. */
static void preferred_ones_take_places(void **state)
{
    (void)state;
    struct random random = cm_random(21);
    int           n_all = 0;
    for (int trial = 0; trial < 3000; trial++) {
        struct router_spec spec = plain(16, 4, (enum score_kind)cm_random_below(&random, SCORE_KIND_COUNT));
        float   logits[16], bias[16], weights[4], again[4];
        bool    is_preferred[16], was_chosen[16] = {false};
        int32_t experts[4], before[4];
        int     n_preferred = 0, n_stay = 0;
        if (trial % 3 == 0) spec.n_groups = 4, spec.n_groups_used = 2;
        spec.renormalise = trial % 2;
        for (int i = 0; i < 16; i++) {
            logits[i] = (float)cm_random_unit(&random) * 6 - 3;
            bias[i] = (float)cm_random_unit(&random);
            n_preferred += is_preferred[i] = cm_random_below(&random, 2) == 1;
        }
        const struct router_vectors vectors = {.choice_bias = trial % 5 == 0 ? bias : NULL};
        const float bound = trial % 4 == 0 ? 1e-9f : (float)cm_random_unit(&random);
        cm_route(&spec, cm_vector_ops(ISA_REF), logits, &vectors, experts, weights);
        memcpy(before, experts, sizeof before);
        for (int i = 0; i < 4; i++) was_chosen[experts[i]] = true;
        const int n = cm_route_prefer(&spec, cm_vector_ops(ISA_REF), logits, &vectors, is_preferred, bound, experts,
                                      weights);
        bool is_chosen[16] = {false};
        for (int i = 0; i < 4; i++) {
            assert_in_range(experts[i], 0, 15);
            assert_false(is_chosen[experts[i]]);
            is_chosen[experts[i]] = true;
            assert_true(was_chosen[experts[i]] || is_preferred[experts[i]]);
            n_stay += was_chosen[experts[i]];
            assert_true(weights[i] == weights[i]);
            const float *with = vectors.choice_bias;
            for (int j = i + 1; j < 4; j++)
                assert_true(logits[experts[i]] + (with ? with[experts[i]] : 0) >=
                            logits[experts[j]] + (with ? with[experts[j]] : 0));
        }
        assert_int_equal(n_stay, 4 - n);
        for (int i = 0; i < 4; i++)
            if (is_preferred[before[i]]) assert_true(is_chosen[before[i]]);
        if (spec.score == SCORE_SPARSEMIXER) assert_int_equal(n, 0);
        else if (trial % 4 == 0 && spec.n_groups == 1 && n_preferred >= 4)
            for (int i = 0; i < 4; i++, n_all++) assert_true(is_preferred[experts[i]]);
        memcpy(again, weights, sizeof again);
        if (n == 0 || trial % 4 == 0)
            assert_int_equal(cm_route_prefer(&spec, cm_vector_ops(ISA_REF), logits, &vectors, is_preferred, bound,
                                             experts, again), 0);
        assert_memory_equal(again, weights, sizeof again);
    }
    assert_true(n_all > 300);
}

static void check_message(struct router_spec spec, calmoe_status status, const char *message)
{
    struct calmoe_context ctx = {0};
    assert_int_equal(cm_router_check(&ctx, &spec), status);
    assert_string_equal(ctx.message, message);
}

static void faults_have_their_sentences(void **state)
{
    (void)state;
    struct router_spec spec = plain(8, 2, SCORE_SOFTMAX);
    check_message(spec, CALMOE_OK, "");
#define FAULT(member, value, status, message)               \
    do {                                                    \
        struct router_spec wrong = spec;                    \
        wrong.member = value;                               \
        check_message(wrong, CALMOE_##status, message);     \
    } while (0)
    FAULT(n_experts, 0, UNSUPPORTED, "0 experts in a layer; 1 to 1024 are supported");
    FAULT(n_experts, 1025, UNSUPPORTED, "1025 experts in a layer; 1 to 1024 are supported");
    FAULT(n_used, 0, BAD_FILE, "0 experts used of 8; it must be 1 to all of them");
    FAULT(n_used, 9, BAD_FILE, "9 experts used of 8; it must be 1 to all of them");
    FAULT(n_groups, 0, BAD_FILE, "0 expert groups do not divide 8 experts");
    FAULT(n_groups, 3, BAD_FILE, "3 expert groups do not divide 8 experts");
    FAULT(n_groups_used, 0, BAD_FILE, "0 expert groups used of 1");
    FAULT(n_groups_used, 2, BAD_FILE, "2 expert groups used of 1");
    spec.n_groups = 8;
    FAULT(n_groups_used, 1, BAD_FILE, "1 groups of 1 experts cannot give 2 experts to a token");
    spec = plain(1024, 64, SCORE_SOFTMAX);
    check_message(spec, CALMOE_OK, "");
    FAULT(n_used, 65, UNSUPPORTED, "65 experts for each token; at most 64 are supported");
#undef FAULT
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(by_hand),
        cmocka_unit_test(bias_chooses_but_does_not_weigh),
        cmocka_unit_test(selected_sigmoids),
        cmocka_unit_test(logit_bias),
        cmocka_unit_test(sums_of_weights),
        cmocka_unit_test(groups),
        cmocka_unit_test(every_score_against_the_reference),
        cmocka_unit_test(a_sparse_mixer),
        cmocka_unit_test(any_logits_give_distinct_experts),
        cmocka_unit_test(a_nan_does_not_win_and_is_not_lost),
        cmocka_unit_test(preferred_by_hand),
        cmocka_unit_test(preferred_ones_take_places),
        cmocka_unit_test(faults_have_their_sentences),
    };
    return cmocka_run_group_tests_name("router", tests, NULL, NULL);
}
