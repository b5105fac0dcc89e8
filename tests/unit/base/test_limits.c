/* test_limits.c - limits as systems write them down, recorded in folders: control groups of both versions, one in the
 * other, in containers; what of used memory can be had; quotas; and what makes no sense. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "base/limits.h"
#include "tests/support/folder_fixture.h"

static const uint64_t MIB = 1 << 20;

static void put(const char *name, const char *text) { temp_file_with(folder, name, text, strlen(text)); }

/* A machine of 1000 MiB, of which 800 can be had, with 50 MiB of swap; version 2 at the usual place. */
static void put_machine(const char *cgroup, const char *mountinfo)
{
    put("proc/meminfo", "MemTotal:        1024000 kB\nMemFree:          100000 kB\nMemAvailable:     819200 kB\n"
                        "SwapTotal:        102400 kB\nSwapFree:          51200 kB\n");
    put("proc/self/cgroup", cgroup);
    put("proc/self/mountinfo", mountinfo);
}

static const char v2_mounts[] =
    "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
    "31 22 0:28 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";
static const char v1_mounts[] =
    "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n"
    "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:7 master:2 - cgroup cgroup rw,cpu,cpuacct\n"
    "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n"
    "36 31 0:33 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";

static struct memory_room room(void)
{
    struct memory_room found;
    cm_memory_room(folder->path, &found);
    return found;
}

static void the_machine_alone(void **state)
{
    (void)state;
    put_machine("0::/\n", v2_mounts);
    const struct memory_room found = room();
    assert_string_equal(found.name, "the machine's memory");
    assert_int_equal(found.limit, 1000 * MIB);
    assert_int_equal(found.used, 200 * MIB);
    assert_int_equal(found.room, 800 * MIB);
    assert_int_equal(found.swap, 50 * MIB);
    assert_int_equal(cm_memory_limit(folder->path), 0);
}

static void nothing_is_known(void **state)
{
    (void)state;
    char               name[CM_LIMIT_NAME];
    struct memory_room found;
    cm_memory_room(temp_file(folder, "nowhere"), &found);
    assert_int_equal(found.room, UINT64_MAX);
    assert_int_equal(cm_room_check(NULL, &found, UINT64_MAX / 2, "x"), CALMOE_OK);
    assert_true(cm_cpu_quota(temp_file(folder, "nowhere"), name) == 0.0);
    assert_int_equal(cm_thread_room(temp_file(folder, "nowhere"), name), UINT64_MAX);
}

/* The group's own limit is loose, the one round it is tight; cached files count as room. */
static void the_tightest_of_all_groups_round_it_v2(void **state)
{
    (void)state;
    put_machine("0::/a/b\n", v2_mounts);
    put("sys/fs/cgroup/a/memory.max", "209715200\n");      /* 200 MiB */
    put("sys/fs/cgroup/a/memory.current", "178257920\n");  /* 170     */
    put("sys/fs/cgroup/a/memory.stat", "anon 1\nfile 9999999\ninactive_file 52428800\nactive_file 10485760\n"
                                       "slab_reclaimable 1048576\nworkingset_refault_file 5\n");
    put("sys/fs/cgroup/a/b/memory.max", "max\n");
    put("sys/fs/cgroup/a/b/memory.current", "1\n");
    struct memory_room found = room();
    assert_string_equal(found.name, "memory.max of the control group /a");
    assert_int_equal(found.limit, 200 * MIB);
    assert_int_equal(found.used, 109 * MIB);
    assert_int_equal(found.room, 91 * MIB);
    assert_int_equal(found.swap, 50 * MIB);
    put("sys/fs/cgroup/a/memory.swap.max", "0\n");
    assert_int_equal(room().swap, 0);
    put("sys/fs/cgroup/a/memory.swap.max", "20971520\n");
    put("sys/fs/cgroup/a/memory.swap.current", "10485760\n");
    assert_int_equal(room().swap, 10 * MIB);
    put("sys/fs/cgroup/a/b/memory.max", "10485760\n"); /* tighter now */
    found = room();
    assert_string_equal(found.name, "memory.max of the control group /a/b");
    assert_int_equal(found.room, 10 * MIB - 1);
    assert_int_equal(cm_memory_limit(folder->path), 10 * MIB);
}

