/* test_exit_tally.c - how good exits are, counted by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <math.h>

#include <cmocka.h>

#include "runtime/fit/exit_tally.h"

static void counted_by_hand(void **state)
{
    (void)state;
    struct exit_tally tally = {.n_exits = 3, .n_layers = 10, .layers = {2, 5, 8}};
    static const struct exit_answer tokens[][3] = {
        {{true, 0.9f}, {true, 0.9f}, {true, 0.9f}},     /* agrees and is sure from the first exit on */
        {{false, 0.5f}, {true, 0.9f}, {true, 0.9f}},    /* sure too early: wrong                     */
        {{false, 0.49f}, {true, 0.1f}, {false, 0.8f}},  /* an oracle leaves at 5, the sure one at 8  */
        {{false, 0.0f}, {false, 0.0f}, {false, 0.3f}},  /* nobody leaves                             */
        {{true, NAN}, {false, NAN}, {true, 0.2f}},      /* agrees but is never sure                  */
    };
    for (int i = 0; i < 5; i++) cm_exit_tally_add(&tally, tokens[i]);
    assert_int_equal(tally.n, 5);
    static const struct exit_count wanted[3] = {{2, 2, 1, 2}, {3, 2, 2, 2}, {3, 3, 2, 0}};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(tally.exits[i].n_agreeing, wanted[i].n_agreeing);
        assert_int_equal(tally.exits[i].n_sure, wanted[i].n_sure);
        assert_int_equal(tally.exits[i].n_sure_agreeing, wanted[i].n_sure_agreeing);
        assert_int_equal(tally.exits[i].n_first, wanted[i].n_first);
    }
    assert_int_equal(tally.n_oracle_layers, 2 + 5 + 5 + 10 + 2);
    assert_int_equal(tally.n_sure_layers, 2 + 2 + 8 + 10 + 10);
    assert_int_equal(tally.n_path_agreeing, 1 + 0 + 0 + 1 + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(counted_by_hand)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
