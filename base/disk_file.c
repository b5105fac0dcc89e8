/* base/disk_file.c - see disk_file.h. */
#include "base/disk_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "base/disk_ring.h"

static atomic_long reads_until_failure; /* a read fails while this is in (-failures_left, 0] */
static atomic_long failures_left;
static atomic_int  failure_error;

void cm_disk_fail(long nth, long n_times, int error)
{
    atomic_store(&failure_error, error);
    atomic_store(&reads_until_failure, nth);
    atomic_store(&failures_left, n_times);
}

/* The error with which a test wants this read to fail; 0 = none. */
static int wanted_failure(void)
{
    if (atomic_load_explicit(&failures_left, memory_order_relaxed) <= 0) return 0;
    if (atomic_fetch_sub(&reads_until_failure, 1) > 1) return 0;
    return atomic_fetch_sub(&failures_left, 1) > 0 ? atomic_load(&failure_error) : 0;
}

void cm_disk_file_open(const struct file_map *map, bool is_direct, struct disk_file *out)
{
    char path[64];
    *out = (struct disk_file){.file = map->file, .direct = -1};
    if (!is_direct) return;
    snprintf(path, sizeof path, "/proc/self/fd/%d", map->file);
    out->direct = open(path, O_RDONLY | O_CLOEXEC | O_DIRECT);
}

void cm_disk_file_close(struct disk_file *file)
{
    if (file->direct >= 0) close(file->direct);
    *file = (struct disk_file){.file = -1, .direct = -1};
}

/* Reads up to n_bytes, and at least least_bytes. */
static int read_at(int file, uint64_t offset, size_t n_bytes, size_t least_bytes, uint8_t *to)
{
    for (size_t done = 0; done < least_bytes;) {
        const ssize_t n = pread(file, to + done, n_bytes - done, (off_t)(offset + done));
        if (n == 0) return CM_FILE_ENDED;
        if (n < 0 && errno != EINTR) return errno;
        if (n > 0) done += (size_t)n;
    }
    return 0;
}

/* What to ask the system for if a read bypasses the page cache: whole blocks. */
struct block_range {
    size_t before, least, whole; /* bytes before the wanted ones; up to their end; up to the end of the block */
};

static struct block_range blocks_of(const struct disk_read *read)
{
    const size_t before = (size_t)(read->offset % CM_DISK_BLOCK), least = before + read->n_bytes;
    return (struct block_range){before, least, (least + CM_DISK_BLOCK - 1) / CM_DISK_BLOCK * CM_DISK_BLOCK};
}

/* Does a read immediately. */
static void read_now(struct disk_read *read)
{
    if (read->file->direct >= 0) {
        const struct block_range range = blocks_of(read);
        read->found = (const uint8_t *)read->buffer + range.before;
        read->failure =
            read_at(read->file->direct, read->offset - range.before, range.whole, range.least, read->buffer);
        if (read->failure != EINVAL) return; /* EINVAL: the file system needs larger blocks */
    }
    read->found = read->buffer;
    read->failure = read_at(read->file->file, read->offset, read->n_bytes, read->n_bytes, read->buffer);
}

/* ---- queues ---- */

int cm_disk_queue_open(struct disk_queue *queue, int n_at_once)
{
    *queue = (struct disk_queue){0};
    return cm_disk_ring_open((unsigned)n_at_once, &queue->ring);
}

void cm_disk_queue_close(struct disk_queue *queue) { cm_disk_ring_close(&queue->ring); }

static bool begin(struct disk_queue *queue, struct disk_read *read)
{
    const bool               is_direct = read->file->direct >= 0;
    const struct block_range range = blocks_of(read);
    if (!queue->ring) return false;
    read->found = (const uint8_t *)read->buffer + (is_direct ? range.before : 0);
    return 0 == cm_disk_ring_begin(queue->ring, is_direct ? read->file->direct : read->file->file,
                                   read->offset - (is_direct ? range.before : 0),
                                   is_direct ? range.whole : read->n_bytes, read->buffer, read);
}

void cm_disk_queue_ask(struct disk_queue *queue, struct disk_read *read)
{
    read->failure = wanted_failure();
    if (read->failure == 0 && begin(queue, read)) {
        queue->n_in_flight++;
        return;
    }
    if (read->failure == 0) read_now(read);
    read->next = queue->done;
    queue->done = read;
}

struct disk_read *cm_disk_queue_take(struct disk_queue *queue)
{
    int64_t           n_read;
    struct disk_read *read = queue->done;
    if (read) {
        queue->done = read->next;
        return read;
    }
    if (queue->n_in_flight == 0) return NULL;
    read = cm_disk_ring_end(queue->ring, &n_read);
    queue->n_in_flight--;
    const size_t least = (size_t)(read->found - (const uint8_t *)read->buffer) + read->n_bytes;
    if (n_read < 0 || (uint64_t)n_read < least) read_now(read); /* read again; this finds the error in the usual way */
    return read;
}
