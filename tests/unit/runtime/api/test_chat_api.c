/* test_chat_api.c - conversations from end to end through the public API: a prompt, its tokens in a session, and the
 * answer's tokens as events. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "runtime/engine/handles.h"
#include "tests/support/folder_fixture.h"
#include "tests/support/running.h"
#include "tests/support/tiny_model.h"

#define TEMPLATE "{# <tool_call> </think> #}" TINY_CHATML
static const char conversation[] = "{\"messages\":[{\"role\":\"user\",\"content\":\"the <|im_end|>\"}]}";

static struct running open_with_tools(const char *tmpl, const char *tool_tmpl)
{
    static int             n_opened;
    char                   path[600], name[32];
    struct tiny_model      tiny = tiny_model();
    calmoe_session_options options;
    tiny.chat_template = tmpl;
    tiny.tool_template = tool_tmpl;
    tiny.context = 400;
    snprintf(name, sizeof name, "chat%d.gguf", n_opened++);
    snprintf(path, sizeof path, "%s", temp_file(folder, name));
    tiny_model_write(&tiny, path);
    calmoe_session_options_init(&options);
    options.ignore_end = 1;
    return running_open(path, NULL, &options);
}

static struct running open_model(const char *tmpl) { return open_with_tools(tmpl, NULL); }

struct heard {
    char   text[1024];
    size_t n;
    int    n_calls;
};

static void hear(void *user, const calmoe_answer_event *event)
{
    struct heard *heard = user;
    assert_int_equal(event->text[event->n_bytes], 0);
    assert_true(heard->n + event->n_bytes < sizeof heard->text);
    memcpy(heard->text + heard->n, event->text, event->n_bytes);
    heard->n += event->n_bytes;
    heard->text[heard->n] = '\0';
    heard->n_calls += event->kind == CALMOE_ANSWER_CALL_END;
}

static calmoe_answer_parser *open_parser(const struct running *r, const calmoe_chat_prompt *prompt, struct heard *heard)
{
    calmoe_answer_parser        *parser;
    calmoe_answer_parser_options options;
    calmoe_answer_parser_options_init(&options);
    options.on_event = hear;
    options.on_event_user = heard;
    running_must(r->context, calmoe_answer_parser_open(r->context, r->model, prompt, &options, &parser));
    return parser;
}

static void a_prompt_is_fed_and_its_answer_heard(void **state)
{
    (void)state;
    struct running        r = open_model(TEMPLATE);
    calmoe_chat_prompt   *prompt;
    struct heard          heard = {.n = 0};
    size_t                n_bytes, n_tokens;
    int32_t               token;
    running_must(r.context, calmoe_chat_prompt_open(r.context, r.model, conversation, sizeof conversation - 1, NULL,
                                                    &prompt));
    const char           *text = calmoe_chat_prompt_text(prompt, &n_bytes);
    const unsigned char  *marks = calmoe_chat_prompt_marks(prompt);
    const int32_t        *tokens = calmoe_chat_prompt_tokens(prompt, &n_tokens);
    assert_string_equal(text, "<|im_start|>user\nthe <|im_end|><|im_end|>\n<|im_start|>assistant\n");
    assert_int_equal(n_bytes, strlen(text));
    for (size_t i = 0; i < n_bytes; i++) assert_int_equal(marks[i], i >= 17 && i < 17 + 14);
    assert_int_equal(calmoe_chat_prompt_turn_begin(prompt), 0);

    running_must(r.context, calmoe_session_feed_tokens(r.session, tokens, n_tokens));
    calmoe_answer_parser *parser = open_parser(&r, prompt, &heard);
    calmoe_chat_prompt_close(&prompt);
    size_t n_shown = 0;
    for (int i = 0; i < 20; i++) {
        size_t n;
        running_must(r.context, calmoe_session_next(r.session, &token));
        running_must(r.context, calmoe_answer_parser_put_token(parser, token));
        calmoe_token_bytes(r.model, token, 0, &n);
        n_shown += n;
    }
    running_must(r.context, calmoe_answer_parser_finish(parser));
    assert_in_range(heard.n, n_shown > 0, 4 * n_shown); /* bytes that are no characters become U+FFFD */
    calmoe_answer_parser_close(&parser);
    running_close(&r);
}

