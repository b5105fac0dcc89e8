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

static struct model_spec spec; /* as read last */

static int close_builder(void **state)
{
    (void)state;
    cm_model_spec_close(&spec);
    builder_close(&builder);
    return 0;
}

static void start_with(const struct tiny_model *tiny)
{
    builder_close(&builder);
    builder = tiny_model_build(tiny);
}

static const struct layer_spec *read_spec(void)
{
    struct calmoe_context ctx = {0};
    struct model_file *file = NULL;
    size_t n_bytes;
    const uint8_t *bytes = builder_bytes(builder, &n_bytes);
    cm_model_spec_close(&spec);
    if (cm_model_file_parse(&ctx, "m.gguf", bytes, n_bytes, &file) != CALMOE_OK) fail_msg("%s", ctx.message);
    if (cm_read_model_spec(&ctx, file, &spec) != CALMOE_OK) fail_msg("%s", ctx.message);
    cm_model_file_close(&file);
    return spec.layers;
}

static void what_the_file_says(void **state)
{
    (void)state;
    const struct layer_spec *layers = read_spec();
    assert_string_equal(spec.family, "qwen2moe");
    assert_int_equal(spec.n_layers, 2);
    assert_int_equal(spec.n_blocks, 2);
    assert_int_equal(spec.dim, 32);
    assert_int_equal(spec.n_vocab, 317);
    assert_int_equal(spec.context_length, 64);
    assert_true(spec.norm_eps == 1e-6f);
    for (int i = 0; i < 2; i++) {
        const struct attention_spec *attention = &layers[i].attention;
        const struct ffn_spec       *ffn = &layers[i].ffn;
        assert_int_equal(layers[i].mixer, MIXER_ATTENTION);
        assert_int_equal(attention->n_heads, 4);
        assert_int_equal(attention->n_kv_heads, 2);
        assert_int_equal(attention->head_size, 8);
        assert_int_equal(attention->value_size, 8);
        assert_int_equal(ffn->router.n_experts, 4);
        assert_int_equal(ffn->router.n_used, 2);
        assert_int_equal(ffn->branches[BANK_ROUTED].width, 32);
        assert_int_equal(ffn->branches[BANK_SHARED].width, 32);
        assert_true(ffn->has_shared_gate);
        assert_false(cm_is_dense(ffn));
    }
    assert_int_equal(cm_dense_layers(&spec), 0);
    assert_int_equal(cm_experts_of_token(&spec), 4);
    assert_ptr_equal(cm_first_router(&spec), &layers[0].ffn.router);
}

static void defaults(void **state)
{
    (void)state;
    const struct layer_spec *layer = read_spec();
    const struct rope_spec *rope = &spec.ropes[0];
    assert_true(layer->attention.scale == 1.0f / sqrtf(8.0f) && layer->attention.clamp == 0.0f);
    assert_int_equal(layer->attention.q_norm, NORM_NONE);
    assert_int_equal(layer->attention.k_norm, NORM_NONE);
    assert_true(spec.embedding_scale == 1.0f && layer->residual_scale == 1.0f && spec.logit_divisor == 1.0f);
    assert_int_equal(spec.n_ropes, 1);
    assert_true(rope->is_on && rope->base == 10000.0f && rope->has_whole_bounds && rope->has_factors);
    assert_true(rope->factor == 1.0f && rope->magnitude == 1.0f);
    assert_int_equal(rope->n_rot, 8);
    assert_int_equal(rope->scaling, ROPE_SCALING_NONE);
    assert_int_equal(rope->pairing, ROPE_NEOX);
    assert_int_equal(layer->ffn.router.score, SCORE_SOFTMAX);
    assert_int_equal(layer->ffn.router.n_groups, 1);
    assert_true(layer->ffn.router.scale == 1.0f);
    assert_false(layer->ffn.router.renormalise);
    assert_false(layer->ffn.router.has_bias);
}

static void keys_that_are_absent(void **state)
{
    (void)state;
    struct tiny_model tiny = tiny_model();
    tiny.without = "attention.head_count_kv";
    tiny.n_kv_heads = 4;
    start_with(&tiny);
    assert_int_equal(read_spec()->attention.n_kv_heads, 4);
    tiny.without = "attention.key_length";
    start_with(&tiny);
    assert_int_equal(read_spec()->attention.head_size, 8); /* width / heads */
    tiny.without = "context_length";
    start_with(&tiny);
    read_spec();
    assert_int_equal(spec.context_length, 2048);
    tiny.without = "rope.freq_base"; /* of files of 2023, in the one family that had them */
    tiny.architecture = "llama";
    tiny.n_experts = 0;
    start_with(&tiny);
    read_spec();
    assert_true(spec.ropes[0].base == 10000.0f);
}

