/* test_serve_habits.c - what clients of other servers send out of habit: forms of answers by other names, biases of
 * texts, answers that they begin, bodies and addresses as proxies and editors write them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/serve/serving.h"

static struct serving server;

static int start(void **state)
{
    static const char *const options[] = {"-t", "2", "--temp", "0", NULL};
    (void)state;
    server = serving_start(options);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    return serving_stop(&server);
}

static void expect(const char *path, const char *body, int status, const char *pattern)
{
    client_expect(&server, path, body, status, pattern);
}

#define CHAT "/v1/chat/completions"
#define ASK "\"messages\":[{\"role\":\"user\",\"content\":\"What does ls do?\"}],\"max_tokens\":20"

/* The form of an answer is never passed over in silence, whatever the field is called. */
static void test_forms(void **state)
{
    static const struct { const char *path, *field; int status; const char *pattern; } rows[] = {
        {CHAT, "\"guided_choice\":[\"yes|x\",\"no|x\"]", 200, "*\"content\":\"*|x\"*"},
        {CHAT, "\"guided_choice\":[\"(a.\\\\d)\"]", 200, "*\"content\":\"(a.\\\\d)\"*"},
        {CHAT, "\"guided_regex\":\"[c]at{2}\"", 200, "*\"content\":\"catt\"*"},
        {CHAT, "\"guided_json\":\"{\\\"const\\\":17}\"", 200, "*\"content\":\"17\"*"},
        {CHAT, "\"json_schema\":{\"const\":17}", 200, "*\"content\":\"17\"*"},
        {CHAT, "\"structured_outputs\":{\"choice\":[\"cat\"]}", 200, "*\"content\":\"cat\"*"},
        {CHAT, "\"structured_outputs\":{\"json\":{\"const\":17}}", 200, "*\"content\":\"17\"*"},
        {CHAT, "\"structured_outputs\":{\"regex\":\"cat\"}", 200, "*\"content\":\"cat\"*"},
        {CHAT, "\"structured_outputs\":{\"json_object\":true}", 200, "*\"content\":\"{*"},
        {CHAT, "\"grammar\":\"\",\"structured_outputs\":{\"json_object\":false},\"json_schema\":null", 200, "*"},
        {"/v1/completions", "\"prompt\":\"The\",\"guided_choice\":[\"cat\"]", 200, "*\"text\":\"cat\"*"},
        {"/v1/completions", "\"prompt\":[\"A\",\"B\"],\"response_format\":{\"type\":\"json_schema\",\"json_schema\":"
                            "{\"schema\":{\"const\":17}}}", 200, "*\"text\":\"17\"*\"text\":\"17\"*"},
        {"/completion", "\"prompt\":\"The\",\"json_schema\":{\"const\":17}", 200, "*\"content\":\"17\"*"},
        {"/v1/messages", "\"output_config\":{\"format\":{\"type\":\"json_schema\",\"schema\":{\"const\":17}}}", 200,
         "*\"text\":\"17\"*"},
        {"/v1/messages", "\"output_format\":{\"type\":\"json_schema\",\"schema\":{\"const\":17}}", 200,
         "*\"text\":\"17\"*"},
        {CHAT, "\"grammar\":\"root ::= x\"", 400, "*'grammar' is not supported;*\"param\":\"grammar\"*"},
        {CHAT, "\"guided_grammar\":\"x\"", 400, "*'guided_grammar' is not supported;*"},
        {"/completion", "\"prompt\":\"The\",\"grammar\":\"x\"", 400, "*'grammar' is not supported;*"},
        {CHAT, "\"guided_choice\":[]", 400, "*'guided_choice' wants an array of texts, found an empty one*"},
        {CHAT, "\"guided_choice\":[5]", 400, "*'guided_choice' wants texts that are not empty, found a number*"},
        {CHAT, "\"guided_regex\":\"(?<=a)b\"", 400, "*pattern, at byte 1 of*\"param\":\"guided_regex\"*"},
        {CHAT, "\"structured_outputs\":5", 400, "*'structured_outputs' wants an object, found a number*"},
        {CHAT, "\"guided_regex\":\"a\",\"json_schema\":{}", 400, "*'json_schema' and 'guided_regex' both say*"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char body[512];
        (void)snprintf(body, sizeof body, "{" ASK ",%s}", rows[i].field);
        expect(rows[i].path, body, rows[i].status, rows[i].pattern);
    }
}

/* What a client without the bias is answered begins with these letters; with it, with others. */
static void test_biases(void **state)
{
    static const char *const biases[] = {"{\"%s\":-100}", "[[\"%s\",false]]", "[[\"%s\",-100],[5,1]]"};
    struct reply      reply = client_ask(&server, CHAT, "{" ASK ",\"max_tokens\":1}");
    char *const       first = json_text(reply.body, "content");
    (void)state;
    reply_free(&reply);
    for (size_t i = 0; i < sizeof biases / sizeof biases[0]; i++) {
        char bias[100], body[400];
        (void)snprintf(bias, sizeof bias, biases[i], first);
        (void)snprintf(body, sizeof body, "{" ASK ",\"max_tokens\":1,\"logit_bias\":%s}", bias);
        reply = client_ask(&server, CHAT, body);
        assert_int_equal(reply.status, 200);
        char *const other = json_text(reply.body, "content");
        assert_string_not_equal(other, first);
        free(other);
        reply_free(&reply);
    }
    free(first);
    expect(CHAT, "{" ASK ",\"logit_bias\":[[\"\",1]]}", 400, "*numbers of tokens, or texts of 1 to *, found ''*");
    expect(CHAT, "{" ASK ",\"logit_bias\":{\"1\":\"x\"}}", 400, "*numbers or false, found a text*");
    expect(CHAT, "{" ASK ",\"logit_bias\":[5]}", 400, "*wants pairs*");
    expect(CHAT, "{" ASK ",\"repeat_last_n\":-1,\"repeat_penalty\":1.2}", 200, "*");
    expect(CHAT, "{" ASK ",\"repetition_penalty\":\"x\"}", 400, "*'repetition_penalty' wants a number*");
}

/* Anthropic's clients begin the answer by a last message of the assistant, and name tools that Anthropic runs. */
static void test_messages(void **state)
{
    struct reply plain = client_ask(&server, CHAT, "{\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"},{\"role\":"
        "\"assistant\",\"content\":\"The\"}],\"continue_final_message\":true,\"add_generation_prompt\":false,"
        "\"max_tokens\":6}");
    struct reply begun = client_ask(&server, "/v1/messages", "{\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"},"
        "{\"role\":\"assistant\",\"content\":[{\"type\":\"text\",\"text\":\"The\"}]}],\"max_tokens\":6}");
    char *const wanted = json_text(plain.body, "content"), *const found = json_text(begun.body, "text");
    (void)state;
    assert_non_null(wanted);
    assert_string_equal(found, wanted);
    free(wanted);
    free(found);
    reply_free(&plain);
    reply_free(&begun);
    expect("/v1/messages", "{" ASK ",\"tools\":[{\"type\":\"web_search_20250305\",\"name\":\"web_search\"}],"
                           "\"tool_choice\":{\"type\":\"any\"}}", 400, "*'tool_choice' wants 'tools'*");
    char *const long_one = long_text(900, 3);
    char        body[9000];
    (void)snprintf(body, sizeof body, "{\"messages\":[{\"role\":\"user\",\"content\":\"%s\"}],\"max_tokens\":6}",
                   long_one);
    expect("/v1/messages", body, 400, "{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\","
                                      "\"message\":\"prompt is too long: * tokens > * maximum\"}}");
    free(long_one);
    expect("/v1/messages", NULL, 405, "{\"type\":\"error\",*");
    expect("/v1/responses", "{\"input\":\"a\",\"conversation\":\"c\"}", 400, "*'conversation' is not supported*");
}

