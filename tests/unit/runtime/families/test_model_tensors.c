/* test_model_tensors.c - tensors by role: views of the right bytes for each expert, biases of the right expert, fused
 * tensors cut where they are joined, and the counts. Faults: tests/bad_input/test_bad_model.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "runtime/families/family.h"
#include "runtime/families/model_tensors.h"
#include "tests/support/gguf_copy.h"
#include "tests/support/running.h"
#include "tests/support/temp_folder.h"
#include "tests/support/tiny_model.h"

struct opened {
    struct model_file         *file;
    struct model_spec    spec;
    struct model_tensors tensors;
};

static struct opened open_tensors(struct gguf_builder *builder)
{
    struct calmoe_context ctx = {0};
    struct opened o = {0};
    size_t n_bytes;
    const uint8_t *bytes = builder_bytes(builder, &n_bytes);
    if (cm_model_file_parse(&ctx, "m.gguf", bytes, n_bytes, &o.file) || cm_read_model_spec(&ctx, o.file, &o.spec))
        fail_msg("%s", ctx.message);
    /* A parsed file has no maps; the views only take the address of one. */
    static struct file_map no_map;
    if (!o.file->maps) o.file->maps = &no_map;
    const calmoe_status status = cm_model_tensors_open(&ctx, o.file, &o.spec, &o.tensors);
    o.file->maps = NULL;
    if (status != CALMOE_OK) fail_msg("%s", ctx.message);
    return o;
}

static void close_tensors(struct opened *o)
{
    cm_model_tensors_close(&o->tensors);
    cm_model_tensors_close(&o->tensors);
    cm_model_spec_close(&o->spec);
    cm_model_spec_close(&o->spec);
    cm_model_file_close(&o->file);
}

static void check_view(const struct weight_source *view, const struct opened *o, const char *name, size_t row,
                       int n_rows, int n_columns)
{
    const struct file_tensor *tensor = cm_file_tensor(o->file, name);
    assert_non_null(tensor);
    assert_int_equal(view->type, tensor->type);
    assert_int_equal(view->n_rows, n_rows);
    assert_int_equal(view->n_columns, n_columns);
    assert_ptr_equal(view->rows, tensor->bytes + row * cm_row_bytes(tensor->type, (size_t)n_columns));
}

static void each_expert_has_its_rows(void **state)
{
    (void)state;
    struct tiny_model tiny = tiny_model();
    tiny.expert_width = 64;
    tiny.types[TINY_DOWN] = WEIGHT_Q8_0;
    struct gguf_builder *builder = tiny_model_build(&tiny);
    struct opened o = open_tensors(builder);
    for (int e = 0; e < 4; e++) {
        const struct expert_sources expert = o.tensors.layers[1].banks[BANK_ROUTED].experts[e];
        check_view(&expert.gate, &o, "blk.1.ffn_gate_exps.weight", (size_t)e * 64, 64, 32);
        check_view(&expert.up, &o, "blk.1.ffn_up_exps.weight", (size_t)e * 64, 64, 32);
        check_view(&expert.down, &o, "blk.1.ffn_down_exps.weight", (size_t)e * 32, 32, 64);
    }
    const struct expert_sources shared = o.tensors.layers[0].banks[BANK_SHARED].experts[0];
    check_view(&shared.gate, &o, "blk.0.ffn_gate_shexp.weight", 0, 32, 32);
    check_view(&shared.down, &o, "blk.0.ffn_down_shexp.weight", 0, 32, 32);
    check_view(&o.tensors.layers[1].k, &o, "blk.1.attn_k.weight", 0, 16, 32);
    check_view(&o.tensors.layers[1].router, &o, "blk.1.ffn_gate_inp.weight", 0, 4, 32);
    check_view(&o.tensors.output, &o, "output.weight", 0, 317, 32);
    assert_false(o.tensors.is_tied);
    close_tensors(&o);
    builder_close(&builder);
}

/* 2 layers of 4 experts of 3 x 32 x 32, of which 2 run. */
static void parameters(void **state)
{
    (void)state;
    struct tiny_model tiny = tiny_model();
    const uint64_t experts = 2 * 4 * 3 * 32 * 32, embedding = 317 * 32;
    for (int is_tied = 0; is_tied < 2; is_tied++) {
        tiny.is_tied = is_tied != 0;
        struct gguf_builder *builder = tiny_model_build(&tiny);
        builder_add_tensor(builder, "v.patch_embd.weight", 0, 1, (uint64_t[]){99}, NULL, 396); /* is not run */
        struct opened o = open_tensors(builder);
        uint64_t n = 0;
        for (size_t i = 0; i + 1 < builder->n_tensors; i++) n += builder->tensors[i].n_bytes / 4;
        assert_int_equal(o.tensors.is_tied, is_tied);
        assert_int_equal(o.tensors.n_parameters, n);
        assert_int_equal(o.tensors.n_active_parameters, n - experts / 2 - (is_tied ? 0 : embedding - 32));
        if (is_tied) assert_ptr_equal(o.tensors.output.rows, o.tensors.embedding.rows);
        close_tensors(&o);
        builder_close(&builder);
    }
}

