/* test_bad_model.c - model files whose container is good and whose content is not: the status and the very sentence
 * that come back. Then weights that are no numbers: those load, and run without harm.
 *
 * The faults are listed in bad_model_list.inc. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "base/status.h"
#include "kernels/half.h"
#include "tests/support/running.h"
#include "tests/support/folder_fixture.h"
#include "tests/support/tiny_model.h"

struct fault {
    const char *name;
    const char *without;
    void (*bend)(struct gguf_builder *builder);
    calmoe_status status;
    const char   *message;
};

/* ---- what the list is made of ---- */

static void add_key_u32(struct gguf_builder *builder, const char *name, uint32_t value)
{
    char key[128];
    snprintf(key, sizeof key, "qwen2moe.%s", name);
    builder_add_u32(builder, key, value);
}

static void add_key_f32(struct gguf_builder *builder, const char *name, float value)
{
    char key[128];
    snprintf(key, sizeof key, "qwen2moe.%s", name);
    builder_add_f32(builder, key, value);
}

static void replace_tensor(struct gguf_builder *builder, const char *name, enum weight_type type, uint64_t ne0,
                           uint64_t ne1, uint64_t ne2)
{
    tiny_replace_tensor(builder, name, type, ne2 > 1 ? 3 : ne1 > 1 ? 2 : 1, (uint64_t[]){ne0, ne1, ne2});
}

static void add_tensor(struct gguf_builder *builder, const char *name, uint64_t ne0, uint64_t ne1)
{
    builder_add_tensor(builder, name, 0, ne1 > 1 ? 2 : 1, (uint64_t[]){ne0, ne1}, NULL, (size_t)(4 * ne0 * ne1));
}

/* A layer of routed experts becomes one with a dense block, 32 wide, of zeros. */
static void make_dense(struct gguf_builder *builder, int layer)
{
    static const char *const routed[] = {"ffn_gate_inp",      "ffn_gate_exps", "ffn_up_exps",   "ffn_down_exps",
                                         "ffn_gate_inp_shexp", "ffn_gate_shexp", "ffn_up_shexp", "ffn_down_shexp"};
    static const char *const dense[] = {"ffn_gate", "ffn_up", "ffn_down"};
    char name[64];
    for (size_t i = 0; i < sizeof routed / sizeof *routed; i++) {
        snprintf(name, sizeof name, "blk.%d.%s.weight", layer, routed[i]);
        tiny_drop_tensor(builder, name);
    }
    for (size_t i = 0; i < sizeof dense / sizeof *dense; i++) {
        snprintf(name, sizeof name, "blk.%d.%s.weight", layer, dense[i]);
        add_tensor(builder, name, 32, 32);
    }
}

#define key_u32(name, value)              add_key_u32(builder, name, value)
#define key_f32(name, value)              add_key_f32(builder, name, value)
#define drop(name)                        tiny_drop_tensor(builder, name)
#define replace(name, type, ne0, ne1, ne2) replace_tensor(builder, name, type, ne0, ne1, ne2)
#define add(name, ne0, ne1)               add_tensor(builder, name, ne0, ne1)
#define change_type(name, id)             tiny_tensor(builder, name)->file_id = id

#define FAULT(name, without, status, message, ...) \
    static void name(struct gguf_builder *builder) \
    {                                              \
        (void)builder;                             \
        __VA_ARGS__;                               \
    }
#include "tests/bad_input/bad_model_list.inc"
#undef FAULT

static const struct fault faults[] = {
#define FAULT(name, without, status, message, ...) {#name, without, name, CALMOE_##status, message},
#include "tests/bad_input/bad_model_list.inc"
#undef FAULT
};

enum { N_FAULTS = sizeof faults / sizeof *faults };

/* ---- faults ---- */


/* Faults named gpt_oss_… are of a model of that family. */
static struct tiny_model model_of(const struct fault *fault)
{
    struct tiny_model tiny = tiny_model();
    tiny.without = fault->without;
    if (strncmp(fault->name, "gpt_oss_", 8) == 0) tiny.architecture = "gpt-oss";
    return tiny;
}

static const char *write_model(const struct tiny_model *tiny, void (*bend)(struct gguf_builder *builder))
{
    struct gguf_builder *builder = tiny_model_build(tiny);
    if (bend) bend(builder);
    const char *path = temp_file(folder, "m.gguf");
    builder_write(builder, path);
    builder_close(&builder);
    return path;
}

