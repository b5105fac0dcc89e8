/* ranks.c - see ranks.h. Every message goes from one rank to another by MPI's non-blocking calls, and this file does
 * the waiting: so each wait can end, whatever happened to the other side. A wait first polls again and again while it
 * lets other threads run; if it takes long, it sleeps between polls. */
#include "base/ranks.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

int cm_ranks_launched(void)
{
    static const char *const names[] = {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE"}; /* Open MPI; MPICH, and Slurm with it */
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *text = getenv(names[i]);
        const long  n = text ? strtol(text, NULL, 10) : 0;
        if (n > 1 && n < INT32_MAX) return (int)n;
    }
    return 1;
}

#ifdef CALMOE_HAS_MPI

#include <mpi.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

#include "base/clock.h"

enum { TAG_GATHER = 1, TAG_TELL, TAG_ALIVE, TAG_GONE, TAG_PART };
enum {
    FIRST_BYTES = 1016,           /* bytes of a message that are sent together with its length         */
    YIELD_NS = 2000000,           /* a wait polls so long without sleeping: more than a phase's usual imbalance */
    SLEEP_NS = 50000,
    GOODBYE_NS = 200000000,       /* time that a failing rank spends on telling the others             */
    OPENING_S = 900,              /* opening may take one rank so much longer than another             */
    SIGNS_IN_TIMEOUT = 4          /* signs of life within the time after which a rank is lost          */
};

struct goodbye {
    bool is_lost; /* the sender, or a rank that it waited for, will not take part in MPI_Finalize */
    char text[CM_RANK_TEXT];
};

struct message {
    uint64_t n_bytes; /* 0: a sign of life */
    uint8_t  first[FIRST_BYTES];
};

struct ranks {
    struct calmoe_context *ctx;
    MPI_Comm               comm;
    bool                   begins_mpi; /* this process initialised MPI, and finalises it          */
    int                    n, own;
    double                 timeout_s;
    struct ranks_work      work;
    char                   failure[CM_RANK_TEXT + 64]; /* the sentence that every call fails with from now on; "" =
                                                          none                                            */
    bool                   was_told;   /* the failure is another rank's, which reported it        */
    bool                   is_lost;    /* some rank does not answer, so that MPI_Finalize would wait for it */
    uint8_t               *heard;
    size_t                 heard_capacity;
    /* for signs of life */
    pthread_mutex_t lock;      /* on rank 0, protects everything that is sent between opening and closing */
    pthread_mutex_t bell_lock;
    pthread_cond_t  bell;      /* signalled when the thread that sends signs of life is to end    */
    pthread_t       thread;
    bool            gives_signs, ends_signs;
};

struct waiting_for {           /* messages that are under way */
    MPI_Request requests[2 * CM_MAX_RANKS];
    int         peers[2 * CM_MAX_RANKS];
    bool        is_receive[2 * CM_MAX_RANKS];
    int         n;
};

int               cm_ranks_n(const struct ranks *r) { return r->n; }
int               cm_ranks_own(const struct ranks *r) { return r->own; }
bool              cm_ranks_are_lost(const struct ranks *r) { return r->failure[0] != '\0'; }
struct ranks_work cm_ranks_work(const struct ranks *r) { return r->work; }

/* ---- failing ---- */

/* Tells all others, which may be waiting for this rank. A rank that this does not reach has its own timeout. */
static void say_goodbye(struct ranks *r)
{
    MPI_Request    requests[CM_MAX_RANKS];
    struct goodbye goodbye = {.is_lost = r->is_lost};
    int            n = 0, is_done = 0;
    const uint64_t start = cm_now_ns();
    snprintf(goodbye.text, sizeof goodbye.text, "%.*s", CM_RANK_TEXT - 1, r->failure);
    for (int peer = 0; peer < r->n; peer++)
        if (peer != r->own &&
            MPI_Isend(&goodbye, sizeof goodbye, MPI_BYTE, peer, TAG_GONE, r->comm, &requests[n]) == MPI_SUCCESS)
            n++;
    while (!is_done && cm_now_ns() - start < GOODBYE_NS)
        if (MPI_Testall(n, requests, &is_done, MPI_STATUSES_IGNORE) != MPI_SUCCESS) return;
}

