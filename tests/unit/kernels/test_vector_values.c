/* test_vector_values.c - what the vector ops compute, against the same in double; at each level. That levels agree
 * in their bits: test_vector_ops.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "kernels/half.h"
#include "kernels/vector_ops.h"
#include "tests/support/attend_one.h"

static const struct vector_ops *ops; /* of the level at hand */

static double largest_error; /* of the test at hand, for the report */

/* |found - wanted| / max(|wanted|, floor) */
static void near(float found, double wanted, double floor, double limit)
{
    const double error = fabs((double)found - wanted) / fmax(fabs(wanted), floor);
    if (!(error <= limit))
        fail_msg("%.9g instead of %.9g, error %.3g, at most %.3g", (double)found, wanted, error, limit);
    if (error > largest_error) largest_error = error;
}

/* ---- quantize ---- */

enum { QUANTIZED_BYTES = 8192 };

static struct activations place(int n, const float *x)
{
    static _Alignas(64) uint8_t memory[QUANTIZED_BYTES];
    struct activations a;
    assert_true(cm_activations_bytes(1, n) <= QUANTIZED_BYTES);
    cm_activations_place(&a, 1, n, memory);
    memcpy(a.values, x, (size_t)n * sizeof *x);
    return a;
}

static void halves_go_to_the_even_code(void **state)
{
    (void)state;
    float x[32] = {127.0f, 0.5f,   1.5f,    2.5f,        -0.5f,       -1.5f, -2.5f,
                   126.5f, 125.5f, -126.5f, 0.49999997f, 0.50000006f, -127.0f};
    const int8_t wanted[32] = {127, 0, 2, 2, 0, -2, -2, 126, 126, -126, 0, 1, -127};
    struct activations a = place(32, x);
    ops->quantize(&a, 0, 0, 32, cm_kind_bit(ACTIVATION_Q32));
    assert_true(a.q32.scales[0] == 1.0f);
    assert_memory_equal(a.q32.codes, wanted, sizeof wanted);
    int sum = 0;
    for (int i = 0; i < 16; i++) sum += wanted[i];
    assert_int_equal(a.q32.sums[0], sum);
    assert_int_equal(a.q32.sums[1], 0);
}

static void blocks_of_zeros(void **state)
{
    (void)state;
    float x[64] = {0};
    x[3] = -0.0f;
    x[40] = -2.54f;
    struct activations a = place(64, x);
    ops->quantize(&a, 0, 0, 64, cm_kind_bit(ACTIVATION_Q32) | cm_kind_bit(ACTIVATION_Q256));
    assert_true(a.q32.scales[0] == 0.0f && !signbit(a.q32.scales[0]));
    for (int i = 0; i < 32; i++) assert_int_equal(a.q32.codes[i], 0);
    assert_true(a.q32.scales[1] == 2.54f / 127.0f);
    assert_int_equal(a.q32.codes[40], -127);
    assert_int_equal(a.q32.sums[2], -127);
    assert_true(a.q256.scales[0] == 2.54f / 127.0f); /* a short last block */
    assert_int_equal(a.q256.codes[40], -127);
}

/* A scale so small that it has few digits makes x / da larger than 127: clamped. Infinities do not spoil codes. */
static void codes_are_clamped(void **state)
{
    (void)state;
    float x[32];
    for (int i = 0; i < 32; i++) x[i] = (i % 2 ? -1.0f : 1.0f) * (float)(i + 60) * 0x1p-149f;
    struct activations a = place(32, x);
    ops->quantize(&a, 0, 0, 32, cm_kind_bit(ACTIVATION_Q32));
    for (int i = 0; i < 32; i++) assert_in_range(a.q32.codes[i] + 127, 0, 254);
    x[5] = INFINITY;
    x[6] = NAN;
    a = place(32, x);
    ops->quantize(&a, 0, 0, 32, cm_kind_bit(ACTIVATION_Q32));
    for (int i = 0; i < 32; i++) assert_in_range(a.q32.codes[i] + 127, 0, 254);
    assert_true(isnan(a.q32.scales[0])); /* where a code cannot say it, the scale does */
}

