/* deprive.c - see deprive.h. */
#include "tests/numa/deprive.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/filter.h>
#include <linux/mempolicy.h>
#include <linux/seccomp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/node_memory.h"

enum { MAX_REFUSED = 8, STEP = 1 << 20, MAX_STEPS = 4096 };

static void must(int is_ok, const char *what)
{
    if (is_ok) return;
    printf("FAIL deprive: %s: %s\n", what, strerror(errno));
    fflush(stdout);
    _exit(1);
}

void deprive_of_nothing(void) {}

/* From now on these calls answer EPERM. */
static void refuse(const long *calls, int n)
{
    struct sock_filter filter[MAX_REFUSED + 3];
    int                at = 0;
    filter[at++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0); /* the call's number comes first */
    for (int i = 0; i < n; i++)
        filter[at++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)calls[i],
                                                    (uint8_t)(n - i), 0);
    filter[at++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    filter[at++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM);
    struct sock_fprog program = {.len = (unsigned short)at, .filter = filter};
    must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, "no_new_privs");
    must(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0, "seccomp");
}

void deprive_of_memory_policy(void)
{
    const long calls[] = {SYS_mbind, SYS_set_mempolicy, SYS_get_mempolicy, SYS_move_pages};
    refuse(calls, 4);
}

void deprive_of_binding(void)
{
    const long calls[] = {SYS_mbind, SYS_set_mempolicy};
    refuse(calls, 2);
}

void deprive_of_pins(void)
{
    const long calls[] = {SYS_sched_setaffinity};
    refuse(calls, 1);
}

void deprive_of_root(void)
{
    must(setgroups(0, NULL) == 0 && setgid(65534) == 0 && setuid(65534) == 0, "setuid");
}

static void write_to(const char *path, const char *text)
{
    const int file = open(path, O_WRONLY | O_CLOEXEC);
    must(file >= 0 && write(file, text, strlen(text)) == (ssize_t)strlen(text), path);
    close(file);
}

void deprive_of_nodes(void)
{
    char pid[32];
    snprintf(pid, sizeof pid, "%d", (int)getpid());
    write_to("/sys/fs/cgroup/cgroup.subtree_control", "+cpuset");
    must(mkdir("/sys/fs/cgroup/narrow", 0755) == 0 || errno == EEXIST, "a control group");
    write_to("/sys/fs/cgroup/narrow/cpuset.mems", "0");
    write_to("/sys/fs/cgroup/narrow/cgroup.procs", pid);
}

static void *taken[MAX_STEPS];
static int   n_taken;

static uint64_t room_of(unsigned os_index)
{
    char path[80], text[4096];
    snprintf(path, sizeof path, "/sys/devices/system/node/node%u/meminfo", os_index);
    FILE *file = fopen(path, "re");
    must(file != NULL, path);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    return cm_room_of_meminfo(text);
}

void deprive_of_room(unsigned os_index, size_t left)
{
    const unsigned long nodes = 1ul << os_index;
    while (n_taken < MAX_STEPS && room_of(os_index) > left + STEP) {
        void *bytes = mmap(NULL, STEP, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        must(bytes != MAP_FAILED && syscall(SYS_mbind, bytes, (unsigned long)STEP, MPOL_BIND, &nodes,
                                            8 * sizeof nodes, 0) == 0, "mbind");
        memset(bytes, 1, STEP);
        taken[n_taken++] = bytes;
    }
}

void give_room_back(void)
{
    while (n_taken > 0) munmap(taken[--n_taken], STEP);
}