static void scales(void **state)
{
    (void)state;
    builder_add_f32(builder, "qwen2moe.attention.scale", 0.015625f);
    builder_add_f32(builder, "qwen2moe.embedding_scale", 12.0f);
    builder_add_f64(builder, "qwen2moe.residual_scale", 0.22);
    builder_add_f32(builder, "qwen2moe.logit_scale", 6.0f);
    builder_add_f32(builder, "qwen2moe.attention.clamp_kqv", 8.0f);
    const struct layer_spec *layers = read_spec();
    for (int i = 0; i < 2; i++) {
        assert_true(layers[i].attention.scale == 0.015625f && layers[i].attention.clamp == 8.0f);
        assert_true(layers[i].residual_scale == 0.22f);
    }
    assert_true(spec.embedding_scale == 12.0f && spec.logit_divisor == 6.0f);
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
    builder_add_tensor(builder, "blk.1.exp_probs_b.bias", 0, 1, (uint64_t[]){4}, NULL, 16);
    const struct router_spec router = read_spec()->ffn.router;
    assert_int_equal(router.score, SCORE_SIGMOID);
    assert_true(router.renormalise && router.has_bias && router.scale == 2.5f);
    assert_int_equal(router.n_groups, 2);
    assert_int_equal(router.n_groups_used, 1);
}

/* The number of the gating function in files says how scores are made, and with it how a group's become one. */
static void gating_functions(void **state)
{
    (void)state;
    static const struct {
        enum score_kind  score;
        enum group_score group_score;
    } rows[] = {{SCORE_SOFTMAX, GROUP_MAX},
                {SCORE_SIGMOID, GROUP_TOP2_SUM},
                {SCORE_SOFTMAX_SELECTED, GROUP_MAX},
                {SCORE_SQRT_SOFTPLUS, GROUP_TOP2_SUM}};
    for (uint32_t number = 1; number <= 4; number++) {
        const struct tiny_model tiny = tiny_model();
        start_with(&tiny);
        builder_add_u32(builder, "qwen2moe.expert_gating_func", number);
        const struct router_spec router = read_spec()->ffn.router;
        assert_int_equal(router.score, rows[number - 1].score);
        assert_int_equal(router.group_score, rows[number - 1].group_score);
    }
}

static void linear_scaling_of_old_files(void **state)
{
    (void)state;
    builder_add_f32(builder, "qwen2moe.rope.scale_linear", 4.0f);
    read_spec();
    assert_int_equal(spec.ropes[0].scaling, ROPE_SCALING_LINEAR);
    assert_true(spec.ropes[0].factor == 4.0f);
}

/* A factor without a type means linear scaling; a type that says none is believed. */
static void a_factor_without_a_type(void **state)
{
    (void)state;
    builder_add_f32(builder, "qwen2moe.rope.scaling.factor", 2.0f);
    read_spec();
    assert_int_equal(spec.ropes[0].scaling, ROPE_SCALING_LINEAR);
    assert_true(spec.ropes[0].factor == 2.0f);
    builder_add_string(builder, "qwen2moe.rope.scaling.type", "none");
    read_spec();
    assert_int_equal(spec.ropes[0].scaling, ROPE_SCALING_NONE);
}

static void yarn(void **state)
{
    (void)state;
    struct tiny_model tiny = tiny_model();
    tiny.without = "rope.freq_base";
    start_with(&tiny);
    builder_add_string(builder, "qwen2moe.rope.scaling.type", "yarn");
    builder_add_f32(builder, "qwen2moe.rope.scaling.factor", 40.0f);
    builder_add_u32(builder, "qwen2moe.rope.scaling.original_context_length", 4096);
    builder_add_f32(builder, "qwen2moe.rope.scaling.yarn_beta_fast", 16.0f);
    builder_add_f32(builder, "qwen2moe.rope.freq_base", 1e6f);
    builder_add_u32(builder, "qwen2moe.rope.dimension_count", 4);
    read_spec();
    const struct rope_spec *rope = &spec.ropes[0];
    assert_int_equal(rope->scaling, ROPE_SCALING_YARN);
    assert_true(rope->factor == 40.0f && rope->beta_fast == 16.0f && rope->beta_slow == 1.0f && rope->base == 1e6f);
    assert_int_equal(rope->original_context, 4096);
    assert_int_equal(rope->n_rot, 4);
}

