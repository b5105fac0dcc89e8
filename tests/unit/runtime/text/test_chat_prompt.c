/* Conversations as prompts: what is read of the JSON and what is refused, texts that go on, where turns begin, named
 * formats; that nothing people write becomes a control token. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "runtime/text/chat_prompt.h"
#include "tests/support/toy_tokenizer.h"

static struct tokenizer *tokenizer;
static int32_t           im_start;

#define TURNS                                                                                                      \
    "{{ bos_token if with_bos }}{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}"                  \
    "{% for c in m.tool_calls or [] %}[{{ c.function.name }} {{ c.function.arguments | tojson }}]{% endfor %}"     \
    "{{ '(' + m.reasoning_content + ')' if m.reasoning_content }}<|im_end|>\n{% endfor %}"                         \
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
#define M(messages) "{\"messages\":[" messages "]}"
#define USER        "{\"role\":\"user\",\"content\":\"U\"}"
#define U_TURN      "<|im_start|>user\nU<|im_end|>\n"
#define ASK         "<|im_start|>assistant\n"

static calmoe_status open_prompt(struct calmoe_context *ctx, const char *tmpl, const char *format,
                                 const char *conversation, struct chat_prompt **prompt)
{
    struct template    *opened = NULL;
    struct chat_format *named = NULL;
    if (tmpl) assert_int_equal(cm_template_open(NULL, tmpl, strlen(tmpl), &opened), CALMOE_OK);
    if (format) assert_int_equal(cm_chat_format_of_name(NULL, format, tokenizer, &named), CALMOE_OK);
    const struct chat_prompt_source source = { .plain = { opened, tmpl, tmpl ? strlen(tmpl) : 0, "" }, .format = named,
                                               .tokenizer = tokenizer, .now = 1700000000 };
    const calmoe_status status = cm_chat_prompt_open(ctx, &source, conversation, strlen(conversation), prompt);
    if (named) cm_chat_format_close(&named);
    cm_template_close(&opened);
    return status;
}

/* ---- what comes out ---- */

