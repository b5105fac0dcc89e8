/* test_rope.c - rotary frequencies and angles: plain, linear, YaRN and by a tensor of factors, against published
 * figures and against the C library. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <math.h>

#include <stdio.h>

#include <cmocka.h>

#include "runtime/mixers/rope.h"

static struct rope_spec plain(int n_rot, float base)
{
    return (struct rope_spec){.is_on = true, .n_rot = n_rot, .base = base, .factor = 1.0f, .original_context = 4096,
                              .beta_fast = 32.0f, .beta_slow = 1.0f, .has_whole_bounds = true, .magnitude = 1.0f,
                              .has_factors = true};
}

static struct rope open_rope(const struct rope_spec *spec, const float *factors)
{
    struct rope rope;
    assert_int_equal(cm_rope_open(NULL, spec, 1, factors, &rope), CALMOE_OK);
    return rope;
}

static void near(double found, double wanted, double limit)
{
    if (!(fabs(found - wanted) <= limit * fabs(wanted))) fail_msg("%.12g instead of %.12g", found, wanted);
}

static void plain_frequencies(void **state)
{
    (void)state;
    for (int n_rot = 2; n_rot <= 256; n_rot += 2) {
        const struct rope_spec spec = plain(n_rot, n_rot % 4 ? 10000.0f : 1e6f);
        struct rope rope = open_rope(&spec, NULL);
        assert_int_equal(rope.n_pairs, n_rot / 2);
        assert_true(rope.kinds[0].magnitude == 1.0 && rope.kinds[0].frequencies[0] == 1.0);
        for (int i = 0; i < n_rot / 2; i++)
            near(rope.kinds[0].frequencies[i], pow((double)spec.base, -2.0 * i / n_rot), 1e-14);
        cm_rope_close(&rope);
        cm_rope_close(&rope);
    }
}

static void linear_divides_positions(void **state)
{
    (void)state;
    struct rope_spec spec = plain(64, 10000.0f);
    struct rope without = open_rope(&spec, NULL);
    spec.scaling = ROPE_SCALING_LINEAR;
    spec.factor = 4.0f;
    struct rope with = open_rope(&spec, NULL);
    for (int i = 0; i < 32; i++) assert_true(with.kinds[0].frequencies[i] == without.kinds[0].frequencies[i] / 4.0);
    float cosines[32], sines[32], wanted_cosines[32], wanted_sines[32];
    cm_rope_row(&with, 40, cosines, sines);
    cm_rope_row(&without, 10, wanted_cosines, wanted_sines);
    assert_memory_equal(cosines, wanted_cosines, sizeof cosines);
    assert_memory_equal(sines, wanted_sines, sizeof sines);
    assert_true(with.kinds[0].magnitude == 1.0);
    cm_rope_close(&with);
    cm_rope_close(&without);
}

/* DeepSeek-V3: base 10000, 64 dimensions, factor 40, 4096 positions before: the ramp goes from pair 10 to 23. */
static void yarn_of_deepseek_v3(void **state)
{
    (void)state;
    static const struct {
        int    pair;
        double frequency;
    } rows[] = {{0, 1.0}, {8, 0.1}, {12, 0.0268794}, {17, 0.003562}, {18, 0.00224937}, {31, 3.3338e-06}};
    struct rope_spec spec = plain(64, 10000.0f);
    spec.scaling = ROPE_SCALING_YARN;
    spec.factor = 40.0f;
    struct rope rope = open_rope(&spec, NULL);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        near(rope.kinds[0].frequencies[rows[i].pair], rows[i].frequency, 1e-5);
    for (int i = 0; i < 32; i++) {
        const double frequency = pow(10000.0, -2.0 * i / 64);
        if (i <= 10) near(rope.kinds[0].frequencies[i], frequency, 1e-13);
        if (i >= 23) near(rope.kinds[0].frequencies[i], frequency / 40.0, 1e-13);
        if (i == 11 || i == 22)
            near(rope.kinds[0].frequencies[i], frequency * (1.0 - (i - 10) / 13.0 * (1.0 - 1.0 / 40.0)), 1e-12);
    }
    near(rope.kinds[0].magnitude, 1.3688879454, 1e-9);
    cm_rope_close(&rope);
}