static void check_windows(const char *wanted) /* of each layer, 'w' = it has one */
{
    const struct layer_spec *layers = read_spec();
    for (int i = 0; i < spec.n_layers; i++) {
        assert_int_equal(layers[i].attention.window, wanted[i] == 'w' ? 24 : 0);
        assert_int_equal(layers[i].attention.rope, wanted[i] == 'w' && spec.n_ropes == 2);
    }
}

/* Every second layer sees all where the file does not say which; it may say a period, or each layer. */
static void windows(void **state)
{
    (void)state;
    static const char pattern[] = "gpt-oss.attention.sliding_window_pattern";
    static const struct {
        int         period;
        const char *windows;
    } rows[] = {{2, "wfwfw"}, {3, "wwfww"}, {1, "fffff"}, {0, "wwwww"}};
    struct tiny_model tiny = tiny_model();
    tiny.architecture = "gpt-oss";
    tiny.n_layers = 5;
    start_with(&tiny);
    check_windows("wfwfw");
    assert_int_equal(spec.n_ropes, 1);
    assert_false(spec.ropes[0].has_whole_bounds);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        start_with(&tiny);
        builder_add_u32(builder, pattern, (uint32_t)rows[i].period);
        check_windows(rows[i].windows);
    }
    start_with(&tiny);
    builder_add_i32s(builder, pattern, (int32_t[]){0, 1, 1, 0, 1}, 5);
    builder_add_f32(builder, "gpt-oss.rope.freq_base_swa", 300.0f);
    check_windows("fwwfw");
    assert_int_equal(spec.n_ropes, 2);
    assert_true(spec.ropes[0].base == 10000.0f && spec.ropes[1].base == 300.0f);
    assert_false(spec.ropes[0].has_whole_bounds || spec.ropes[1].has_whole_bounds);
    start_with(&tiny);
    builder_add_f32(builder, "gpt-oss.rope.freq_base_swa", 10000.0f); /* the same base */
    check_windows("wfwfw");
    assert_int_equal(spec.n_ropes, 1);
}

static void one_value_for_each_layer(void **state)
{
    (void)state;
    struct tiny_model tiny = tiny_model();
    tiny.without = "attention.head_count_kv";
    start_with(&tiny);
    builder_add_i32s(builder, "qwen2moe.attention.head_count_kv", (int32_t[]){2, 4, 7}, 3); /* the third: of no layer */
    const struct layer_spec *layers = read_spec();
    assert_int_equal(layers[0].attention.n_kv_heads, 2);
    assert_int_equal(layers[1].attention.n_kv_heads, 4);
    assert_int_equal(spec.most.n_kv_heads, 4);
    assert_int_equal(spec.most.k_columns, 32);
}

/* Which layers are dense, their tensors say; what the metadata says of them must be the same. */
static void dense_layers(void **state)
{
    (void)state;
    struct tiny_model tiny = tiny_model();
    tiny.n_layers = 3;
    tiny.n_dense = 2;
    tiny.dense_width = 48;
    for (int told = 0; told < 3; told++) {
        start_with(&tiny);
        if (told == 1) builder_add_u32(builder, "qwen2moe.leading_dense_block_count", 2);
        if (told == 2) builder_add_i32s(builder, "qwen2moe.mlp_only_layers", (int32_t[]){1, 0}, 2);
        builder_add_i32s(builder, "qwen2moe.feed_forward_length", (int32_t[]){48, 48, 9}, 3);
        const struct layer_spec *layers = read_spec();
        for (int i = 0; i < 3; i++) {
            const struct ffn_spec *ffn = &layers[i].ffn;
            assert_int_equal(cm_is_dense(ffn), i < 2);
            assert_int_equal(ffn->branches[BANK_ROUTED].width, i < 2 ? 0 : 32);
            assert_int_equal(ffn->branches[BANK_SHARED].width, i < 2 ? 48 : 32);
            assert_int_equal(ffn->router.n_used, i < 2 ? 0 : 2);
        }
        assert_int_equal(cm_dense_layers(&spec), 2);
        assert_int_equal(cm_experts_of_token(&spec), 2);
        assert_ptr_equal(cm_first_router(&spec), &layers[2].ffn.router);
        assert_int_equal(spec.most.n_experts, 4);
        assert_false(cm_is_dense_model(&spec));
    }
}

/* Blocks at the end that predict further tokens are left out. */
static void extra_blocks(void **state)
{
    (void)state;
    builder_add_u32(builder, "qwen2moe.nextn_predict_layers", 1);
    read_spec();
    assert_int_equal(spec.n_layers, 1);
    assert_int_equal(spec.n_blocks, 2);
}