static const struct {
    const char *tmpl, *format, *conversation, *wanted;
} written[] = {
    { TURNS, NULL, M(USER), U_TURN ASK },
    { TURNS, NULL, M("{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\"},"
                     "{\"type\":\"text\",\"text\":\"b\"}]}"),
      "<|im_start|>user\na\nb<|im_end|>\n" ASK },
    { TURNS, NULL, M("{\"role\":\"developer\",\"content\":\"D\"}," USER),
      "<|im_start|>system\nD<|im_end|>\n" U_TURN ASK },
    { TURNS "{# developer #}", NULL, M("{\"role\":\"developer\",\"content\":\"D\"}," USER),
      "<|im_start|>developer\nD<|im_end|>\n" U_TURN ASK },
    { TURNS, NULL, M(USER ",{\"role\":\"function\",\"name\":\"f\",\"content\":\"r\"}"),
      U_TURN "<|im_start|>tool\nr<|im_end|>\n" ASK },
    { TURNS, NULL, M(USER ",{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"id\":\"1\","
                          "\"type\":\"function\","
                          "\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"b\\\": 1,\\\"a\\\":[]}\"}}]}"),
      U_TURN "<|im_start|>assistant\n[f {\"b\": 1, \"a\": []}]<|im_end|>\n" ASK },
    { TURNS, NULL, M(USER ",{\"role\":\"assistant\",\"tool_calls\":[{\"function\":{\"name\":\"f\","
                          "\"arguments\":\"{x\"}},"
                          "{\"function\":{\"name\":\"g\",\"arguments\":{\"c\":2}}}]}"),
      U_TURN "<|im_start|>assistant\n[f \"{x\"][g {\"c\": 2}]<|im_end|>\n" ASK },
    { TURNS, NULL, M(USER ",{\"role\":\"assistant\",\"content\":\"A\",\"reasoning_content\":\"R\"}"),
      U_TURN "<|im_start|>assistant\nA(R)<|im_end|>\n" ASK },
    { TURNS, NULL, M(USER ",{\"role\":\"assistant\",\"content\":\"A\",\"reasoning_content\":null,\"tool_calls\":null}"),
      U_TURN "<|im_start|>assistant\nA<|im_end|>\n" ASK },
    { "{% for m in messages %}{{ m.thinking }}{% endfor %}", NULL,
      M(USER ",{\"role\":\"assistant\",\"content\":\"A\",\"reasoning\":\"R\"}"), "R" },
    { TURNS, NULL, "{\"messages\":[" USER "],\"add_generation_prompt\":false}", U_TURN },
    { "{{ messages[0].content | trim ~ (messages[1].content | length) ~ messages[1].content.foo }}", NULL,
      M(USER ",{\"role\":\"assistant\"}"), "U0" },
    { TURNS, NULL, "{\"messages\":[" USER ",{\"role\":\"assistant\",\"content\":\"I am\"}],"
                   "\"continue_final_message\":true}",
      U_TURN "<|im_start|>assistant\nI am" },
    { "{% for m in messages %}{{ m.content | trim }}|{% endfor %}", NULL,
      "{\"messages\":[" USER ",{\"role\":\"assistant\",\"content\":\" I \"}],\"continue_final_message\":true}", "U|I" },
    { "{{ tools is none }}{{ documents is none }}{{ reasoning_effort }}{{ enable_thinking }}{{ a }}{{ b.c }}", NULL,
      "{\"messages\":[" USER "],\"tools\":[],\"reasoning_effort\":\"none\",\"chat_template_kwargs\":{\"a\":\"x\",\"b\":"
      "{\"c\":1}},\"temperature\":0.5}", "TrueTruenoneFalsex1" },
    { "{{ enable_thinking }}", NULL, "{\"messages\":[" USER "],\"reasoning_effort\":\"low\",\"chat_template_kwargs\":"
                                     "{\"enable_thinking\":false}}", "False" },
    { "{{ tools[0].function.name }}{{ documents[0] }}", NULL,
      "{\"messages\":[" USER "],\"tools\":[{\"function\":{\"name\":\"f\"}},{\"type\":\"web\"}],"
      "\"documents\":[\"d\"]}", "fd" },
    { NULL, "chatml", M("{\"role\":\"system\",\"content\":\"S\"}," USER ","
                        "{\"role\":\"assistant\",\"content\":\"A\"}," USER),
      "<|im_start|>system\nS<|im_end|>\n" U_TURN "<|im_start|>assistant\nA<|im_end|>\n" U_TURN ASK },
    { NULL, "chatml", "{\"messages\":[" USER ",{\"role\":\"assistant\",\"content\":\"A\"}],"
                      "\"continue_final_message\":true}",
      U_TURN ASK "A" },
    { NULL, "chatml", "{\"messages\":[" USER "],\"add_generation_prompt\":false}", "<|im_start|>user\nU" },
};

static void conversations_are_written(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof written / sizeof written[0]; i++) {
        struct calmoe_context ctx = { .message = "" };
        struct chat_prompt   *prompt;
        if (open_prompt(&ctx, written[i].tmpl, written[i].format, written[i].conversation, &prompt) != CALMOE_OK)
            fail_msg("%s: %s", written[i].conversation, ctx.message);
        assert_string_equal(prompt->text.text, written[i].wanted);
        cm_chat_prompt_close(&prompt);
    }
}

/* ---- what is refused ---- */