/* The same shape as gpt-oss, with whole ends of the ramp (8 and 18). */
static void yarn_with_another_base(void **state)
{
    (void)state;
    struct rope_spec spec = plain(64, 150000.0f);
    spec.scaling = ROPE_SCALING_YARN;
    spec.factor = 32.0f;
    struct rope rope = open_rope(&spec, NULL);
    near(rope.kinds[0].frequencies[8], 0.0508133, 1e-5);
    near(rope.kinds[0].frequencies[12], 0.00701571, 1e-5);
    near(rope.kinds[0].frequencies[17], 0.000227948, 1e-5);
    near(rope.kinds[0].frequencies[18], 3.83088e-05, 1e-5);
    near(rope.kinds[0].frequencies[31], 3.02351e-07, 1e-5);
    near(rope.kinds[0].magnitude, 1.3465736, 1e-7);
    spec.magnitude = 0.5f; /* a file's own factor comes on top */
    cm_rope_close(&rope);
    rope = open_rope(&spec, NULL);
    near(rope.kinds[0].magnitude, 1.3465736 * 0.5, 1e-7);
    cm_rope_close(&rope);
}

/* gpt-oss itself: the ramp goes from pair 8.09 to 17.4. The figures are those of Hugging Face transformers. */
static void yarn_with_a_ramp_between_pairs(void **state)
{
    (void)state;
    static const struct {
        int    pair;
        double frequency;
    } rows[] = {{7, 0.0737445652},     {8, 0.0508132726},      {9, 0.0317056961},      {12, 0.00679495931},
                {16, 0.000456483918}, {17, 0.000129318694}, {18, 3.83088118e-05}, {31, 3.0235114e-07}};
    struct rope_spec spec = plain(64, 150000.0f);
    spec.scaling = ROPE_SCALING_YARN;
    spec.factor = 32.0f;
    spec.has_whole_bounds = false;
    struct rope rope = open_rope(&spec, NULL);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        near(rope.kinds[0].frequencies[rows[i].pair], rows[i].frequency, 1e-6);
    cm_rope_close(&rope);
}

/* Pairs of several kinds stand one behind the other, each as if it were alone. */
static void several_kinds(void **state)
{
    (void)state;
    const struct rope_spec specs[3] = {plain(64, 10000.0f), plain(16, 1e6f), plain(32, 500.0f)};
    float all[2][56], alone[2][32];
    struct rope rope;
    assert_int_equal(cm_rope_open(NULL, specs, 3, NULL, &rope), CALMOE_OK);
    assert_int_equal(rope.n_pairs, 32 + 8 + 16);
    cm_rope_row(&rope, 77, all[0], all[1]);
    for (int i = 0; i < 3; i++) {
        struct rope one = open_rope(&specs[i], NULL);
        cm_rope_row(&one, 77, alone[0], alone[1]);
        assert_int_equal(rope.kinds[i].n_pairs, one.n_pairs);
        for (int j = 0; j < 2; j++)
            assert_memory_equal(all[j] + rope.kinds[i].first_pair, alone[j], (size_t)one.n_pairs * sizeof(float));
        cm_rope_close(&one);
    }
    cm_rope_close(&rope);
}

static void yarn_of_factor_one_is_plain(void **state)
{
    (void)state;
    struct rope_spec spec = plain(128, 10000.0f);
    struct rope without = open_rope(&spec, NULL);
    spec.scaling = ROPE_SCALING_YARN;
    struct rope with = open_rope(&spec, NULL);
    for (int i = 0; i < 64; i++) near(with.kinds[0].frequencies[i], without.kinds[0].frequencies[i], 1e-15);
    assert_true(with.kinds[0].magnitude == 1.0);
    cm_rope_close(&with);
    cm_rope_close(&without);
}

