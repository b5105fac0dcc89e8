/* base/file_map.h - a file that is mapped into memory, read-only. Another process may change the file's bytes at any
 * time; so code that checks a value copies it out first and then uses the copy. */
#ifndef BASE_FILE_MAP_H
#define BASE_FILE_MAP_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct file_map {
    const uint8_t *bytes;   /* (n_bytes); NULL for an empty or closed map */
    size_t         n_bytes;
    int            file;    /* descriptor of the file, if bytes is not NULL */
};

/* Maps the regular file at path. On success *out is open until cm_file_map_close().
 * IO: "cannot open 'PATH': why"; "'PATH' is not a regular file". An empty file maps to 0 bytes. */
calmoe_status cm_file_map_open(struct calmoe_context *ctx, const char *path, struct file_map *out);
void          cm_file_map_close(struct file_map *map); /* zeroes *map; a zeroed map is fine */

/* Makes a file without a name, in memory, with n_bytes zeros; it takes pages as it is filled. SYSTEM; NO_MEMORY. */
calmoe_status cm_file_map_open_empty(struct calmoe_context *ctx, size_t n_bytes, struct file_map *out);
/* Writes bytes (n_bytes) into such a file. Returns 0 or an errno. */
int           cm_file_map_fill(const struct file_map *map, size_t offset, size_t n_bytes, const void *bytes);
/* Gives the pages that lie completely in [offset, offset + n_bytes) back to the system. */
void          cm_file_map_empty(const struct file_map *map, size_t offset, size_t n_bytes);

/* Tells the system that the bytes [offset, offset + n_bytes), a few pages, will be needed soon, so that it begins to
 * read just these. Touching them without this call would make it read megabytes around them. This is only a hint. */
void cm_file_map_will_need(const struct file_map *map, size_t offset, size_t n_bytes);

/* Copies the bytes [offset, offset + n_bytes), which must lie in the map, to out by reading the file. For bytes that
 * are needed only once this is cheaper than mapping and unmapping pages; and if the file was truncated meanwhile, it
 * gives an error and not a fault (SIGBUS). Returns 0 or an errno; CM_FILE_ENDED if the file no longer has these bytes.
 * Any thread may call it. */
enum { CM_FILE_ENDED = -1 };
int cm_file_map_read(const struct file_map *map, size_t offset, size_t n_bytes, void *out);

#endif
