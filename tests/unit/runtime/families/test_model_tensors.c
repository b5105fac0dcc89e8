/* test_model_tensors.c - tensors by role: views of the right bytes for each expert, fused tensors cut where they are
 * joined, and the counts. Faults: tests/bad_input/test_bad_model.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "runtime/families/family.h"
#include "runtime/families/model_tensors.h"
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
        const struct expert_sources expert = cm_expert_sources(&o.tensors.layers[1], BANK_ROUTED, e);
        check_view(&expert.gate, &o, "blk.1.ffn_gate_exps.weight", (size_t)e * 64, 64, 32);
        check_view(&expert.up, &o, "blk.1.ffn_up_exps.weight", (size_t)e * 64, 64, 32);
        check_view(&expert.down, &o, "blk.1.ffn_down_exps.weight", (size_t)e * 32, 32, 64);
    }
    const struct expert_sources shared = cm_expert_sources(&o.tensors.layers[0], BANK_SHARED, 0);
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

/* ---- fused tensors: the same model, its matrices joined, gives the same logits ---- */

static struct builder_bytes joined;

static void join(struct gguf_builder *builder, const char *name, size_t first, size_t n_bytes)
{
    builder_put_bytes(&joined, tiny_tensor(builder, name)->bytes + first, n_bytes);
}

static void add_joined(struct gguf_builder *builder, const char *name, uint32_t n_dims, const uint64_t *shape)
{
    builder_add_tensor(builder, name, 0, n_dims, shape, joined.bytes, joined.n_bytes);
    builder_bytes_close(&joined);
}

static void fuse(struct gguf_builder *builder)
{
    char names[6][64];
    static const char *const roles[6] = {"attn_q", "attn_k", "attn_v", "ffn_gate_exps", "ffn_up_exps", "attn_qkv"};
    for (int layer = 0; layer < 2; layer++) {
        for (int i = 0; i < 6; i++) snprintf(names[i], sizeof names[i], "blk.%d.%s.weight", layer, roles[i]);
        for (int i = 0; i < 3; i++) {
            join(builder, names[i], 0, tiny_tensor(builder, names[i])->n_bytes);
            tiny_drop_tensor(builder, names[i]);
        }
        add_joined(builder, names[5], 2, (uint64_t[]){32, 64});
        const size_t n = 4 * 32 * 32;
        for (size_t expert = 0; expert < 4; expert++)
            for (int i = 3; i < 5; i++) join(builder, names[i], expert * n, n);
        tiny_drop_tensor(builder, names[3]);
        tiny_drop_tensor(builder, names[4]);
        snprintf(names[3], sizeof names[3], "blk.%d.ffn_gate_up_exps.weight", layer);
        add_joined(builder, names[3], 3, (uint64_t[]){32, 64, 4});
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

static void fused_tensors_give_the_same_logits(void **state)
{
    (void)state;
    static float wanted[10 * 317], found[10 * 317];
    const struct tiny_model tiny = tiny_model();
    struct temp_folder *folder = temp_folder_open();
    struct gguf_builder *builder = tiny_model_build(&tiny);
    read_logits(folder, builder, wanted);
    fuse(builder);
    read_logits(folder, builder, found);
    assert_memory_equal(found, wanted, sizeof wanted);
    builder_close(&builder);
    temp_folder_close(&folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_expert_has_its_rows),
        cmocka_unit_test(parameters),
        cmocka_unit_test(fused_tensors_give_the_same_logits),
    };
    return cmocka_run_group_tests_name("model tensors", tests, NULL, NULL);
}
