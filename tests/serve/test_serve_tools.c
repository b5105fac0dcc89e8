/* test_serve_tools.c - tools and forms of answers, over all APIs: the embedded model with a chat template that has a
 * place for tools. It is no good at either, so what must be is forced by constraints. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/serve/serving.h"
#include "tests/support/gguf_copy.h"
#include "tests/support/temp_folder.h"
#include "tests/support/thin.h"

/* Tools, calls and what came of them as JSON between marks, which is the most usual form. */
static const char template[] =
    "{%- if tools %}{{ '<|im_start|>system\\n<tools>' }}{% for tool in tools %}{{ tool | tojson }}{% endfor %}"
    "{{ '</tools><|im_end|>\\n' }}{% endif -%}"
    "{%- for message in messages %}"
    "{%- if message.role == 'tool' %}{{ '<|im_start|>user\\n<tool_response>\\n' + message.content + "
    "'\\n</tool_response><|im_end|>\\n' }}"
    "{%- else %}{{ '<|im_start|>' + message.role + '\\n' + message.content }}"
    "{%- for call in message.tool_calls %}{{ '\\n<tool_call>\\n{\"name\": \"' + call.function.name + "
    "'\", \"arguments\": ' }}{{ call.function.arguments | tojson }}{{ '}\\n</tool_call>' }}{% endfor %}"
    "{{- '<|im_end|>\\n' }}{% endif %}{% endfor -%}"
    "{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

static struct serving      server;
static struct temp_folder *folder;

static void write_model(const char *path)
{
    char               from[600];
    struct model_file *file = NULL;
    calmoe_context    *context = NULL;
    (void)snprintf(from, sizeof from, "%s/calmoe-nano.gguf", getenv("CALMOE_MODELS"));
    assert_int_equal(calmoe_context_open(NULL, &context), CALMOE_OK);
    assert_int_equal(cm_model_file_open(context, from, &file), CALMOE_OK);
    struct gguf_builder *builder = gguf_copy(file, "tokenizer.chat_template");
    builder_add_string(builder, "tokenizer.chat_template", template);
    builder_write(builder, path);
    builder_close(&builder);
    cm_model_file_close(&file);
    calmoe_context_close(&context);
}

static int start(void **state)
{
    (void)state;
    folder = temp_folder_open();
    const char *const path = temp_file(folder, "tools.gguf");
    const char *const options[] = {"-m", path, "-t", "2", "-c", "16000", "--temp", "0", NULL};
    write_model(path);
    server = serving_start(options);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    const int status = serving_stop(&server);
    temp_folder_close(&folder);
    return status;
}

#define ASK "\"messages\":[{\"role\":\"user\",\"content\":\"What does ls do?\"}],\"max_tokens\":90"
#define PARAMETERS "{\"type\":\"object\",\"properties\":{\"city\":{\"enum\":[\"Oslo\",\"Rome\"]},\"days\":"            \
                   "{\"type\":\"integer\",\"minimum\":1,\"maximum\":9}},\"required\":[\"city\",\"days\"],"             \
                   "\"additionalProperties\":false}"
#define TOOL(name) "{\"type\":\"function\",\"function\":{\"name\":\"" name "\",\"parameters\":" PARAMETERS "}}"
#define TOOLS "\"tools\":[" TOOL("weather") "," TOOL("forecast") "]"

static struct reply expect(const char *path, const char *body, int status, const char *pattern)
{
    struct reply reply = client_ask(&server, path, body);
    if (reply.status != status) fprintf(stderr, "%s %s\n   %s\n", path, body, reply.body);
    assert_int_equal(reply.status, status);
    assert_fits(reply.body, pattern);
    return reply;
}

static void expect_only(const char *path, const char *body, int status, const char *pattern)
{
    struct reply reply = expect(path, body, status, pattern);
    reply_free(&reply);
}

#define CALL(name) "{\"id\":\"call_*\",\"type\":\"function\",\"function\":{\"name\":\"" name "\","                     \
                   "\"arguments\":\"{*\\\"city\\\":*\\\"days\\\":*}\"}}"

static void test_call(void **state)
{
    (void)state;
    expect_only("/v1/chat/completions", "{" ASK "," TOOLS ",\"tool_choice\":\"required\"}", 200,
                "*\"message\":{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[" CALL("*") "]},\"logprobs\":"
                "null,"
                "\"finish_reason\":\"tool_calls\"}]*");
    expect_only("/v1/chat/completions",
                "{" ASK "," TOOLS ",\"tool_choice\":{\"type\":\"function\",\"function\":{\"name\":\"forecast\"}}}", 200,
                "*\"tool_calls\":[" CALL("forecast") "]*");
    expect_only("/v1/chat/completions",
                "{" ASK "," TOOLS ",\"tool_choice\":{\"type\":\"function\",\"function\":{\"name\":\"other\"}}}", 400,
                "*'tool_choice' names 'other'*");
    expect_only("/v1/chat/completions", "{" ASK ",\"tool_choice\":\"required\"}", 400, "*'tools' to choose from*");
    expect_only("/v1/chat/completions", "{" ASK "," TOOLS ",\"tool_choice\":\"none\"}", 200,
                "*\"content\":\"*\"*\"finish_reason\":\"*\"*");
}

