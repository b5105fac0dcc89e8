/* test_random_weights.c - random weights of every type: the mean and deviation that were asked for, the same bytes
 * for the same seed, nothing behind the end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernels/random_weights.h"

enum { N_WEIGHTS = 1 << 17, CANARY = 64 };

static uint8_t *make(enum weight_type type, float mean, float deviation, uint64_t seed, size_t *n_bytes)
{
    const struct weight_type_row *row = &cm_weight_types[type];
    const size_t n_blocks = N_WEIGHTS / (size_t)row->n_elements;
    *n_bytes = n_blocks * (size_t)row->n_bytes;
    uint8_t *bytes = malloc(*n_bytes + CANARY);
    assert_non_null(bytes);
    memset(bytes, 0xA5, *n_bytes + CANARY);
    cm_random_weights(type, mean, deviation, seed, bytes, n_blocks);
    for (size_t i = 0; i < CANARY; i++) assert_int_equal(bytes[*n_bytes + i], 0xA5);
    return bytes;
}

static void check_moments(enum weight_type type, float deviation)
{
    const struct weight_type_row *row = &cm_weight_types[type];
    size_t   n_bytes;
    uint8_t *bytes = make(type, 0.0f, deviation, 7, &n_bytes);
    float   *values = malloc(N_WEIGHTS * sizeof *values);
    double   sum = 0.0, squares = 0.0;
    assert_non_null(values);
    row->dequantize(bytes, values, N_WEIGHTS / (size_t)row->n_elements);
    for (size_t i = 0; i < N_WEIGHTS; i++) {
        assert_true(isfinite(values[i]));
        sum += (double)values[i];
        squares += (double)values[i] * (double)values[i];
    }
    const double mean = sum / N_WEIGHTS, found = sqrt(squares / N_WEIGHTS);
    if (fabs(found / (double)deviation - 1.0) > 0.03 || fabs(mean) > 0.04 * (double)deviation)
        fail_msg("%s: mean %g and deviation %g; wanted 0 and %g", row->name, mean, found, (double)deviation);
    free(values);
    free(bytes);
}

static void moments_are_right(void **state)
{
    (void)state;
    for (int type = 0; type < WEIGHT_TYPE_COUNT; type++) {
        check_moments((enum weight_type)type, 0.02f);
        check_moments((enum weight_type)type, 0.0084f); /* rows of 14336 */
        check_moments((enum weight_type)type, 1.0f);
    }
}

static void bytes_depend_on_the_seed_only(void **state)
{
    (void)state;
    for (int type = 0; type < WEIGHT_TYPE_COUNT; type++) {
        size_t   n_bytes;
        uint8_t *a = make((enum weight_type)type, 0.0f, 0.02f, 1, &n_bytes);
        uint8_t *b = make((enum weight_type)type, 0.0f, 0.02f, 1, &n_bytes);
        uint8_t *c = make((enum weight_type)type, 0.0f, 0.02f, 2, &n_bytes);
        assert_memory_equal(a, b, n_bytes);
        assert_memory_not_equal(a, c, n_bytes);
        free(a);
        free(b);
        free(c);
    }
}

static void floats_have_a_mean(void **state)
{
    (void)state;
    size_t n_bytes;
    float *values = (float *)(void *)make(WEIGHT_F32, 1.0f, 0.1f, 3, &n_bytes);
    double sum = 0.0;
    for (size_t i = 0; i < N_WEIGHTS; i++) {
        assert_true(fabsf(values[i] - 1.0f) <= 0.1f * 1.7321f);
        sum += (double)values[i];
    }
    assert_true(fabs(sum / N_WEIGHTS - 1.0) < 0.01);
    free(values);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(moments_are_right),
        cmocka_unit_test(bytes_depend_on_the_seed_only),
        cmocka_unit_test(floats_have_a_mean),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
