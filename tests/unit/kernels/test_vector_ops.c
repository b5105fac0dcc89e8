/* test_vector_ops.c - every op at every level against the reference level: the same bits for all sizes and for
 * values that break things, and not a byte written outside. What the values should be: test_vector_values.c. */
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

enum { MAX_SIZE = 600, CANARY_BYTES = 128, N_FILLS = 8 };

static const uint8_t CANARY = 0xa5;

/* Outputs stand between canaries; one area for the reference, one for the level under test. */
struct area {
    uint8_t *memory;
    size_t   n_bytes;
};

static struct area area_open(size_t n_bytes)
{
    struct area area = {malloc(n_bytes + 2 * CANARY_BYTES), n_bytes};
    assert_non_null(area.memory);
    memset(area.memory, CANARY, n_bytes + 2 * CANARY_BYTES);
    return area;
}

static void *inside(const struct area *area) { return area->memory + CANARY_BYTES; }

static void area_close(struct area *area)
{
    for (size_t i = 0; i < CANARY_BYTES; i++) {
        assert_int_equal(area->memory[i], CANARY);
        assert_int_equal(area->memory[CANARY_BYTES + area->n_bytes + i], CANARY);
    }
    free(area->memory);
}

/* ---- values ---- */

static float any_value(struct random *random, int fill)
{
    const float special[] = {0.0f, -0.0f, 0x1p-149f, -0x1p-149f, 0x1p-127f, INFINITY, -INFINITY, NAN, 3.4028235e38f,
                             -3.4028235e38f, 1.0f, -1.0f, 88.37f, -87.33f, 87.4f, -103.0f, 0.5f, 127.0f};
    const float normal = cm_random_normal(random);
    switch (fill) {
    case 0: return normal;
    case 1: return 20.0f * normal;
    case 2: return special[cm_random_below(random, sizeof special / sizeof *special)];
    case 3: return cm_random_below(random, 5) ? normal : special[cm_random_below(random, 10)];
    case 4: return normal * 0x1p-140f;
    case 5: return normal * 1e30f;
    case 6: return 0.0f;
    default: return 100.0f * normal;
    }
}

static void fill_values(struct random *random, int fill, float *x, int n)
{
    for (int i = 0; i < n; i++) x[i] = any_value(random, fill);
}

/* NaNs are one value: which of their bits an operation keeps is the machine's affair. */
static bool same_floats(const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (cm_bits_of_float(a[i]) != cm_bits_of_float(b[i]) && !(isnan(a[i]) && isnan(b[i]))) return false;
    return true;
}

static void compare(const char *op, enum isa isa, int n, int fill, const struct area *wanted, const struct area *found)
{
    const bool are_same = same_floats(inside(wanted), inside(found), wanted->n_bytes / sizeof(float));
    if (!are_same) fail_msg("%s at %s differs from ref: %d values of fill %d", op, cm_isa_name(isa), n, fill);
}

/* ---- ops on one vector: x, a second input y, n, and a result ---- */

struct inputs {
    float x[MAX_SIZE], y[MAX_SIZE];
    float scalar;
};

static void run_rms_norm(const struct vector_ops *ops, const struct inputs *in, int n, float *out)
{
    ops->rms_norm(in->x, in->y, 1e-5f, n, out);
}

static void run_rms_norm_in_place(const struct vector_ops *ops, const struct inputs *in, int n, float *out)
{
    memcpy(out, in->x, (size_t)n * sizeof *out);
    ops->rms_norm(out, in->y, 0.0f, n, out);
}

static void run_nonlinear(const struct vector_ops *ops, const struct inputs *in, int n, float *out)
{
    static float found[NONLINEARITY_COUNT][MAX_SIZE];
    for (int kind = 0; kind < NONLINEARITY_COUNT; kind++) {
        const float *gate = cm_nonlinearities[kind].has_gate ? in->x : NULL;
        ops->nonlinear[kind](gate, in->y, n, found[kind]);
        memcpy(out, in->y, (size_t)n * sizeof *out);
        ops->nonlinear[kind](gate, out, n, out); /* in place it is the same */
        assert_true(same_floats(out, found[kind], (size_t)n));
    }
    for (int i = 0; i < n; i++) out[i] = found[(i + n) % NONLINEARITY_COUNT][i]; /* over all sizes, all of each */
}

static void run_softmax(const struct vector_ops *ops, const struct inputs *in, int n, float *out)
{
    memcpy(out, in->x, (size_t)n * sizeof *out);
    ops->softmax(out, n);
}

