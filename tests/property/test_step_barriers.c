/* test_step_barriers.c - every golden model: the threads of a step meet as often as step_barriers.h says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "runtime/engine/handles.h"
#include "runtime/forward/step_barriers.h"
#include "tests/support/goldens.h"
#include "tests/support/running.h"

enum { MAX_VOCAB = 2048 };

static void check_model(const char *path, int n_threads)
{
    static float   logits[3 * MAX_VOCAB];
    static const int32_t tokens[] = {5, 6, 7};
    calmoe_engine_options options = running_options(n_threads, NULL);
    options.fixed_threads = 1;
    struct running r = running_open(path, &options, NULL);
    assert_true(r.n_vocab <= MAX_VOCAB);
    const int      wanted = cm_step_barriers(cm_decoder_spec(r.engine->decoder), n_threads);
    const uint32_t before = cm_team_n_meetings(r.engine->team);
    running_read(&r, r.session, tokens, 1, 1, logits);
    const uint32_t between = cm_team_n_meetings(r.engine->team);
    running_read(&r, r.session, tokens + 1, 2, 2, logits); /* rows do not count */
    const uint32_t after = cm_team_n_meetings(r.engine->team);
    if (between - before != (uint32_t)wanted || after - between != (uint32_t)wanted)
        fail_msg("%s, %d threads: %u and %u barriers, %d expected", path, n_threads, between - before, after - between,
                 wanted);
    running_close(&r);
}

static void steps_meet_as_often_as_told(void **state)
{
    (void)state;
    const struct goldens all = goldens();
    for (int i = 0; i < all.n; i++) {
        char path[600];
        if (golden_is_left_out(all.names[i])) continue;
        for (int n_threads = 2; n_threads <= 3; n_threads++) check_model(golden_path(path, all.names[i]), n_threads);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(steps_meet_as_often_as_told)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