/* Receives that are still under way must not write into memory that will be freed. */
static void give_up(struct ranks *r, struct waiting_for *waiting)
{
    for (int i = 0; i < waiting->n; i++)
        if (waiting->requests[i] != MPI_REQUEST_NULL && waiting->is_receive[i]) MPI_Cancel(&waiting->requests[i]);
    if (!r->was_told) say_goodbye(r);
}

static bool has_failed(const struct ranks *r) { return r->failure[0] != '\0'; }

static calmoe_status answer(const struct ranks *r)
{
    return has_failed(r) ? cm_fail(r->ctx, CALMOE_IO, "%s", r->failure) : CALMOE_OK;
}

static void note_mpi_error(struct ranks *r, int code)
{
    char text[MPI_MAX_ERROR_STRING + 1] = "";
    int  length = 0;
    MPI_Error_string(code, text, &length);
    snprintf(r->failure, sizeof r->failure, "the exchange between ranks broke off: %.160s", text);
    r->is_lost = true;
}

/* Whether another rank has reported a failure. */
static void look_for_goodbyes(struct ranks *r)
{
    MPI_Status     status;
    struct goodbye goodbye = {.text = ""};
    int            is_there = 0;
    if (MPI_Iprobe(MPI_ANY_SOURCE, TAG_GONE, r->comm, &is_there, &status) != MPI_SUCCESS || !is_there) return;
    if (MPI_Recv(&goodbye, sizeof goodbye, MPI_BYTE, status.MPI_SOURCE, TAG_GONE, r->comm, &status) != MPI_SUCCESS)
        return;
    goodbye.text[sizeof goodbye.text - 1] = '\0';
    snprintf(r->failure, sizeof r->failure, "rank %d ended: %s", status.MPI_SOURCE, goodbye.text);
    r->was_told = true;
    r->is_lost |= goodbye.is_lost;
}

/* ---- waiting ---- */

static void add(struct waiting_for *waiting, int peer, bool is_receive)
{
    waiting->peers[waiting->n] = peer;
    waiting->is_receive[waiting->n++] = is_receive;
}

static int receive(struct ranks *r, void *bytes, size_t n_bytes, int peer, int tag, struct waiting_for *waiting)
{
    const int code = MPI_Irecv(bytes, (int)n_bytes, MPI_BYTE, peer, tag, r->comm, &waiting->requests[waiting->n]);
    if (code == MPI_SUCCESS) add(waiting, peer, true);
    return code;
}

static int send(struct ranks *r, const void *bytes, size_t n_bytes, int peer, int tag, struct waiting_for *waiting)
{
    const int code = MPI_Isend(bytes, (int)n_bytes, MPI_BYTE, peer, tag, r->comm, &waiting->requests[waiting->n]);
    if (code == MPI_SUCCESS) add(waiting, peer, false);
    return code;
}

/* The rank that keeps this one waiting. If there are several, one of them may itself be waiting for another. */
static void note_lost(struct ranks *r, const struct waiting_for *waiting, double seconds)
{
    char names[64] = "";
    int  n = 0;
    r->is_lost = true;
    for (int peer = 0; peer < r->n; peer++)
        for (int i = 0; i < waiting->n; i++) {
            if (waiting->peers[i] != peer || waiting->requests[i] == MPI_REQUEST_NULL) continue;
            const size_t at = strlen(names);
            snprintf(names + at, sizeof names - at, "%s%d", n++ == 0 ? "" : ", ", peer);
            break;
        }
    if (n == 1) snprintf(r->failure, sizeof r->failure, "rank %s is lost: no answer for %.3g s", names, seconds);
    else snprintf(r->failure, sizeof r->failure, "of the ranks %s one is lost: no answer for %.3g s", names, seconds);
}

/* True once all messages have arrived. MPI requests are completed one by one, so that the missing ones can be named. */
static bool test_all(struct ranks *r, struct waiting_for *waiting)
{
    bool is_done = true;
    for (int i = 0; i < waiting->n; i++) {
        int is_through = 1;
        if (waiting->requests[i] == MPI_REQUEST_NULL) continue;
        const int code = MPI_Test(&waiting->requests[i], &is_through, MPI_STATUS_IGNORE);
        if (code != MPI_SUCCESS) note_mpi_error(r, code);
        if (code != MPI_SUCCESS) return true;
        is_done &= is_through != 0;
    }
    return is_done;
}

static void rest(uint64_t waited_ns)
{
    if (waited_ns < YIELD_NS) sched_yield();
    else nanosleep(&(struct timespec){0, SLEEP_NS}, NULL);
}

