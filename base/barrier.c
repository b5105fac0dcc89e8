/* barrier.c - a central barrier that turns over: the last to arrive resets the count and raises
 * n_passed, for which the others wait. */
#include "base/barrier.h"

#include <sched.h>
#include <stddef.h>

#include "base/clock.h"

static void pause_a_little(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

static uint64_t wait_for_others(struct barrier *barrier, unsigned n_passed, int n_spins, uint64_t *waited_ns)
{
    if (atomic_load_explicit(&barrier->n_passed, memory_order_acquire) != n_passed) return 0;

    const uint64_t began_ns = waited_ns ? cm_now_ns() : 0;
    while (atomic_load_explicit(&barrier->n_passed, memory_order_acquire) == n_passed) {
        if (n_spins > 0) {
            n_spins--;
            pause_a_little();
        } else {
            sched_yield();
        }
    }
    if (!waited_ns) return 0;
    const uint64_t now_ns = cm_now_ns();
    *waited_ns += now_ns - began_ns;
    return now_ns;
}

uint64_t cm_meet(struct barrier *barrier, int n_workers, int n_spins, uint64_t *waited_ns, void (*serial)(void *arg),
                 void *arg)
{
    /* Cannot change before this thread has arrived, so it is the present round's. */
    const unsigned n_passed = atomic_load_explicit(&barrier->n_passed, memory_order_relaxed);
    if (atomic_fetch_add_explicit(&barrier->n_arrived, 1, memory_order_acq_rel) + 1 < n_workers)
        return wait_for_others(barrier, n_passed, n_spins, waited_ns);

    if (serial) serial(arg);
    atomic_store_explicit(&barrier->n_arrived, 0, memory_order_relaxed);
    atomic_store_explicit(&barrier->n_passed, n_passed + 1, memory_order_release);
    return 0;
}
