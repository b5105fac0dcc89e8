/* base/readers.h - threads that read files in the background, while others compute. Work is given to them as the
 * numbers of jobs; what a job is, is the business of whoever opened them.
 *
 * Urgent jobs are taken before all others, and both kinds in the order in which they were asked for. A job is idle,
 * queued, or running; one that is idle has been done, or was never asked for. */
#ifndef BASE_READERS_H
#define BASE_READERS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

struct readers;

/* Does a job on a reader's thread, 0 … n_threads - 1. buffer: (buffer_bytes) that belongs to this thread, aligned to
 * pages. */
typedef void readers_work(void *self, int job, int thread, void *buffer);

struct readers_options {
    int           n_threads;
    int           n_jobs;       /* jobs are 0 … n_jobs - 1, all idle at first */
    size_t        buffer_bytes;
    readers_work *work;
    void         *self;
};

/* SYSTEM: the system gives no such threads. NO_MEMORY. */
calmoe_status cm_readers_open(struct calmoe_context *ctx, const struct readers_options *options, struct readers **out);
/* Jobs that run are waited for; those that are queued are dropped. NULL is fine. */
void          cm_readers_close(struct readers **readers);

/* An idle job is queued. */
void cm_readers_ask(struct readers *readers, int job, bool is_urgent);
/* A job that is queued behind the urgent ones becomes one of them; others stay as they are. */
void cm_readers_hurry(struct readers *readers, int job);
/* A queued job becomes idle, without having been done; false where it is not queued. */
bool cm_readers_withdraw(struct readers *readers, int job);
/* Whether the job is idle; then all that its thread wrote is seen. */
bool cm_readers_is_idle(const struct readers *readers, int job);
/* Returns when the job is idle. */
void cm_readers_wait(struct readers *readers, int job);

#endif