/* Waits; code is the result of the calls that started the messages. Records a failure; answers whether there is
 * none. */
static bool wait_for(struct ranks *r, struct waiting_for *waiting, int code, double timeout_s)
{
    enum { SPINS = 64 };
    const uint64_t start = cm_now_ns(), limit_ns = (uint64_t)(timeout_s * 1e9);
    if (code != MPI_SUCCESS) note_mpi_error(r, code);
    for (int i = 0; !has_failed(r) && !test_all(r, waiting); i++) {
        if (i < SPINS) continue;
        const uint64_t waited_ns = cm_now_ns() - start;
        if (waited_ns > YIELD_NS) look_for_goodbyes(r);
        if (!has_failed(r) && waited_ns > limit_ns) note_lost(r, waiting, timeout_s);
        rest(waited_ns);
    }
    if (has_failed(r)) give_up(r, waiting);
    return !has_failed(r);
}

/* ---- opening and closing ---- */

static calmoe_status begin_mpi(struct ranks *r)
{
    int is_begun = 0, level = MPI_THREAD_SERIALIZED;
    if (MPI_Initialized(&is_begun) != MPI_SUCCESS) is_begun = 0;
    if (!is_begun && MPI_Init_thread(NULL, NULL, MPI_THREAD_SERIALIZED, &level) != MPI_SUCCESS)
        return cm_fail(r->ctx, CALMOE_SYSTEM, "MPI could not be begun");
    r->begins_mpi = !is_begun;
    if (is_begun) MPI_Query_thread(&level);
    if (level < MPI_THREAD_SERIALIZED)
        return cm_fail(r->ctx, CALMOE_UNSUPPORTED,
                       "MPI serves the program's main thread only; calmoe needs MPI_THREAD_SERIALIZED");
    return CALMOE_OK;
}

static calmoe_status join(struct ranks *r, const void *communicator)
{
    MPI_Comm from = communicator ? *(const MPI_Comm *)communicator : MPI_COMM_WORLD;
    if (MPI_Comm_dup(from, &r->comm) != MPI_SUCCESS)
        return cm_fail(r->ctx, CALMOE_SYSTEM, "MPI could not copy the communicator");
    MPI_Comm_set_errhandler(r->comm, MPI_ERRORS_RETURN);
    MPI_Comm_size(r->comm, &r->n);
    MPI_Comm_rank(r->comm, &r->own);
    if (r->n > CM_MAX_RANKS)
        return cm_fail(r->ctx, CALMOE_UNSUPPORTED, "%d ranks; at most %d are supported", r->n, CM_MAX_RANKS);
    return CALMOE_OK;
}

calmoe_status cm_ranks_open(struct calmoe_context *ctx, const void *communicator, double timeout_s, struct ranks **out)
{
    struct ranks *r = *out = cm_alloc(ctx, 1, sizeof *r, "ranks");
    if (!r) return CALMOE_NO_MEMORY;
    r->ctx = ctx;
    r->comm = MPI_COMM_NULL;
    r->timeout_s = timeout_s;
    pthread_mutex_init(&r->lock, NULL);
    pthread_mutex_init(&r->bell_lock, NULL);
    pthread_cond_init(&r->bell, NULL);
    calmoe_status status = begin_mpi(r);
    if (status == CALMOE_OK) status = join(r, communicator);
    if (status != CALMOE_OK) cm_ranks_close(out, NULL);
    return status;
}

/* If a rank is lost, MPI is not finalised: the program that started the ranks ends the others. */
void cm_ranks_close(struct ranks **ranks, const char *failure)
{
    struct ranks *r = *ranks;
    if (!r) return;
    cm_ranks_rest(r);
    if (failure && !has_failed(r) && r->comm != MPI_COMM_NULL) {
        snprintf(r->failure, sizeof r->failure, "%s", failure);
        say_goodbye(r);
    }
    if (!r->is_lost && r->comm != MPI_COMM_NULL && !r->begins_mpi) MPI_Comm_free(&r->comm);
    if (!r->is_lost && r->begins_mpi) MPI_Finalize();
    pthread_cond_destroy(&r->bell);
    pthread_mutex_destroy(&r->bell_lock);
    pthread_mutex_destroy(&r->lock);
    cm_free(r->heard);
    cm_free(r);
    *ranks = NULL;
}

/* ---- exchanges ---- */

struct handed_over { /* by this rank */
    const uint8_t *bytes;
    const size_t  *sizes; /* for each rank, one's bytes behind the other's; NULL: all get the same */
};

