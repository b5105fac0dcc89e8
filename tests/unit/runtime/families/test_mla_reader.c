/* test_mla_reader.c - the numbers of latent attention: as the golden models' files say them, where a number and a
 * tensor disagree, and what early files of the family leave unsaid. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/status.h"
#include "runtime/families/family.h"
#include "tests/support/gguf_copy.h"
#include "tests/support/goldens.h"
#include "tests/support/tiny_model.h"

static struct gguf_builder *builder;
static struct model_spec    spec;

static int close_all(void **state)
{
    (void)state;
    cm_model_spec_close(&spec);
    builder_close(&builder);
    return 0;
}

/* A golden model without a key or a tensor. */
static void start(const char *golden, const char *without)
{
    struct calmoe_context ctx = {0};
    struct model_file *file = NULL;
    char path[600];
    if (cm_model_file_open(&ctx, golden_path(path, golden), &file) != CALMOE_OK) fail_msg("%s", ctx.message);
    builder_close(&builder);
    builder = gguf_copy(file, without);
    cm_model_file_close(&file);
}

static calmoe_status read_spec(struct calmoe_context *ctx)
{
    struct model_file *file = NULL;
    size_t n_bytes;
    const uint8_t *bytes = builder_bytes(builder, &n_bytes);
    cm_model_spec_close(&spec);
    *ctx = (struct calmoe_context){0};
    if (cm_model_file_parse(ctx, "m.gguf", bytes, n_bytes, &file) != CALMOE_OK) fail_msg("%s", ctx->message);
    const calmoe_status status = cm_read_model_spec(ctx, file, &spec);
    cm_model_file_close(&file);
    return status;
}

static const struct layer_spec *must_read(void)
{
    struct calmoe_context ctx;
    if (read_spec(&ctx) != CALMOE_OK) fail_msg("%s", ctx.message);
    return spec.layers;
}

static void numbers_of_files(void **state)
{
    (void)state;
    start("deepseek3", NULL);
    const struct layer_spec *layer = &must_read()[spec.n_layers - 1];
    assert_int_equal(layer->mixer, MIXER_MLA);
    assert_false(layer->mla.is_joint);
    assert_int_equal(layer->mla.q_rank, 18);
    assert_int_equal(layer->mla.plain_size, 10);
    assert_int_equal(layer->mla.rope_size, 8);
    assert_int_equal(layer->mla.value_size, 6);
    assert_int_equal(layer->attention.head_size, 16 + 8); /* the latent and what is rotated */
    assert_int_equal(layer->attention.value_size, 16);
    assert_true(layer->attention.has_latents);
    assert_int_equal(spec.ropes[0].n_rot, 8);
    assert_true(spec.ropes[0].keeps_length);
    const double m = 1.0 + 0.1 * log(8.0), scale = m * m / sqrt(18.0); /* its YaRN scales scores, not sines */
    assert_true(fabs((double)layer->attention.scale - scale) < 1e-6);
    start("deepseek2old", NULL);
    layer = must_read();
    assert_true(layer->mla.is_joint);
    assert_int_equal(layer->mla.q_rank, 0);
    assert_int_equal(layer->mla.plain_size, 8);
    assert_int_equal(layer->mla.value_size, 12);
    assert_int_equal(layer->attention.head_size, 24 + 4);
}

/* Queries go to workers in groups of 16 at most, four or more where there are so many heads. */
static void groups_of_heads(void **state)
{
    (void)state;
    static const int n_heads[][2] = {{1, 1}, {2, 2}, {4, 4}, {5, 5}, {16, 4}, {20, 4}, {64, 4}, {128, 8}};
    for (size_t i = 0; i < sizeof n_heads / sizeof *n_heads; i++) {
        start("deepseek2old", "deepseek2.attention.head_count");
        builder_add_u32(builder, "deepseek2.attention.head_count", (uint32_t)n_heads[i][0]);
        assert_int_equal(must_read()->attention.n_kv_heads, n_heads[i][1]);
    }
}

