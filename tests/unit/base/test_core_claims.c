/* test_core_claims.c - claims of other processes are seen and respected, are gone when the process is, and files that
 * are no locks of ours do no harm. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/core_claims.h"
#include "base/team.h"
#include "tests/support/folder_fixture.h"

static char path[600];

static int set_up(void **state)
{
    open_folder(state);
    snprintf(path, sizeof path, "%s", temp_file(folder, "cores"));
    return setenv("CALMOE_CORES", path, 1);
}

struct other { /* a process that holds claims until it is told to end */
    pid_t pid;
    int   to, from;
};

static struct other start_other(const unsigned *pus, int n)
{
    int to[2], from[2];
    if (pipe(to) != 0 || pipe(from) != 0) fail();
    const pid_t pid = fork();
    if (pid == 0) {
        char answer = 'y', byte;
        close(to[1]);
        close(from[0]);
        for (int i = 0; i < n; i++)
            if (!cm_core_claim(pus[i])) answer = 'n';
        if (write(from[1], &answer, 1) != 1) _exit(1);
        _exit(read(to[0], &byte, 1) == 1 ? 0 : 1);
    }
    close(to[0]);
    close(from[1]);
    char answer = '?';
    assert_int_equal(read(from[0], &answer, 1), 1);
    assert_int_equal(answer, 'y');
    return (struct other){pid, to[1], from[0]};
}

static void end_other(struct other *other, bool is_killed)
{
    if (is_killed) kill(other->pid, SIGKILL);
    else assert_int_equal(write(other->to, "e", 1), 1);
    assert_int_equal(waitpid(other->pid, NULL, 0), other->pid);
    close(other->to);
    close(other->from);
}

static void others_are_seen(void **state)
{
    (void)state;
    for (int is_killed = 0; is_killed < 2; is_killed++) {
        struct other other = start_other((const unsigned[]){0, 3}, 2);
        assert_true(cm_core_is_taken(0));
        assert_false(cm_core_is_taken(1));
        assert_true(cm_core_is_taken(3));
        assert_false(cm_core_claim(3));
        assert_true(cm_core_claim(1));
        assert_false(cm_core_is_taken(1)); /* one's own */
        assert_true(cm_core_is_taken(0));
        end_other(&other, is_killed != 0);
        assert_false(cm_core_is_taken(0));
        assert_true(cm_core_claim(3));
        cm_core_release(3);
        cm_core_release(1);
    }
}

/* Claimed twice, it is kept until it was given up twice. */
static void claims_are_counted(void **state)
{
    (void)state;
    assert_true(cm_core_claim(5));
    assert_true(cm_core_claim(5));
    cm_core_release(5);
    const pid_t pid = fork();
    if (pid == 0) { /* a stranger, as it were: without the open file */
        execl("/proc/self/exe", "test_core_claims", "--is-taken", NULL);
        _exit(9);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    cm_core_release(5);
    cm_core_release(5); /* once too often */
    struct other other = start_other((const unsigned[]){5}, 1);
    assert_true(cm_core_is_taken(5));
    end_other(&other, false);
}

static void nobody_is_known(void)
{
    assert_false(cm_core_is_taken(0));
    assert_true(cm_core_claim(0));
    assert_true(cm_core_claim(1u << 20)); /* more than there are bytes for */
    assert_false(cm_core_is_taken(1u << 20));
    cm_core_release(1u << 20);
    cm_core_release(0);
}

static void files_that_are_no_locks(void **state)
{
    (void)state;
    const char *target = temp_file_with(folder, "target", "text", 4);
    assert_int_equal(symlink(target, path), 0);
    nobody_is_known();
    struct stat facts;
    assert_int_equal(stat(temp_file(folder, "target"), &facts), 0);
    assert_int_equal(facts.st_size, 4);
    unlink(path);
    assert_int_equal(mkfifo(path, 0600), 0);
    nobody_is_known();
    unlink(path);
    assert_int_equal(mkdir(path, 0700), 0);
    nobody_is_known();
    rmdir(path);
    assert_int_equal(link(temp_file(folder, "target"), path), 0);
    nobody_is_known();
    unlink(path);
    setenv("CALMOE_CORES", "/nowhere/at/all", 1);
    nobody_is_known();
    setenv("CALMOE_CORES", "", 1);
    nobody_is_known();
}

static void anybody_may_open_the_file(void **state)
{
    (void)state;
    struct stat  facts;
    const mode_t mask = umask(077);
    assert_true(cm_core_claim(0));
    umask(mask);
    assert_int_equal(stat(path, &facts), 0);
    assert_int_equal(facts.st_mode & 0777, 0666);
    assert_int_equal(facts.st_size, 0);
    cm_core_release(0);
}

/* Teams: the second process leaves the first one its core. */
static void teams_keep_apart(void **state)
{
    (void)state;
    struct topology here;
    struct team    *team = NULL;
    assert_int_equal(cm_topology_open(NULL, NULL, &here), CALMOE_OK);
    if (here.n_cores < 2 || here.cpu_quota > 0) {
        cm_topology_close(&here);
        skip();
    }
    struct other other = start_other(&here.cores[0].os_pu, 1);
    assert_int_equal(cm_team_open(NULL, &here, 0, true, &team), CALMOE_OK);
    assert_int_equal(cm_team_n_workers(team), here.n_cores - 1);
    for (int core = 1; core < here.n_cores; core++) assert_false(cm_core_is_taken(here.cores[core].os_pu));
    cm_team_close(&team);
    assert_int_equal(cm_team_open(NULL, &here, here.n_cores, true, &team), CALMOE_OK);
    assert_int_equal(cm_team_n_workers(team), here.n_cores);
    cm_team_close(&team);
    end_other(&other, false);
    assert_int_equal(cm_team_open(NULL, &here, 0, true, &team), CALMOE_OK);
    assert_int_equal(cm_team_n_workers(team), here.n_cores);
    cm_team_close(&team);
    cm_topology_close(&here);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--is-taken") == 0) return cm_core_is_taken(5) ? 0 : 1;
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, close_folder)
    const struct CMUnitTest tests[] = {
        TEST(others_are_seen),
        TEST(claims_are_counted),
        TEST(files_that_are_no_locks),
        TEST(anybody_may_open_the_file),
        TEST(teams_keep_apart),
    };
    return cmocka_run_group_tests_name("claims on cores", tests, NULL, NULL);
}
