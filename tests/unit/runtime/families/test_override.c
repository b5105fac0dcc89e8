/* test_override.c - numbers of a model that are wanted otherwise than its file says: the same logits as of a file that
 * says so, another fingerprint, what is refused, and what is told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/documents/policy_file.h"
#include "runtime/engine/handles.h"
#include "runtime/load/meta_override.h"
#include "tests/support/folder_fixture.h"
#include "tests/support/running.h"
#include "tests/support/tiny_model.h"

enum { N_TOKENS = 12, CONTEXT = 64 };

static char remarks[1024];

static void keep_remark(void *user, const char *sentence)
{
    (void)user;
    snprintf(remarks + strlen(remarks), sizeof remarks - strlen(remarks), "%s\n", sentence);
}

static calmoe_context *open_context(void)
{
    calmoe_context_options options;
    calmoe_context        *context = NULL;
    calmoe_context_options_init(&options);
    options.log = keep_remark;
    remarks[0] = '\0';
    assert_int_equal(calmoe_context_open(&options, &context), CALMOE_OK);
    return context;
}

static calmoe_model_options plain(void)
{
    calmoe_model_options options;
    calmoe_model_options_init(&options);
    return options;
}

/* The tiny model as it is, or with these keys in its file. */
typedef void (*add_keys)(struct gguf_builder *builder);

static void add_base(struct gguf_builder *builder) { builder_add_f32(builder, "qwen2moe.rope.freq_base", 500.0f); }

static const char *write_tiny(const char *name, add_keys add, int n_used)
{
    struct tiny_model tiny = tiny_model();
    const char       *path = temp_file(folder, name);
    tiny.n_used = n_used;
    if (add == add_base) tiny.without = "rope.freq_base";
    struct gguf_builder *builder = tiny_model_build(&tiny);
    if (add) add(builder);
    builder_write(builder, path);
    builder_close(&builder);
    return path;
}

struct result {
    float            *logits; /* (N_TOKENS, n_vocab) */
    size_t            n_bytes;
    calmoe_model_info info;   /* its texts are gone  */
};

static struct result read_with(const char *path, const calmoe_model_options *options)
{
    static const int32_t tokens[N_TOKENS] = {5, 6, 7, 8, 200, 300, 11, 12, 13, 14, 15, 16};
    const calmoe_engine_options engine = running_options(1, NULL);
    struct running r = {.context = open_context()};
    struct result  result = {.info = {.size = sizeof result.info}};
    running_must(r.context, calmoe_model_open(r.context, path, options, &r.model));
    running_must(r.context, calmoe_model_get_info(r.model, &result.info));
    running_must(r.context, calmoe_engine_open(r.model, &engine, &r.engine));
    running_must(r.context, calmoe_session_open(r.engine, NULL, &r.session));
    r.n_vocab = result.info.n_vocab;
    result.n_bytes = N_TOKENS * (size_t)r.n_vocab * sizeof(float);
    result.logits = malloc(result.n_bytes);
    assert_non_null(result.logits);
    running_read(&r, r.session, tokens, N_TOKENS, 5, result.logits);
    running_close(&r);
    return result;
}

static void must_be_like_file(const calmoe_model_options *options, add_keys add, int n_used, int context)
{
    const calmoe_model_options none = plain();
    const struct result plain_one = read_with(write_tiny("plain.gguf", NULL, 2), &none);
    const struct result wanted = read_with(write_tiny("wanted.gguf", add, n_used), &none);
    const struct result found = read_with(temp_file(folder, "plain.gguf"), options);
    assert_memory_equal(found.logits, wanted.logits, wanted.n_bytes);
    assert_memory_not_equal(found.logits, plain_one.logits, plain_one.n_bytes);
    assert_string_not_equal(found.info.fingerprint, plain_one.info.fingerprint);
    assert_int_equal(found.info.n_experts_used, n_used);
    assert_int_equal(found.info.context_length, context);
    free(plain_one.logits);
    free(wanted.logits);
    free(found.logits);
}