/* The same bits as softmax's own two largest, too. */
static void run_softmax_top_two(const struct vector_ops *ops, const struct inputs *in, int n, float *out)
{
    float first = 0.0f, second = 0.0f;
    memcpy(out, in->x, (size_t)n * sizeof *out);
    ops->softmax(out, n);
    for (int i = 0; i < n; i++) {
        if (out[i] > first) second = first, first = out[i];
        else if (out[i] > second) second = out[i];
    }
    float top, next;
    ops->softmax_top_two(in->x, n, &top, &next);
    if (first > 0.0f) assert_true(top == first && next == second); /* else there were no numbers */
    memset(out, 0, (size_t)n * sizeof *out);
    out[0] = top;
    if (n > 1) out[1] = next;
}

static void run_sigmoid(const struct vector_ops *ops, const struct inputs *in, int n, float *out)
{
    memcpy(out, in->x, (size_t)n * sizeof *out);
    ops->sigmoid(out, n);
}

static void run_norms(const struct vector_ops *ops, const struct inputs *in, int n, float *out)
{
    static float ones[MAX_SIZE], plain[MAX_SIZE];
    const int size = n % 3 == 0 ? n / 3 : n;
    for (int i = 0; i < n; i++) ones[i] = 1.0f;
    cm_rms_norm_groups(ops, in->x, NULL, 1e-5f, size, n / size, plain);
    cm_rms_norm_groups(ops, in->x, ones, 1e-5f, size, n / size, out);
    assert_true(same_floats(plain, out, (size_t)n));
    ops->l2_norm(plain, in->scalar, 1e-6f, n, out);
}

static void run_layer_norm(const struct vector_ops *ops, const struct inputs *in, int n, float *out)
{
    ops->layer_norm(in->x, in->y, in->x, 1e-5f, n, out);
}

static void run_products(const struct vector_ops *ops, const struct inputs *in, int n, float *out)
{
    memcpy(out, in->x, (size_t)n * sizeof *out);
    ops->softplus(out, n);
    ops->multiply(out, in->x, n);
    ops->sigmoid_multiply(out, in->y, n);
}

static void run_soft_cap(const struct vector_ops *ops, const struct inputs *in, int n, float *out)
{
    memcpy(out, in->x, (size_t)n * sizeof *out);
    ops->soft_cap(out, fabsf(in->scalar) + 1e-3f, n);
}

static void run_add_scaled(const struct vector_ops *ops, const struct inputs *in, int n, float *out)
{
    memcpy(out, in->x, (size_t)n * sizeof *out);
    ops->add_scaled(out, in->y, in->scalar, n);
}

static void run_rope_norm(const struct vector_ops *ops, const struct inputs *in, int n, float *out)
{
    memcpy(out, in->x, (size_t)n * sizeof *out);
    ops->rope(out, in->y, in->y + n / 2, n / 2 * 2, ROPE_NORM);
}

static void run_rope_neox(const struct vector_ops *ops, const struct inputs *in, int n, float *out)
{
    memcpy(out, in->x, (size_t)n * sizeof *out);
    ops->rope(out, in->y, in->y + n / 2, n / 2 * 2, ROPE_NEOX);
}

static const struct op {
    const char *name;
    void (*run)(const struct vector_ops *ops, const struct inputs *in, int n, float *out);
} vector_rows[] = {
    {"rms_norm", run_rms_norm},     {"rms_norm in place", run_rms_norm_in_place}, {"nonlinear", run_nonlinear},
    {"softmax", run_softmax},       {"softmax_top_two", run_softmax_top_two},     {"sigmoid", run_sigmoid},
    {"soft_cap", run_soft_cap},     {"add_scaled", run_add_scaled},               {"rope, norm", run_rope_norm},
    {"rope, neox", run_rope_neox},  {"norms", run_norms},                         {"products", run_products},
    {"layer_norm", run_layer_norm},
};

static void check_op(const struct op *op, const struct inputs *in, int n, int fill)
{
    struct area wanted = area_open((size_t)n * sizeof(float));
    op->run(cm_vector_ops(ISA_REF), in, n, inside(&wanted));
    for (int isa = 0; isa < ISA_COUNT; isa++) {
        if (!cm_isa_is_supported((enum isa)isa)) continue;
        struct area found = area_open((size_t)n * sizeof(float));
        op->run(cm_vector_ops((enum isa)isa), in, n, inside(&found));
        compare(op->name, (enum isa)isa, n, fill, &wanted, &found);
        area_close(&found);
    }
    area_close(&wanted);
}

