/* test_bad_documents.c - a good plan, profile, policy and trace, cut at every place and changed at every byte: refused
 * with a sentence, or read whole; document_read() ends the program at anything else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/documents.h"

static const struct {
    int         kind;
    const char *name; /* in the corpus of fuzz_documents, behind the byte that chooses */
} good[] = {
    {DOCUMENT_PLAN, "plan"},       {DOCUMENT_PLAN, "plan_2"},   {DOCUMENT_PROFILE, "profile"},
    {DOCUMENT_PLAN, "plan_3"},     {DOCUMENT_POLICY, "policy"}, {DOCUMENT_TRACE, "trace"},
};
enum { N_GOOD = sizeof good / sizeof good[0], MAX_BYTES = 1 << 16 };

static uint8_t bytes[MAX_BYTES];

static size_t load(const char *name)
{
    char path[512];
    snprintf(path, sizeof path, CALMOE_SOURCE_DIR "/tests/fuzz/corpus/fuzz_documents/%s", name);
    FILE *file = fopen(path, "rb");
    if (!file) fail_msg("cannot open %s", path);
    (void)fgetc(file);
    const size_t n = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    assert_true(n > 0 && n < sizeof bytes);
    return n;
}

/* In a block of exactly its size, so that a byte too far is seen by the sanitizer. */
static calmoe_status read_copy(int kind, size_t n)
{
    uint8_t *copy = malloc(n > 0 ? n : 1);
    assert_non_null(copy);
    memcpy(copy, bytes, n);
    const calmoe_status status = document_read(kind, copy, n);
    free(copy);
    return status;
}

/* A text ends nowhere but at its end, or before the line feed there; a trace may end behind any token. */
static void cut_anywhere(void **state)
{
    (void)state;
    for (int i = 0; i < N_GOOD; i++) {
        const size_t n_all = load(good[i].name);
        size_t       n_fine = 0;
        assert_int_equal(read_copy(good[i].kind, n_all), CALMOE_OK);
        for (size_t n = 0; n < n_all; n++) n_fine += read_copy(good[i].kind, n) == CALMOE_OK;
        assert_int_equal(n_fine, good[i].kind == DOCUMENT_TRACE ? 2 : bytes[n_all - 1] == '\n');
    }
}

static void changed_anywhere(void **state)
{
    static const uint8_t masks[] = {0x01, 0x04, 0x10, 0x20, 0x80, 0xff};
    (void)state;
    for (int i = 0; i < N_GOOD; i++) {
        const size_t n = load(good[i].name);
        size_t       n_refused = 0;
        for (size_t at = 0; at < n; at++)
            for (size_t mask = 0; mask < sizeof masks; mask++) {
                bytes[at] ^= masks[mask];
                n_refused += read_copy(good[i].kind, n) != CALMOE_OK;
                bytes[at] ^= masks[mask];
            }
        assert_true(n_refused > n / 4); /* so the changes did arrive */
    }
}

/* Each byte in turn is one that JSON cares for, or is not there at all. */
static void replaced_anywhere(void **state)
{
    static const char others[] = "0-.e\"{}[],:\\ \n\x7f";
    (void)state;
    for (int i = 0; i < N_GOOD; i++) {
        const size_t n = load(good[i].name);
        for (size_t at = 0; at < n; at++) {
            const uint8_t was = bytes[at];
            for (size_t j = 0; j < sizeof others; j++) { /* the NUL at its end, too */
                bytes[at] = (uint8_t)others[j];
                (void)read_copy(good[i].kind, n);
            }
            memmove(bytes + at, bytes + at + 1, n - at - 1);
            (void)read_copy(good[i].kind, n - 1);
            memmove(bytes + at + 1, bytes + at, n - at - 1);
            bytes[at] = was;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cut_anywhere),
        cmocka_unit_test(changed_anywhere),
        cmocka_unit_test(replaced_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
