/* base/readers.h - threads that read files in the background while other threads compute. Their work consists of
 * numbered jobs; the caller that opens the readers defines what a job is.
 *
 * Urgent jobs are done before all others, and jobs of either kind in the order in which they were asked for. A job is
 * idle, queued or running; an idle job is done, or was never asked for. */
#ifndef BASE_READERS_H
#define BASE_READERS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

struct readers;

/* Does a job, on one of the reading threads 0 … n_threads - 1. buffer (buffer_bytes) belongs to that thread and is
 * aligned to pages. */
typedef void readers_work(void *self, int job, int thread, void *buffer);

struct readers_options {
    int           n_threads;
    int           n_jobs;       /* jobs are numbered 0 … n_jobs - 1, and all are idle at first */
    size_t        buffer_bytes;
    readers_work *work;
    void         *self;
};

/* SYSTEM: the system does not start the threads. NO_MEMORY. */
calmoe_status cm_readers_open(struct calmoe_context *ctx, const struct readers_options *options, struct readers **out);
/* Waits for running jobs, and drops queued ones. NULL is fine. */
void          cm_readers_close(struct readers **readers);

/* Queues an idle job. */
void cm_readers_ask(struct readers *readers, int job, bool is_urgent);
/* Makes a queued job urgent; a job in another state stays as it is. */
void cm_readers_hurry(struct readers *readers, int job);
/* Takes a queued job back, so that it is idle without having been done; false if it is not queued. */
bool cm_readers_withdraw(struct readers *readers, int job);
/* Whether the job is idle. If so, everything that its thread wrote is visible to the caller. */
bool cm_readers_is_idle(const struct readers *readers, int job);
/* Returns when the job is idle. */
void cm_readers_wait(struct readers *readers, int job);

#endif
