/* The tiles that stand in for AMX in tests: a product by hand, and each misuse refused, so that kernels which pass on
 * them use tiles as a CPU demands. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <signal.h>
#include <string.h>

#include <cmocka.h>

#define CM_SOFTWARE_TILES
#include "kernels/amx/tiles.h"
#include "tests/support/software_tiles.h"

static sigjmp_buf back;

static void caught(int signal_number)
{
    siglongjmp(back, signal_number);
}

/* The signal that use() raises, or 0. */
static int signal_of(void (*use)(void))
{
    signal(SIGILL, caught);
    signal(SIGSEGV, caught);
    const int raised = sigsetjmp(back, 1);
    if (raised == 0) use();
    signal(SIGILL, SIG_DFL);
    signal(SIGSEGV, SIG_DFL);
    tile_release();
    return raised;
}

/* c: 3 x 2, a: 3 x 8, b: 2 x 2 groups of 4 */
static struct tile_config small(void)
{
    return (struct tile_config){ .palette = 1, .rows = { 3, 3, 2 }, .row_bytes = { 8, 8, 8 } };
}

static void a_product_is_that_of_the_manual(void **state)
{
    (void)state;
    const struct tile_config config = small();
    int8_t  a[3][16], b[2][2][4];
    int32_t c[3][4], expected[3][2];
    for (int i = 0; i < 48; i++) a[i / 16][i % 16] = (int8_t)(i * 37 - 128);
    for (int i = 0; i < 16; i++) b[i / 8][i / 4 % 2][i % 4] = (int8_t)(127 - i * 29);
    a[0][0] = a[0][1] = b[0][0][0] = b[0][0][1] = -128;
    for (int m = 0; m < 3; m++) {
        for (int n = 0; n < 2; n++) {
            expected[m][n] = 0;
            for (int k = 0; k < 8; k++) expected[m][n] += 2 * a[m][k] * b[k / 4][n][k % 4];
        }
    }
    memset(c, 0x55, sizeof c);
    tile_configure(&config);
    assert_true(cm_software_tiles_are_configured());
    tile_zero(0);
    tile_load(1, a, 0, 16);
    tile_load(2, b, 0, 8);
    tile_dot(0, 1, 2);
    tile_dot(0, 1, 2);
    tile_store(0, c, 0, 16);
    tile_release();
    assert_false(cm_software_tiles_are_configured());
    for (int m = 0; m < 3; m++) {
        assert_memory_equal(c[m], expected[m], sizeof expected[m]);
        assert_int_equal(c[m][2], 0x55555555);
    }
}

static void configure(struct tile_config config) { tile_configure(&config); }
static void use_unconfigured(void) { tile_zero(0); }
static void use_absent(void) { configure(small()); tile_zero(5); }
static void use_same(void) { configure(small()); tile_dot(0, 1, 1); }
static void use_released(void) { configure(small()); tile_release(); tile_zero(0); }
static void use_rows(void)
{
    struct tile_config config = small();
    config.rows[1] = 2;
    configure(config);
    tile_dot(0, 1, 2);
}
static void use_depth(void)
{
    struct tile_config config = small();
    config.row_bytes[1] = 16;
    configure(config);
    tile_dot(0, 1, 2);
}
static void use_columns(void)
{
    struct tile_config config = small();
    config.row_bytes[2] = 4;
    configure(config);
    tile_dot(0, 1, 2);
}
static void use_odd(void)
{
    struct tile_config config = small();
    config.row_bytes[1] = 6;
    configure(config);
    tile_zero(1);
}
static void set_palette(void) { configure((struct tile_config){ .palette = 2 }); }
static void set_many_rows(void) { configure((struct tile_config){ .palette = 1, .rows = { 17 }, .row_bytes = { 4 } }); }
static void set_long(void) { configure((struct tile_config){ .palette = 1, .rows = { 1 }, .row_bytes = { 68 } }); }
static void set_half(void) { configure((struct tile_config){ .palette = 1, .rows = { 1 } }); }
static void set_reserved(void) { configure((struct tile_config){ .palette = 1, .reserved_2 = { 1 } }); }

static void misuse_is_refused_as_a_cpu_does(void **state)
{
    (void)state;
    void (*const illegal[])(void) = { use_unconfigured, use_absent, use_same, use_released,
                                      use_rows, use_depth, use_columns, use_odd };
    void (*const faulty[])(void) = { set_palette, set_many_rows, set_long, set_half, set_reserved };
    for (size_t i = 0; i < sizeof illegal / sizeof *illegal; i++) assert_int_equal(signal_of(illegal[i]), SIGILL);
    for (size_t i = 0; i < sizeof faulty / sizeof *faulty; i++) assert_int_equal(signal_of(faulty[i]), SIGSEGV);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_product_is_that_of_the_manual),
        cmocka_unit_test(misuse_is_refused_as_a_cpu_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