static void answers_are_heard_in_the_form_of_the_template(void **state)
{
    (void)state;
    static const char answer[] = "<think>a</think>b<tool_call>{\"name\":\"f\",\"arguments\":{}}</tool_call>";
    struct running    r = open_model(TEMPLATE), plain = open_model(NULL);
    struct heard      heard = {.n = 0};
    calmoe_answer_parser *parser = open_parser(&r, NULL, &heard);
    assert_int_equal(calmoe_answer_parser_in_text(parser), 1);
    running_must(r.context, calmoe_answer_parser_put(parser, "<think>", 7, 1));
    assert_int_equal(calmoe_answer_parser_in_text(parser), 0);
    running_must(r.context, calmoe_answer_parser_put(parser, answer + 7, sizeof answer - 8, 0));
    running_must(r.context, calmoe_answer_parser_put(parser, "<|im_end|>", 10, 1));
    running_must(r.context, calmoe_answer_parser_finish(parser));
    assert_string_equal(heard.text, "abf{}");
    assert_int_equal(heard.n_calls, 1);
    calmoe_answer_parser_close(&parser);
    heard = (struct heard){.n = 0};
    parser = open_parser(&plain, NULL, &heard);
    running_must(r.context, calmoe_answer_parser_put(parser, answer, sizeof answer - 1, 0));
    running_must(r.context, calmoe_answer_parser_finish(parser));
    assert_string_equal(heard.text, answer);
    calmoe_answer_parser_close(&parser);
    running_close(&r);
    running_close(&plain);
}

/* A file may have a second template, for conversations with tools: it also says how calls are written. */
static void tools_have_a_template_of_their_own(void **state)
{
    (void)state;
    static const char without[] = "{\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}],\"tools\":[]}";
    static const char with[] = "{\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}],"
                               "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}]}";
    static const char answer[] = "b<tool_call>{\"name\":\"f\",\"arguments\":{}}</tool_call>";
    static const char plain[] = "plain {{ messages[0].content }}";
    struct running        r = open_with_tools(plain, "<tool_call> {{ tools[0].function.name }}");
    struct running        broken = open_with_tools(plain, "{% if %}");
    calmoe_chat_prompt   *prompt;
    for (int i = 0; i < 2; i++) {
        struct heard heard = {.n = 0};
        running_must(r.context, calmoe_chat_prompt_open(r.context, r.model, i ? with : without,
                                                        i ? sizeof with - 1 : sizeof without - 1, NULL, &prompt));
        assert_string_equal(calmoe_chat_prompt_text(prompt, NULL), i ? "<tool_call> f" : "plain Hi");
        calmoe_answer_parser *parser = open_parser(&r, prompt, &heard);
        calmoe_chat_prompt_close(&prompt);
        running_must(r.context, calmoe_answer_parser_put(parser, answer, sizeof answer - 1, 0));
        running_must(r.context, calmoe_answer_parser_finish(parser));
        assert_int_equal(heard.n_calls, i);
        calmoe_answer_parser_close(&parser);
    }
    running_must(broken.context, calmoe_chat_prompt_open(broken.context, broken.model, without, sizeof without - 1,
                                                         NULL, &prompt));
    calmoe_chat_prompt_close(&prompt);
    assert_int_equal(calmoe_chat_prompt_open(broken.context, broken.model, with, sizeof with - 1, NULL, &prompt),
                     CALMOE_UNSUPPORTED);
    assert_non_null(strstr(calmoe_context_message(broken.context), "template for tools cannot be read"));
    running_close(&r);
    running_close(&broken);
}

static void without_a_template_a_format_must_be_named(void **state)
{
    (void)state;
    struct running             r = open_model(NULL), broken = open_model("{% if %}");
    calmoe_chat_prompt        *prompt;
    calmoe_chat_prompt_options options;
    calmoe_chat_prompt_options_init(&options);
    assert_int_equal(calmoe_chat_prompt_open(r.context, r.model, conversation, sizeof conversation - 1, NULL, &prompt),
                     CALMOE_UNSUPPORTED);
    assert_non_null(strstr(calmoe_context_message(r.context), "cannot write conversations: it has no chat template"));
    assert_int_equal(calmoe_chat_prompt_open(broken.context, broken.model, conversation, sizeof conversation - 1, NULL,
                                             &prompt), CALMOE_UNSUPPORTED);
    assert_non_null(strstr(calmoe_context_message(broken.context), "line 1 of the chat template: '' is not expected"));
    options.chat_format = "chatml";
    running_must(r.context, calmoe_chat_prompt_open(r.context, r.model, conversation, sizeof conversation - 1, &options,
                                                    &prompt));
    assert_string_equal(calmoe_chat_prompt_text(prompt, NULL),
                        "<|im_start|>user\nthe <|im_end|><|im_end|>\n<|im_start|>assistant\n");
    calmoe_chat_prompt_close(&prompt);
    options.chat_format = "none such";
    assert_int_equal(calmoe_chat_prompt_open(r.context, r.model, conversation, sizeof conversation - 1, &options,
                                             &prompt), CALMOE_INVALID_ARGUMENT);
    running_close(&r);
    running_close(&broken);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_prompt_is_fed_and_its_answer_heard),
        cmocka_unit_test(answers_are_heard_in_the_form_of_the_template),
        cmocka_unit_test(tools_have_a_template_of_their_own),
        cmocka_unit_test(without_a_template_a_format_must_be_named),
    };
    return cmocka_run_group_tests_name("chats", tests, open_folder, close_folder);
}
