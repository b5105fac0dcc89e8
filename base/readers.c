/* base/readers.c - see readers.h. */
#include "base/readers.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

#include "base/memory.h"

enum { PAGE = 4096, LOOKS_BEFORE_SLEEP = 200 };
enum state { IDLE, QUEUED, QUEUED_URGENT, RUNNING };
enum { NOBODY = -1 };

struct queue { /* jobs in the order in which they were asked for, as a doubly linked list */
    int first, last;
};

struct job {
    atomic_int state; /* written while the lock is held */
    int        before, behind; /* neighbours in its queue */
};

struct reader {
    struct readers *readers;
    pthread_t       thread;
    void           *buffer;
};

struct readers {
    struct readers_options options;
    pthread_mutex_t        lock;
    pthread_cond_t         asked, done;
    bool                   is_closing;
    int                    n_waiting; /* threads that sleep until a job is done */
    int                    n_started;
    struct queue           urgent, ordinary;
    struct job            *jobs;    /* (n_jobs)    */
    struct reader         *threads; /* (n_threads) */
    void                  *buffers;
};

/* The job's state, read while the lock is held, so that no other thread changes it. */
static enum state state_of(const struct job *job)
{
    return (enum state)atomic_load_explicit(&job->state, memory_order_relaxed);
}

static struct queue *queue_of(struct readers *readers, enum state state)
{
    return state == QUEUED_URGENT ? &readers->urgent : &readers->ordinary;
}

static void push(struct readers *readers, int job, enum state state)
{
    struct queue *queue = queue_of(readers, state);
    struct job   *entry = &readers->jobs[job];
    entry->before = queue->last;
    entry->behind = NOBODY;
    if (queue->last != NOBODY) readers->jobs[queue->last].behind = job;
    else queue->first = job;
    queue->last = job;
    atomic_store_explicit(&entry->state, (int)state, memory_order_relaxed);
}

/* Takes a queued job out of its queue. */
static void take_out(struct readers *readers, int job, enum state becomes)
{
    struct job   *entry = &readers->jobs[job];
    struct queue *queue = queue_of(readers, state_of(entry));
    if (entry->before != NOBODY) readers->jobs[entry->before].behind = entry->behind;
    else queue->first = entry->behind;
    if (entry->behind != NOBODY) readers->jobs[entry->behind].before = entry->before;
    else queue->last = entry->before;
    atomic_store_explicit(&entry->state, (int)becomes, memory_order_relaxed);
}

static void *read_on(void *arg)
{
    const struct reader *me = arg;
    struct readers      *readers = me->readers;
    pthread_mutex_lock(&readers->lock);
    for (;;) {
        const int job = readers->urgent.first != NOBODY ? readers->urgent.first : readers->ordinary.first;
        if (readers->is_closing) break;
        if (job == NOBODY) {
            pthread_cond_wait(&readers->asked, &readers->lock);
            continue;
        }
        take_out(readers, job, RUNNING);
        pthread_mutex_unlock(&readers->lock);
        readers->options.work(readers->options.self, job, (int)(me - readers->threads), me->buffer);
        pthread_mutex_lock(&readers->lock);
        atomic_store_explicit(&readers->jobs[job].state, IDLE, memory_order_release);
        if (readers->n_waiting > 0) pthread_cond_broadcast(&readers->done);
    }
    pthread_mutex_unlock(&readers->lock);
    return NULL;
}

/* Signals to the process are to be handled by its other threads. */
static calmoe_status start_threads(struct calmoe_context *ctx, struct readers *readers)
{
    sigset_t all, before;
    int      failure = 0;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (failure == 0 && readers->n_started < readers->options.n_threads) {
        struct reader *reader = &readers->threads[readers->n_started];
        failure = cm_request_fails() ? EAGAIN : pthread_create(&reader->thread, NULL, read_on, reader);
        if (failure == 0) readers->n_started++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failure == 0) return CALMOE_OK;
    return cm_fail(ctx, CALMOE_SYSTEM, "the system does not give %d threads that read weights: %s",
                   readers->options.n_threads, strerror(failure));
}