static void more_and_fewer_experts(void **state)
{
    (void)state;
    calmoe_model_options options = plain();
    options.n_experts_used = 4;
    must_be_like_file(&options, NULL, 4, CONTEXT);
    assert_non_null(strstr(remarks, "takes 4 of 4 experts in each layer; the model was trained with 2"));
    options.n_experts_used = 1;
    must_be_like_file(&options, NULL, 1, CONTEXT);
    assert_non_null(strstr(remarks, "trained with 2"));
}

/* The file's own number is no other number: no remark, the same fingerprint. */
static void what_the_file_says_changes_nothing(void **state)
{
    (void)state;
    calmoe_model_options options = plain();
    const struct result  before = read_with(write_tiny("plain.gguf", NULL, 2), &options);
    options.n_experts_used = 2;
    const struct result after = read_with(temp_file(folder, "plain.gguf"), &options);
    assert_string_equal(remarks, "");
    assert_string_equal(after.info.fingerprint, before.info.fingerprint);
    free(before.logits);
    free(after.logits);
}

static void add_linear(struct gguf_builder *builder)
{
    builder_add_string(builder, "qwen2moe.rope.scaling.type", "linear");
    builder_add_f32(builder, "qwen2moe.rope.scaling.factor", 4.0f);
}

static void add_yarn(struct gguf_builder *builder)
{
    builder_add_string(builder, "qwen2moe.rope.scaling.type", "yarn");
    builder_add_f32(builder, "qwen2moe.rope.scaling.factor", 4.0f);
    builder_add_u32(builder, "qwen2moe.rope.scaling.original_context_length", 32);
    builder_add_f32(builder, "qwen2moe.rope.scaling.attn_factor", 0.5f);
    builder_add_f32(builder, "qwen2moe.rope.scaling.yarn_beta_fast", 4.0f);
    builder_add_f32(builder, "qwen2moe.rope.scaling.yarn_beta_slow", 0.5f);
}

static void positions_otherwise(void **state)
{
    (void)state;
    calmoe_model_options options = plain();
    options.rope_base = 500.0f;
    must_be_like_file(&options, add_base, 2, CONTEXT);
    options = plain();
    options.rope_scale = 4.0f; /* alone: linear */
    must_be_like_file(&options, add_linear, 2, 4 * CONTEXT);
    options.rope_scaling = "yarn";
    options.yarn_original_context = 32;
    options.yarn_attn_factor = 0.5f;
    options.yarn_beta_fast = 4.0f;
    options.yarn_beta_slow = 0.5f;
    must_be_like_file(&options, add_yarn, 2, 128);
    assert_string_equal(remarks, "");
}

/* A file with scaling, and the model that it was made of. */
static void scaling_taken_away(void **state)
{
    (void)state;
    calmoe_model_options options = plain();
    const struct result  wanted = read_with(write_tiny("plain.gguf", NULL, 2), &options);
    options.rope_scaling = "none";
    const struct result found = read_with(write_tiny("scaled.gguf", add_linear, 2), &options);
    assert_memory_equal(found.logits, wanted.logits, wanted.n_bytes);
    free(wanted.logits);
    free(found.logits);
}

