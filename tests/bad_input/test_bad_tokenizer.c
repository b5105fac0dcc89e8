/* test_bad_tokenizer.c - tokenizers with one fault each: the status and the very sentence that come back.
 * And files with oddities that published ones have, which open, with the remark that they get. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "runtime/text/tokenizer.h"
#include "tests/support/toy_tokenizer.h"

struct fault {
    const char   *name;
    bool          is_spm;
    calmoe_status status;
    const char   *message; /* for a file that opens: the first remark, NULL = none */
    void (*bend)(struct toy_tokenizer *toy, struct gguf_builder *builder);
};

#define KEY "tokenizer.ggml."

/* ---- faults ---- */

#define BEND(name) static void name(struct toy_tokenizer *toy, struct gguf_builder *builder)

static void drop(struct toy_tokenizer *toy, const char *key)
{
    toy->without = key;
}

BEND(no_model) { (void)builder; toy->model = NULL; }
BEND(other_model) { (void)builder; toy->model = "t5"; toy->without = KEY "merges"; }
BEND(long_model)
{
    (void)builder;
    toy->model = "a model whose name goes on and on and on, far beyond what anybody would want to read in a message";
}
BEND(model_is_number) { toy->model = NULL; builder_add_u32(builder, KEY "model", 1); }
BEND(other_pre) { (void)builder; toy->pre = "falcon"; }
BEND(hostile_pre) { (void)builder; toy->pre = "\x1b[2J%s%n\xff"; }
BEND(pre_is_array) { toy->pre = NULL; builder_add_strings(builder, KEY "pre", NULL, 0); }
BEND(no_tokens) { (void)builder; drop(toy, KEY "tokens"); }
BEND(empty_tokens)
{
    (void)builder;
    toy->n_tokens = 0;
}
BEND(tokens_are_numbers)
{
    drop(toy, KEY "tokens");
    builder_add_i32s(builder, KEY "tokens", toy->types, 4);
}
BEND(tokens_is_string) { drop(toy, KEY "tokens"); builder_add_string(builder, KEY "tokens", "a"); }
BEND(long_token)
{
    static char       text[1026];
    const char *const texts[] = { "a", text };
    memset(text, 'x', sizeof text - 1);
    drop(toy, KEY "tokens");
    builder_add_strings(builder, KEY "tokens", texts, 2);
    toy->n_tokens = 2; /* of types */
}
BEND(few_types)
{
    drop(toy, KEY "token_type");
    builder_add_i32s(builder, KEY "token_type", toy->types, 10);
}
BEND(types_are_strings)
{
    drop(toy, KEY "token_type");
    builder_add_strings(builder, KEY "token_type", (const char *const[]){ "normal" }, 1);
}
BEND(types_are_floats)
{
    drop(toy, KEY "token_type");
    builder_add_f32s(builder, KEY "token_type", toy->scores, (size_t)toy->n_tokens);
}
BEND(unknown_type) { (void)builder; toy->types[5] = 7; }
BEND(negative_type) { (void)builder; toy->types[0] = -1; }
BEND(no_scores) { (void)builder; drop(toy, KEY "scores"); }
BEND(few_scores)
{
    drop(toy, KEY "scores");
    builder_add_f32s(builder, KEY "scores", toy->scores, 3);
}
BEND(scores_are_strings)
{
    drop(toy, KEY "scores");
    builder_add_strings(builder, KEY "scores", (const char *const[]){ "1" }, 1);
}
BEND(score_is_nan) { (void)builder; toy->scores[260] = NAN; }
BEND(bad_byte_name) { (void)builder; snprintf(toy->tokens[4], TOY_MAX_TEXT, "<0xG1>"); }
BEND(short_byte_name) { (void)builder; snprintf(toy->tokens[4], TOY_MAX_TEXT, "<0x1>"); }
BEND(no_bytes_no_unknown)
{
    (void)builder;
    for (int id = 3; id < 3 + 256; id++) {
        snprintf(toy->tokens[id], TOY_MAX_TEXT, "spare%d", id);
        toy->types[id] = 1;
    }
    toy->types[0] = 1;
}
BEND(unknown_out_of_range) { (void)toy; builder_add_i32(builder, KEY "unknown_token_id", -1); }
BEND(no_merges) { (void)builder; drop(toy, KEY "merges"); }
BEND(merges_is_number) { drop(toy, KEY "merges"); builder_add_u32(builder, KEY "merges", 3); }
BEND(merges_are_numbers)
{
    drop(toy, KEY "merges");
    builder_add_i32s(builder, KEY "merges", toy->types, 3);
}
BEND(merge_without_space) { (void)builder; snprintf(toy->merges[2], TOY_MAX_TEXT, "hell"); }
BEND(merge_with_leading_space_only) { (void)builder; snprintf(toy->merges[2], TOY_MAX_TEXT, " hell"); }
BEND(empty_merge) { (void)builder; toy->merges[1][0] = '\0'; }
BEND(bos_out_of_range) { (void)builder; toy->bos = 100000; }
BEND(eos_out_of_range) { (void)builder; toy->eos = toy->n_tokens; }
BEND(eos_is_string) { toy->eos = -1; builder_add_string(builder, KEY "eos_token_id", "</s>"); }
BEND(eot_out_of_range) { (void)toy; builder_add_i64(builder, KEY "eot_token_id", -2); }
BEND(bpe_ids_of_minus_one) { (void)builder; toy->bos = toy->eos = UINT32_MAX; }
BEND(huge_id) { toy->bos = -1; builder_add_u64(builder, KEY "bos_token_id", UINT64_MAX); }
BEND(further_eos_out_of_range)
{
    builder_add_i32s(builder, KEY "eos_token_ids", (int32_t[]){ 3, toy->n_tokens }, 2);
}
BEND(further_eos_are_floats)
{
    builder_add_f32s(builder, KEY "eos_token_ids", toy->scores, 2);
}
BEND(bos_unnamed) { (void)builder; toy->add_bos = 1; }
BEND(eos_unnamed) { (void)builder; toy->add_eos = 1; toy->eos = -1; }
BEND(add_bos_is_number) { toy->add_bos = -1; builder_add_u32(builder, KEY "add_bos_token", 1); }