static void every_level_and_size(void **state)
{
    const struct op *op = *state;
    static const int larger[] = {127, 128, 129, 255, 256, 257, 333, 599, 600};
    struct random random = cm_random(1);
    static struct inputs in;
    for (int fill = 0; fill < N_FILLS; fill++)
        for (int i = 0; i < 100 + (int)(sizeof larger / sizeof *larger); i++) {
            const int n = i < 100 ? i + 1 : larger[i - 100];
            fill_values(&random, fill, in.x, MAX_SIZE);
            fill_values(&random, fill, in.y, MAX_SIZE);
            in.scalar = any_value(&random, fill);
            check_op(op, &in, n, fill);
        }
}

/* ---- quantize ---- */

/* Both forms of row `token` of a matrix, by a level; all else must stay. */
static void quantize_by(enum isa isa, const float *values, int n_tokens, int n, int token, struct area *out)
{
    struct activations x;
    uint8_t *memory = aligned_alloc(64, cm_activations_bytes(n_tokens, n));
    assert_non_null(memory);
    memset(memory, CANARY, cm_activations_bytes(n_tokens, n));
    cm_activations_place(&x, n_tokens, n, memory);
    memcpy(x.values, values, (size_t)n_tokens * (size_t)n * sizeof *values);
    cm_vector_ops(isa)->quantize(&x, token, 0, n, cm_kind_bit(ACTIVATION_Q32) | cm_kind_bit(ACTIVATION_Q256));
    *out = area_open(cm_activations_bytes(n_tokens, n));
    memcpy(inside(out), memory, out->n_bytes);
    free(memory);
}

static void quantizing(void **state)
{
    (void)state;
    struct random random = cm_random(2);
    static float values[3 * MAX_SIZE];
    for (int fill = 0; fill < N_FILLS; fill++)
        for (int n = 1; n <= MAX_SIZE; n += n < 70 ? 1 : 53) {
            struct area wanted, found;
            fill_values(&random, fill, values, 3 * n);
            quantize_by(ISA_REF, values, 3, n, 1, &wanted);
            for (int isa = 1; isa < ISA_COUNT; isa++) {
                if (!cm_isa_is_supported((enum isa)isa)) continue;
                quantize_by((enum isa)isa, values, 3, n, 1, &found);
                assert_memory_equal(inside(&found), inside(&wanted), wanted.n_bytes);
                area_close(&found);
            }
            area_close(&wanted);
        }
}

/* In pieces, as workers do, is as in one. */
static void quantizing_in_pieces(void **state)
{
    (void)state;
    struct random random = cm_random(3);
    enum { N = 800, BYTES = 16 << 10 };
    static _Alignas(64) uint8_t memory[2][BYTES];
    struct activations whole, pieces;
    assert_true(cm_activations_bytes(1, N) <= BYTES);
    cm_activations_place(&whole, 1, N, memory[0]);
    cm_activations_place(&pieces, 1, N, memory[1]);
    fill_values(&random, 1, whole.values, N);
    memcpy(pieces.values, whole.values, N * sizeof(float));
    const unsigned q32 = cm_kind_bit(ACTIVATION_Q32), q256 = cm_kind_bit(ACTIVATION_Q256);
    const struct vector_ops *ops = cm_vector_ops(cm_isa_best());
    ops->quantize(&whole, 0, 0, N, q32 | q256);
    for (int begin = 0; begin < N; begin += 96) ops->quantize(&pieces, 0, begin, begin + 96 < N ? begin + 96 : N, q32);
    for (int begin = 768; begin >= 0; begin -= 256)
        ops->quantize(&pieces, 0, begin, begin + 256 < N ? begin + 256 : N, q256);
    assert_memory_equal(memory[1], memory[0], cm_activations_bytes(1, N));
}

/* ---- the cache and attention ---- */

enum { MAX_HEAD = 80, MAX_POSITIONS = 300, CACHE_POSITIONS = 320 };

struct caches {
    float keys[CACHE_POSITIONS * MAX_HEAD], values[CACHE_POSITIONS * MAX_HEAD]; /* room for either type */
};

