/* Normalisation form C, against Python's unicodedata; and what no Unicode says: bytes that are no characters, long
 * piles of marks, memory that fails. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "runtime/text/nfc.h"
#include "runtime/text/utf8.h"

static const struct {
    const char *text, *wanted;
} cases[] = {
#include "tests/unit/runtime/text/nfc_cases.inc"
};

static void check(struct nfc *nfc, const char *text, const char *wanted)
{
    const char *out;
    size_t      n_out;
    assert_int_equal(cm_nfc(NULL, nfc, text, strlen(text), &out, &n_out), CALMOE_OK);
    if (n_out != strlen(wanted) || memcmp(out, wanted, n_out) != 0)
        print_message("of '%s' came '%.*s', wanted '%s'\n", text, (int)n_out, out, wanted);
    assert_int_equal(n_out, strlen(wanted));
    assert_memory_equal(out, wanted, n_out);
}

static void texts_become_what_unicode_says(void **state)
{
    (void)state;
    struct nfc nfc = { .n = 0 };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        check(&nfc, cases[i].text, cases[i].wanted);
        check(&nfc, cases[i].wanted, cases[i].wanted); /* and stay so */
    }
    cm_nfc_close(&nfc);
}

/* Every syllable is made of its letters and comes apart into them: 11172 of them are not in the tables. */
static void all_of_hangul(void **state)
{
    (void)state;
    struct nfc nfc = { .n = 0 };
    for (uint32_t point = 0xac00; point < 0xac00 + 11172; point++) {
        const uint32_t at = point - 0xac00, t = at % 28;
        char           letters[16], syllable[8];
        int            n = cm_utf8_write(0x1100 + at / 588, letters);
        n += cm_utf8_write(0x1161 + at / 28 % 21, letters + n);
        if (t) n += cm_utf8_write(0x11a7 + t, letters + n);
        letters[n] = '\0';
        syllable[cm_utf8_write(point, syllable)] = '\0';
        check(&nfc, letters, syllable);
    }
    cm_nfc_close(&nfc);
}

static void a_clean_text_is_not_copied(void **state)
{
    (void)state;
    static const char *const clean[] = { "", "plain", "na\303\257ve caf\303\251",
                                         "\344\270\255\346\226\207 \355\225\234", "\xff\xfe broken \xc3" };
    struct nfc nfc = { .n = 0 };
    for (size_t i = 0; i < sizeof clean / sizeof clean[0]; i++) {
        const char *out;
        size_t      n_out;
        assert_int_equal(cm_nfc(NULL, &nfc, clean[i], strlen(clean[i]), &out, &n_out), CALMOE_OK);
        assert_ptr_equal(out, clean[i]);
        assert_int_equal(n_out, strlen(clean[i]));
    }
    assert_null(nfc.out);
}

static void bytes_that_are_no_characters_stay_and_stand_between(void **state)
{
    (void)state;
    struct nfc nfc = { .n = 0 };
    check(&nfc, "e\xff\314\201", "e\xff\314\201");               /* no accent across it   */
    check(&nfc, "\xffo\314\201\xc3", "\xff\303\263\xc3");         /* but on both sides     */
    check(&nfc, "\314\201\xed\xa0\x80\314\201", "\314\201\xed\xa0\x80\314\201");
    cm_nfc_close(&nfc);
}

/* A million marks on one letter, in the worst order: sorted by counting, else this test would take hours. */
static void piles_of_marks_take_linear_time(void **state)
{
    (void)state;
    enum { N = 1000000 };
    static const char *const marks[] = { "\314\201", "\314\243", "\314\247" }; /* classes 230, 220, 202 */
    struct nfc               nfc = { .n = 0 };
    char                    *text = malloc(2 * N + 1);
    const char              *out;
    size_t                   n_out;
    assert_non_null(text);
    text[0] = 'e';
    for (size_t i = 0; i < N; i++) memcpy(text + 1 + 2 * i, marks[i % 3], 2);
    assert_int_equal(cm_nfc(NULL, &nfc, text, 2 * N + 1, &out, &n_out), CALMOE_OK);
    assert_int_equal(n_out, 2 * N);
    assert_memory_equal(out, "\310\251\314\247", 4); /* e takes in the first cedilla; the others follow */
    assert_memory_equal(out + 2 * (N / 3), "\314\243", 2);
    assert_memory_equal(out + n_out - 2, "\314\201", 2);
    free(text);
    cm_nfc_close(&nfc);
}

static void failing_memory_leaves_nothing(void **state)
{
    (void)state;
    const long    n_live = cm_live_blocks();
    calmoe_status status = CALMOE_NO_MEMORY;
    for (long nth = 1; nth < 20 && status != CALMOE_OK; nth++) {
        struct nfc  nfc = { .n = 0 };
        const char *out;
        size_t      n_out;
        cm_fail_request(nth);
        status = cm_nfc(NULL, &nfc, "cafe\314\201", 6, &out, &n_out);
        cm_fail_request(0);
        assert_true(status == CALMOE_OK || status == CALMOE_NO_MEMORY);
        cm_nfc_close(&nfc);
        assert_int_equal(cm_live_blocks(), n_live);
    }
    assert_int_equal(status, CALMOE_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_become_what_unicode_says),
        cmocka_unit_test(all_of_hangul),
        cmocka_unit_test(a_clean_text_is_not_copied),
        cmocka_unit_test(bytes_that_are_no_characters_stay_and_stand_between),
        cmocka_unit_test(piles_of_marks_take_linear_time),
        cmocka_unit_test(failing_memory_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
