/* test_serve_forms.c - what clients see, literally: answers, streams, errors, tokens, what is told of the server. */
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
    static const char *const options[] = {"-t", "2", "--temp", "0", "--max-body", "1", NULL};
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

#define ASK "\"messages\":[{\"role\":\"user\",\"content\":\"What does ls do?\"}],"                                    \
            "\"max_tokens\":4,\"ignore_eos\":true"
#define HEAD "\"created\":*,\"model\":\"calmoe-nano\",\"system_fingerprint\":\"*\","
#define USAGE(prompt, answer) "\"usage\":{\"prompt_tokens\":" prompt ",\"completion_tokens\":" answer                  \
                              ",\"total_tokens\":*,\"prompt_tokens_details\":{\"cached_tokens\":*}}"
#define TIMINGS "\"timings\":{\"cache_n\":*,\"prompt_n\":*,\"prompt_ms\":*,\"prompt_per_token_ms\":*,"             \
                "\"prompt_per_second\":*,\"predicted_n\":*,\"predicted_ms\":*,\"predicted_per_token_ms\":*,"       \
                "\"predicted_per_second\":*}"
#define OWN "\"calmoe\":{\"layers\":10,\"experts\":40,\"rung\":null,\"cached_tokens\":*,\"slot\":*}"

static void test_chat(void **state)
{
    (void)state;
    expect("/v1/chat/completions", "{" ASK "}", 200,
           "{\"id\":\"chatcmpl-*\",\"object\":\"chat.completion\"," HEAD
           "\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"*\"},\"logprobs\":null,"
           "\"finish_reason\":\"length\"}]," USAGE("*", "4") "," TIMINGS "," OWN "}");
    expect("/chat/completions", "{" ASK ",\"logprobs\":true,\"top_logprobs\":2,\"max_completion_tokens\":1}", 200,
           "*\"logprobs\":{\"content\":[{\"id\":*,\"token\":\"*\",\"bytes\":[*],\"logprob\":-*,\"top_logprobs\":["
           "{\"id\":*,\"token\":\"*\",\"bytes\":[*],\"logprob\":-*},{\"id\":*}]}]},\"finish_reason\":\"length\"}]*"
           "\"completion_tokens\":1,*");
    expect("/v1/chat/completions", "{" ASK ",\"max_tokens\":100000,\"model\":\"mine\"}", 200,
           "*\"model\":\"mine\",*\"finish_reason\":\"*\"*");
}

/* One event of a stream is *at; the next one is then. */
static char *next_event(char **at)
{
    char *const event = *at, *end = strstr(event, "\n\n");
    assert_non_null(end);
    *end = '\0';
    *at  = end + 2;
    return event;
}

#define CHUNK(rest) "data: {\"id\":\"chatcmpl-*\",\"object\":\"chat.completion.chunk\"," HEAD "\"choices\":[" rest "}"

static void test_chat_stream(void **state)
{
    struct reply reply = client_ask(&server, "/v1/chat/completions",
                                    "{" ASK ",\"stream\":true,\"stream_options\":{\"include_usage\":true}}");
    char        *at = reply.body;
    (void)state;
    assert_int_equal(reply.status, 200);
    assert_true(reply.is_whole);
    assert_non_null(strstr(reply.head, "Content-Type: text/event-stream\r\n"));
    assert_non_null(strstr(reply.head, "Cache-Control: no-cache\r\n"));
    assert_fits(next_event(&at), CHUNK("{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":null},"
                                       "\"logprobs\":null,\"finish_reason\":null}]"));
    /* A chunk for each token that has a text; the one that ends an answer, which goes on here, has none. */
    int         n_chunks = 0;
    const char *event = next_event(&at);
    for (; fits(event, CHUNK("{\"index\":0,\"delta\":{\"content\":\"*\"},\"logprobs\":null,\"finish_reason\":null}]"));
         n_chunks++)
        event = next_event(&at);
    assert_in_range(n_chunks, 1, 4);
    assert_fits(event, CHUNK("{\"index\":0,\"delta\":{},\"logprobs\":null,\"finish_reason\":\"length\"}],"
                                       TIMINGS "," OWN));
    assert_fits(next_event(&at), CHUNK("]," USAGE("*", "4")));
    assert_string_equal(at, "data: [DONE]\n\n");
    reply_free(&reply);
}

