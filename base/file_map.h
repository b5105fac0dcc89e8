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
};

/* Maps the regular file at path. On success *out is open until cm_file_map_close().
 * IO: "cannot open 'PATH': why"; "'PATH' is not a regular file". An empty file maps to 0 bytes. */
calmoe_status cm_file_map_open(struct calmoe_context *ctx, const char *path, struct file_map *out);
void          cm_file_map_close(struct file_map *map); /* zeroes *map; a zeroed map is fine */

/* Says that bytes [offset, offset + n_bytes) are wanted soon / are not needed again, so that the
 * system reads ahead / may drop their pages. Hints only: the bytes stay readable. */
void cm_file_map_will_need(const struct file_map *map, size_t offset, size_t n_bytes);
void cm_file_map_release(const struct file_map *map, size_t offset, size_t n_bytes);

#endif
