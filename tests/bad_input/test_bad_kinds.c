/* test_bad_kinds.c - files that are whole, but are no models that run: each is called what it is, in one sentence, and
 * what it is comes before anything else that could be said of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <calmoe/calmoe.h>

#include "base/memory.h"
#include "tests/support/folder_fixture.h"
#include "tests/support/running.h"
#include "tests/support/tiny_model.h"

static calmoe_context *context;

static void check_told(const char *path, const calmoe_model_options *options, calmoe_status status,
                       const char *sentence)
{
    calmoe_model *model = NULL;
    const long live = cm_live_blocks();
    const calmoe_status found = calmoe_model_open(context, path, options, &model);
    if (found != status || strcmp(calmoe_context_message(context), sentence) != 0)
        fail_msg("found  %s: %s\n  wanted %s: %s", calmoe_status_name(found), calmoe_context_message(context),
                 calmoe_status_name(status), sentence);
    assert_null(model);
    assert_int_equal(cm_live_blocks(), live);
}

/* ---- files that are not GGUF ---- */

static const struct foreign {
    const char   *name;
    const char   *bytes;
    size_t        n_bytes;
    calmoe_status status;
    const char   *sentence; /* after "'NAME' is " */
} foreigners[] = {
#define FOREIGN(name, bytes, status, sentence) {name, bytes, sizeof bytes - 1, CALMOE_##status, sentence}
    FOREIGN("m.gguf", "", BAD_FILE, "an empty file; wanted a GGUF model"),
    FOREIGN("m.gguf", "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n", BAD_FILE,
            "a Git LFS pointer, a text that stands for the model; fetch the model itself with 'git lfs pull'"),
    FOREIGN("m.bin", "PK\3\4\0\0\0\0", UNSUPPORTED,
            "a ZIP archive, as PyTorch checkpoints (.bin, .pt, .pth) are; convert the model to GGUF, or unpack it if "
            "it holds one"),
    FOREIGN("m.pt", "\x80\2\x8a\n", UNSUPPORTED,
            "a Python pickle, as old PyTorch checkpoints (.bin, .pt, .pth) are; convert the model to GGUF"),
    FOREIGN("m.pkl", "\x80\4\x95\0\0", UNSUPPORTED, "a Python pickle; convert the model to GGUF"),
    FOREIGN("m.bin", "tjgg\3\0\0\0", UNSUPPORTED,
            "a model in 'ggjt', a format of 2023 from before GGUF; convert the model to GGUF"),
    FOREIGN("m.bin", "lmgg\0\0\0\0", UNSUPPORTED,
            "a model in 'ggml', a format of 2023 from before GGUF; convert the model to GGUF"),
    FOREIGN("lora.bin", "algg\1\0\0\0", UNSUPPORTED,
            "an adapter (LoRA) in a format of 2023 from before GGUF; give a model"),
    FOREIGN("model.safetensors", "\2\0\0\0\0\0\0\0{}", UNSUPPORTED, "a safetensors file; convert the model to GGUF"),
    FOREIGN("m.gguf", "\n<!DOCTYPE html><html>", BAD_FILE,
            "an HTML page, not a model; it was saved in place of the file that it links to"),
    FOREIGN("m.gguf", "<?xml version='1.0'?><Error>", BAD_FILE,
            "an XML text, not a model; servers answer so when they refuse a file"),
    FOREIGN("config.json", "{\"model_type\": \"x\"}", BAD_FILE,
            "a JSON text, not a model; give the model file that it belongs to"),
    FOREIGN("README.md", "# A model\n", BAD_FILE, "a text, not a model"),
    FOREIGN("m.gguf", "\0\0\0\0\0\0\0\0", BAD_FILE, "full of zeros, as a download that is not finished can be"),
    FOREIGN("m.gguf.gz", "\x1f\x8b\x08\0", BAD_FILE, "compressed by gzip; unpack it"),
    FOREIGN("m.gguf.zst", "\x28\xb5\x2f\xfd\4", BAD_FILE, "compressed by zstd; unpack it"),
    FOREIGN("m.llamafile", "MZqFpD='\n", UNSUPPORTED,
            "a llamafile, a program with a model packed into it; take the GGUF file out with 'unzip'"),
    FOREIGN("calmoe", "\x7f""ELF\2", BAD_FILE, "a program or library, not a model"),
#undef FOREIGN
};

