/* test_chat_arguments.c - chat prompts and parsers of answers with arguments that are missing or wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <string.h>

#include <cmocka.h>

#include "tests/support/wrong_calls.h"

static void hear_nothing(void *user, const calmoe_answer_event *event)
{
    (void)user;
    (void)event;
}

static void conversing(void **state)
{
    (void)state;
    calmoe_chat_prompt          *prompt = (calmoe_chat_prompt *)&r;
    calmoe_answer_parser        *parser = (calmoe_answer_parser *)&r;
    calmoe_answer_parser_options options;
    const char                  *text = "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]}";
    size_t                       n = 1;
    GIVES_SILENTLY(calmoe_chat_prompt_open(NULL, r.model, text, strlen(text), NULL, &prompt), UNSUPPORTED);
    assert_null(prompt);
    GIVES(calmoe_chat_prompt_open(r.context, r.model, text, strlen(text), NULL, &prompt), UNSUPPORTED);
    WRONG(calmoe_chat_prompt_open(r.context, NULL, text, strlen(text), NULL, &prompt));
    WRONG(calmoe_chat_prompt_open(r.context, r.model, NULL, 1, NULL, &prompt));
    WRONG(calmoe_chat_prompt_open(r.context, r.model, text, strlen(text), NULL, NULL));
    const calmoe_chat_prompt_options no_size = {0};
    WRONG(calmoe_chat_prompt_open(r.context, r.model, text, strlen(text), &no_size, &prompt));
    assert_string_equal(calmoe_chat_prompt_text(NULL, &n), "");
    assert_int_equal(n, 0);
    assert_null(calmoe_chat_prompt_marks(NULL));
    assert_null(calmoe_chat_prompt_tokens(NULL, &n));
    assert_int_equal(calmoe_chat_prompt_turn_begin(NULL), -1);
    calmoe_chat_prompt_close(NULL);
    calmoe_chat_prompt_close(&prompt);
    calmoe_chat_prompt_options_init(NULL);
    calmoe_answer_parser_options_init(NULL);
    calmoe_answer_parser_options_init(&options);
    WRONG(calmoe_answer_parser_open(r.context, r.model, NULL, &options, &parser));
    assert_null(parser);
    WRONG(calmoe_answer_parser_open(r.context, r.model, NULL, NULL, &parser));
    options.on_event = hear_nothing;
    WRONG(calmoe_answer_parser_open(r.context, NULL, NULL, &options, &parser));
    WRONG(calmoe_answer_parser_open(r.context, r.model, NULL, &options, NULL));
    GIVES_SILENTLY(calmoe_answer_parser_open(r.context, r.model, NULL, &options, &parser), OK);
    WRONG(calmoe_answer_parser_put(parser, NULL, 1, 0));
    GIVES_SILENTLY(calmoe_answer_parser_put(parser, NULL, 0, 0), OK);
    GIVES_SILENTLY(calmoe_answer_parser_put_token(parser, -1), OK); /* a token without a text */
    GIVES_SILENTLY(calmoe_answer_parser_put_token(parser, 1 << 30), OK);
    WRONG_WITHOUT_CONTEXT(calmoe_answer_parser_put(NULL, "a", 1, 0));
    WRONG_WITHOUT_CONTEXT(calmoe_answer_parser_put_token(NULL, 1));
    WRONG_WITHOUT_CONTEXT(calmoe_answer_parser_finish(NULL));
    assert_int_equal(calmoe_answer_parser_in_text(NULL), 0);
    calmoe_answer_parser_close(NULL);
    calmoe_answer_parser_close(&parser);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(conversing),
    };
    return cmocka_run_group_tests_name("arguments of conversations", tests, open_all, close_all);
}
