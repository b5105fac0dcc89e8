/* A quota of processor time that changes while a team is open: how many of its workers are of use. The control group is
 * recorded in a folder. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/team.h"
#include "tests/support/folder_fixture.h"

static void put(const char *name, const char *text) { temp_file_with(folder, name, text, strlen(text)); }

static void set_quota(int percent)
{
    char text[40];
    snprintf(text, sizeof text, "%d 100000\n", percent * 1000);
    put("sys/fs/cgroup/q/cpu.max", text);
}

static int open_group(void **state)
{
    open_folder(state);
    put("proc/self/cgroup", "0::/q\n");
    put("proc/self/mountinfo", "31 22 0:28 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n");
    set_quota(100);
    cm_limits_pretend(folder->path);
    return 0;
}

static int close_group(void **state)
{
    cm_limits_pretend(NULL);
    return close_folder(state);
}

static void the_default_follows_it(void **state)
{
    (void)state;
    struct topology here;
    struct team    *team;
    uint64_t        now_ns = cm_now_ns();
    const uint64_t  long_ns = 5000000000u;
    assert_int_equal(cm_topology_open(NULL, NULL, &here), CALMOE_OK);
    assert_int_equal(cm_team_open(NULL, &here, 0, PIN_AUTO, &team), CALMOE_OK);
    const int n_all = cm_team_n_workers(team);
    assert_in_range(n_all, here.n_cores < 4 ? here.n_cores : 4, here.n_cores); /* it may grow */
    assert_int_equal(cm_team_n_called(team), 1);
    assert_int_equal(cm_team_n_wanted(team), 1);
    set_quota(100000);
    assert_int_equal(cm_team_n_most(team, now_ns), 1); /* it was looked at a moment ago */
    assert_int_equal(cm_team_n_most(team, now_ns += long_ns), n_all);
    set_quota(150);
    assert_int_equal(cm_team_n_most(team, now_ns += long_ns), n_all);
    assert_int_equal(cm_team_n_wanted(team), n_all);
    cm_team_close(&team);
    cm_topology_close(&here);
}

static void a_number_that_was_asked_for_is_kept(void **state)
{
    (void)state;
    struct topology here;
    struct team    *team;
    assert_int_equal(cm_topology_open(NULL, NULL, &here), CALMOE_OK);
    assert_int_equal(cm_team_open(NULL, &here, 3, PIN_NO, &team), CALMOE_OK);
    assert_int_equal(cm_team_n_workers(team), 3);
    assert_int_equal(cm_team_n_called(team), 3);
    assert_int_equal(cm_team_n_wanted(team), 3);
    assert_int_equal(cm_team_n_most(team, cm_now_ns()), 1); /* are of use */
    cm_team_close(&team);
    cm_topology_close(&here);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_default_follows_it, open_group, close_group),
        cmocka_unit_test_setup_teardown(a_number_that_was_asked_for_is_kept, open_group, close_group),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