static bool gather(struct ranks *r, const struct handed_over *own, const size_t *sizes, void *all, int to,
                   double timeout_s)
{
    struct waiting_for waiting = {.n = 0};
    size_t offsets[CM_MAX_RANKS + 1] = {0}, own_offsets[CM_MAX_RANKS + 1] = {0};
    int    code = MPI_SUCCESS;
    for (int i = 0; i < r->n; i++) {
        offsets[i + 1] = offsets[i] + sizes[i];
        own_offsets[i + 1] = own_offsets[i] + (own->sizes ? own->sizes[i] : 0);
    }
    for (int i = 1; i < r->n && code == MPI_SUCCESS; i++) {
        const int peer = (r->own + r->n - i) % r->n;
        if (sizes[peer] == 0 || (to >= 0 && to != r->own)) continue;
        code = receive(r, (uint8_t *)all + offsets[peer], sizes[peer], peer, TAG_GATHER, &waiting);
        r->work.n_bytes_received += sizes[peer];
    }
    for (int i = 1; i < r->n && code == MPI_SUCCESS; i++) {
        const int peer = (r->own + i) % r->n;
        const size_t n = own->sizes ? own->sizes[peer] : sizes[r->own];
        if (n == 0 || (to >= 0 && to != peer)) continue;
        code = send(r, own->bytes + own_offsets[peer], n, peer, TAG_GATHER, &waiting);
        r->work.n_bytes_sent += n;
    }
    return wait_for(r, &waiting, code, timeout_s);
}

static calmoe_status gather_counted(struct ranks *r, const struct handed_over *own, const size_t *sizes, void *all,
                                    int to)
{
    const uint64_t start = cm_now_ns();
    if (!has_failed(r)) (void)gather(r, own, sizes, all, to, r->timeout_s);
    r->work.n_exchanges++;
    r->work.ns += cm_now_ns() - start;
    return answer(r);
}

calmoe_status cm_ranks_gather(struct ranks *r, const void *own, const size_t *sizes, void *all, int to)
{
    return gather_counted(r, &(struct handed_over){own, NULL}, sizes, all, to);
}

calmoe_status cm_ranks_deal(struct ranks *r, const void *own, const size_t *own_sizes, const size_t *sizes, void *all)
{
    return gather_counted(r, &(struct handed_over){own, own_sizes}, sizes, all, -1);
}

/* The first rank that reports a failure, or a text other than rank 0's; -1: none does. */
static int odd_one(const struct rank_word *words, int n)
{
    for (int i = 0; i < n; i++)
        if (words[i].status != CALMOE_OK) return i;
    for (int i = 1; i < n; i++)
        if (strcmp(words[i].text, words[0].text) != 0) return i;
    return -1;
}

calmoe_status cm_ranks_agree(struct ranks *r, const struct rank_word *own, double *numbers)
{
    static const double OPENING = OPENING_S;
    struct rank_word   *words = cm_alloc(r->ctx, (size_t)r->n, sizeof *words, "ranks");
    size_t              sizes[CM_MAX_RANKS];
    if (!words) return CALMOE_NO_MEMORY;
    for (int i = 0; i < r->n; i++) sizes[i] = sizeof *words;
    words[r->own] = *own;
    if (!has_failed(r))
        (void)gather(r, &(struct handed_over){(const uint8_t *)own, NULL}, sizes, words, -1,
                     r->timeout_s > OPENING ? r->timeout_s : OPENING);
    calmoe_status status = answer(r);
    const int     odd = status == CALMOE_OK ? odd_one(words, r->n) : -1;
    for (int i = 0; i < r->n; i++) numbers[i] = words[i].number;
    if (odd >= 0 && words[odd].status == CALMOE_OK)
        status = cm_fail(r->ctx, CALMOE_INVALID_ARGUMENT, "rank %d has %s; rank 0 has %s", odd, words[odd].text,
                         words[0].text);
    else if (odd >= 0 && own->status != CALMOE_OK) status = own->status; /* the sentence is there already */
    else if (odd >= 0) status = cm_fail(r->ctx, words[odd].status, "rank %d: %s", odd, words[odd].text);
    cm_free(words);
    return status;
}

/* ---- from one rank to another ---- */

/* Rank 0 may itself be waiting for a lost rank; then rank 0 reports that. */
static double patience(const struct ranks *r) { return (r->own > 0 ? 2 : 1) * r->n * r->timeout_s; }

