/* test_serve_adapters.c - adapters of the server: listed, set for all and for one request, and no prompt goes on from
 * what was read with others. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/serve/serving.h"

#define GOLDENS CALMOE_SOURCE_DIR "/tests/golden"
#define PROMPT "\"prompt\":\"The 12 experts route\",\"n_predict\":12,\"temperature\":0,\"ignore_eos\":true"

static struct serving server;

static int start(void **state)
{
    const char *const options[] = {"-t", "1", "--parallel", "2", "-m", GOLDENS "/llama.gguf", "--lora",
                                   GOLDENS "/adapters/llama:0", "--lora", GOLDENS "/adapters/llama_file/adapter.gguf:0",
                                   "--lora", GOLDENS "/adapters/llama_prefix:0", "--lora",
                                   GOLDENS "/adapters/llama_projected:0", NULL};
    (void)state;
    server = serving_start(options);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    return serving_stop(&server);
}

/* The text that follows the prompt; *n_cached: tokens of it that were not read again. */
static char *answer(const char *more, int *n_cached)
{
    char  body[512];
    snprintf(body, sizeof body, "{" PROMPT "%s}", more);
    struct reply reply = client_ask(&server, "/completion", body);
    if (reply.status != 200) fail_msg("%d: %s", reply.status, reply.body);
    char *const text = json_text(reply.body, "content");
    assert_non_null(text);
    const char *const cached = strstr(reply.body, "\"cache_n\":");
    assert_non_null(cached);
    if (n_cached) *n_cached = (int)strtol(cached + 10, NULL, 10);
    reply_free(&reply);
    return text;
}

static void check(const char *more, const char *wanted, bool is_same)
{
    char *const text = answer(more, NULL);
    if ((strcmp(text, wanted) == 0) != is_same)
        fail_msg("%s: '%s' beside '%s'", more, text, wanted);
    free(text);
}

static void listed_and_set(void **state)
{
    (void)state;
    struct reply reply = client_ask(&server, "/lora-adapters", NULL);
    assert_int_equal(reply.status, 200);
    assert_fits(reply.body, "[{\"id\":0,\"path\":\"*/adapters/llama\",\"scale\":0,*},{\"id\":1,\"path\":\"*/llama_file/"
                            "adapter.gguf\",\"scale\":0,*},{\"id\":2,*,\"virtual_tokens\":5},{\"id\":3,*}]");
    reply_free(&reply);
    char *const plain = answer("", NULL), *const first = answer(",\"lora\":[{\"id\":0,\"scale\":1}]", NULL);
    char *const second = answer(",\"lora\":[{\"id\":1}]", NULL);
    assert_string_not_equal(plain, first);
    assert_string_not_equal(plain, second);
    assert_string_not_equal(first, second);
    check(",\"lora\":[{\"id\":0,\"scale\":0}]", plain, true);
    check("", plain, true);
    check(",\"lora\":[{\"id\":0,\"scale\":1.0}]", first, true);
    reply = client_ask(&server, "/lora-adapters", "[{\"id\":1,\"scale\":1}]");
    assert_int_equal(reply.status, 200);
    assert_string_equal(reply.body, "{\"success\":true}");
    reply_free(&reply);
    check("", second, true);
    check(",\"lora\":[]", plain, true);
    reply = client_ask(&server, "/lora-adapters", "[]");
    reply_free(&reply);
    check("", plain, true);
    free(plain);
    free(first);
    free(second);
}

static void reuse_is_by_adapters(void **state)
{
    int n = 0;
    (void)state;
    for (int i = 0; i < 3; i++) { /* both slots, and one of them again */
        char more[64];
        snprintf(more, sizeof more, ",\"lora\":[{\"id\":%d,\"scale\":0.5}]", i % 2);
        free(answer(more, &n));
        if (i < 2) assert_int_equal(n, 0);
        else assert_true(n > 2);
    }
}

/* A prefix is one more adapter: what was read behind it is gone on from behind it, and nothing else is. */
static void prefixes(void **state)
{
    int n_cached;
    (void)state;
    char *const plain = answer("", NULL), *const first = answer(",\"lora\":[{\"id\":2}]", &n_cached);
    assert_int_equal(n_cached, 0);
    assert_string_not_equal(plain, first);
    char *const other = answer(",\"lora\":[{\"id\":3}]", &n_cached), *const again =
        answer(",\"lora\":[{\"id\":2}]", &n_cached);
    assert_true(n_cached > 2);
    assert_string_equal(first, again);
    assert_string_not_equal(first, other);
    char *const both = answer(",\"lora\":[{\"id\":2},{\"id\":0,\"scale\":0.5}]", &n_cached);
    assert_int_equal(n_cached, 0);
    assert_string_not_equal(first, both);
    check("", plain, true);
    free(plain);
    free(first);
    free(other);
    free(again);
    free(both);
}

static void wrong_ones(void **state)
{
    static const struct {
        const char *path, *body, *wanted;
    } wrong[] = {
        {"/completion", "{" PROMPT ",\"lora\":[{\"id\":4}]}", "*'lora' names the adapter 4; the server has 4, numbered "
                "from 0*"},
        {"/completion", "{" PROMPT ",\"lora\":[{\"id\":2,\"scale\":0.5}]}", "*the adapter 2 is a prefix, and is used "
                "whole or not: its scale is 0.5, 1 or 0 is wanted*"},
        {"/lora-adapters", "[{\"id\":2},{\"id\":3}]", "*the adapters 2 and 3 are prefixes: one at most is used*"},
        {"/completion", "{" PROMPT ",\"lora\":[7]}", "*'lora' wants objects*"},
        {"/completion", "{" PROMPT ",\"lora\":[{\"scale\":1}]}", "*'lora' wants an 'id' in each of its objects*"},
        {"/completion", "{" PROMPT ",\"lora\":{}}", "*'lora'*"},
        {"/completion", "{" PROMPT ",\"lora\":[{\"id\":0}],\"calmoe\":{\"experts\":1}}", "*policy*"},
        {"/lora-adapters", "{\"id\":0}", "*'adapters' wants*"},
        {"/lora-adapters", "[{\"id\":5}]", "*the adapter 5 is named; the server has 4*"},
        {"/lora-adapters", "null", "*an array of*is wanted*"},
        {"/lora-adapters", "[", "*"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct reply reply = client_ask(&server, wrong[i].path, wrong[i].body);
        if (reply.status != 400) fail_msg("%s: %d: %s", wrong[i].body, reply.status, reply.body);
        assert_fits(reply.body, wrong[i].wanted);
        reply_free(&reply);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(listed_and_set),
        cmocka_unit_test(reuse_is_by_adapters),
        cmocka_unit_test(prefixes),
        cmocka_unit_test(wrong_ones),
    };
    serving_begin(argc, argv);
    return cmocka_run_group_tests(tests, start, stop);
}
