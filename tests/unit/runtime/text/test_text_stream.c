/* Streaming decode: whole characters only, whatever the tokens' borders; and the UTF-8 underneath. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/text/tokenizer.h"
#include "runtime/text/utf8.h"
#include "tests/support/toy_tokenizer.h"

static struct toy_tokenizer toy;

static struct tokenizer *open_toy(void)
{
    struct tokenizer *tokenizer;
    assert_int_equal(toy_open(NULL, &toy, &tokenizer), CALMOE_OK);
    return tokenizer;
}

/* Puts one byte after another through byte tokens; "|" stands in the result between the puts. */
static void check(const char *bytes, const char *wanted)
{
    toy_spm(&toy);
    struct tokenizer  *tokenizer = open_toy();
    struct text_stream stream = { .started = true };
    char               got[256], out[64];
    size_t             n = 0;
    for (; *bytes; bytes++) {
        char name[16];
        snprintf(name, sizeof name, "<0x%02X>", (unsigned char)*bytes);
        const int n_out = cm_text_stream_put(tokenizer, &stream, toy_id(&toy, name), false, out, sizeof out);
        n += (size_t)snprintf(got + n, sizeof got - n, "%.*s|", n_out, out);
    }
    n += (size_t)snprintf(got + n, sizeof got - n, "%.*s", cm_text_stream_end(&stream, out, sizeof out), out);
    assert_string_equal(got, wanted);
    assert_int_equal(cm_text_stream_end(&stream, out, sizeof out), 0);
    cm_tokenizer_close(&tokenizer);
}

static void characters_come_out_whole(void **state)
{
    (void)state;
    check("ab", "a|b|");
    check("é", "|é|");
    check("中", "||中|");
    check("😶x", "|||😶|x|");
}

static void what_is_no_character_is_replaced(void **state)
{
    (void)state;
    check("\xff", "\ufffd|");
    check("\x80" "a", "\ufffd|a|");
    check("\xc3" "a", "|\ufffda|");
    check("\xe4\xb8" "a", "||\ufffda|");
    check("\xc3\xc3\xa9", "|\ufffd|é|");
    check("\xe0\x80", "|\ufffd\ufffd|");         /* overlong */
    check("\xed\xa0\x80", "|\ufffd\ufffd|\ufffd|"); /* a surrogate */
    check("\xf4\x90", "|\ufffd\ufffd|");         /* above U+10FFFF */
    check("\xf0\x9f\x98", "|||\ufffd");
    check("\xc3", "|\ufffd");
}

static void one_leading_space_is_dropped(void **state)
{
    (void)state;
    toy_spm(&toy);
    struct tokenizer *tokenizer = open_toy();
    char              out[64];
    const int         hello = toy_id(&toy, "▁hello"), spaces = toy_id(&toy, "▁▁"), begin = toy_id(&toy, "<s>");
    struct text_stream stream = { .n_pending = 0 };
    assert_int_equal(cm_text_stream_put(tokenizer, &stream, begin, false, out, sizeof out), 0);
    assert_int_equal(cm_text_stream_put(tokenizer, &stream, hello, false, out, sizeof out), 5);
    assert_memory_equal(out, "hello", 5);
    assert_int_equal(cm_text_stream_put(tokenizer, &stream, hello, false, out, sizeof out), 6);
    assert_memory_equal(out, " hello", 6);
    stream = (struct text_stream){ .n_pending = 0 };
    assert_int_equal(cm_text_stream_put(tokenizer, &stream, spaces, false, out, sizeof out), 1);
    stream = (struct text_stream){ .started = true }; /* goes on with a text */
    assert_int_equal(cm_text_stream_put(tokenizer, &stream, hello, false, out, sizeof out), 6);
    cm_tokenizer_close(&tokenizer);
    toy.add_space = 0;
    tokenizer = open_toy();
    stream = (struct text_stream){ .n_pending = 0 };
    assert_int_equal(cm_text_stream_put(tokenizer, &stream, hello, false, out, sizeof out), 6);
    cm_tokenizer_close(&tokenizer);
}

static void special_tokens_are_shown_on_request(void **state)
{
    (void)state;
    toy_spm(&toy);
    struct tokenizer  *tokenizer = open_toy();
    struct text_stream stream = { .n_pending = 0 };
    char               out[64];
    assert_int_equal(cm_text_stream_put(tokenizer, &stream, 2, false, out, sizeof out), 0);
    assert_int_equal(cm_text_stream_put(tokenizer, &stream, 2, true, out, sizeof out), 4);
    assert_memory_equal(out, "</s>", 4);
    assert_int_equal(cm_text_stream_put(tokenizer, &stream, -5, true, out, sizeof out), 0);
    cm_tokenizer_close(&tokenizer);
}

static void capacity_is_kept(void **state)
{
    (void)state;
    toy_bpe(&toy, "gpt-2");
    struct tokenizer  *tokenizer = open_toy();
    struct text_stream stream = { .n_pending = 0 };
    char               out[8] = "........";
    assert_int_equal(cm_text_stream_put(tokenizer, &stream, toy_id(&toy, "hello"), false, out, 3), 3);
    assert_memory_equal(out, "hel.....", 8);
    cm_tokenizer_close(&tokenizer);
}

static void utf8_is_measured(void **state)
{
    (void)state;
    int n_valid = 0;
    for (uint32_t bits = 0; bits < 0x1000000; bits++) { /* all beginnings of three bytes */
        const char text[3] = { (char)(bits >> 16), (char)(bits >> 8), (char)bits };
        const int  length = cm_utf8_length(text, 3);
        if (length == 3) {
            const uint32_t point = cm_utf8_point(text, 3);
            assert_true(point >= 0x800 && point <= 0xffff && !(point >= 0xd800 && point <= 0xdfff));
            n_valid++;
        }
    }
    assert_int_equal(n_valid, 0x10000 - 0x800 - 0x800);
    assert_int_equal(cm_utf8_length("\xf0\x9f\x98\xb6", 4), 4);
    assert_int_equal(cm_utf8_point("\xf0\x9f\x98\xb6", 4), 0x1f636);
    assert_int_equal(cm_utf8_length("\xf0\x9f\x98", 3), -1);
    assert_int_equal(cm_utf8_length("\xf0\x8f\x98\xb6", 4), 0);
    assert_int_equal(cm_utf8_length("\xf4\x8f\xbf\xbf", 4), 4);
    assert_int_equal(cm_utf8_length("\xf4\x90\x80\x80", 4), 0);
    assert_int_equal(cm_utf8_length("\xc1\x81", 2), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(characters_come_out_whole),
        cmocka_unit_test(what_is_no_character_is_replaced),
        cmocka_unit_test(one_leading_space_is_dropped),
        cmocka_unit_test(special_tokens_are_shown_on_request),
        cmocka_unit_test(capacity_is_kept),
        cmocka_unit_test(utf8_is_measured),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