static const struct {
    const char   *tmpl, *format, *conversation;
    calmoe_status status;
    const char   *wanted;
} refused[] = {
    { TURNS, NULL, "", CALMOE_INVALID_ARGUMENT, "the conversation, line 1, column 0: the text ends too early" },
    { TURNS, NULL, "[", CALMOE_INVALID_ARGUMENT, "the conversation, line 1, column 1: the text ends too early" },
    { TURNS, NULL, "[]", CALMOE_INVALID_ARGUMENT, "the conversation: found an array of 0, wanted an object" },
    { TURNS, NULL, "{}", CALMOE_INVALID_ARGUMENT, "messages: found nothing, wanted an array of messages" },
    { TURNS, NULL, M(""), CALMOE_INVALID_ARGUMENT, "messages: found an array of 0, wanted an array of messages" },
    { TURNS, NULL, M("1"), CALMOE_INVALID_ARGUMENT, "messages[0]: found 1, wanted an object" },
    { TURNS, NULL, M("{}"), CALMOE_INVALID_ARGUMENT, "messages[0].role: found nothing, wanted a text" },
    { TURNS, NULL, M(USER ",{\"role\":\"user\",\"content\":3}"), CALMOE_INVALID_ARGUMENT,
      "messages[1].content: found 3, wanted a text, null or an array of parts" },
    { TURNS, NULL, M("{\"role\":\"user\"}"), CALMOE_INVALID_ARGUMENT,
      "messages[0].content: found nothing, wanted a text, null or an array of parts" },
    { TURNS, NULL, M("{\"role\":\"user\",\"content\":[1]}"), CALMOE_INVALID_ARGUMENT,
      "messages[0].content[0]: found 1, wanted an object" },
    { TURNS, NULL, M("{\"role\":\"user\",\"content\":[{\"type\":\"text\"}]}"), CALMOE_INVALID_ARGUMENT,
      "messages[0].content[0].text: found nothing, wanted a text" },
    { TURNS, NULL, M("{\"role\":\"user\",\"content\":[{\"type\":\"image_url\",\"image_url\":{}}]}"), CALMOE_UNSUPPORTED,
      "messages[0].content[0].type: 'image_url': only texts are read, no images, sounds or files" },
    { TURNS, NULL, M("{\"role\":\"assistant\",\"reasoning_content\":1}"), CALMOE_INVALID_ARGUMENT,
      "messages[0].reasoning_content: found 1, wanted a text" },
    { TURNS, NULL, M("{\"role\":\"assistant\",\"tool_calls\":\"x\"}"), CALMOE_INVALID_ARGUMENT,
      "messages[0].tool_calls: found \"x\", wanted an array of calls" },
    { TURNS, NULL, M("{\"role\":\"assistant\",\"tool_calls\":[{}]}"), CALMOE_INVALID_ARGUMENT,
      "messages[0].tool_calls[0].function: found nothing, wanted an object" },
    { TURNS, NULL, M("{\"role\":\"assistant\",\"tool_calls\":[{\"function\":{\"name\":\"f\",\"arguments\":1}}]}"),
      CALMOE_INVALID_ARGUMENT,
      "messages[0].tool_calls[0].function.arguments: found 1, wanted a text of JSON, or an object" },
    { TURNS, NULL, "{\"messages\":[" USER "],\"tools\":{}}", CALMOE_INVALID_ARGUMENT,
      "tools: found an object, wanted an array of tools" },
    { TURNS, NULL, "{\"messages\":[" USER "],\"tools\":[{\"function\":{}}]}", CALMOE_INVALID_ARGUMENT,
      "tools[0].function.name: found nothing, wanted a text" },
    { TURNS, NULL, "{\"messages\":[" USER "],\"add_generation_prompt\":1}", CALMOE_INVALID_ARGUMENT,
      "add_generation_prompt: found 1, wanted true or false" },
    { TURNS, NULL, "{\"messages\":[" USER "],\"continue_final_message\":true}", CALMOE_INVALID_ARGUMENT,
      "messages[0].role: found \"user\", wanted \"assistant\", since continue_final_message is true" },
    { TURNS, NULL, "{\"messages\":[" USER "],\"reasoning_effort\":5}", CALMOE_INVALID_ARGUMENT,
      "reasoning_effort: found 5, wanted a text" },
    { TURNS, NULL, "{\"messages\":[" USER "],\"chat_template_kwargs\":5}", CALMOE_INVALID_ARGUMENT,
      "chat_template_kwargs: found 5, wanted an object" },
    { "{{ raise_exception('no ' + messages[0].role) }}", NULL, M(USER), CALMOE_INVALID_ARGUMENT,
      "the chat template says: no user" },
    { "{{ 1 / 0 }}", NULL, M(USER), CALMOE_UNSUPPORTED, "line 1 of the chat template: a division by 0" },
    { "{{ messages[0].content }}", NULL,
      "{\"messages\":[" USER ",{\"role\":\"assistant\",\"content\":\"A\"}],\"continue_final_message\":true}",
      CALMOE_INVALID_ARGUMENT,
      "messages: the template does not write the last one, which the answer is to go on from" },
    { NULL, "chatml", "{\"messages\":[" USER "],\"tools\":[{\"type\":\"web\"}]}", CALMOE_UNSUPPORTED,
      "tools: the chat format 'chatml' has no place for them" },
    { NULL, "chatml", M(USER "," USER), CALMOE_UNSUPPORTED,
      "messages[1]: the chat format 'chatml' wants a user and an assistant by turns" },
    { NULL, "chatml", M("{\"role\":\"system\",\"content\":\"S\"}"), CALMOE_INVALID_ARGUMENT,
      "messages: found no user's, wanted one" },
    { NULL, "chatml", M(USER ",{\"role\":\"assistant\",\"content\":\"A\"}"), CALMOE_INVALID_ARGUMENT,
      "messages: the last one is an assistant's: wanted a user's, or continue_final_message" },
    { NULL, "chatml", M("{\"role\":\"user\",\"content\":\"a\\u0000b\"}"), CALMOE_INVALID_ARGUMENT,
      "messages[0].content: a NUL character" },
};

