/* test_serve_apis.c - the other APIs, literally: Anthropic's messages, OpenAI's responses; and who may ask: keys,
 * hosts, pages of other sites. */
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
    static const char *const options[] = {"-t", "2", "--temp", "0", "--api-key", "first", "--api-key", "second",
                                          "--allow-host", "models.example", "--cors-origin",
                                          "https://ui.example", NULL};
    (void)state;
    server = serving_start(options);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    return serving_stop(&server);
}

static struct reply ask(const char *path, const char *headers, const char *body)
{
    const int fd = client_open(&server, 0);
    client_send(fd, path, headers, body);
    const struct reply reply = client_read(fd, NULL);
    (void)close(fd);
    return reply;
}

static void expect(const char *path, const char *headers, const char *body, int status, const char *pattern)
{
    struct reply reply = ask(path, headers, body);
    if (reply.status != status) fprintf(stderr, "%s %s\n   %s\n", path, body ? body : "", reply.body);
    assert_int_equal(reply.status, status);
    assert_fits(reply.body, pattern);
    reply_free(&reply);
}

#define KEY "X-Api-Key: second\r\n"
#define ASK "\"messages\":[{\"role\":\"user\",\"content\":\"What does ls do?\"}],"                                    \
            "\"max_tokens\":3,\"ignore_eos\":true"
#define COUNTS(output) "\"usage\":{\"input_tokens\":*,\"cache_creation_input_tokens\":0,"                           \
                       "\"cache_read_input_tokens\":*,\"output_tokens\":" output "}"

static void test_messages(void **state)
{
    (void)state;
    expect("/v1/messages", KEY, "{" ASK ",\"system\":[{\"type\":\"text\",\"text\":\"Be brief.\"}]}", 200,
           "{\"id\":\"msg_*\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"calmoe-nano\",\"content\":["
           "{\"type\":\"text\",\"text\":\"*\"}],\"stop_reason\":\"max_tokens\",\"stop_sequence\":"
           "null," COUNTS("3") "*}");
    expect("/v1/messages", KEY, "{" ASK ",\"max_tokens\":40,\"stop_sequences\":[\"a\",\"e\",\"i\",\"o\",\" \"]}", 200,
           "*\"stop_reason\":\"stop_sequence\",\"stop_sequence\":\"*\",*");
    expect("/v1/messages", KEY, "{\"max_tokens\":3}", 400,
           "{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\",\"message\":\"'messages' *\"}}");
    expect("/v1/messages", KEY, "{\"max_tokens\":3,\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":"
            "\"image\"}]}]}",
           400, "{\"type\":\"error\",\"error\":{\"type\":\"not_supported_error\",*");
    expect("/v1/messages/count_tokens", KEY, "{" ASK "}", 200, "{\"input_tokens\":*}");
}

/* The first line of the system text that changes with each request is dropped, so that the prompt is known. */
static void test_billing_line(void **state)
{
    static const char *const systems[] = {"x-anthropic-billing-header: cch=1;\\nBe kind and brief, whatever comes.",
                                          "x-anthropic-billing-header: cch=22;\\nBe kind and brief, whatever comes."};
    char body[400];
    (void)state;
    for (int i = 0; i < 2; i++) {
        (void)snprintf(body, sizeof body, "{" ASK ",\"system\":\"%s\"}", systems[i]);
        expect("/v1/messages", KEY, body, 200, i == 0 ? "*" : "*\"usage\":{\"input_tokens\":1,*");
    }
}

static void test_messages_stream(void **state)
{
    (void)state;
    expect("/v1/messages", KEY, "{" ASK ",\"stream\":true}", 200,
           "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_*\",\"type\":\"message\","
           "\"role\":\"assistant\",\"model\":\"calmoe-nano\",\"content\":[],\"stop_reason\":null,\"stop_sequence\":"
           "null,"
           COUNTS("0") "}}\n\n"
           "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{"
           "\"type\":\"text\",\"text\":\"\"}}\n\n"
           "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":"
           "\"text_delta\",\"text\":\"*\"}}\n\n*"
           "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n"
           "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"max_tokens\","
           "\"stop_sequence\":null}," COUNTS("3") "*}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n");
}

