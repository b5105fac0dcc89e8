/* What is measured is a row of the table, and nothing stays changed; too few weights are not measured. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <stdio.h>

#include <cmocka.h>

#include "base/memory.h"
#include "experts/measure_reading.h"
#include "kernels/cpu.h"

enum { N_ROWS = 512, N_COLUMNS = 2048, ENOUGH = 160 }; /* matrices of Q4_0, 0.6 MB each */

struct machine_of_one {
    struct topology       topology;
    struct team          *team;
    struct pack_list     *list;
    struct matrix         matrices[ENOUGH];
    struct packed_weights weights;
    uint8_t              *rows; /* of each matrix the same */
};

static void open_list(struct machine_of_one *m, int n_matrices, enum isa isa)
{
    *m = (struct machine_of_one){ 0 };
    assert_int_equal(cm_topology_open(NULL, NULL, &m->topology), CALMOE_OK);
    assert_int_equal(cm_team_open(NULL, &m->topology, 1, false, &m->team), CALMOE_OK);
    assert_int_equal(cm_pack_list_open(NULL, isa, &m->list), CALMOE_OK);
    m->rows = cm_alloc(NULL, N_ROWS * cm_row_bytes(WEIGHT_Q4_0, N_COLUMNS), 1, "a matrix");
    assert_non_null(m->rows);
    const struct weight_source source = { WEIGHT_Q4_0, m->rows, N_ROWS, N_COLUMNS, NULL, NULL };
    const int                  node = cm_team_worker(m->team, 0)->node;
    for (int i = 0; i < n_matrices; i++)
        assert_int_equal(cm_pack_list_add(NULL, m->list, &source, node, &m->matrices[i]), CALMOE_OK);
    assert_int_equal(cm_pack_list_run(NULL, m->list, &m->topology, m->team, NULL, NULL, &m->weights), CALMOE_OK);
}

static void close_list(struct machine_of_one *m)
{
    cm_pack_list_close(&m->list);
    cm_packed_weights_close(&m->weights);
    cm_free(m->rows);
    cm_team_close(&m->team);
    cm_topology_close(&m->topology);
}

static void measures(void **state)
{
    struct machine_of_one        m;
    struct reading               reading;
    const struct read_ahead_row *before = cm_read_ahead();
    (void)state;
    if (cm_isa_best() == ISA_REF) skip();
    open_list(&m, ENOUGH, cm_isa_best());
    assert_int_equal(cm_measure_reading(NULL, m.list, m.team, &reading), CALMOE_OK);
    close_list(&m);
    assert_ptr_equal(cm_read_ahead(), before);
    if (reading.quickest == NULL) return; /* the machine is busy */
    bool is_row = false;
    for (int i = 0; cm_read_ahead_row(i) != NULL; i++) is_row |= cm_read_ahead_row(i) == reading.quickest;
    assert_true(is_row);
    assert_true(reading.own_rate > 0);
    assert_true(reading.quickest == before ? reading.quickest_rate == reading.own_rate
                                           : reading.quickest_rate > reading.own_rate);
}

static void leaves_few_weights_alone(void **state)
{
    struct machine_of_one m;
    struct reading        reading = { .own_rate = 1 };
    (void)state;
    open_list(&m, 20, cm_isa_best());
    assert_int_equal(cm_measure_reading(NULL, m.list, m.team, &reading), CALMOE_OK);
    close_list(&m);
    assert_null(reading.quickest);
    assert_true(reading.own_rate == 0);
}

static void leaves_plain_c_alone(void **state)
{
    struct machine_of_one m;
    struct reading        reading;
    (void)state;
    open_list(&m, 1, ISA_REF);
    assert_int_equal(cm_measure_reading(NULL, m.list, m.team, &reading), CALMOE_OK);
    close_list(&m);
    assert_null(reading.quickest);
}

/* The table's default is for processors that no row names. */
static void chooses_by_vendor(void **state)
{
    (void)state;
    assert_string_equal(cm_read_ahead_of_vendor("GenuineIntel")->name, "lines at 4 KB");
    assert_string_equal(cm_read_ahead_of_vendor("AuthenticAMD")->name, "a line at 8 KB");
    assert_ptr_equal(cm_read_ahead_of_vendor("CentaurHauls"), cm_read_ahead_row(0));
    assert_ptr_equal(cm_read_ahead_of_vendor(""), cm_read_ahead_row(0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(measures),
        cmocka_unit_test(leaves_few_weights_alone),
        cmocka_unit_test(leaves_plain_c_alone),
        cmocka_unit_test(chooses_by_vendor),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