/* ---- the same model written otherwise gives the same logits ---- */

/* The model with random biases of experts, routed and shared, and of the router. */
static struct gguf_builder *build_biased(void)
{
    static const struct {
        const char *role;
        uint64_t    shape[2];
    } rows[] = {{"ffn_gate_exps", {32, 4}},  {"ffn_up_exps", {32, 4}},  {"ffn_down_exps", {32, 4}},
                {"ffn_gate_shexp", {32, 1}}, {"ffn_up_shexp", {32, 1}}, {"ffn_down_shexp", {32, 1}},
                {"ffn_gate_inp", {4, 1}}};
    const struct tiny_model tiny = tiny_model();
    struct gguf_builder *builder = tiny_model_build(&tiny);
    struct random random = cm_random(8);
    float values[4 * 32];
    char name[64];
    for (int i = 0; i < 2 * 7; i++) {
        const uint64_t *shape = rows[i / 2].shape;
        for (size_t j = 0; j < 4 * 32; j++) values[j] = cm_random_normal(&random);
        snprintf(name, sizeof name, "blk.%d.%s.bias", i % 2, rows[i / 2].role);
        builder_add_tensor(builder, name, 0, shape[1] > 1 ? 2 : 1, shape, values, shape[0] * shape[1] * sizeof *values);
    }
    return builder;
}

static const char *tensor_name(int layer, const char *role, const char *kind)
{
    static char name[64];
    snprintf(name, sizeof name, "blk.%d.%s.%s", layer, role, kind);
    return name;
}

/* Puts a tensor in the place of others: of each of n_parts parts of all of them, first that of the first, and so on. */
static void join(struct gguf_builder *builder, int layer, const char *const *roles, int n_roles, size_t n_parts,
                 const char *kind, const char *joined_role, const uint64_t *shape)
{
    struct builder_bytes bytes = {0};
    for (size_t part = 0; part < n_parts; part++)
        for (int i = 0; i < n_roles; i++) {
            const struct builder_tensor *tensor = tiny_tensor(builder, tensor_name(layer, roles[i], kind));
            const size_t n = tensor->n_bytes / n_parts;
            builder_put_bytes(&bytes, tensor->bytes + part * n, n);
        }
    for (int i = 0; i < n_roles; i++) tiny_drop_tensor(builder, tensor_name(layer, roles[i], kind));
    const uint32_t n_dims = shape[2] > 1 ? 3 : shape[1] > 1 ? 2 : 1;
    builder_add_tensor(builder, tensor_name(layer, joined_role, kind), 0, n_dims, shape, bytes.bytes, bytes.n_bytes);
    builder_bytes_close(&bytes);
}

static void fuse(struct gguf_builder *builder)
{
    static const char *const qkv[] = {"attn_q", "attn_k", "attn_v"}, *const routed[] = {"ffn_gate_exps", "ffn_up_exps"},
                      *const shared[] = {"ffn_gate_shexp", "ffn_up_shexp"};
    for (int layer = 0; layer < 2; layer++) {
        join(builder, layer, qkv, 3, 1, "weight", "attn_qkv", (uint64_t[]){32, 64, 1});
        join(builder, layer, qkv, 3, 1, "bias", "attn_qkv", (uint64_t[]){64, 1, 1});
        join(builder, layer, routed, 2, 4, "weight", "ffn_gate_up_exps", (uint64_t[]){32, 64, 4});
        join(builder, layer, routed, 2, 4, "bias", "ffn_gate_up_exps", (uint64_t[]){64, 4, 1});
        join(builder, layer, shared, 2, 1, "weight", "ffn_gate_up_shexp", (uint64_t[]){32, 64, 1});
        join(builder, layer, shared, 2, 1, "bias", "ffn_gate_up_shexp", (uint64_t[]){64, 1, 1});
    }
}

/* Expert 3 becomes 0, expert 0 becomes 1, and so on. */
static void turn_experts(struct gguf_builder *builder)
{
    static const char *const roles[] = {"ffn_gate_exps", "ffn_up_exps", "ffn_down_exps", "ffn_gate_inp"};
    static uint8_t turned[4 * 32 * 32 * sizeof(float)];
    for (int i = 0; i < 2 * 4 * 2; i++) {
        struct builder_tensor *tensor =
            tiny_tensor(builder, tensor_name(i % 2, roles[i / 4], i / 2 % 2 ? "bias" : "weight"));
        const size_t n = tensor->n_bytes / 4;
        memcpy(turned, tensor->bytes + 3 * n, n);
        memcpy(turned + n, tensor->bytes, 3 * n);
        memcpy(tensor->bytes, turned, 4 * n);
    }
}

