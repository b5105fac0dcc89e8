/* test_serve_same.c - the bytes of an answer do not depend on who shares the batch, on what the slot had read before,
 * on whether it was copied or restored from a file: 16 clients at once against one client alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/serve/serving.h"

enum { N_CLIENTS = 16, N_TOKENS = 24 };

static struct serving server;
static char           folder[] = "/tmp/calmoe-serve-XXXXXX";

static int start(void **state)
{
    const char *const options[] = {"-t", "2", "--parallel", "16", "--slot-save-path", folder, NULL};
    (void)state;
    if (mkdtemp(folder) == NULL) return 1;
    server = serving_start(options);
    return 0;
}

static int stop(void **state)
{
    char path[100];
    (void)state;
    (void)snprintf(path, sizeof path, "%s/saved", folder);
    (void)unlink(path);
    (void)rmdir(folder);
    return serving_stop(&server);
}

/* Prompts that begin alike in groups of four, of different lengths, drawn at different temperatures. */
static char *request_of(int client, const char *more)
{
    char *const shared = long_text(60, client / 4), *const own = long_text(1 + 7 * client, 100 + client);
    char       *body = malloc(8192);
    assert_non_null(body);
    (void)snprintf(body, 8192,
                   "{\"messages\":[{\"role\":\"system\",\"content\":\"%s\"},{\"role\":\"user\",\"content\":\"%s\"}],"
                   "\"max_tokens\":%d,\"ignore_eos\":true,\"temperature\":%g,\"seed\":%d,\"logprobs\":true,"
                   "\"top_logprobs\":3,\"frequency_penalty\":0.3,\"repeat_penalty\":1.1,\"stream\":true%s}",
                   shared, own, N_TOKENS, client % 3 * 0.7, client, more);
    free(shared);
    free(own);
    return body;
}

/* What must be the same: texts and probabilities; in one string. */
static char *told(const struct reply *reply)
{
    char *const  texts = json_texts(reply->body, "content"), *all;
    struct bytes_of { const char *at; } chunk = {reply->body};
    size_t       n = strlen(texts);
    assert_int_equal(reply->status, 200);
    assert_true(reply->is_whole);
    assert_non_null(strstr(reply->body, "data: [DONE]"));
    all = calloc(n + reply->n_body + 2, 1);
    assert_non_null(all);
    memcpy(all, texts, n);
    while ((chunk.at = strstr(chunk.at, "\"logprobs\":{")) != NULL) {
        const char  *end = strstr(chunk.at, "},\"finish_reason\"");
        assert_non_null(end);
        memcpy(all + n, chunk.at, (size_t)(end - chunk.at));
        n += (size_t)(end - chunk.at);
        chunk.at = end;
    }
    free(texts);
    return all;
}

static char *answer_to(int client, const char *more)
{
    char *const  body = request_of(client, more);
    struct reply reply = client_ask(&server, "/v1/chat/completions", body);
    if (reply.status != 200) fprintf(stderr, "%s\n", reply.body);
    char *const  all = told(&reply);
    reply_free(&reply);
    free(body);
    return all;
}

static char *alone[N_CLIENTS]; /* the answers of a server that has one client and an empty slot */

static void *ask_one(void *number)
{
    return answer_to((int)(intptr_t)number, "");
}

static void compare_all(const char *what)
{
    pthread_t threads[N_CLIENTS];
    for (int i = 0; i < N_CLIENTS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, ask_one, (void *)(intptr_t)i), 0);
    for (int i = 0; i < N_CLIENTS; i++) {
        void *answer = NULL;
        (void)pthread_join(threads[i], &answer);
        if (strcmp(answer, alone[i]) != 0)
            fail_msg("%s, client %d:\n%s\nalone:\n%s", what, i, (char *)answer, alone[i]);
        free(answer);
    }
}

static void test_clients_at_once(void **state)
{
    (void)state;
    for (int i = 0; i < N_CLIENTS; i++) {
        alone[i] = answer_to(i, ",\"cache_prompt\":false");
        assert_true(strlen(alone[i]) > 500);
    }
    compare_all("from slots that had other prompts");
    compare_all("from slots that had them");
}

/* The prompt was read before; then it is told how much of it, and the answer is the same. */
static void test_warm(void **state)
{
    (void)state;
    for (int i = 0; i < N_CLIENTS; i += 5) {
        char *const  body = request_of(i, ",\"stream_options\":{\"include_usage\":true}");
        struct reply reply = client_ask(&server, "/v1/chat/completions", body);
        char *const  all = told(&reply);
        assert_string_equal(all, alone[i]);
        assert_null(strstr(reply.body, "\"cached_tokens\":0}"));
        free(all);
        reply_free(&reply);
        free(body);
    }
}

static void act(int slot, const char *action)
{
    char path[100];
    (void)snprintf(path, sizeof path, "/slots/%d?action=%s", slot, action);
    struct reply reply = client_ask(&server, path, "{\"filename\":\"saved\"}");
    if (reply.status != 200) fprintf(stderr, "%s\n", reply.body);
    assert_int_equal(reply.status, 200);
    reply_free(&reply);
}

static void test_restored(void **state)
{
    (void)state;
    free(answer_to(7, ",\"id_slot\":3"));
    act(3, "save");
    act(3, "erase");
    free(answer_to(8, ",\"id_slot\":3"));
    act(3, "restore");
    char *const  body = request_of(7, ",\"id_slot\":3,\"stream_options\":{\"include_usage\":true}");
    struct reply reply = client_ask(&server, "/v1/chat/completions", body);
    char *const  all = told(&reply);
    assert_string_equal(all, alone[7]);
    assert_null(strstr(reply.body, "\"cached_tokens\":0}"));
    free(all);
    free(body);
    reply_free(&reply);
}

/* Fewer experts are another answer; what follows in that slot is as if it had not been. */
static void test_fewer_experts(void **state)
{
    (void)state;
    char *const fewer = answer_to(2, ",\"id_slot\":5,\"calmoe\":{\"experts\":1}");
    char *const after = answer_to(2, ",\"id_slot\":5");
    assert_string_not_equal(fewer, alone[2]);
    assert_string_equal(after, alone[2]);
    free(fewer);
    free(after);
}

static void free_all(void)
{
    for (int i = 0; i < N_CLIENTS; i++) free(alone[i]);
}

int main(int argc, char **argv)
{
    serving_begin(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_clients_at_once), cmocka_unit_test(test_warm), cmocka_unit_test(test_restored),
        cmocka_unit_test(test_fewer_experts),
    };
    const int n_failed = cmocka_run_group_tests(tests, start, stop);
    free_all();
    return n_failed;
}