/* What llama.cpp's clients show while they wait. */
static void test_progress(void **state)
{
    static const char *const options[] = {"-t", "1", "--temp", "0", "-c", "4096", "--step-rows", "1", NULL};
    const struct serving     usual = server;
    char *const              words = long_text(1500, 7);
    char *const              body = malloc(20000);
    (void)state;
    assert_non_null(body);
    (void)snprintf(body, 20000, "{\"prompt\":\"%s\",\"n_predict\":2,\"ignore_eos\":true,\"stream\":true,"
                                "\"return_progress\":true,\"timings_per_token\":true,\"sse_ping_interval\":-1}", words);
    server = serving_start(options);
    expect("/completion", body, 200,
           "data: {\"index\":0,\"content\":\"\",\"stop\":false,\"prompt_progress\":{\"total\":*,\"cache\":0,"
           "\"processed\":*,\"time_ms\":*}}\n\n*\"stop\":false,*\"timings\":{\"cache_n\":0,*}*\"stop\":true*");
    const int status = serving_stop(&server);
    server = usual;
    free(words);
    free(body);
    assert_int_equal(status, 0);
    expect(CHAT, "{" ASK ",\"max_tokens\":1,\"stream\":true,\"timings_per_token\":true}", 200,
           "data: *\"delta\":{\"content\":\"*\"}*\"timings\":{*\n\ndata: *\"finish_reason\":\"length\"*[DONE]*");
    expect(CHAT, "{" ASK ",\"sse_ping_interval\":\"x\"}", 400, "*'sse_ping_interval' wants a whole number*");
}

