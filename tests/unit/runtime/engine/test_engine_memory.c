/* test_engine_memory.c - engines and sessions on a machine that pretends to have little memory: refused with a sentence
 * before they are killed, told where they may be later, and served as long as it lasts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/limits.h"
#include "base/memory.h"
#include "runtime/engine/handles.h"
#include "tests/support/folder_fixture.h"
#include "tests/support/running.h"
#include "tests/support/tiny_model.h"

enum { N_HELD = 20000 };

static char path[600], root[600], remarks[1024];
static int32_t tokens[N_HELD];

/* From now on so much memory can be had. */
static void pretend(long kib, long swap_kib)
{
    char text[256];
    const int n = snprintf(text, sizeof text, "MemTotal: 1000000 kB\nMemAvailable: %ld kB\nSwapFree: %ld kB\n", kib,
                           swap_kib);
    temp_file_with(folder, "root/proc/meminfo", text, (size_t)n);
    cm_limits_pretend(root);
}

static int set_up(void **state)
{
    struct tiny_model tiny = tiny_model();
    open_folder(state);
    tiny.dim = 256;
    tiny.expert_width = 512;
    tiny.n_kv_heads = tiny.n_heads = 2;
    tiny.head_size = 128;
    tiny.context = N_HELD;
    snprintf(path, sizeof path, "%s", temp_file(folder, "tiny.gguf"));
    snprintf(root, sizeof root, "%s", temp_file(folder, "root"));
    tiny_model_write(&tiny, path);
    remarks[0] = '\0';
    return 0;
}

static int tear_down(void **state)
{
    cm_limits_pretend(NULL);
    return close_folder(state);
}

static void keep_remark(void *user, const char *sentence)
{
    (void)user;
    snprintf(remarks + strlen(remarks), sizeof remarks - strlen(remarks), "%s\n", sentence);
}

static struct running open_model(void)
{
    struct running         r = {0};
    calmoe_context_options options;
    calmoe_context_options_init(&options);
    options.log = keep_remark;
    running_must(NULL, calmoe_context_open(&options, &r.context));
    running_must(r.context, calmoe_model_open(r.context, path, NULL, &r.model));
    return r;
}

static void must_refuse(const struct running *r, calmoe_status status, const char *words)
{
    const char *sentence = calmoe_context_message(r->context);
    assert_int_equal(status, CALMOE_NO_MEMORY);
    if (!strstr(sentence, words)) fail_msg("'%s'; '%s' is wanted", sentence, words);
}

static void weights_that_do_not_fit(void **state)
{
    (void)state;
    struct running              r = open_model();
    const calmoe_engine_options options = running_options(1, NULL);
    pretend(5000, 0);
    must_refuse(&r, calmoe_engine_open(r.model, &options, &r.engine), "no memory for packed weights (");
    assert_null(r.engine);
    assert_non_null(strstr(calmoe_context_message(r.context), "4.9 MiB can be had; the machine's memory is 976.6 MiB"));
    pretend(5000, 100000); /* slow, but it runs */
    running_must(r.context, calmoe_engine_open(r.model, &options, &r.engine));
    assert_non_null(strstr(remarks, "goes to swap"));
    running_close(&r);
}

/* What is taken behind the weights has its own sentence, whatever was guessed before. */
static void large_blocks_that_do_not_fit(void **state)
{
    (void)state;
    struct calmoe_context ctx = {0};
    pretend(3000, 0);
    assert_null(cm_alloc(&ctx, 4, 1 << 20, "a large block"));
    assert_non_null(strstr(ctx.message, "no memory for a large block: 4.0 MiB are needed, 2.9 MiB can be had"));
    void *small = cm_alloc(&ctx, 2, 1 << 20, "a smaller one");
    assert_non_null(small);
    cm_free(small);
}

static void contexts_that_may_not_fit(void **state)
{
    (void)state;
    struct running              r = open_model();
    const calmoe_engine_options options = running_options(1, NULL);
    running_must(r.context, calmoe_engine_open(r.model, &options, &r.engine));
    pretend(1000000, 0);
    running_must(r.context, calmoe_session_open(r.engine, NULL, &r.session));
    assert_string_equal(remarks, "");
    calmoe_session_close(&r.session);
    pretend(20000, 0); /* of 39 MiB */
    running_must(r.context, calmoe_session_open(r.engine, NULL, &r.session));
    assert_non_null(strstr(remarks, "a context of 20000 tokens comes to take 39.1 MiB of keys and values"));
    running_close(&r);
}

/* Steps ask for some pages at a time; when there are none, the step is refused and the session stands as it stood. */
static void steps_that_do_not_fit(void **state)
{
    (void)state;
    struct running              r = open_model();
    const calmoe_engine_options options = running_options(1, NULL);
    running_must(r.context, calmoe_engine_open(r.model, &options, &r.engine));
    pretend(1000000, 0);
    running_must(r.context, calmoe_session_open(r.engine, NULL, &r.session));
    pretend(600, 0); /* 300 positions of 2 KiB */
    calmoe_chunk chunk = {r.session, tokens, 200, CALMOE_LOGITS_LAST};
    running_must(r.context, calmoe_engine_step(r.engine, &chunk, 1));
    chunk.n_tokens = 400;
    must_refuse(&r, calmoe_engine_step(r.engine, &chunk, 1), "no memory for keys and values of further tokens");
    assert_int_equal(calmoe_session_n_positions(r.session), 200);
    chunk.n_tokens = 250;
    running_must(r.context, calmoe_engine_step(r.engine, &chunk, 1));
    pretend(0, 0);
    running_must(r.context, calmoe_session_rewind(r.session, 0)); /* pages that are there need no more room */
    running_must(r.context, calmoe_engine_step(r.engine, &chunk, 1));
    assert_int_equal(calmoe_session_n_positions(r.session), 250);
    running_close(&r);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(weights_that_do_not_fit),
        TEST(large_blocks_that_do_not_fit),
        TEST(contexts_that_may_not_fit),
        TEST(steps_that_do_not_fit),
    };
    return cmocka_run_group_tests_name("little memory", tests, NULL, NULL);
}