static void files_that_are_not_gguf(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof foreigners / sizeof foreigners[0]; i++) {
        const struct foreign *f = &foreigners[i];
        char sentence[512];
        snprintf(sentence, sizeof sentence, "'%s' is %s", f->name, f->sentence);
        check_told(temp_file_with(folder, f->name, f->bytes, f->n_bytes), NULL, f->status, sentence);
    }
}

/* ---- pieces ---- */

#define IS_PIECE "; by its name it is one of several pieces, which are to be joined (cat) first"

static void files_that_are_cut(void **state)
{
    (void)state;
    const struct tiny_model tiny = tiny_model();
    struct gguf_builder *builder = tiny_model_build(&tiny);
    size_t n_bytes;
    const uint8_t *bytes = builder_bytes(builder, &n_bytes);
    const struct { const char *name, *hint; } names[] = {
        {"m.gguf", ""},
        {"m.gguf.part1of2", IS_PIECE},
        {"m-split-a", IS_PIECE},
        {"m-split-ab", ""},
        {"m.gguf.crdownload", "; by its name it is a download that is not finished"},
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        calmoe_model *model = NULL;
        const char *path = temp_file_with(folder, names[i].name, bytes, n_bytes - 200);
        assert_int_equal(calmoe_model_open(context, path, NULL, &model), CALMOE_BAD_FILE);
        const char *message = calmoe_context_message(context), *end = strstr(message, "but the data section has ");
        assert_non_null(end);
        end += strlen("but the data section has ");
        end += strspn(end, "0123456789");
        assert_string_equal(end, names[i].hint);
    }
    check_told(temp_file_with(folder, "m.gguf.part2of2", "\1\2\3\4\5", 5), NULL, CALMOE_BAD_FILE,
               "'m.gguf.part2of2' is no GGUF file: it begins with the bytes 01 02 03 04, wanted 'GGUF'" IS_PIECE);
    builder_close(&builder);
}

/* ---- GGUF files that hold no model ---- */

static const struct kind {
    const char *key, *value, *sentence;
} kinds[] = {
    {"general.type", "adapter",
     "'k.gguf' is an adapter (LoRA): it changes a model and is none; give it beside the model, as calmoe run --lora "
     "does"},
    {"general.type", "mmproj",
     "'k.gguf' is a projector (mmproj), which reads images or sound for a model; give the language model's file"},
    {"general.architecture", "clip",
     "'k.gguf' is a projector (mmproj), which reads images or sound for a model; give the language model's file"},
    {"general.architecture", "controlvector",
     "'k.gguf' is a control vector: it steers a model and is none; control vectors are not applied by this version"},
    {"general.type", "imatrix", "'k.gguf' is an importance matrix, which quantizers read; give a model"},
};

static const char *write_kind(const struct kind *kind, const char *tensor)
{
    struct gguf_builder *builder = builder_open();
    const char *path = temp_file(folder, "k.gguf");
    if (kind) builder_add_string(builder, kind->key, kind->value);
    builder_add_tensor_f32(builder, tensor, 1, (uint64_t[]){2}, (float[]){1, 2});
    builder_write(builder, path);
    builder_close(&builder);
    return path;
}

static void files_that_hold_no_model(void **state)
{
    (void)state;
    calmoe_model_options vocabulary;
    calmoe_model_options_init(&vocabulary);
    vocabulary.vocabulary_only = 1;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        const char *path = write_kind(&kinds[i], "a.weight");
        check_told(path, NULL, CALMOE_UNSUPPORTED, kinds[i].sentence);
        check_told(path, &vocabulary, CALMOE_UNSUPPORTED, kinds[i].sentence);
    }
    check_told(write_kind(NULL, "blk.0.attn_q.weight.lora_a"), NULL, CALMOE_UNSUPPORTED, kinds[0].sentence);
}

static void a_vocabulary_alone(void **state)
{
    (void)state;
    struct toy_tokenizer toy;
    calmoe_model_options vocabulary;
    calmoe_model *model = NULL;
    calmoe_model_options_init(&vocabulary);
    vocabulary.vocabulary_only = 1;
    struct gguf_builder *builder = builder_open();
    toy_bpe(&toy, "qwen2");
    toy_write(&toy, builder);
    const char *path = temp_file(folder, "v.gguf");
    builder_write(builder, path);
    check_told(path, NULL, CALMOE_UNSUPPORTED, "'v.gguf' holds no weights, only a vocabulary");
    running_must(context, calmoe_model_open(context, path, &vocabulary, &model));
    calmoe_model_close(&model);
    builder_close(&builder);
    builder = builder_open();
    builder_add_string(builder, "general.architecture", "olmoe");
    builder_write(builder, path);
    check_told(path, NULL, CALMOE_UNSUPPORTED, "'v.gguf' holds no weights, only metadata");
    builder_close(&builder);
}

