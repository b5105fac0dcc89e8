/* test_session_source.c - where a session's text comes from goes with it, into files and to forks; what files say of it
 * is checked before it is believed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/sha256.h"
#include "runtime/engine/handles.h"
#include "tests/support/folder_fixture.h"
#include "tests/support/running.h"
#include "tests/support/tiny_model.h"

enum { HEAD_BYTES = 80, DIGITS = 64, FILE_BYTES = 1 << 20 };

static const int32_t prompt[] = {5, 6, 7, 8, 9};

static struct running open_tiny(char path[600])
{
    const struct tiny_model tiny = tiny_model();
    snprintf(path, 600, "%s", temp_file(folder, "tiny.gguf"));
    tiny_model_write(&tiny, path);
    struct running r = running_open(path, NULL, NULL);
    running_must(r.context, calmoe_session_feed_tokens(r.session, prompt, sizeof prompt / sizeof *prompt));
    running_must(r.context, calmoe_session_next(r.session, &(int32_t){0}));
    return r;
}

static const calmoe_source given = {.size = sizeof given, .name = "a.txt", .text = "a\0b", .n_bytes = 3,
                                    .is_system = 1};

static void has_source(struct running *r, calmoe_session *session)
{
    calmoe_source found = {.size = sizeof found};
    running_must(r->context, calmoe_session_source(session, &found));
    assert_string_equal(found.name, "a.txt");
    assert_int_equal(found.n_bytes, 3);
    assert_memory_equal(found.text, "a\0b", 3);
    assert_int_equal(found.is_system, 1);
    assert_string_equal(found.sha256, "59b271ae1bbcb1d31d41929817f4b16fb439eb4f31520b5ad1d5ce98920a7138");
    running_must(r->context, calmoe_session_set_source(session, NULL));
    assert_int_equal(calmoe_session_source(session, &found), CALMOE_END);
    calmoe_session_close(&session);
}

static void it_goes_along(void **state)
{
    (void)state;
    char            path[600];
    struct running  r = open_tiny(path);
    calmoe_source   found = {.size = sizeof found};
    calmoe_session *restored = NULL, *fork = NULL;
    assert_int_equal(calmoe_session_source(r.session, &found), CALMOE_END);
    assert_int_equal(calmoe_session_source(r.session, NULL), CALMOE_INVALID_ARGUMENT);
    assert_int_equal(calmoe_session_set_source(NULL, &given), CALMOE_INVALID_ARGUMENT);
    assert_int_equal(calmoe_session_set_source(r.session, &found), CALMOE_INVALID_ARGUMENT); /* without a name */
    running_must(r.context, calmoe_session_set_source(r.session, &given));
    running_must(r.context, calmoe_session_save(r.session, temp_file(folder, "a.session")));
    running_must(r.context, calmoe_session_restore(r.engine, temp_file(folder, "a.session"), NULL, &restored));
    running_must(r.context, calmoe_session_fork(r.session, &fork));
    calmoe_session_close(&r.session);
    has_source(&r, restored);
    has_source(&r, fork);
    running_close(&r);
}

static void lies_are_refused(void **state)
{
    (void)state;
    static const struct { size_t at; uint32_t value; const char *words; } faults[] = {
        {HEAD_BYTES, 1 << 27, "its source holds numbers that cannot be"},
        {HEAD_BYTES, 2, "a session of "}, /* a byte less: all behind it is where it should not be */
        {HEAD_BYTES + 8, 5000, "its source holds"},
        {HEAD_BYTES + 12, 2, "its source holds"},
        {HEAD_BYTES + 16, 0, "its source's name holds a byte 0"},
    };
    char            path[600];
    struct running  r = open_tiny(path);
    calmoe_session *session = NULL;
    uint8_t *const  whole = malloc(FILE_BYTES), *const lie = malloc(FILE_BYTES);
    assert_non_null(whole);
    assert_non_null(lie);
    running_must(r.context, calmoe_session_set_source(r.session, &given));
    running_must(r.context, calmoe_session_save(r.session, temp_file(folder, "a.session")));
    FILE *const file = fopen(temp_file(folder, "a.session"), "rb");
    assert_non_null(file);
    const size_t n = fread(whole, 1, FILE_BYTES, file);
    (void)fclose(file);
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        char          hex[DIGITS + 1];
        struct sha256 sha = cm_sha256();
        memcpy(lie, whole, n);
        memcpy(lie + faults[i].at, &faults[i].value, sizeof faults[i].value);
        cm_sha256_add(&sha, lie, n - DIGITS);
        cm_sha256_hex(&sha, hex);
        memcpy(lie + n - DIGITS, hex, DIGITS);
        assert_int_equal(cm_session_parse(r.engine, "a.session", lie, n, NULL, &session), CALMOE_BAD_FILE);
        if (!strstr(calmoe_context_message(r.context), faults[i].words))
            fail_msg("fault %zu: %s", i, calmoe_context_message(r.context));
    }
    for (size_t cut = HEAD_BYTES; cut < HEAD_BYTES + 40; cut++)
        assert_int_equal(cm_session_parse(r.engine, "a.session", whole, cut, NULL, &session), CALMOE_BAD_FILE);
    free(whole);
    free(lie);
    running_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(it_goes_along), cmocka_unit_test(lies_are_refused)};
    return cmocka_run_group_tests_name("session source", tests, open_folder, close_folder);
}
