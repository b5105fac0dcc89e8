/* test_exit_audit.c - the run-time audit: by hand, false alarms by simulation, and how soon a broken bound is seen. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <math.h>

#include <cmocka.h>

#include "base/random.h"
#include "runtime/proof/exit_audit.h"
#include "tests/support/thin.h"

enum { RUNS = 2000, LENGTH = 2000 };

static void by_hand(void **state)
{
    (void)state;
    struct exit_audit audit;
    cm_audit_begin(&audit, AUDIT_EVER, 0.5, 0.05);
    assert_true(fabs(cm_audit_ln_evidence(&audit)) < 1e-12);
    double mean = 0.0; /* bets 1/4, 1/2, then 1/(2 delta) = 1 six times; one loss of 1: 1 + bet / 2 */
    mean = (1.125 + 1.25 + 6 * 1.5) / 8;
    assert_false(cm_audit_observe(&audit, 1.0));
    assert_true(fabs(cm_audit_ln_evidence(&audit) - log(mean)) < 1e-12);
    mean = (1.125 * 1.125 + 1.25 * 1.25 + 6 * 1.5 * 1.5) / 8;
    cm_audit_observe(&audit, (double)NAN); /* counts as 1 */
    assert_true(fabs(cm_audit_ln_evidence(&audit) - log(mean)) < 1e-12);

    cm_audit_begin(&audit, AUDIT_RUN_LENGTH, 0.5, 0.05);
    cm_audit_observe(&audit, 1.0);
    cm_audit_observe(&audit, 0.0); /* (1 + (1 + b/2)) (1 - b/2), b = 1/4, 1/2, 1 */
    mean = (2.125 * 0.875 + 2.25 * 0.75 + 6 * 2.5 * 0.5) / 8;
    assert_true(fabs(cm_audit_ln_evidence(&audit) - log(mean)) < 1e-12);
    assert_int_equal(audit.n, 2);
    assert_true(audit.sum == 1.0);
}

static void alarm_stays(void **state)
{
    (void)state;
    struct exit_audit audit;
    int               n = 0;
    cm_audit_begin(&audit, AUDIT_EVER, 0.01, 0.05);
    while (!cm_audit_observe(&audit, 1.0)) n++;
    assert_in_range(n, 1, 3);
    for (int i = 0; i < 100; i++) assert_true(cm_audit_observe(&audit, 0.0));
    cm_audit_begin(&audit, AUDIT_EVER, 0.005, 0.05);
    assert_false(audit.alarmed);
}

static void answers(void **state)
{
    (void)state;
    struct exit_audit audit;
    cm_audit_begin(&audit, AUDIT_EVER, 0.1, 0.05);
    cm_audit_answer(&audit); /* no token was audited: nothing is known */
    assert_int_equal(audit.n, 0);
    for (int i = 0; i < 4; i++) cm_audit_token(&audit, i == 2);
    cm_audit_answer(&audit);
    assert_int_equal(audit.n, 1);
    assert_true(audit.sum == 0.25);
    cm_audit_token(&audit, false);
    cm_audit_answer(&audit);
    assert_int_equal(audit.n, 2);
    assert_true(audit.sum == 0.25);
}

/* At a risk of exactly delta, the worst that is allowed: answers of one kind (0 or 1), and answers of which one in
 * ten is bad through and through. */
static double observation(struct random *random, double risk, int is_clustered)
{
    if (!is_clustered) return cm_random_unit(random) < risk ? 1.0 : 0.0;
    return cm_random_unit(random) < 0.1 ? risk * 10.0 * (0.5 + cm_random_unit(random)) : 0.0;
}

static void false_alarms(void **state)
{
    (void)state;
    const int     n_runs = full_or_thin(RUNS, RUNS / 8);
    struct random random = cm_random(21);
    for (int is_clustered = 0; is_clustered < 2; is_clustered++) {
        int n_alarms = 0;
        for (int run = 0; run < n_runs; run++) {
            struct exit_audit audit;
            cm_audit_begin(&audit, AUDIT_EVER, 0.05, 0.05);
            for (int i = 0; i < LENGTH && !audit.alarmed; i++)
                cm_audit_observe(&audit, observation(&random, 0.05, is_clustered));
            n_alarms += audit.alarmed;
        }
        /* at most alpha; 4 standard errors above it, and not silent either */
        assert_true(n_alarms <= n_runs * 0.05 + 4.0 * sqrt(n_runs * 0.05 * 0.95));
        assert_true(n_alarms > n_runs * 0.002);
    }
}

static double mean_run_length(struct random *random, double risk, int n_good, int n_runs)
{
    double sum = 0.0;
    for (int run = 0; run < n_runs; run++) {
        struct exit_audit audit;
        int               n = 0;
        cm_audit_begin(&audit, AUDIT_RUN_LENGTH, 0.05, 0.001);
        for (int i = 0; i < n_good && !audit.alarmed; i++) cm_audit_observe(&audit, observation(random, 0.01, 0));
        if (audit.alarmed) continue;
        for (; !audit.alarmed && n < 100000; n++) cm_audit_observe(&audit, observation(random, risk, 0));
        sum += n;
    }
    return sum / n_runs;
}

/* Without cause 1/alpha observations or more; with cause soon, and hardly later after a long good past. */
static void run_lengths(void **state)
{
    (void)state;
    struct random random = cm_random(22);
    assert_true(mean_run_length(&random, 0.05, 0, 300) > 1000.0);
    const double fresh = mean_run_length(&random, 0.15, 0, 400), later = mean_run_length(&random, 0.15, 5000, 100);
    assert_true(fresh < 120.0);
    assert_true(later < 1.5 * fresh);
}

static void soon_enough(void **state)
{
    (void)state;
    struct random random = cm_random(23);
    int           n_seen = 0;
    for (int run = 0; run < 500; run++) { /* twice the bound, 1000 answers */
        struct exit_audit audit;
        cm_audit_begin(&audit, AUDIT_EVER, 0.05, 0.05);
        for (int i = 0; i < 1000; i++) cm_audit_observe(&audit, observation(&random, 0.1, 0));
        n_seen += audit.alarmed;
    }
    assert_true(n_seen > 475);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(by_hand),      cmocka_unit_test(alarm_stays), cmocka_unit_test(answers),
        cmocka_unit_test(false_alarms), cmocka_unit_test(run_lengths), cmocka_unit_test(soon_enough),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