/* Against the definition of activations.h, for every block and length. */
static void check_form(const struct quantized *form, const float *x, int n, int block)
{
    for (int first = 0; first < n; first += block) {
        const int end = first + block < n ? first + block : n;
        float amax = 0.0f;
        for (int i = first; i < end; i++) amax = fabsf(x[i]) > amax ? fabsf(x[i]) : amax;
        const float da = amax / 127.0f;
        assert_true(form->scales[first / block] == da);
        for (int i = first; i < end; i++) {
            const double q = da > 0.0f ? nearbyint((double)(x[i] / da)) : 0.0;
            assert_int_equal(form->codes[i], (int)fmax(-127.0, fmin(127.0, q)));
        }
    }
    for (int first = 0; first < n; first += 16) {
        int sum = 0;
        for (int i = first; i < first + 16 && i < n; i++) sum += form->codes[i];
        assert_int_equal(form->sums[first / 16], sum);
    }
}

static void quantize_is_as_defined(void **state)
{
    (void)state;
    struct random random = cm_random(1);
    float x[700];
    for (int n = 1; n <= 700; n += n < 40 ? 1 : 61) {
        for (int i = 0; i < n; i++) x[i] = cm_random_normal(&random) * (i % 100 < 50 ? 1.0f : 30.0f);
        struct activations a = place(n, x);
        ops->quantize(&a, 0, 0, n, cm_kind_bit(ACTIVATION_Q32) | cm_kind_bit(ACTIVATION_Q256));
        check_form(&a.q32, x, n, 32);
        check_form(&a.q256, x, n, 256);
    }
}

/* ---- elementwise ---- */

static double logistic(double x) { return 1.0 / (1.0 + exp(-x)); }

/* As nonlinearity.h says, in double. */
static double plain_nonlinear(enum nonlinearity kind, double gate, double up)
{
    const double g = fmin(gate, 7.0), u = fmax(-7.0, fmin(up, 7.0));
    switch (kind) {
    case NONLINEARITY_SILU_UP: return gate * logistic(gate) * up;
    case NONLINEARITY_GELU_UP:
        return 0.5 * gate * (1.0 + tanh(sqrt(2.0 / 3.14159265358979) * (gate + 0.044715 * gate * gate * gate))) * up;
    case NONLINEARITY_CLAMPED_UP: return g * logistic(1.702 * g) * (u + 1.0);
    case NONLINEARITY_RELU_SQUARED: return up > 0.0 ? up * up : 0.0;
    case NONLINEARITY_SILU: return up * logistic(up);
    case NONLINEARITY_GELU: return plain_nonlinear(NONLINEARITY_GELU_UP, up, 1.0);
    case NONLINEARITY_COUNT: break;
    }
    return NAN;
}

static void nonlinearities(void **state)
{
    (void)state;
    struct random random = cm_random(6);
    float gate[500], up[500], h[500];
    for (int kind = 0; kind < NONLINEARITY_COUNT; kind++) {
        for (int run = 0; run < 40; run++) {
            for (int i = 0; i < 500; i++) {
                gate[i] = (run % 2 ? 1.0f : 8.0f) * cm_random_normal(&random);
                up[i] = (run % 3 ? 1.0f : 8.0f) * cm_random_normal(&random);
            }
            ops->nonlinear[kind](cm_nonlinearities[kind].has_gate ? gate : NULL, up, 500, h);
            for (int i = 0; i < 500; i++)
                near(h[i], plain_nonlinear((enum nonlinearity)kind, (double)gate[i], (double)up[i]), 1e-2, 4e-6);
        }
        const float x[] = {NAN, 1.0f, NAN}, y[] = {1.0f, NAN, NAN};
        ops->nonlinear[kind](x, y, 3, h);
        assert_true(isnan(h[1]) && isnan(h[2]));
        assert_true(isnan(h[0]) == cm_nonlinearities[kind].has_gate);
    }
    const float large[] = {100.0f, 7.0f, -100.0f, 7.5f}, ups[] = {100.0f, 7.0f, -100.0f, -9.0f};
    ops->nonlinear[NONLINEARITY_CLAMPED_UP](large, ups, 4, h); /* both stop at 7, the gate has no lower end */
    assert_true(h[0] == h[1] && h[0] > 55.9f && h[0] < 56.0f && fabsf(h[2]) < 1e-20f && h[3] < -41.9f);
}