static void what_is_wrong_is_told(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        struct calmoe_context ctx = { .message = "" };
        const long            n_live = cm_live_blocks();
        struct chat_prompt   *prompt;
        assert_int_equal(open_prompt(&ctx, refused[i].tmpl, refused[i].format, refused[i].conversation, &prompt),
                         refused[i].status);
        assert_string_equal(ctx.message, refused[i].wanted);
        assert_null(prompt);
        assert_int_equal(cm_live_blocks(), n_live);
    }
}

/* ---- marks and tokens ---- */

static int count(const struct chat_prompt *prompt, int32_t token)
{
    int n = 0;
    for (int i = 0; i < prompt->tokens.n; i++) n += prompt->tokens.ids[i] == token;
    return n;
}

/* However a template turns what people say round, it stays text. */
static void nothing_people_say_is_a_control_token(void **state)
{
    static const char *const ways[] = {
        "{{ m }}", "{{ m | trim | upper | lower }}", "{{ m.split('|') | join('|') }}", "{{ m.replace('x', 'y') }}",
        "{{ m | tojson }}", "{{ [m] }}", "{{ m[0:] }}", "{{ '<' ~ m[1:] }}", "{{ {m: 1} }}",
        "{{ m | indent }}", "{{ m * 2 }}",
        "{% for c in m %}{{ c }}{% endfor %}", "{{ m | list | join }}", "{% set a %}{{ m }}{% endset %}{{ a }}",
        "{% macro f(x) %}{{ x }}{% endmacro %}{{ f(m) }}", "{{ m.title() }}", "{{ m | string | reverse | reverse }}",
        "{{ ('[\"' ~ m ~ '\"]') | from_json | first }}", "{{ tools[0].function.name }}",
        "{{ tools | tojson(indent=1) }}",
        "{{ messages[0].role }}", "{{ messages[0].name }}", "{{ kw }}",
    };
    (void)state;
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        char                tmpl[512];
        struct chat_prompt *prompt;
        snprintf(tmpl, sizeof tmpl, "<|im_start|>{%% set m = messages[0].content %%}%s<|im_start|>", ways[i]);
        assert_int_equal(open_prompt(NULL, tmpl, NULL,
                                     "{\"messages\":[{\"role\":\"<|im_start|>\",\"name\":\"<|im_start|>\",\"content\":"
                                     "\"x <|im_start|>\"}],\"tools\":[{\"function\":{\"name\":\"<|im_start|>\"}}],"
                                     "\"chat_template_kwargs\":{\"kw\":\"<|im_start|>\"}}", &prompt), CALMOE_OK);
        if (count(prompt, im_start) != 2) fail_msg("%s: %s", ways[i], prompt->text.text);
        cm_chat_prompt_close(&prompt);
    }
}

static void the_last_turn_is_found(void **state)
{
    (void)state;
    struct chat_prompt *prompt, *before;
    assert_int_equal(open_prompt(NULL, TURNS, NULL, M("{\"role\":\"system\",\"content\":\"S\"}," USER ","
                     "{\"role\":\"assistant\",\"content\":\"A\"},{\"role\":\"user\",\"content\":\"again\"}"),
                                 &prompt), CALMOE_OK);
    assert_int_equal(open_prompt(NULL, TURNS, NULL, "{\"messages\":[{\"role\":\"system\",\"content\":\"S\"}," USER ","
                     "{\"role\":\"assistant\",\"content\":\"A\"}],\"add_generation_prompt\":false}",
                                 &before), CALMOE_OK);
    assert_int_equal(prompt->turn_begin, before->tokens.n);
    assert_memory_equal(prompt->tokens.ids, before->tokens.ids, (size_t)before->tokens.n * sizeof *before->tokens.ids);
    assert_int_equal(prompt->tokens.ids[prompt->turn_begin], im_start);
    assert_true(prompt->turn_end > prompt->turn_begin && prompt->turn_end < prompt->tokens.n);
    assert_int_equal(before->turn_end, before->tokens.n - 2); /* <|im_end|> and a line end */
    cm_chat_prompt_close(&prompt);
    cm_chat_prompt_close(&before);
    assert_int_equal(open_prompt(NULL, TURNS, NULL, M("{\"role\":\"assistant\",\"content\":\"A\"}"), &prompt),
                     CALMOE_OK);
    assert_int_equal(prompt->turn_begin, -1);
    cm_chat_prompt_close(&prompt);
    assert_int_equal(open_prompt(NULL, TURNS, NULL, M(USER), &prompt), CALMOE_OK);
    assert_int_equal(prompt->turn_begin, 0);
    cm_chat_prompt_close(&prompt);
}

