/* Tokenizers end to end, on small vocabularies made by code. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "runtime/text/tokenizer.h"
#include "tests/support/toy_tokenizer.h"

static struct toy_tokenizer toy;

static struct tokenizer *open_toy(void)
{
    struct calmoe_context ctx = { .message = "" };
    struct tokenizer     *tokenizer;
    const calmoe_status   status = toy_open(&ctx, &toy, &tokenizer);
    if (status != CALMOE_OK) print_message("%s\n", ctx.message);
    assert_int_equal(status, CALMOE_OK);
    return tokenizer;
}

/* The tokens of text must be those whose texts, as the file writes them, stand in wanted, with blanks between. */
static void check_bytes(const struct tokenizer *tokenizer, const char *text, size_t n_bytes, unsigned flags,
                        const char *wanted)
{
    struct token_list list = { .n = 0 };
    char              got[1024] = "";
    size_t            n = 0;
    assert_int_equal(cm_tokenize(NULL, tokenizer, text, n_bytes, flags, &list), CALMOE_OK);
    for (int i = 0; i < list.n; i++) {
        assert_in_range(list.ids[i], 0, toy.n_tokens - 1);
        n += (size_t)snprintf(got + n, sizeof got - n, "%s%s", i ? " " : "", toy.tokens[list.ids[i]]);
    }
    assert_string_equal(got, wanted);
    cm_token_list_close(&list);
}

static void check(const struct tokenizer *tokenizer, const char *text, unsigned flags, const char *wanted)
{
    check_bytes(tokenizer, text, strlen(text), flags, wanted);
}

/* ---- byte-level BPE ---- */

static void bytes_are_merged_by_rank(void **state)
{
    (void)state;
    toy_bpe(&toy, "gpt-2");
    struct tokenizer *tokenizer = open_toy();
    assert_string_equal(cm_tokenizer_name(tokenizer), "bpe/gpt-2");
    assert_int_equal(cm_tokenizer_n_tokens(tokenizer), toy.n_tokens);
    check(tokenizer, "", 0, "");
    check(tokenizer, "hello world", 0, "hello Ġworld");
    check(tokenizer, "hell", 0, "hell");
    check(tokenizer, "hel", 0, "he l");
    check(tokenizer, "the band", 0, "the Ġ b and");
    check(tokenizer, "aaa", 0, "aa a");       /* the leftmost pair first */
    check(tokenizer, "aaaaaaa", 0, "aaaa aa a");
    check(tokenizer, "abc", 0, "a bc");       /* "b c" has the lower rank than "a b" */
    check(tokenizer, "123", 0, "123");
    check(tokenizer, "é中", 0, "Ã© ä¸Ń");
    check(tokenizer, "z\n\n\t", 0, "z ĊĊ ĉ");
    cm_tokenizer_close(&tokenizer);
    toy_bpe(&toy, "refact"); /* digits one by one */
    tokenizer = open_toy();
    check(tokenizer, "123 12", 0, "1 2 3 Ġ 1 2");
    cm_tokenizer_close(&tokenizer);
    assert_null(tokenizer);
    cm_tokenizer_close(&tokenizer);
}

static void bytes_that_are_no_text_go_through(void **state)
{
    (void)state;
    toy_bpe(&toy, "qwen2");
    struct tokenizer *tokenizer = open_toy();
    check_bytes(tokenizer, "he\xff\xfe" "llo", 7, 0, "he ÿ þ ll o");
    check_bytes(tokenizer, "\xc3", 1, 0, "Ã");
    check_bytes(tokenizer, "\xc3\xc3\xa9", 3, 0, "Ã Ã©");
    check_bytes(tokenizer, "a\0b", 3, 0, "a Ā b");
    check_bytes(tokenizer, "\xed\xa0\x80", 3, 0, "í ł Ģ"); /* a surrogate */
    cm_tokenizer_close(&tokenizer);
}

