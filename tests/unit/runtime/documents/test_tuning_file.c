/* test_tuning_file.c - what was measured, kept and found again; whatever is wrong with it is one sentence and no harm.
 * */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>

#include <cmocka.h>

#include "base/memory.h"
#include "runtime/documents/tuning_file.h"
#include "tests/support/folder_fixture.h"

#define MACHINE "GenuineIntel, Some (R) Xeon, amx, 2 threads"
#define HEAD "calmoe tuning 1\nmachine: " MACHINE "\nread ahead: "

static char sentence[2048]; /* of the log, the last one */

static void keep_sentence(void *user, const char *said)
{
    (void)user;
    snprintf(sentence, sizeof sentence, "%s", said);
}

static struct calmoe_context ctx = { .log = keep_sentence };

static void is_found_again(void **state)
{
    char name[TUNING_NAME_BYTES];
    (void)state;
    sentence[0] = '\0';
    setenv("CALMOE_CACHE", temp_file(folder, "not/there/yet"), 1);
    char *path = cm_tuning_path(MACHINE), *other = cm_tuning_path("another");
    assert_non_null(path);
    assert_non_null(other);
    assert_string_not_equal(path, other);
    assert_false(cm_tuning_read(&ctx, path, MACHINE, name));
    cm_tuning_write(&ctx, path, MACHINE, "lines at 4 KB");
    assert_true(cm_tuning_read(&ctx, path, MACHINE, name));
    assert_string_equal(name, "lines at 4 KB");
    cm_tuning_write(&ctx, path, MACHINE, "a line at 8 KB");
    assert_true(cm_tuning_read(&ctx, path, MACHINE, name));
    assert_string_equal(name, "a line at 8 KB");
    assert_string_equal(sentence, "");
    cm_free(path);
    cm_free(other);
}

static void damage_is_told_and_ignored(void **state)
{
    static const struct { const char *text; size_t n; } damaged[] = {
        { "", 0 }, { "garbage", 7 }, { HEAD, sizeof HEAD - 1 }, { HEAD "\n", sizeof HEAD }, { HEAD "x", sizeof HEAD },
        { HEAD "x\ny\n", sizeof HEAD + 3 }, { HEAD "x\0\n", sizeof HEAD + 2 },
        { "calmoe tuning 2\nmachine: " MACHINE "\nread ahead: x\n", sizeof HEAD + 1 },
        { "calmoe tuning 1\nmachine: another\nread ahead: x\n", 48 },
    };
    char name[TUNING_NAME_BYTES], longer[2000];
    (void)state;
    for (size_t i = 0; i < sizeof damaged / sizeof damaged[0]; i++) {
        const char *path = temp_file_with(folder, "damaged", damaged[i].text, damaged[i].n);
        sentence[0] = '\0';
        assert_false(cm_tuning_read(&ctx, path, MACHINE, name));
        assert_non_null(strstr(sentence, "it is ignored"));
        assert_non_null(strstr(sentence, path));
    }
    memset(longer, 'x', sizeof longer);
    memcpy(longer, HEAD, sizeof HEAD - 1);
    assert_false(cm_tuning_read(&ctx, temp_file_with(folder, "long", longer, sizeof longer), MACHINE, name));
    assert_true(cm_tuning_read(&ctx, temp_file_with(folder, "good", HEAD "x\n", sizeof HEAD + 1), MACHINE, name));
    assert_string_equal(name, "x");
}

static void no_folder_is_fine(void **state)
{
    (void)state;
    setenv("CALMOE_CACHE", "", 1);
    assert_null(cm_tuning_path(MACHINE));
    unsetenv("CALMOE_CACHE");
    unsetenv("XDG_CACHE_HOME");
    unsetenv("HOME");
    assert_null(cm_tuning_path(MACHINE));
    setenv("HOME", "/home/someone", 1);
    char *path = cm_tuning_path(MACHINE);
    assert_non_null(path);
    assert_memory_equal(path, "/home/someone/.cache/calmoe/tuning-", 35);
    cm_free(path);
    setenv("XDG_CACHE_HOME", "/var/cache", 1);
    path = cm_tuning_path(MACHINE);
    assert_non_null(path);
    assert_memory_equal(path, "/var/cache/calmoe/tuning-", 25);
    cm_free(path);
}

static void a_folder_that_cannot_be_is_told(void **state)
{
    char path[1100];
    (void)state;
    snprintf(path, sizeof path, "%s/below/tuning", temp_file_with(folder, "file", "x", 1));
    sentence[0] = '\0';
    cm_tuning_write(&ctx, path, MACHINE, "lines at 4 KB");
    assert_non_null(strstr(sentence, "what was measured is not kept: cannot write"));
    assert_string_equal(ctx.message, "");
}

/* Two ranks of one machine measure at once: one of them keeps it, and the other has nothing to say. */
static void another_that_writes_it_is_no_remark(void **state)
{
    char path[1100], part[1110];
    (void)state;
    snprintf(path, sizeof path, "%s", temp_file(folder, "both"));
    snprintf(part, sizeof part, "%s.part", path);
    FILE *other = fopen(part, "wb");
    assert_non_null(other);
    assert_int_equal(flock(fileno(other), LOCK_EX), 0);
    sentence[0] = '\0';
    cm_tuning_write(&ctx, path, MACHINE, "lines at 4 KB");
    assert_string_equal(sentence, "");
    assert_null(fopen(path, "rb"));
    fclose(other);
    cm_tuning_write(&ctx, path, MACHINE, "lines at 4 KB");
    char name[TUNING_NAME_BYTES];
    assert_true(cm_tuning_read(&ctx, path, MACHINE, name));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_found_again),
        cmocka_unit_test(damage_is_told_and_ignored),
        cmocka_unit_test(no_folder_is_fine),
        cmocka_unit_test(a_folder_that_cannot_be_is_told),
        cmocka_unit_test(another_that_writes_it_is_no_remark),
    };
    return cmocka_run_group_tests(tests, open_folder, close_folder);
}