static void sigmoid_and_silu(void **state)
{
    (void)state;
    float x[1000], up[1000], h[1000], y[1000];
    for (int run = 0; run < 60; run++) {
        for (int i = 0; i < 1000; i++) {
            x[i] = -90.0f + 180.0f * (float)(run * 1000 + i) / 60000.0f;
            up[i] = 1.0f + (float)(i % 7);
        }
        memcpy(y, x, sizeof y);
        ops->sigmoid(y, 1000);
        ops->nonlinear[NONLINEARITY_SILU_UP](x, up, 1000, h);
        for (int i = 0; i < 1000; i++) {
            const double s = 1.0 / (1.0 + exp(-(double)x[i]));
            near(y[i], s, 1e-30, 4e-7); /* far below, it ends at 4e-39 */
            near(h[i], (double)x[i] * s * (double)up[i], 1e-28, 6e-7);
        }
    }
    float ends[] = {INFINITY, -INFINITY, 1000.0f, -1000.0f, 0.0f, -0.0f};
    ops->sigmoid(ends, 6);
    assert_true(ends[0] == 1.0f && ends[2] == 1.0f && ends[4] == 0.5f && ends[5] == 0.5f);
    assert_true(ends[1] >= 0.0f && ends[1] < 1e-37f && ends[3] >= 0.0f && ends[3] < 1e-37f);
}

/* Small scores are hardly changed, large ones end at the cap. */
static void soft_cap(void **state)
{
    (void)state;
    static const float caps[] = {30.0f, 50.0f, 1.0f, 0.01f};
    for (size_t c = 0; c < sizeof caps / sizeof *caps; c++)
        for (int power = -30; power <= 12; power++) {
            float x[100], y[100];
            for (int i = 0; i < 100; i++) y[i] = x[i] = ldexpf(i % 2 ? -1.0f : 1.0f, power) * (1.0f + 0.01f * (float)i);
            ops->soft_cap(y, caps[c], 100);
            for (int i = 0; i < 100; i++) near(y[i], (double)caps[c] * tanh((double)x[i] / (double)caps[c]), 0.0, 5e-7);
        }
    float ends[] = {INFINITY, -INFINITY, 0.0f, NAN};
    ops->soft_cap(ends, 30.0f, 4);
    assert_true(ends[0] == 30.0f && ends[1] == -30.0f && ends[2] == 0.0f && isnan(ends[3]));
}

static void softmax(void **state)
{
    (void)state;
    struct random random = cm_random(2);
    float x[300], y[300];
    for (int n = 1; n <= 300; n++) {
        double sum = 0.0, largest = -INFINITY, total = 0.0;
        const float spread = n % 3 == 0 ? 30.0f : 2.0f, shift = n % 5 == 0 ? 1e4f : 0.0f;
        for (int i = 0; i < n; i++) {
            x[i] = y[i] = spread * cm_random_normal(&random) + shift;
            largest = fmax(largest, (double)x[i]);
        }
        for (int i = 0; i < n; i++) sum += exp((double)x[i] - largest);
        ops->softmax(y, n);
        for (int i = 0; i < n; i++) {
            near(y[i], exp((double)x[i] - largest) / sum, 1e-30, 1e-5); /* x - max is rounded */
            total += (double)y[i];
        }
        assert_true(fabs(total - 1.0) < 1e-5);
    }
    float one[] = {-3e38f}, masked[] = {1.0f, -INFINITY, 1.0f, -INFINITY};
    ops->softmax(one, 1);
    ops->softmax(masked, 4);
    assert_true(one[0] == 1.0f);
    assert_true(masked[0] == 0.5f && masked[1] == 0.0f && masked[2] == 0.5f && masked[3] == 0.0f);
}