static void whole_pieces_may_ignore_merges(void **state)
{
    (void)state;
    toy_bpe(&toy, "llama-bpe");
    toy_add_token(&toy, "qqq", 1); /* no merge makes it */
    toy_add_token(&toy, "<|x|>", 3);
    toy.bos = toy_id(&toy, "<s>");
    struct tokenizer *tokenizer = open_toy();
    check(tokenizer, "qqq qqqq", 0, "qqq Ġ q q q q");
    check(tokenizer, "<|x|>", 0, "< | x | >");
    check(tokenizer, "he", TOKENIZE_ADD_BOS, "<s> he"); /* this row's default */
    assert_true(cm_tokenizer_adds_bos(tokenizer));
    cm_tokenizer_close(&tokenizer);
    for (int i = 0; i < 2; i++) {
        toy.pre = i == 0 ? "glm4" : "kimi-k2";
        tokenizer = open_toy();
        check(tokenizer, "qqq qqqq", 0, "qqq Ġ q q q q");
        cm_tokenizer_close(&tokenizer);
    }
    toy.pre = "dbrx";
    tokenizer = open_toy();
    check(tokenizer, "qqq", 0, "q q q");
    check(tokenizer, "he", TOKENIZE_ADD_BOS, "he");
    cm_tokenizer_close(&tokenizer);
}

static void ids_are_ranks_where_merges_lack(void **state)
{
    (void)state;
    toy_bpe(&toy, "kimi-k2");
    toy.without = "tokenizer.ggml.merges";
    struct tokenizer *tokenizer = open_toy();
    check(tokenizer, "hello world", 0, "hello Ġworld");
    check(tokenizer, "aaaaaaa", 0, "aaaa aa a");
    check(tokenizer, "中é", 0, "ä¸Ń Ã©");
    cm_tokenizer_close(&tokenizer);
}

static void bytes_without_token(void **state)
{
    (void)state;
    toy_bpe(&toy, "gpt-2");
    snprintf(toy.tokens[toy_id(&toy, "ÿ")], TOY_MAX_TEXT, "spare");
    struct tokenizer *tokenizer = open_toy();
    check_bytes(tokenizer, "a\xff" "b", 3, 0, "a b");
    cm_tokenizer_close(&tokenizer);
    toy.unknown = toy_id(&toy, "</s>");
    tokenizer = open_toy();
    check_bytes(tokenizer, "a\xff" "b", 3, 0, "a </s> b");
    cm_tokenizer_close(&tokenizer);
}

/* ---- SPM ---- */

static void characters_are_merged_by_score(void **state)
{
    (void)state;
    toy_spm(&toy);
    struct tokenizer *tokenizer = open_toy();
    assert_string_equal(cm_tokenizer_name(tokenizer), "spm");
    assert_int_equal(cm_tokenizer_bos(tokenizer), 1);
    assert_int_equal(cm_tokenizer_eos(tokenizer), 2);
    check(tokenizer, "", 0, "");
    check(tokenizer, "", TOKENIZE_ADD_BOS, "<s>");
    check(tokenizer, "the", 0, "▁the");
    check(tokenizer, "hello world", TOKENIZE_ADD_BOS, "<s> ▁hello ▁world");
    check(tokenizer, " the", 0, "▁ ▁the");   /* "▁t" has a better score than "▁▁" */
    check(tokenizer, "  ", 0, "▁▁ ▁");
    check(tokenizer, "aaaaa", 0, "▁a aaaa");
    check(tokenizer, "é", 0, "▁ é");
    check(tokenizer, "中", 0, "▁ <0xE4> <0xB8> <0xAD>");
    check_bytes(tokenizer, "\xff" "a", 2, 0, "▁ <0xFF> a");
    check(tokenizer, "<s></s>", 0, "▁ <0x3C> s <0x3E> <0x3C> / s <0x3E>");
    check(tokenizer, "a<0x41>", 0, "▁a <0x3C> <0x30> <0x78> <0x34> <0x31> <0x3E>");
    cm_tokenizer_close(&tokenizer);
}

static void spaces_are_added_as_the_file_says(void **state)
{
    (void)state;
    toy_spm(&toy);
    struct tokenizer *tokenizer = open_toy();
    check(tokenizer, "the<s>the", TOKENIZE_PARSE_SPECIAL, "▁the <s> ▁the");
    check(tokenizer, "the<tool>the", 0, "▁the <tool> ▁the");
    check(tokenizer, "<s> the", TOKENIZE_PARSE_SPECIAL, "<s> ▁ ▁the");
    cm_tokenizer_close(&tokenizer);
    toy.add_space = 0;
    tokenizer = open_toy();
    check(tokenizer, "the<s> the", TOKENIZE_PARSE_SPECIAL, "t he <s> ▁the");
    cm_tokenizer_close(&tokenizer);
}

/* ---- merges of plain texts ---- */

