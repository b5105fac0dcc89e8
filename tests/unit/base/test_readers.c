/* test_readers.c - jobs in the background: each is done once, urgent ones first, and one that waits can be taken
 * back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <stdatomic.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "base/readers.h"
#include "tests/support/context_fixture.h"

enum { N_JOBS = 100, BUFFER = 5000 };

struct log { /* what was done, in order; job 0 waits for the gate */
    atomic_int gate, n;
    int        order[4 * N_JOBS];
    atomic_int times[N_JOBS];
};

static void work(void *self, int job, int thread, void *buffer)
{
    (void)thread;
    struct log *log = self;
    memset(buffer, job, BUFFER);
    if (job == 0)
        while (atomic_load(&log->gate) == 0) {}
    log->order[atomic_fetch_add(&log->n, 1)] = job;
    atomic_fetch_add(&log->times[job], 1);
}

static struct readers *open_readers(int n_threads, struct log *log)
{
    const struct readers_options options = {n_threads, N_JOBS, BUFFER, work, log};
    struct readers *readers;
    assert_int_equal(cm_readers_open(context, &options, &readers), CALMOE_OK);
    return readers;
}

static void urgent_jobs_first(void **state)
{
    (void)state;
    static struct log log;
    struct readers   *readers = open_readers(1, &log);
    cm_readers_ask(readers, 0, false);
    while (cm_readers_withdraw(readers, 0)) cm_readers_ask(readers, 0, false); /* until it runs */
    for (int job = 1; job <= 5; job++) cm_readers_ask(readers, job, false);
    cm_readers_ask(readers, 6, true);
    cm_readers_hurry(readers, 4);
    cm_readers_hurry(readers, 6);
    assert_true(cm_readers_withdraw(readers, 2));
    assert_true(cm_readers_is_idle(readers, 2));
    assert_false(cm_readers_withdraw(readers, 2));
    assert_false(cm_readers_is_idle(readers, 5));
    atomic_store(&log.gate, 1);
    for (int job = 0; job <= 6; job++) cm_readers_wait(readers, job);
    static const int wanted[] = {0, 6, 4, 1, 3, 5};
    assert_int_equal(atomic_load(&log.n), 6);
    assert_memory_equal(log.order, wanted, sizeof wanted);
    cm_readers_close(&readers);
    assert_null(readers);
}

static void each_is_done_once(void **state)
{
    (void)state;
    static struct log log;
    struct readers   *readers = open_readers(3, &log);
    atomic_store(&log.gate, 1);
    for (int round = 0; round < 3; round++) {
        for (int job = 0; job < N_JOBS; job++) cm_readers_ask(readers, job, job % 3 == 0);
        for (int job = N_JOBS - 1; job >= 0; job--) cm_readers_wait(readers, job);
    }
    for (int job = 0; job < N_JOBS; job++) assert_int_equal(atomic_load(&log.times[job]), 3);
    for (int job = 0; job < N_JOBS; job++) cm_readers_ask(readers, job, false);
    cm_readers_close(&readers); /* what is queued is dropped */
}

/* Every request for memory or a thread fails once. */
static void no_room(void **state)
{
    (void)state;
    static struct log            log;
    const struct readers_options options = {2, N_JOBS, BUFFER, work, &log};
    const long                   before = cm_live_blocks();
    struct readers              *readers;
    int                          n_failed = 0;
    for (int nth = 1;; nth++, n_failed++) {
        cm_fail_request(nth);
        const calmoe_status status = cm_readers_open(context, &options, &readers);
        cm_fail_request(0);
        cm_readers_close(&readers);
        assert_int_equal(cm_live_blocks(), before);
        if (status == CALMOE_OK) break;
        assert_true(status == CALMOE_NO_MEMORY || status == CALMOE_SYSTEM);
    }
    assert_true(n_failed >= 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(urgent_jobs_first), cmocka_unit_test(each_is_done_once), cmocka_unit_test(no_room),
    };
    return cmocka_run_group_tests(tests, open_folder_and_context, close_folder_and_context);
}