/* ---- oddities ---- */

BEND(nothing) { (void)toy; (void)builder; }
BEND(twice) { (void)builder; toy_add_token(toy, "he", 1); toy_add_token(toy, "ll", 1); }
BEND(merges_of_unknown)
{
    (void)builder;
    snprintf(toy->merges[toy->n_merges++], TOY_MAX_TEXT, "he nothing");
    snprintf(toy->merges[toy->n_merges++], TOY_MAX_TEXT, "q q");
    snprintf(toy->merges[toy->n_merges++], TOY_MAX_TEXT, "< s>");  /* makes a control token */
    snprintf(toy->merges[toy->n_merges++], TOY_MAX_TEXT, "文 字"); /* no byte alphabet      */
    snprintf(toy->merges[toy->n_merges++], TOY_MAX_TEXT, "h \xff");
    snprintf(toy->merges[toy->n_merges++], TOY_MAX_TEXT, "a ");
}
BEND(default_pre) { (void)builder; toy->pre = NULL; }
BEND(byte_missing) { (void)builder; snprintf(toy->tokens[toy_id(toy, "Ā")], TOY_MAX_TEXT, "spare"); }
BEND(spm_byte_missing)
{
    (void)builder;
    toy->types[3] = toy->types[4] = 1;
    snprintf(toy->tokens[3], TOY_MAX_TEXT, "spare1");
    snprintf(toy->tokens[4], TOY_MAX_TEXT, "spare2");
}
BEND(usual_bos_unnamed) { (void)builder; toy->pre = "llama-bpe"; toy->add_bos = -1; }
BEND(no_types) { (void)builder; drop(toy, KEY "token_type"); }
BEND(empty_token) { (void)builder; toy_add_token(toy, "", 1); }
BEND(undefined_type) { (void)builder; toy->types[40] = 0; }
BEND(byte_type_in_bpe) { (void)builder; toy->types[40] = 6; }
BEND(infinite_score) { (void)builder; toy->scores[0] = -INFINITY; toy->scores[1] = INFINITY; }
BEND(integer_scores)
{
    int32_t scores[TOY_MAX];
    for (int id = 0; id < toy->n_tokens; id++) scores[id] = (int32_t)toy->scores[id];
    drop(toy, KEY "scores");
    builder_add_i32s(builder, KEY "scores", scores, (size_t)toy->n_tokens);
}
BEND(invalid_utf8_token) { (void)builder; toy_add_token(toy, "\xff\xfe\xe2\x96", 1); }

#define BAD(name, is_spm, message) { #name, is_spm, CALMOE_BAD_FILE, "'toy.gguf': " message, name }
#define UNSUPPORTED(name, message) { #name, false, CALMOE_UNSUPPORTED, "'toy.gguf': " message, name }
#define GOOD(name, is_spm, remark) { #name, is_spm, CALMOE_OK, remark, name }
#define ONE_KEY(key) "key '" KEY key "' "

