/* test_profiler.c - the profiler by itself, where a layer has too many experts to count all pairs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <math.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/stats/profile.h"
#include "tests/support/running.h"

static void many_experts_keep_the_frequent_pairs(void **state)
{
    (void)state;
    enum { N = 600, N_TOKENS = 4000 };
    calmoe_context  *context;
    struct profiler *profiler;
    static int32_t   last_used[N];
    const float      weights[2] = {0.5f, -0.5f};
    assert_int_equal(calmoe_context_open(NULL, &context), CALMOE_OK);
    running_must(context, cm_profiler_open(context, "0123456789abcdef", 1, N, 2, &profiler));
    assert_null(profiler->all_pairs);
    memset(last_used, 0, sizeof last_used);
    for (int i = 0; i < N_TOKENS; i++) { /* every second token takes 7 and 500; the others, any two */
        const int32_t any[2] = {i * 37 % 300, 300 + i * 91 % 299}, usual[2] = {500, 7};
        cm_profiler_count(profiler, 0, i, i % 2 == 0 ? usual : any, weights, 2, last_used);
    }
    running_must(context, cm_profiler_fold(profiler));
    const struct profile_domain *domain = profiler->done.domains;
    uint64_t found = 0;
    assert_int_equal(domain->n_pairs[0], PROFILE_MAX_PAIRS);
    for (int i = 0; i < domain->n_pairs[0]; i++)
        if (domain->pairs[i].a == 7 && domain->pairs[i].b == 500) found = domain->pairs[i].n_tokens;
    assert_in_range(found, N_TOKENS / 2 - 64, N_TOKENS / 2); /* a lower bound */
    assert_true(fabs(domain->weights[7] - 0.5 * (double)domain->tokens[7]) < 1e-9); /* magnitudes */
    cm_profiler_close(&profiler);
    calmoe_context_close(&context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(many_experts_keep_the_frequent_pairs)};
    return cmocka_run_group_tests_name("the profiler", tests, NULL, NULL);
}
