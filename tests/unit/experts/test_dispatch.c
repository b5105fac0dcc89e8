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

enum { MAX_TOKENS = 80, MAX_SLOTS = 9, MAX_EXPERTS = 70 };

static void by_hand(void **state)
{
    (void)state;
    int32_t experts[] = {3, 1, /**/ 1, 0, /**/ 3, 0};
    struct routing routing = {.n_tokens = 3, .n_slots = 2, .experts = experts};
    struct dispatch d;
    assert_int_equal(cm_dispatch_open(NULL, 3, 3, 5, &d), CALMOE_OK);
    cm_dispatch(&routing, 3, 5, 1u << BANK_SHARED, &d);
    const struct expert_group groups[] = {
        {BANK_ROUTED, 0, 0, 2}, {BANK_ROUTED, 1, 2, 2}, {BANK_ROUTED, 3, 4, 2}, {BANK_SHARED, 0, 6, 3}};
    const int32_t token_of[] = {1, 2, 0, 1, 0, 2, 0, 1, 2}, entry_of[] = {4, 2, 6, 3, 0, 7, 5, 1, 8};
    assert_int_equal(d.n_groups, 4);
    assert_int_equal(d.n_of_bank[BANK_ROUTED], 6);
    assert_int_equal(d.n_of_bank[BANK_SHARED], 3);
    assert_int_equal(d.first[BANK_SHARED], 6);
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
static void check_groups(const struct dispatch *d, unsigned always)
{
    int next = 0, last_expert = -1, last_bank = BANK_ROUTED;
    for (int g = 0; g < d->n_groups; g++) {
        const struct expert_group *group = &d->groups[g];
        assert_int_equal(group->first, next);
        assert_true(group->n > 0);
        if (group->bank == BANK_ROUTED) {
            assert_int_equal(last_bank, BANK_ROUTED);
            assert_true(group->expert > last_expert);
            last_expert = group->expert;
        } else {
            assert_true(group->bank > last_bank && always >> group->bank & 1);
            assert_int_equal(group->expert, 0);
            assert_int_equal(group->first, d->first[group->bank]);
            assert_int_equal(group->n, d->n_tokens);
            last_bank = group->bank;
        }
        for (int i = 0; i < group->n; i++) {
            const int entry = group->first + i, token = d->token_of[entry];
            if (i > 0) assert_true(token > d->token_of[entry - 1]);
        }
        next += group->n;
    }
    assert_int_equal(next, d->n_of_bank[BANK_ROUTED] + d->n_of_bank[BANK_SHARED] + d->n_of_bank[BANK_DENSE]);
}

/* The bank of a token's slot. */
static int bank_of(const struct dispatch *d, unsigned always, int slot)
{
    int bank = BANK_ROUTED;
    for (int i = d->n_routed_slots; i <= slot; i++)
        do bank++;
        while (!(always >> bank & 1));
    return bank;
}

static void check_entries(const struct dispatch *d, const struct routing *routing, unsigned always)
{
    bool is_seen[MAX_TOKENS * (MAX_SLOTS + 2)] = {false};
    for (int token = 0; token < d->n_tokens; token++)
        for (int slot = 0; slot < d->n_slots; slot++) {
            if (slot < d->n_routed_slots && slot >= cm_n_kept(routing, token)) continue;
            const int entry = d->entry_of[token * d->n_slots + slot];
            assert_in_range(entry, 0, (uintmax_t)(d->n_tokens * d->n_slots) - 1);
            assert_false(is_seen[entry]);
            is_seen[entry] = true;
            assert_int_equal(d->token_of[entry], token);
            const struct expert_group *group = d->groups;
            while (entry >= group->first + group->n) group++;
            assert_int_equal(group->bank, bank_of(d, always, slot));
            if (slot < d->n_routed_slots)
                assert_int_equal(group->expert, routing->experts[token * routing->n_slots + slot]);
        }
}

/* Each set of banks that every token takes. */
static unsigned some_banks(int run) { return (unsigned)(run % 4) << BANK_SHARED; }

static int count(unsigned banks) { return (int)(banks >> BANK_SHARED & 1) + (int)(banks >> BANK_DENSE & 1); }

static void random_routings(void **state)
{
    (void)state;
    struct random random = cm_random(3);
    static int32_t experts[MAX_TOKENS * MAX_SLOTS];
    struct dispatch d;
    assert_int_equal(cm_dispatch_open(NULL, MAX_TOKENS, MAX_SLOTS + 2, MAX_EXPERTS, &d), CALMOE_OK);
    const long n_requests = cm_requests();
    for (int run = 0; run < 500; run++) {
        const int n_experts = 1 + (int)cm_random_below(&random, MAX_EXPERTS);
        const int most = n_experts < MAX_SLOTS ? n_experts : MAX_SLOTS;
        struct routing routing = {.n_tokens = 1 + (int)cm_random_below(&random, MAX_TOKENS),
                                  .n_slots = 1 + (int)cm_random_below(&random, (uint64_t)most), .experts = experts};
        random_routing(&random, n_experts, &routing);
        cm_dispatch(&routing, routing.n_tokens, n_experts, some_banks(run), &d);
        assert_int_equal(d.n_tokens, routing.n_tokens);
        assert_int_equal(d.n_routed_slots, routing.n_slots);
        assert_int_equal(d.n_slots, routing.n_slots + count(some_banks(run)));
        assert_int_equal(d.n_of_bank[BANK_ROUTED], routing.n_tokens * routing.n_slots);
        check_groups(&d, some_banks(run));
        check_entries(&d, &routing, some_banks(run));
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
    assert_int_equal(cm_dispatch_open(NULL, MAX_TOKENS, MAX_SLOTS + 2, MAX_EXPERTS, &d), CALMOE_OK);
    for (int run = 0; run < 500; run++) {
        const int n_slots = 1 + run % MAX_SLOTS;
        struct routing routing = {.n_tokens = 1 + (int)cm_random_below(&random, MAX_TOKENS), .n_slots = n_slots,
                                  .experts = experts, .n_kept = n_kept};
        int n_routed = 0;
        random_routing(&random, MAX_EXPERTS, &routing);
        for (int token = 0; token < routing.n_tokens; token++) {
            n_kept[token] = run == 7 ? 0 : (uint8_t)cm_random_below(&random, (uint64_t)n_slots + 1);
            n_routed += n_kept[token];
        }
        cm_dispatch(&routing, routing.n_tokens, MAX_EXPERTS, some_banks(run), &d);
        assert_int_equal(d.n_of_bank[BANK_ROUTED], n_routed);
        assert_true(run != 7 || d.n_groups == count(some_banks(run)));
        check_groups(&d, some_banks(run));
        check_entries(&d, &routing, some_banks(run));
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
        cm_dispatch(&routing, MAX_TOKENS, MAX_EXPERTS, 0, &d);
        assert_int_equal(d.n_groups, 1);
        check_groups(&d, 0);
        check_entries(&d, &routing, 0);
    }
    cm_dispatch_close(&d);
}

/* A layer without routed experts. */
static void nothing_routed(void **state)
{
    (void)state;
    struct dispatch d;
    assert_int_equal(cm_dispatch_open(NULL, 5, 2, 1, &d), CALMOE_OK);
    for (int run = 0; run < 4; run++) {
        cm_dispatch(NULL, 5, 0, some_banks(run), &d);
        assert_int_equal(d.n_slots, count(some_banks(run)));
        assert_int_equal(d.n_groups, count(some_banks(run)));
        assert_int_equal(d.n_of_bank[BANK_ROUTED], 0);
        check_groups(&d, some_banks(run));
        check_entries(&d, NULL, some_banks(run));
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
        cmocka_unit_test(nothing_routed),
    };
    return cmocka_run_group_tests_name("dispatch", tests, NULL, NULL);
}