/* True when the answer was the wanted one; else says what it was. */
static bool is_told(const struct fault *fault, calmoe_status status, const char *message)
{
    if (status == fault->status && strcmp(message, fault->message) == 0) return true;
    print_error("%s:\n  found  %s: %s\n  wanted %s: %s\n", fault->name, calmoe_status_name(status), message,
                calmoe_status_name(fault->status), fault->message);
    return false;
}

static void each_fault_is_told(void **state)
{
    (void)state;
    int n_wrong = 0;
    for (int i = 0; i < N_FAULTS; i++) {
        const struct tiny_model tiny = model_of(&faults[i]);
        const char *path = write_model(&tiny, faults[i].bend);
        struct calmoe_context context = {.log = NULL};
        calmoe_model *model = NULL;
        const long n_live = cm_live_blocks();
        const calmoe_status status = calmoe_model_open(&context, path, NULL, &model);
        n_wrong += !is_told(&faults[i], status, context.message);
        if (model) calmoe_model_close(&model);
        assert_int_equal(cm_live_blocks(), n_live);
    }
    printf("%d faults\n", N_FAULTS);
    assert_int_equal(n_wrong, 0);
}

/* So that each row fails for its own fault. */
static void the_models_are_good(void **state)
{
    (void)state;
    static const struct fault none[] = {{.name = "none"}, {.name = "gpt_oss_none"}};
    for (int i = 0; i < 2; i++) {
        const struct tiny_model tiny = model_of(&none[i]);
        struct running r = running_open(write_model(&tiny, NULL), NULL, NULL);
        running_close(&r);
    }
}

/* ---- files that are odd, but run ---- */

/* Reads a prompt and generates: whatever the weights are, the tokens are tokens, or the sentence says that there are no
 * numbers to choose by. */
static void run_model(void (*bend)(struct gguf_builder *builder), bool is_wide, const enum weight_type *types,
                      const char *without)
{
    struct tiny_model tiny = is_wide ? tiny_model_wide() : tiny_model();
    tiny.without = without;
    if (is_wide) tiny.n_layers = 1, tiny.n_experts = 3, tiny.n_used = 2;
    static const int32_t prompt[20] = {1, 2, 3, 200, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20};
    calmoe_session_options options;
    calmoe_session_options_init(&options);
    options.ignore_end = 1;
    if (types) memcpy(tiny.types, types, sizeof tiny.types);
    const char *path = write_model(&tiny, bend);
    for (int i = 0; running_isa(i); i++) {
        const calmoe_engine_options engine = running_options(2, running_isa(i));
        struct running r = running_open(path, &engine, &options);
        running_must(r.context, calmoe_session_feed_tokens(r.session, prompt, 20));
        for (int j = 0; j < 5; j++) {
            int32_t token = -7;
            const calmoe_status status = calmoe_session_next(r.session, &token);
            if (status == CALMOE_NOT_FINITE) {
                assert_non_null(strstr(calmoe_context_message(r.context), "are NaN or infinite; it begins in "));
                assert_int_equal(token, -1);
                break;
            }
            running_must(r.context, status);
            assert_in_range(token, 0, (uintmax_t)r.n_vocab - 1);
        }
        running_close(&r);
    }
}

static void fill(struct builder_tensor *tensor, float value)
{
    const uint32_t bits = cm_bits_of_float(value);
    for (size_t i = 0; i + 4 <= tensor->n_bytes; i += 4)
        for (size_t b = 0; b < 4; b++) tensor->bytes[i + b] = (uint8_t)(bits >> (8 * b));
}

static void all_tensors(struct gguf_builder *builder, float value)
{
    for (size_t i = 0; i < builder->n_tensors; i++) fill(&builder->tensors[i], value);
}

