/* tools/terminal.c - see terminal.h. */
#include "tools/terminal.h"

#include <calmoe/context.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

/* A pipe that wakes up a waiting thread, since the handler may run on any thread. */
static volatile sig_atomic_t interrupt_noted;
static int                   interrupt_pipe[2] = {-1, -1};
static atomic_bool           interrupt_acts;
static atomic_int            n_handlers; /* running now; each reads interrupt_acts after it has counted itself */
static void                (*interrupt_act)(void *user);
static void                 *interrupt_user;
static bool                  output_failed;
static int                   output_error; /* errno of the first failed write */

static char                  unfinished[PATH_MAX + 8];
static volatile sig_atomic_t has_unfinished;

void cm_remove_at_signal(const char *path)
{
    has_unfinished = 0;
    if (path == NULL) return;
    (void)snprintf(unfinished, sizeof unfinished, "%s", path);
    has_unfinished = 1;
}

/* The handler of a signal that ends the program, and with it what is half written. */
static void end_by_signal(int number)
{
    calmoe_remove_unfinished();
    if (has_unfinished) (void)unlink(unfinished);
    (void)signal(number, SIG_DFL);
    (void)raise(number);
}

/* Signals that would end the program, unless whoever started it had them ignored. */
static void end_cleanly(void)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        struct sigaction action;
        if (sigaction(numbers[i], NULL, &action) != 0 || action.sa_handler != SIG_DFL) continue;
        memset(&action, 0, sizeof action);
        action.sa_handler = end_by_signal;
        (void)sigaction(numbers[i], &action, NULL);
    }
}

void cm_begin_streams(void)
{
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGXFSZ, SIG_IGN);
    end_cleanly();
    for (int fd = 0; fd <= 2; fd++) {
        if (fcntl(fd, F_GETFD) != -1 || errno != EBADF) continue;
        /* Opened for the wrong direction, so that using it fails as it would on a closed one. */
        if (open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY) != fd) return;
    }
}

bool cm_put(const char *bytes, size_t n_bytes)
{
    if (output_failed) return false;
    if (fwrite(bytes, 1, n_bytes, stdout) != n_bytes || fflush(stdout) != 0) {
        output_failed = true;
        output_error  = errno;
    }
    return !output_failed;
}

int cm_end_streams(int status)
{
    const bool failed_before = output_failed || ferror(stdout) != 0;
    if (!output_failed) output_error = 0;
    if (fflush(stdout) != 0 && output_error == 0) output_error = errno;
    if (!failed_before && output_error == 0) return status;
    cm_say("cannot write to standard output%s%s", output_error != 0 ? ": " : "",
           output_error != 0 ? strerror(output_error) : "");
    return status != 0 ? status : 1;
}

void cm_say(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("calmoe: ", stderr);
    (void)vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
}

void cm_clean_text(char *text)
{
    for (; *text != '\0'; text++)
        if (iscntrl((unsigned char)*text)) *text = ' ';
}

/* ---- progress ---- */

enum { BAR_CELLS = 32 };

void cm_bar_begin(struct progress_bar *bar, const char *label)
{
    bar->label   = label;
    bar->percent = -1;
}

/* How many cells of a bar fit beside its label and percentage into one line of the terminal: a longer line would wrap,
 * and every redrawing would leave a line behind. */
static int n_cells(const struct progress_bar *bar)
{
    struct winsize size;
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return BAR_CELLS;
    const int room = size.ws_col - (int)strlen(bar->label) - (int)strlen(" []  100 %") - 1;
    return room < BAR_CELLS ? room : BAR_CELLS;
}

static void draw(const struct progress_bar *bar, int percent)
{
    const int cells = n_cells(bar), filled = percent * cells / 100;
    if (cells > 0)
        fprintf(stderr, "\r%s [%.*s%*s] %3d %%", bar->label, filled, "################################",
                cells - filled, "", percent);
    else fprintf(stderr, "\r%3d%%", percent);
}

int cm_bar_move(void *user, double fraction)
{
    struct progress_bar *bar = user;
    if (isatty(STDERR_FILENO)) {
        const double bounded = fraction > 1 ? 1 : fraction > 0 ? fraction : 0;
        const int    percent = (int)(bounded * 100);
        if (percent != bar->percent) draw(bar, percent);
        bar->percent = percent;
    }
    return interrupt_noted != 0;
}

void cm_bar_end(struct progress_bar *bar)
{
    if (bar->percent >= 0) fputs("\r\033[K", stderr);
    bar->percent = -1;
}

/* ---- Ctrl-C ---- */

static void note_interrupt(int number)
{
    const int saved_errno = errno;
    if (interrupt_noted) end_by_signal(number);
    interrupt_noted = 1;
    atomic_fetch_add(&n_handlers, 1);
    if (atomic_load(&interrupt_acts)) interrupt_act(interrupt_user);
    atomic_fetch_sub(&n_handlers, 1);
    /* If the pipe is full, the waiting thread will wake up anyway. */
    if (interrupt_pipe[1] >= 0 && write(interrupt_pipe[1], "!", 1) < 0) errno = 0;
    errno = saved_errno;
}

void cm_catch_interrupt(void)
{
    struct sigaction action;
    if (sigaction(SIGINT, NULL, &action) == 0 && action.sa_handler == SIG_IGN) return; /* nohup, & */
    memset(&action, 0, sizeof action);
    action.sa_handler = note_interrupt;
    action.sa_flags   = SA_RESTART;
    if (interrupt_pipe[0] < 0 && pipe2(interrupt_pipe, O_CLOEXEC | O_NONBLOCK) != 0)
        interrupt_pipe[0] = interrupt_pipe[1] = -1;
    (void)sigaction(SIGINT, &action, NULL);
}

bool cm_interrupted(void)
{
    return interrupt_noted != 0;
}

void cm_on_interrupt(void (*act)(void *user), void *user)
{
    atomic_store(&interrupt_acts, false);
    while (atomic_load(&n_handlers) > 0) {} /* wait for handlers on other threads */
    interrupt_act  = act;
    interrupt_user = user;
    atomic_store(&interrupt_acts, act != NULL);
}

void cm_forget_interrupt(void)
{
    char bytes[16];
    interrupt_noted = 0;
    while (interrupt_pipe[0] >= 0 && read(interrupt_pipe[0], bytes, sizeof bytes) > 0) {}
}

bool cm_wait_readable(int fd)
{
    struct pollfd waits[2] = {{fd, POLLIN, 0}, {interrupt_pipe[0], POLLIN, 0}};
    while (!interrupt_noted) {
        if (poll(waits, 2, -1) >= 0) return !interrupt_noted;
        if (errno != EINTR) return true; /* a read will find the error */
    }
    return false;
}

double cm_seconds(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}
