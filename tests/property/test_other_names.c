/* test_other_names.c - architectures whose equations are those of another: the golden model of that one, named for it
 * and with what its files say besides, gives the same logits to the bit. And what files say in ways of their own: a
 * key of norms, a cap of logits, YaRN's whole factor. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/folder_fixture.h"
#include "tests/support/gguf_copy.h"
#include "tests/support/goldens.h"
#include "tests/support/running.h"

enum { N_TEXT = 20, MAX_LOGITS = N_TEXT * 512 };

static int32_t text[N_TEXT];
static float   of_golden[MAX_LOGITS], of_other[MAX_LOGITS];

static int read_logits(const char *path, float *logits)
{
    const calmoe_engine_options options = running_options(1, NULL);
    struct running r = running_open(path, &options, NULL);
    const int n = N_TEXT * r.n_vocab;
    assert_in_range(n, 1, MAX_LOGITS);
    running_read(&r, r.session, text, N_TEXT, N_TEXT, logits);
    running_close(&r);
    return n;
}

static struct model_file *open_golden(const char *name)
{
    char path[600];
    calmoe_context *context = NULL;
    struct model_file *file = NULL;
    assert_int_equal(calmoe_context_open(NULL, &context), CALMOE_OK);
    running_must(context, cm_model_file_open(context, golden_path(path, name), &file));
    calmoe_context_close(&context);
    return file;
}

/* The logits of the builder's file, in of_other. */
static int read_built(struct gguf_builder *builder)
{
    const char *path = temp_file(folder, "other.gguf");
    builder_write(builder, path);
    builder_close(&builder);
    return read_logits(path, of_other);
}

/* ---- the same under another name ---- */

static void of_vision(struct gguf_builder *builder, const char *architecture)
{
    static const int32_t sections[] = {24, 20, 20, 0};
    char key[64];
    snprintf(key, sizeof key, "%s.n_deepstack_layers", architecture);
    builder_add_u32(builder, key, 3);
    snprintf(key, sizeof key, "%s.rope.dimension_sections", architecture);
    builder_add_i32s(builder, key, sections, 4);
}

/* Biases for choosing, named without an ending. */
static void of_hy3(struct gguf_builder *builder, const char *architecture)
{
    static const char ending[] = "exp_probs_b.bias";
    int n_renamed = 0;
    (void)architecture;
    for (size_t i = 0; i < builder->n_tensors; i++) {
        const size_t n = strlen(builder->tensors[i].name), m = strlen(ending);
        if (n < m || strcmp(builder->tensors[i].name + n - m, ending) != 0) continue;
        char name[64];
        snprintf(name, sizeof name, "%.*s", (int)(n - strlen(".bias")), builder->tensors[i].name);
        builder_rename_tensor(builder, (int)i, name, strlen(name));
        n_renamed++;
    }
    assert_true(n_renamed > 0);
}

/* The four multipliers, which change nothing here; and what Granite 4 says of layers that it has not. */
static void of_granite(struct gguf_builder *builder, const char *architecture)
{
    (void)architecture;
    builder_add_f32(builder, "granite.attention.scale", 1.0f / sqrtf(14.0f));
    builder_add_f32(builder, "granite.embedding_scale", 1.0f);
    builder_add_f32(builder, "granite.residual_scale", 1.0f);
    builder_add_f32(builder, "granite.logit_scale", 1.0f);
    builder_add_u32(builder, "granite.ssm.conv_kernel", 4);
    builder_add_u32(builder, "granite.ssm.state_size", 128);
}

static const struct {
    const char *golden, *architecture;
    void (*add)(struct gguf_builder *builder, const char *architecture);
} others[] = {
    {"qwen3moe", "qwen3vlmoe", of_vision}, {"qwen3", "qwen3vl", of_vision}, {"dots1", "hy_v3", of_hy3},
    {"llama", "granite", of_granite},
};

static void same_bits_under_another_name(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        char path[600];
        struct model_file *file = open_golden(others[i].golden);
        struct gguf_builder *builder = gguf_copy_as(file, others[i].architecture);
        others[i].add(builder, others[i].architecture);
        const int n = read_logits(golden_path(path, others[i].golden), of_golden);
        assert_int_equal(read_built(builder), n);
        assert_memory_equal(of_golden, of_other, (size_t)n * sizeof *of_other);
        cm_model_file_close(&file);
    }
}

/* ---- what files say in ways of their own ---- */

/* Where the one key of norms is missing, the other is taken. */
static void eps_of_norms_by_either_name(void **state)
{
    (void)state;
    char path[600];
    struct model_file *file = open_golden("nemotronhmoe");
    const int n = read_logits(golden_path(path, "nemotronhmoe"), of_golden);
    struct gguf_builder *builder = gguf_copy(file, "nemotron_h_moe.attention.layer_norm_rms_epsilon");
    assert_int_equal(read_built(builder), n);
    assert_memory_equal(of_golden, of_other, (size_t)n * sizeof *of_other);
    cm_model_file_close(&file);
}

static void logits_are_capped(void **state)
{
    (void)state;
    char path[600];
    struct model_file *file = open_golden("gemma3");
    const int n = read_logits(golden_path(path, "gemma3"), of_golden);
    struct gguf_builder *builder = gguf_copy(file, NULL);
    builder_add_f32(builder, "gemma3.final_logit_softcapping", 2.0f);
    assert_int_equal(read_built(builder), n);
    for (int i = 0; i < n; i++) assert_float_equal(of_other[i], 2.0f * tanhf(of_golden[i] / 2.0f), 1e-5f);
    cm_model_file_close(&file);
}

static void add_yarn(struct gguf_builder *builder, float whole)
{
    builder_add_string(builder, "qwen3.rope.scaling.type", "yarn");
    builder_add_f32(builder, "qwen3.rope.scaling.factor", 4.0f);
    builder_add_u32(builder, "qwen3.rope.scaling.original_context_length", 128);
    if (whole > 0.0f) builder_add_f32(builder, "qwen3.rope.scaling.yarn_attn_factor", whole);
}

/* The largest difference of a logit between YaRN without a factor of its own, and with that one. */
static float moved_by(float whole)
{
    struct model_file *file = open_golden("qwen3");
    struct gguf_builder *plain = gguf_copy(file, NULL), *told = gguf_copy(file, NULL);
    float most = 0.0f;
    add_yarn(plain, 0.0f);
    const int n = read_built(plain);
    memcpy(of_golden, of_other, sizeof of_golden);
    add_yarn(told, whole);
    assert_int_equal(read_built(told), n);
    for (int i = 0; i < n; i++) most = fmaxf(most, fabsf(of_golden[i] - of_other[i]));
    cm_model_file_close(&file);
    return most;
}

static void yarn_with_a_factor_of_its_own(void **state)
{
    (void)state;
    assert_true(moved_by(1.0f) == 0.0f);                            /* means nothing              */
    assert_true(moved_by(1.0f + 0.1f * logf(4.0f)) < 1e-4f);        /* is what it would be anyway */
    assert_true(moved_by(0.8f) > 1e-2f);
}

int main(void)
{
    for (int i = 0; i < N_TEXT; i++) text[i] = (7 * i + 3) % 250;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_bits_under_another_name),
        cmocka_unit_test(eps_of_norms_by_either_name),
        cmocka_unit_test(logits_are_capped),
        cmocka_unit_test(yarn_with_a_factor_of_its_own),
    };
    return cmocka_run_group_tests_name("other names", tests, open_folder, close_folder);
}
