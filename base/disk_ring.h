/* base/disk_ring.h - several reads of files in flight at a time, through the kernel's io_uring. Only this file uses
 * liburing.
 *
 * Opening a ring may fail: the library may have been built without liburing, the kernel may be too old, and containers
 * often forbid io_uring. The caller then reads in another way (disk_file.c). */
#ifndef BASE_DISK_RING_H
#define BASE_DISK_RING_H

#include <stddef.h>
#include <stdint.h>

struct disk_ring;

/* Opens a ring for n reads at a time, n >= 1; only one thread at a time may use it. Returns 0, or an errno: ENOSYS (the
 * kernel or this build has no io_uring), EPERM, ENOMEM … */
int  cm_disk_ring_open(unsigned n, struct disk_ring **out);
void cm_disk_ring_close(struct disk_ring **ring); /* while no read is in flight; NULL is fine */

/* Begins to read n_bytes at offset into `to`; fewer than n reads must be in flight. `what`, not NULL, identifies the
 * read. Returns 0, or an errno if the kernel does not accept it; then it is not in flight. */
int   cm_disk_ring_begin(struct disk_ring *ring, int file, uint64_t offset, size_t n_bytes, void *to, void *what);
/* Waits for one of the reads in flight (there must be one), and returns its `what`; *result is the number of bytes
 * read, or -errno. */
void *cm_disk_ring_end(struct disk_ring *ring, int64_t *result);

/* For tests: from now on opening a ring fails with this error; 0: no longer. */
void cm_disk_ring_refuse(int error);

#endif
