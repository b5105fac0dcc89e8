/* test_serve_ends.c - how streams end: with their end, or with an error, or with a connection that is reset; never so
 * that a client could take a part of an answer for the whole. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/serve/serving.h"

#define ENDLESS "\"ignore_eos\":true,\"max_tokens\":-1,\"temperature\":0,\"stream\":true}"

static void stops_well(struct serving *serving)
{
    assert_int_equal(serving_stop(serving), 0);
}

/* A server that has no time to end its answers says so in each form that answers have. */
static void test_server_that_ends(void **state)
{
    static const struct { const char *path, *body, *begins, *error; } cases[] = {
        {"/v1/completions", "{\"prompt\":\"A\"," ENDLESS, "\"text\":\"", "data: {\"error\":{\"code\":503,"},
        {"/v1/chat/completions", "{\"messages\":[{\"role\":\"user\",\"content\":\"Go\"}]," ENDLESS, "\"content\":\"",
         "data: {\"error\":{\"code\":503,"},
        {"/v1/messages", "{\"messages\":[{\"role\":\"user\",\"content\":\"Go\"}]," ENDLESS, "text_delta",
         "event: error\ndata: {"},
        {"/v1/responses", "{\"input\":\"Go\"," ENDLESS, "output_text.delta", "event: error\ndata: {"},
        {"/completion", "{\"prompt\":\"A\"," ENDLESS, "\"content\":\"", "data: {\"error\":{\"code\":503,"},
    };
    enum { N = sizeof cases / sizeof cases[0] };
    static const char *const options[] = {"-t", "1", "-c", "16000", "--parallel", "8", "--drain", "0", NULL};
    struct serving serving = serving_start(options);
    int            fds[N];
    (void)state;
    for (int i = 0; i < N; i++) {
        fds[i] = client_open(&serving, 0);
        client_send(fds[i], cases[i].path, "", cases[i].body);
    }
    for (int i = 0; i < N; i++) {
        struct reply reply = client_read(fds[i], cases[i].begins);
        assert_int_equal(reply.status, 200);
        reply_free(&reply);
    }
    (void)kill(serving.pid, SIGTERM);
    for (int i = 0; i < N; i++) {
        char         rest[1 << 16];
        size_t       n = 0;
        ssize_t      more = 1;
        while (more > 0) {
            if (n > sizeof rest / 2) { /* only the end matters */
                memmove(rest, rest + n / 2, n - n / 2);
                n -= n / 2;
            }
            more = read(fds[i], rest + n, sizeof rest - 1 - n);
            n += more > 0 ? (size_t)more : 0;
        }
        rest[n] = '\0';
        if (strstr(rest, cases[i].error) == NULL || strcmp(rest + n - 5, "0\r\n\r\n") != 0)
            fail_msg("%s ended with %s", cases[i].path, rest + (n > 400 ? n - 400 : 0));
        (void)close(fds[i]);
    }
    stops_well(&serving);
}

/* Prompts that take longer than a connection may be idle, without comments that keep it busy: four at a time, read
 * token by token. */
static void test_silence(void **state)
{
    enum { N = 6 };
    static const char *const options[] = {"-t", "1", "-c", "4000", "--parallel", "6", "--step-rows", "1", "--ping", "0",
                                          "--timeout", "1", NULL};
    struct serving serving = serving_start(options);
    int            fds[N];
    (void)state;
    for (int i = 0; i < N; i++) {
        char *const text = long_text(450, i), *const body = malloc(8192);
        assert_non_null(body);
        (void)snprintf(body, 8192, "{\"prompt\":\"%s\",\"max_tokens\":3,\"ignore_eos\":true,\"stream\":true}", text);
        fds[i] = client_open(&serving, 0);
        client_send(fds[i], "/v1/completions", "", body);
        free(body);
        free(text);
    }
    for (int i = 0; i < N; i++) {
        struct reply reply = client_read(fds[i], NULL);
        assert_int_equal(reply.status, 200);
        assert_fits(reply.body, "data: {*data: [DONE]\n\n");
        assert_true(reply.is_whole);
        reply_free(&reply);
        (void)close(fds[i]);
    }
    stops_well(&serving);
}

/* HTTP/1.0 has no other mark of an answer's end than that the connection is closed. A client that ended its side is
 * taken to have left; it reads on here, and must not think that this was all. */
static void test_cut_in_http_1_0(void **state)
{
    static const char body[] = "{\"prompt\":\"A\"," ENDLESS;
    static const char *const options[] = {"-t", "1", "-c", "16000", NULL};
    struct serving serving = serving_start(options);
    const int      fd = client_open(&serving, 0);
    char           bytes[4096];
    ssize_t        n;
    (void)state;
    const int n_head = snprintf(bytes, sizeof bytes, "POST /v1/completions HTTP/1.0\r\nContent-Type: application/json"
                                                     "\r\nContent-Length: %zu\r\n\r\n%s", sizeof body - 1, body);
    assert_int_equal(write(fd, bytes, (size_t)n_head), n_head);
    assert_true(read(fd, bytes, sizeof bytes) > 0);
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    do n = read(fd, bytes, sizeof bytes);
    while (n > 0);
    assert_int_equal(n, -1);
    assert_int_equal(errno, ECONNRESET);
    (void)close(fd);
    wait_until_idle(&serving);
    stops_well(&serving);
}

int main(int argc, char **argv)
{
    serving_begin(argc, argv);
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_server_that_ends), cmocka_unit_test(test_silence),
                                       cmocka_unit_test(test_cut_in_http_1_0)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