static const struct fault faults[] = {
    BAD(no_model, false, ONE_KEY("model") "is missing; wanted a string"),
    UNSUPPORTED(other_model, "tokenizer model 't5' is not known to this version; 'gpt2', 'llama' and 'gemma4' are"),
    UNSUPPORTED(long_model, "tokenizer model 'a model whose name goes on and on and on, far beyond what anybody "
                            "would want to ' is not known to this version; 'gpt2', 'llama' and 'gemma4' are"),
    BAD(model_is_number, false, ONE_KEY("model") "has type u32; wanted a string"),
    UNSUPPORTED(other_pre, "pre-tokenizer 'falcon' is not known to this version"),
    UNSUPPORTED(hostile_pre, "pre-tokenizer '?[2J%s%n?' is not known to this version"),
    BAD(pre_is_array, false, ONE_KEY("pre") "is an array of string; wanted a string"),
    BAD(no_tokens, false, ONE_KEY("tokens") "is missing; wanted an array of strings"),
    BAD(empty_tokens, false, ONE_KEY("tokens") "has 0 entries; wanted 1 to 16777216"),
    BAD(tokens_are_numbers, false, ONE_KEY("tokens") "is an array of i32; wanted one of strings"),
    BAD(tokens_is_string, false, ONE_KEY("tokens") "has type string; wanted an array of strings"),
    BAD(long_token, false, "token 1 has 1025 bytes; at most 1024 are allowed"),
    BAD(few_types, true, ONE_KEY("token_type") "has 10 entries for 300 tokens"),
    BAD(types_are_strings, false, ONE_KEY("token_type") "is an array of string; wanted one of integers"),
    BAD(types_are_floats, false, ONE_KEY("token_type") "is an array of f32; wanted one of integers"),
    BAD(unknown_type, false, "token 5 has type 7; wanted 1 to 6"),
    BAD(negative_type, true, "token 0 has type -1; wanted 1 to 6"),
    BAD(no_scores, true, ONE_KEY("scores") "is missing; wanted an array of numbers"),
    BAD(few_scores, true, ONE_KEY("scores") "has 3 entries for 300 tokens"),
    BAD(scores_are_strings, true, ONE_KEY("scores") "is an array of string; wanted one of numbers"),
    BAD(score_is_nan, true, "the score of token 260 is not a number"),
    BAD(bad_byte_name, true, "token 4 has type byte, but its text is '<0xG1>'; wanted '<0x00>' to '<0xFF>'"),
    BAD(short_byte_name, true, "token 4 has type byte, but its text is '<0x1>'; wanted '<0x00>' to '<0xFF>'"),
    BAD(no_bytes_no_unknown, true, "237 of 256 bytes have no token, and there is no unknown token to stand for "
                                   "them"),
    BAD(no_merges, false, ONE_KEY("merges") "is missing; wanted an array of strings"),
    BAD(merges_is_number, false, ONE_KEY("merges") "has type u32; wanted an array of strings"),
    BAD(merges_are_numbers, false, ONE_KEY("merges") "is an array of i32; wanted one of strings"),
    BAD(merge_without_space, false, "merge 2 is 'hell'; wanted two texts with a space between"),
    BAD(merge_with_leading_space_only, false, "merge 2 is ' hell'; wanted two texts with a space between"),
    BAD(empty_merge, false, "merge 1 is ''; wanted two texts with a space between"),
    BAD(eos_is_string, true, ONE_KEY("eos_token_id") "has type string; wanted an integer"),
    BAD(further_eos_are_floats, true, ONE_KEY("eos_token_ids") "is an array of f32; wanted one of integers"),
    BAD(bos_unnamed, false, ONE_KEY("bos_token_id") "is missing; 'tokenizer.ggml.add_bos_token' asks for that token"),
    BAD(eos_unnamed, false, ONE_KEY("eos_token_id") "is missing; 'tokenizer.ggml.add_eos_token' asks for that token"),
    BAD(add_bos_is_number, true, ONE_KEY("add_bos_token") "has type u32; wanted a bool"),

    GOOD(nothing, false, NULL),
    GOOD(nothing, true, NULL),
    GOOD(unknown_out_of_range, true, "'toy.gguf': " ONE_KEY("unknown_token_id")
                                     "says token -1, and there are 300; 0 is used in its place"),
    GOOD(bos_out_of_range, true, "'toy.gguf': " ONE_KEY("bos_token_id")
                                 "says token 100000, and there are 300; 1 is used in its place"),
    GOOD(eos_out_of_range, true, "'toy.gguf': " ONE_KEY("eos_token_id")
                                 "says token 300, and there are 300; 2 is used in its place"),
    GOOD(eot_out_of_range, true, "'toy.gguf': " ONE_KEY("eot_token_id")
                                 "says token -2, and there are 300; none is used in its place"),
    GOOD(huge_id, true, "'toy.gguf': " ONE_KEY("bos_token_id")
                        "says token 18446744073709551615, and there are 300; 1 is used in its place"),
    GOOD(further_eos_out_of_range, true, "'toy.gguf': " ONE_KEY("eos_token_ids")
                                         "says token 300, and there are 300; none is used in its place"),
    GOOD(bpe_ids_of_minus_one, false, "'toy.gguf': " ONE_KEY("bos_token_id")
                                      "says token 4294967295, and there are 317; "
                                      "none is used in its place"),
    GOOD(twice, false, "2 tokens have the text of another; the last of each is used"),
    GOOD(merges_of_unknown, false, "'toy.gguf': 6 of 40 merges name or make a text that is no token; they are "
                                   "ignored"),
    GOOD(default_pre, false, "'toy.gguf' does not say which pre-tokenizer it wants; texts may be cut in other "
                             "places than the model is used to"),
    GOOD(byte_missing, false, "'toy.gguf': 1 of 256 bytes have no token; they are left out"),
    GOOD(spm_byte_missing, true, "'toy.gguf': 2 of 256 bytes have no token; the unknown token stands for them"),
    GOOD(usual_bos_unnamed, false, "'toy.gguf' asks for a BOS token before texts and names none; none is added"),
    GOOD(no_types, false, NULL),
    GOOD(no_types, true, NULL),
    GOOD(empty_token, false, NULL),
    GOOD(empty_token, true, NULL),
    GOOD(undefined_type, false, NULL),
    GOOD(byte_type_in_bpe, false, NULL),
    GOOD(infinite_score, true, NULL),
    GOOD(integer_scores, true, NULL),
    GOOD(invalid_utf8_token, false, NULL),
    GOOD(invalid_utf8_token, true, NULL),
};

