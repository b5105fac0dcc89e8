/* base/barrier.c - see barrier.h. The worker that arrives last resets the counts of arrivals and then raises each
 * group's n_passed, for which the group's members wait. */
#include "base/barrier.h"

#include <limits.h>
#include <linux/futex.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"

enum { LOOKS_BETWEEN_CLOCKS = 16 };

static void pause_a_little(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static bool has_passed(struct barrier_group *group, unsigned n_passed)
{
    return atomic_load_explicit(&group->n_passed, memory_order_acquire) != n_passed;
}

/* No wake-up is lost: the system compares n_passed itself before it lets the thread sleep, and wake_all() reads
 * n_asleep after it has raised n_passed; so at least one of the two sees the other's write. A needless wake-up does no
 * harm. */
static void sleep_until(struct barrier_group *group, unsigned n_passed)
{
    atomic_fetch_add(&group->n_asleep, 1);
    while (!has_passed(group, n_passed))
        (void)syscall(SYS_futex, &group->n_passed, FUTEX_WAIT_PRIVATE, n_passed, NULL, NULL, 0);
    atomic_fetch_sub(&group->n_asleep, 1);
}

static void wake_all(struct barrier_group *group)
{
    if (atomic_load(&group->n_asleep) > 0)
        (void)syscall(SYS_futex, &group->n_passed, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

static uint64_t wait_for_others(const struct barrier *barrier, struct barrier_group *group, unsigned n_passed,
                                uint64_t *waited_ns)
{
    if (has_passed(group, n_passed)) return 0;
    const uint64_t began_ns = cm_now_ns();
    bool           is_late = barrier->spin_ns == 0;
    for (int look = 1; !is_late && !has_passed(group, n_passed); look++) {
        pause_a_little();
        is_late = look % LOOKS_BETWEEN_CLOCKS == 0 && cm_now_ns() - began_ns > barrier->spin_ns;
    }
    if (is_late) sleep_until(group, n_passed);
    if (!waited_ns) return 0;
    const uint64_t now_ns = cm_now_ns();
    *waited_ns += now_ns - began_ns;
    return now_ns;
}

/* Counts an arrival, and answers whether it is the last of n. If so, the count starts again from 0: no worker can
 * arrive for the next barrier before n_passed is raised. */
static bool is_last(atomic_int *n_arrived, int n)
{
    if (atomic_fetch_add_explicit(n_arrived, 1, memory_order_acq_rel) + 1 < n) return false;
    atomic_store_explicit(n_arrived, 0, memory_order_relaxed);
    return true;
}

uint64_t cm_meet(struct barrier *barrier, int group_index, uint64_t *waited_ns, void (*serial)(void *arg), void *arg)
{
    struct barrier_group *group = &barrier->groups[group_index];
    /* It cannot change before this worker has arrived, so it belongs to the present barrier. */
    const unsigned n_passed = atomic_load_explicit(&group->n_passed, memory_order_relaxed);
    if (!is_last(&group->n_arrived, group->n_members) ||
        (barrier->n_groups > 1 && !is_last(&barrier->n_arrived, barrier->n_groups)))
        return wait_for_others(barrier, group, n_passed, waited_ns);

    if (serial) serial(arg);
    for (int i = 0; i < barrier->n_groups; i++) atomic_fetch_add(&barrier->groups[i].n_passed, 1);
    for (int i = 0; i < barrier->n_groups; i++) wake_all(&barrier->groups[i]);
    return 0;
}