/* One architecture, with experts or without: two families. And each row of the list is found by what it says. */
static void every_family(void **state)
{
    (void)state;
    const struct family *family;
    int n = 0;
    for (int i = 0; (family = cm_family_at(i)) != NULL; i++, n++) {
        struct tiny_model tiny = tiny_model();
        if (family->norms == NORMS_OF_ONE_HALF) continue; /* the tiny model's layers have two: test_recurrent_reader */
        if (family->needs & NEEDS_GATES) continue; /* nor have they gates: goldens are read of these families */
        tiny.architecture = family->architecture;
        tiny.has_head_norms = (family->needs & NEEDS_QK_NORMS) != 0;
        tiny.has_choice_biases = (family->needs & NEEDS_CHOICE_BIASES) != 0;
        if (!family->has_experts) tiny.n_experts = 0;
        start_with(&tiny);
        for (const char *const *key = family->keys; key && *key; key++) {
            char name[128];
            snprintf(name, sizeof name, "%s.%s", family->architecture, *key);
            if (strstr(*key, "scale")) builder_add_f32(builder, name, 2.0f);
            else if (strstr(*key, "group") || strstr(*key, "interleave")) builder_add_u32(builder, name, 1);
            else if (strstr(*key, "finetuned")) builder_add_bool(builder, name, false);
            else if (strcmp(*key, "expert_weights_norm") == 0) builder_add_bool(builder, name, true);
            else if (strcmp(*key, "leading_dense_block_count") == 0) builder_add_u32(builder, name, 0);
            else if (strstr(*key, "softcapping") && strcmp(family->name, "gemma2") == 0)
                builder_add_f32(builder, name, 50.0f);
            else if (strstr(*key, "rank")) builder_add_u32(builder, name, 12); /* others the tiny model has */
        }
        char rotated[128];
        snprintf(rotated, sizeof rotated, "%s.rope.dimension_count", family->architecture);
        if (family->needs & NEEDS_ROTATED) builder_add_u32(builder, rotated, 4);
        const struct layer_spec *layer = read_spec();
        assert_string_equal(spec.family, family->name);
        assert_int_equal(spec.ropes[0].n_rot, family->needs & NEEDS_ROTATED ? 4 : 8);
        assert_int_equal(spec.ropes[0].pairing, family->pairing);
        assert_int_equal(cm_is_dense_model(&spec), !family->has_experts);
        assert_int_equal(layer->ffn.router.score, family->has_experts ? family->score : SCORE_SOFTMAX);
        assert_int_equal(layer->ffn.branches[family->has_experts ? BANK_ROUTED : BANK_SHARED].width, 32);
        assert_int_equal(layer->ffn.branches[BANK_ROUTED].nonlinearity, family->nonlinearity);
        assert_int_equal(layer->norms, family->norms);
        assert_int_equal(layer->attention.has_latents, (family->needs & NEEDS_LATENTS) != 0);
        assert_int_equal(layer->attention.has_sinks, (family->needs & NEEDS_SINKS) != 0);
        assert_int_equal(layer->ffn.router.n_experts, family->has_experts ? 4 : 0);
        assert_int_equal(spec.most.n_experts, family->has_experts ? 4 : 1);
    }
    assert_true(n >= 8);
    assert_null(cm_family_at(-1));
}

/* Layers that see chunks and rotate, and those that do neither; of 128 experts, and where the file has no windows. */
static void chunks(void **state)
{
    (void)state;
    for (int way = 0; way < 3; way++) {
        struct tiny_model tiny = tiny_model();
        tiny.architecture = "llama4";
        tiny.n_layers = 4;
        tiny.n_experts = way == 1 ? 128 : 4;
        start_with(&tiny);
        builder_add_u32(builder, "llama4.interleave_moe_layer_step", 1);
        if (way == 2) builder_add_u32(builder, "llama4.attention.sliding_window", 0);
        const struct layer_spec *layers = read_spec();
        for (int i = 0; i < 4; i++) {
            const struct attention_spec *attention = &layers[i].attention;
            const bool has_chunks = way < 2 && i < 3, rotates = way == 2 || i < 3;
            assert_int_equal(attention->window, has_chunks ? 8192 : 0);
            assert_int_equal(attention->is_chunked, has_chunks);
            assert_int_equal(spec.ropes[attention->rope].is_on, rotates);
            assert_int_equal(attention->has_plain_norms, rotates && way != 1);
            assert_float_equal(attention->temperature, (rotates ? 0.0f : 0.1f), 0.0f);
            assert_int_equal(attention->temperature_length, 8192);
            assert_true(layers[i].ffn.branches[BANK_ROUTED].weighs_input);
            assert_false(layers[i].ffn.branches[BANK_SHARED].weighs_input);
        }
    }
    assert_int_equal(cm_first_attended(0, false, 100), 0);
    assert_int_equal(cm_first_attended(8, false, 7), 0);
    assert_int_equal(cm_first_attended(8, false, 8), 1);
    assert_int_equal(cm_first_attended(8, true, 7), 0);
    assert_int_equal(cm_first_attended(8, true, 8), 8);
    assert_int_equal(cm_first_attended(8, true, 23), 16);
}

