/* base/file_map.h - a file, mapped read-only. The map is private: a writer elsewhere may change the
 * bytes, so sizes are checked once and values that were checked are copied out. */
#ifndef BASE_FILE_MAP_H
#define BASE_FILE_MAP_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct file_map {
    const uint8_t *bytes;   /* (n_bytes); NULL for an empty or closed map */
    size_t         n_bytes;
    int            file;    /* its descriptor, where bytes is not NULL    */
};

/* Maps the regular file at path. On success *out is open until cm_file_map_close().
 * IO: "cannot open 'PATH': why"; "'PATH' is not a regular file". An empty file maps to 0 bytes. */
calmoe_status cm_file_map_open(struct calmoe_context *ctx, const char *path, struct file_map *out);
void          cm_file_map_close(struct file_map *map); /* zeroes *map; a zeroed map is fine */

/* A file without a name, in memory, of n_bytes zeros; pages are taken as it is filled. SYSTEM; NO_MEMORY. */
calmoe_status cm_file_map_open_empty(struct calmoe_context *ctx, size_t n_bytes, struct file_map *out);
/* Writes bytes (n_bytes) into such a file. Returns 0 or what errno would say. */
int           cm_file_map_fill(const struct file_map *map, size_t offset, size_t n_bytes, const void *bytes);
/* Gives back the pages that lie whole in [offset, offset + n_bytes). */
void          cm_file_map_empty(const struct file_map *map, size_t offset, size_t n_bytes);

/* Says that just the bytes [offset, offset + n_bytes), a few pages, are wanted soon. The system begins to read
 * them; to touch them unsaid is to wait for megabytes around them. A hint only. */
void cm_file_map_will_need(const struct file_map *map, size_t offset, size_t n_bytes);

/* Copies bytes [offset, offset + n_bytes), which must lie in the map, to out by reading the file: for bytes
 * wanted once this is cheaper than to have pages mapped and unmapped, and a file that was cut short since is an
 * error and no fault. Returns 0 or what errno would say; CM_FILE_ENDED where the file has no such bytes any
 * more. Any thread may call it. */
enum { CM_FILE_ENDED = -1 };
int cm_file_map_read(const struct file_map *map, size_t offset, size_t n_bytes, void *out);

#endif
