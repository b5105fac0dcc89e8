/* test_crew_size.c - how many workers a step gets, on machines that are only described: what a step takes by n workers
 * is a formula, and time passes by it. Bars: on a quiet machine, and beside other programs that come and go, as
 * much is done as nearly the best number would have done. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/crew_size.h"
#include "base/random.h"

struct machine {
    int           n_cores, n_busy; /* cores that other programs work on                               */
    double        work_ns;         /* of a row, by one worker                                         */
    double        slice_ns;        /* a worker that lost its core gets it back after about so long    */
    struct random random;
    uint64_t      now_ns;
};

/* A step of n workers. One that shares its core with another program has it half of the time. If it works alone it
 * takes twice as long; others wait for it, time and again, for a slice of the scheduler. */
static uint64_t step_ns(struct machine *m, int n_rows, int n, double *waiting)
{
    const double ideal = m->work_ns * n_rows / n;
    const int    n_hit = n - (m->n_cores - m->n_busy);
    double       ns = ideal * (1.0 + 0.02 * cm_random_unit(&m->random));
    if (n_hit > 0) ns += ideal;
    if (n_hit > 0 && n > 1) ns += m->slice_ns * (0.5 + cm_random_unit(&m->random)) * n_hit;
    *waiting = (n > 1 ? 0.05 : 0.0) + (ns - ideal) / ns * (n > 1 ? (double)(n - 1) / n : 0.0);
    return (uint64_t)ns;
}

/* Rows a second over so long, as the controller chooses. */
static double rate(struct crew_size *crew, struct machine *m, int n_rows, double seconds)
{
    const uint64_t begin = m->now_ns;
    uint64_t       done = 0;
    while ((double)(m->now_ns - begin) < seconds * 1e9) {
        double         waiting;
        const int      n = cm_crew_choose(crew, n_rows);
        const uint64_t ns = step_ns(m, n_rows, n, &waiting);
        cm_crew_note(crew, n_rows, m->now_ns, ns, waiting);
        m->now_ns += ns;
        done += (uint64_t)n_rows;
    }
    return (double)done / ((double)(m->now_ns - begin) * 1e-9);
}

/* The best that a fixed number of the controller's sizes gives. */
static double best_rate(const struct crew_size *crew, struct machine m, int n_rows)
{
    double best = 0.0;
    for (int i = 0; i < crew->n_sizes; i++) {
        double sum = 0.0, waiting;
        for (int step = 0; step < 500; step++) sum += (double)step_ns(&m, n_rows, crew->sizes[i], &waiting);
        const double found = 500.0 * n_rows / (sum * 1e-9);
        if (found > best) best = found;
    }
    return best;
}

static struct machine machine_of(int n_cores, double work_ns)
{
    return (struct machine){.n_cores = n_cores, .work_ns = work_ns, .slice_ns = 3e6, .random = cm_random(5)};
}

static void sizes(void **state)
{
    (void)state;
    static const struct { int n; int sizes[CREW_MAX_SIZES]; } rows[] = {
        {1, {1}}, {2, {2, 1}}, {3, {3, 2, 1}}, {4, {4, 3, 2, 1}}, {16, {16, 15, 12, 8, 4, 2, 1}},
        {128, {128, 127, 96, 64, 32, 16, 8, 1}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct crew_size crew;
        cm_crew_open(&crew, rows[i].n);
        for (int s = 0; s < CREW_MAX_SIZES; s++)
            assert_int_equal(s < crew.n_sizes ? crew.sizes[s] : 0, rows[i].sizes[s]);
        assert_int_equal(cm_crew_choose(&crew, 1), rows[i].n);
    }
}

static void a_quiet_machine_works_with_all(void **state)
{
    (void)state;
    const int cores[] = {2, 4, 16};
    for (int i = 0; i < 3; i++) {
        struct crew_size crew;
        struct machine   m = machine_of(cores[i], 2e6);
        cm_crew_open(&crew, cores[i]);
        assert_true(rate(&crew, &m, 1, 5.0) > 0.97 * best_rate(&crew, m, 1));
        assert_int_equal(crew.n_changes, 0);
    }
}

/* Other programs come, go, and come again; and a trial that others disturb is not what decides for long. */
static void others_come_and_go(void **state)
{
    (void)state;
    static const struct { int n_cores; double work_ns; } rows[] = {{2, 4e5}, {2, 8e7}, {4, 1e6}, {16, 5e6}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct crew_size crew;
        struct machine   m = machine_of(rows[i].n_cores, rows[i].work_ns);
        cm_crew_open(&crew, m.n_cores);
        for (int turn = 0; turn < 6; turn++) {
            m.n_busy = turn % 3;
            rate(&crew, &m, 1, 4.0); /* it finds out */
            const double found = rate(&crew, &m, 1, 8.0), best = best_rate(&crew, m, 1);
            if (found < 0.9 * best)
                fail_msg("%d of %d cores busy, %g ns: %g rows/s, %g possible", m.n_busy, m.n_cores, m.work_ns, found,
                         best);
        }
        if (rows[i].work_ns < m.slice_ns) assert_true(crew.n_changes > 0); /* long steps hardly notice */
    }
}

/* What prompts learnt is where single tokens begin, and the other way round; each class goes on by itself. */
static void steps_of_other_sizes(void **state)
{
    (void)state;
    struct crew_size crew;
    struct machine   m = machine_of(2, 4e5);
    cm_crew_open(&crew, 2);
    m.n_busy = 2;
    rate(&crew, &m, 1, 2.0);
    assert_int_equal(cm_crew_choose(&crew, 256), 1);
    m.n_busy = 1;
    for (int turn = 0; turn < 200; turn++) {
        rate(&crew, &m, 256, 0.05);
        rate(&crew, &m, 1, 0.05);
    }
    assert_true(rate(&crew, &m, 256, 5.0) > 0.9 * best_rate(&crew, m, 256));
    assert_true(rate(&crew, &m, 1, 5.0) > 0.9 * best_rate(&crew, m, 1));
}

/* A limit that is lowered holds at once, and one that is raised lets all work again. */
static void limits_change(void **state)
{
    (void)state;
    struct crew_size crew;
    struct machine   m = machine_of(8, 4e5);
    cm_crew_open(&crew, 8);
    rate(&crew, &m, 1, 1.0);
    cm_crew_limit(&crew, 3);
    assert_int_equal(cm_crew_choose(&crew, 1), 3);
    rate(&crew, &m, 1, 1.0);
    assert_in_range(cm_crew_choose(&crew, 256), 1, 3);
    const uint64_t n_changes = crew.n_changes;
    cm_crew_limit(&crew, 3);
    assert_int_equal(crew.n_changes, n_changes);
    cm_crew_limit(&crew, 8);
    assert_int_equal(crew.n_changes, n_changes + 1);
    assert_int_equal(cm_crew_choose(&crew, 1), 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes),
        cmocka_unit_test(a_quiet_machine_works_with_all),
        cmocka_unit_test(others_come_and_go),
        cmocka_unit_test(steps_of_other_sizes),
        cmocka_unit_test(limits_change),
    };
    return cmocka_run_group_tests_name("crew size", tests, NULL, NULL);
}
