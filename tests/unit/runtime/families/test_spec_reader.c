/* test_spec_reader.c - metadata to model_spec: what each key sets, and the defaults of keys that are absent. Faults:
 * tests/bad_input/test_bad_model.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/families/family.h"
#include "tests/support/tiny_model.h"

static struct gguf_builder *builder; /* of the test at hand */

static int open_builder(void **state)
{
    (void)state;
    const struct tiny_model tiny = tiny_model();
    builder = tiny_model_build(&tiny);
    return 0;
}

static int close_builder(void **state)
{
    (void)state;
    builder_close(&builder);
    return 0;
}

static void start_with(const struct tiny_model *tiny)
{
    builder_close(&builder);
    builder = tiny_model_build(tiny);
}

static struct model_spec read_spec(void)
{
    struct calmoe_context ctx = {0};
    struct model_file *file = NULL;
    struct model_spec spec;
    size_t n_bytes;
    const uint8_t *bytes = builder_bytes(builder, &n_bytes);
    if (cm_model_file_parse(&ctx, "m.gguf", bytes, n_bytes, &file) != CALMOE_OK) fail_msg("%s", ctx.message);
    if (cm_read_model_spec(&ctx, file, &spec) != CALMOE_OK) fail_msg("%s", ctx.message);
    cm_model_file_close(&file);
    return spec;
}

static void what_the_file_says(void **state)
{
    (void)state;
    const struct model_spec spec = read_spec();
    assert_string_equal(spec.family, "qwen2moe");
    assert_int_equal(spec.n_layers, 2);
    assert_int_equal(spec.dim, 32);
    assert_int_equal(spec.n_heads, 4);
    assert_int_equal(spec.n_kv_heads, 2);
    assert_int_equal(spec.head_size, 8);
    assert_int_equal(spec.value_size, 8);
    assert_int_equal(spec.n_vocab, 317);
    assert_int_equal(spec.context_length, 64);
    assert_int_equal(spec.router.n_experts, 4);
    assert_int_equal(spec.router.n_used, 2);
    assert_int_equal(spec.expert_width, 32);
    assert_int_equal(spec.shared_width, 32);
    assert_true(spec.norm_eps == 1e-6f);
    assert_false(spec.is_dense);
}

static void defaults(void **state)
{
    (void)state;
    const struct model_spec spec = read_spec();
    assert_true(spec.attention_scale == 1.0f / sqrtf(8.0f));
    assert_true(spec.embedding_scale == 1.0f && spec.residual_scale == 1.0f && spec.logit_divisor == 1.0f);
    assert_true(spec.clamp_qkv == 0.0f);
    assert_true(spec.rope.is_on && spec.rope.base == 10000.0f);
    assert_true(spec.rope.factor == 1.0f && spec.rope.magnitude == 1.0f);
    assert_int_equal(spec.rope.n_rot, 8);
    assert_int_equal(spec.rope.scaling, ROPE_SCALING_NONE);
    assert_int_equal(spec.rope.pairing, ROPE_NEOX);
    assert_int_equal(spec.router.score, SCORE_SOFTMAX);
    assert_int_equal(spec.router.n_groups, 1);
    assert_true(spec.router.scale == 1.0f);
    assert_false(spec.router.renormalise);
    assert_false(spec.router.has_bias);
}

static void keys_that_are_absent(void **state)
{
    (void)state;
    struct tiny_model tiny = tiny_model();
    tiny.without = "attention.head_count_kv";
    tiny.n_kv_heads = 4;
    start_with(&tiny);
    assert_int_equal(read_spec().n_kv_heads, 4);
    tiny.without = "attention.key_length";
    start_with(&tiny);
    assert_int_equal(read_spec().head_size, 8); /* width / heads */
    tiny.without = "context_length";
    start_with(&tiny);
    assert_int_equal(read_spec().context_length, 2048);
}

static void scales(void **state)
{
    (void)state;
    builder_add_f32(builder, "qwen2moe.attention.scale", 0.015625f);
    builder_add_f32(builder, "qwen2moe.embedding_scale", 12.0f);
    builder_add_f64(builder, "qwen2moe.residual_scale", 0.22);
    builder_add_f32(builder, "qwen2moe.logit_scale", 6.0f);
    builder_add_f32(builder, "qwen2moe.attention.clamp_kqv", 8.0f);
    const struct model_spec spec = read_spec();
    assert_true(spec.attention_scale == 0.015625f && spec.embedding_scale == 12.0f && spec.residual_scale == 0.22f);
    assert_true(spec.logit_divisor == 6.0f && spec.clamp_qkv == 8.0f);
}

