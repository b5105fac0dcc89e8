/* test_step_exchanges.c - what a step of several ranks is predicted to exchange, by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "runtime/forward/step_exchanges.h"

enum { HEAD = 8 }; /* bytes that begin a rank's message */

static struct layer_spec layers[2];
static struct model_spec spec;

/* Layer 0: 4 heads of 16, two to a kv head; 2 of some experts of 48. Layer 1: norms of q and k that span all heads; a
 * shared expert of 32 alone. */
static void set_up(void)
{
    for (int i = 0; i < 2; i++) {
        layers[i] = (struct layer_spec){.mixer = MIXER_ATTENTION};
        layers[i].attention =
            (struct attention_spec){.n_heads = 4, .n_kv_heads = 2, .head_size = 16, .value_size = 16};
    }
    layers[0].ffn.router.n_experts = 8;
    layers[0].ffn.router.n_used = 2;
    layers[0].ffn.branches[BANK_ROUTED].width = 48;
    layers[1].attention.q_norm = layers[1].attention.k_norm = NORM_ALL_HEADS;
    layers[1].ffn.branches[BANK_SHARED].width = 32;
    spec = (struct model_spec){.dim = 64, .n_vocab = 320, .n_layers = 2, .layers = layers};
}

static void two_ranks_receive_each_others_half(void **state)
{
    (void)state;
    set_up();
    const struct rank_shares shares = {.n_ranks = 2, .of = {1, 1}};
    /* Floats that rank 0 receives for a row: attended, projected, hidden (48 rows are 2 + 1 tiles: 16 of each of 2
     * experts), sums; q and k, attended, projected, hidden, sums. */
    const int floats = 32 + 32 + 2 * 16 + 32 + (32 + 16) + 32 + 32 + 16 + 32, logits = 160;
    struct step_exchanges found = cm_step_exchanges(&spec, NULL, &shares, 512, 1, 1, 0);
    assert_int_equal(found.n, 4 + 5 + 1);
    assert_int_equal(found.n_bytes, 4 * (floats + logits) + HEAD * 10);
    found = cm_step_exchanges(&spec, NULL, &shares, 512, 3, 0, 0);
    assert_int_equal(found.n, 9);
    assert_int_equal(found.n_bytes, 3 * 4 * floats + HEAD * 9);
    found = cm_step_exchanges(&spec, NULL, &shares, 512, 1, 1, 1); /* no logits; and of hidden rows the larger part */
    assert_int_equal(found.n, 10);
    assert_int_equal(found.n_bytes, 4 * (floats + 2 * 16) + HEAD * 9);
}

/* In layer 0 the output matrix reads blocks of 32, one of which each rank has: codes and a scale. The block of 256 that
 * experts' down reads is cut, and so is layer 1's of 32. */
static void whole_blocks_travel_quantized(void **state)
{
    (void)state;
    set_up();
    const struct rank_shares shares = {.n_ranks = 2, .of = {1, 1}};
    struct expert_sources routed[8] = {0}, shared[1] = {0};
    struct layer_tensors  of_layers[2] = {{.o = {.type = WEIGHT_Q8_0}}, {.o = {.type = WEIGHT_F16}}};
    const struct model_tensors tensors = {.n_layers = 2, .layers = of_layers};
    for (int i = 0; i < 8; i++) routed[i].down.type = WEIGHT_Q4_K;
    shared[0].down.type = WEIGHT_Q8_0;
    of_layers[0].banks[BANK_ROUTED].experts = routed;
    of_layers[1].banks[BANK_SHARED].experts = shared;
    const uint64_t floats = cm_step_exchanges(&spec, NULL, &shares, 512, 3, 0, 0).n_bytes;
    assert_int_equal(cm_step_exchanges(&spec, &tensors, &shares, 512, 3, 0, 0).n_bytes,
                     floats - 3 * (32 * 4 - (32 + 4)));
    layers[0].ffn.branches[BANK_ROUTED].width = 512; /* a block for each rank */
    const uint64_t more = cm_step_exchanges(&spec, NULL, &shares, 512, 3, 0, 0).n_bytes;
    assert_int_equal(cm_step_exchanges(&spec, &tensors, &shares, 512, 3, 0, 0).n_bytes,
                     more - 3 * (32 * 4 - (32 + 4)) - 3 * 2 * (256 * 4 - (256 + 4)));
}

/* Of layer 0's routed experts nothing of hidden states travels, and of what they gave as many rows as other ranks have,
 * in this rank's 32 columns; the shared expert of layer 1 is cut as ever. */
static void what_whole_experts_gave_is_dealt_out(void **state)
{
    (void)state;
    set_up();
    struct rank_shares shares = {.n_ranks = 2, .of = {1, 1}};
    const struct step_exchanges cut = cm_step_exchanges(&spec, NULL, &shares, 512, 4, 0, 0);
    shares.has_whole_experts = true;
    struct step_exchanges found = cm_step_exchanges(&spec, NULL, &shares, 512, 4, 0, 0);
    assert_int_equal(found.n, cut.n); /* instead of hidden states */
    assert_int_equal(found.n_dealt_bytes, 4 * 32 * sizeof(float) + HEAD); /* of 8 rows, half */
    assert_int_equal(found.n_bytes, cut.n_bytes - 4 * 2 * 16 * sizeof(float) + 4 * 32 * sizeof(float));
    assert_int_equal(cm_exchange_floats(&spec, &shares, 100), 100 * 2 * 64);
    layers[0].ffn.branches[BANK_SHARED].width = 32; /* its hidden states are one exchange more */
    found = cm_step_exchanges(&spec, NULL, &shares, 512, 4, 0, 0);
    assert_int_equal(found.n, cut.n + 1);
}

static void logits_come_in_as_many_messages_as_it_takes(void **state)
{
    (void)state;
    set_up();
    const struct rank_shares shares = {.n_ranks = 2, .of = {1, 1}};
    assert_int_equal(cm_exchange_floats(&spec, &shares, 1), 320); /* a row of logits is more than any row of layers */
    assert_int_equal(cm_step_exchanges(&spec, NULL, &shares, 1, 1, 1, 0).n, 10);
    assert_int_equal(cm_step_exchanges(&spec, NULL, &shares, 1, 1, 3, 0).n, 12);
    assert_int_equal(cm_exchange_floats(&spec, &shares, 100), 100 * 96); /* q and k, or two experts' hidden states */
    assert_int_equal(cm_step_exchanges(&spec, NULL, &shares, 100, 1, 30, 0).n, 10);
    assert_int_equal(cm_step_exchanges(&spec, NULL, &shares, 100, 1, 31, 0).n, 11);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_ranks_receive_each_others_half),
        cmocka_unit_test(whole_blocks_travel_quantized),
        cmocka_unit_test(what_whole_experts_gave_is_dealt_out),
        cmocka_unit_test(logits_come_in_as_many_messages_as_it_takes),
    };
    return cmocka_run_group_tests_name("step_exchanges", tests, NULL, NULL);
}
