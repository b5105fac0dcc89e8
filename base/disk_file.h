/* base/disk_file.h - a file whose pieces are read again and again, past the system's cache where that is wanted and the
 * file system takes it (O_DIRECT). What such reads want, whole blocks at aligned addresses, is done here.
 *
 * Reads are asked for through a queue, which has several in flight at a time where the kernel offers that
 * (disk_ring.h); else each is done when it is asked for. What is read, and which reads fail with which error, is the
 * same both ways. */
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

struct disk_read {
    const struct disk_file *file;
    uint64_t                offset;
    size_t                  n_bytes;
    void                   *buffer;  /* aligned to CM_DISK_BLOCK; the queue's until the read is handed back */
    /* set when it is handed back */
    const uint8_t          *found;   /* where in the buffer the bytes lie                                   */
    int                     failure; /* 0, what errno would say, or CM_FILE_ENDED where the file has no such
                                        bytes any more                                                      */
    struct disk_read       *next;    /* the queue's                                                         */
};

struct disk_ring;
struct disk_queue { /* of one thread; zeroed: without a ring */
    struct disk_ring *ring;
    int               n_in_flight;
    struct disk_read *done; /* asked for, done, and not handed back */
};

/* Returns 0, or why the queue has one read at a time only (cm_disk_ring_open()). n_at_once: the most that will be asked
 * for before one is handed back. */
int  cm_disk_queue_open(struct disk_queue *queue, int n_at_once);
void cm_disk_queue_close(struct disk_queue *queue); /* all are handed back; zeroed is fine */

/* The read must stay where it is until it is handed back. */
void              cm_disk_queue_ask(struct disk_queue *queue, struct disk_read *read);
/* A read that has ended, in any order; waits for one. NULL: all were handed back. */
struct disk_read *cm_disk_queue_take(struct disk_queue *queue);

/* For tests: of all reads asked for from now on the n-th (1 = the next) and n_times - 1 behind it fail with that
 * error. */
void cm_disk_fail(long nth, long n_times, int error);

#endif