static calmoe_status open_parts(struct calmoe_context *ctx, struct readers *readers)
{
    const struct readers_options *options = &readers->options;
    const size_t n_threads = (size_t)options->n_threads, each = (options->buffer_bytes + PAGE - 1) / PAGE * PAGE;
    readers->jobs = cm_alloc(ctx, (size_t)options->n_jobs, sizeof *readers->jobs, "reading weights");
    readers->threads = cm_alloc(ctx, n_threads, sizeof *readers->threads, "reading weights");
    readers->buffers = cm_alloc(ctx, n_threads * each + PAGE, 1, "reading weights");
    if (!readers->jobs || !readers->threads || !readers->buffers) return CALMOE_NO_MEMORY;
    uint8_t *first = (uint8_t *)readers->buffers + (PAGE - (uintptr_t)readers->buffers % PAGE) % PAGE;
    for (size_t i = 0; i < n_threads; i++)
        readers->threads[i] = (struct reader){.readers = readers, .buffer = first + i * each};
    return start_threads(ctx, readers);
}

calmoe_status cm_readers_open(struct calmoe_context *ctx, const struct readers_options *options, struct readers **out)
{
    struct readers *readers = *out = cm_alloc(ctx, 1, sizeof *readers, "reading weights");
    if (!readers) return CALMOE_NO_MEMORY;
    readers->options = *options;
    readers->urgent = readers->ordinary = (struct queue){NOBODY, NOBODY};
    pthread_mutex_init(&readers->lock, NULL);
    pthread_cond_init(&readers->asked, NULL);
    pthread_cond_init(&readers->done, NULL);
    const calmoe_status status = open_parts(ctx, readers);
    if (status != CALMOE_OK) cm_readers_close(out);
    return status;
}

void cm_readers_close(struct readers **readers_pointer)
{
    struct readers *readers = *readers_pointer;
    if (!readers) return;
    pthread_mutex_lock(&readers->lock);
    readers->is_closing = true;
    pthread_cond_broadcast(&readers->asked);
    pthread_mutex_unlock(&readers->lock);
    for (int i = 0; i < readers->n_started; i++) pthread_join(readers->threads[i].thread, NULL);
    pthread_cond_destroy(&readers->asked);
    pthread_cond_destroy(&readers->done);
    pthread_mutex_destroy(&readers->lock);
    cm_free(readers->jobs);
    cm_free(readers->threads);
    cm_free(readers->buffers);
    cm_free(readers);
    *readers_pointer = NULL;
}

void cm_readers_ask(struct readers *readers, int job, bool is_urgent)
{
    pthread_mutex_lock(&readers->lock);
    push(readers, job, is_urgent ? QUEUED_URGENT : QUEUED);
    pthread_cond_signal(&readers->asked);
    pthread_mutex_unlock(&readers->lock);
}

void cm_readers_hurry(struct readers *readers, int job)
{
    pthread_mutex_lock(&readers->lock);
    if (state_of(&readers->jobs[job]) == QUEUED) {
        take_out(readers, job, IDLE);
        push(readers, job, QUEUED_URGENT);
    }
    pthread_mutex_unlock(&readers->lock);
}

bool cm_readers_withdraw(struct readers *readers, int job)
{
    pthread_mutex_lock(&readers->lock);
    const enum state state = state_of(&readers->jobs[job]);
    const bool       is_queued = state == QUEUED || state == QUEUED_URGENT;
    if (is_queued) take_out(readers, job, IDLE);
    pthread_mutex_unlock(&readers->lock);
    return is_queued;
}

bool cm_readers_is_idle(const struct readers *readers, int job)
{
    return atomic_load_explicit(&readers->jobs[job].state, memory_order_acquire) == IDLE;
}

void cm_readers_wait(struct readers *readers, int job)
{
    for (int i = 0; i < LOOKS_BEFORE_SLEEP; i++)
        if (cm_readers_is_idle(readers, job)) return;
    pthread_mutex_lock(&readers->lock);
    readers->n_waiting++;
    while (!cm_readers_is_idle(readers, job)) pthread_cond_wait(&readers->done, &readers->lock);
    readers->n_waiting--;
    pthread_mutex_unlock(&readers->lock);
}