/* Some writers put 0 for "there is none". */
static void zeros_are_none(void **state)
{
    (void)state;
    static const char *const floats[] = {"attention.scale", "embedding_scale", "residual_scale", "logit_scale",
                                         "expert_weights_scale", "rope.scaling.factor", "rope.scaling.attn_factor"};
    static const char *const integers[] = {"expert_group_count", "expert_group_used_count", "expert_gating_func",
                                           "leading_dense_block_count", "nextn_predict_layers"};
    char key[128];
    for (size_t i = 0; i < sizeof floats / sizeof *floats; i++) {
        snprintf(key, sizeof key, "qwen2moe.%s", floats[i]);
        builder_add_f32(builder, key, 0.0f);
    }
    for (size_t i = 0; i < sizeof integers / sizeof *integers; i++) {
        snprintf(key, sizeof key, "qwen2moe.%s", integers[i]);
        builder_add_u32(builder, key, 0);
    }
    defaults(state);
}

static void experts(void **state)
{
    (void)state;
    builder_add_u32(builder, "qwen2moe.expert_gating_func", 2);
    builder_add_bool(builder, "qwen2moe.expert_weights_norm", true);
    builder_add_f32(builder, "qwen2moe.expert_weights_scale", 2.5f);
    builder_add_u32(builder, "qwen2moe.expert_group_count", 2);
    builder_add_u32(builder, "qwen2moe.expert_group_used_count", 1);
    builder_add_tensor(builder, "blk.0.exp_probs_b.bias", 0, 1, (uint64_t[]){4}, NULL, 16);
    const struct router_spec router = read_spec().router;
    assert_int_equal(router.score, SCORE_SIGMOID);
    assert_true(router.renormalise && router.has_bias && router.scale == 2.5f);
    assert_int_equal(router.n_groups, 2);
    assert_int_equal(router.n_groups_used, 1);
}

static void linear_scaling_of_old_files(void **state)
{
    (void)state;
    builder_add_f32(builder, "qwen2moe.rope.scale_linear", 4.0f);
    const struct rope_spec rope = read_spec().rope;
    assert_int_equal(rope.scaling, ROPE_SCALING_LINEAR);
    assert_true(rope.factor == 4.0f);
}

static void yarn(void **state)
{
    (void)state;
    builder_add_string(builder, "qwen2moe.rope.scaling.type", "yarn");
    builder_add_f32(builder, "qwen2moe.rope.scaling.factor", 40.0f);
    builder_add_u32(builder, "qwen2moe.rope.scaling.original_context_length", 4096);
    builder_add_f32(builder, "qwen2moe.rope.scaling.yarn_beta_fast", 16.0f);
    builder_add_f32(builder, "qwen2moe.rope.freq_base", 1e6f);
    builder_add_u32(builder, "qwen2moe.rope.dimension_count", 4);
    const struct rope_spec rope = read_spec().rope;
    assert_int_equal(rope.scaling, ROPE_SCALING_YARN);
    assert_true(rope.factor == 40.0f && rope.beta_fast == 16.0f && rope.beta_slow == 1.0f && rope.base == 1e6f);
    assert_int_equal(rope.original_context, 4096);
    assert_int_equal(rope.n_rot, 4);
}

static void one_value_for_each_layer(void **state)
{
    (void)state;
    struct tiny_model tiny = tiny_model();
    tiny.without = "attention.head_count_kv";
    start_with(&tiny);
    builder_add_i32s(builder, "qwen2moe.attention.head_count_kv", (int32_t[]){2, 2}, 2);
    assert_int_equal(read_spec().n_kv_heads, 2);
}

/* Blocks at the end that predict further tokens are left out. */
static void extra_blocks(void **state)
{
    (void)state;
    builder_add_u32(builder, "qwen2moe.nextn_predict_layers", 1);
    assert_int_equal(read_spec().n_layers, 1);
}

/* One architecture, with experts or without: two families. And each row of the list is found by what it says. */
static void every_family(void **state)
{
    (void)state;
    const struct family *family;
    int n = 0;
    for (int i = 0; (family = cm_family_at(i)) != NULL; i++, n++) {
        struct tiny_model tiny = tiny_model();
        tiny.architecture = family->architecture;
        if (!family->has_experts) tiny.n_experts = 0;
        start_with(&tiny);
        const struct model_spec spec = read_spec();
        assert_string_equal(spec.family, family->name);
        assert_int_equal(spec.rope.pairing, family->pairing);
        assert_int_equal(spec.is_dense, !family->has_experts);
        assert_int_equal(spec.router.score, family->score);
        assert_int_equal(spec.expert_width, 32);
        assert_int_equal(spec.router.n_experts, family->has_experts ? 4 : 1);
    }
    assert_true(n >= 8);
    assert_null(cm_family_at(-1));
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, open_builder, close_builder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_the_file_says),
        TEST(defaults),
        TEST(keys_that_are_absent),
        TEST(scales),
        TEST(zeros_are_none),
        TEST(experts),
        TEST(linear_scaling_of_old_files),
        TEST(yarn),
        TEST(one_value_for_each_layer),
        TEST(extra_blocks),
        TEST(every_family),
    };
    return cmocka_run_group_tests_name("spec reader", tests, NULL, NULL);
}
