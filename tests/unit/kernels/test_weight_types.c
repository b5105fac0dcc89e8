/* The table of weight types; dequantization against golden/dequant.gguf, bit by bit; and what the
 * quantizers lose. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "base/random.h"
#include "kernels/half.h"
#include "kernels/weight_type.h"
#include "runtime/load/model_file.h"

enum { N = 8192 }; /* values of a round trip */

static void ids_and_names_lead_to_their_type(void **state)
{
    (void)state;
    for (int i = 0; i < WEIGHT_TYPE_COUNT; i++) {
        enum weight_type type = WEIGHT_TYPE_COUNT;
        assert_true(cm_weight_type_of_file(cm_weight_types[i].file_id, &type));
        assert_int_equal(type, i);
        assert_true(cm_weight_type_of_name(cm_weight_types[i].name, &type));
        assert_int_equal(type, i);
    }
    enum weight_type untouched = WEIGHT_Q4_K;
    assert_false(cm_weight_type_of_name("q4_k_m", &untouched));
    assert_int_equal(untouched, WEIGHT_Q4_K);
}

static void other_ids_are_no_weight_types(void **state)
{
    (void)state;
    enum weight_type untouched = WEIGHT_Q4_K;
    static const uint32_t others[] = { 4, 5, 15, 26, 31, 38, 43, 1000, UINT32_MAX };
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        assert_false(cm_weight_type_of_file(others[i], &untouched));
    assert_int_equal(untouched, WEIGHT_Q4_K);
}

static void rows_have_their_bytes(void **state)
{
    (void)state;
    assert_int_equal(cm_row_bytes(WEIGHT_F32, 3), 12);
    assert_int_equal(cm_row_bytes(WEIGHT_Q4_0, 2880), 1620);
    assert_int_equal(cm_row_bytes(WEIGHT_Q4_K, 2048), 1152);
    assert_int_equal(cm_row_bytes(WEIGHT_Q6_K, 256), 210);
    assert_int_equal(cm_row_bytes(WEIGHT_MXFP4, 64), 34);
}

static void values_are_those_of_the_golden_file(void **state)
{
    (void)state;
    struct calmoe_context ctx = { 0 };
    struct model_file          *file = NULL;
    const char           *path = CALMOE_SOURCE_DIR "/tests/golden/dequant.gguf";
    const calmoe_status   status = cm_model_file_open(&ctx, path, &file);
    if (status != CALMOE_OK) fail_msg("%s", ctx.message);
    for (int i = 0; i < WEIGHT_TYPE_COUNT; i++) {
        const struct weight_type_row *row = &cm_weight_types[i];
        char                          name[2][40];
        snprintf(name[0], sizeof name[0], "%s.raw", row->name);
        snprintf(name[1], sizeof name[1], "%s.f32", row->name);
        const struct file_tensor *raw = cm_file_tensor(file, name[0]);
        const struct file_tensor *values = cm_file_tensor(file, name[1]);
        assert_non_null(raw);
        assert_non_null(values);
        assert_int_equal(raw->type, i);
        const size_t n = (size_t)(values->n_bytes / sizeof(float));
        float       *got = cm_alloc(NULL, n, sizeof(float), "values");
        row->dequantize(raw->bytes, got, n / (size_t)row->n_elements);
        for (size_t k = 0; k < n; k++)
            if (memcmp(&got[k], values->bytes + 4 * k, 4) != 0)
                fail_msg("%s: weight %zu is %a", row->name, k, (double)got[k]);
        cm_free(got);
    }
    cm_model_file_close(&file);
}

struct buffers {
    float   in[N];
    float   back[N];
    uint8_t blocks[N * 4];
};

static void round_trip(const struct weight_type_row *row, struct buffers *at)
{
    const size_t n_blocks = N / (size_t)row->n_elements;
    row->quantize(at->in, at->blocks, n_blocks);
    row->dequantize(at->blocks, at->back, n_blocks);
}

static void fill_normal(struct buffers *at, float spread)
{
    struct random random = cm_random(7);
    for (int k = 0; k < N; k++) at->in[k] = spread * cm_random_normal(&random);
}

/* The error left, as a part of the values' own size (root mean square). */
static double relative_error(const struct buffers *at)
{
    double error = 0, size = 0;
    for (int k = 0; k < N; k++) {
        const double miss = (double)at->back[k] - (double)at->in[k];
        error += miss * miss;
        size += (double)at->in[k] * (double)at->in[k];
    }
    return sqrt(error / size);
}

