/* Threads of other programs that are bound to our cores, as /proc shows them: recorded in a folder. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/bound_others.h"
#include "tests/support/folder_fixture.h"

static struct topology four; /* cores 0 to 3 */
static const bool      ours[4] = {true, true, true, true};

static void put(const char *name, const char *text) { temp_file_with(folder, name, text, strlen(text)); }

/* A process of one thread: its name, state, the ticks that it worked and at which it began (of 100 s), its flags, and
 * where it may run. */
struct process {
    const char *name, state;
    unsigned long flags;
    int worked, began;
    const char *allowed;
};

static void put_process(int pid, const struct process *p)
{
    char path[80], stat[400], status[200];
    snprintf(stat, sizeof stat, "%d (%s) %c 1 1 1 0 -1 %lu 100 0 0 0 %d 0 0 0 20 0 1 0 %d 1000 10\n", pid, p->name,
             p->state, p->flags, p->worked, p->began);
    snprintf(status, sizeof status, "Name:\t%s\nCpus_allowed:\tff\nCpus_allowed_list:\t%s\nMems_allowed:\t1\n",
             p->name, p->allowed);
    snprintf(path, sizeof path, "proc/%d/stat", pid);
    put(path, stat);
    snprintf(path, sizeof path, "proc/%d/task/%d/stat", pid, pid);
    put(path, stat);
    snprintf(path, sizeof path, "proc/%d/task/%d/status", pid, pid);
    put(path, status);
}

static int open_all(void **state)
{
    open_folder(state);
    put("proc/uptime", "100.00 300.00\n");
    put("sys/devices/system/cpu/online", "0-7\n");
    return cm_topology_open(NULL, "core:4 pu:1", &four) != CALMOE_OK;
}

static int close_all(void **state)
{
    cm_topology_close(&four);
    return close_folder(state);
}

static void each_sign_is_needed(void **state)
{
    (void)state;
    const int ticks = (int)sysconf(_SC_CLK_TCK), kernel = 0x00200000;
    const struct { struct process process; bool is_found; } cases[] = {
        {{"bound and busy", 'S', 0, 60 * ticks, 0, "2"}, true},
        {{"a core of two threads", 'S', 0, 60 * ticks, 0, "2,6"}, true},
        {{"runs just now", 'R', 0, 0, 0, "1"}, true},
        {{"young (and) busy", 'S', 0, 4 * ticks, 90 * ticks, "0"}, true},
        {{"idle", 'S', 0, 20 * ticks, 0, "2"}, false},
        {{"free to move", 'R', 0, 60 * ticks, 0, "0-7"}, false},
        {{"a half of the machine", 'R', 0, 60 * ticks, 0, "0-3"}, false},
        {{"not on our cores", 'R', 0, 60 * ticks, 0, "5"}, false},
        {{"the system's own", 'R', kernel, 60 * ticks, 0, "1"}, false},
        {{"no list", 'R', 0, 60 * ticks, 0, ""}, false},
    };
    char who[CM_OTHER_NAME], wanted[CM_OTHER_NAME];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct process *process = &cases[i].process;
        put_process(77, process);
        if (cm_another_is_bound(folder->path, &four, ours, who) != cases[i].is_found) fail_msg("%s", process->name);
        snprintf(wanted, sizeof wanted, "process 77 (%s), which is bound to core %.1s", process->name,
                 process->allowed);
        assert_string_equal(who, cases[i].is_found ? wanted : "");
    }
}

static void only_our_cores_count(void **state)
{
    (void)state;
    char       who[CM_OTHER_NAME];
    const bool first_half[4] = {true, true, false, false}, second_half[4] = {false, false, true, true};
    const struct process busy = {"busy", 'R', 0, 100, 0, "2"};
    put_process(77, &busy);
    assert_false(cm_another_is_bound(folder->path, &four, first_half, who));
    assert_true(cm_another_is_bound(folder->path, &four, second_half, who));
}

static void an_own_thread_is_no_other(void **state)
{
    (void)state;
    char who[CM_OTHER_NAME];
    const struct process nobody = {"idle", 'S', 0, 0, 0, "0-7"};
    const struct process busy = {"busy", 'R', 0, 100, 0, "1"};
    put_process(77, &nobody);
    put_process((int)getpid(), &busy);
    assert_false(cm_another_is_bound(folder->path, &four, ours, who));
}

static void what_is_not_there_is_not_bound(void **state)
{
    (void)state;
    char who[CM_OTHER_NAME];
    assert_false(cm_another_is_bound(temp_file(folder, "nowhere"), &four, ours, who));
    put("proc/77/stat", "77 (no end");
    put("proc/77/task/77/stat", "nonsense");
    assert_false(cm_another_is_bound(folder->path, &four, ours, who));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_sign_is_needed, open_all, close_all),
        cmocka_unit_test_setup_teardown(only_our_cores_count, open_all, close_all),
        cmocka_unit_test_setup_teardown(an_own_thread_is_no_other, open_all, close_all),
        cmocka_unit_test_setup_teardown(what_is_not_there_is_not_bound, open_all, close_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
