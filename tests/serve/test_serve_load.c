/* test_serve_load.c - many clients for a while, a third of which vanish at random moments: no answer differs from that
 * of a client alone, no slot stays busy, and (under a sanitizer) nothing leaks or races.
 *
 * Two seconds in the suite. By hand:
 *     CALMOE_SERVE_LOAD_SECONDS=1800 CALMOE_SERVE_LOAD_CLIENTS=64 test_serve_load calmoe */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/serve/serving.h"

enum { N_PROMPTS = 12, N_TURNS = 3, MAX_CLIENTS = 256, MAX_SHOWN = 5 };

static struct serving server;
static char          *expected[N_PROMPTS][N_TURNS]; /* of a client alone; later turns are of conversations only */
static double         until;
static atomic_int     n_answers, n_left, n_differing;

static int number(const char *name, int otherwise)
{
    const char *const text = getenv(name);
    return text != NULL ? (int)strtol(text, NULL, 10) : otherwise;
}

static int start(void **state)
{
    static const char *const options[] = {"-t", "2", "--parallel", "8", "--queue", "256", "--step-rows", "64", NULL};
    (void)state;
    server = serving_start(options);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    for (int i = 0; i < N_PROMPTS * N_TURNS; i++) free(expected[i / N_TURNS][i % N_TURNS]);
    return serving_stop(&server);
}

/* Every second one is a conversation, of some turns, and in every second of those answers have a form. */
static bool is_chat(int prompt) { return prompt % 2 == 1; }
static int  n_turns_of(int prompt) { return is_chat(prompt) ? N_TURNS : 1; }
static const char *path_of(int prompt) { return is_chat(prompt) ? "/v1/chat/completions" : "/v1/completions"; }
static const char *text_of(int prompt) { return is_chat(prompt) ? "content" : "text"; }

/* The request of a turn, after the answers that are expected before it. */
static char *request_of(int prompt, int turn, bool streams)
{
    enum { MOST = 8192 };
    char *const shared = long_text(30, prompt / 3), *const own = long_text(5 + 9 * prompt, 50 + prompt);
    char *const body = malloc(MOST);
    assert_non_null(body);
    int n = snprintf(body, MOST, "{%s%s%s%s%s",
                     prompt % 4 == 3 ? "\"response_format\":{\"type\":\"json_object\"}," : "",
                     is_chat(prompt) ? "\"messages\":[{\"role\":\"user\",\"content\":\"" : "\"prompt\":\"", shared, own,
                     is_chat(prompt) ? "\"}" : "\"");
    for (int i = 0; i < turn; i++)
        n += snprintf(body + n, (size_t)(MOST - n), ",{\"role\":\"assistant\",\"content\":\"%s\"},"
                                                   "{\"role\":\"user\",\"content\":\"And number %d?\"}",
                      expected[prompt][i], i);
    n += snprintf(body + n, (size_t)(MOST - n), "%s,\"max_tokens\":%d,\"ignore_eos\":true,\"seed\":%d,"
                                               "\"temperature\":%g,\"stream\":%s}",
                  is_chat(prompt) ? "]" : "", 8 + 3 * prompt, prompt, prompt % 4 * 0.4, streams ? "true" : "false");
    assert_true(n < MOST);
    free(shared);
    free(own);
    return body;
}

static unsigned next(unsigned *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 16;
}

/* It asks for some turn and goes, after a moment or in the middle of the answer. */
static void ask_and_leave(unsigned *state)
{
    const int   prompt = (int)(next(state) % N_PROMPTS), streams = next(state) % 3 != 0;
    char *const body = request_of(prompt, (int)(next(state) % (unsigned)n_turns_of(prompt)), streams);
    const int   fd = client_open(&server, 0);
    client_send(fd, path_of(prompt), "", body);
    if (!streams || next(state) % 2 == 0) {
        sleep_milliseconds((int)(next(state) % 60));
    } else {
        struct reply reply = client_read(fd, is_chat(prompt) ? "\"content\":\"" : "\"text\":\"");
        reply_free(&reply);
    }
    (void)close(fd);
    free(body);
    atomic_fetch_add(&n_left, 1);
}

/* False: the answer differs. */
static bool ask_and_compare(int prompt, int turn, bool streams)
{
    const char *const wanted = expected[prompt][turn];
    char *const  body = request_of(prompt, turn, streams);
    const double begin = seconds_now();
    struct reply reply = client_ask(&server, path_of(prompt), body);
    char *const  text = reply.body != NULL ? json_texts(reply.body, text_of(prompt)) : NULL;
    const bool   is_same = reply.status == 200 && text != NULL && strcmp(text, wanted) == 0;
    if (!is_same && atomic_fetch_add(&n_differing, 1) < MAX_SHOWN)
        fprintf(stderr, "prompt %d, turn %d, status %d, %s after %.1f s: %s\nwanted: %s\n", prompt, turn, reply.status,
                reply.is_whole ? "whole" : "cut off", seconds_now() - begin, reply.body, wanted);
    atomic_fetch_add(&n_answers, 1);
    free(text);
    free(body);
    reply_free(&reply);
    return is_same;
}

static void converse(unsigned *state)
{
    const int prompt = (int)(next(state) % N_PROMPTS);
    int       turn = 0;
    while (turn < n_turns_of(prompt) && seconds_now() < until && ask_and_compare(prompt, turn, next(state) % 2 == 0))
        turn++;
}

/* What a client alone is answered, turn by turn. */
static void note_expected(int prompt)
{
    for (int turn = 0; turn < n_turns_of(prompt); turn++) {
        char *const  body = request_of(prompt, turn, false);
        struct reply reply = client_ask(&server, path_of(prompt), body);
        assert_int_equal(reply.status, 200);
        expected[prompt][turn] = json_text(reply.body, text_of(prompt));
        assert_non_null(expected[prompt][turn]);
        free(body);
        reply_free(&reply);
    }
}

static void *run_client(void *seed)
{
    unsigned state = (unsigned)(uintptr_t)seed * 2654435761u + 7;
    while (seconds_now() < until) {
        if (next(&state) % 3 == 0) ask_and_leave(&state);
        else converse(&state);
    }
    return NULL;
}

static void test_load(void **state)
{
    pthread_t threads[MAX_CLIENTS];
    const int n = number("CALMOE_SERVE_LOAD_CLIENTS", 24);
    (void)state;
    assert_true(n > 0 && n <= MAX_CLIENTS);
    for (int i = 0; i < N_PROMPTS; i++) note_expected(i);
    until = seconds_now() + number("CALMOE_SERVE_LOAD_SECONDS", 2);
    for (int i = 0; i < n; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, run_client, (void *)(uintptr_t)(i + 1)), 0);
    for (int i = 0; i < n; i++) (void)pthread_join(threads[i], NULL);
    wait_until_idle(&server);
    printf("%d answers, %d clients left before\n", atomic_load(&n_answers), atomic_load(&n_left));
    assert_int_equal(atomic_load(&n_differing), 0);
    assert_true(atomic_load(&n_answers) > 0 && atomic_load(&n_left) > 0);
}

int main(int argc, char **argv)
{
    serving_begin(argc, argv);
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_load)};
    return cmocka_run_group_tests(tests, start, stop);
}
