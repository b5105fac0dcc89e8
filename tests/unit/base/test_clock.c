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
        cmocka_unit_test(counts_nanoseconds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
