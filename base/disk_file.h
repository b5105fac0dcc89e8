/* base/disk_file.h - a file whose pieces are read again and again, past the system's cache where that is wanted and the
 * file system takes it (O_DIRECT). What such reads want, whole blocks at aligned addresses, is done here. */
#ifndef BASE_DISK_FILE_H
#define BASE_DISK_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/file_map.h"

enum { CM_DISK_BLOCK = 4096 };

struct disk_file {
    int  file;   /* the map's descriptor, which the map keeps open */
    int  direct; /* another one past the cache; -1 = there is none */
};

/* The file of an open map, which must outlive it. */
void cm_disk_file_open(const struct file_map *map, bool is_direct, struct disk_file *out);
void cm_disk_file_close(struct disk_file *file);

/* Room that a buffer must have for reads of n_bytes. */
static inline size_t cm_disk_buffer_bytes(size_t n_bytes) { return n_bytes + 2 * CM_DISK_BLOCK; }

/* Reads n_bytes from offset on into the buffer, aligned to CM_DISK_BLOCK; *found = where in it they lie. Returns 0,
 * what errno would say, or CM_FILE_ENDED where the file has no such bytes any more. Any thread may call it. */
int cm_disk_file_read(const struct disk_file *file, uint64_t offset, size_t n_bytes, void *buffer,
                      const uint8_t **found);

/* For tests: of all such reads from now on the n-th (1 = the next) and n_times - 1 behind it fail with that error. */
void cm_disk_fail(long nth, long n_times, int error);

#endif