static void what_is_refused(void **state)
{
    (void)state;
    static const struct {
        calmoe_model_options options;
        const char          *words;
    } cases[] = {
        {{.n_experts_used = 5}, "n_experts_used is 5; 1 to 4 of the 4 experts is wanted"},
        {{.n_experts_used = -1}, "n_experts_used is -1"},
        {{.rope_scaling = "ntk"}, "rope_scaling is 'ntk'; none, linear or yarn is wanted"},
        {{.rope_scaling = "yarn"}, "rope_scaling yarn wants rope_scale"},
        {{.rope_scaling = "none", .rope_scale = 2}, "rope_scale is 2, but rope_scaling is none"},
        {{.rope_scale = -2}, "rope_scale is -2"},
        {{.rope_base = 0.5f}, "rope_base is 0.5"},
        {{.yarn_original_context = 32}, "numbers of YaRN are given, but rope_scaling is none"},
        {{.rope_scaling = "linear", .rope_scale = 2, .yarn_beta_fast = 1}, "rope_scaling is linear"},
        {{.rope_scaling = "yarn", .rope_scale = 2, .yarn_original_context = -1}, "yarn_original_context is -1"},
        {{.rope_scaling = "yarn", .rope_scale = 2, .yarn_beta_fast = 0.5f},
         "yarn_beta_fast is 0.5; at least yarn_beta_slow, 1, is wanted"},
        {{.rope_scaling = "yarn", .rope_scale = 2, .yarn_beta_slow = 40}, "yarn_beta_fast is 32; at least"},
        {{.n_experts_used = 1, .vocabulary_only = 1}, "opened without its weights"},
    };
    const char     *path = write_tiny("plain.gguf", NULL, 2);
    calmoe_context *context = open_context();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        calmoe_model        *model = NULL;
        calmoe_model_options options = cases[i].options;
        options.size = sizeof options;
        assert_int_equal(calmoe_model_open(context, path, &options, &model), CALMOE_INVALID_ARGUMENT);
        assert_null(model);
        if (!strstr(calmoe_context_message(context), cases[i].words))
            fail_msg("'%s', '%s' is wanted", calmoe_context_message(context), cases[i].words);
    }
    calmoe_context_close(&context);
}

static void a_dense_model_has_no_experts(void **state)
{
    (void)state;
    struct tiny_model    tiny = tiny_model();
    calmoe_model_options options = plain();
    calmoe_model        *model = NULL;
    calmoe_context      *context = open_context();
    const char          *path = temp_file(folder, "dense.gguf");
    tiny.architecture = "qwen2";
    tiny.n_experts = tiny.shared_width = 0;
    tiny_model_write(&tiny, path);
    options.n_experts_used = 1;
    assert_int_equal(calmoe_model_open(context, path, &options, &model), CALMOE_INVALID_ARGUMENT);
    assert_non_null(strstr(calmoe_context_message(context), "is a dense model"));
    calmoe_context_close(&context);
}

/* A policy of the file as it is proves nothing for other numbers; a plan, which only moves weights, fits. */
static void documents_of_the_plain_file(void **state)
{
    (void)state;
    const char          *path = write_tiny("plain.gguf", NULL, 2);
    calmoe_context      *context = open_context();
    calmoe_model_options options = plain();
    calmoe_model        *model = NULL;
    calmoe_policy       *found = NULL;
    running_must(context, calmoe_model_open(context, path, &options, &model));
    struct policy policy = {.n_layers = 2, .n_rungs = 0};
    memcpy(policy.fingerprint, model->fingerprint, sizeof policy.fingerprint);
    calmoe_model_close(&model);
    char file[600];
    snprintf(file, sizeof file, "%s", temp_file(folder, "policy.json"));
    assert_int_equal(cm_policy_file_write(NULL, file, &policy), CALMOE_OK);
    options.n_experts_used = 3;
    running_must(context, calmoe_model_open(context, temp_file(folder, "plain.gguf"), &options, &model));
    assert_string_equal(model->file_fingerprint, policy.fingerprint);
    assert_int_equal(calmoe_policy_open(model, file, &found), CALMOE_INVALID_ARGUMENT);
    assert_non_null(strstr(calmoe_context_message(context), "opened with other numbers"));
    calmoe_model_close(&model);
    calmoe_context_close(&context);
}

