/* test_serve_leaving.c - clients that leave, read slowly, or say nothing; queues that are full; a server that ends: no
 * slot stays busy, and nobody else notices. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/serve/serving.h"

#define ENDLESS "\"ignore_eos\":true,\"max_tokens\":-1,\"temperature\":0"

static struct serving server;

static int start(void **state)
{
    static const char *const options[] = {"-t", "1", "-c", "16000", "--parallel", "2", "--queue", "2", "--step-rows",
                                          "32", "--max-unread", "64", NULL};
    (void)state;
    server = serving_start(options);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    return serving_stop(&server);
}

static int begin(const char *path, const char *body, const char *until)
{
    const int fd = client_open(&server, 0);
    client_send(fd, path, "", body);
    if (until != NULL) {
        struct reply reply = client_read(fd, until);
        assert_non_null(reply.body);
        assert_non_null(strstr(reply.body, until));
        reply_free(&reply);
    }
    return fd;
}

/* Another client, before and after, gets the same short answer. */
static char *short_answer(void)
{
    struct reply reply = client_ask(&server, "/v1/completions",
                                    "{\"prompt\":\"The function\",\"max_tokens\":8,\"temperature\":0}");
    assert_int_equal(reply.status, 200);
    char *const text = json_text(reply.body, "text");
    assert_non_null(text);
    reply_free(&reply);
    return text;
}

static double metric(const char *name)
{
    struct reply reply = client_ask(&server, "/metrics", NULL);
    char         line[100];
    (void)snprintf(line, sizeof line, "\n%s ", name);
    const char *const at = strstr(reply.body, line);
    assert_non_null(at);
    const double value = strtod(at + strlen(line), NULL);
    reply_free(&reply);
    return value;
}

/* Until the metric has that value; a server that is under way gets there. */
static void wait_for_metric(const char *name, double value)
{
    const double until = seconds_now() + WAIT_SECONDS;
    while (metric(name) != value) {
        if (seconds_now() > until) fail_msg("%s is %g, not %g", name, metric(name), value);
        sleep_milliseconds(5);
    }
}

/* Until so many tokens of the prompt that is being read alone are read. */
static void wait_for_prompt(int n_tokens)
{
    static const char name[] = "\"n_prompt_tokens_processed\":";
    const double      until = seconds_now() + WAIT_SECONDS;
    for (long n = 0; n < n_tokens;) {
        struct reply reply = client_ask(&server, "/slots", NULL);
        const char *const at = reply.body != NULL ? strstr(reply.body, name) : NULL;
        n = at != NULL ? strtol(at + strlen(name), NULL, 10) : 0;
        reply_free(&reply);
        if (n < n_tokens && seconds_now() > until) fail_msg("%ld tokens of the prompt are read", n);
        if (n < n_tokens) sleep_milliseconds(5);
    }
}

static char *prompt_request(int n_words, int seed, const char *more)
{
    char *const text = long_text(n_words, seed);
    const size_t n = strlen(text) + 400;
    char *const body = malloc(n);
    assert_non_null(body);
    (void)snprintf(body, n, "{\"prompt\":\"%s\",%s%s}", text, ENDLESS, more);
    free(text);
    return body;
}

/* While it is read, while it is answered, streamed or not, and while it waits for a slot. */
static void test_clients_that_leave(void **state)
{
    char *const  before = short_answer(), *const prompt = prompt_request(12000, 5, ",\"stream\":true");
    const double n_cancelled = metric("calmoe_requests_cancelled_total");
    const char  *plain = "{\"prompt\":\"The\"," ENDLESS "}", *stream = "{\"prompt\":\"A\",\"stream\":true," ENDLESS "}";
    (void)state;
    const int answered = begin("/v1/completions", stream, "\"text\":\"");
    (void)close(answered);
    wait_until_idle(&server);
    const int read_in = begin("/v1/completions", prompt, NULL);
    wait_for_prompt(1);
    (void)close(read_in);
    wait_until_idle(&server);
    const int waits = begin("/v1/completions", plain, NULL);
    wait_for_metric("calmoe_requests_processing", 1);
    (void)close(waits);
    wait_until_idle(&server);
    int       busy[2];
    for (int i = 0; i < 2; i++) busy[i] = begin("/v1/completions", stream, "\"text\":\"");
    const int queued = begin("/v1/completions", plain, NULL);
    wait_for_metric("calmoe_requests_deferred", 1);
    (void)close(queued);
    wait_for_metric("calmoe_requests_deferred", 0);
    assert_true(metric("calmoe_requests_processing") == 2);
    (void)close(busy[0]);
    (void)close(busy[1]);
    wait_until_idle(&server);
    assert_true(metric("calmoe_requests_cancelled_total") == n_cancelled + 6);
    char *const after = short_answer();
    assert_string_equal(before, after);
    free(before);
    free(after);
    free(prompt);
}

/* What was read for a client that left is there for the next one. */
static void test_prefix_is_kept(void **state)
{
    char *const body = prompt_request(1500, 9, ",\"stream\":true"), *const again = prompt_request(1500, 9, "");
    (void)state;
    const int fd = begin("/v1/completions", body, NULL);
    wait_for_prompt(40);
    (void)close(fd);
    wait_until_idle(&server);
    char *const limit = strstr(again, "-1");
    limit[0] = ' ';
    struct reply reply = client_ask(&server, "/v1/completions", again);
    assert_int_equal(reply.status, 200);
    const char *const cached = strstr(reply.body, "\"cached_tokens\":");
    assert_non_null(cached);
    assert_true(strtol(cached + 16, NULL, 10) > 30);
    reply_free(&reply);
    free(body);
    free(again);
}