static void rms_norm(void **state)
{
    (void)state;
    struct random random = cm_random(3);
    float x[3000], weight[3000], y[3000];
    for (int n = 1; n <= 3000; n += n < 50 ? 1 : 97) {
        double squares = 0.0;
        for (int i = 0; i < n; i++) {
            x[i] = 3.0f * cm_random_normal(&random);
            weight[i] = cm_random_normal(&random);
            squares += (double)x[i] * (double)x[i];
        }
        ops->rms_norm(x, weight, 1e-3f, n, y);
        for (int i = 0; i < n; i++)
            near(y[i], (double)x[i] * (double)weight[i] / sqrt(squares / n + (double)1e-3f), 1e-20, 1e-6);
    }
    const float zeros[20] = {0};
    ops->rms_norm(zeros, weight, 1e-5f, 20, y);
    for (int i = 0; i < 20; i++) assert_true(y[i] == 0.0f);
}

static void layer_norm(void **state)
{
    (void)state;
    struct random random = cm_random(8);
    float x[3000], weight[3000], bias[3000], y[3000];
    for (int n = 1; n <= 3000; n += n < 50 ? 1 : 97) {
        const float shift = n % 3 == 0 ? 20.0f : 0.0f; /* a mean far from 0 must not swallow the digits */
        double mean = 0.0, squares = 0.0;
        for (int i = 0; i < n; i++) {
            x[i] = 3.0f * cm_random_normal(&random) + shift;
            weight[i] = cm_random_normal(&random);
            bias[i] = cm_random_normal(&random);
            mean += (double)x[i] / n;
        }
        for (int i = 0; i < n; i++) squares += ((double)x[i] - mean) * ((double)x[i] - mean);
        ops->layer_norm(x, weight, bias, 1e-3f, n, y);
        const double inverse = 1.0 / sqrt(squares / n + (double)1e-3f);
        for (int i = 0; i < n; i++)
            near(y[i], ((double)x[i] - mean) * inverse * (double)weight[i] + (double)bias[i], 1.0, 3e-6);
        ops->layer_norm(x, weight, bias, 1e-3f, n, x);
        assert_memory_equal(x, y, (size_t)n * sizeof *x);
    }
}

static void norms_without_weights(void **state)
{
    (void)state;
    struct random random = cm_random(7);
    float x[300], weight[300], y[300];
    for (int size = 1; size <= 100; size += 9) {
        double squares[3] = {0.0, 0.0, 0.0}, all = 0.0;
        for (int i = 0; i < 3 * size; i++) {
            x[i] = cm_random_normal(&random);
            weight[i] = cm_random_normal(&random);
            squares[i / size] += (double)x[i] * (double)x[i];
            all += (double)x[i] * (double)x[i];
        }
        cm_rms_norm_groups(ops, x, weight, 1e-6f, size, 3, y);
        for (int i = 0; i < 3 * size; i++)
            near(y[i], (double)x[i] * (double)weight[i] / sqrt(squares[i / size] / size + 1e-6), 1e-20, 1e-6);
        ops->rms_norm(x, NULL, 1e-6f, size, y);
        for (int i = 0; i < size; i++) near(y[i], (double)x[i] / sqrt(squares[0] / size + 1e-6), 1e-20, 1e-6);
        ops->l2_norm(x, 0.25f, 1e-6f, 3 * size, y);
        for (int i = 0; i < 3 * size; i++) near(y[i], 0.25 * (double)x[i] / sqrt(all + 1e-6), 1e-20, 1e-6);
    }
    const float zeros[20] = {0};
    ops->l2_norm(zeros, 1.0f, 1e-6f, 20, y);
    for (int i = 0; i < 20; i++) assert_true(y[i] == 0.0f);
}

static void softplus(void **state)
{
    (void)state;
    float x[1000], y[1000];
    for (int run = 0; run < 30; run++) {
        for (int i = 0; i < 1000; i++) y[i] = x[i] = -85.0f + 150.0f * (float)(run * 1000 + i) / 30000.0f;
        ops->softplus(y, 1000);
        for (int i = 0; i < 1000; i++)
            near(y[i], fmax(0.0, (double)x[i]) + log1p(exp(-fabs((double)x[i]))), 0.0, 6e-7);
    }
    float ends[] = {INFINITY, -INFINITY, 1e30f, -1e30f, NAN, 20.0f};
    ops->softplus(ends, 6);
    assert_true(ends[0] == INFINITY && ends[1] == 0.0f && ends[2] == 1e30f && ends[3] == 0.0f && isnan(ends[4]));
    assert_true(ends[5] == 20.0f);
}

