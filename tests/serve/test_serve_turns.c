/* test_serve_turns.c - conversations, turn for turn, with a model whose layers keep a state that cannot be taken back,
 * by a template that leaves thoughts out of earlier answers: each prompt parts from the last one where that one's last
 * turn ended, and what stands before is not read again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/serve/serving.h"
#include "tests/support/gguf_copy.h"
#include "tests/support/temp_folder.h"

/* A prompt ends inside of a thought, which no history has. */
static const char template[] =
    "{% for message in messages %}{{ message.role + ': ' + message.content + '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant: <think>' }}{% endif %}";

enum { N_BEHIND = 20 /* bytes, and so tokens at most, that ask for an answer */, BYTES = 1 << 14 };

static struct serving      server;
static struct temp_folder *folder;

static int start(void **state)
{
    struct model_file *file = NULL;
    calmoe_context    *context = NULL;
    (void)state;
    folder = temp_folder_open();
    const char *const path = temp_file(folder, "recurrent.gguf");
    assert_int_equal(calmoe_context_open(NULL, &context), CALMOE_OK);
    assert_int_equal(cm_model_file_open(context, CALMOE_SOURCE_DIR "/tests/golden/qwen3next.gguf", &file), CALMOE_OK);
    struct gguf_builder *builder = gguf_copy(file, "tokenizer.chat_template");
    builder_add_string(builder, "tokenizer.chat_template", template);
    builder_write(builder, path);
    builder_close(&builder);
    cm_model_file_close(&file);
    calmoe_context_close(&context);
    server = serving_start((const char *const[]){"-m", path, "-t", "2", "-c", "4000", "--temp", "0", NULL});
    return 0;
}

static int stop(void **state)
{
    (void)state;
    const int status = serving_stop(&server);
    temp_folder_close(&folder);
    return status;
}

static int figure(const struct reply *reply, const char *name)
{
    char mark[60];
    (void)snprintf(mark, sizeof mark, "\"%s\":", name);
    const char *const at = strstr(reply->body, mark);
    assert_non_null(at);
    return (int)strtol(at + strlen(mark), NULL, 10);
}

/* One message more. */
static void say(char *conversation, const char *role, const char *text)
{
    const size_t n = strlen(conversation);
    (void)snprintf(conversation + n, BYTES - n, "%s{\"role\":\"%s\",\"content\":\"%s\"}", n > 0 ? "," : "", role, text);
}

static struct reply answer(const char *conversation, bool from_cache)
{
    char *const body = malloc(BYTES + 200);
    assert_non_null(body);
    (void)snprintf(body, BYTES + 200, "{\"messages\":[%s],\"max_tokens\":12,\"ignore_eos\":true,\"cache_prompt\":%s,"
                   "\"reasoning_format\":\"none\"}", conversation, from_cache ? "true" : "false");
    const struct reply reply = client_ask(&server, "/v1/chat/completions", body);
    if (reply.status != 200) fail_msg("%s", reply.body);
    free(body);
    return reply;
}

static void test_turns(void **state)
{
    char *const conversation = calloc(BYTES, 1);
    int         n_before = 0;
    (void)state;
    assert_non_null(conversation);
    for (int turn = 0; turn < 4; turn++) {
        char *const text = long_text(30, turn);
        text[strlen(text) - 1] = '.';
        say(conversation, "user", text);
        free(text);
        struct reply warm = answer(conversation, true);
        const int    n_cached = figure(&warm, "cached_tokens"), n_prompt = figure(&warm, "prompt_tokens");
        if (turn > 0) assert_in_range(n_cached, n_before - N_BEHIND, n_before);
        assert_true(n_prompt - n_before > 50 && n_prompt - n_before < 256); /* as far apart as snapshots are anyway */
        n_before = n_prompt;
        struct reply cold = answer(conversation, false);
        assert_int_equal(figure(&cold, "cached_tokens"), 0);
        char *const one = json_text(warm.body, "content"), *const other = json_text(cold.body, "content");
        assert_non_null(one);
        assert_string_equal(one, other);
        say(conversation, "assistant", "Yes.");
        free(one);
        free(other);
        reply_free(&warm);
        reply_free(&cold);
    }
    free(conversation);
}

int main(int argc, char **argv)
{
    serving_begin(argc, argv);
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_turns)};
    return cmocka_run_group_tests(tests, start, stop);
}