#define ITEM "{\"id\":\"msg_*\",\"type\":\"message\",\"status\":\"completed\",\"role\":\"assistant\","              \
             "\"content\":[{\"type\":\"output_text\",\"text\":\"*\",\"annotations\":[],\"logprobs\":[]}]}"

static void test_responses(void **state)
{
    (void)state;
    expect("/v1/responses", KEY, "{\"input\":\"Hello\",\"instructions\":\"Be brief\",\"max_output_tokens\":3}", 200,
           "{\"id\":\"resp_*\",\"object\":\"response\",\"created_at\":*,\"status\":\"incomplete\",\"error\":null,"
           "\"incomplete_details\":{\"reason\":\"max_output_tokens\"},*\"output\":[" ITEM "],*\"usage\":{"
           "\"input_tokens\":*,"
           "\"input_tokens_details\":{\"cached_tokens\":*},\"output_tokens\":3,\"output_tokens_details\":{"
           "\"reasoning_tokens\":0},\"total_tokens\":*}*}");
    expect("/v1/responses", KEY,
           "{\"stream\":true,\"max_output_tokens\":3,\"input\":[{\"role\":\"user\",\"content\":[{\"type\":"
           "\"input_text\","
           "\"text\":\"Hello\"}]},{\"type\":\"reasoning\",\"summary\":[]},{\"role\":\"assistant\",\"content\":[{"
           "\"type\":"
           "\"output_text\",\"text\":\"Yes?\"}]},{\"role\":\"user\",\"content\":\"Go on\"}]}", 200,
           "event: response.created\ndata: {\"type\":\"response.created\",\"sequence_number\":0,\"response\":{*}}\n\n"
           "event: response.in_progress\ndata: {*}\n\n"
           "event: response.output_item.added\ndata: {\"type\":\"response.output_item.added\",\"sequence_number\":2,"
           "\"output_index\":0,\"item\":{\"id\":\"msg_*\",\"type\":\"message\",\"status\":\"in_progress\",*}}\n\n"
           "event: response.content_part.added\ndata: {*\"content_index\":0,\"part\":{*}}\n\n"
           "event: response.output_text.delta\ndata: {*\"item_id\":\"msg_*\",\"output_index\":0,\"content_index\":0,"
           "\"delta\":\"*\",*}\n\n*"
           "event: response.output_text.done\ndata: {*\"text\":\"*\",*}\n\n"
           "event: response.content_part.done\ndata: {*}\n\n"
           "event: response.output_item.done\ndata: {*\"item\":" ITEM "}\n\n"
           "event: response.incomplete\ndata: {*\"status\":\"incomplete\",*\"output\":[" ITEM "],*}}\n\n");
    expect("/v1/responses", KEY, "{\"input\":\"Hello\",\"previous_response_id\":\"resp_1\"}", 400,
           "*'previous_response_id' is not supported*");
#define LOGPROB "{\"id\":*,\"token\":\"*\",\"bytes\":[*],\"logprob\":-*,\"top_logprobs\":[{*}]}"
    expect("/v1/responses", KEY, "{\"input\":\"Hello\",\"include\":[\"message.output_text.logprobs\"],"
                                 "\"top_logprobs\":1,\"max_output_tokens\":2,\"ignore_eos\":true}", 200,
           "*\"output\":[{*\"annotations\":[],\"logprobs\":[" LOGPROB "," LOGPROB "]}]}],*");
    expect("/v1/responses", KEY, "{\"input\":\"Hello\",\"stream\":true,\"top_logprobs\":1,\"max_output_tokens\":2,"
                                 "\"ignore_eos\":true}", 200,
           "*event: response.output_text.delta\ndata: {*\"logprobs\":[" LOGPROB "]}\n\n"
           "*event: response.output_text.done\ndata: {*\"logprobs\":[" LOGPROB "," LOGPROB "]}\n\n*");
    expect("/v1/responses", KEY, "{\"input\":[{\"type\":\"computer_call\"}]}", 400, "*\"type\":"
            "\"not_supported_error\"*");
}