static void store_by(enum isa isa, const float *k, const float *v, enum kv_type type, int head_size, int value_size,
                     int n, struct caches *out)
{
    memset(out, 0, sizeof *out);
    for (int p = 0; p < n; p++)
        cm_vector_ops(isa)->store_kv(k + p * head_size, v + p * value_size, out->keys, out->values, type, head_size,
                                     value_size, p);
}

static void check_attention(struct random *random, int fill, enum kv_type type, int head_size, int value_size, int n)
{
    static struct caches wanted_cache, cache;
    static float k[MAX_POSITIONS * MAX_HEAD], v[MAX_POSITIONS * MAX_HEAD], query[MAX_HEAD];
    fill_values(random, fill, k, n * head_size);
    fill_values(random, fill, v, n * value_size);
    fill_values(random, fill, query, head_size);
    store_by(ISA_REF, k, v, type, head_size, value_size, n, &wanted_cache);
    const float *const queries[] = {query};
    const struct attention_input in = {.keys = cache.keys, .values = cache.values, .type = type,
                                       .head_size = head_size, .value_size = value_size, .scale = 0.125f,
                                       .n_queries = 1, .queries = queries, .n_positions = &n};
    struct area wanted = area_open((size_t)value_size * sizeof(float));
    for (int isa = 0; isa < ISA_COUNT; isa++) {
        if (!cm_isa_is_supported((enum isa)isa)) continue;
        store_by((enum isa)isa, k, v, type, head_size, value_size, n, &cache);
        assert_memory_equal(&cache, &wanted_cache, sizeof cache);
        struct area found = area_open((size_t)value_size * sizeof(float));
        attend_one(cm_vector_ops((enum isa)isa), &in, inside(&found));
        if (isa == 0) memcpy(inside(&wanted), inside(&found), wanted.n_bytes);
        compare("attend", (enum isa)isa, n, fill, &wanted, &found);
        area_close(&found);
    }
    area_close(&wanted);
}

static void attention(void **state)
{
    (void)state;
    struct random random = cm_random(4);
    static const int sizes[][2] = {{64, 64}, {1, 1}, {7, 5}, {16, 17}, {80, 33}, {24, 80}};
    static const int positions[] = {1, 2, 15, 16, 17, 63, 64, 65, 127, 128, 129, 200, 300};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
        for (size_t p = 0; p < sizeof positions / sizeof *positions; p++)
            for (int fill = 0; fill < N_FILLS; fill++) {
                const enum kv_type type = (s + p + (size_t)fill) % 2 ? KV_F16 : KV_F32;
                check_attention(&random, fill, type, sizes[s][0], sizes[s][1], positions[p]);
            }
}

/* A level has ops of its own, or those of the one below that it shares them with. The tables are data, so levels that
 * this machine lacks are looked at, too; a build for another processor has no tables for them. */
static void levels(void **state)
{
    (void)state;
    static const enum isa ops_of[ISA_COUNT] = {
        [ISA_REF] = ISA_REF, [ISA_AVX2] = ISA_AVX2, [ISA_AVXVNNI] = ISA_AVX2,
        [ISA_AVX512VNNI] = ISA_AVX512VNNI, [ISA_AMX] = ISA_AVX512VNNI,
        [ISA_NEON] = ISA_NEON, [ISA_NEONDOT] = ISA_NEON,
    };
    for (int isa = 0; isa < ISA_COUNT; isa++) {
        const struct vector_ops *ops = cm_vector_ops((enum isa)isa);
        assert_true(ops || !cm_isa_is_supported((enum isa)isa));
        if (ops && ops->isa != ops_of[isa])
            fail_msg("%s has the ops of %s, not of %s", cm_isa_name((enum isa)isa), cm_isa_name(ops->isa),
                     cm_isa_name(ops_of[isa]));
    }
}

int main(void)
{
    enum { N_ROWS = sizeof vector_rows / sizeof *vector_rows, N_OTHERS = 4 };
    struct CMUnitTest tests[N_ROWS + N_OTHERS] = {
        cmocka_unit_test(levels),
        cmocka_unit_test(quantizing),
        cmocka_unit_test(quantizing_in_pieces),
        cmocka_unit_test(attention),
    };
    for (int i = 0; i < N_ROWS; i++)
        tests[N_OTHERS + i] = (struct CMUnitTest){vector_rows[i].name, every_level_and_size, NULL, NULL,
                                                  (void *)(uintptr_t)&vector_rows[i]};
    return cmocka_run_group_tests_name("vector ops", tests, NULL, NULL);
}
