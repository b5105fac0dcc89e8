/* test_stops.c - texts that end an answer, put in in pieces of any size: what comes out is the text before the first
 * stop text, nothing comes too early, and what cannot be the beginning of one is not held back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <stdbool.h>
#include <string.h>

#include <cmocka.h>

#include <calmoe/calmoe.h>

#include "base/memory.h"
#include "base/random.h"
#include "base/status.h"

enum { MAX_TEXT = 60, MAX_STOPS = 4, MAX_STOP = 5 };

static struct calmoe_context context;

struct trial {
    int    n_stops, n_text;
    char   stops[MAX_STOPS][MAX_STOP + 1];
    size_t n_stop[MAX_STOPS];
    char   text[MAX_TEXT + 1];
};

/* Of few letters, so that there are many near misses. */
static size_t make_text(struct random *random, char *text, size_t least, size_t most)
{
    const size_t n = least + cm_random_below(random, most - least + 1);
    for (size_t i = 0; i < n; i++) text[i] = "ab\xc3\xa9"[cm_random_below(random, 4)];
    text[n] = '\0';
    return n;
}

static struct trial make_trial(struct random *random)
{
    struct trial trial = {.n_stops = (int)cm_random_below(random, MAX_STOPS + 1)};
    for (int i = 0; i < trial.n_stops; i++) trial.n_stop[i] = make_text(random, trial.stops[i], 1, MAX_STOP);
    trial.n_text = (int)make_text(random, trial.text, 0, MAX_TEXT);
    return trial;
}

/* Where the first stop text begins in text[0 .. n), n: nowhere; ends: where it ends. */
static size_t first_stop(const struct trial *trial, size_t n, int *which)
{
    *which = -1;
    for (size_t at = 0; at < n; at++)
        for (int i = 0; i < trial->n_stops; i++)
            if (trial->n_stop[i] <= n - at && memcmp(trial->text + at, trial->stops[i], trial->n_stop[i]) == 0) {
                *which = i;
                return at;
            }
    return n;
}

/* What may be shown of the first n bytes: no continuation of them has a stop text that begins before. */
static size_t certain(const struct trial *trial, size_t n)
{
    for (size_t at = 0; at < n; at++)
        for (int i = 0; i < trial->n_stops; i++)
            if (trial->n_stop[i] > n - at && memcmp(trial->text + at, trial->stops[i], n - at) == 0) return at;
    return n;
}

static void check_trial(const struct trial *trial, struct random *random)
{
    const char *texts[MAX_STOPS], *shown;
    char        out[MAX_TEXT + 1];
    size_t      n_shown, n_out = 0, n = 0;
    int         which = -1, wanted = -1;
    calmoe_stops *stops;
    for (int i = 0; i < trial->n_stops; i++) texts[i] = trial->stops[i];
    assert_int_equal(calmoe_stops_open(&context, texts, cm_random_below(random, 2) ? trial->n_stop : NULL,
                                       trial->n_stops, &stops), CALMOE_OK);
    for (int answer = 0; answer < 2; answer++) { /* the second finds nothing of the first */
        calmoe_status status = CALMOE_OK;
        for (n = n_out = 0; n < (size_t)trial->n_text && status == CALMOE_OK;) {
            size_t more = cm_random_below(random, 6);
            if (more > (size_t)trial->n_text - n) more = (size_t)trial->n_text - n;
            status = calmoe_stops_put(stops, trial->text + n, more, &shown, &n_shown, &which);
            n += more;
            assert_true(n_out + n_shown <= n);
            memcpy(out + n_out, shown, n_shown);
            n_out += n_shown;
            const size_t at = first_stop(trial, n, &wanted);
            assert_int_equal(status, wanted >= 0 ? CALMOE_END : CALMOE_OK);
            assert_int_equal(which, wanted);
            assert_int_equal(n_out, wanted >= 0 ? at : certain(trial, n));
        }
        if (status == CALMOE_OK) {
            calmoe_stops_end(stops, &shown, &n_shown);
            memcpy(out + n_out, shown, n_shown);
            n_out += n_shown;
            assert_int_equal(n_out, n);
        }
        assert_memory_equal(out, trial->text, n_out);
    }
    calmoe_stops_close(&stops);
}

static void random_texts(void **state)
{
    (void)state;
    struct random random = cm_random(7);
    for (int i = 0; i < 20000; i++) {
        const struct trial trial = make_trial(&random);
        check_trial(&trial, &random);
    }
}

static void wrong_arguments_and_no_memory(void **state)
{
    (void)state;
    const char *texts[] = {"one", "", "two"}, *shown;
    size_t      n_shown;
    calmoe_stops *stops = (calmoe_stops *)&context;
    assert_int_equal(calmoe_stops_open(&context, texts, NULL, 3, &stops), CALMOE_INVALID_ARGUMENT);
    assert_string_equal(context.message, "stop text 1 is empty");
    assert_null(stops);
    assert_int_equal(calmoe_stops_open(&context, NULL, NULL, 1, &stops), CALMOE_INVALID_ARGUMENT);
    assert_int_equal(calmoe_stops_open(NULL, texts, NULL, 1, &stops), CALMOE_INVALID_ARGUMENT);
    assert_int_equal(calmoe_stops_put(NULL, "", 0, &shown, &n_shown, NULL), CALMOE_INVALID_ARGUMENT);
    calmoe_stops_end(NULL, &shown, &n_shown);
    const long n_live = cm_live_blocks();
    calmoe_status status = CALMOE_NO_MEMORY;
    for (long nth = 1; status != CALMOE_OK; nth++) {
        cm_fail_request(nth);
        status = calmoe_stops_open(&context, texts, NULL, 1, &stops);
        if (status == CALMOE_OK) status = calmoe_stops_put(stops, "text", 4, &shown, &n_shown, NULL);
        assert_true(status == CALMOE_OK || status == CALMOE_NO_MEMORY);
        calmoe_stops_close(&stops);
        assert_int_equal(cm_live_blocks(), n_live);
    }
    cm_fail_request(0);
    calmoe_stops_close(&stops);
    calmoe_stops_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_texts),
        cmocka_unit_test(wrong_arguments_and_no_memory),
    };
    return cmocka_run_group_tests_name("texts that end an answer", tests, NULL, NULL);
}
