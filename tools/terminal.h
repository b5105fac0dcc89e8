/* tools/terminal.h - what a program shows and hears: results on stdout, messages and progress on
 * stderr, and Ctrl-C. */
#ifndef TOOLS_TERMINAL_H
#define TOOLS_TERMINAL_H

#include <stdbool.h>
#include <stddef.h>

/* Called first: a closed pipe, or a file beyond ulimit -f, becomes a write error instead of a signal, and a standard
 * stream that the caller closed is filled, so that no file of ours gets its number. Ctrl-C, SIGTERM and SIGHUP
 * end the program as ever, but leave nothing half written. */
void cm_begin_streams(void);
/* Called last: flushes stdout. Answers status, or 1 with a sentence where stdout could not be
 * written. */
int  cm_end_streams(int status);

/* Writes to stdout and flushes; false from the first write error on. */
bool cm_put(const char *bytes, size_t n_bytes);
/* One sentence on stderr, after "calmoe: ". */
void cm_say(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Text from a file, fit for a terminal: control characters become blanks. */
void cm_clean_text(char *text);

/* A progress bar on stderr, where that is a terminal; else nothing is shown. */
struct progress_bar {
    const char *label;
    int         percent; /* shown last; -1 = none yet */
};
void cm_bar_begin(struct progress_bar *bar, const char *label);
int  cm_bar_move(void *bar, double fraction); /* a calmoe_progress_fn: not 0 after Ctrl-C */
void cm_bar_end(struct progress_bar *bar);    /* wipes it */

/* From now on Ctrl-C is only noted. A second one, before the first was dealt with, ends the program
 * as Ctrl-C always did. */
void cm_catch_interrupt(void);
bool cm_interrupted(void);
/* Besides being noted, Ctrl-C calls act(user) from now on, in the signal handler, on any thread; NULL: no more, and no
 * such call is under way when this returns. */
void cm_on_interrupt(void (*act)(void *user), void *user);
void cm_forget_interrupt(void);
/* Waits until descriptor fd can be read; false after Ctrl-C. */
bool cm_wait_readable(int fd);

double cm_seconds(void); /* monotonic */

#endif