/* Of a file that holds no model, its contents can be looked at; texts cannot be tokenized with it. */
static void contents_of_any_file(void **state)
{
    (void)state;
    calmoe_model_options contents;
    calmoe_model *model = NULL;
    calmoe_model_info info = {.size = sizeof info};
    calmoe_tensor_info tensor = {.size = sizeof tensor};
    calmoe_text_stream stream = {{0}};
    size_t n_tokens;
    char text[512];
    calmoe_model_options_init(&contents);
    contents.contents_only = 1;
    running_must(context, calmoe_model_open(context, write_kind(&kinds[1], "v.blk.0.weight"), &contents, &model));
    running_must(context, calmoe_model_get_info(model, &info));
    assert_string_equal(info.tokenizer, "");
    assert_string_equal(info.family, "");
    running_must(context, calmoe_model_get_tensor(model, 0, &tensor));
    assert_string_equal(tensor.name, "v.blk.0.weight");
    assert_int_equal(calmoe_tokenize(context, model, "a", 1, 0, NULL, 0, &n_tokens), CALMOE_INVALID_ARGUMENT);
    assert_int_equal(calmoe_text_stream_put(model, &stream, 0, text, sizeof text), CALMOE_INVALID_ARGUMENT);
    assert_string_equal(calmoe_token_bytes(model, 0, 1, &n_tokens), "");
    assert_int_equal(calmoe_token_ends(model, 0), 0);
    calmoe_engine *engine = NULL;
    assert_int_equal(calmoe_engine_open(model, NULL, &engine), CALMOE_INVALID_ARGUMENT);
    calmoe_model_close(&model);
}

/* ---- of many faults, the one that matters most ---- */

#define UNKNOWN_FAMILY "general.architecture is 'gemma9' with 8 experts; families that run: "

static void check_begins(const char *path, calmoe_status status, const char *begin)
{
    calmoe_model *model = NULL;
    const calmoe_status found = calmoe_model_open(context, path, NULL, &model);
    if (found != status || strncmp(calmoe_context_message(context), begin, strlen(begin)) != 0)
        fail_msg("'%s' does not begin with '%s'", calmoe_context_message(context), begin);
}

/* The tokenizer's name, of as many letters as that of the file. */
static void rename_tokenizer(struct gguf_builder *builder, const char *name)
{
    for (size_t i = 0; i + 4 <= builder->entries.n_bytes; i++)
        if (memcmp(builder->entries.bytes + i, "gpt2", 4) == 0) memcpy(builder->entries.bytes + i, name, 4);
}

static void the_family_comes_first(void **state)
{
    (void)state;
    const struct { const char *architecture, *model; uint32_t type; const char *begin; } rows[] = {
        {"gemma9", "gpt9", 0, UNKNOWN_FAMILY},
        {"gemma9", "gpt9", 40, UNKNOWN_FAMILY},
        {"qwen2moe", "gpt9", 40, "'f.gguf': tokenizer model 'gpt9' is not known to this version"},
        {"qwen2moe", "gpt2", 40, "tensor 'blk.0.attn_q.weight' has type nvfp4; weights of that type are not read"},
        {"qwen2moe", "gpt2", 137, "tensor 'blk.0.attn_q.weight' has type iq2_k; weights of that type are not read"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct tiny_model tiny = tiny_model_wide();
        tiny.architecture = rows[i].architecture;
        struct gguf_builder *builder = tiny_model_build(&tiny);
        rename_tokenizer(builder, rows[i].model);
        tiny_tensor(builder, "blk.0.attn_q.weight")->file_id = rows[i].type;
        const char *path = temp_file(folder, "f.gguf");
        builder_write(builder, path);
        builder_close(&builder);
        check_begins(path, CALMOE_UNSUPPORTED, rows[i].begin);
    }
}

int main(void)
{
    (void)calmoe_context_open(NULL, &context);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_that_are_not_gguf),  cmocka_unit_test(files_that_are_cut),
        cmocka_unit_test(files_that_hold_no_model), cmocka_unit_test(a_vocabulary_alone),
        cmocka_unit_test(contents_of_any_file),     cmocka_unit_test(the_family_comes_first),
    };
    const int failed = cmocka_run_group_tests_name("bad kinds", tests, open_folder, NULL);
    calmoe_context_close(&context);
    return failed;
}