static void schemas_say_what_is_a_text(void **state)
{
    static const struct {
        const char *schema;
        bool        is_text;
    } schemas[] = {
        { "{\"type\":\"string\"}", true }, { "{\"type\":\"integer\"}", false }, { "{}", false },
        { "{\"type\":[\"string\"]}", true }, { "{\"type\":[\"string\",\"null\"]}", false },
        { "{\"enum\":[\"a\",\"b\"]}", true }, { "{\"enum\":[\"a\",1]}", false }, { "5", false },
    };
    (void)state;
    for (size_t i = 0; i < sizeof schemas / sizeof schemas[0]; i++) {
        char                text[512];
        struct chat_prompt *prompt;
        snprintf(text, sizeof text, "{\"messages\":[" USER "],\"tools\":[{\"function\":{\"name\":\"f\",\"parameters\":"
                 "{\"properties\":{\"p\":%s}}}}]}", schemas[i].schema);
        assert_int_equal(open_prompt(NULL, TURNS, NULL, text, &prompt), CALMOE_OK);
        assert_int_equal(prompt->parameters.n, 2);
        assert_string_equal(prompt->parameters.list[1].function, "f");
        assert_string_equal(prompt->parameters.list[1].name, "p");
        assert_int_equal(prompt->parameters.list[1].is_text, schemas[i].is_text);
        cm_chat_prompt_close(&prompt);
    }
}

static void failing_memory_leaves_nothing(void **state)
{
    (void)state;
    const char   *conversation = "{\"messages\":[" USER ",{\"role\":\"assistant\",\"tool_calls\":[{"
                                 "\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]}],"
                                 "\"tools\":[{\"function\":{\"name\":\"f\"}}]}";
    const long    n_live = cm_live_blocks();
    calmoe_status status = CALMOE_NO_MEMORY;
    struct template *tmpl;
    assert_int_equal(cm_template_open(NULL, TURNS, sizeof TURNS - 1, &tmpl), CALMOE_OK);
    const struct chat_prompt_source source = { .plain = { tmpl, TURNS, sizeof TURNS - 1, "" },
                                               .tokenizer = tokenizer };
    const long n_open = cm_live_blocks();
    for (long nth = 1; nth < 200 && status != CALMOE_OK; nth++) {
        struct chat_prompt *prompt;
        cm_fail_request(nth);
        status = cm_chat_prompt_open(NULL, &source, conversation, strlen(conversation), &prompt);
        cm_fail_request(0);
        assert_true(status == CALMOE_OK || status == CALMOE_NO_MEMORY);
        cm_chat_prompt_close(&prompt);
        assert_int_equal(cm_live_blocks(), n_open);
    }
    assert_int_equal(status, CALMOE_OK);
    cm_template_close(&tmpl);
    assert_int_equal(cm_live_blocks(), n_live);
}

static int open_tokenizer(void **state)
{
    static struct toy_tokenizer toy;
    (void)state;
    toy_bpe(&toy, "qwen2");
    toy.bos = toy_id(&toy, "<s>");
    toy.eos = toy_id(&toy, "<|im_end|>");
    im_start = toy_id(&toy, "<|im_start|>");
    return toy_open(NULL, &toy, &tokenizer) == CALMOE_OK ? 0 : -1;
}

static int close_tokenizer(void **state)
{
    (void)state;
    cm_tokenizer_close(&tokenizer);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(conversations_are_written),
        cmocka_unit_test(what_is_wrong_is_told),
        cmocka_unit_test(nothing_people_say_is_a_control_token),
        cmocka_unit_test(the_last_turn_is_found),
        cmocka_unit_test(schemas_say_what_is_a_text),
        cmocka_unit_test(failing_memory_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, open_tokenizer, close_tokenizer);
}
