/* file_map.c - files mapped read-only. */
#include "base/file_map.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/memory.h"

static calmoe_status map_file(struct calmoe_context *ctx, const char *path, int file,
                              struct file_map *out)
{
    struct stat facts;
    if (fstat(file, &facts) != 0)
        return cm_fail(ctx, CALMOE_IO, "cannot open '%s': %s", path, strerror(errno));
    if (!S_ISREG(facts.st_mode))
        return cm_fail(ctx, CALMOE_IO, "'%s' is not a regular file", path);
    if ((uintmax_t)facts.st_size > PTRDIFF_MAX)
        return cm_fail(ctx, CALMOE_UNSUPPORTED, "'%s' has %jd bytes, more than can be mapped", path,
                       (intmax_t)facts.st_size);

    const size_t n_bytes = (size_t)facts.st_size;
    const bool   fails = cm_request_fails();
    if (n_bytes == 0 && !fails) return CALMOE_OK;

    errno = ENOMEM;
    void *bytes = fails ? MAP_FAILED : mmap(NULL, n_bytes, PROT_READ, MAP_PRIVATE, file, 0);
    if (bytes == MAP_FAILED && errno == ENOMEM) {
        char reason[200];
        cm_mapping_reason(cm_limits_root(), n_bytes, reason, sizeof reason);
        return cm_fail(ctx, CALMOE_NO_MEMORY, "no memory to map '%s': %zu bytes%s", path, n_bytes, reason);
    }
    if (bytes == MAP_FAILED)
        return cm_fail(ctx, CALMOE_IO, "cannot map '%s': %s", path, strerror(errno));

    *out = (struct file_map){.bytes = bytes, .n_bytes = n_bytes, .file = file};
    cm_count_block(+1);
    return CALMOE_OK;
}

calmoe_status cm_file_map_open(struct calmoe_context *ctx, const char *path, struct file_map *out)
{
    *out = (struct file_map){0};

    int file;
    do file = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK); /* a FIFO would block */
    while (file < 0 && errno == EINTR);
    if (file < 0) return cm_fail(ctx, CALMOE_IO, "cannot open '%s': %s", path, strerror(errno));

    const calmoe_status status = map_file(ctx, path, file, out);
    if (!out->bytes) close(file);
    return status;
}

calmoe_status cm_file_map_open_empty(struct calmoe_context *ctx, size_t n_bytes, struct file_map *out)
{
    *out = (struct file_map){0};
    const int     file = memfd_create("calmoe", MFD_CLOEXEC);
    calmoe_status status = CALMOE_OK;
    if (file < 0 || n_bytes > PTRDIFF_MAX || ftruncate(file, (off_t)n_bytes) != 0)
        status = cm_fail(ctx, CALMOE_SYSTEM, "cannot make a file of %zu bytes in memory: %s", n_bytes, strerror(errno));
    if (status == CALMOE_OK) status = map_file(ctx, "a file in memory", file, out);
    if (!out->bytes && file >= 0) close(file);
    return status;
}

int cm_file_map_fill(const struct file_map *map, size_t offset, size_t n_bytes, const void *bytes)
{
    assert(offset <= map->n_bytes && n_bytes <= map->n_bytes - offset);
    for (size_t done = 0; done < n_bytes;) {
        const ssize_t n = pwrite(map->file, (const uint8_t *)bytes + done, n_bytes - done, (off_t)(offset + done));
        if (n < 0 && errno != EINTR) return errno;
        if (n > 0) done += (size_t)n;
    }
    return 0;
}

void cm_file_map_empty(const struct file_map *map, size_t offset, size_t n_bytes)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const size_t begin = (offset + page - 1) / page * page, end = (offset + n_bytes) / page * page;
    if (begin < end)
        (void)fallocate(map->file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)begin, (off_t)(end - begin));
}

void cm_file_map_close(struct file_map *map)
{
    if (map->bytes) {
        munmap((void *)(uintptr_t)map->bytes, map->n_bytes);
        close(map->file);
        cm_count_block(-1);
    }
    *map = (struct file_map){0};
}

void cm_file_map_will_need(const struct file_map *map, size_t offset, size_t n_bytes)
{
    if (offset >= map->n_bytes || n_bytes == 0) return; /* the system would take 0 bytes for all that follow */
    const size_t left = map->n_bytes - offset;
    posix_fadvise(map->file, (off_t)offset, (off_t)(n_bytes < left ? n_bytes : left), POSIX_FADV_WILLNEED);
}

int cm_file_map_read(const struct file_map *map, size_t offset, size_t n_bytes, void *out)
{
    assert(offset <= map->n_bytes && n_bytes <= map->n_bytes - offset);
    for (size_t done = 0; done < n_bytes;) {
        const ssize_t n = pread(map->file, (uint8_t *)out + done, n_bytes - done, (off_t)(offset + done));
        if (n == 0) return CM_FILE_ENDED;
        if (n < 0 && errno != EINTR) return errno;
        if (n > 0) done += (size_t)n;
    }
    return 0;
}
