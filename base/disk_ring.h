/* base/disk_ring.h - several reads of files in flight at a time, by the kernel's io_uring. The only liburing door.
 *
 * Whether there are rings is known when one is opened: the library may have been built without liburing, the kernel may
 * be too old, and containers often forbid them. Whoever opens one reads in another way then (disk_file.c). */
#ifndef BASE_DISK_RING_H
#define BASE_DISK_RING_H

#include <stddef.h>
#include <stdint.h>

struct disk_ring;

/* A ring for n reads at a time, n >= 1, which one thread at a time may use. Returns 0, or why there is none, as errno
 * says it: ENOSYS (no such thing in the kernel, or in this build), EPERM, ENOMEM … */
int  cm_disk_ring_open(unsigned n, struct disk_ring **out);
void cm_disk_ring_close(struct disk_ring **ring); /* no read is in flight; NULL is fine */

/* Begins to read n_bytes from offset on into `to`. what: which read it is, not NULL. Returns 0, or errno where the
 * kernel does not take it; nothing is in flight then. Fewer than n reads are. */
int   cm_disk_ring_begin(struct disk_ring *ring, int file, uint64_t offset, size_t n_bytes, void *to, void *what);
/* Waits for one of those in flight (one at least is), and answers which; *result: bytes read, or -errno. */
void *cm_disk_ring_end(struct disk_ring *ring, int64_t *result);

/* For tests: rings are refused with that error from now on; 0: none is. */
void cm_disk_ring_refuse(int error);

#endif