static void characters_are_merged_by_rank(void **state)
{
    (void)state;
    toy_plain_bpe(&toy);
    toy.add_bos = 0;
    struct tokenizer *tokenizer = open_toy();
    assert_string_equal(cm_tokenizer_name(tokenizer), "bpe/gemma4");
    check(tokenizer, "the", 0, "t he");
    check(tokenizer, "hello world", 0, "hello ▁world");
    check(tokenizer, "hello world", TOKENIZE_ADD_BOS, "<s> hello ▁world"); /* whatever the file says */
    check(tokenizer, " the  the", 0, "▁the ▁ ▁the");
    check(tokenizer, "aaaaa", 0, "aaaa a");
    check(tokenizer, "é中", 0, "é <0xE4> <0xB8> <0xAD>");
    check(tokenizer, "a\n\nhe\n\n\n", 0, "a \n\n he <0x0A> <0x0A> <0x0A>"); /* a run is one token or none */
    check_bytes(tokenizer, "\xff" "a", 2, 0, "<0xFF> a");
    check(tokenizer, "he<tool>he", 0, "he <tool> he");
    for (int32_t id = 0; id < cm_tokenizer_n_tokens(tokenizer); id++) {
        const char *text = toy.tokens[id];
        const bool ends = !strcmp(text, "<eos>") || !strcmp(text, "<turn|>") || !strcmp(text, "<|tool_response>");
        assert_int_equal(cm_token_ends_generation(tokenizer, id), ends); /* "</s>" is text there */
    }
    cm_tokenizer_close(&tokenizer);
}

static void missing_byte_tokens_become_unknown(void **state)
{
    (void)state;
    toy_spm(&toy);
    snprintf(toy.tokens[toy_id(&toy, "<0xE4>")], TOY_MAX_TEXT, "spare");
    toy.types[toy_id(&toy, "spare")] = 1;
    struct tokenizer *tokenizer = open_toy();
    check(tokenizer, "中", 0, "▁ <unk> <0xB8> <0xAD>");
    cm_tokenizer_close(&tokenizer);
}

/* ---- special tokens ---- */

static void control_tokens_are_cut_only_where_asked(void **state)
{
    (void)state;
    toy_bpe(&toy, "gpt-2");
    struct tokenizer *tokenizer = open_toy();
    check(tokenizer, "<s>he", 0, "< s > he");
    check(tokenizer, "<s>he", TOKENIZE_PARSE_SPECIAL, "<s> he");
    check(tokenizer, "a<tool>he", 0, "a <tool> he");
    check(tokenizer, "a   b", 0, "a    Ġ b"); /* user-defined: two spaces */
    check(tokenizer, "<s></s><s", TOKENIZE_PARSE_SPECIAL, "<s> </s> < s");
    check(tokenizer, "<|im_start|>user\nhe<|im_end|>", TOKENIZE_PARSE_SPECIAL,
          "<|im_start|> user Ċ he <|im_end|>");
    cm_tokenizer_close(&tokenizer);
}

static void the_longest_special_token_wins(void **state)
{
    (void)state;
    toy_bpe(&toy, "gpt-2");
    toy_add_token(&toy, "<to", 4);
    toy_add_token(&toy, "<tool><tool>", 4);
    struct tokenizer *tokenizer = open_toy();
    check(tokenizer, "<tool><tool><tool><to", 0, "<tool><tool> <tool> <to");
    cm_tokenizer_close(&tokenizer);
}

static void beginning_and_end_are_added(void **state)
{
    (void)state;
    toy_bpe(&toy, "gpt-2");
    toy.bos = toy_id(&toy, "<s>");
    toy.eos = toy_id(&toy, "</s>");
    toy.add_bos = toy.add_eos = 1;
    struct tokenizer *tokenizer = open_toy();
    check(tokenizer, "he", 0, "he");
    check(tokenizer, "he", TOKENIZE_ADD_BOS, "<s> he </s>");
    check(tokenizer, "", TOKENIZE_ADD_BOS, "<s> </s>");
    check(tokenizer, "<s>he", TOKENIZE_ADD_BOS | TOKENIZE_PARSE_SPECIAL, "<s> he </s>"); /* not twice */
    check(tokenizer, "<s><s>", TOKENIZE_PARSE_SPECIAL, "<s> <s>");
    check(tokenizer, "he<s>", TOKENIZE_ADD_BOS | TOKENIZE_PARSE_SPECIAL, "<s> he <s> </s>");
    cm_tokenizer_close(&tokenizer);
    toy.bos = toy.eos = 100000; /* asked for, but no token: token 11 is a comma here */
    tokenizer = open_toy();
    assert_int_equal(cm_tokenizer_bos(tokenizer), -1);
    assert_int_equal(cm_tokenizer_eos(tokenizer), -1);
    assert_false(cm_tokenizer_adds_bos(tokenizer));
    check(tokenizer, "he", TOKENIZE_ADD_BOS, "he");
    cm_tokenizer_close(&tokenizer);
}

