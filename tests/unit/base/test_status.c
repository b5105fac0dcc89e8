/* Sentences: what arrives in a context, cut, cleaned and free of what its arguments alias. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/status.h"

static void every_code_has_name_and_text(void **state)
{
    (void)state;
#define CHECK(code, words)                                          \
    assert_string_equal(calmoe_status_name(CALMOE_##code), #code); \
    assert_string_equal(calmoe_status_text(CALMOE_##code), words);
    CALMOE_STATUS_LIST(CHECK)
#undef CHECK
    assert_int_equal(CALMOE_OK, 0);
    const int numbers[] = {-1, CALMOE_NOT_FINITE + 1, 1000000};
    for (int at = 0; at < 3; at++) {
        assert_string_equal(calmoe_status_name((calmoe_status)numbers[at]), "UNKNOWN");
        assert_non_null(calmoe_status_text((calmoe_status)numbers[at]));
    }
}

static void writes_the_sentence_and_forwards_the_code(void **state)
{
    (void)state;
    struct calmoe_context ctx = {0};
    assert_int_equal(cm_fail(&ctx, CALMOE_BAD_FILE, "tensor '%.*s' has %d dims", 3, "abcdef", 9),
                     CALMOE_BAD_FILE);
    assert_string_equal(ctx.message, "tensor 'abc' has 9 dims");
    assert_int_equal(cm_fail(NULL, CALMOE_IO, "lost %d", 1), CALMOE_IO);
}

static void arguments_may_be_the_old_message(void **state)
{
    (void)state;
    struct calmoe_context ctx = {0};
    cm_fail(&ctx, CALMOE_IO, "inner");
    cm_fail(&ctx, CALMOE_IO, "outer: %s, %s", ctx.message, ctx.message + 2);
    assert_string_equal(ctx.message, "outer: inner, ner");
    for (int round = 0; round < 300; round++) cm_fail(&ctx, CALMOE_IO, "again %s", ctx.message);
    assert_int_equal(strlen(ctx.message), CM_MESSAGE_BYTES - 1);
}

static void cleans_what_is_not_printable(void **state)
{
    (void)state;
    static const struct {
        const char *given, *arrives;
    } rows[] = {
        {"plain ~ text", "plain ~ text"},
        {"a\nb\tc\x1b[31m\x7f", "a?b?c?[31m?"},
        {"\xc3\xbcx \xe2\x82\xac \xf0\x9f\x98\x80", "\xc3\xbcx \xe2\x82\xac \xf0\x9f\x98\x80"},
        {"\xff\xfe\x80", "???"},
        {"\xc0\xaf|\xe0\x80\xaf|\xf0\x80\x80\xaf", "??|???|????"}, /* overlong         */
        {"\xed\xa0\x80|\xf4\x90\x80\x80|\xf5", "???|????|?"},      /* surrogate, > max */
        {"\xc2\x85|\xc2\xa0", "??|\xc2\xa0"},                      /* C1 control       */
        {"\xc3|\xe2\x82|\xf0\x9f\x98", "?|??|???"},                /* cut short        */
        {"end \xe2\x82", "end ??"},
        {"", ""},
    };
    struct calmoe_context ctx = {0};
    for (size_t row = 0; row < sizeof rows / sizeof rows[0]; row++) {
        cm_fail(&ctx, CALMOE_IO, "%s", rows[row].given);
        assert_string_equal(ctx.message, rows[row].arrives);
    }
}

static void cuts_long_sentences_between_characters(void **state)
{
    (void)state;
    struct calmoe_context ctx = {0};
    char                  text[3 * CM_MESSAGE_BYTES];
    for (size_t shift = 0; shift < 3; shift++) {
        memset(text, 'x', shift);
        for (size_t at = shift; at + 3 < sizeof text; at += 3) memcpy(text + at, "\xe2\x82\xac", 4);
        cm_fail(&ctx, CALMOE_IO, "%s", text);
        const size_t length = strlen(ctx.message);
        assert_true(length < CM_MESSAGE_BYTES && length > CM_MESSAGE_BYTES - 5);
        assert_string_equal(ctx.message + length - 3, "...");
        assert_null(strchr(ctx.message, '?'));
    }
    memset(text, 0x80, sizeof text - 1); /* no character begins anywhere */
    text[sizeof text - 1] = 0;
    cm_fail(&ctx, CALMOE_IO, "%s", text);
    assert_true(strlen(ctx.message) > CM_MESSAGE_BYTES - 8);

    memset(text, 'y', CM_MESSAGE_BYTES - 1); /* fits exactly: not cut */
    text[CM_MESSAGE_BYTES - 1] = 0;
    cm_fail(&ctx, CALMOE_IO, "%s", text);
    assert_string_equal(ctx.message, text);
}

static void keep_log(void *user, const char *sentence)
{
    snprintf(user, 64, "%s", sentence);
}

static void logs_to_the_callback_only(void **state)
{
    (void)state;
    char                  seen[64] = "";
    struct calmoe_context ctx = {.log = keep_log, .log_user = seen, .message = "old"};
    cm_log(&ctx, "node %d\n", 3);
    assert_string_equal(seen, "node 3?");
    assert_string_equal(ctx.message, "old");
    ctx.log = NULL;
    cm_log(&ctx, "dropped");
    cm_log(NULL, "dropped");
    assert_string_equal(seen, "node 3?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_has_name_and_text),
        cmocka_unit_test(writes_the_sentence_and_forwards_the_code),
        cmocka_unit_test(arguments_may_be_the_old_message),
        cmocka_unit_test(cleans_what_is_not_printable),
        cmocka_unit_test(cuts_long_sentences_between_characters),
        cmocka_unit_test(logs_to_the_callback_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
