/* Option structs of older and newer versions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <string.h>

#include <cmocka.h>

#include "base/options.h"

struct known { /* what this library knows */
    size_t size;
    int    first;
    int    second;
};

struct newer { /* what a later library will know */
    struct known known;
    long         third;
};

static const struct known defaults = {.size = sizeof(struct known), .first = 10, .second = 20};

static void null_keeps_the_defaults(void **state)
{
    (void)state;
    struct known known = defaults;
    assert_int_equal(cm_options_copy(NULL, "x", &known, sizeof known, NULL), CALMOE_OK);
    assert_memory_equal(&known, &defaults, sizeof known);
}

static void the_same_version_is_copied_whole(void **state)
{
    (void)state;
    struct known       known = defaults;
    const struct known given = {.size = sizeof given, .first = 1, .second = 2};
    assert_int_equal(cm_options_copy(NULL, "x", &known, sizeof known, &given), CALMOE_OK);
    assert_memory_equal(&known, &given, sizeof known);
}

static void an_older_struct_leaves_later_defaults(void **state)
{
    (void)state;
    struct known       known = defaults;
    const struct known given = {.size = offsetof(struct known, second), .first = 1, .second = 2};
    assert_int_equal(cm_options_copy(NULL, "x", &known, sizeof known, &given), CALMOE_OK);
    assert_int_equal(known.size, sizeof known);
    assert_int_equal(known.first, 1);
    assert_int_equal(known.second, 20);
}

static void a_newer_struct_is_fine_while_its_tail_is_zero(void **state)
{
    (void)state;
    struct calmoe_context ctx = {0};
    struct known          known = defaults;
    struct newer          given = {.known = {.size = sizeof given, .first = 1, .second = 2}};
    assert_int_equal(cm_options_copy(&ctx, "x", &known, sizeof known, &given), CALMOE_OK);
    assert_int_equal(known.first, 1);
    assert_int_equal(known.size, sizeof known);
    assert_string_equal(ctx.message, "");

    known = defaults;
    unsigned char *bytes = (unsigned char *)&given;
    for (size_t at = sizeof known; at < sizeof given; at++) {
        bytes[at] = 1;
        assert_int_equal(cm_options_copy(&ctx, "engine options", &known, sizeof known, &given),
                         CALMOE_INVALID_ARGUMENT);
        assert_non_null(strstr(ctx.message, "engine options: an option at byte"));
        assert_memory_equal(&known, &defaults, sizeof known);
        bytes[at] = 0;
    }
}

static void a_size_that_was_never_set_is_refused(void **state)
{
    (void)state;
    const size_t          sizes[] = {0, 1, sizeof(size_t) - 1, SIZE_MAX, (size_t)1 << 20};
    struct calmoe_context ctx = {0};
    for (size_t at = 0; at < sizeof sizes / sizeof sizes[0]; at++) {
        struct known       known = defaults;
        const struct known given = {.size = sizes[at], .first = 1};
        assert_int_equal(cm_options_copy(&ctx, "options", &known, sizeof known, &given),
                         CALMOE_INVALID_ARGUMENT);
        assert_non_null(strstr(ctx.message, "init function"));
        assert_memory_equal(&known, &defaults, sizeof known);
    }
    struct known       known = defaults;
    const struct known smallest = {.size = sizeof(size_t), .first = 1};
    assert_int_equal(cm_options_copy(&ctx, "options", &known, sizeof known, &smallest), CALMOE_OK);
    assert_memory_equal(&known, &defaults, sizeof known);
}

/* The caller's struct may be shorter or longer than the library's; what lies behind is not touched. */
static void what_there_is_room_for_is_handed_out(void **state)
{
    (void)state;
    unsigned char       out[2 * sizeof(struct known)], before[sizeof out];
    const struct known *filled = &defaults;
    for (size_t size = sizeof size; size <= sizeof out; size++) {
        const size_t n = size < sizeof *filled ? size : sizeof *filled;
        memset(out, 0xa5, sizeof out);
        memcpy(out, &size, sizeof size);
        memcpy(before, out, sizeof out);
        cm_options_give(out, filled, sizeof *filled);
        assert_memory_equal(out, &n, sizeof n);
        if (n > sizeof n) assert_memory_equal(out + sizeof n, (const char *)filled + sizeof n, n - sizeof n);
        if (n < sizeof out) assert_memory_equal(out + n, before + n, sizeof out - n);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_there_is_room_for_is_handed_out),
        cmocka_unit_test(null_keeps_the_defaults),
        cmocka_unit_test(the_same_version_is_copied_whole),
        cmocka_unit_test(an_older_struct_leaves_later_defaults),
        cmocka_unit_test(a_newer_struct_is_fine_while_its_tail_is_zero),
        cmocka_unit_test(a_size_that_was_never_set_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