/* ---- trying them ---- */

static void keep_first(void *user, const char *sentence)
{
    char *remark = user;
    if (!*remark) snprintf(remark, CM_MESSAGE_BYTES, "%s", sentence);
}

/* All that can be asked of an odd tokenizer, with odd ids. */
static void touch(const struct tokenizer *tokenizer)
{
    static const char text[] = "hello\xff 中<s>  [PAD3]\x00 the aaaa";
    for (int32_t id = -1; id <= cm_tokenizer_n_tokens(tokenizer); id++) {
        struct text_stream stream = { .n_pending = 0 };
        char               out[4 * CM_TOKEN_BYTES + 32];
        int                n = cm_text_stream_put(tokenizer, &stream, id, true, out, sizeof out);
        n += cm_text_stream_end(&stream, out + n, (int)sizeof out - n);
        assert_in_range(n, 0, (int)sizeof out);
        (void)cm_token_ends_generation(tokenizer, id);
        (void)cm_token_is_usable(tokenizer, id);
    }
    for (unsigned flags = 0; flags < 4; flags++) {
        struct token_list list = { .n = 0 };
        assert_int_equal(cm_tokenize(NULL, tokenizer, text, sizeof text, flags, &list), CALMOE_OK);
        for (int i = 0; i < list.n; i++)
            assert_in_range(list.ids[i], 0, cm_tokenizer_n_tokens(tokenizer) - 1);
        cm_token_list_close(&list);
    }
}

static void each_fault_has_its_sentence(void **state)
{
    (void)state;
    static struct toy_tokenizer toy;
    int                         n_wrong = 0;
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        const struct fault   *fault = &faults[i];
        struct gguf_builder  *builder = builder_open();
        struct tokenizer     *tokenizer = (void *)&toy;
        char                  remark[CM_MESSAGE_BYTES] = "";
        struct calmoe_context ctx = { .message = "", .log = keep_first, .log_user = remark };
        const long            n_live = cm_live_blocks();
        fault->is_spm ? toy_spm(&toy) : toy_bpe(&toy, "gpt-2");
        fault->bend(&toy, builder);
        toy_write(&toy, builder);
        const calmoe_status status = toy_open_builder(&ctx, builder, &tokenizer);
        const char         *wanted = fault->message ? fault->message : "";
        const char         *got = status == CALMOE_OK ? remark : ctx.message;
        if (status != fault->status || strcmp(got, wanted) != 0) {
            print_message("%s:\n    wanted %s '%s'\n    got    %s '%s'\n", fault->name,
                          calmoe_status_name(fault->status), wanted, calmoe_status_name(status), got);
            n_wrong++;
        }
        if (status != CALMOE_OK) assert_null(tokenizer);
        if (tokenizer) touch(tokenizer);
        cm_tokenizer_close(&tokenizer);
        assert_int_equal(cm_live_blocks(), n_live);
        builder_close(&builder);
    }
    assert_int_equal(n_wrong, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_fault_has_its_sentence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