static void test_keys(void **state)
{
    static const char *const wrong[] = {"", "Authorization: Bearer firs\r\n", "Authorization: Bearer firstfirst\r\n",
                                        "X-Api-Key: third\r\n", "Authorization: Bearer \r\n"};
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        expect("/v1/completions", wrong[i], "{\"prompt\":\"A\"}", 401,
               "{\"error\":{\"code\":401,\"message\":\"Invalid API Key\",\"type\":\"authentication_error\"}}");
    expect("/v1/completions", "Authorization: Bearer first\r\n", "{\"prompt\":\"A\",\"max_tokens\":1}", 200, "*");
    expect("/v1/models", "", NULL, 200, "*");
    expect("/health", "", NULL, 200, "*");
    expect("/metrics", "", NULL, 401, "*");
}

/* A name that another site has pointed here is not answered. */
static void test_hosts(void **state)
{
    (void)state;
    expect("/health", "Host: evil.example:8080\r\n", NULL, 403, "*\"type\":\"permission_error\"*");
    expect("/health", "Host: 127.0.0.1.evil.example\r\n", NULL, 403, "*");
    expect("/health", "Host: models.example:8080\r\n", NULL, 200, "*");
    expect("/health", "Host: 192.0.2.7\r\n", NULL, 200, "*");
    expect("/health", "Host: [::1]:8080\r\n", NULL, 200, "*");
}

static void test_origins(void **state)
{
    struct reply reply = ask("/health", "Origin: https://ui.example\r\n", NULL);
    (void)state;
    assert_non_null(strstr(reply.head, "Access-Control-Allow-Origin: https://ui.example\r\n"));
    assert_non_null(strstr(reply.head, "Access-Control-Allow-Credentials: true\r\n"));
    reply_free(&reply);
    reply = ask("/health", "Origin: https://other.example\r\n", NULL);
    assert_null(strstr(reply.head, "Access-Control-Allow-Origin"));
    reply_free(&reply);
    const int fd = client_open(&server, 0); /* before a key is asked for */
    static const char preflight[] = "OPTIONS /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nOrigin: "
                                    "https://ui.example\r\nAccess-Control-Request-Method: POST\r\n\r\n";
    assert_int_equal(write(fd, preflight, sizeof preflight - 1), (int)sizeof preflight - 1);
    reply = client_read(fd, "\r\n\r\n");
    assert_true(reply.status == 200 || reply.status == 204);
    assert_non_null(strstr(reply.head, "Access-Control-Allow-Methods: GET, POST\r\n"));
    reply_free(&reply);
    (void)close(fd);
}

static void test_page(void **state)
{
    struct reply reply = ask("/", "", NULL);
    (void)state;
    assert_int_equal(reply.status, 200);
    assert_non_null(strstr(reply.head, "Content-Type: text/html"));
    assert_null(strstr(reply.body, "http://"));
    assert_null(strstr(reply.body, "https://"));
    reply_free(&reply);
    expect("/calmoe/state", KEY, NULL, 200,
           "{\"model\":\"calmoe-nano\",\"version\":\"*\",\"layers\":10,\"experts\":24,\"used\":4,*\"rungs\":[],"
           "\"counts\":[[*],[*],[*],[*],[*],[*],[*],[*],[*],[*]]}");
}

int main(int argc, char **argv)
{
    serving_begin(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_messages), cmocka_unit_test(test_billing_line), cmocka_unit_test(test_messages_stream),
        cmocka_unit_test(test_responses), cmocka_unit_test(test_keys), cmocka_unit_test(test_hosts),
        cmocka_unit_test(test_origins), cmocka_unit_test(test_page),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