static void products(void **state)
{
    (void)state;
    struct random random = cm_random(8);
    float x[77], y[77], by[77], gated[77];
    for (int i = 0; i < 77; i++) {
        x[i] = by[i] = gated[i] = cm_random_normal(&random);
        y[i] = 4.0f * cm_random_normal(&random);
    }
    ops->multiply(by, y, 77);
    ops->sigmoid_multiply(gated, y, 77);
    for (int i = 0; i < 77; i++) {
        assert_true(by[i] == x[i] * y[i]);
        near(gated[i], (double)x[i] * logistic((double)y[i]), 1e-20, 4e-7);
    }
}

static void rope_turns_pairs(void **state)
{
    (void)state;
    float head[] = {1.0f, 2.0f, 3.0f, 4.0f, 5.0f}; /* the fifth is not rotated */
    const float cosines[] = {0.6f, 0.0f}, sines[] = {0.8f, 1.0f};
    ops->rope(head, cosines, sines, 4, ROPE_NORM); /* (1,2) and (3,4) */
    near(head[0], 0.6 - 1.6, 1.0, 1e-6);
    near(head[1], 0.8 + 1.2, 1.0, 1e-6);
    near(head[2], -4.0, 1.0, 1e-6);
    near(head[3], 3.0, 1.0, 1e-6);
    float other[] = {1.0f, 2.0f, 3.0f, 4.0f, 5.0f};
    ops->rope(other, cosines, sines, 4, ROPE_NEOX); /* (1,3) and (2,4) */
    near(other[0], 0.6 - 2.4, 1.0, 1e-6);
    near(other[2], 0.8 + 1.8, 1.0, 1e-6);
    near(other[1], -4.0, 1.0, 1e-6);
    near(other[3], 2.0, 1.0, 1e-6);
    assert_true(head[4] == 5.0f && other[4] == 5.0f);
}

/* ---- attention ---- */

enum { MAX_HEAD = 72, MAX_POSITIONS = 300 };

struct sequence {
    int   head_size, value_size, n;
    float k[MAX_POSITIONS * MAX_HEAD], v[MAX_POSITIONS * MAX_HEAD], query[MAX_HEAD];
};

/* The value as the cache gives it back. */
static double stored(float value, enum kv_type type)
{
    return (double)(type == KV_F32 ? value : cm_float_of_half(cm_half_of_float(value)));
}

static void attend_plainly(const struct sequence *s, enum kv_type type, double scale, double *out)
{
    double scores[MAX_POSITIONS], largest = -INFINITY, sum = 0.0;
    for (int p = 0; p < s->n; p++) {
        scores[p] = 0.0;
        for (int d = 0; d < s->head_size; d++)
            scores[p] += (double)s->query[d] * stored(s->k[p * s->head_size + d], type);
        scores[p] *= scale;
        largest = fmax(largest, scores[p]);
    }
    for (int p = 0; p < s->n; p++) sum += scores[p] = exp(scores[p] - largest);
    for (int d = 0; d < s->value_size; d++) {
        out[d] = 0.0;
        for (int p = 0; p < s->n; p++) out[d] += scores[p] / sum * stored(s->v[p * s->value_size + d], type);
    }
}

static void check_attention(const struct sequence *s, enum kv_type type)
{
    static float keys[320 * MAX_HEAD], values[320 * MAX_HEAD];
    double wanted[MAX_HEAD];
    float found[MAX_HEAD];
    const float scale = 1.0f / sqrtf((float)s->head_size);
    for (int p = 0; p < s->n; p++)
        ops->store_kv(s->k + p * s->head_size, s->v + p * s->value_size, keys, values, type, s->head_size,
                      s->value_size, p);
    const float *const queries[] = {s->query};
    const struct attention_input in = {.keys = keys, .values = values, .type = type, .head_size = s->head_size,
                                       .value_size = s->value_size, .scale = scale, .n_queries = 1,
                                       .queries = queries, .n_positions = &s->n};
    attend_one(ops, &in, found);
    attend_plainly(s, type, (double)scale, wanted);
    for (int d = 0; d < s->value_size; d++) near(found[d], wanted[d], 1.0, 1e-5);
}

