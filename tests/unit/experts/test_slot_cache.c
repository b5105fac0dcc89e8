/* test_slot_cache.c - which expert goes when another one needs its slot. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "experts/slot_cache.h"
#include "tests/support/context_fixture.h"

enum { N_LAYERS = 2, N_EXPERTS = 4, N_KEYS = N_LAYERS * N_EXPERTS };

static struct slot_cache open_cache(int n_slots)
{
    struct slot_cache cache;
    assert_int_equal(cm_slot_cache_open(context, N_KEYS, n_slots, &cache), CALMOE_OK);
    return cache;
}

static void empty_slots_first(void **state)
{
    (void)state;
    struct slot_cache cache = open_cache(3);
    for (int key = 0; key < 3; key++) {
        const int slot = cm_slot_cache_victim(&cache, false);
        assert_int_equal(cache.key_in[slot], NO_KEY);
        cm_slot_cache_put(&cache, slot, key);
        cm_slot_cache_use(&cache, key);
        assert_int_equal(cache.slot_of[key], slot);
    }
    cm_slot_cache_put(&cache, cache.slot_of[1], NO_KEY);
    assert_int_equal(cache.slot_of[1], NO_SLOT);
    assert_int_equal(cache.key_in[cm_slot_cache_victim(&cache, false)], NO_KEY);
    cm_slot_cache_close(&cache);
}

/* All that were used once as long ago: the first of them. One use more is worth more; a step ago it is worth less. */
static void least_used_goes(void **state)
{
    (void)state;
    struct slot_cache cache = open_cache(3);
    for (int key = 0; key < 3; key++) cm_slot_cache_put(&cache, key, key);
    for (int key = 0; key < 3; key++) cm_slot_cache_use(&cache, key);
    assert_int_equal(cm_slot_cache_victim(&cache, false), 0);
    cm_slot_cache_use(&cache, 0);
    assert_int_equal(cm_slot_cache_victim(&cache, false), 1);
    cm_slot_cache_step(&cache);
    cm_slot_cache_use(&cache, 1);
    assert_int_equal(cm_slot_cache_victim(&cache, false), 2);
    for (int i = 0; i < SLOT_HALF_LIFE; i++) cm_slot_cache_step(&cache);
    assert_true(cache.recent[1] > 0.4f * (2 - 0.04f) * 0.0214f && cache.recent[1] < 0.6f * 2 * 0.0215f);
    cm_slot_cache_close(&cache);
}

static void profile_counts(void **state)
{
    (void)state;
    static const uint64_t uses[N_KEYS] = {10, 70, 10, 10, 25, 25, 40, 10};
    struct slot_cache cache = open_cache(3);
    int32_t           keys[3];
    int               n;
    bool              is_there[N_KEYS] = {true, true, true, true, true, true, false, true};
    cm_slot_cache_set_priors(&cache, uses, N_LAYERS, N_EXPERTS, 2);
    assert_true(cache.prior[1] > 1.39f && cache.prior[1] < 1.41f); /* 2 of 4 a token: shares add up to 2 */
    assert_int_equal(cm_slot_cache_first(context, &cache, N_LAYERS, NULL, keys, &n), CALMOE_OK);
    assert_int_equal(n, 3);
    assert_true(keys[0] == 1 && keys[1] == 6 && keys[2] == 4);
    assert_int_equal(cm_slot_cache_first(context, &cache, N_LAYERS, is_there, keys, &n), CALMOE_OK);
    assert_true(keys[0] == 1 && keys[1] == 4 && keys[2] == 5);
    for (int i = 0; i < 3; i++) cm_slot_cache_put(&cache, i, keys[i]);
    assert_int_equal(cm_slot_cache_victim(&cache, false), 1); /* of equals the one that was used longest ago */
    cm_slot_cache_use(&cache, 4);
    assert_int_equal(cm_slot_cache_victim(&cache, false), 2);
    cm_slot_cache_close(&cache);
}

/* Without a profile, every layer gets its share of what is filled at first. */
static void layers_share_the_beginning(void **state)
{
    (void)state;
    struct slot_cache cache = open_cache(4);
    int32_t           keys[4];
    int               n, of_first = 0;
    assert_int_equal(cm_slot_cache_first(context, &cache, N_LAYERS, NULL, keys, &n), CALMOE_OK);
    for (int i = 0; i < 4; i++) of_first += keys[i] < N_EXPERTS;
    assert_int_equal(of_first, 2);
    cm_slot_cache_close(&cache);
}

static void holds_hold(void **state)
{
    (void)state;
    struct slot_cache cache = open_cache(3);
    for (int key = 0; key < 3; key++) cm_slot_cache_put(&cache, key, key);
    cache.holds[0] = SLOT_NEEDED;
    cache.holds[1] = SLOT_AHEAD;
    assert_int_equal(cm_slot_cache_victim(&cache, true), 2);
    cache.holds[2] = SLOT_AHEAD | SLOT_READING;
    assert_int_equal(cm_slot_cache_victim(&cache, false), NO_SLOT);
    assert_int_equal(cm_slot_cache_victim(&cache, true), 1);
    cm_slot_cache_release(&cache, SLOT_NEEDED | SLOT_AHEAD);
    assert_int_equal(cm_slot_cache_victim(&cache, false), 0);
    assert_int_equal(cache.holds[2], SLOT_READING);
    cm_slot_cache_close(&cache);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(empty_slots_first), cmocka_unit_test(least_used_goes), cmocka_unit_test(profile_counts),
        cmocka_unit_test(layers_share_the_beginning), cmocka_unit_test(holds_hold),
    };
    return cmocka_run_group_tests(tests, open_folder_and_context, close_folder_and_context);
}