static void all_zeros(struct gguf_builder *builder) { all_tensors(builder, 0.0f); }
static void all_nan(struct gguf_builder *builder) { all_tensors(builder, NAN); }
static void all_infinite(struct gguf_builder *builder) { all_tensors(builder, INFINITY); }
static void all_huge(struct gguf_builder *builder) { all_tensors(builder, 3e38f); }
static void all_subnormal(struct gguf_builder *builder) { all_tensors(builder, 0x1p-149f); }
static void nan_router(struct gguf_builder *builder) { fill(tiny_tensor(builder, "blk.0.ffn_gate_inp.weight"), NAN); }
static void infinite_router(struct gguf_builder *builder)
{
    fill(tiny_tensor(builder, "blk.1.ffn_gate_inp.weight"), -INFINITY);
}
static void nan_norm(struct gguf_builder *builder) { fill(tiny_tensor(builder, "blk.0.attn_norm.weight"), NAN); }
static void infinite_keys(struct gguf_builder *builder) { fill(tiny_tensor(builder, "blk.0.attn_k.weight"), INFINITY); }
static void nan_output(struct gguf_builder *builder) { fill(tiny_tensor(builder, "output.weight"), NAN); }
static void nan_embedding(struct gguf_builder *builder) { fill(tiny_tensor(builder, "token_embd.weight"), NAN); }

static void float_weights_that_are_no_numbers(void **state)
{
    (void)state;
    void (*const bends[])(struct gguf_builder *) = {all_zeros,     all_nan,         all_infinite, all_huge,
                                                    all_subnormal, nan_router,      nan_norm,     infinite_keys,
                                                    nan_output,    infinite_router, nan_embedding};
    for (size_t i = 0; i < sizeof bends / sizeof *bends; i++) run_model(bends[i], false, NULL, NULL);
}

/* Every bit of quantized blocks set: scales are NaN, codes at their ends. */
static void set_all_bits(struct gguf_builder *builder)
{
    for (size_t i = 0; i < builder->n_tensors; i++)
        if (builder->tensors[i].file_id != 0) memset(builder->tensors[i].bytes, 0xff, builder->tensors[i].n_bytes);
}

static void clear_all_bits(struct gguf_builder *builder)
{
    for (size_t i = 0; i < builder->n_tensors; i++) memset(builder->tensors[i].bytes, 0, builder->tensors[i].n_bytes);
}

static void quantized_weights_that_are_no_numbers(void **state)
{
    (void)state;
    for (int type = 0; type < WEIGHT_TYPE_COUNT; type++) {
        enum weight_type types[TINY_PART_COUNT];
        for (int part = 0; part < TINY_PART_COUNT; part++) types[part] = (enum weight_type)type;
        run_model(set_all_bits, true, types, NULL);
        run_model(clear_all_bits, true, types, NULL);
    }
}

static void tiny_factors(struct gguf_builder *builder)
{
    add_tensor(builder, "rope_freqs.weight", 4, 1);
    fill(tiny_tensor(builder, "rope_freqs.weight"), 1e-38f);
}

static void tiny_linear_factor(struct gguf_builder *builder)
{
    builder_add_string(builder, "qwen2moe.rope.scaling.type", "linear");
    key_f32("rope.scaling.factor", 1e-38f);
}

/* Logarithms of 1 and of infinity: the ramp has no ends. */
static void yarn_without_ends(struct gguf_builder *builder)
{
    builder_add_string(builder, "qwen2moe.rope.scaling.type", "yarn");
    key_f32("rope.freq_base", 1.0f);
    key_f32("rope.scaling.factor", 1e-30f);
    key_f32("rope.scaling.yarn_beta_fast", 0.0f);
    key_f32("rope.scaling.yarn_beta_slow", 0.0f);
}

static void tiny_clamp(struct gguf_builder *builder) { key_f32("attention.clamp_kqv", 1e-30f); }

static void scales_at_their_ends(struct gguf_builder *builder)
{
    key_f32("embedding_scale", -1e6f);
    key_f32("residual_scale", 1e6f);
    key_f32("logit_scale", 1e-38f);
    key_f32("attention.scale", 1e6f);
    key_f32("expert_weights_scale", 1e6f);
}

static void numbers_that_no_model_has(void **state)
{
    (void)state;
    void (*const bends[])(struct gguf_builder *) = {tiny_factors, tiny_linear_factor, tiny_clamp,
                                                    scales_at_their_ends};
    for (size_t i = 0; i < sizeof bends / sizeof *bends; i++) run_model(bends[i], false, NULL, NULL);
    run_model(yarn_without_ends, false, NULL, "rope.freq_base");
}

/* ---- */

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_models_are_good),
        cmocka_unit_test(each_fault_is_told),
        cmocka_unit_test(float_weights_that_are_no_numbers),
        cmocka_unit_test(quantized_weights_that_are_no_numbers),
        cmocka_unit_test(numbers_that_no_model_has),
    };
    return cmocka_run_group_tests_name("bad models", tests, open_folder, close_folder);
}
