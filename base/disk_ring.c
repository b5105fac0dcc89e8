/* base/disk_ring.c - see disk_ring.h. */
#include "base/disk_ring.h"

#include <errno.h>
#include <stdatomic.h>

#include "base/memory.h"

static atomic_int refusal;

void cm_disk_ring_refuse(int error) { atomic_store(&refusal, error); }

#ifdef CALMOE_HAS_URING

#include <liburing.h>
#include <stdbool.h>
#include <time.h>

enum { MOST_BYTES = 1 << 30 }; /* of one request to the kernel */

struct disk_ring {
    struct io_uring ring;
    bool            is_broken; /* the kernel did not accept a read, which is still in the ring: accept no more */
};

static int check(struct io_uring *ring)
{
    struct io_uring_probe *probe = io_uring_get_probe_ring(ring);
    const bool             can_read = probe && io_uring_opcode_supported(probe, IORING_OP_READ);
    io_uring_free_probe(probe);
    if (!can_read) return ENOSYS;
    struct io_uring_cqe *done; /* a ring may be opened but not used: an empty request tests that */
    io_uring_prep_nop(io_uring_get_sqe(ring));
    int n;
    do n = io_uring_submit_and_wait(ring, 1);
    while (n == -EINTR);
    if (n < 0) return -n;
    const int failure = io_uring_peek_cqe(ring, &done);
    if (failure != 0) return -failure;
    io_uring_cqe_seen(ring, done);
    return 0;
}

int cm_disk_ring_open(unsigned n, struct disk_ring **out)
{
    *out = NULL;
    if (atomic_load(&refusal) != 0) return atomic_load(&refusal);
    struct disk_ring *ring = cm_alloc(NULL, 1, sizeof *ring, "reading weights");
    if (!ring) return ENOMEM;
    int failure = -io_uring_queue_init(n, &ring->ring, 0);
    if (failure == 0) {
        failure = check(&ring->ring);
        if (failure != 0) io_uring_queue_exit(&ring->ring);
    }
    if (failure == 0) *out = ring;
    else cm_free(ring);
    return failure;
}

void cm_disk_ring_close(struct disk_ring **ring)
{
    if (!*ring) return;
    io_uring_queue_exit(&(*ring)->ring);
    cm_free(*ring);
    *ring = NULL;
}

int cm_disk_ring_begin(struct disk_ring *ring, int file, uint64_t offset, size_t n_bytes, void *to, void *what)
{
    struct io_uring_sqe *entry = ring->is_broken || n_bytes > MOST_BYTES ? NULL : io_uring_get_sqe(&ring->ring);
    int                  n;
    if (!entry) return EBUSY;
    io_uring_prep_read(entry, file, to, (unsigned)n_bytes, offset);
    io_uring_sqe_set_data(entry, what);
    do n = io_uring_submit(&ring->ring);
    while (n == -EINTR);
    if (n == 1) return 0;
    ring->is_broken = true;
    return n < 0 ? -n : EAGAIN;
}

void *cm_disk_ring_end(struct disk_ring *ring, int64_t *result)
{
    struct io_uring_cqe *done;
    /* The kernel may write to our memory until it says that the read has ended, so there is no other way out of this
     * wait. */
    while (io_uring_wait_cqe(&ring->ring, &done) != 0) nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
    void *what = io_uring_cqe_get_data(done);
    *result = done->res;
    io_uring_cqe_seen(&ring->ring, done);
    return what;
}

#else

int cm_disk_ring_open(unsigned n, struct disk_ring **out)
{
    (void)n;
    *out = NULL;
    return atomic_load(&refusal) != 0 ? atomic_load(&refusal) : ENOSYS;
}

void cm_disk_ring_close(struct disk_ring **ring) { *ring = NULL; }

int cm_disk_ring_begin(struct disk_ring *ring, int file, uint64_t offset, size_t n_bytes, void *to, void *what)
{
    (void)ring, (void)file, (void)offset, (void)n_bytes, (void)to, (void)what;
    return ENOSYS;
}

void *cm_disk_ring_end(struct disk_ring *ring, int64_t *result)
{
    (void)ring;
    *result = -ENOSYS;
    return NULL;
}

#endif
