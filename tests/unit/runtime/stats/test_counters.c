/* test_counters.c - the phase clocks by themselves, and what calmoe_stats tells of a tiny model's steps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <stdio.h>

#include <cmocka.h>

#include "runtime/stats/counters.h"
#include "tests/support/running.h"
#include "tests/support/folder_fixture.h"
#include "tests/support/tiny_model.h"

enum { N_LAYERS = 2, N_EXPERTS = 4, N_USED = 2, DIM = 32, WIDTH = 32, N_TOKENS = 5 };

static void a_clock_divides_time(void **state)
{
    (void)state;
    struct phase_clock clock = {.phase = CALMOE_N_PHASES};
    cm_phase_clock_enter(&clock, CALMOE_PHASE_PROJECT, 1000, 70);
    cm_phase_clock_enter(&clock, CALMOE_PHASE_ATTEND, 1100, 70);  /* 100, no waiting      */
    cm_phase_clock_enter(&clock, CALMOE_PHASE_PROJECT, 1150, 90); /* 50, of which waited 20 */
    cm_phase_clock_enter(&clock, CALMOE_PHASE_PROJECT, 1157, 90); /* the same phase again   */
    cm_phase_clock_enter(&clock, CALMOE_N_PHASES, 1160, 90);
    assert_int_equal(clock.ns[CALMOE_PHASE_PROJECT], 100 + 7 + 3);
    assert_int_equal(clock.ns[CALMOE_PHASE_ATTEND], 30);
    assert_int_equal(clock.ns[CALMOE_PHASE_EXPERTS], 0);
    assert_int_equal(sizeof clock % CM_ALIGNMENT, 0); /* neighbours share no cache line */
}

static void imbalance_is_busiest_by_mean_over_steps(void **state)
{
    (void)state;
    struct calmoe_context *context;
    assert_int_equal(calmoe_context_open(NULL, &context), CALMOE_OK);
    struct counters counters;
    assert_int_equal(cm_counters_open(context, 1, 1, 2, &counters), CALMOE_OK);
    assert_true(cm_imbalance(&counters) == 1.0);
    counters.clocks[0].ns[CALMOE_PHASE_EXPERTS] = 30;
    counters.clocks[1].ns[CALMOE_PHASE_EXPERTS] = 10;
    cm_count_step(&counters, 3, 2, 50);
    assert_true(cm_imbalance(&counters) == 1.5); /* 30 / 20 */
    counters.clocks[0].ns[CALMOE_PHASE_EXPERTS] += 10;
    counters.clocks[1].ns[CALMOE_PHASE_EXPERTS] += 50;
    cm_count_step(&counters, 1, 2, 60);
    assert_true(cm_imbalance(&counters) == 80.0 / 50.0); /* (30 + 50) / (20 + 30): not that of the totals */
    assert_int_equal(counters.n_steps, 2);
    assert_int_equal(counters.n_rows, 4);
    assert_int_equal(counters.step_ns, 110);
    cm_counters_reset(&counters);
    assert_true(cm_imbalance(&counters) == 1.0);
    assert_true(cm_phase_seconds(&counters, CALMOE_PHASE_EXPERTS) == 0.0);
    cm_counters_close(&counters);
    calmoe_context_close(&context);
}

/* ---- through the API ---- */


static calmoe_stats stats_of(const struct running *r)
{
    calmoe_stats stats = {.size = sizeof stats};
    running_must(r->context, calmoe_engine_get_stats(r->engine, &stats));
    return stats;
}