/* Llama 3: base 500000, 128 dimensions, factor 8, low 1, high 4, 8192 positions before. */
static double llama3_factor(int i)
{
    const double wavelength = 2.0 * acos(-1.0) * pow(500000.0, 2.0 * i / 128);
    if (wavelength < 8192.0 / 4.0) return 1.0;
    if (wavelength > 8192.0) return 8.0;
    const double t = (8192.0 / wavelength - 1.0) / 3.0;
    return 1.0 / ((1.0 - t) / 8.0 + t);
}

static void a_tensor_of_factors(void **state)
{
    (void)state;
    float factors[64];
    for (int i = 0; i < 64; i++) factors[i] = (float)llama3_factor(i);
    assert_true(factors[0] == 1.0f && factors[63] == 8.0f);
    const struct rope_spec spec = plain(128, 500000.0f);
    struct rope rope = open_rope(&spec, factors);
    int n_between = 0;
    for (int i = 0; i < 64; i++) {
        near(rope.kinds[0].frequencies[i], pow(500000.0, -2.0 * i / 128) / llama3_factor(i), 1e-6);
        n_between += factors[i] > 1.0f && factors[i] < 8.0f;
    }
    assert_true(n_between > 3);
    cm_rope_close(&rope);
}

static void factors_that_are_none(void **state)
{
    (void)state;
    const float bad[] = {0.0f, -1.0f, NAN, INFINITY};
    struct rope_spec spec = plain(128, 500000.0f);
    float factors[64];
    spec.factors = "rope_freqs.weight";
    for (int i = 0; i < 64; i++) factors[i] = 1.0f;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct calmoe_context ctx = {.log = NULL};
        struct rope rope;
        char wanted[120];
        factors[7] = bad[i];
        snprintf(wanted, sizeof wanted, "element 7 of 'rope_freqs.weight' is %g; wanted a number above 0",
                 (double)bad[i]);
        assert_int_equal(cm_rope_open(&ctx, &spec, 1, factors, &rope), CALMOE_BAD_FILE);
        assert_string_equal(ctx.message, wanted);
    }
}

static void angles(void **state)
{
    (void)state;
    static const int positions[] = {0, 1, 2, 63, 64, 1000, 4095, 32767, 131071, 1048575};
    struct rope_spec spec = plain(64, 10000.0f);
    spec.magnitude = 2.0f;
    struct rope rope = open_rope(&spec, NULL);
    float cosines[32], sines[32];
    for (size_t p = 0; p < sizeof positions / sizeof *positions; p++) {
        cm_rope_row(&rope, positions[p], cosines, sines);
        for (int i = 0; i < 32; i++) {
            const double angle = positions[p] * rope.kinds[0].frequencies[i];
            assert_true(fabs((double)cosines[i] - 2.0 * cos(angle)) < 3e-7);
            assert_true(fabs((double)sines[i] - 2.0 * sin(angle)) < 3e-7);
        }
    }
    cm_rope_close(&rope);
}

static void off(void **state)
{
    (void)state;
    struct rope_spec spec = plain(64, 10000.0f);
    spec.is_on = false;
    struct rope rope = open_rope(&spec, NULL);
    assert_int_equal(rope.n_pairs, 0);
    cm_rope_row(&rope, 5, NULL, NULL);
    cm_rope_close(&rope);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_frequencies),
        cmocka_unit_test(linear_divides_positions),
        cmocka_unit_test(yarn_of_deepseek_v3),
        cmocka_unit_test(yarn_with_another_base),
        cmocka_unit_test(yarn_with_a_ramp_between_pairs),
        cmocka_unit_test(several_kinds),
        cmocka_unit_test(yarn_of_factor_one_is_plain),
        cmocka_unit_test(a_tensor_of_factors),
        cmocka_unit_test(factors_that_are_none),
        cmocka_unit_test(angles),
        cmocka_unit_test(off),
    };
    return cmocka_run_group_tests_name("rope", tests, NULL, NULL);
}