static bool ends(const struct tokenizer *tokenizer, const char *text)
{
    return cm_token_ends_generation(tokenizer, cm_tokenizer_find(tokenizer, text));
}

static void generation_ends_where_it_should(void **state)
{
    (void)state;
    toy_bpe(&toy, "gpt-2");
    toy_add_token(&toy, "<EOT>", 1); /* marked normal, but no merge makes it */
    toy.eos = toy_id(&toy, "<|user|>");
    struct tokenizer *tokenizer = open_toy();
    assert_true(ends(tokenizer, "<|user|>"));
    assert_true(ends(tokenizer, "<|im_end|>"));
    assert_true(ends(tokenizer, "<|endoftext|>"));
    assert_true(ends(tokenizer, "<|end|>"));
    assert_true(ends(tokenizer, "<EOT>"));
    assert_false(ends(tokenizer, "<|im_start|>"));
    assert_false(ends(tokenizer, "he"));
    assert_false(cm_token_ends_generation(tokenizer, -1));
    assert_false(cm_token_ends_generation(tokenizer, toy.n_tokens));
    check(tokenizer, "<EOT>", TOKENIZE_PARSE_SPECIAL, "<EOT>");
    cm_tokenizer_close(&tokenizer);

    toy_bpe(&toy, "gpt-2"); /* an ordinary text token that merges make, and harmony's parts of answers */
    toy_add_token(&toy, "_<", 1);
    toy_add_token(&toy, "[E", 1);
    toy_add_token(&toy, "OS", 1);
    toy_add_token(&toy, "OS]", 1);
    const int made = toy_add_token(&toy, "[EOS]", 1);
    snprintf(toy.merges[toy.n_merges++], TOY_MAX_TEXT, "O S");
    snprintf(toy.merges[toy.n_merges++], TOY_MAX_TEXT, "OS ]");
    snprintf(toy.merges[toy.n_merges++], TOY_MAX_TEXT, "[ E");
    snprintf(toy.merges[toy.n_merges++], TOY_MAX_TEXT, "[E OS]");
    toy_add_token(&toy, "<|return|>", 3);
    toy_add_token(&toy, "<|call|>", 3);
    toy_add_token(&toy, "<|channel|>", 3);
    tokenizer = open_toy();
    assert_false(cm_token_ends_generation(tokenizer, made));
    assert_true(ends(tokenizer, "<|return|>"));
    assert_true(ends(tokenizer, "<|call|>"));
    assert_false(ends(tokenizer, "<|end|>"));
    int n;
    assert_memory_equal(cm_token_bytes(tokenizer, cm_tokenizer_find(tokenizer, "<|channel|>"), false, &n),
                        "<|channel|>", 11);
    cm_tokenizer_close(&tokenizer);
}

static void further_endings_are_named_by_keys(void **state)
{
    (void)state;
    toy_bpe(&toy, "gpt-2");
    struct gguf_builder *builder = builder_open();
    struct tokenizer    *tokenizer;
    toy_write(&toy, builder);
    builder_add_u32(builder, "tokenizer.ggml.eot_token_id", (uint32_t)toy_id(&toy, "<|user|>"));
    builder_add_i32s(builder, "tokenizer.ggml.eos_token_ids",
                     (int32_t[]){ toy_id(&toy, "<s>"), toy_id(&toy, "<sop>") }, 2);
    assert_int_equal(toy_open_builder(NULL, builder, &tokenizer), CALMOE_OK);
    assert_true(ends(tokenizer, "<|user|>"));
    assert_true(ends(tokenizer, "<s>"));
    assert_true(ends(tokenizer, "<sop>"));
    assert_false(ends(tokenizer, "<|system|>"));
    cm_tokenizer_close(&tokenizer);
    builder_close(&builder);
}

/* Letters and their accents apart are the tokens of the letters with accents where the model's own tokenizer
 * normalises; special tokens are cut out before. */
static void some_models_compose_characters(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        toy_bpe(&toy, i ? "gpt-2" : "qwen2");
        toy_add_token(&toy, "<e\314\201>", 4);
        struct tokenizer *tokenizer = open_toy();
        check(tokenizer, "\303\251", 0, "\303\203\302\251");
        check(tokenizer, "e\314\201", 0, i ? "e \303\214 \304\243" : "\303\203\302\251");
        check(tokenizer, "<e\314\201>", 0, "<e\314\201>");
        check(tokenizer, "e<s>\314\201", TOKENIZE_PARSE_SPECIAL, "e <s> \303\214 \304\243");
        cm_tokenizer_close(&tokenizer);
    }
}