static struct reply ask_with(const char *path, const char *headers, const char *body)
{
    const int fd = client_open(&server, 0);
    client_send(fd, path, headers, body);
    const struct reply reply = client_read(fd, NULL);
    (void)close(fd);
    return reply;
}

static void test_http(void **state)
{
    (void)state;
    expect("/v1/models/calmoe-nano", NULL, 200, "{\"id\":\"calmoe-nano\",\"object\":\"model\",*");
    expect("/models/other", NULL, 404, "*no model 'other' here; 'calmoe-nano' is*");
    expect("/models/", NULL, 404, "*there is no '/models/' here*");
    expect("/models/c%61lmoe%2Dnano", NULL, 200, "{\"id\":\"calmoe-nano\",*");
    expect("/%00", NULL, 404, "*there is no '/%00' here*");
    expect("/health%00x", NULL, 404, "*");
    expect("/%4", NULL, 404, "*there is no '/%4' here*");
    expect("http://localhost:1/health", NULL, 200, "{\"status\":\"ok\"}");
    expect("/tokenize", "\xEF\xBB\xBF{\"content\":\"a\"}", 200, "{\"tokens\":*");
    expect(CHAT, "\xEF\xBB\xBF{" ASK "}", 200, "{\"id\":*");
    expect(CHAT, "", 400, "*the body is empty; a JSON object is wanted*");
    expect("/completion", "{\"prompt\":[\"a\",\"b\"]}", 400, "*'prompt' wants one prompt, found 2*");
    struct reply reply = ask_with(CHAT, "Content-Encoding: gzip\r\n", "xyz");
    assert_int_equal(reply.status, 415);
    assert_fits(reply.body, "*coded as 'gzip', which is not read*");
    reply_free(&reply);
    reply = ask_with("/slots", "Content-Encoding: identity\r\n", NULL);
    assert_int_equal(reply.status, 200);
    reply_free(&reply);
    reply = ask_with(CHAT, "", NULL);
    assert_int_equal(reply.status, 405);
    assert_non_null(strstr(reply.head, "Allow: POST\r\n"));
    reply_free(&reply);
}

int main(int argc, char **argv)
{
    serving_begin(argc, argv);
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_forms), cmocka_unit_test(test_biases),
                                       cmocka_unit_test(test_messages), cmocka_unit_test(test_progress),
                                       cmocka_unit_test(test_http)};
    return cmocka_run_group_tests(tests, start, stop);
}
