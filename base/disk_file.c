/* base/disk_file.c - see disk_file.h. */
#include "base/disk_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

static atomic_long reads_until_failure; /* <= 0 and above -failures_left: fails */
static atomic_long failures_left;
static atomic_int  failure_error;

void cm_disk_fail(long nth, long n_times, int error)
{
    atomic_store(&failure_error, error);
    atomic_store(&reads_until_failure, nth);
    atomic_store(&failures_left, n_times);
}

/* The error that this read has to fail with, 0 = none. */
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

/* Reads up to n_bytes, least_bytes of them surely. */
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

int cm_disk_file_read(const struct disk_file *file, uint64_t offset, size_t n_bytes, void *buffer,
                      const uint8_t **found)
{
    const int wanted = wanted_failure();
    if (wanted != 0) return wanted;
    if (file->direct >= 0) {
        const size_t before = (size_t)(offset % CM_DISK_BLOCK), least = before + n_bytes;
        const size_t whole = (least + CM_DISK_BLOCK - 1) / CM_DISK_BLOCK * CM_DISK_BLOCK;
        const int    failure = read_at(file->direct, offset - before, whole, least, buffer);
        *found = (const uint8_t *)buffer + before;
        if (failure != EINVAL) return failure; /* else the file system wants larger blocks */
    }
    *found = buffer;
    return read_at(file->file, offset, n_bytes, n_bytes, buffer);
}