static void test_completions(void **state)
{
    (void)state;
    expect("/v1/completions", "{\"prompt\":\"The function\",\"max_tokens\":3,\"ignore_eos\":true}", 200,
           "{\"id\":\"cmpl-*\",\"object\":\"text_completion\"," HEAD "\"choices\":[{\"text\":\"*\",\"index\":0,"
           "\"logprobs\":null,\"finish_reason\":\"length\"}]," USAGE("2", "3") "," TIMINGS "," OWN "}");
    expect("/v1/completions", "{\"prompt\":\"The function\",\"max_tokens\":1,\"echo\":true,\"logprobs\":2}", 200,
           "*\"choices\":[{\"text\":\"The function*\",\"index\":0,\"logprobs\":{\"tokens\":[\"The\",\" function\","
           "\"*\"],\"token_logprobs\":[null,-*,-*],\"top_logprobs\":[null,{\"*\":-*,\"*\":-*},{\"*\":-*,\"*\":-*}],"
           "\"text_offset\":[0,3,12]},\"finish_reason\":\"length\"}]*");
    expect("/v1/completions", "{\"prompt\":\"The function\",\"max_tokens\":0,\"echo\":true,\"logprobs\":1}", 200,
           "*\"choices\":[{\"text\":\"The function\",\"index\":0,\"logprobs\":{\"tokens\":[\"The\",\" function\"],"
           "*\"completion_tokens\":0*");
    expect("/v1/completions", "{\"prompt\":[\"One\",[4,5]],\"max_tokens\":1}", 200,
           "*\"choices\":[{\"text\":\"*\",\"index\":0*},{\"text\":\"*\",\"index\":1*}],\"usage\":{*}}");
    expect("/v1/completions", "{\"prompt\":\"The function\",\"max_tokens\":1,\"stream\":true}", 200,
           "data: {*\"choices\":[{\"text\":\"*\",\"index\":0,\"logprobs\":null,\"finish_reason\":null}]}\n\n"
           "data: {*\"choices\":[{\"text\":\"\",\"index\":0,\"logprobs\":null,\"finish_reason\":\"length\"}],*}\n\n"
           "data: [DONE]\n\n");
    expect("/completion", "{\"prompt\":\"The function\",\"n_predict\":1}", 200,
           "{\"index\":0,\"content\":\"*\",\"stop\":true,\"id_slot\":*,\"model\":\"calmoe-nano\","
           "\"tokens_predicted\":1,\"tokens_evaluated\":2,\"tokens_cached\":*,\"truncated\":false,"
           "\"stop_type\":\"limit\",*}");
}

/* The stop text is in no answer, nor is what stands behind it; it may go across tokens. */
static void test_stops(void **state)
{
#define TWELVE "{\"prompt\":\"The function\",\"max_tokens\":12,\"ignore_eos\":true"
    struct reply plain = client_ask(&server, "/v1/completions", TWELVE "}");
    char        *text = json_text(plain.body, "text");
    char         body[300], stop[8] = "";
    (void)state;
    static const char plainly[] = "abcdefghijklmnopqrstuvwxyz ";
    size_t            middle    = 5; /* of the answer: four bytes that JSON writes as they are */
    while (middle + 4 < strlen(text) && strspn(text + middle, plainly) < 4) middle++;
    assert_true(middle + 4 < strlen(text));
    memcpy(stop, text + middle, 4);
    (void)snprintf(body, sizeof body, TWELVE ",\"stop\":[\"%s\",\"@@\"]}", stop);
    struct reply stopped = client_ask(&server, "/v1/completions", body);
    char        *shorter = json_text(stopped.body, "text");
    assert_int_equal(strlen(shorter), (size_t)(strstr(text, stop) - text));
    assert_memory_equal(shorter, text, strlen(shorter));
    assert_non_null(strstr(stopped.body, "\"finish_reason\":\"stop\""));
    free(text);
    free(shorter);
    reply_free(&plain);
    reply_free(&stopped);
}

static void test_texts(void **state)
{
    struct reply reply = client_ask(&server, "/tokenize", "{\"content\":\"Hello\"}");
    char         body[300];
    (void)state;
    assert_fits(reply.body, "{\"tokens\":[*],\"count\":*,\"max_model_len\":512}");
    (void)snprintf(body, sizeof body, "%.*s}", (int)strcspn(reply.body, "]") + 1, reply.body);
    reply_free(&reply);
    expect("/tokenize", "{\"content\":\"w\",\"with_pieces\":true}", 200, "{\"tokens\":[{\"id\":*,\"piece\":\"w\"}],*");
    expect("/detokenize", body, 200, "{\"content\":\"Hello\",\"prompt\":\"Hello\"}");
    expect("/apply-template", "{\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]}", 200,
           "{\"prompt\":\"<|im_start|>user\\nHi<|im_end|>\\n<|im_start|>assistant\\n\"}");
}

static void test_itself(void **state)
{
    (void)state;
    expect("/health", NULL, 200, "{\"status\":\"ok\"}");
    expect("/v1/health", NULL, 200, "{\"status\":\"ok\"}");
    expect("/v1/models", NULL, 200,
           "{\"object\":\"list\",\"data\":[{\"id\":\"calmoe-nano\",\"object\":\"model\",\"created\":*,\"owned_by\":"
           "\"calmoe\",\"max_model_len\":512,\"meta\":{\"vocab_type\":\"*\",\"n_vocab\":5120,\"n_ctx_train\":512,"
           "\"n_embd\":256,\"n_params\":*,\"size\":*}}],\"models\":[*]}");
    expect("/props", NULL, 200, "{\"default_generation_settings\":{\"n_ctx\":512,*},\"total_slots\":4,*"
                                "\"chat_template_caps\":{*\"supports_system_role\":true,\"supports_tools\":false,*},*"
                                "\"modalities\":{\"vision\":false,\"audio\":false},\"build_info\":\"calmoe *\"}");
    expect("/slots", NULL, 200, "[{\"id\":0,*},{\"id\":1,*},{\"id\":2,*},{\"id\":3,*}]");
    expect("/metrics", NULL, 200,
           "*calmoe_prompt_tokens_total *\ncalmoe_tokens_predicted_total *\ncalmoe_requests_processing 0\n*"
           "calmoe_requests_deferred 0\n*calmoe_time_to_first_token_seconds_bucket{le=\"+Inf\"} *"
           "calmoe_inter_token_latency_seconds_sum *calmoe_stats_*");
}

