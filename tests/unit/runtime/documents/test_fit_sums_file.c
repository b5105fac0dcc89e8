/* test_fit_sums_file.c - sums of a fit: read back to the bit; not where a byte is missing, too many or changed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "runtime/documents/fit_sums_file.h"
#include "tests/support/temp_folder.h"

enum { N = 11, N_PARTS = 3 };

static double       values[N_PARTS][N];
static double      *parts[N_PARTS] = {values[0], values[1], values[2]};
static const char   key[65] = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

static struct fit_sums sums_of(uint64_t n_windows)
{
    struct fit_sums sums = {.n_windows = n_windows, .n_parts = N_PARTS, .parts = parts, .n_doubles = N};
    memcpy(sums.key, key, sizeof key);
    return sums;
}

static void fill(double scale)
{
    for (int i = 0; i < N_PARTS; i++)
        for (int j = 0; j < N; j++) values[i][j] = scale * (i + 1) / (j + 3);
}

static size_t read_file(const char *path, uint8_t *bytes, size_t most)
{
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    const size_t n = fread(bytes, 1, most, file);
    fclose(file);
    assert_in_range(n, 1, most - 1);
    return n;
}

static void assert_refused(const char *path)
{
    struct fit_sums sums = sums_of(77);
    fill(5.0);
    assert_false(cm_fit_sums_read(path, &sums));
    assert_int_equal(sums.n_windows, 77);
    for (int i = 0; i < N_PARTS; i++)
        for (int j = 0; j < N; j++) assert_true(values[i][j] == 5.0 * (i + 1) / (j + 3));
}

static void round_trip_and_faults(void **state)
{
    (void)state;
    struct temp_folder *folder = temp_folder_open();
    struct calmoe_context ctx = {.log = NULL};
    struct fit_sums sums = sums_of(9);
    char path[1024], bent[1024];
    uint8_t bytes[4096];
    snprintf(path, sizeof path, "%s", temp_file(folder, "sums"));
    fill(1.0);
    assert_int_equal(cm_fit_sums_write(&ctx, path, &sums), CALMOE_OK);
    fill(2.0);
    sums.n_windows = 0;
    assert_true(cm_fit_sums_read(path, &sums));
    assert_int_equal(sums.n_windows, 9);
    for (int i = 0; i < N_PARTS; i++)
        for (int j = 0; j < N; j++) assert_true(values[i][j] == 1.0 * (i + 1) / (j + 3));

    const size_t n = read_file(path, bytes, sizeof bytes);
    for (size_t at = 0; at < n; at++) {
        snprintf(bent, sizeof bent, "%s", temp_file_with(folder, "bent", bytes, at));
        assert_refused(bent);
        bytes[at] ^= 1;
        snprintf(bent, sizeof bent, "%s", temp_file_with(folder, "bent", bytes, n));
        assert_refused(bent);
        bytes[at] ^= 1;
    }
    snprintf(bent, sizeof bent, "%s", temp_file_with(folder, "bent", bytes, n + 1)); /* one byte more */
    assert_refused(bent);
    assert_refused("/nowhere/sums");
    assert_int_equal(cm_fit_sums_write(&ctx, "/nowhere/sums", &sums), CALMOE_IO);
    assert_string_equal(ctx.message, "cannot write '/nowhere/sums': No such file or directory");
    temp_folder_close(&folder);
    assert_int_equal(cm_live_blocks(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(round_trip_and_faults)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
