/* test_machine.c - the machine's limits: figures that are there and above 0, for any number of threads. How large they
 * are nobody can promise. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <string.h>

#include <cmocka.h>

#include <calmoe/machine.h>

#include "base/memory.h"
#include "kernels/cpu.h"
#include "tests/support/running.h"

static calmoe_context *context;

static calmoe_machine measure(int n_threads)
{
    calmoe_machine_options options;
    calmoe_machine         machine = {.size = sizeof machine};
    calmoe_machine_options_init(&options);
    options.n_threads = n_threads;
    const long n_blocks = cm_live_blocks();
    running_must(context, calmoe_machine_measure(context, &options, &machine));
    assert_int_equal(cm_live_blocks(), n_blocks);
    return machine;
}

static void check_rate(const calmoe_rate *rate)
{
    assert_true(rate->median > 0.0 && rate->best >= rate->median);
}

static void figures_are_there(void **state)
{
    (void)state;
    for (int n_threads = 1; n_threads <= 2; n_threads++) {
        const calmoe_machine machine = measure(n_threads);
        int n_levels = 0;
        assert_int_equal(machine.n_threads, n_threads);
        assert_true(machine.n_cores >= 1 && machine.n_nodes >= 1 && machine.seconds > 0.0);
        check_rate(&machine.read);
        assert_true(machine.read.best > 1e8);
        for (int isa = 0; isa < ISA_COUNT; isa++)
            if (cm_isa_is_supported((enum isa)isa)) n_levels++;
        assert_int_equal(machine.n_levels, n_levels);
        assert_string_equal(machine.levels[0].isa, "ref");
        for (int i = 1; i < machine.n_levels; i++) {
            check_rate(&machine.levels[i].int8);
            check_rate(&machine.levels[i].f32);
        }
        double of_nodes = 0.0;
        for (int node = 0; node < machine.n_nodes; node++) of_nodes += machine.node_read[node].best;
        assert_true(of_nodes > 0.0);
        assert_true(machine.barrier.least > 0.0 && machine.barrier.median >= machine.barrier.least);
        const double line = machine.line_near.least + machine.line_far.least; /* two workers have one kind of pair */
        if (machine.n_cores >= 2) assert_true(n_threads == 1 ? !(line > 0.0) : line > 0.0);
    }
}

static void wrong_arguments_are_told(void **state)
{
    (void)state;
    calmoe_machine         machine = {.size = sizeof machine}, unset = {0};
    calmoe_machine_options options;
    calmoe_machine_options_init(NULL);
    calmoe_machine_options_init(&options);
    assert_int_equal(calmoe_machine_measure(NULL, NULL, &machine), CALMOE_INVALID_ARGUMENT);
    assert_int_equal(calmoe_machine_measure(context, NULL, NULL), CALMOE_INVALID_ARGUMENT);
    assert_int_equal(calmoe_machine_measure(context, NULL, &unset), CALMOE_INVALID_ARGUMENT);
    options.n_threads = -1;
    assert_int_equal(calmoe_machine_measure(context, &options, &machine), CALMOE_INVALID_ARGUMENT);
    assert_non_null(strstr(calmoe_context_message(context), "n_threads is -1"));
}

static void no_memory_is_told(void **state)
{
    (void)state;
    const long n_blocks = cm_live_blocks();
    for (long nth = 1; nth <= 3; nth++) {
        calmoe_machine machine = {.size = sizeof machine};
        cm_fail_request(nth);
        assert_int_not_equal(calmoe_machine_measure(context, NULL, &machine), CALMOE_OK);
        cm_fail_request(0);
        assert_int_equal(cm_live_blocks(), n_blocks);
    }
}

static int open_context(void **state)
{
    (void)state;
    return calmoe_context_open(NULL, &context) != CALMOE_OK;
}

static int close_context(void **state)
{
    (void)state;
    calmoe_context_close(&context);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(figures_are_there),
        cmocka_unit_test(wrong_arguments_are_told),
        cmocka_unit_test(no_memory_is_told),
    };
    return cmocka_run_group_tests(tests, open_context, close_context);
}
