/* test_linear.c - which matrix kernel is chosen: for every type and level, those too that this machine lacks. That the
 * kernels compute the same: tests/kernelcheck. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kernels/linear.h"

/* A processor with AVX-512 may lack AVX-VNNI, so a level above takes nothing of it. */
static bool has(enum isa level, enum isa isa)
{
    return isa <= level && (isa != ISA_AVXVNNI || level == ISA_AVXVNNI);
}

static enum isa best_of_table(enum weight_type type, enum isa level)
{
    enum isa best = ISA_REF;
    const struct linear_kernel *kernel;
    for (int i = 0; (kernel = cm_linear_kernel_at(i)) != NULL; i++)
        if (kernel->type == type && has(level, kernel->isa) && kernel->isa > best) best = kernel->isa;
    return best;
}

static void each_level_gets_the_best_that_it_has(void **state)
{
    (void)state;
    for (int type = 0; type < WEIGHT_TYPE_COUNT; type++)
        for (int level = 0; level < ISA_COUNT; level++) {
            const struct linear_kernel *kernel = cm_linear_kernel((enum weight_type)type, (enum isa)level);
            const enum isa wanted = best_of_table((enum weight_type)type, (enum isa)level);
            assert_non_null(kernel);
            assert_int_equal(kernel->type, type);
            if (kernel->isa != wanted)
                fail_msg("%s at %s: %s, not the kernel of %s", cm_weight_types[type].name,
                         cm_isa_name((enum isa)level), kernel->name, cm_isa_name(wanted));
        }
}

/* Plain C takes every type as it is in the file. */
static void plain_c_is_always_there(void **state)
{
    (void)state;
    for (int type = 0; type < WEIGHT_TYPE_COUNT; type++) {
        const struct linear_kernel *kernel = cm_linear_kernel((enum weight_type)type, ISA_REF);
        assert_int_equal(kernel->isa, ISA_REF);
        assert_int_equal(kernel->tile_rows, 1);
    }
}

static void the_table_ends(void **state)
{
    (void)state;
    int n = 0;
    while (cm_linear_kernel_at(n)) n++;
    assert_true(n >= WEIGHT_TYPE_COUNT);
    assert_null(cm_linear_kernel_at(n));
    assert_null(cm_linear_kernel_at(-1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_level_gets_the_best_that_it_has),
        cmocka_unit_test(plain_c_is_always_there),
        cmocka_unit_test(the_table_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