static void attention(void **state)
{
    (void)state;
    static const int sizes[][2] = {{64, 64}, {10, 10}, {24, 7}, {5, 72}, {72, 33}};
    struct random random = cm_random(4);
    static struct sequence s;
    for (s.n = 1; s.n <= MAX_POSITIONS; s.n += s.n < 70 ? 1 : 23)
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            const float sharpness = s.n % 4 == 0 ? 6.0f : 1.0f; /* one position may take all */
            s.head_size = sizes[i][0];
            s.value_size = sizes[i][1];
            for (int j = 0; j < s.n * s.head_size; j++) s.k[j] = cm_random_normal(&random);
            for (int j = 0; j < s.n * s.value_size; j++) s.v[j] = cm_random_normal(&random);
            for (int j = 0; j < s.head_size; j++) s.query[j] = sharpness * cm_random_normal(&random);
            check_attention(&s, i % 2 ? KV_F16 : KV_F32);
            check_attention(&s, i % 2 ? KV_F32 : KV_F16);
        }
}

/* Positions behind the token's own are there, of longer sequences, but are not looked at. */
static void later_positions_do_not_count(void **state)
{
    (void)state;
    static float keys[128 * 8], values[128 * 8];
    float with[8], without[8];
    const float query[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    struct random random = cm_random(5);
    for (int i = 0; i < 128 * 8; i++) {
        keys[i] = cm_random_normal(&random);
        values[i] = cm_random_normal(&random);
    }
    const float *const queries[] = {query};
    const int n_positions = 70;
    const struct attention_input in = {.keys = keys, .values = values, .type = KV_F32, .head_size = 8, .value_size = 8,
                                       .scale = 1.0f, .n_queries = 1, .queries = queries,
                                       .n_positions = &n_positions};
    attend_one(ops, &in, without);
    const float large[8] = {1e6f, 1e6f, 1e6f, 1e6f, 1e6f, 1e6f, 1e6f, 1e6f};
    for (int p = 70; p < 128; p++) ops->store_kv(large, large, keys, values, KV_F32, 8, 8, p);
    attend_one(ops, &in, with);
    assert_memory_equal(with, without, sizeof with);
}

/* float16 ends at 65504: larger values stay finite. */
static void what_float16_cannot_hold(void **state)
{
    (void)state;
    uint16_t keys[64 * 3] = {0}, values[3] = {0};
    const float k[3] = {1e6f, -1e6f, 65504.0f}, v[3] = {INFINITY, -7e4f, 0x1p-24f};
    ops->store_kv(k, v, keys, values, KV_F16, 3, 3, 0);
    assert_int_equal(keys[0], 0x7bff);
    assert_int_equal(keys[64], 0xfbff);
    assert_int_equal(keys[128], 0x7bff);
    assert_int_equal(values[0], 0x7bff);
    assert_int_equal(values[1], 0xfbff);
    assert_int_equal(values[2], 1);
}

static int report(void **state)
{
    if (largest_error > 0.0)
        printf("%s: the largest relative error of %s is %.2g\n", cm_isa_name(ops->isa), (const char *)*state,
               largest_error);
    return 0;
}

static int reset(void **state)
{
    (void)state;
    largest_error = 0.0;
    return 0;
}

#define TEST(test) {#test, test, reset, report, (char[]){#test}}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(halves_go_to_the_even_code),
        TEST(blocks_of_zeros),
        TEST(codes_are_clamped),
        TEST(quantize_is_as_defined),
        TEST(nonlinearities),
        TEST(sigmoid_and_silu),
        TEST(soft_cap),
        TEST(softmax),
        TEST(rms_norm),
        TEST(layer_norm),
        TEST(norms_without_weights),
        TEST(softplus),
        TEST(products),
        TEST(rope_turns_pairs),
        TEST(attention),
        TEST(later_positions_do_not_count),
        TEST(what_float16_cannot_hold),
    };
    int n_failed = 0;
    for (int isa = 0; isa < ISA_COUNT; isa++) {
        if (!cm_isa_is_supported((enum isa)isa)) continue;
        ops = cm_vector_ops((enum isa)isa);
        n_failed += cmocka_run_group_tests_name(cm_isa_name((enum isa)isa), tests, NULL, NULL);
    }
    return n_failed;
}