/* Id, type and name come once, at the beginning; the arguments' pieces make up what the whole answer says. */
static void test_call_stream(void **state)
{
    struct reply whole = expect("/v1/chat/completions", "{" ASK "," TOOLS ",\"tool_choice\":\"required\"}", 200, "*");
    struct reply reply = expect("/v1/chat/completions",
                                "{" ASK "," TOOLS ",\"tool_choice\":\"required\",\"stream\":true}", 200,
                                "*\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"call_*\",\"type\":\"function\","
                                "\"function\":{\"name\":\"*\",\"arguments\":\"\"}}]}*"
                                "\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"*\"}}]}*"
                                "\"delta\":{},\"logprobs\":null,\"finish_reason\":\"tool_calls\"*data: [DONE]\n\n");
    char *const at_once = json_text(whole.body, "arguments"), *const pieces = json_texts(reply.body, "arguments");
    (void)state;
    assert_string_equal(at_once, pieces);
    const char *const first = strstr(reply.body, "\"id\":\"call_");
    assert_non_null(first);
    assert_null(strstr(first + 1, "\"id\":\"call_"));
    free(at_once);
    free(pieces);
    reply_free(&whole);
    reply_free(&reply);
}

static void test_history(void **state)
{
    (void)state;
    expect_only("/apply-template",
                "{\"messages\":[{\"role\":\"user\",\"content\":\"Go\"},{\"role\":\"assistant\",\"content\":null,"
                "\"tool_calls\":[{\"id\":\"c1\",\"type\":\"function\",\"function\":{\"name\":\"weather\",\"arguments\":"
                "\"{\\\"days\\\":3}\"}}]},{\"role\":\"tool\",\"tool_call_id\":\"c1\",\"content\":\"sunny\"}]}", 200,
                "{\"prompt\":\"*<tool_call>\\n{\\\"name\\\": \\\"weather\\\", \\\"arguments\\\": {\\\"days\\\": 3}}\\n"
                "</tool_call><|im_end|>\\n<|im_start|>user\\n<tool_response>\\nsunny\\n</tool_response>*\"}");
}

static void test_other_apis(void **state)
{
    (void)state;
    expect_only("/v1/messages", "{" ASK ",\"tools\":[{\"name\":\"weather\",\"input_schema\":" PARAMETERS "}],"
                "\"tool_choice\":{\"type\":\"any\"}}", 200,
                "*\"content\":[{\"type\":\"tool_use\",\"id\":\"call_*\",\"name\":\"weather\",\"input\":{\"city\":\"*\","
                "\"days\":*}}],\"stop_reason\":\"tool_use\",*");
    expect_only("/v1/messages", "{" ASK ",\"stream\":true,\"tools\":[{\"name\":\"weather\",\"input_schema\":" PARAMETERS
                "}],\"tool_choice\":{\"type\":\"tool\",\"name\":\"weather\"}}", 200,
                "*\"content_block\":{\"type\":\"tool_use\",\"id\":\"call_*\",\"name\":\"weather\",\"input\":{}}}\n\n*"
                "\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"*\"}}\n\n*\"stop_reason\":\"tool_use\"*");
    expect_only("/v1/responses", "{\"input\":\"Go\",\"stream\":true,\"tools\":[{\"type\":\"function\",\"name\":"
            "\"weather\","
                "\"parameters\":" PARAMETERS "}],\"tool_choice\":\"required\"}", 200,
                "*\"item\":{\"id\":\"fc_*\",\"type\":\"function_call\",\"status\":\"in_progress\",\"call_id\":\"fc_*\","
                "\"name\":\"weather\",\"arguments\":\"\"}*event: response.function_call_arguments.delta\ndata: {*"
                "\"delta\":\"*\"}\n\n*event: response.function_call_arguments.done\ndata: {*\"arguments\":\"{*}\"}\n\n*"
                "event: response.completed\n*");
}

static void test_formats(void **state)
{
    (void)state;
    expect_only("/v1/chat/completions", "{" ASK ",\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{"
            "\"name\":"
                "\"x\",\"schema\":" PARAMETERS "}}}", 200,
                "*\"content\":\"{*\\\"city\\\":*\\\"days\\\":*}\"},*\"finish_reason\":\"stop\"*");
    expect_only("/v1/chat/completions", "{" ASK ",\"response_format\":{\"type\":\"json_object\","
            "\"schema\":" PARAMETERS "}}",
                200, "*\"content\":\"{*\\\"city\\\":*\\\"days\\\":*}\"},*");
    expect_only("/v1/chat/completions", "{" ASK ",\"response_format\":{\"type\":\"json_object\"}}", 200,
                "*\"content\":\"{*");
    expect_only("/v1/responses", "{\"input\":\"Go\",\"text\":{\"format\":{\"type\":\"json_schema\",\"name\":\"x\","
            "\"schema\":"
                PARAMETERS "}}}", 200, "*\"text\":\"{*\\\"city\\\":*\\\"days\\\":*}\"*");
    expect_only("/v1/chat/completions", "{" ASK ",\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{"
            "\"schema\":"
                "{\"type\":\"object\",\"patternProperties\":{}}}}}", 400, "*patternProperties*");
    expect_only("/v1/chat/completions", "{" ASK ",\"response_format\":{\"type\":\"xml\"}}", 400, "*found 'xml'*");
}