#define WRONG(message) "{\"error\":{\"code\":400,\"message\":\"" message "\",\"type\":\"invalid_request_error\"*}}"

static void test_errors(void **state)
{
    char *const longer = long_text(600, 1);
    char        body[6000];
    (void)state;
    expect("/v1/chat/completions", "{\"messages\":", 400, WRONG("the body is no JSON: *"));
    expect("/v1/chat/completions", "[1]", 400, WRONG("*wants to be a JSON object, found an array"));
    expect("/v1/chat/completions", "{}", 400, WRONG("*messages*"));
    expect("/v1/chat/completions", "{\"messages\":\"\xff\"}", 400, WRONG("*"));
    expect("/v1/chat/completions", "{" ASK ",\"temperature\":\"hot\"}", 400,
           WRONG("'temperature' wants a number, found a text") );
    expect("/v1/chat/completions", "{" ASK ",\"top_logprobs\":21,\"logprobs\":true}", 400, WRONG("'top_logprobs' *"));
    expect("/v1/chat/completions", "{" ASK ",\"n\":2}", 400, WRONG("'n' wants 1*"));
    expect("/v1/chat/completions", "{" ASK ",\"mirostat\":2}", 400, WRONG("'mirostat' is not supported: *"));
    expect("/v1/chat/completions", "{" ASK ",\"typical_p\":0.5}", 400, WRONG("'typical_p' is not supported: *"));
    expect("/v1/chat/completions", "{" ASK ",\"mirostat\":0,\"typical_p\":1,\"top_n_sigma\":-1,\"max_tokens\":1}", 200,
           "*");
    expect("/v1/chat/completions", "{" ASK ",\"stop\":5}", 400, WRONG("'stop' *"));
    expect("/v1/chat/completions", "{" ASK ",\"logit_bias\":{\"7000000\":1}}", 400, WRONG("'logit_bias' *"));
    expect("/v1/chat/completions", "{" ASK ",\"calmoe\":{\"quality\":0.01}}", 400, WRONG("*policy*"));
    expect("/v1/completions", "{\"prompt\":5}", 400, WRONG("'prompt' *"));
    expect("/v1/completions", "{\"prompt\":[99999]}", 400, WRONG("'prompt' *"));
    expect("/nowhere", "{}", 404, "{\"error\":{\"code\":404,\"message\":\"*\",\"type\":\"not_found_error\"}}");
    expect("/v1/models", "{}", 405, "{\"error\":{\"code\":405,*");
    expect("/slots/0?action=save", "{\"filename\":\"a\"}", 501, "*\"type\":\"not_supported_error\"*");
    (void)snprintf(body, sizeof body, "{\"prompt\":\"%s\",\"stream\":true}", longer);
    expect("/v1/completions", body, 400,
           "{\"error\":{\"code\":400,\"message\":\"*exceeds the available context size*\",\"type\":"
           "\"exceed_context_size_error\",\"n_prompt_tokens\":6*,\"n_ctx\":512}}");
    free(longer);
}

/* Brackets without end, in what is not looked at and in what is. */
static void test_deep_json(void **state)
{
    static const char *const around[] = {"{\"other\":", "{\"messages\":", "{\"prompt\":"};
    char body[6000];
    (void)state;
    for (size_t i = 0; i < sizeof around / sizeof around[0]; i++)
        for (int depth = 1900; depth < 5000; depth += 3000) {
            int n = snprintf(body, sizeof body, "%s", around[i]);
            memset(body + n, '[', (size_t)depth);
            body[n + depth] = '\0';
            expect("/v1/chat/completions", body, 400, WRONG("*"));
            expect("/v1/messages", body, 400, "*");
        }
}

static void test_large_body(void **state)
{
    char *const body = malloc((2 << 20) + 1);
    (void)state;
    assert_non_null(body);
    memset(body, ' ', 2 << 20);
    body[2 << 20] = '\0';
    expect("/v1/completions", body, 413, "{\"error\":{\"code\":413,*");
    free(body);
}

int main(int argc, char **argv)
{
    serving_begin(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chat),  cmocka_unit_test(test_chat_stream), cmocka_unit_test(test_completions),
        cmocka_unit_test(test_stops), cmocka_unit_test(test_texts),       cmocka_unit_test(test_itself),
        cmocka_unit_test(test_errors), cmocka_unit_test(test_deep_json),   cmocka_unit_test(test_large_body),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
