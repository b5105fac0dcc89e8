/* test_recurrent_reader.c - which layers are recurrent, and their numbers: as tensors and metadata say, and where they
 * disagree. A tiny model gets the tensors by which such a layer is known. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/status.h"
#include "runtime/families/family.h"
#include "tests/support/gguf_builder.h"
#include "tests/support/tiny_model.h"

enum { N_LAYERS = 4 };

static struct gguf_builder *builder;
static struct model_spec    spec;

static int close_all(void **state)
{
    (void)state;
    cm_model_spec_close(&spec);
    builder_close(&builder);
    return 0;
}

static void add_tensor(int layer, const char *role)
{
    const float    nothing[6] = {0};
    const uint64_t n = 6;
    char           name[64];
    snprintf(name, sizeof name, "blk.%d.%s", layer, role);
    builder_add_tensor_f32(builder, name, 1, &n, nothing);
}

/* Layers 0, 1 and 2 are delta nets of 2 key heads and 6 value heads; layer 3 attends. */
static void start(const char *architecture)
{
    struct tiny_model tiny = tiny_model();
    char              rotated[64];
    tiny.architecture = architecture;
    tiny.n_layers = N_LAYERS;
    tiny.has_head_norms = true;
    builder_close(&builder);
    builder = tiny_model_build(&tiny);
    snprintf(rotated, sizeof rotated, "%s.rope.dimension_count", architecture);
    builder_add_u32(builder, rotated, 4);
    for (int layer = 0; layer < N_LAYERS - 1; layer++) add_tensor(layer, layer == 1 ? "ssm_conv1d.weight" : "ssm_a");
}

/* As files have it today. */
static void add_projections(int layer)
{
    add_tensor(layer, "attn_qkv.weight");
    add_tensor(layer, "ssm_beta.weight");
}

static const struct { const char *name; uint32_t value; } numbers[] = {
    {"ssm.conv_kernel", 4}, {"ssm.state_size", 8}, {"ssm.group_count", 2}, {"ssm.time_step_rank", 6},
    {"ssm.inner_size", 72}};
enum { N_NUMBERS = sizeof numbers / sizeof *numbers };

