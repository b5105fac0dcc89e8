/* All 65536 halves both ways, and for float32 to half every tie and its two neighbours. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <math.h>

#include <cmocka.h>

#include "kernels/half.h"

/* What IEEE 754 says of a finite half, by ldexp instead of by bits. */
static double value_of(unsigned half)
{
    const int    exponent = (int)(half >> 10 & 31u), fraction = (int)(half & 1023u);
    const double magnitude = exponent == 0 ? ldexp(fraction, -24) : ldexp(1024 + fraction, exponent - 25);
    return half & 0x8000u ? -magnitude : magnitude;
}

static void every_half_becomes_its_value(void **state)
{
    (void)state;
    for (unsigned half = 0; half < 65536; half++) {
        const float value = cm_float_of_half((uint16_t)half);
        assert_int_equal(signbit(value) != 0, half >> 15);
        if ((half & 0x7c00u) != 0x7c00u) assert_true((double)value == value_of(half));
        else if ((half & 0x3ffu) == 0) assert_true(isinf(value));
        else assert_int_equal(cm_bits_of_float(value) & 0x7fc00000u, 0x7fc00000u); /* quiet */
    }
}

static void every_half_comes_back(void **state)
{
    (void)state;
    for (unsigned half = 0; half < 65536; half++) {
        const unsigned back = cm_half_of_float(cm_float_of_half((uint16_t)half));
        const int      is_nan = (half & 0x7c00u) == 0x7c00u && (half & 0x3ffu) != 0;
        assert_int_equal(back, is_nan ? half | 0x200u : half);
    }
}

/* Between neighbours: the middle goes to the even one, a hair off it to the nearer one. */
static void floats_round_to_the_nearest_half(void **state)
{
    (void)state;
    for (unsigned half = 0; half < 0x7c00u; half++) {
        const double   above = half == 0x7bffu ? 65536.0 : value_of(half + 1); /* there comes infinity */
        const float    middle = (float)((value_of(half) + above) / 2);
        const unsigned even = half % 2 == 0 ? half : half + 1;
        assert_int_equal(cm_half_of_float(middle), even);
        assert_int_equal(cm_half_of_float(nextafterf(middle, 0.0f)), half);
        assert_int_equal(cm_half_of_float(nextafterf(middle, INFINITY)), half + 1);
        assert_int_equal(cm_half_of_float(-middle), even | 0x8000u);
    }
    assert_int_equal(cm_half_of_float(INFINITY), 0x7c00);
    assert_int_equal(cm_half_of_float(-3e38f), 0xfc00);
    assert_int_equal(cm_half_of_float(0x1p-149f), 0);
    assert_int_equal(cm_half_of_float(-0.0f), 0x8000);
}

static void bfloats_are_the_upper_half_of_floats(void **state)
{
    (void)state;
    for (unsigned upper = 0; upper < 65536; upper++) {
        const uint32_t bits = upper << 16;
        const int      is_nan = (bits & 0x7fffffffu) > 0x7f800000u;
        assert_int_equal(cm_bits_of_float(cm_float_of_bfloat((uint16_t)upper)), bits);
        assert_int_equal(cm_bfloat_of_float(cm_float_of_bits(bits)), is_nan ? upper | 0x40u : upper);
        if ((upper & 0x7f80u) == 0x7f80u) continue;
        assert_int_equal(cm_bfloat_of_float(cm_float_of_bits(bits | 0x7fffu)), upper);
        assert_int_equal(cm_bfloat_of_float(cm_float_of_bits(bits | 0x8000u)), upper + upper % 2);
        assert_int_equal(cm_bfloat_of_float(cm_float_of_bits(bits | 0x8001u)), upper + 1);
    }
    assert_int_equal(cm_bfloat_of_float(cm_float_of_bits(0x7f800001u)), 0x7fc0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_half_becomes_its_value),
        cmocka_unit_test(every_half_comes_back),
        cmocka_unit_test(floats_round_to_the_nearest_half),
        cmocka_unit_test(bfloats_are_the_upper_half_of_floats),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
