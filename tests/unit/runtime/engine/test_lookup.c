/* test_lookup.c - drafts that are looked up: what is found, how far it goes, and how drafts grow and pause. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "runtime/engine/lookup.h"

static struct lookup lookup;

static int set_up(void **state)
{
    (void)state;
    memset(&lookup, 0, sizeof lookup);
    cm_lookup_begin(&lookup);
    return 0;
}

static void what_followed_is_found(void **state)
{
    (void)state;
    const int32_t tokens[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4};
    int32_t draft[LOOKUP_MOST];
    assert_int_equal(cm_lookup_find(&lookup, tokens, 12, draft, LOOKUP_MOST), 4);
    assert_memory_equal(draft, tokens + 4, 4 * sizeof *draft);
    assert_int_equal(cm_lookup_find(&lookup, tokens, 12, draft, 2), 2);
    assert_int_equal(cm_lookup_find(&lookup, tokens, 12, draft, 0), 0);
}

/* The last place counts; a part of the tokens is not enough. */
static void the_latest_of_equal_places(void **state)
{
    (void)state;
    const int32_t tokens[] = {1, 2, 3, 10, 1, 2, 3, 20, 0, 2, 3, 30, 1, 2, 3};
    int32_t draft[LOOKUP_MOST];
    for (int n = 1; n < 7; n++) assert_int_equal(cm_lookup_find(&lookup, tokens, n, draft, 1), 0);
    assert_int_equal(cm_lookup_find(&lookup, tokens, 7, draft, 1), 1);
    assert_int_equal(draft[0], 10);
    assert_int_equal(cm_lookup_find(&lookup, tokens, 11, draft, 1), 0);
    assert_int_equal(cm_lookup_find(&lookup, tokens, 15, draft, 1), 1);
    assert_int_equal(draft[0], 20);
}

/* Behind the end of what is known stands what is drafted: a period goes on. */
static void a_period_goes_on(void **state)
{
    (void)state;
    const int32_t tokens[] = {7, 8, 7, 8, 7, 8}, wanted[] = {7, 8, 7, 8};
    int32_t draft[LOOKUP_MOST];
    assert_int_equal(cm_lookup_find(&lookup, tokens, 6, draft, LOOKUP_MOST), 4);
    assert_memory_equal(draft, wanted, sizeof wanted);
}

/* Against a search through all places, on sequences that go back now and then; entries of other tokens are no hits. */
static void as_a_search_finds(void **state)
{
    (void)state;
    enum { N = 3000 };
    static int32_t tokens[N];
    struct random  random = cm_random(3);
    int32_t        draft[LOOKUP_MOST];
    int            n = 0, n_found = 0;
    for (int turn = 0; turn < 6000; turn++) {
        if (n == N || cm_random_below(&random, 50) == 0) {
            n = (int)cm_random_below(&random, (uint64_t)n + 1);
            cm_lookup_forget(&lookup, n);
        }
        if (n == N) continue;
        tokens[n++] = (int32_t)cm_random_below(&random, 7);
        const int found = cm_lookup_find(&lookup, tokens, n, draft, 1);
        int       place = n - 1;
        while (place >= LOOKUP_N &&
               memcmp(tokens + place - LOOKUP_N, tokens + n - LOOKUP_N, LOOKUP_N * sizeof *tokens) != 0)
            place--;
        if (found) assert_true(place >= LOOKUP_N); /* three tokens may share a slot with others: then they are not found */
        n_found += found;
        if (found && tokens[place] != draft[0]) { /* an earlier place, since the latest was forgotten */
            bool is_there = false;
            for (int p = LOOKUP_N; p < n && !is_there; p++)
                is_there = tokens[p] == draft[0] &&
                           memcmp(tokens + p - LOOKUP_N, tokens + n - LOOKUP_N, LOOKUP_N * sizeof *tokens) == 0;
            assert_true(is_there);
        }
    }
    assert_true(n_found > 500);
}

static void drafts_grow_and_pause(void **state)
{
    (void)state;
    const int32_t tokens[] = {7, 8, 7, 8, 7, 8};
    int32_t draft[LOOKUP_MOST];
    static const struct { int n_drafts, n_accepted; double gain; int n_paused, n_next; } rounds[] = {
        {4, 4, 2.0, 0, 8},  {8, 8, 3.0, 0, 15}, {15, 15, 3.0, 0, 15}, {15, 5, 1.2, 0, 6}, {6, 0, 0.4, 4, 2},
        {2, 0, 0.6, 8, 2},  {2, 0, 0.6, 16, 2}, {2, 2, 1.3, 0, 4},
    };
    for (size_t i = 0; i < sizeof rounds / sizeof *rounds; i++) {
        cm_lookup_note(&lookup, rounds[i].n_drafts, rounds[i].n_accepted, rounds[i].gain);
        for (int pause = 0; pause < rounds[i].n_paused; pause++)
            assert_int_equal(cm_lookup_find(&lookup, tokens, 6, draft, LOOKUP_MOST), 0);
        assert_int_equal(cm_lookup_find(&lookup, tokens, 6, draft, LOOKUP_MOST), rounds[i].n_next);
    }
    for (int i = 0; i < 20; i++) cm_lookup_note(&lookup, 2, 0, 0.5);
    int n_paused = 0;
    while (cm_lookup_find(&lookup, tokens, 6, draft, LOOKUP_MOST) == 0) n_paused++;
    assert_int_equal(n_paused, 256);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(what_followed_is_found, set_up),
        cmocka_unit_test_setup(the_latest_of_equal_places, set_up),
        cmocka_unit_test_setup(a_period_goes_on, set_up),
        cmocka_unit_test_setup(as_a_search_finds, set_up),
        cmocka_unit_test_setup(drafts_grow_and_pause, set_up),
    };
    return cmocka_run_group_tests_name("lookup", tests, NULL, NULL);
}
