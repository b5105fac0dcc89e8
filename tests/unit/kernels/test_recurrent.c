/* test_recurrent.c - mixers with a state of fixed size against plain loops that follow the words of vector_ops.h
 * operation by operation: the same bits at every level, for any sizes, runs and shares of columns; and against the
 * equations in double. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "kernels/vector_ops.h"

enum { MAX_KEY = 64, MAX_VALUE = 160, MAX_TOKENS = 19, STRIDE = 170, MAX_CHANNELS = 100, MAX_TAPS = 5 };

struct problem {
    bool  is_delta;
    int   key_size, value_size, n_tokens;
    float skip;
    float q[MAX_TOKENS][STRIDE], k[MAX_TOKENS][STRIDE], v[MAX_TOKENS][STRIDE];
    float decay[MAX_TOKENS][3], beta[MAX_TOKENS][3]; /* of three heads; ours is the second */
};

static struct problem problem;

/* e^x for x <= 0 as the lanes compute it: what is left of a state of 1. */
static float exp_of(float x)
{
    static _Alignas(64) float state[16];
    const float one = 1.0f, zero = 0.0f;
    float out;
    state[0] = 1.0f;
    const struct recurrent_input in = {.n_tokens = 1, .key_size = 1, .value_size = 1, .q = &one, .k = &zero, .v = &zero,
                                       .decay = &x, .beta = &zero, .out = &out};
    cm_vector_ops(ISA_REF)->state_space(&in, 0, 1, state);
    return out;
}

static void fill(struct random *random, struct problem *p)
{
    for (int t = 0; t < p->n_tokens; t++) {
        for (int i = 0; i < STRIDE; i++) {
            p->q[t][i] = 0.3f * cm_random_normal(random);
            p->k[t][i] = 0.3f * cm_random_normal(random);
            p->v[t][i] = cm_random_normal(random);
        }
        for (int i = 0; i < 3; i++) {
            p->decay[t][i] = -(float)cm_random_unit(random) * (i == 1 ? 0.2f : 90.0f);
            p->beta[t][i] = (float)cm_random_unit(random);
        }
    }
}

/* out (n_tokens, value_size): S as a plain matrix, zero before the first token. */
static void run_plainly(const struct problem *p, float *out)
{
    static float s[MAX_KEY][MAX_VALUE];
    memset(s, 0, sizeof s);
    for (int t = 0; t < p->n_tokens; t++) {
        const float decay = exp_of(p->decay[t][1]), beta = p->beta[t][1];
        for (int j = 0; j < p->value_size; j++) {
            float said = 0.0f, sum = 0.0f;
            for (int i = 0; i < p->key_size; i++) {
                s[i][j] = decay * s[i][j];
                said = fmaf(s[i][j], p->k[t][i], said);
            }
            const float written = beta * (p->is_delta ? p->v[t][j] - said : p->v[t][j]);
            for (int i = 0; i < p->key_size; i++) {
                s[i][j] = fmaf(p->k[t][i], written, s[i][j]);
                sum = fmaf(s[i][j], p->q[t][i], sum);
            }
            out[t * p->value_size + j] = p->is_delta ? sum : fmaf(p->skip, p->v[t][j], sum);
        }
    }
}

/* The same in double, S' first made whole as the equations say. */
static void check_equations(const struct problem *p, const float *out)
{
    static double s[MAX_KEY][MAX_VALUE];
    memset(s, 0, sizeof s);
    for (int t = 0; t < p->n_tokens; t++)
        for (int j = 0; j < p->value_size; j++) {
            double said = 0.0, sum = p->is_delta ? 0.0 : (double)p->skip * (double)p->v[t][j];
            for (int i = 0; i < p->key_size; i++) s[i][j] *= exp((double)p->decay[t][1]);
            for (int i = 0; i < p->key_size; i++) said += s[i][j] * (double)p->k[t][i];
            const double u = (double)p->v[t][j] - (p->is_delta ? said : 0.0);
            for (int i = 0; i < p->key_size; i++) s[i][j] += (double)p->k[t][i] * (double)p->beta[t][1] * u;
            for (int i = 0; i < p->key_size; i++) sum += s[i][j] * (double)p->q[t][i];
            assert_true(fabs((double)out[t * p->value_size + j] - sum) < 1e-5 * fmax(1.0, fabs(sum)));
        }
}

/* Tokens in runs of `run`, columns in shares of `share`. */
static void run_on(const struct vector_ops *ops, const struct problem *p, int run, int share, float *out)
{
    static _Alignas(64) float state[MAX_KEY * MAX_VALUE];
    memset(state, 0, sizeof state);
    for (int first = 0; first < p->n_tokens; first += run) {
        const struct recurrent_input in = {
            .n_tokens = p->n_tokens - first < run ? p->n_tokens - first : run,
            .key_size = p->key_size, .value_size = p->value_size,
            .q = p->q[first], .k = p->k[first], .v = p->v[first], .q_stride = STRIDE, .k_stride = STRIDE,
            .v_stride = STRIDE, .decay = &p->decay[first][1], .beta = &p->beta[first][1], .number_stride = 3,
            .skip = p->skip, .out = out + first * p->value_size, .out_stride = (size_t)p->value_size};
        for (int begin = 0; begin < p->value_size; begin += share) {
            const int end = begin + share < p->value_size ? begin + share : p->value_size;
            (p->is_delta ? ops->delta_net : ops->state_space)(&in, begin, end, state);
        }
    }
    for (size_t i = cm_recurrent_floats(p->key_size, p->value_size); i < MAX_KEY * MAX_VALUE; i++)
        assert_true(state[i] == 0.0f);
}

