/* Time goes forward, and at about the pace of a sleep. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <time.h>

#include <cmocka.h>

#include "base/clock.h"

static void never_goes_back(void **state)
{
    (void)state;
    uint64_t before_ns = cm_now_ns();
    for (int round = 0; round < 100000; round++) {
        const uint64_t now_ns = cm_now_ns();
        assert_true(now_ns >= before_ns);
        before_ns = now_ns;
    }
}

/* Within a part in a thousand, and what a busy machine does between the readings. */
static void goes_with_the_system(void **state)
{
    (void)state;
    const struct timespec nap = {.tv_nsec = 30 * 1000 * 1000}; /* after which clock.c may read another clock */
    for (int round = 0; round < 4; round++) {
        struct timespec begin, end;
        clock_gettime(CLOCK_MONOTONIC, &begin);
        const uint64_t began_ns = cm_now_ns();
        nanosleep(&nap, NULL);
        const uint64_t ended_ns = cm_now_ns();
        clock_gettime(CLOCK_MONOTONIC, &end);
        const double all_ns = (double)(end.tv_sec - begin.tv_sec) * 1e9 + (double)(end.tv_nsec - begin.tv_nsec);
        const double ns = (double)(ended_ns - began_ns);
        assert_true(ns <= all_ns * 1.001 + 2000);
        assert_true(ns >= 0.999 * (double)nap.tv_nsec - 2000);
    }
}

static void counts_nanoseconds(void **state)
{
    (void)state;
    const struct timespec nap = {.tv_nsec = 20 * 1000 * 1000};
    const uint64_t        began_ns = cm_now_ns();
    nanosleep(&nap, NULL);
    const uint64_t slept_ns = cm_now_ns() - began_ns;
    assert_true(slept_ns >= 19000000u); /* a crowded machine may take long, so no tight upper bound */
    assert_true(slept_ns < 60u * 1000000000u);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(never_goes_back),
        cmocka_unit_test(goes_with_the_system),
        cmocka_unit_test(counts_nanoseconds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