/* All but `without`, which gets the value instead; 0: it is left out. */
static void add_numbers(const char *architecture, const char *without, uint32_t value)
{
    for (int i = 0; i < N_NUMBERS; i++) {
        char key[64];
        const bool is_it = without && strcmp(numbers[i].name, without) == 0;
        snprintf(key, sizeof key, "%s.%s", architecture, numbers[i].name);
        if (!is_it || value > 0) builder_add_u32(builder, key, is_it ? value : numbers[i].value);
    }
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

static void must_read(void)
{
    struct calmoe_context ctx;
    if (read_spec(&ctx) != CALMOE_OK) fail_msg("%s", ctx.message);
}

static void must_refuse(const char *sentence)
{
    struct calmoe_context ctx;
    assert_int_equal(read_spec(&ctx), CALMOE_BAD_FILE);
    if (!strstr(ctx.message, sentence)) fail_msg("'%s' without '%s'", ctx.message, sentence);
}

static void layers_and_numbers(void **state)
{
    (void)state;
    static const char *const architectures[] = {"qwen3next", "qwen35moe"};
    for (int a = 0; a < 2; a++) {
        start(architectures[a]);
        add_numbers(architectures[a], NULL, 0);
        for (int i = 0; i < N_LAYERS - 1; i++) add_projections(i);
        must_read();
        for (int i = 0; i < N_LAYERS - 1; i++) {
            const struct delta_spec *delta = &spec.layers[i].delta;
            assert_int_equal(spec.layers[i].mixer, MIXER_DELTA_NET);
            assert_int_equal(spec.layers[i].attention.n_kv_heads, 0); /* it keeps no keys and values */
            assert_int_equal(delta->n_taps, 4);
            assert_int_equal(delta->n_key_heads, 2);
            assert_int_equal(delta->n_value_heads, 6);
            assert_int_equal(delta->key_size, 8);
            assert_int_equal(delta->value_size, 12);
            assert_int_equal(cm_delta_channels(delta), 2 * 16 + 72);
            assert_int_equal(cm_recurrent_shape(&spec.layers[i]).rows[PRODUCT_INPUT], 2 * 16 + 72);
            assert_int_equal(delta->order, a == 0 ? HEADS_IN_GROUPS : HEADS_IN_TURN);
            assert_false(delta->is_by_head || delta->has_pairs);
        }
        assert_int_equal(spec.layers[3].mixer, MIXER_ATTENTION);
        assert_true(spec.layers[3].attention.has_gate);
        assert_int_equal(spec.most.recurrent_floats, 104 + 2 * 6 + 72 + 2 * 72);
        assert_int_equal(spec.most.q_columns, 2 * 32);
        assert_int_equal(spec.layers[0].norms, NORMS_POST_ATTENTION);
        assert_int_equal(spec.ropes[0].n_rot, 4); /* of heads of the layer that attends */
    }
}

/* What is not there is taken for what early files had, where the family has early ones. */
static void tensors_of_early_files(void **state)
{
    (void)state;
    for (int a = 0; a < 2; a++) {
        const char *architecture = a == 0 ? "qwen3next" : "qwen35moe";
        start(architecture);
        add_numbers(architecture, NULL, 0);
        add_projections(0);
        add_tensor(1, "attn_gate.weight");
        add_tensor(2, "ssm_alpha.weight");
        must_read();
        assert_false(spec.layers[0].delta.is_by_head || spec.layers[0].delta.has_pairs);
        assert_false(spec.layers[1].delta.is_by_head);
        assert_int_equal(spec.layers[1].delta.has_pairs, a == 0);
        assert_int_equal(spec.layers[2].delta.is_by_head, a == 0);
        assert_false(spec.layers[2].delta.has_pairs);
    }
}

static void metadata_that_agrees(void **state)
{
    (void)state;
    static const bool kinds[N_LAYERS + 1] = {true, true, true, false, false};
    start("qwen35moe");
    add_numbers("qwen35moe", NULL, 0);
    builder_add_u32(builder, "qwen35moe.full_attention_interval", 4);
    must_read();
    start("qwen35moe");
    add_numbers("qwen35moe", NULL, 0);
    builder_add_u32(builder, "qwen35moe.full_attention_interval", 2); /* but the list says it better */
    builder_add_array(builder, "qwen35moe.attention.recurrent_layers", META_BOOL, kinds, N_LAYERS + 1);
    must_read();
}

static void metadata_that_does_not(void **state)
{
    (void)state;
    static const bool    kinds[N_LAYERS] = {true, false, true, false};
    static const int32_t numbers_of[N_LAYERS] = {1, 1, 1, 1};
    start("qwen35moe");
    add_numbers("qwen35moe", NULL, 0);
    builder_add_u32(builder, "qwen35moe.full_attention_interval", 3);
    must_refuse("layer 2 has the tensors of a recurrent layer; qwen35moe.full_attention_interval says that it has "
                "those of attention");
    start("qwen35moe");
    add_numbers("qwen35moe", NULL, 0);
    builder_add_array(builder, "qwen35moe.attention.recurrent_layers", META_BOOL, kinds, N_LAYERS);
    must_refuse("layer 1 has the tensors of a recurrent layer; qwen35moe.attention.recurrent_layers says");
    start("qwen35moe");
    add_numbers("qwen35moe", NULL, 0);
    builder_add_i32s(builder, "qwen35moe.attention.recurrent_layers", numbers_of, N_LAYERS);
    must_refuse("layer 3 has the tensors of attention; qwen35moe.attention.recurrent_layers says");
    start("qwen35moe");
    add_numbers("qwen35moe", NULL, 0);
    builder_add_array(builder, "qwen35moe.attention.recurrent_layers", META_BOOL, kinds, N_LAYERS - 1);
    must_refuse("an array of bools, one for each of 4 layers");
}

static void numbers_that_make_no_sense(void **state)
{
    (void)state;
    for (int i = 0; i < N_NUMBERS; i++) {
        start("qwen3next");
        add_numbers("qwen3next", numbers[i].name, 0);
        must_refuse(numbers[i].name);
    }
    start("qwen3next");
    add_numbers("qwen3next", "ssm.time_step_rank", 5);
    must_refuse("ssm.time_step_rank is 5; a multiple of the 2 key heads");
    start("qwen3next");
    add_numbers("qwen3next", "ssm.inner_size", 71);
    must_refuse("ssm.inner_size is 71; 6 value heads of 1 to 1024 elements are wanted");
    start("qwen3next");
    add_numbers("qwen3next", "ssm.conv_kernel", 17);
    must_refuse("ssm.conv_kernel' is 17; wanted 1 to 16");
}

static void some_layer_must_attend(void **state)
{
    (void)state;
    start("qwen3next");
    add_numbers("qwen3next", NULL, 0);
    add_tensor(3, "ssm_a");
    must_refuse("no layer has the tensors of attention");
}

/* ---- layers of other mixers, and of none ---- */

enum { DIM = 32, N_ROWS = 8 };

static void add_key(const char *architecture, const char *name, uint32_t value)
{
    char key[96];
    snprintf(key, sizeof key, "%s.%s", architecture, name);
    builder_add_u32(builder, key, value);
}

static void add_list(const char *architecture, const char *name, const int32_t *values, size_t n)
{
    char key[96];
    snprintf(key, sizeof key, "%s.%s", architecture, name);
    builder_add_i32s(builder, key, values, n);
}

/* A file with a letter for each layer: s and c are recurrent, a attends, f is dense, e has routed experts. */
static void start_bare(const char *architecture, const char *kinds)
{
    static const float rows[DIM * N_ROWS];
    builder_close(&builder);
    builder = builder_open();
    builder_add_string(builder, "general.architecture", architecture);
    add_key(architecture, "block_count", (uint32_t)strlen(kinds));
    add_key(architecture, "embedding_length", DIM);
    add_key(architecture, "attention.head_count", 4);
    char eps[96], base[96];
    snprintf(eps, sizeof eps, "%s.attention.layer_norm_rms_epsilon", architecture);
    snprintf(base, sizeof base, "%s.rope.freq_base", architecture);
    builder_add_f32(builder, eps, 1e-5f);
    builder_add_f32(builder, base, 1e4f);
    builder_add_tensor_f32(builder, "token_embd.weight", 2, (uint64_t[]){DIM, N_ROWS}, rows);
    for (int layer = 0; kinds[layer]; layer++) {
        const char kind = kinds[layer];
        if (kind == 's') add_tensor(layer, "ssm_a");
        if (kind == 'c') add_tensor(layer, "shortconv.conv.weight");
        if (kind == 'f') add_tensor(layer, "ffn_down.weight");
        if (kind == 'a') add_tensor(layer, "attn_output.weight");
        if (kind == 'a') add_tensor(layer, "attn_q_norm.weight");
        if (kind == 'a') add_tensor(layer, "attn_k_norm.weight");
        if (kind == 'e') add_tensor(layer, "ffn_down_exps.weight");
        if (kind == 'e') add_tensor(layer, "exp_probs_b.bias");
        if (kind == 'e') add_tensor(layer, "ffn_down_shexp.weight");
    }
}

static void short_convolutions(void **state)
{
    (void)state;
    start_bare("lfm2", "cac");
    add_list("lfm2", "attention.head_count_kv", (int32_t[]){0, 2, 0}, 3);
    must_refuse("lfm2.shortconv.l_cache");
    start_bare("lfm2", "cac");
    add_list("lfm2", "attention.head_count_kv", (int32_t[]){0, 2, 0}, 3);
    add_key("lfm2", "shortconv.l_cache", 3);
    must_read();
    const struct recurrent_shape shape = cm_recurrent_shape(&spec.layers[2]);
    assert_int_equal(spec.layers[0].mixer, MIXER_SHORTCONV);
    assert_int_equal(spec.layers[1].mixer, MIXER_ATTENTION);
    assert_int_equal(spec.layers[1].attention.n_kv_heads, 2);
    assert_int_equal(shape.n_heads, 0);
    assert_int_equal(shape.n_taps, 3);
    assert_int_equal(shape.n_channels, DIM);
    assert_int_equal(spec.most.recurrent_floats, 5 * DIM);
    static const struct { int32_t kv_heads[3]; const char *sentence; } wrong[] = {
        {{0, 2, 2}, "layer 2 has the tensors of a recurrent layer; lfm2.attention.head_count_kv says that it has those"
                    " of attention"},
        {{0, 0, 0}, "layer 1 has the tensors of attention; lfm2.attention.head_count_kv says that it has those of a"
                    " recurrent layer"}};
    for (int i = 0; i < 2; i++) {
        start_bare("lfm2", "cac");
        add_list("lfm2", "attention.head_count_kv", wrong[i].kv_heads, 3);
        add_key("lfm2", "shortconv.l_cache", 3);
        must_refuse(wrong[i].sentence);
    }
}

static void state_spaces(void **state)
{
    (void)state;
    start_bare("nemotron_h", "safs");
    add_numbers("nemotron_h", NULL, 0);
    must_read();
    const struct mamba2_spec *mamba2 = &spec.layers[3].mamba2;
    const struct recurrent_shape shape = cm_recurrent_shape(&spec.layers[3]);
    assert_int_equal(spec.layers[3].mixer, MIXER_MAMBA2);
    assert_int_equal(mamba2->n_heads, 6);
    assert_int_equal(mamba2->n_groups, 2);
    assert_int_equal(mamba2->state_size, 8);
    assert_int_equal(mamba2->head_size, 12);
    assert_int_equal(shape.n_channels, 72 + 2 * 2 * 8);
    assert_int_equal(shape.rows[PRODUCT_INPUT], shape.n_channels + 6);
    assert_int_equal(shape.rows[PRODUCT_GATE], 72);
    start_bare("nemotron_h", "safs");
    add_numbers("nemotron_h", "ssm.time_step_rank", 5);
    must_refuse("ssm.time_step_rank is 5; a multiple of the 2 key heads");
}

/* Lists: feed_forward_length, attention.head_count_kv; NULL: one number for all. */
static void start_halves(const int32_t *widths, const int32_t *kv_heads)
{
    start_bare("nemotron_h", "sfaf");
    add_numbers("nemotron_h", NULL, 0);
    if (widths) add_list("nemotron_h", "feed_forward_length", widths, 4);
    if (kv_heads) add_list("nemotron_h", "attention.head_count_kv", kv_heads, 4);
}

static void layers_of_one_half(void **state)
{
    (void)state;
    static const enum mixer_kind mixers[] = {MIXER_MAMBA2, MIXER_NONE, MIXER_ATTENTION, MIXER_NONE};
    start_halves((int32_t[]){0, 6, 0, 6}, (int32_t[]){0, 0, 1, 0});
    must_read();
    for (int i = 0; i < 4; i++) {
        assert_int_equal(spec.layers[i].mixer, mixers[i]);
        assert_int_equal(cm_has_ffn(&spec.layers[i].ffn), i % 2);
        assert_int_equal(cm_is_dense(&spec.layers[i].ffn), i % 2);
    }
    assert_false(spec.ropes[0].is_on);
    assert_int_equal(cm_dense_layers(&spec), 2);
    assert_int_equal(cm_routed_layers(&spec), 0);
    start_halves((int32_t[]){6, 6, 0, 6}, NULL);
    must_refuse("layer 0 has the tensors of a mixer; nemotron_h.feed_forward_length says that it is a feed-forward"
                " half");
    start_halves((int32_t[]){0, 6, 0, 0}, NULL);
    must_refuse("layer 3 has the tensors of a feed-forward half; nemotron_h.feed_forward_length says that it is a"
                " mixer");
    start_halves((int32_t[]){0, 5, 0, 6}, NULL);
    must_refuse("feed_forward_length is 5; the tensor 'blk.1.ffn_down.weight' has rows of 6");
    start_halves(NULL, (int32_t[]){0, 1, 1, 0});
    must_refuse("layer 1 has the tensors of no mixer; nemotron_h.attention.head_count_kv says that it has those of"
                " attention");
}

static void experts_in_halves(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        start_bare("nemotron_h_moe", i ? "sfaf" : "seaf");
        add_numbers("nemotron_h_moe", NULL, 0);
        add_key("nemotron_h_moe", "expert_count", 4);
        add_key("nemotron_h_moe", "expert_used_count", 2);
        add_key("nemotron_h_moe", "expert_group_count", 1);
        builder_add_bool(builder, "nemotron_h_moe.expert_weights_norm", true);
        builder_add_f32(builder, "nemotron_h_moe.expert_weights_scale", 2.5f);
        if (i) must_refuse("no layer has a router");
        else must_read();
        if (i) continue;
        assert_true(cm_is_routed(&spec.layers[1].ffn) && !cm_is_dense(&spec.layers[1].ffn));
        assert_int_equal(spec.layers[1].ffn.router.score, SCORE_SIGMOID);
        assert_ptr_equal(cm_first_router(&spec), &spec.layers[1].ffn.router);
        assert_int_equal(cm_routed_layers(&spec), 1);
        assert_int_equal(cm_dense_layers(&spec), 1);
        assert_int_equal(cm_experts_of_token(&spec), 2);
    }
}

#define TEST(test) cmocka_unit_test_teardown(test, close_all)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(layers_and_numbers),   TEST(tensors_of_early_files),      TEST(metadata_that_agrees),
        TEST(metadata_that_does_not), TEST(numbers_that_make_no_sense), TEST(some_layer_must_attend),
        TEST(short_convolutions),   TEST(state_spaces),                TEST(layers_of_one_half),
        TEST(experts_in_halves),
    };
    return cmocka_run_group_tests_name("recurrent reader", tests, NULL, NULL);
}
