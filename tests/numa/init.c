/* init.c - the first process of the little machine: mounts what programs expect, runs the driver with its own
 * arguments on the serial console, says how it ended, and switches the machine off. */
#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

static void mount_on(const char *folder, const char *type)
{
    mkdir(folder, 0755);
    if (mount(type, folder, type, 0, NULL) != 0) perror(folder);
}

/* mpirun talks to itself over it. */
static void begin_loopback(void)
{
    const int    any = socket(AF_INET, SOCK_DGRAM, 0);
    struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP};
    if (ioctl(any, SIOCSIFFLAGS, &request) != 0) perror("lo");
    close(any);
}

int main(int argc, char **argv)
{
    (void)argc;
    mkdir("/dev", 0755);
    if (mount("devtmpfs", "/dev", "devtmpfs", 0, NULL) == 0) {
        const int console = open("/dev/ttyS0", O_RDWR);
        for (int fd = 0; fd < 3; fd++) dup2(console, fd);
    }
    mount_on("/dev/shm", "tmpfs"); /* where the OpenMP library of Clang keeps a line of its own */
    mount_on("/proc", "proc");
    mount_on("/sys", "sysfs");
    mount_on("/sys/fs/cgroup", "cgroup2");
    mkdir("/tmp", 0755);
    chmod("/tmp", 01777);
    begin_loopback();

    const pid_t driver = fork();
    if (driver == 0) {
        argv[0] = (char *)"/driver";
        setenv("ASAN_OPTIONS", "detect_leaks=1", 1);
        setenv("OMP_WAIT_POLICY", "passive", 1);
        execv(argv[0], argv);
        perror(argv[0]);
        _exit(127);
    }
    int status = -1;
    waitpid(driver, &status, 0);
    printf("DRIVER ENDED %d\n", status);
    fflush(stdout);
    tcdrain(1);
    sync();
    reboot(RB_POWER_OFF);
    return 1;
}