static void phases_add_up_to_the_step(void **state)
{
    (void)state;
    static float logits[N_TOKENS * 4096];
    const int32_t tokens[N_TOKENS] = {40, 41, 42, 43, 44};
    for (int n_threads = 1; n_threads <= 3; n_threads++) {
        const calmoe_engine_options options = running_options(n_threads, NULL);
        struct running r = running_open(tiny_path, &options, NULL);
        assert_true((size_t)(N_TOKENS * r.n_vocab) <= sizeof logits / sizeof *logits);
        assert_true(stats_of(&r).imbalance == 1.0);
        running_read(&r, r.session, tokens, N_TOKENS, 2, logits);
        calmoe_stats stats = stats_of(&r);
        double seconds[CALMOE_N_PHASES + 1];
        running_must(r.context, calmoe_engine_get_phases(r.engine, seconds, CALMOE_N_PHASES + 1));
        assert_true(seconds[CALMOE_N_PHASES] == 0.0); /* what a newer program asks for */
        double sum = stats.wait_share * stats.step_seconds;
        for (int phase = 0; phase < CALMOE_N_PHASES; phase++) {
            const bool is_of_exits = phase == CALMOE_PHASE_CHECKS || phase == CALMOE_PHASE_FILL;
            assert_true(is_of_exits ? seconds[phase] == 0.0 : seconds[phase] > 0.0);
            sum += seconds[phase];
        }
        assert_true(sum > 0.0 && sum <= stats.step_seconds * 1.0001);
        assert_true(stats.imbalance >= 1.0 && stats.imbalance <= n_threads * 1.0001);
        assert_int_equal(stats.n_steps, 3);

        calmoe_engine_reset_stats(r.engine);
        stats = stats_of(&r);
        seconds[1] = -1.0;
        running_must(r.context, calmoe_engine_get_phases(r.engine, seconds, 1)); /* an older program */
        assert_true(seconds[0] == 0.0 && seconds[1] == -1.0);
        running_must(r.context, calmoe_engine_get_phases(r.engine, seconds, CALMOE_N_PHASES));
        for (int phase = 0; phase < CALMOE_N_PHASES; phase++) assert_true(seconds[phase] == 0.0);
        assert_int_equal(stats.n_weight_bytes, 0);
        assert_int_equal(stats.n_experts_touched, 0);
        running_close(&r);
    }
}

/* The plain C form keeps F32 rows as they are in the file, so bytes follow from shapes. */
static void bytes_are_those_of_the_matrices_read(void **state)
{
    (void)state;
    struct tiny_model tiny = tiny_model();
    static float logits[N_TOKENS * 4096];
    const int32_t tokens[N_TOKENS] = {40, 41, 42, 43, 44};
    const calmoe_engine_options options = running_options(2, "ref");
    struct running r = running_open(tiny_path, &options, NULL);

    const size_t n_q = (size_t)(tiny.n_heads * tiny.head_size), n_kv = (size_t)(tiny.n_kv_heads * tiny.head_size);
    const size_t attention = DIM * (2 * n_q + 2 * n_kv), router = N_EXPERTS * DIM;
    const size_t shared = 3 * (size_t)tiny.shared_width * DIM + DIM, expert = 3 * WIDTH * DIM;
    const size_t head = (size_t)r.n_vocab * DIM;
    uint64_t bytes = 0, touched = 0;
    for (int i = 0; i < N_TOKENS; i += 2) { /* steps of 2, 2 and 1 tokens */
        uint64_t before[N_LAYERS][N_EXPERTS], after[N_EXPERTS];
        for (int layer = 0; layer < N_LAYERS; layer++)
            running_must(r.context, calmoe_engine_get_expert_counts(r.engine, layer, before[layer], N_EXPERTS));
        running_read(&r, r.session, tokens + i, i + 2 <= N_TOKENS ? 2 : 1, 2, logits);
        bytes += (N_LAYERS * (attention + router + shared) + head) * sizeof(float);
        for (int layer = 0; layer < N_LAYERS; layer++) {
            running_must(r.context, calmoe_engine_get_expert_counts(r.engine, layer, after, N_EXPERTS));
            for (int e = 0; e < N_EXPERTS; e++) touched += after[e] > before[layer][e];
        }
    }
    bytes += touched * expert * sizeof(float);
    const calmoe_stats stats = stats_of(&r);
    assert_true(touched >= 3 * N_LAYERS * N_USED);
    assert_int_equal(stats.n_experts_touched, touched);
    assert_int_equal(stats.n_weight_bytes, bytes);
    uint64_t on_nodes = 0;
    for (int node = 0; node < CALMOE_MAX_NODES; node++) on_nodes += stats.node_bytes[node];
    assert_int_equal(on_nodes, stats.n_packed_bytes);
    running_close(&r);
}

static int set_up(void **state)
{
    const struct tiny_model tiny = tiny_model();
    assert_int_equal(tiny.dim, DIM);
    assert_int_equal(tiny.expert_width, WIDTH);
    assert_int_equal(tiny.n_layers, N_LAYERS);
    assert_int_equal(tiny.n_experts, N_EXPERTS);
    assert_int_equal(tiny.n_used, N_USED);
    return open_folder_with_tiny(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_clock_divides_time),
        cmocka_unit_test(imbalance_is_busiest_by_mean_over_steps),
        cmocka_unit_test(phases_add_up_to_the_step),
        cmocka_unit_test(bytes_are_those_of_the_matrices_read),
    };
    return cmocka_run_group_tests(tests, set_up, close_folder);
}
