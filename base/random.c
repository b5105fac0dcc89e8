/* random.c - xoshiro256** 1.0 (Blackman & Vigna, "Scrambled linear pseudorandom number generators",
 * 2018), seeded by splitmix64.
 *
 * The promise is the same numbers everywhere, so the normal distribution uses nothing of libm whose
 * last bit may differ between machines: only + - * /, sqrt and frexp, which IEEE 754 fixes. */
#include "base/random.h"

#include <assert.h>
#include <math.h>

static uint64_t rotate_left(uint64_t bits, int n)
{
    return bits << n | bits >> (64 - n);
}

static uint64_t splitmix64(uint64_t *state)
{
    uint64_t bits = *state += 0x9e3779b97f4a7c15u;
    bits = (bits ^ bits >> 30) * 0xbf58476d1ce4e5b9u;
    bits = (bits ^ bits >> 27) * 0x94d049bb133111ebu;
    return bits ^ bits >> 31;
}

struct random cm_random(uint64_t seed)
{
    struct random random;
    for (int word = 0; word < 4; word++) random.state[word] = splitmix64(&seed);
    return random;
}

uint64_t cm_random_u64(struct random *random)
{
    uint64_t *const s = random->state;
    const uint64_t  result = rotate_left(s[1] * 5, 7) * 9;
    const uint64_t  shifted = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= shifted;
    s[3] = rotate_left(s[3], 45);
    return result;
}

double cm_random_unit(struct random *random)
{
    return (double)(cm_random_u64(random) >> 11) * 0x1p-53;
}

uint64_t cm_random_below(struct random *random, uint64_t n)
{
    assert(n > 0);
    /* The lowest 2^64 mod n values would make small results likelier; they are drawn again. */
    const uint64_t n_refused = (0 - n) % n;
    uint64_t       bits;
    do bits = cm_random_u64(random);
    while (bits < n_refused);
    return bits % n;
}

/* ln x for x > 0: x = m * 2^e with m in [sqrt(1/2), sqrt(2)), and
 * ln m = 2 artanh z = 2 (z + z^3/3 + z^5/5 + ...), z = (m - 1) / (m + 1), |z| < 0.172. */
static double natural_log(double x)
{
    int    exponent;
    double m = frexp(x, &exponent);
    if (m < 0.70710678118654752) {
        m *= 2;
        exponent--;
    }
    const double z = (m - 1) / (m + 1);
    double       sum = 0;
    for (int power = 21; power >= 1; power -= 2) sum = sum * z * z + 1.0 / power;
    return 2 * z * sum + exponent * 0.69314718055994531;
}

/* Marsaglia's polar form of Box-Muller. The second number of each pair is dropped, so that the
 * state is the four words alone. */
float cm_random_normal(struct random *random)
{
    double x, square;
    do {
        x = 2 * cm_random_unit(random) - 1;
        const double y = 2 * cm_random_unit(random) - 1;
        square = x * x + y * y;
    } while (square >= 1 || square == 0);
    return (float)(x * sqrt(-2 * natural_log(square) / square));
}
