/* test_dispatch.c - routing to work: every (token, slot) once, grouped by expert, tokens ascending. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "base/random.h"
#include "experts/dispatch.h"
#include "experts/expert_store.h"

enum { MAX_TOKENS = 80, MAX_SLOTS = 9, MAX_EXPERTS = 70 };

static void by_hand(void **state)
{
    (void)state;
    int32_t experts[] = {3, 1, /**/ 1, 0, /**/ 3, 0};
    struct routing routing = {.n_tokens = 3, .n_slots = 2, .experts = experts};
    struct dispatch d;
    assert_int_equal(cm_dispatch_open(NULL, 3, 3, 5, &d), CALMOE_OK);
    cm_dispatch(&routing, 5, 1, &d);
    const struct expert_group groups[] = {
        {BANK_ROUTED, 0, 0, 2}, {BANK_ROUTED, 1, 2, 2}, {BANK_ROUTED, 3, 4, 2}, {BANK_SHARED, 0, 6, 3}};
    const int32_t token_of[] = {1, 2, 0, 1, 0, 2, 0, 1, 2}, entry_of[] = {4, 2, 6, 3, 0, 7, 5, 1, 8};
    assert_int_equal(d.n_groups, 4);
    assert_int_equal(d.n_routed, 6);
    assert_int_equal(d.n_slots, 3);
    assert_memory_equal(d.groups, groups, sizeof groups);
    assert_memory_equal(d.token_of, token_of, sizeof token_of);
    assert_memory_equal(d.entry_of, entry_of, sizeof entry_of);
    cm_dispatch_close(&d);
}

/* Distinct experts for each token, as the router gives them. */
static void random_routing(struct random *random, int n_experts, struct routing *out)
{
    for (int token = 0; token < out->n_tokens; token++) {
        bool is_taken[MAX_EXPERTS] = {false};
        for (int slot = 0; slot < out->n_slots; slot++) {
            int expert;
            do expert = (int)cm_random_below(random, (uint64_t)n_experts);
            while (is_taken[expert]);
            is_taken[expert] = true;
            out->experts[token * out->n_slots + slot] = expert;
        }
    }
}

/* Groups stand in order, cover the entries without a gap, and hold their own tokens in ascending order. */
static void check_groups(const struct dispatch *d, const struct routing *routing)
{
    int next = 0, last_expert = -1;
    for (int g = 0; g < d->n_groups; g++) {
        const struct expert_group *group = &d->groups[g];
        assert_int_equal(group->first, next);
        assert_true(group->n > 0);
        if (group->bank == BANK_SHARED) {
            assert_int_equal(g, d->n_groups - 1);
            assert_int_equal(group->first, d->n_routed);
            assert_int_equal(group->n, routing->n_tokens);
        } else {
            assert_true(group->expert > last_expert);
            last_expert = group->expert;
        }
        for (int i = 0; i < group->n; i++) {
            const int entry = group->first + i, token = d->token_of[entry];
            if (i > 0) assert_true(token > d->token_of[entry - 1]);
        }
        next += group->n;
    }
    assert_int_equal(next, d->n_routed + (d->n_slots > routing->n_slots ? d->n_tokens : 0));
}

static void check_entries(const struct dispatch *d, const struct routing *routing, int has_shared)
{
    bool is_seen[MAX_TOKENS * (MAX_SLOTS + 1)] = {false};
    for (int token = 0; token < routing->n_tokens; token++)
        for (int slot = 0; slot < routing->n_slots + has_shared; slot++) {
            if (slot >= cm_n_kept(routing, token) && slot < routing->n_slots) continue;
            const int entry = d->entry_of[token * d->n_slots + slot];
            assert_in_range(entry, 0, (uintmax_t)(d->n_tokens * d->n_slots) - 1);
            assert_false(is_seen[entry]);
            is_seen[entry] = true;
            assert_int_equal(d->token_of[entry], token);
            const struct expert_group *group = d->groups;
            while (entry >= group->first + group->n) group++;
            if (slot < routing->n_slots) {
                assert_int_equal(group->bank, BANK_ROUTED);
                assert_int_equal(group->expert, routing->experts[token * routing->n_slots + slot]);
            } else {
                assert_int_equal(group->bank, BANK_SHARED);
            }
        }
}