static void ids_out_of_range_leave_the_usual_tokens(void **state)
{
    (void)state;
    struct tokenizer *tokenizer;
    toy_spm(&toy);
    toy.bos = toy.eos = UINT32_MAX;
    assert_int_equal(toy_open(NULL, &toy, &tokenizer), CALMOE_OK);
    assert_int_equal(cm_tokenizer_bos(tokenizer), 1);
    assert_int_equal(cm_tokenizer_eos(tokenizer), 2);
    assert_true(cm_token_ends_generation(tokenizer, 2));
    check(tokenizer, "he", TOKENIZE_ADD_BOS, "<s> ▁ he");
    cm_tokenizer_close(&tokenizer);

    toy_bpe(&toy, "gpt-2");
    toy.eos = toy.n_tokens;
    struct gguf_builder *builder = builder_open();
    toy_write(&toy, builder);
    builder_add_u32(builder, "tokenizer.ggml.eot_token_id", UINT32_MAX);
    builder_add_i32s(builder, "tokenizer.ggml.eos_token_ids", (int32_t[]){ -1, toy_id(&toy, "<sop>"), 9999 }, 3);
    assert_int_equal(toy_open_builder(NULL, builder, &tokenizer), CALMOE_OK);
    assert_int_equal(cm_tokenizer_eos(tokenizer), -1);
    assert_true(ends(tokenizer, "<sop>"));
    assert_true(ends(tokenizer, "<|endoftext|>")); /* by its text */
    cm_tokenizer_close(&tokenizer);
    builder_close(&builder);
}

static void unused_tokens_are_not_usable(void **state)
{
    (void)state;
    toy_bpe(&toy, "gpt-2");
    char text[TOY_MAX_TEXT];
    snprintf(text, sizeof text, "[PAD%d]", toy.n_tokens);
    const int wrongly_typed = toy_add_token(&toy, text, 4);
    const int others = toy_add_token(&toy, "[PAD7]", 4); /* not its own number: a real token */
    const int empty = toy_add_token(&toy, "", 1);
    struct tokenizer *tokenizer = open_toy();
    assert_false(cm_token_is_usable(tokenizer, wrongly_typed - 1)); /* the toy's own */
    assert_false(cm_token_is_usable(tokenizer, wrongly_typed));
    assert_true(cm_token_is_usable(tokenizer, others));
    assert_false(cm_token_is_usable(tokenizer, empty));
    assert_true(cm_token_is_usable(tokenizer, 0));
    assert_true(cm_token_is_usable(tokenizer, toy_id(&toy, "<s>")));
    assert_false(cm_token_is_usable(tokenizer, -1));
    assert_false(cm_token_is_usable(tokenizer, toy.n_tokens));
    check(tokenizer, "[PAD7]", 0, "[PAD7]");
    struct token_list list = { .n = 0 };
    assert_int_equal(cm_tokenize(NULL, tokenizer, text, strlen(text), TOKENIZE_PARSE_SPECIAL, &list), CALMOE_OK);
    for (int i = 0; i < list.n; i++) assert_int_not_equal(list.ids[i], wrongly_typed);
    cm_token_list_close(&list);
    cm_tokenizer_close(&tokenizer);
}

static void some_models_swallow_space_behind_special_tokens(void **state)
{
    (void)state;
    toy_bpe(&toy, "gpt-2");
    struct gguf_builder *builder = builder_open();
    struct tokenizer    *tokenizer;
    toy_write(&toy, builder);
    builder_add_string(builder, "general.name", "My PHI-3 tune");
    assert_int_equal(toy_open_builder(NULL, builder, &tokenizer), CALMOE_OK);
    check(tokenizer, "<|user|>\n he<|end|>\n\n", TOKENIZE_PARSE_SPECIAL, "<|user|> he <|end|>");
    check(tokenizer, "<|endoftext|>\nhe", TOKENIZE_PARSE_SPECIAL, "<|endoftext|> Ċ he");
    cm_tokenizer_close(&tokenizer);
    builder_close(&builder);
}

/* ---- texts of tokens ---- */

