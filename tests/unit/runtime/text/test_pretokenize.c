/* Where each pre-tokenizer cuts, and that no text takes long to cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/memory.h"
#include "runtime/text/pretokenize.h"

static const struct {
    const char *row, *text, *pieces;
} cases[] = {
#include "pretokenizer_cases.inc"
};

struct joined {
    char   text[1024];
    size_t n;
};

static calmoe_status join(void *arg, const char *piece, size_t n_bytes)
{
    struct joined *joined = arg;
    assert_true(n_bytes > 0);
    assert_true(joined->n + n_bytes + 4 < sizeof joined->text);
    if (joined->n) {
        memcpy(joined->text + joined->n, "│", 3);
        joined->n += 3;
    }
    memcpy(joined->text + joined->n, piece, n_bytes);
    joined->n += n_bytes;
    joined->text[joined->n] = '\0';
    return CALMOE_OK;
}

static void cut_with(const struct pretokenizer_row *row, const char *text, size_t n_bytes, cm_piece_fn put,
                     void *arg)
{
    struct pretokenizer *pretokenizer;
    struct splitter     *splitter;
    assert_int_equal(cm_pretokenizer_open(NULL, row, &pretokenizer), CALMOE_OK);
    assert_int_equal(cm_splitter_open(NULL, pretokenizer, &splitter), CALMOE_OK);
    assert_int_equal(cm_split(splitter, text, n_bytes, put, arg), CALMOE_OK);
    cm_splitter_close(&splitter);
    cm_pretokenizer_close(&pretokenizer);
    assert_null(pretokenizer);
}

static void cuts_where_the_models_own_patterns_do(void **state)
{
    (void)state;
    int n_wrong = 0;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct joined                  joined = { .n = 0 };
        const struct pretokenizer_row *row = cm_pretokenizer_row(cases[i].row, strlen(cases[i].row));
        assert_non_null(row);
        cut_with(row, cases[i].text, strlen(cases[i].text), join, &joined);
        if (!strcmp(joined.text, cases[i].pieces)) continue;
        print_message("%s\n    wanted %s\n    got    %s\n", cases[i].row, cases[i].pieces, joined.text);
        n_wrong++;
    }
    assert_int_equal(n_wrong, 0);
}

static void every_row_has_cases(void **state)
{
    (void)state;
    const struct pretokenizer_row *row;
    for (size_t i = 0; (row = cm_pretokenizer_row_at(i)); i++) {
        int n = 0;
        for (size_t at = 0; at < sizeof cases / sizeof cases[0]; at++)
            n += cm_pretokenizer_row(cases[at].row, strlen(cases[at].row)) == row;
        if (!n) print_message("no case for %s\n", row->names[0]);
        assert_true(n > 0);
    }
}

static void names_are_found_once(void **state)
{
    (void)state;
    const struct pretokenizer_row *row;
    for (size_t i = 0; (row = cm_pretokenizer_row_at(i)); i++)
        for (size_t name = 0; name < PRETOKENIZER_MAX_NAMES && row->names[name]; name++)
            assert_ptr_equal(cm_pretokenizer_row(row->names[name], strlen(row->names[name])), row);
    assert_null(cm_pretokenizer_row("qwen", 4));
    assert_null(cm_pretokenizer_row("qwen22", 6));
    assert_null(cm_pretokenizer_row("", 0));
    assert_ptr_equal(cm_pretokenizer_row("qwen22", 5), cm_pretokenizer_row("qwen2", 5));
}

/* ---- hostile texts ---- */

static calmoe_status add_length(void *arg, const char *piece, size_t n_bytes)
{
    (void)piece;
    *(size_t *)arg += n_bytes;
    return CALMOE_OK;
}

