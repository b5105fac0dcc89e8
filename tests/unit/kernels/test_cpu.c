/* Names of the levels, and the cap by environment variable. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <stdlib.h>

#include <cmocka.h>

#include "kernels/cpu.h"

static void names_lead_to_their_levels(void **state)
{
    (void)state;
    for (int isa = 0; isa < ISA_COUNT; isa++) {
        enum isa found = ISA_COUNT;
        assert_true(cm_isa_of_name(cm_isa_name((enum isa)isa), &found));
        assert_int_equal(found, isa);
    }
    enum isa untouched = ISA_AVX2;
    assert_false(cm_isa_of_name("avx9", &untouched));
    assert_false(cm_isa_of_name("", &untouched));
    assert_false(cm_isa_of_name("AVX2", &untouched));
    assert_int_equal(untouched, ISA_AVX2);
}

static bool is_known_here(enum isa isa)
{
#if defined(__x86_64__)
    return isa == ISA_REF || isa >= ISA_AVX2;
#else
    return isa <= ISA_NEONDOT;
#endif
}

static void another_architectures_levels_are_not_here(void **state)
{
    (void)state;
    for (int isa = 0; isa < ISA_COUNT; isa++)
        assert_true(is_known_here((enum isa)isa) || !cm_isa_is_supported((enum isa)isa));
}

static void a_level_includes_those_before_it(void **state)
{
    (void)state;
    assert_true(cm_isa_is_supported(ISA_REF));
    for (int isa = 0; isa < ISA_COUNT; isa++)
        if (isa != ISA_AVXVNNI && is_known_here((enum isa)isa)) /* a CPU with AVX-512 may lack the first */
            assert_int_equal(cm_isa_is_supported((enum isa)isa), isa <= (int)cm_isa_best());
}

static void the_environment_caps_and_never_raises(void **state)
{
    (void)state;
    unsetenv("CALMOE_ISA");
    const enum isa machine = cm_isa_best();
    const bool     has_avxvnni = cm_isa_is_supported(ISA_AVXVNNI);
    for (int isa = 0; isa < ISA_COUNT; isa++) {
        setenv("CALMOE_ISA", cm_isa_name((enum isa)isa), 1);
        const int own = is_known_here((enum isa)isa) ? isa : (int)machine;
        const int capped = own == ISA_AVXVNNI && !has_avxvnni ? ISA_AVX2 : own;
        assert_int_equal(cm_isa_best(), capped < (int)machine ? capped : (int)machine);
        assert_int_equal(cm_isa_is_supported(ISA_AVX2), cm_isa_best() >= ISA_AVX2);
    }
    setenv("CALMOE_ISA", "sse9", 1);
    assert_int_equal(cm_isa_best(), machine);
    setenv("CALMOE_ISA", "", 1);
    assert_int_equal(cm_isa_best(), machine);
    unsetenv("CALMOE_ISA");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_lead_to_their_levels),
        cmocka_unit_test(another_architectures_levels_are_not_here),
        cmocka_unit_test(a_level_includes_those_before_it),
        cmocka_unit_test(the_environment_caps_and_never_raises),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
