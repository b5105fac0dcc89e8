/* Contexts: opened, asked, closed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "base/status.h"

static void count_log(void *user, const char *sentence)
{
    (void)sentence;
    ++*(int *)user;
}

static void opens_with_and_without_options(void **state)
{
    (void)state;
    const long      n_live = cm_live_blocks();
    calmoe_context *ctx = NULL;
    assert_int_equal(calmoe_context_open(NULL, &ctx), CALMOE_OK);
    assert_string_equal(calmoe_context_message(ctx), "");
    cm_fail(ctx, CALMOE_IO, "a sentence");
    assert_string_equal(calmoe_context_message(ctx), "a sentence");
    calmoe_context_close(&ctx);
    assert_null(ctx);
    calmoe_context_close(&ctx);
    calmoe_context_close(NULL);

    int                    n_logged = 0;
    calmoe_context_options options;
    memset(&options, 0xff, sizeof options);
    calmoe_context_options_init(&options);
    assert_int_equal(options.size, sizeof options);
    assert_true(options.log == NULL && options.log_user == NULL);
    options.log = count_log;
    options.log_user = &n_logged;
    assert_int_equal(calmoe_context_open(&options, &ctx), CALMOE_OK);
    cm_log(ctx, "remark");
    assert_int_equal(n_logged, 1);
    calmoe_context_close(&ctx);
    assert_int_equal(cm_live_blocks(), n_live);
}

static void refuses_what_it_cannot_open(void **state)
{
    (void)state;
    const long                   n_live = cm_live_blocks();
    calmoe_context              *ctx = (calmoe_context *)&ctx;
    const calmoe_context_options unset = {0};
    assert_int_equal(calmoe_context_open(&unset, &ctx), CALMOE_INVALID_ARGUMENT);
    assert_null(ctx);
    assert_int_equal(calmoe_context_open(NULL, NULL), CALMOE_INVALID_ARGUMENT);

    ctx = (calmoe_context *)&ctx;
    cm_fail_request(1);
    assert_int_equal(calmoe_context_open(NULL, &ctx), CALMOE_NO_MEMORY);
    assert_null(ctx);
    assert_true(strlen(calmoe_context_message(NULL)) > 0);
    assert_int_equal(cm_live_blocks(), n_live);
}

static void header_and_library_agree(void **state)
{
    (void)state;
    assert_string_equal(calmoe_version(), CALMOE_VERSION_TEXT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opens_with_and_without_options),
        cmocka_unit_test(refuses_what_it_cannot_open),
        cmocka_unit_test(header_and_library_agree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
