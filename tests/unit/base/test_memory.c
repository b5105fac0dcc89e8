/* The heap's door: sizes, alignment, zeroes, counts, and the request that must fail. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <string.h>

#include <cmocka.h>

#include "base/memory.h"

static void gives_zeroed_aligned_blocks(void **state)
{
    (void)state;
    const long n_live = cm_live_blocks();
    for (size_t n_bytes = 0; n_bytes < 300; n_bytes += 7) {
        unsigned char *block = cm_alloc(NULL, n_bytes, 1, "bytes");
        assert_non_null(block);
        assert_int_equal((uintptr_t)block % CM_ALIGNMENT, 0);
        for (size_t at = 0; at < n_bytes; at++) assert_int_equal(block[at], 0);
        memset(block, 0xa5, n_bytes); /* so that a block used again is not zero by chance */
        assert_int_equal(cm_live_blocks(), n_live + 1);
        cm_free(block);
        assert_int_equal(cm_live_blocks(), n_live);
    }
    cm_free(NULL);
    assert_int_equal(cm_live_blocks(), n_live);
}

static void refuses_sizes_that_cannot_be(void **state)
{
    (void)state;
    struct calmoe_context ctx = {0};
    const long            n_live = cm_live_blocks();
    const size_t          sizes[][2] = {{SIZE_MAX, 2},
                                        {2, SIZE_MAX},
                                        {SIZE_MAX / 2 + 1, 2},
                                        {(size_t)PTRDIFF_MAX + 1, 1},
                                        {SIZE_MAX, 1}};
    for (size_t row = 0; row < sizeof sizes / sizeof sizes[0]; row++) {
        ctx.message[0] = 0;
        assert_null(cm_alloc(&ctx, sizes[row][0], sizes[row][1], "experts"));
        assert_non_null(strstr(ctx.message, "no memory for experts: "));
    }
    assert_null(cm_copy_text(&ctx, "", SIZE_MAX));
    assert_int_equal(cm_live_blocks(), n_live);
}

static void grows_arrays(void **state)
{
    (void)state;
    const long n_live = cm_live_blocks();
    int       *numbers = NULL;
    assert_int_equal(cm_grow(NULL, &numbers, 0, 2, sizeof *numbers, "numbers"), CALMOE_OK);
    numbers[0] = 7;
    numbers[1] = 8;
    cm_fail_request(1);
    int *const before = numbers;
    assert_int_equal(cm_grow(NULL, &numbers, 2, 100, sizeof *numbers, "numbers"), CALMOE_NO_MEMORY);
    assert_ptr_equal(numbers, before);
    assert_int_equal(cm_grow(NULL, &numbers, 1, 100, sizeof *numbers, "numbers"), CALMOE_OK);
    assert_int_equal(numbers[0], 7);
    for (int i = 1; i < 100; i++) assert_int_equal(numbers[i], 0); /* the second one was said not to be in use */
    cm_free(numbers);
    assert_int_equal(cm_live_blocks(), n_live);
}

static void copies_texts(void **state)
{
    (void)state;
    char *copy = cm_copy_text(NULL, "abcdef", 3);
    assert_string_equal(copy, "abc");
    cm_free(copy);
    copy = cm_copy_text(NULL, NULL, 0);
    assert_string_equal(copy, "");
    cm_free(copy);
}

static void the_nth_request_fails_and_no_other(void **state)
{
    (void)state;
    struct calmoe_context ctx = {0};
    for (long nth = 1; nth <= 5; nth++) {
        const long n_requests = cm_requests();
        const long n_live = cm_live_blocks();
        cm_fail_request(nth);
        for (long request = 1; request <= 8; request++) {
            void *block = cm_alloc(&ctx, 10, 4, "rows");
            assert_int_equal(block == NULL, request == nth);
            cm_free(block);
        }
        assert_string_equal(ctx.message, "no memory for rows: 40 bytes");
        assert_int_equal(cm_requests(), n_requests + 8);
        assert_int_equal(cm_live_blocks(), n_live);
    }
    cm_fail_request(1);
    cm_fail_request(0);
    assert_false(cm_request_fails());
    cm_fail_request(-3);
    assert_false(cm_request_fails());
}

static void checked_sums_and_products(void **state)
{
    (void)state;
    const size_t edges[] = {0, 1, 2, 3, 0xffffffff, (size_t)1 << 32, SIZE_MAX / 2, SIZE_MAX / 2 + 1,
                            SIZE_MAX - 1, SIZE_MAX};
    const size_t n_edges = sizeof edges / sizeof edges[0];
    for (size_t row = 0; row < n_edges; row++) {
        for (size_t column = 0; column < n_edges; column++) {
            const size_t a = edges[row], b = edges[column];
            size_t       out = 77, expected;
            if (__builtin_mul_overflow(a, b, &expected)) {
                assert_false(cm_multiply(a, b, &out));
                assert_int_equal(out, 77);
            } else {
                assert_true(cm_multiply(a, b, &out));
                assert_int_equal(out, expected);
            }
            out = 77;
            if (__builtin_add_overflow(a, b, &expected)) {
                assert_false(cm_add(a, b, &out));
                assert_int_equal(out, 77);
            } else {
                assert_true(cm_add(a, b, &out));
                assert_int_equal(out, expected);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_zeroed_aligned_blocks),
        cmocka_unit_test(refuses_sizes_that_cannot_be),
        cmocka_unit_test(grows_arrays),
        cmocka_unit_test(copies_texts),
        cmocka_unit_test(the_nth_request_fails_and_no_other),
        cmocka_unit_test(checked_sums_and_products),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
