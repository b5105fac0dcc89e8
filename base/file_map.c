/* file_map.c - files mapped read-only, and hints about them. */
#include "base/file_map.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

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
    if (bytes == MAP_FAILED && errno == ENOMEM)
        return cm_fail(ctx, CALMOE_NO_MEMORY, "no memory to map '%s': %zu bytes", path, n_bytes);
    if (bytes == MAP_FAILED)
        return cm_fail(ctx, CALMOE_IO, "cannot map '%s': %s", path, strerror(errno));

    *out = (struct file_map){.bytes = bytes, .n_bytes = n_bytes};
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
    close(file);
    return status;
}

void cm_file_map_close(struct file_map *map)
{
    if (map->bytes) {
        munmap((void *)(uintptr_t)map->bytes, map->n_bytes);
        cm_count_block(-1);
    }
    *map = (struct file_map){0};
}

static size_t page_bytes(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

/* Advice for the pages from the one that holds `begin` up to `end`. The kernel reads ahead no more
 * than about a device's largest transfer for one call, so a long range is told in pieces. */
static void advise(const struct file_map *map, size_t begin, size_t end, int advice)
{
    const size_t max_piece = 128 * 1024;
    for (begin -= begin % page_bytes(); begin < end; begin += max_piece) {
        const size_t n_bytes = end - begin < max_piece ? end - begin : max_piece;
        if (madvise((void *)(uintptr_t)(map->bytes + begin), n_bytes, advice) != 0) return;
    }
}

void cm_file_map_will_need(const struct file_map *map, size_t offset, size_t n_bytes)
{
    if (offset >= map->n_bytes) return;
    const size_t left = map->n_bytes - offset;
    advise(map, offset, offset + (n_bytes < left ? n_bytes : left), MADV_WILLNEED);
}

/* Only pages that lie wholly in the range: a neighbour may still want the others. */
void cm_file_map_release(const struct file_map *map, size_t offset, size_t n_bytes)
{
    if (offset >= map->n_bytes) return;
    const size_t page = page_bytes();
    const size_t left = map->n_bytes - offset;
    const size_t end = n_bytes < left ? offset + n_bytes : map->n_bytes;
    const size_t first = offset % page ? offset + (page - offset % page) : offset;
    const size_t last = end == map->n_bytes ? end : end - end % page;
    if (first < last)
        madvise((void *)(uintptr_t)(map->bytes + first), last - first, MADV_DONTNEED);
}