static void random_routings(void **state)
{
    (void)state;
    struct random random = cm_random(3);
    static int32_t experts[MAX_TOKENS * MAX_SLOTS];
    struct dispatch d;
    assert_int_equal(cm_dispatch_open(NULL, MAX_TOKENS, MAX_SLOTS + 1, MAX_EXPERTS, &d), CALMOE_OK);
    const long n_requests = cm_requests();
    for (int run = 0; run < 500; run++) {
        const int n_experts = 1 + (int)cm_random_below(&random, MAX_EXPERTS), has_shared = run % 2;
        const int most = n_experts < MAX_SLOTS ? n_experts : MAX_SLOTS;
        struct routing routing = {.n_tokens = 1 + (int)cm_random_below(&random, MAX_TOKENS),
                                  .n_slots = 1 + (int)cm_random_below(&random, (uint64_t)most), .experts = experts};
        random_routing(&random, n_experts, &routing);
        cm_dispatch(&routing, n_experts, has_shared, &d);
        assert_int_equal(d.n_tokens, routing.n_tokens);
        assert_int_equal(d.n_slots, routing.n_slots + has_shared);
        assert_int_equal(d.n_routed, routing.n_tokens * routing.n_slots);
        check_groups(&d, &routing);
        check_entries(&d, &routing, has_shared);
    }
    assert_int_equal(cm_requests(), n_requests);
    cm_dispatch_close(&d);
    cm_dispatch_close(&d);
}

/* Some slots are dropped, of some tokens all: what is left is grouped as ever. */
static void dropped_slots(void **state)
{
    (void)state;
    struct random random = cm_random(4);
    static int32_t experts[MAX_TOKENS * MAX_SLOTS];
    uint8_t n_kept[MAX_TOKENS];
    struct dispatch d;
    assert_int_equal(cm_dispatch_open(NULL, MAX_TOKENS, MAX_SLOTS + 1, MAX_EXPERTS, &d), CALMOE_OK);
    for (int run = 0; run < 500; run++) {
        const int has_shared = run % 2, n_slots = 1 + run % MAX_SLOTS;
        struct routing routing = {.n_tokens = 1 + (int)cm_random_below(&random, MAX_TOKENS), .n_slots = n_slots,
                                  .experts = experts, .n_kept = n_kept};
        int n_routed = 0;
        random_routing(&random, MAX_EXPERTS, &routing);
        for (int token = 0; token < routing.n_tokens; token++) {
            n_kept[token] = run == 7 ? 0 : (uint8_t)cm_random_below(&random, (uint64_t)n_slots + 1);
            n_routed += n_kept[token];
        }
        cm_dispatch(&routing, MAX_EXPERTS, has_shared, &d);
        assert_int_equal(d.n_routed, n_routed);
        assert_true(run != 7 || d.n_groups == has_shared);
        check_groups(&d, &routing);
        check_entries(&d, &routing, has_shared);
    }
    cm_dispatch_close(&d);
}

/* All on one expert, the first or the last. */
static void one_hot_expert(void **state)
{
    (void)state;
    int32_t experts[MAX_TOKENS];
    struct dispatch d;
    struct routing routing = {.n_tokens = MAX_TOKENS, .n_slots = 1, .experts = experts};
    assert_int_equal(cm_dispatch_open(NULL, MAX_TOKENS, 1, MAX_EXPERTS, &d), CALMOE_OK);
    for (int expert = 0; expert < MAX_EXPERTS; expert += MAX_EXPERTS - 1) {
        for (int token = 0; token < MAX_TOKENS; token++) experts[token] = expert;
        cm_dispatch(&routing, MAX_EXPERTS, 0, &d);
        assert_int_equal(d.n_groups, 1);
        check_groups(&d, &routing);
        check_entries(&d, &routing, 0);
    }
    cm_dispatch_close(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(by_hand),
        cmocka_unit_test(random_routings),
        cmocka_unit_test(dropped_slots),
        cmocka_unit_test(one_hot_expert),
    };
    return cmocka_run_group_tests_name("dispatch", tests, NULL, NULL);
}