static void quantizers_lose_little(void **state)
{
    static const struct {
        enum weight_type type;
        double           most;
    } rows[] = { { WEIGHT_F16, 3e-4 },   { WEIGHT_BF16, 2.5e-3 }, { WEIGHT_Q8_0, 6.5e-3 },
                 { WEIGHT_Q4_0, 0.095 }, { WEIGHT_Q4_K, 0.075 },  { WEIGHT_Q6_K, 0.0195 } };
    struct buffers *at = *state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct weight_type_row *row = &cm_weight_types[rows[i].type];
        for (float spread = 1e-3f; spread < 1e3f; spread *= 10) {
            fill_normal(at, spread);
            round_trip(row, at);
            const double error = relative_error(at);
            if (!(error < rows[i].most)) fail_msg("%s loses %f", row->name, error);
        }
    }
}

/* No weight is farther from what it was than half a step, or a whole one at the short end of Q4_0. */
static void no_weight_is_off_by_more_than_its_step(void **state)
{
    struct buffers *at = *state;
    fill_normal(at, 0.02f);
    round_trip(&cm_weight_types[WEIGHT_Q8_0], at);
    for (int k = 0; k < N; k++) {
        const float d = cm_load_half(at->blocks + 34 * (k / 32));
        assert_true(fabsf(at->back[k] - at->in[k]) <= 0.5001f * d);
    }
    round_trip(&cm_weight_types[WEIGHT_Q4_0], at);
    for (int k = 0; k < N; k++) {
        const float d = cm_load_half(at->blocks + 18 * (k / 32));
        const float most = at->in[k] / d > 7.0f ? 1.01f : 0.5001f;
        assert_true(fabsf(at->back[k] - at->in[k]) <= most * fabsf(d));
    }
}

static void zeros_stay_zeros(void **state)
{
    struct buffers *at = *state;
    memset(at->in, 0, sizeof at->in);
    for (int i = 0; i < WEIGHT_TYPE_COUNT; i++) {
        if (cm_weight_types[i].quantize == NULL) continue;
        round_trip(&cm_weight_types[i], at);
        for (int k = 0; k < N; k++) assert_true(at->back[k] == 0.0f);
    }
}

static void strange_weights_do_no_harm(void **state)
{
    static const float strange[] = { NAN, INFINITY, -INFINITY, 3e38f, -3e38f, 1e-40f, -0.0f };
    struct buffers    *at = *state;
    for (int i = 0; i < WEIGHT_TYPE_COUNT; i++) {
        if (cm_weight_types[i].quantize == NULL) continue;
        for (int k = 0; k < N; k++) at->in[k] = strange[k * 5 / 3 % 7];
        round_trip(&cm_weight_types[i], at);
        if (cm_weight_types[i].n_elements == 1) continue;
        for (int k = 0; k < N; k++) assert_true(isfinite(at->back[k]));
    }
}

/* FNV-1a of all blocks: the same weights give the same bytes with every compiler and on every machine. */
static void bytes_are_the_same_everywhere(void **state)
{
    static const struct {
        enum weight_type type;
        uint64_t         hash;
    } rows[] = { { WEIGHT_Q8_0, 0xae732f9bfee92afa }, { WEIGHT_Q4_0, 0x97c3f5b7dad56654 },
                 { WEIGHT_Q4_K, 0x817d260c6fdcd1df }, { WEIGHT_Q6_K, 0x1475e49933f1da8c } };
    struct buffers *at = *state;
    fill_normal(at, 0.05f);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint64_t hash = 0xcbf29ce484222325u;
        round_trip(&cm_weight_types[rows[i].type], at);
        for (size_t byte = 0; byte < cm_row_bytes(rows[i].type, N); byte++)
            hash = (hash ^ at->blocks[byte]) * 0x100000001b3u;
        if (hash != rows[i].hash)
            fail_msg("%s: hash 0x%llx", cm_weight_types[rows[i].type].name, (unsigned long long)hash);
    }
}

static int open_buffers(void **state)
{
    *state = cm_alloc(NULL, 1, sizeof(struct buffers), "buffers");
    return *state == NULL;
}

static int close_buffers(void **state)
{
    cm_free(*state);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_and_names_lead_to_their_type),
        cmocka_unit_test(other_ids_are_no_weight_types),
        cmocka_unit_test(rows_have_their_bytes),
        cmocka_unit_test(values_are_those_of_the_golden_file),
        cmocka_unit_test(quantizers_lose_little),
        cmocka_unit_test(no_weight_is_off_by_more_than_its_step),
        cmocka_unit_test(zeros_stay_zeros),
        cmocka_unit_test(strange_weights_do_no_harm),
        cmocka_unit_test(bytes_are_the_same_everywhere),
    };
    return cmocka_run_group_tests(tests, open_buffers, close_buffers);
}
