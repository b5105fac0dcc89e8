/* kernels/elementary.c - see elementary.h. */
#include "kernels/elementary.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

/* ln 2 and pi/2 cut into parts with 20 or more zero bits at the end, so that small integer multiples
 * of all but the last part are exact. */
static const double LN2_HIGH = 0x1.62e42feep-1, LN2_LOW = 0x1.a39ef35793c76p-33;
static const double HALF_PI_1 = 0x1.921fb544p+0, HALF_PI_2 = 0x1.0b4611a6p-34,
                    HALF_PI_3 = 0x1.3198a2e037073p-69;

/* 2^n for n in [-1022, 1023] */
static double power_of_two(int n)
{
    const uint64_t bits = (uint64_t)(n + 1023) << 52;
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

double cm_exp(double x)
{
    if (!(x > -708.0)) return 0.0;
    if (x > 709.0) x = 709.0;
    const double n = floor(x / (LN2_HIGH + LN2_LOW) + 0.5);
    const double r = (x - n * LN2_HIGH) - n * LN2_LOW; /* |r| <= ln 2 / 2 */
    double sum = 1.0;
    for (int k = 14; k >= 1; k--) sum = 1.0 + r / k * sum;
    /* n may be 1024 once x is near 709: two factors. */
    const int half = (int)n / 2;
    return sum * power_of_two(half) * power_of_two((int)n - half);
}

double cm_ln(double x)
{
    int exponent;
    double m = frexp(x, &exponent); /* [1/2, 1) */
    if (m < 0.70710678118654752) {
        m *= 2.0;
        exponent--;
    }
    const double s = (m - 1.0) / (m + 1.0), s2 = s * s; /* ln m = 2 artanh s, |s| < 0.172 */
    double sum = 0.0;
    for (int k = 23; k >= 1; k -= 2) sum = sum * s2 + 1.0 / k;
    return (exponent * LN2_HIGH + 2.0 * s * sum) + exponent * LN2_LOW;
}

void cm_sine_cosine(double x, double *sine, double *cosine)
{
    if (!(fabs(x) < 0x1p40)) x = 0.0; /* infinities and NaN too: a file's factors can ask for any angle */
    const double n = floor(x / (HALF_PI_1 + HALF_PI_2) + 0.5);
    const double r = ((x - n * HALF_PI_1) - n * HALF_PI_2) - n * HALF_PI_3; /* |r| <= pi/4 */
    const double r2 = r * r;
    double s = 1.0, c = 1.0;
    for (int k = 18; k >= 2; k -= 2) {
        c = 1.0 - r2 / (k * (k - 1)) * c; /* ... 1 - r^2/2 (1 - r^2/12 (...)) */
        s = 1.0 - r2 / (k * (k + 1)) * s; /* r times this                      */
    }
    s *= r;
    switch ((int64_t)n & 3) {
    case 0: *sine = s, *cosine = c; break;
    case 1: *sine = c, *cosine = -s; break;
    case 2: *sine = -s, *cosine = -c; break;
    default: *sine = -c, *cosine = s; break;
    }
}