static void no_text_takes_long(void **state)
{
    (void)state;
    enum { N = 1 << 18 };
    static const struct {
        const char *body, *end;
    } texts[] = {
        { "a", "" }, { "A", "" }, { "A", "1" }, { " ", "" }, { " ", "1" }, { " ", "x" }, { "\n", "x" }, { " \n", " x" },
        { "1", "" }, { "1 ", "" }, { "'", "" }, { "'l", "" }, { "!", "\n" }, { "中", "" }, { "e\xcc\x81", "!" },
        { "a ", "" }, { "\xcc\x81", "" }, { "\xe2\x80\x8b", "" }, { "/", "\n" }, { "Aa", "'" }, { "\r", "\n\n" },
    };
    char *text = malloc(N + 8);
    assert_non_null(text);
    const struct pretokenizer_row *row;
    for (size_t r = 0; (row = cm_pretokenizer_row_at(r)); r++)
        for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
            const size_t n_body = strlen(texts[i].body), n_end = strlen(texts[i].end);
            size_t       n = 0, n_cut = 0;
            for (; n + n_body <= N; n += n_body) memcpy(text + n, texts[i].body, n_body);
            memcpy(text + n, texts[i].end, n_end);
            const clock_t begin = clock();
            cut_with(row, text, n + n_end, add_length, &n_cut);
            const double seconds = (double)(clock() - begin) / CLOCKS_PER_SEC;
            assert_int_equal(n_cut, n + n_end);
            if (seconds > 5) print_message("%s took %.1f s for text %zu\n", row->names[0], seconds, i);
            assert_true(seconds < 30); /* some milliseconds; sanitizers and slow machines included */
        }
    free(text);
}

static calmoe_status refuse(void *arg, const char *piece, size_t n_bytes)
{
    (void)piece;
    (void)n_bytes;
    return ++*(int *)arg == 2 ? CALMOE_CANCELLED : CALMOE_OK;
}

static void a_refusal_is_passed_on(void **state)
{
    (void)state;
    struct pretokenizer *pretokenizer;
    struct splitter     *splitter;
    int                  n = 0;
    assert_int_equal(cm_pretokenizer_open(NULL, cm_pretokenizer_row("refact", 6), &pretokenizer), CALMOE_OK);
    assert_int_equal(cm_splitter_open(NULL, pretokenizer, &splitter), CALMOE_OK);
    assert_int_equal(cm_split(splitter, "a b c d", 7, refuse, &n), CALMOE_CANCELLED);
    assert_int_equal(n, 2);
    assert_int_equal(cm_split(splitter, "", 0, refuse, &n), CALMOE_OK);
    assert_int_equal(n, 2);
    cm_splitter_close(&splitter);
    cm_splitter_close(&splitter);
    cm_pretokenizer_close(&pretokenizer);
    cm_pretokenizer_close(&pretokenizer);
}

static void failing_memory_leaves_nothing(void **state)
{
    (void)state;
    const long n_live = cm_live_blocks();
    for (long nth = 1;; nth++) {
        struct pretokenizer *pretokenizer;
        struct splitter     *splitter = NULL;
        size_t               n_cut = 0;
        cm_fail_request(nth);
        calmoe_status status = cm_pretokenizer_open(NULL, cm_pretokenizer_row("deepseek-llm", 12), &pretokenizer);
        if (status == CALMOE_OK) status = cm_splitter_open(NULL, pretokenizer, &splitter);
        if (status == CALMOE_OK) status = cm_split(splitter, "a b", 3, add_length, &n_cut);
        cm_fail_request(0);
        cm_splitter_close(&splitter);
        cm_pretokenizer_close(&pretokenizer);
        assert_int_equal(cm_live_blocks(), n_live);
        if (status == CALMOE_OK && nth > 40) break;
        assert_true(status == CALMOE_OK || status == CALMOE_NO_MEMORY);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cuts_where_the_models_own_patterns_do),
        cmocka_unit_test(every_row_has_cases),
        cmocka_unit_test(names_are_found_once),
        cmocka_unit_test(no_text_takes_long),
        cmocka_unit_test(a_refusal_is_passed_on),
        cmocka_unit_test(failing_memory_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