static void version_1(void **state)
{
    (void)state;
    put_machine("9:name=systemd:/u\n4:memory:/x/y\n1:cpu,cpuacct:/x\n0::/u\n", v1_mounts);
    put("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
    put("sys/fs/cgroup/memory/memory.usage_in_bytes", "900000000\n");
    put("sys/fs/cgroup/memory/x/memory.limit_in_bytes", "104857600\n");
    put("sys/fs/cgroup/memory/x/memory.usage_in_bytes", "73400320\n");
    put("sys/fs/cgroup/memory/x/memory.stat", "inactive_file 1\ntotal_inactive_file 20971520\ntotal_active_file 0\n");
    put("sys/fs/cgroup/memory/x/y/memory.limit_in_bytes", "9223372036854771712\n");
    struct memory_room found = room();
    assert_string_equal(found.name, "memory.limit_in_bytes of the control group /x");
    assert_int_equal(found.used, 50 * MIB);
    assert_int_equal(found.room, 50 * MIB);
    assert_int_equal(found.swap, 50 * MIB);
    put("sys/fs/cgroup/memory/x/memory.memsw.limit_in_bytes", "104857600\n"); /* memory and swap together: none */
    put("sys/fs/cgroup/memory/x/memory.memsw.usage_in_bytes", "73400320\n");
    assert_int_equal(room().swap, 0);
    put("sys/fs/cgroup/memory/x/memory.memsw.limit_in_bytes", "115343360\n");
    assert_int_equal(room().swap, 10 * MIB);
    put("sys/fs/cgroup/memory/x/memory.swappiness", "0\n");
    assert_int_equal(room().swap, 0);
    put("sys/fs/cgroup/memory/x/memory.use_hierarchy", "0\n"); /* then it does not bind the groups inside */
    assert_string_equal(room().name, "the machine's memory");
}

/* In a container the mount shows only a part of the tree; the path is the one outside, or begins anew. */
static void containers(void **state)
{
    (void)state;
    static const char *const groups[] = {"4:memory:/docker/abc\n", "4:memory:/\n", "4:memory:/../other\n"};
    for (size_t i = 0; i < sizeof groups / sizeof groups[0]; i++) {
        put_machine(groups[i], "35 31 0:32 /docker/abc /sys/fs/cg\\040roup/memory ro - cgroup cgroup rw,memory\n");
        put("sys/fs/cg roup/memory/memory.limit_in_bytes", "104857600\n");
        put("sys/fs/cg roup/memory/memory.usage_in_bytes", "0\n");
        assert_int_equal(room().room, 100 * MIB);
    }
    put_machine("4:memory:/docker/abc/inner\n",
                "35 31 0:32 /docker/abc /m rw - cgroup cgroup rw,memory\n");
    put("m/inner/memory.limit_in_bytes", "52428800\n");
    put("m/inner/memory.usage_in_bytes", "0\n");
    assert_string_equal(room().name, "memory.limit_in_bytes of the control group /docker/abc/inner");
}

static void what_surely_does_not_fit_is_refused(void **state)
{
    (void)state;
    struct calmoe_context    ctx = {0};
    const struct memory_room small = {.limit = 100 * MIB, .used = 60 * MIB, .room = 40 * MIB, .swap = 10 * MIB,
                                      .name = "memory.max of the control group /a"};
    assert_int_equal(cm_room_check(&ctx, &small, 49 * MIB, "weights"), CALMOE_OK);
    assert_int_equal(cm_room_check(&ctx, &small, 50 * MIB, "weights"), CALMOE_NO_MEMORY);
    assert_string_equal(ctx.message,
                        "no memory for weights: 50.1 MiB are needed, 40.0 MiB and 10.0 MiB of swap can be had; "
                        "memory.max of the control group /a is 100.0 MiB, of which 60.0 MiB are used");
}

static double quota(void)
{
    char name[CM_LIMIT_NAME];
    return cm_cpu_quota(folder->path, name);
}

static void quotas_of_time(void **state)
{
    (void)state;
    char name[CM_LIMIT_NAME];
    put_machine("0::/q/r\n", v2_mounts);
    assert_true(quota() == 0.0);
    put("sys/fs/cgroup/q/cpu.max", "150000 100000\n");
    put("sys/fs/cgroup/q/r/cpu.max", "max 100000\n");
    assert_true(cm_cpu_quota(folder->path, name) == 1.5);
    assert_string_equal(name, "cpu.max of the control group /q");
    put("sys/fs/cgroup/q/r/cpu.max", "25000 50000\n");
    assert_true(quota() == 0.5);
    put("sys/fs/cgroup/q/r/cpu.max", "nonsense\n");
    assert_true(quota() == 1.5);
    put_machine("1:cpu,cpuacct:/v\n0::/\n", v1_mounts);
    put("sys/fs/cgroup/cpu,cpuacct/v/cpu.cfs_quota_us", "-1\n");
    put("sys/fs/cgroup/cpu,cpuacct/v/cpu.cfs_period_us", "100000\n");
    assert_true(quota() == 0.0);
    put("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "300000\n");
    put("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n");
    assert_true(quota() == 3.0);
    put("sys/fs/cgroup/cpu,cpuacct/v/cpu.cfs_quota_us", "100000\n");
    assert_true(quota() == 1.0);
}

static void threads_for_a_quota(void **state)
{
    (void)state;
    static const struct { double quota; int n_cores, wanted; } cases[] = {
        {0, 8, 8}, {0.2, 8, 1}, {1, 8, 1}, {1.2, 8, 1}, {1.49, 8, 1}, {1.5, 8, 2}, {2, 8, 2}, {7.4, 8, 7}, {7.6, 8, 8},
        {8, 8, 8}, {9, 8, 8}, {1e9, 8, 8}, {2, 1, 1}, {-1, 4, 4}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(cm_quota_threads(cases[i].quota, cases[i].n_cores), cases[i].wanted);
}

static void limits_of_threads(void **state)
{
    (void)state;
    char name[CM_LIMIT_NAME];
    put_machine("0::/p\n", v2_mounts);
    put("sys/fs/cgroup/p/pids.max", "max\n");
    put("sys/fs/cgroup/p/pids.current", "7\n");
    assert_int_equal(cm_thread_room(folder->path, name), UINT64_MAX);
    put("sys/fs/cgroup/p/pids.max", "10\n");
    assert_int_equal(cm_thread_room(folder->path, name), 3);
    assert_string_equal(name, "pids.max of the control group /p");
}

static void limits_of_addresses(void **state)
{
    (void)state;
    char          reason[200];
    struct rlimit before, small;
    put("proc/self/statm", "25600 100 50 10 0 12800 0\n"); /* pages: 100 MiB of addresses, 50 of data */
    put("proc/meminfo", "CommitLimit: 204800 kB\nCommitted_AS: 102400 kB\n");
    put("proc/sys/vm/overcommit_memory", "0\n");
    cm_mapping_reason(folder->path, 1 << 30, reason, sizeof reason);
    assert_string_equal(reason, "");
    put("proc/sys/vm/overcommit_memory", "2\n");
    cm_mapping_reason(folder->path, 1 << 30, reason, sizeof reason);
    assert_non_null(strstr(reason, "vm.overcommit_memory is 2) is 200.0 MiB, of which 100.0 MiB are used"));
    cm_mapping_reason(folder->path, 50 * MIB, reason, sizeof reason);
    assert_string_equal(reason, "");
    assert_int_equal(getrlimit(RLIMIT_DATA, &before), 0);
    small = before;
    small.rlim_cur = UINT64_C(1) << 40;
    assert_int_equal(setrlimit(RLIMIT_DATA, &small), 0);
    cm_mapping_reason(folder->path, UINT64_C(1) << 40, reason, sizeof reason);
    assert_string_equal(reason, "; RLIMIT_DATA (ulimit -d) is 1024.0 GiB, of which 50.0 MiB are used");
    assert_int_equal(setrlimit(RLIMIT_DATA, &before), 0);
}

/* Files that hold anything else are no limit, and nothing is read past their ends. */
static void nonsense(void **state)
{
    (void)state;
    static const char *const groups[] = {"", "\n\n", "a", ":", "::", "0:", "0::", "4:memory", "\n:::\n", "0::a\n",
                                         "4:memory:x\n"};
    static const char *const mounts[] = {"", "\n", "1 2 3", "a b c d e f - cgroup2", "a b c d e f g cgroup2 x y",
                                         "- - - - - - - - -", "31 22 0:28 / /\\04 rw - cgroup2 cgroup2 rw"};
    for (size_t i = 0; i < sizeof groups / sizeof groups[0]; i++)
        for (size_t j = 0; j < sizeof mounts / sizeof mounts[0]; j++) {
            put_machine(groups[i], mounts[j]);
            assert_string_equal(room().name, "the machine's memory");
            assert_int_equal(cm_memory_limit(folder->path), 0);
            assert_true(quota() == 0.0);
        }
    char long_line[10000];
    memset(long_line, 'x', sizeof long_line - 1);
    long_line[sizeof long_line - 1] = '\0';
    memcpy(long_line, "0::/", 4);
    put_machine(long_line, v2_mounts);
    put("proc/meminfo", "MemTotal: many kB\nMemAvailable\n");
    assert_int_equal(room().room, UINT64_MAX);
}

static void bytes_as_text(void **state)
{
    (void)state;
    char text[32];
    assert_string_equal(cm_bytes_text(0, text), "0 bytes");
    assert_string_equal(cm_bytes_text(4096, text), "4096 bytes");
    assert_string_equal(cm_bytes_text(51200, text), "50.0 KiB");
    assert_string_equal(cm_bytes_text(3 * MIB / 2, text), "1.5 MiB");
    assert_string_equal(cm_bytes_text(2560 * MIB, text), "2.5 GiB");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_folder, close_folder)
    const struct CMUnitTest tests[] = {
        TEST(the_machine_alone),
        TEST(nothing_is_known),
        TEST(the_tightest_of_all_groups_round_it_v2),
        TEST(version_1),
        TEST(containers),
        TEST(what_surely_does_not_fit_is_refused),
        TEST(quotas_of_time),
        TEST(threads_for_a_quota),
        TEST(limits_of_threads),
        TEST(limits_of_addresses),
        TEST(nonsense),
        TEST(bytes_as_text),
    };
    return cmocka_run_group_tests_name("limits of the system", tests, NULL, NULL);
}