/* A tensor for each expert, as in files of 2023. */
static void split_experts(struct gguf_builder *builder)
{
    size_t n_bytes;
    struct model_file *file = NULL;
    const uint8_t *bytes = builder_bytes(builder, &n_bytes);
    running_must(NULL, cm_model_file_parse(NULL, "m.gguf", bytes, n_bytes, &file));
    struct gguf_builder *split = gguf_copy_2023(file), whole = *builder;
    cm_model_file_close(&file);
    *builder = *split;
    *split = whole;
    builder_close(&split);
}

/* The same, with experts 1 and 3 in bf16. All values of experts are such that it loses nothing of them. */
static void split_into_types(struct gguf_builder *builder)
{
    static const char *const roles[] = {"ffn_gate", "ffn_up", "ffn_down"};
    static float values[32 * 32];
    split_experts(builder);
    for (int i = 0; i < 2 * 3 * 2; i++) { /* layer, role, expert */
        const char *name = tensor_name(i % 2, roles[i / 4], i / 2 % 2 ? "3.weight" : "1.weight");
        memcpy(values, tiny_tensor(builder, name)->bytes, sizeof values);
        tiny_drop_tensor(builder, name);
        builder_add_tensor_quantized(builder, name, WEIGHT_BF16, 2, (uint64_t[]){32, 32}, values);
    }
}

/* Clears the lower halves of all numbers of experts' matrices. */
static void round_experts(struct gguf_builder *builder)
{
    for (size_t i = 0; i < builder->n_tensors; i++) {
        const struct builder_tensor *tensor = &builder->tensors[i];
        uint16_t *halves = (uint16_t *)(void *)tensor->bytes;
        for (size_t j = 0; strstr(tensor->name, "_exps.weight") && j < tensor->n_bytes / 2; j += 2) halves[j] = 0;
    }
}

static void read_logits(struct temp_folder *folder, struct gguf_builder *builder, float *logits)
{
    static const int32_t tokens[10] = {5, 6, 7, 8, 200, 300, 11, 12, 13, 14};
    const calmoe_engine_options options = running_options(1, NULL);
    const char *path = temp_file(folder, "m.gguf");
    builder_write(builder, path);
    struct running r = running_open(path, &options, NULL);
    assert_int_equal(r.n_vocab, 317);
    running_read(&r, r.session, tokens, 10, 10, logits);
    running_close(&r);
}

static void the_same_logits(void **state)
{
    void (*const rewrite)(struct gguf_builder *) = *(void (*const *)(struct gguf_builder *))*state;
    static float wanted[10 * 317], found[10 * 317];
    struct temp_folder *folder = temp_folder_open();
    struct gguf_builder *builder = build_biased();
    round_experts(builder);
    read_logits(folder, builder, wanted);
    rewrite(builder);
    read_logits(folder, builder, found);
    assert_memory_equal(found, wanted, sizeof wanted);
    builder_close(&builder);
    temp_folder_close(&folder);
}

/* A bias whose values are others gives other logits. */
static void each_bias_counts(void **state)
{
    (void)state;
    static const char *const roles[] = {"attn_q",       "attn_k",         "attn_v",       "ffn_gate_exps",
                                        "ffn_up_exps",  "ffn_down_exps",  "ffn_gate_inp", "ffn_gate_shexp",
                                        "ffn_up_shexp", "ffn_down_shexp"};
    static float wanted[10 * 317], found[10 * 317];
    uint8_t kept[4 * 32 * sizeof(float)];
    struct temp_folder *folder = temp_folder_open();
    struct gguf_builder *builder = build_biased();
    read_logits(folder, builder, wanted);
    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++) {
        const struct builder_tensor *tensor = tiny_tensor(builder, tensor_name(0, roles[i], "bias"));
        memcpy(kept, tensor->bytes, tensor->n_bytes);
        memset(tensor->bytes, 0, tensor->n_bytes);
        read_logits(folder, builder, found);
        if (memcmp(found, wanted, sizeof wanted) == 0) fail_msg("%s: the same logits without its bias", roles[i]);
        memcpy(tensor->bytes, kept, tensor->n_bytes);
    }
    builder_close(&builder);
    temp_folder_close(&folder);
}

int main(void)
{
    void (*fused)(struct gguf_builder *) = fuse, (*turned)(struct gguf_builder *) = turn_experts,
         (*split)(struct gguf_builder *) = split_experts, (*types)(struct gguf_builder *) = split_into_types;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_expert_has_its_rows),
        cmocka_unit_test(parameters),
        {"fused tensors give the same logits", the_same_logits, NULL, NULL, &fused},
        {"experts in another order give the same logits", the_same_logits, NULL, NULL, &turned},
        {"a tensor for each expert gives the same logits", the_same_logits, NULL, NULL, &split},
        {"and so do experts of several types", the_same_logits, NULL, NULL, &types},
        cmocka_unit_test(each_bias_counts),
    };
    return cmocka_run_group_tests_name("model tensors", tests, NULL, NULL);
}