/* A schema of very many properties, which is refused once it has taken all the room that there is. */
static char *heavy_request(void)
{
    enum { N = 300, N_INNER = 40, BYTES = 1 << 20 };
    char *const body = malloc(BYTES);
    assert_non_null(body);
    int n = snprintf(body, BYTES, "{" ASK ",\"response_format\":{\"type\":\"json_schema\",\"schema\":"
                                  "{\"type\":\"object\",\"properties\":{\"last\":{\"type\":\"null\"}");
    for (int i = 0; i < N; i++) {
        n += snprintf(body + n, (size_t)(BYTES - n), ",\"k%d\":{\"type\":\"object\",\"properties\":{", i);
        for (int k = 0; k < N_INNER; k++)
            n += snprintf(body + n, (size_t)(BYTES - n), "%s\"q%d\":{\"type\":\"number\",\"minimum\":-123456789.5}",
                          k > 0 ? "," : "", k);
        n += snprintf(body + n, (size_t)(BYTES - n), "}}");
    }
    (void)snprintf(body + n, (size_t)(BYTES - n), "}}}}");
    return body;
}

/* Seconds that processors have worked for the server. */
static double server_worked(void)
{
    clockid_t       clock;
    struct timespec now;
    assert_int_equal(clock_getcpuclockid(server.pid, &clock), 0);
    assert_int_equal(clock_gettime(clock, &now), 0);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* Schemas are made into constraints beside the engine, not by its thread: an answer goes on meanwhile. The clock is the
 * server's own work, which stands still while a busy machine does something else. */
static void test_heavy_schemas(void **state)
{
    enum { MAX = 4 };
    const int    n = tests_are_thin() ? 2 : MAX;
    char *const  heavy = heavy_request();
    const int    fd = client_open(&server, 0);
    int          fds[MAX];
    char         bytes[4096];
    (void)state;
    client_send(fd, "/v1/completions", "",
                "{\"prompt\":\"A\",\"ignore_eos\":true,\"max_tokens\":-1,\"stream\":true}");
    struct reply reply = client_read(fd, "\"text\":\"");
    reply_free(&reply);
    for (int i = 0; i < n; i++) {
        fds[i] = client_open(&server, 0);
        client_send(fds[i], "/v1/chat/completions", "", heavy);
    }
    const double begin = server_worked();
    double       longest = 0, last = begin;
    int          n_refused = 0;
    while (n_refused < n && read(fd, bytes, sizeof bytes) > 0) { /* it may come to its end before */
        const double now = server_worked();
        if (now - last > longest) longest = now - last;
        last = now;
        if (recv(fds[n_refused], bytes, 1, MSG_PEEK | MSG_DONTWAIT) == 1) n_refused++;
    }
    if (3 * longest > last - begin) fail_msg("%g s of work without a token of %g s", longest, last - begin);
    for (int i = 0; i < n; i++) {
        reply = client_read(fds[i], NULL);
        assert_int_equal(reply.status, 400);
        assert_fits(reply.body, "*the constraint is too large*");
        reply_free(&reply);
        (void)close(fds[i]);
    }
    (void)close(fd);
    free(heavy);
    wait_until_idle(&server);
}

/* In the middle of a call the client leaves: no slot stays busy, and the next call is as it was. */
static void test_leaving(void **state)
{
    struct reply before = expect("/v1/chat/completions", "{" ASK "," TOOLS ",\"tool_choice\":\"required\"}", 200, "*");
    (void)state;
    for (int i = 0; i < 3; i++) {
        const int fd = client_open(&server, 0);
        client_send(fd, "/v1/chat/completions", "", "{" ASK "," TOOLS ",\"tool_choice\":\"required\",\"stream\":true}");
        struct reply reply = client_read(fd, "\"name\":\"");
        reply_free(&reply);
        (void)close(fd);
    }
    wait_until_idle(&server);
    struct reply after = expect("/v1/chat/completions", "{" ASK "," TOOLS ",\"tool_choice\":\"required\"}", 200, "*");
    char *const  one = json_text(before.body, "arguments"), *const other = json_text(after.body, "arguments");
    assert_string_equal(one, other);
    free(one);
    free(other);
    reply_free(&before);
    reply_free(&after);
}

int main(int argc, char **argv)
{
    serving_begin(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_call), cmocka_unit_test(test_call_stream), cmocka_unit_test(test_history),
        cmocka_unit_test(test_other_apis), cmocka_unit_test(test_formats), cmocka_unit_test(test_heavy_schemas),
        cmocka_unit_test(test_leaving),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