static void test_slow_reader(void **state)
{
    (void)state;
    const int fd = client_open(&server, 4096);
    client_send(fd, "/v1/chat/completions", "",
                "{\"messages\":[{\"role\":\"user\",\"content\":\"Go\"}],\"stream\":true,\"logprobs\":true,"
                "\"top_logprobs\":20,\"calmoe\":{\"routing\":true}," ENDLESS "}");
    struct reply reply = client_read(fd, "\"content\":\"");
    reply_free(&reply);
    free(short_answer());
    wait_until_idle(&server);
    assert_true(metric("calmoe_requests_failed_total") == 1);
    (void)close(fd);
}

static void test_full_queue(void **state)
{
    const char *const stream = "{\"prompt\":\"A\",\"stream\":true," ENDLESS "}";
    int fds[4];
    (void)state;
    for (int i = 0; i < 2; i++) fds[i] = begin("/v1/completions", stream, "\"text\":\"");
    for (int i = 2; i < 4; i++) fds[i] = begin("/v1/completions", stream, NULL);
    wait_for_metric("calmoe_requests_deferred", 2);
    struct reply reply = client_ask(&server, "/v1/completions", stream);
    assert_int_equal(reply.status, 429);
    assert_non_null(strstr(reply.head, "Retry-After: "));
    assert_fits(reply.body, "{\"error\":{\"code\":429,\"message\":\"*\",\"type\":\"rate_limit_error\"}}");
    reply_free(&reply);
    reply = client_ask(&server, "/slots?fail_on_no_slot=1", NULL);
    assert_int_equal(reply.status, 503);
    reply_free(&reply);
    for (int i = 0; i < 4; i++) (void)close(fds[i]);
    wait_until_idle(&server);
}

static void test_idle_connections(void **state)
{
    int fds[100];
    (void)state;
    for (int i = 0; i < 100; i++) fds[i] = client_open(&server, 0);
    free(short_answer());
    client_send(fds[99], "/health", "", NULL);
    struct reply reply = client_read(fds[99], NULL);
    assert_int_equal(reply.status, 200);
    reply_free(&reply);
    client_send(fds[99], "/health", "", NULL); /* on the same connection */
    reply = client_read(fds[99], NULL);
    assert_int_equal(reply.status, 200);
    reply_free(&reply);
    for (int i = 0; i < 100; i++) (void)close(fds[i]);
}

/* Who waits too long for a slot is told; the one that has it goes on. */
static void test_queue_timeout(void **state)
{
    static const char *const options[] = {"-t", "1", "-c", "16000", "--parallel", "1", "--queue-timeout", "1", NULL};
    struct serving           own = serving_start(options);
    const int                fd = client_open(&own, 0);
    (void)state;
    client_send(fd, "/v1/completions", "", "{\"prompt\":\"A\",\"stream\":true," ENDLESS "}");
    struct reply reply = client_read(fd, "\"text\":\"");
    assert_int_equal(reply.status, 200);
    reply_free(&reply);
    reply = client_ask(&own, "/v1/completions", "{\"prompt\":\"B\",\"stream\":true}");
    assert_int_equal(reply.status, 503);
    assert_non_null(strstr(reply.head, "Retry-After: "));
    assert_fits(reply.body, "*\"type\":\"unavailable_error\"*");
    reply_free(&reply);
    reply = client_ask(&own, "/slots?fail_on_no_slot=1", NULL);
    assert_int_equal(reply.status, 503);
    reply_free(&reply);
    (void)close(fd);
    assert_int_equal(serving_stop(&own), 0);
}

/* Told to end, it lets answers end, takes no more, and leaves with status 0. */
static void test_drain(void **state)
{
    static const char *const options[] = {"-t", "1", "-c", "4000", NULL};
    struct serving           own = serving_start(options);
    (void)state;
    const int fd = client_open(&own, 0), other = client_open(&own, 0);
    client_send(other, "/health", "", NULL);
    struct reply reply = client_read(other, NULL);
    reply_free(&reply);
    client_send(fd, "/v1/completions", "",
                "{\"prompt\":\"A\",\"ignore_eos\":true,\"max_tokens\":1500,\"stream\":true,\"temperature\":0}");
    reply = client_read(fd, "\"text\":\"");
    assert_int_equal(reply.status, 200);
    reply_free(&reply);
    (void)kill(own.pid, SIGTERM);
    int status = 200;
    while (status == 200) { /* until it has heard of it */
        client_send(other, "/v1/completions", "", "{\"prompt\":\"A\",\"max_tokens\":1}");
        reply = client_read(other, NULL);
        status = reply.status;
        reply_free(&reply);
    }
    assert_int_equal(status, 503);
    reply = client_read(fd, "data: [DONE]");
    assert_int_equal(serving_stop(&own), 0);
    (void)close(fd);
    (void)close(other);
    reply_free(&reply);
}

int main(int argc, char **argv)
{
    serving_begin(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_clients_that_leave), cmocka_unit_test(test_prefix_is_kept),
        cmocka_unit_test(test_slow_reader), cmocka_unit_test(test_full_queue),
        cmocka_unit_test(test_idle_connections), cmocka_unit_test(test_queue_timeout), cmocka_unit_test(test_drain),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
