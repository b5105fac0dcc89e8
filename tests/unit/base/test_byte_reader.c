/* Reads up to, at and past the end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/byte_reader.h"

static void reads_little_endian(void **state)
{
    (void)state;
    const uint8_t      bytes[] = {0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a,
                                  0x0b, 0x0c, 0x0d, 0x0e, 0xff, 0,    0,    0xc0, 0x3f, 0,
                                  0,    0,    0,    0,    0,    0x04, 0xc0, 'o',  'k'};
    struct byte_reader reader = cm_reader(bytes, sizeof bytes);
    assert_int_equal(cm_read_u16(&reader), 0x0201);
    assert_int_equal(cm_read_u32(&reader), 0x06050403);
    assert_true(cm_read_u64(&reader) == 0x0e0d0c0b0a090807u);
    assert_int_equal(cm_read_u8(&reader), 0xff);
    assert_int_equal(cm_reader_position(&reader), 15);
    assert_true(cm_read_f32(&reader) == 1.5f);
    assert_true(cm_read_f64(&reader) == -2.5);
    assert_int_equal(cm_reader_left(&reader), 2);
    assert_memory_equal(cm_read_bytes(&reader, 2), "ok", 2);
    assert_int_equal(cm_reader_left(&reader), 0);
    assert_non_null(cm_read_bytes(&reader, 0));
    assert_false(reader.failed);
}

/* Every read on every too short buffer; each buffer is a block of its own, so that a checker sees
 * one byte too many. */
static void a_read_past_the_end_fails_for_good(void **state)
{
    (void)state;
    for (int kind = 0; kind < 7; kind++) {
        static const size_t n_needed[] = {1, 2, 4, 8, 4, 8, 5};
        for (size_t n_bytes = 0; n_bytes < n_needed[kind]; n_bytes++) {
            uint8_t *bytes = malloc(n_bytes ? n_bytes : 1);
            memset(bytes, 0xff, n_bytes ? n_bytes : 1);
            struct byte_reader reader = cm_reader(bytes, n_bytes);
            switch (kind) {
            case 0: assert_int_equal(cm_read_u8(&reader), 0); break;
            case 1: assert_int_equal(cm_read_u16(&reader), 0); break;
            case 2: assert_int_equal(cm_read_u32(&reader), 0); break;
            case 3: assert_true(cm_read_u64(&reader) == 0); break;
            case 4: assert_true(cm_read_f32(&reader) == 0 && !signbit(cm_read_f32(&reader))); break;
            case 5: assert_true(cm_read_f64(&reader) == 0); break;
            default: assert_null(cm_read_bytes(&reader, 5)); break;
            }
            assert_true(reader.failed);
            assert_int_equal(cm_reader_position(&reader), 0);
            assert_int_equal(cm_reader_left(&reader), 0);
            assert_int_equal(cm_read_u8(&reader), 0); /* though a byte may be there */
            assert_null(cm_read_bytes(&reader, 0));
            free(bytes);
        }
    }
}

static void huge_lengths_do_not_wrap(void **state)
{
    (void)state;
    const uint8_t  bytes[16] = {0};
    const uint64_t lengths[] = {17, UINT64_MAX, UINT64_MAX - 15, (uint64_t)1 << 32, (uint64_t)1 << 63};
    for (size_t at = 0; at < sizeof lengths / sizeof lengths[0]; at++) {
        struct byte_reader reader = cm_reader(bytes, sizeof bytes);
        cm_read_u8(&reader);
        assert_null(cm_read_bytes(&reader, lengths[at]));
        assert_true(reader.failed);
        assert_int_equal(cm_reader_position(&reader), 1);
    }
}

static void nothing_can_be_read_too(void **state)
{
    (void)state;
    struct byte_reader reader = cm_reader(NULL, 0);
    assert_int_equal(cm_reader_left(&reader), 0);
    assert_non_null(cm_read_bytes(&reader, 0));
    assert_false(reader.failed);
    assert_int_equal(cm_read_u8(&reader), 0);
    assert_true(reader.failed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_little_endian),
        cmocka_unit_test(a_read_past_the_end_fails_for_good),
        cmocka_unit_test(huge_lengths_do_not_wrap),
        cmocka_unit_test(nothing_can_be_read_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
