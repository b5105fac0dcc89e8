/* tools/terminal.h - input and output of a program: results on stdout, messages and progress on stderr, and Ctrl-C. */
#ifndef TOOLS_TERMINAL_H
#define TOOLS_TERMINAL_H

#include <stdbool.h>
#include <stddef.h>

/* To be called first. Afterwards a closed pipe, or a file beyond ulimit -f, gives a write error and not a signal.
 * Standard streams that the caller closed are opened, so that no file of ours gets their number. Ctrl-C,
 * SIGTERM and SIGHUP end the program as usual, but no half-written file is left. */
void cm_begin_streams(void);
/* A file that is half written: such a signal removes it, besides those that the library writes. NULL: there is none. */
void cm_remove_at_signal(const char *path);
/* To be called last: flushes stdout. Returns status, or 1 with a sentence if stdout could not be written. */
int  cm_end_streams(int status);

/* Writes to stdout and flushes it; false from the first write error on. */
bool cm_put(const char *bytes, size_t n_bytes);
/* Prints one sentence on stderr, after "calmoe: ". */
void cm_say(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Makes text from a file safe for a terminal: control characters become blanks. */
void cm_clean_text(char *text);

/* A progress bar on stderr; if stderr is not a terminal, nothing is shown. */
struct progress_bar {
    const char *label;
    int         percent; /* the last value that was shown; -1 = none yet */
};
void cm_bar_begin(struct progress_bar *bar, const char *label);
int  cm_bar_move(void *bar, double fraction); /* a calmoe_progress_fn; returns nonzero after Ctrl-C */
void cm_bar_end(struct progress_bar *bar);    /* removes it from the terminal */

/* From now on Ctrl-C only sets a flag. A second Ctrl-C before the first was handled ends the program as usual. */
void cm_catch_interrupt(void);
bool cm_interrupted(void);
/* From now on Ctrl-C also calls act(user), in the signal handler and on any thread. NULL ends that; when the function
 * returns, no such call is running any more. */
void cm_on_interrupt(void (*act)(void *user), void *user);
void cm_forget_interrupt(void);
/* Waits until the descriptor fd can be read; false after Ctrl-C. */
bool cm_wait_readable(int fd);

double cm_seconds(void); /* of a monotonic clock */

#endif