/* Who tells positions by slopes on scores, and does not rotate: BLOOM, and of Baichuan's sizes that of 40 heads. */
static void slopes(void **state)
{
    (void)state;
    static const struct { const char *architecture; int n_heads; float max_bias; } cases[] = {
        {"bloom", 4, 8.0f}, {"baichuan", 40, 8.0f}, {"baichuan", 32, 0.0f}, {"llama", 40, 0.0f}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct tiny_model tiny = tiny_model();
        tiny.architecture = cases[i].architecture;
        tiny.n_experts = tiny.shared_width = 0;
        tiny.n_heads = tiny.n_kv_heads = cases[i].n_heads;
        start_with(&tiny);
        assert_float_equal(read_spec()->attention.max_bias, cases[i].max_bias, 0.0f);
        assert_int_equal(spec.ropes[0].is_on, cases[i].max_bias == 0.0f);
        assert_int_equal(spec.centres_norms, i == 0);
        assert_false(spec.has_unit_output);
        if (i == 3) continue;
        char key[64];
        snprintf(key, sizeof key, "%s.attention.max_alibi_bias", cases[i].architecture);
        builder_add_f32(builder, key, 4.0f);
        assert_float_equal(read_spec()->attention.max_bias, 4.0f, 0.0f);
        assert_false(spec.ropes[0].is_on);
    }
}

/* Two sets of rotary factors: which of them, by the context; and the model's own magnitude, where the file has that of
 * a formula. Windows that nothing leaves are none. */
static void two_sets_of_factors(void **state)
{
    (void)state;
    static const struct { int context, window; float told, magnitude; const char *factors; } cases[] = {
        {131072, 131072, 1.1902380714f, 1.243163121f, "rope_factors_long.weight"},
        {4096, 4096, 1.1902380714f, 1.243163121f, "rope_factors_short.weight"},
        {8192, 100, 1.5f, 1.5f, "rope_factors_long.weight"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct tiny_model tiny = tiny_model();
        tiny.architecture = "phimoe";
        tiny.shared_width = 0;
        tiny.context = cases[i].context;
        start_with(&tiny);
        const float ones[4] = {1.0f, 1.0f, 1.0f, 1.0f};
        builder_add_tensor(builder, "rope_factors_long.weight", 0, 1, (uint64_t[]){4}, ones, sizeof ones);
        builder_add_tensor(builder, "rope_factors_short.weight", 0, 1, (uint64_t[]){4}, ones, sizeof ones);
        builder_add_u32(builder, "phimoe.rope.scaling.original_context_length", 4096);
        builder_add_f32(builder, "phimoe.rope.scaling.attn_factor", cases[i].told);
        builder_add_u32(builder, "phimoe.attention.sliding_window", (uint32_t)cases[i].window);
        if (i == 2) builder_add_string(builder, "phimoe.rope.scaling.type", "longrope");
        assert_int_equal(read_spec()->attention.window, i == 2 ? 100 : 0);
        assert_string_equal(spec.ropes[0].factors, cases[i].factors);
        assert_float_equal(spec.ropes[0].magnitude, cases[i].magnitude, 1e-7f);
        assert_int_equal(spec.ropes[0].scaling, ROPE_SCALING_NONE);
    }
}

/* What runs is not told to be missing. */
static void families_that_are_not_run(void **state)
{
    (void)state;
    const struct family *family;
    for (int i = 0; (family = cm_family_at(i)) != NULL; i++) assert_null(cm_family_not_run(family->architecture));
    assert_string_equal(cm_family_not_run("dbrx"), "DBRX");
    assert_null(cm_family_not_run("gemma9"));
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
        TEST(gating_functions),
        TEST(linear_scaling_of_old_files),
        TEST(a_factor_without_a_type),
        TEST(yarn),
        TEST(windows),
        TEST(one_value_for_each_layer),
        TEST(dense_layers),
        TEST(extra_blocks),
        TEST(every_family),
        TEST(chunks),
        TEST(slopes),
        TEST(two_sets_of_factors),
        TEST(families_that_are_not_run),
    };
    return cmocka_run_group_tests_name("spec reader", tests, NULL, NULL);
}
