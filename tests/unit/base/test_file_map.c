/* Mapped files: what is mapped, what is read, what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file_map.h"
#include "base/memory.h"

static char folder[] = "/tmp/calmoe-file-map-XXXXXX";
static char path[sizeof folder + 16];

static int make_folder(void **state)
{
    (void)state;
    if (!mkdtemp(folder)) return -1;
    snprintf(path, sizeof path, "%s/file", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(folder);
}

static void write_file(size_t n_bytes)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    for (size_t at = 0; at < n_bytes; at++) assert_true(fputc((int)(at * 31 % 251), file) != EOF);
    assert_int_equal(fclose(file), 0);
}

static void assert_holds_file(const struct file_map *map, size_t n_bytes)
{
    assert_int_equal(map->n_bytes, n_bytes);
    for (size_t at = 0; at < n_bytes; at++)
        if (map->bytes[at] != at * 31 % 251) fail_msg("byte %zu differs", at);
}

static void maps_the_bytes(void **state)
{
    (void)state;
    const long   n_live = cm_live_blocks();
    const size_t sizes[] = {1, 4095, 4096, 4097, 300001};
    for (size_t at = 0; at < sizeof sizes / sizeof sizes[0]; at++) {
        write_file(sizes[at]);
        struct file_map map;
        assert_int_equal(cm_file_map_open(NULL, path, &map), CALMOE_OK);
        assert_int_equal(cm_live_blocks(), n_live + 1);
        assert_holds_file(&map, sizes[at]);
        cm_file_map_close(&map);
        assert_null(map.bytes);
        cm_file_map_close(&map);
        assert_int_equal(cm_live_blocks(), n_live);
    }
}

static void an_empty_file_maps_to_nothing(void **state)
{
    (void)state;
    write_file(0);
    struct file_map map;
    assert_int_equal(cm_file_map_open(NULL, path, &map), CALMOE_OK);
    assert_true(map.bytes == NULL && map.n_bytes == 0);
    cm_file_map_will_need(&map, 0, 10);
    cm_file_map_close(&map);
}

static void reads_what_it_maps(void **state)
{
    (void)state;
    enum { N = 300001 };
    write_file(N);
    struct file_map map;
    assert_int_equal(cm_file_map_open(NULL, path, &map), CALMOE_OK);
    const size_t offsets[] = {0, 1, 4095, 4096, 131072, N - 1, N};
    const size_t lengths[] = {0, 1, 4096, 9000, 200000, N};
    static uint8_t got[N + 1];
    for (size_t row = 0; row < sizeof offsets / sizeof offsets[0]; row++) {
        for (size_t column = 0; column < sizeof lengths / sizeof lengths[0]; column++) {
            const size_t left = N - offsets[row];
            const size_t n_bytes = lengths[column] < left ? lengths[column] : left;
            memset(got, 0xee, sizeof got);
            assert_int_equal(cm_file_map_read(&map, offsets[row], n_bytes, got), 0);
            assert_memory_equal(got, map.bytes + offsets[row], n_bytes);
            assert_int_equal(got[n_bytes], 0xee);
            cm_file_map_will_need(&map, offsets[row], lengths[column]);
        }
    }
    cm_file_map_will_need(&map, SIZE_MAX, SIZE_MAX);
    assert_holds_file(&map, N);
    cm_file_map_close(&map);
}

static void tells_of_a_file_cut_short(void **state)
{
    (void)state;
    write_file(10000);
    struct file_map map;
    uint8_t         got[10000];
    assert_int_equal(cm_file_map_open(NULL, path, &map), CALMOE_OK);
    assert_int_equal(truncate(path, 5000), 0);
    assert_int_equal(cm_file_map_read(&map, 0, 5000, got), 0);
    assert_int_equal(cm_file_map_read(&map, 4000, 1001, got), CM_FILE_ENDED);
    assert_int_equal(cm_file_map_read(&map, 9999, 1, got), CM_FILE_ENDED);
    cm_file_map_close(&map);
}

static void says_what_it_cannot_map(void **state)
{
    (void)state;
    struct calmoe_context ctx = {0};
    struct file_map       map = {.n_bytes = 7};
    assert_int_equal(cm_file_map_open(&ctx, "/nowhere/model.gguf", &map), CALMOE_IO);
    assert_string_equal(ctx.message, "cannot open '/nowhere/model.gguf': No such file or directory");
    assert_true(map.bytes == NULL && map.n_bytes == 0);

    assert_int_equal(cm_file_map_open(&ctx, folder, &map), CALMOE_IO);
    assert_non_null(strstr(ctx.message, "' is not a regular file"));
    assert_int_equal(cm_file_map_open(&ctx, "/dev/null", &map), CALMOE_IO);
    assert_string_equal(ctx.message, "'/dev/null' is not a regular file");

    unlink(path);
    assert_int_equal(mkfifo(path, 0600), 0); /* nobody writes: opening must not wait */
    assert_int_equal(cm_file_map_open(&ctx, path, &map), CALMOE_IO);
    assert_non_null(strstr(ctx.message, "' is not a regular file"));
    unlink(path);
}

static void a_failing_request_leaves_nothing(void **state)
{
    (void)state;
    struct calmoe_context ctx = {0};
    struct file_map       map;
    const long            n_live = cm_live_blocks();
    for (size_t n_bytes = 0; n_bytes <= 5; n_bytes += 5) {
        write_file(n_bytes);
        cm_fail_request(1);
        assert_int_equal(cm_file_map_open(&ctx, path, &map), CALMOE_NO_MEMORY);
        assert_non_null(strstr(ctx.message, "no memory to map '"));
        assert_null(map.bytes);
        assert_int_equal(cm_live_blocks(), n_live);
    }
}

/* The system gives the lowest free number: it is the same after opens that succeeded and failed. */
static void keeps_no_descriptor(void **state)
{
    (void)state;
    write_file(10);
    struct file_map map;
    const int       before = dup(0);
    close(before);
    for (int round = 0; round < 10; round++) {
        assert_int_equal(cm_file_map_open(NULL, path, &map), CALMOE_OK);
        cm_file_map_close(&map);
        assert_int_equal(cm_file_map_open(NULL, folder, &map), CALMOE_IO);
    }
    const int after = dup(0);
    close(after);
    assert_int_equal(before, after);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(maps_the_bytes),
        cmocka_unit_test(an_empty_file_maps_to_nothing),
        cmocka_unit_test(reads_what_it_maps),
        cmocka_unit_test(tells_of_a_file_cut_short),
        cmocka_unit_test(says_what_it_cannot_map),
        cmocka_unit_test(a_failing_request_leaves_nothing),
        cmocka_unit_test(keeps_no_descriptor),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