calmoe_status cm_ranks_send(struct ranks *r, int to, const void *bytes, size_t n_bytes)
{
    struct waiting_for waiting = {.n = 0};
    if (!has_failed(r))
        (void)wait_for(r, &waiting, send(r, bytes, n_bytes, to, TAG_PART, &waiting), patience(r));
    return answer(r);
}

calmoe_status cm_ranks_receive(struct ranks *r, int from, void *bytes, size_t n_bytes)
{
    struct waiting_for waiting = {.n = 0};
    if (!has_failed(r))
        (void)wait_for(r, &waiting, receive(r, bytes, n_bytes, from, TAG_PART, &waiting), patience(r));
    return answer(r);
}

/* ---- from rank 0 to all others ---- */

static bool tell(struct ranks *r, const void *bytes, size_t n_bytes)
{
    struct message     message = {.n_bytes = n_bytes};
    struct waiting_for waiting = {.n = 0};
    const size_t       n_first = n_bytes < FIRST_BYTES ? n_bytes : FIRST_BYTES;
    int                code = MPI_SUCCESS;
    if (n_first > 0) memcpy(message.first, bytes, n_first);
    for (int peer = 1; peer < r->n && code == MPI_SUCCESS; peer++) {
        const size_t n_head = sizeof message - FIRST_BYTES + n_first;
        code = send(r, &message, n_head, peer, TAG_TELL, &waiting);
        if (code == MPI_SUCCESS && n_bytes > n_first)
            code = send(r, (const uint8_t *)bytes + n_first, n_bytes - n_first, peer, TAG_TELL, &waiting);
    }
    return wait_for(r, &waiting, code, r->timeout_s);
}

/* All others answer each sign of life, so that rank 0 knows that they are there. */
static void give_sign(struct ranks *r)
{
    struct waiting_for waiting = {.n = 0};
    uint8_t            answers[CM_MAX_RANKS];
    int                code = MPI_SUCCESS;
    if (!tell(r, NULL, 0)) return;
    for (int peer = 1; peer < r->n && code == MPI_SUCCESS; peer++)
        code = receive(r, &answers[peer], 1, peer, TAG_ALIVE, &waiting);
    (void)wait_for(r, &waiting, code, r->timeout_s);
}

static void *give_signs(void *user)
{
    struct ranks *r = user;
    const double  seconds = r->timeout_s / SIGNS_IN_TIMEOUT;
    pthread_mutex_lock(&r->bell_lock);
    while (!r->ends_signs) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        const uint64_t ns = (uint64_t)until.tv_nsec + (uint64_t)(seconds * 1e9);
        until.tv_sec += (time_t)(ns / 1000000000u);
        until.tv_nsec = (long)(ns % 1000000000u);
        pthread_cond_timedwait(&r->bell, &r->bell_lock, &until);
        if (r->ends_signs || pthread_mutex_trylock(&r->lock) != 0) continue; /* a step is a sign of life, too */
        if (!has_failed(r)) give_sign(r);
        pthread_mutex_unlock(&r->lock);
    }
    pthread_mutex_unlock(&r->bell_lock);
    return NULL;
}

void cm_ranks_hold(struct ranks *r) { pthread_mutex_lock(&r->lock); }
void cm_ranks_let_go(struct ranks *r) { pthread_mutex_unlock(&r->lock); }

calmoe_status cm_ranks_tell(struct ranks *r, const void *bytes, size_t n_bytes)
{
    if (!has_failed(r)) (void)tell(r, bytes, n_bytes);
    CM_TRY(answer(r));
    if (r->gives_signs) return CALMOE_OK;
    r->ends_signs = false;
    if (pthread_create(&r->thread, NULL, give_signs, r) != 0)
        return cm_fail(r->ctx, CALMOE_SYSTEM, "the system gives no thread for signs of life between ranks");
    r->gives_signs = true;
    return CALMOE_OK;
}

void cm_ranks_rest(struct ranks *r)
{
    if (!r->gives_signs) return;
    pthread_mutex_lock(&r->bell_lock);
    r->ends_signs = true;
    pthread_cond_signal(&r->bell);
    pthread_mutex_unlock(&r->bell_lock);
    pthread_join(r->thread, NULL);
    r->gives_signs = false;
}

