/* test_deal.c - a deal is a permutation that the seed alone decides. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "runtime/proof/deal.h"

static void dealt(void **state)
{
    (void)state;
    int a[100], b[100], seen[100] = {0};
    cm_deal(a, 100, 1);
    cm_deal(b, 100, 1);
    assert_memory_equal(a, b, sizeof a);
    for (int i = 0; i < 100; i++) seen[a[i]]++;
    for (int i = 0; i < 100; i++) assert_int_equal(seen[i], 1);
    cm_deal(b, 100, 2);
    assert_memory_not_equal(a, b, sizeof a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dealt),
    };
    return cmocka_run_group_tests_name("deal", tests, NULL, NULL);
}