static void a_context_beyond_the_trained_is_told(void **state)
{
    (void)state;
    static const struct { int context; const char *words; } cases[] = {
        {CONTEXT, ""}, {CONTEXT + 1, "65 tokens is longer than the 64"}, {200, "a rope_scale of 4 "}};
    const calmoe_engine_options engine = running_options(1, NULL);
    struct running              r = {.context = open_context()};
    running_must(r.context, calmoe_model_open(r.context, write_tiny("plain.gguf", NULL, 2), NULL, &r.model));
    running_must(r.context, calmoe_engine_open(r.model, &engine, &r.engine));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        calmoe_session_options options;
        calmoe_session_options_init(&options);
        options.context = cases[i].context;
        remarks[0] = '\0';
        running_must(r.context, calmoe_session_open(r.engine, &options, &r.session));
        calmoe_session_close(&r.session);
        if (cases[i].words[0] == '\0') assert_string_equal(remarks, "");
        else assert_non_null(strstr(remarks, cases[i].words));
    }
    running_close(&r);
}

/* ---- the metadata itself ---- */

static void keys_are_replaced_and_added(void **state)
{
    (void)state;
    struct calmoe_context ctx = {0};
    struct gguf_builder  *builder = builder_open();
    struct model_file    *file = NULL;
    size_t                n_bytes;
    builder_add_string(builder, "text", "before");
    builder_add_u64(builder, "number", 7);
    builder_add_i32s(builder, "list", (int32_t[]){1, 2}, 2);
    const uint8_t *bytes = builder_bytes(builder, &n_bytes);
    assert_int_equal(cm_model_file_parse(&ctx, "t.gguf", bytes, n_bytes, &file), CALMOE_OK);
    assert_int_equal(cm_meta_override_int(&ctx, file, "number", 7), CALMOE_OK);
    assert_int_equal(cm_meta_entry(file, "number")->type, META_U64); /* the same: left alone */
    assert_int_equal(cm_meta_override_int(&ctx, file, "number", -3), CALMOE_OK);
    assert_int_equal(cm_meta_override_int(&ctx, file, "list", 1), CALMOE_OK);
    assert_int_equal(cm_meta_override_text(&ctx, file, "text", "after"), CALMOE_OK);
    assert_int_equal(cm_meta_override_text(&ctx, file, "a", ""), CALMOE_OK);
    assert_int_equal(cm_meta_override_float(&ctx, file, "z", 2.5f), CALMOE_OK);
    int64_t            number = 0, list = 0;
    float              z = 0;
    struct meta_string text = {0}, a = {0};
    assert_int_equal(cm_meta_need_int(&ctx, file, "number", -9, 9, &number), CALMOE_OK);
    assert_int_equal(cm_meta_need_int(&ctx, file, "list", 0, 9, &list), CALMOE_OK);
    assert_int_equal(cm_meta_get_float(&ctx, file, "z", 0, 9, &z), CALMOE_OK);
    assert_int_equal(cm_meta_need_string(&ctx, file, "text", &text), CALMOE_OK);
    assert_int_equal(cm_meta_need_string(&ctx, file, "a", &a), CALMOE_OK);
    assert_true(number == -3 && list == 1 && z == 2.5f && a.n_bytes == 0);
    assert_true(text.n_bytes == 5 && memcmp(text.bytes, "after", 5) == 0);
    assert_int_equal(file->n_entries, 5);
    cm_model_file_close(&file);
    builder_close(&builder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(more_and_fewer_experts),
        cmocka_unit_test(what_the_file_says_changes_nothing),
        cmocka_unit_test(positions_otherwise),
        cmocka_unit_test(scaling_taken_away),
        cmocka_unit_test(what_is_refused),
        cmocka_unit_test(a_dense_model_has_no_experts),
        cmocka_unit_test(documents_of_the_plain_file),
        cmocka_unit_test(a_context_beyond_the_trained_is_told),
        cmocka_unit_test(keys_are_replaced_and_added),
    };
    return cmocka_run_group_tests_name("numbers otherwise than the file says", tests, open_folder, close_folder);
}