static void tokens_say_what_they_stand_for(void **state)
{
    (void)state;
    static const struct {
        const char *token, *bytes, *shown;
    } wanted[] = {
        { "Ġworld", " world", " world" }, { "ĊĊ", "\n\n", "\n\n" },   { "ä¸Ń", "中", "中" },
        { "<s>", "", "<s>" },             { "<tool>", "<tool>", "<tool>" }, { "ÿ", "\xff", "\xff" },
    };
    toy_bpe(&toy, "gpt-2");
    struct tokenizer *tokenizer = open_toy();
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        int         n;
        const int   id = toy_id(&toy, wanted[i].token);
        const char *bytes = cm_token_bytes(tokenizer, id, false, &n);
        assert_int_equal(n, strlen(wanted[i].bytes));
        assert_memory_equal(bytes, wanted[i].bytes, (size_t)n);
        bytes = cm_token_bytes(tokenizer, id, true, &n);
        assert_int_equal(n, strlen(wanted[i].shown));
        assert_memory_equal(bytes, wanted[i].shown, (size_t)n);
        assert_int_equal(cm_tokenizer_find(tokenizer, wanted[i].token), id);
    }
    int n = 7;
    assert_non_null(cm_token_bytes(tokenizer, -1, true, &n));
    assert_int_equal(n, 0);
    assert_non_null(cm_token_bytes(tokenizer, INT32_MAX, true, &n));
    assert_int_equal(n, 0);
    assert_int_equal(cm_tokenizer_find(tokenizer, "no such token"), -1);
    cm_tokenizer_close(&tokenizer);
}

static void equal_texts_are_the_last_token(void **state)
{
    (void)state;
    toy_bpe(&toy, "gpt-2");
    const int second = toy_add_token(&toy, "he", 1);
    struct tokenizer *tokenizer = open_toy();
    struct token_list list = { .n = 0 };
    assert_int_equal(cm_tokenize(NULL, tokenizer, "he", 2, 0, &list), CALMOE_OK);
    assert_int_equal(list.n, 1);
    assert_int_equal(list.ids[0], second);
    cm_token_list_close(&list);
    cm_tokenizer_close(&tokenizer);
}

/* ---- memory ---- */

static void failing_memory_leaves_nothing(void **state)
{
    (void)state;
    for (int kind = 0; kind < 2; kind++) {
        kind ? toy_spm(&toy) : toy_bpe(&toy, "qwen2");
        const long    n_live = cm_live_blocks();
        calmoe_status status = CALMOE_NO_MEMORY;
        for (long nth = 1; nth < 500 && status != CALMOE_OK; nth++) {
            struct tokenizer *tokenizer = NULL;
            struct token_list list = { .n = 0 };
            cm_fail_request(nth);
            status = toy_open(NULL, &toy, &tokenizer);
            if (status == CALMOE_OK) status = cm_tokenize(NULL, tokenizer, "hello world", 11, 0, &list);
            cm_fail_request(0);
            assert_true(status == CALMOE_OK || status == CALMOE_NO_MEMORY);
            assert_true(status == CALMOE_OK || list.n == 0);
            cm_token_list_close(&list);
            cm_tokenizer_close(&tokenizer);
            assert_int_equal(cm_live_blocks(), n_live);
        }
        assert_int_equal(status, CALMOE_OK);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_are_merged_by_rank),
        cmocka_unit_test(bytes_that_are_no_text_go_through),
        cmocka_unit_test(whole_pieces_may_ignore_merges),
        cmocka_unit_test(ids_are_ranks_where_merges_lack),
        cmocka_unit_test(bytes_without_token),
        cmocka_unit_test(characters_are_merged_by_score),
        cmocka_unit_test(spaces_are_added_as_the_file_says),
        cmocka_unit_test(characters_are_merged_by_rank),
        cmocka_unit_test(missing_byte_tokens_become_unknown),
        cmocka_unit_test(control_tokens_are_cut_only_where_asked),
        cmocka_unit_test(the_longest_special_token_wins),
        cmocka_unit_test(beginning_and_end_are_added),
        cmocka_unit_test(generation_ends_where_it_should),
        cmocka_unit_test(further_endings_are_named_by_keys),
        cmocka_unit_test(some_models_compose_characters),
        cmocka_unit_test(ids_out_of_range_leave_the_usual_tokens),
        cmocka_unit_test(unused_tokens_are_not_usable),
        cmocka_unit_test(some_models_swallow_space_behind_special_tokens),
        cmocka_unit_test(tokens_say_what_they_stand_for),
        cmocka_unit_test(equal_texts_are_the_last_token),
        cmocka_unit_test(failing_memory_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