static void numbers_that_disagree(void **state)
{
    (void)state;
    static const struct {
        const char *golden, *key;
        uint32_t    value;
        const char *sentence;
    } rows[] = {
        {"deepseek3", "rope.dimension_count", 18,
         "attention.key_length_mla is 18; more than the 18 dimensions that are rotated are wanted"},
        {"deepseek2old", "rope.dimension_count", 12,
         "attention.key_length is 12; more than the 12 dimensions that are rotated are wanted"},
        {"deepseek3", "attention.q_lora_rank", 17,
         "attention.q_lora_rank is 17; the tensors of layer 0 have 18 (0: no such tensors)"},
        {"deepseek3", "attention.key_length", 25, "'deepseek2.attention.key_length' is 25; wanted 24"},
        {"deepseek3", "attention.value_length", 15, "'deepseek2.attention.value_length' is 15; wanted 16"},
        {"deepseek3", "attention.kv_lora_rank", 0, "'deepseek2.attention.kv_lora_rank' is 0; wanted 1 to 512"},
        {"deepseek3", "attention.value_length_mla", 0, "'deepseek2.attention.value_length_mla' is 0; wanted 1 to 1024"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct calmoe_context ctx;
        char key[80];
        snprintf(key, sizeof key, "deepseek2.%s", rows[i].key);
        start(rows[i].golden, key);
        builder_add_u32(builder, key, rows[i].value);
        assert_int_equal(read_spec(&ctx), CALMOE_BAD_FILE);
        if (!strstr(ctx.message, rows[i].sentence)) fail_msg("'%s' without '%s'", ctx.message, rows[i].sentence);
    }
}

static void layers_of_other_heads(void **state)
{
    (void)state;
    static const int32_t n_heads[] = {8, 8, 8, 4};
    struct calmoe_context ctx;
    start("deepseek3", "deepseek2.attention.head_count");
    builder_add_i32s(builder, "deepseek2.attention.head_count", n_heads, 4);
    assert_int_equal(read_spec(&ctx), CALMOE_UNSUPPORTED);
    if (!strstr(ctx.message, "attention.head_count is 4 in layer 3 and 8 in the first"))
        fail_msg("'%s'", ctx.message);
}

/* ---- what early files leave unsaid ---- */

/* A model of so many experts, without a word on groups; gating: the number in files, 0: not said. */
static void start_early(int n_experts, uint32_t gating, bool has_choice_biases)
{
    struct tiny_model tiny = tiny_model();
    tiny.architecture = "deepseek2";
    tiny.n_experts = n_experts;
    tiny.has_choice_biases = has_choice_biases;
    builder_close(&builder);
    builder = tiny_model_build(&tiny);
    builder_add_u32(builder, "deepseek2.rope.dimension_count", 4);
    builder_add_u32(builder, "deepseek2.attention.kv_lora_rank", 12);
    builder_add_f32(builder, "deepseek2.expert_weights_scale", 1.0f);
    builder_add_bool(builder, "deepseek2.expert_weights_norm", true);
    if (gating > 0) builder_add_u32(builder, "deepseek2.expert_gating_func", gating);
}

static void groups_by_the_number_of_experts(void **state)
{
    (void)state;
    static const struct {
        int              n_experts;
        uint32_t         gating;
        int              n_groups, n_groups_used;
        enum group_score group_score;
    } rows[] = {
        {256, 2, 8, 4, GROUP_TOP2_SUM}, /* V3 */
        {160, 1, 8, 3, GROUP_MAX},      /* V2 */
        {160, 0, 8, 3, GROUP_MAX},
        {64, 1, 1, 1, GROUP_MAX},       /* V2-Lite */
        {64, 2, 1, 1, GROUP_TOP2_SUM},  /* Moonlight */
        {256, 1, 1, 1, GROUP_MAX},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        start_early(rows[i].n_experts, rows[i].gating, false);
        const struct router_spec *router = &must_read()->ffn.router;
        assert_int_equal(router->score, rows[i].gating == 2 ? SCORE_SIGMOID : SCORE_SOFTMAX);
        assert_int_equal(router->n_groups, rows[i].n_groups);
        assert_int_equal(router->n_groups_used, rows[i].n_groups_used);
        assert_int_equal(router->group_score, rows[i].group_score);
    }
}

/* Biases came with sigmoids; a file that has them and does not name its function is not guessed at, but for the one
 * model whose files are known not to. */
static void functions_that_are_not_named(void **state)
{
    (void)state;
    struct calmoe_context ctx;
    start_early(8, 0, true);
    assert_int_equal(read_spec(&ctx), CALMOE_BAD_FILE);
    assert_non_null(strstr(ctx.message, "'deepseek2.expert_gating_func' is missing"));
    start("deepseek3", "deepseek2.expert_weights_norm");
    assert_int_equal(read_spec(&ctx), CALMOE_BAD_FILE);
    assert_non_null(strstr(ctx.message, "'deepseek2.expert_weights_norm' is missing"));

    struct tiny_model flash = tiny_model(); /* 47 blocks, 154880 tokens */
    flash.architecture = "deepseek2";
    flash.n_layers = 47;
    flash.has_choice_biases = true;
    builder_close(&builder);
    builder = tiny_model_build(&flash);
    tiny_replace_tensor(builder, "token_embd.weight", WEIGHT_F16, 2, (uint64_t[]){32, 154880});
    builder_add_u32(builder, "deepseek2.rope.dimension_count", 4);
    builder_add_u32(builder, "deepseek2.attention.kv_lora_rank", 12);
    builder_add_f32(builder, "deepseek2.expert_weights_scale", 1.8f);
    builder_add_bool(builder, "deepseek2.expert_weights_norm", true);
    assert_int_equal(must_read()->ffn.router.score, SCORE_SIGMOID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(numbers_of_files, close_all),
        cmocka_unit_test_teardown(groups_of_heads, close_all),
        cmocka_unit_test_teardown(numbers_that_disagree, close_all),
        cmocka_unit_test_teardown(layers_of_other_heads, close_all),
        cmocka_unit_test_teardown(groups_by_the_number_of_experts, close_all),
        cmocka_unit_test_teardown(functions_that_are_not_named, close_all),
    };
    return cmocka_run_group_tests_name("latent attention's reader", tests, NULL, NULL);
}
