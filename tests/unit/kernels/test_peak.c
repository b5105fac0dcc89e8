/* test_peak.c - peak loops: every level has a row, a loop does work in proportion to its rounds, and a read sees every
 * byte and none beyond. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernels/cpu_name.h"
#include "kernels/peak.h"

enum { N_BYTES = 3 * 4096 };

static void check_loop(cm_peak_loop loop)
{
    if (!loop) return;
    const double once = loop(1000), thrice = loop(3000);
    assert_true(once >= 1000.0 && thrice == 3.0 * once);
    assert_true(loop(0) == 0.0);
}

static void loops_count_their_work(void **state)
{
    (void)state;
    for (int isa = 0; isa < ISA_COUNT; isa++) {
        const struct peak_row *row = cm_peak_row((enum isa)isa);
        if (!cm_isa_is_supported((enum isa)isa)) continue;
        if (!row) fail_msg("%s has no row", cm_isa_name((enum isa)isa));
        check_loop(row->int8);
        check_loop(row->f32);
        check_loop(row->bf16);
        if (isa != ISA_REF && (!row->int8 || !row->f32)) fail_msg("%s has no loop", cm_isa_name((enum isa)isa));
    }
}

static void reads_see_every_byte(void **state)
{
    (void)state;
    uint8_t *bytes = aligned_alloc(64, N_BYTES);
    assert_non_null(bytes);
    for (int isa = 0; isa < ISA_COUNT; isa++) {
        const struct peak_row *row = cm_peak_row((enum isa)isa);
        if (!row || !row->read || !cm_isa_is_supported((enum isa)isa)) continue;
        memset(bytes, 0, N_BYTES);
        assert_int_equal(row->read(bytes, N_BYTES), 0);
        for (size_t i = 0; i < N_BYTES; i++) {
            bytes[i] = 1;
            if (row->read(bytes, N_BYTES) == 0) fail_msg("%s does not see byte %zu", cm_isa_name((enum isa)isa), i);
            bytes[i] = 0;
        }
    }
    free(bytes);
}

static void names_are_clean(void **state)
{
    (void)state;
    char text[64], small[4];
    memset(text, 'x', sizeof text);
    cm_cpu_name(text, sizeof text);
    const size_t n = strlen(text);
    assert_true(n < sizeof text);
    assert_true(n == 0 || (text[0] != ' ' && text[n - 1] != ' '));
    assert_null(strstr(text, "  "));
    cm_cpu_name(small, sizeof small);
    assert_true(strlen(small) < sizeof small);
    assert_true(strncmp(small, text, strlen(small)) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loops_count_their_work),
        cmocka_unit_test(reads_see_every_byte),
        cmocka_unit_test(names_are_clean),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