static bool hear_one(struct ranks *r, void *bytes, size_t n_bytes)
{
    struct waiting_for waiting = {.n = 0};
    /* Rank 0 may itself be waiting for a lost rank; then rank 0 reports that. */
    return wait_for(r, &waiting, receive(r, bytes, n_bytes, 0, TAG_TELL, &waiting), 2 * r->timeout_s);
}

static bool answer_sign(struct ranks *r)
{
    struct waiting_for waiting = {.n = 0};
    const uint8_t      alive = 1;
    return wait_for(r, &waiting, send(r, &alive, 1, 0, TAG_ALIVE, &waiting), r->timeout_s);
}

calmoe_status cm_ranks_hear(struct ranks *r, const void **bytes, size_t *n_bytes)
{
    struct message message = {0};
    while (!has_failed(r) && hear_one(r, &message, sizeof message) && message.n_bytes == 0) (void)answer_sign(r);
    CM_TRY(answer(r));
    *n_bytes = (size_t)message.n_bytes;
    if (*n_bytes > r->heard_capacity) {
        cm_free(r->heard);
        r->heard_capacity = 0;
        r->heard = cm_alloc(r->ctx, *n_bytes, 1, "what rank 0 tells");
        if (!r->heard) return CALMOE_NO_MEMORY;
        r->heard_capacity = *n_bytes;
    }
    const size_t n_first = *n_bytes < FIRST_BYTES ? *n_bytes : FIRST_BYTES;
    memcpy(r->heard, message.first, n_first);
    if (*n_bytes > n_first) (void)hear_one(r, r->heard + n_first, *n_bytes - n_first);
    *bytes = r->heard;
    return answer(r);
}

#else /* Without MPI no caller gets a struct ranks, so the other functions are never called. */

#include <assert.h>

calmoe_status cm_ranks_open(struct calmoe_context *ctx, const void *communicator, double timeout_s, struct ranks **out)
{
    (void)communicator;
    (void)timeout_s;
    *out = NULL;
    return cm_fail(ctx, CALMOE_UNSUPPORTED, "this calmoe was built without MPI, by which ranks exchange");
}

void cm_ranks_close(struct ranks **ranks, const char *failure)
{
    (void)failure;
    assert(!*ranks);
    *ranks = NULL;
}

static calmoe_status nobody(const struct ranks *ranks)
{
    assert(!ranks);
    return ranks ? CALMOE_UNSUPPORTED : CALMOE_OK;
}

int cm_ranks_n(const struct ranks *r) { return nobody(r) == CALMOE_OK; }
int cm_ranks_own(const struct ranks *r) { return (int)nobody(r); }
bool cm_ranks_are_lost(const struct ranks *r) { return nobody(r) != CALMOE_OK; }

calmoe_status cm_ranks_gather(struct ranks *r, const void *own, const size_t *sizes, void *all, int to)
{
    (void)own, (void)sizes, (void)all, (void)to;
    return nobody(r);
}

calmoe_status cm_ranks_deal(struct ranks *r, const void *own, const size_t *own_sizes, const size_t *sizes, void *all)
{
    (void)own, (void)own_sizes, (void)sizes, (void)all;
    return nobody(r);
}

calmoe_status cm_ranks_agree(struct ranks *r, const struct rank_word *own, double *numbers)
{
    (void)own, (void)numbers;
    return nobody(r);
}

calmoe_status cm_ranks_send(struct ranks *r, int to, const void *bytes, size_t n_bytes)
{
    (void)to, (void)bytes, (void)n_bytes;
    return nobody(r);
}

calmoe_status cm_ranks_receive(struct ranks *r, int from, void *bytes, size_t n_bytes)
{
    (void)from, (void)bytes, (void)n_bytes;
    return nobody(r);
}

void cm_ranks_hold(struct ranks *r) { (void)nobody(r); }
void cm_ranks_let_go(struct ranks *r) { (void)nobody(r); }
void cm_ranks_rest(struct ranks *r) { (void)nobody(r); }

calmoe_status cm_ranks_tell(struct ranks *r, const void *bytes, size_t n_bytes)
{
    (void)bytes, (void)n_bytes;
    return nobody(r);
}

calmoe_status cm_ranks_hear(struct ranks *r, const void **bytes, size_t *n_bytes)
{
    (void)bytes, (void)n_bytes;
    return nobody(r);
}

struct ranks_work cm_ranks_work(const struct ranks *r)
{
    (void)nobody(r);
    return (struct ranks_work){0};
}

#endif