static void check(const struct problem *p)
{
    static float wanted[MAX_TOKENS * MAX_VALUE], found[MAX_TOKENS * MAX_VALUE];
    static const int runs[] = {MAX_TOKENS, 1, 4}, shares[] = {MAX_VALUE, 16, 48};
    const size_t n_bytes = (size_t)(p->n_tokens * p->value_size) * sizeof(float);
    run_plainly(p, wanted);
    check_equations(p, wanted);
    for (int isa = 0; isa < ISA_COUNT; isa++) {
        if (!cm_isa_is_supported((enum isa)isa)) continue;
        for (int i = 0; i < 9; i++) {
            memset(found, 0xff, sizeof found);
            run_on(cm_vector_ops((enum isa)isa), p, runs[i / 3], shares[i % 3], found);
            if (memcmp(found, wanted, n_bytes) != 0)
                fail_msg("%s, keys of %d, values of %d, runs of %d, %d columns: other bits", cm_isa_name((enum isa)isa),
                         p->key_size, p->value_size, runs[i / 3], shares[i % 3]);
        }
    }
}

static void heads(void **state)
{
    (void)state;
    static const int sizes[][2] = {{1, 1}, {5, 17}, {16, 16}, {64, 64}, {33, 100}, {64, 160}, {8, 33}};
    struct random random = cm_random(21);
    struct problem *p = &problem;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int kind = 0; kind < 2; kind++) {
            p->is_delta = kind == 0;
            p->key_size = sizes[i][0];
            p->value_size = sizes[i][1];
            p->n_tokens = i % 3 == 2 ? 3 : MAX_TOKENS;
            p->skip = i % 2 ? 0.75f : 0.0f;
            fill(&random, p);
            check(p);
        }
}

/* A key that the state has seen gives back what was written under it. */
static void the_delta_rule_replaces(void **state)
{
    (void)state;
    static _Alignas(64) float memory[2 * 16];
    const float keys[] = {1, 0, /**/ 0, 1, /**/ 1, 0}, queries[] = {1, 0, /**/ 1, 0, /**/ 1, 0}, values[] = {5, 7, 9};
    const float decay[] = {0, 0, 0}, beta[] = {1, 1, 1};
    float out[3];
    const struct recurrent_input in = {.n_tokens = 3, .key_size = 2, .value_size = 1,
                                       .q = queries, .k = keys, .v = values,
                                       .q_stride = 2, .k_stride = 2, .v_stride = 1, .decay = decay, .beta = beta,
                                       .number_stride = 1, .out = out, .out_stride = 1};
    for (int isa = 0; isa < ISA_COUNT; isa++) {
        if (!cm_isa_is_supported((enum isa)isa)) continue;
        memset(memory, 0, sizeof memory);
        cm_vector_ops((enum isa)isa)->delta_net(&in, 0, 1, memory);
        assert_true(out[0] == 5.0f && out[1] == 5.0f && out[2] == 9.0f);
        memset(memory, 0, sizeof memory);
        cm_vector_ops((enum isa)isa)->state_space(&in, 0, 1, memory);
        assert_true(out[0] == 5.0f && out[1] == 5.0f && out[2] == 14.0f);
    }
}

static void fill_channels(struct random *random, float *x)
{
    for (int i = 0; i < MAX_CHANNELS; i++) x[i] = cm_random_normal(random);
}

/* A convolution step by step is the sum over the last inputs; channels may be shared out. */
static void convolution(void **state)
{
    (void)state;
    static float x[MAX_TOKENS][MAX_CHANNELS], taps[MAX_TAPS][MAX_CHANNELS], bias[MAX_CHANNELS];
    static float columns[MAX_TAPS][MAX_CHANNELS], y[MAX_CHANNELS];
    struct random random = cm_random(22);
    for (int run = 0; run < 40; run++) {
        const int n_taps = 1 + run % MAX_TAPS, n = 1 + (int)cm_random_below(&random, MAX_CHANNELS), half = n / 2;
        for (int t = 0; t < MAX_TOKENS; t++) fill_channels(&random, x[t]);
        for (int i = 0; i < MAX_TAPS; i++) fill_channels(&random, taps[i]);
        fill_channels(&random, bias);
        for (int isa = 0; isa < ISA_COUNT; isa++) {
            if (!cm_isa_is_supported((enum isa)isa)) continue;
            const struct vector_ops *ops = cm_vector_ops((enum isa)isa);
            memset(columns, 0, sizeof columns);
            for (int t = 0; t < MAX_TOKENS; t++) {
                memcpy(y, x[t], sizeof y);
                ops->convolve(y, taps[0], run % 2 ? bias : NULL, n_taps, half, MAX_CHANNELS, columns[0], y);
                ops->convolve(y + half, taps[0] + half, run % 2 ? bias + half : NULL, n_taps, n - half, MAX_CHANNELS,
                              columns[0] + half, y + half);
                for (int c = 0; c < n; c++) {
                    float sum = 0.0f;
                    for (int i = 0; i < n_taps; i++) {
                        const int at = t - n_taps + 1 + i;
                        sum = fmaf(taps[i][c], at < 0 ? 0.0f : x[at][c], sum);
                    }
                    if (run % 2) sum += bias[c];
                    assert_true(y[c] == sum);
                }
                assert_memory_equal(y + n, x[t] + n, (size_t)(MAX_CHANNELS - n) * sizeof *y);
            }
            for (int i = 0; i < MAX_CHANNELS; i++) assert_true(columns[n_taps - 1][i] == 0.0f);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(heads), cmocka_unit_test(the_delta_rule_replaces),
                                       cmocka_unit_test(convolution)};
    return cmocka_run_group_tests_name("recurrent", tests, NULL, NULL);
}
