/* How work is cut: every case of small numbers, and the edges of large ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/team.h"

/* The parts are in order, disjoint, whole grains, cover 0 … n, and differ by one grain at most. */
static void check(int n, int grain, int n_workers)
{
    int at = 0, fewest = INT32_MAX, most = 0;
    for (int index = 0; index < n_workers; index++) {
        int begin, end;
        cm_share(n, grain, index, n_workers, &begin, &end);
        if (begin != at || end < begin || end > n || (end != n && end % grain != 0))
            fail_msg("n %d, grain %d, worker %d of %d: %d to %d", n, grain, index, n_workers, begin,
                     end);
        const int n_grains = end == begin ? 0 : (end - begin - 1) / grain + 1;
        if (n_grains < fewest) fewest = n_grains;
        if (n_grains > most) most = n_grains;
        at = end;
    }
    if (at != n || most - fewest > 1)
        fail_msg("n %d, grain %d, %d workers: end %d, %d to %d grains", n, grain, n_workers, at,
                 fewest, most);
}

static void every_small_case(void **state)
{
    (void)state;
    for (int n = 0; n <= 70; n++)
        for (int grain = 1; grain <= 17; grain++)
            for (int n_workers = 1; n_workers <= 20; n_workers++) check(n, grain, n_workers);
}

static void large_cases(void **state)
{
    (void)state;
    const int numbers[] = {INT32_MAX, INT32_MAX - 1, 1 << 30, 1000000007};
    const int grains[] = {1, 16, 4096, 1 << 30, INT32_MAX};
    for (int row = 0; row < 4; row++)
        for (int column = 0; column < 5; column++)
            for (int n_workers = 1; n_workers <= 4096; n_workers = n_workers * 3 + 1)
                check(numbers[row], grains[column], n_workers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_small_case),
        cmocka_unit_test(large_cases),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
