/* base/disk_file.h - a file from which pieces are read repeatedly. If wanted, and if the file system supports it, reads
 * bypass the system's page cache (O_DIRECT). Such reads must consist of whole blocks at aligned addresses; that is
 * taken care of here.
 *
 * Reads go through a queue. If the kernel allows it (disk_ring.h), several are in flight at a time; else each one is
 * done when it is asked for. The bytes, and the errors, are the same in both cases. */
#ifndef BASE_DISK_FILE_H
#define BASE_DISK_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/file_map.h"

enum { CM_DISK_BLOCK = 4096 };

struct disk_file {
    int  file;   /* the descriptor of the file map, which the map closes */
    int  direct; /* a second descriptor, for O_DIRECT; -1 = there is none */
};

/* Opens the file of an open map; the map must outlive it. */
void cm_disk_file_open(const struct file_map *map, bool is_direct, struct disk_file *out);
void cm_disk_file_close(struct disk_file *file);

/* The size that a buffer must have for a read of n_bytes. */
static inline size_t cm_disk_buffer_bytes(size_t n_bytes) { return n_bytes + 2 * CM_DISK_BLOCK; }

struct disk_read {
    const struct disk_file *file;
    uint64_t                offset;
    size_t                  n_bytes;
    void                   *buffer;  /* aligned to CM_DISK_BLOCK; belongs to the queue until the read is handed back */
    /* set when the read is handed back */
    const uint8_t          *found;   /* where in the buffer the bytes are                                   */
    int                     failure; /* 0, an errno, or CM_FILE_ENDED if the file has become too short      */
    struct disk_read       *next;    /* used by the queue                                                   */
};

struct disk_ring;
struct disk_queue { /* for one thread; if it is zeroed, it works without a ring */
    struct disk_ring *ring;
    int               n_in_flight;
    struct disk_read *done; /* reads that are done but not yet handed back */
};

/* Opens a queue for at most n_at_once reads that are not yet handed back. It works in any case; the result is 0, or the
 * errno because of which it has only one read in flight at a time (cm_disk_ring_open()). */
int  cm_disk_queue_open(struct disk_queue *queue, int n_at_once);
void cm_disk_queue_close(struct disk_queue *queue); /* after all reads are handed back; a zeroed one is fine */

/* Asks for a read, whose struct must stay where it is until it is handed back. */
void              cm_disk_queue_ask(struct disk_queue *queue, struct disk_read *read);
/* Hands back a read that has ended, in any order; waits until there is one. NULL: none is left. */
struct disk_read *cm_disk_queue_take(struct disk_queue *queue);

/* For tests: of the reads that are asked for from now on, the nth (1 = the next) and the n_times - 1 after it fail with
 * this error. */
void cm_disk_fail(long nth, long n_times, int error);

#endif
