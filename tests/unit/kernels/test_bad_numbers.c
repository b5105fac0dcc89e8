/* test_bad_numbers.c - NaN and infinities are found at every place, in weights of every type, and nothing else is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <math.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "kernels/bad_numbers.h"
#include "kernels/random_weights.h"

enum { MAX = 100, N_BLOCKS = 2100 };

static void every_place_of_floats(void **state)
{
    (void)state;
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    for (int n = 1; n < MAX; n++)
        for (int at = 0; at < n; at++)
            for (int kind = 0; kind < 3; kind++) {
                float x[MAX];
                for (int i = 0; i < n; i++) x[i] = i % 3 == 0 ? 3e38f : i % 3 == 1 ? -3e38f : 1e-44f;
                struct bad_numbers found = {0};
                assert_true(cm_are_finite(x, (size_t)n));
                cm_count_bad_floats(x, (size_t)n, 0, &found);
                assert_int_equal(found.n_nan + found.n_infinite, 0);
                x[at] = bad[kind];
                assert_false(cm_are_finite(x, (size_t)n));
                cm_count_bad_floats(x, (size_t)n, 1000, &found);
                assert_int_equal(found.n_nan, kind == 0);
                assert_int_equal(found.n_infinite, kind != 0);
                assert_int_equal(found.first, 1000 + at);
                assert_int_equal(found.first_is_nan, kind == 0);
            }
}

/* By the plain way: dequantize all, look at each. */
static struct bad_numbers plainly(enum weight_type type, const uint8_t *blocks, size_t n_blocks)
{
    const struct weight_type_row *row = &cm_weight_types[type];
    struct bad_numbers found = {0};
    for (size_t i = 0; i < n_blocks; i++) {
        float values[256];
        row->dequantize(blocks + i * (size_t)row->n_bytes, values, 1);
        for (int k = 0; k < row->n_elements; k++) {
            if (isfinite(values[k])) continue;
            if (found.n_nan + found.n_infinite == 0) {
                found.first = i * (size_t)row->n_elements + (size_t)k;
                found.first_is_nan = isnan(values[k]) != 0;
            }
            if (isnan(values[k])) found.n_nan++;
            else found.n_infinite++;
        }
    }
    return found;
}

static void check_same(enum weight_type type, const uint8_t *blocks, size_t n_blocks)
{
    struct bad_numbers found = {0};
    const struct bad_numbers wanted = plainly(type, blocks, n_blocks);
    cm_count_bad_weights(type, blocks, n_blocks, 0, &found);
    assert_int_equal(found.n_nan, wanted.n_nan);
    assert_int_equal(found.n_infinite, wanted.n_infinite);
    assert_int_equal(found.first, wanted.first);
    assert_int_equal(found.first_is_nan, wanted.first_is_nan);
}

static void every_type(void **state)
{
    (void)state;
    static uint8_t blocks[N_BLOCKS * 256];
    struct random random = cm_random(3);
    for (int type = 0; type < WEIGHT_TYPE_COUNT; type++) {
        const size_t n_bytes = (size_t)cm_weight_types[type].n_bytes;
        cm_random_weights((enum weight_type)type, 0.0f, 1.0f, 7, blocks, N_BLOCKS);
        struct bad_numbers none = {0};
        cm_count_bad_weights((enum weight_type)type, blocks, N_BLOCKS, 0, &none);
        assert_int_equal(none.n_nan + none.n_infinite, 0);
        memset(blocks + 1500 * n_bytes, 0xff, n_bytes); /* scales are NaN */
        check_same((enum weight_type)type, blocks, N_BLOCKS);
        const struct bad_numbers found = plainly((enum weight_type)type, blocks, N_BLOCKS);
        assert_int_equal(found.first / (uint64_t)cm_weight_types[type].n_elements, 1500);
        for (size_t i = 0; i < N_BLOCKS * n_bytes; i++) blocks[i] = (uint8_t)cm_random_u64(&random);
        check_same((enum weight_type)type, blocks, N_BLOCKS); /* any bytes at all */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_place_of_floats),
        cmocka_unit_test(every_type),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
