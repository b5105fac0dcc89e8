/* base/limits.h - how much memory this process may use before the system kills it, and how much processor time before
 * the system pauses it.
 *
 * Limits come from control groups of version 1 and 2 (the process's own group and all that contain it), from resource
 * limits, and from the machine. Everything is read below the folder `root`, which is "" for this machine; tests use
 * folders with recorded files. Nothing here allocates through base/memory.h, which calls these functions itself. */
#ifndef BASE_LIMITS_H
#define BASE_LIMITS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

enum { CM_LIMIT_NAME = 200 };

/* The memory limit that would be reached first. */
struct memory_room {
    uint64_t limit;     /* bytes                                                                      */
    uint64_t used;      /* bytes in use; without cached pages of files, which the system gives back when needed */
    uint64_t room;      /* bytes that are left; UINT64_MAX if no limit is known                       */
    uint64_t swap;      /* further bytes that could go to swap                                        */
    char     name[CM_LIMIT_NAME]; /* "memory.max of the control group /a/b"; "" if no limit is known  */
};

/* Finds the memory limit with the least room, counting swap. */
void cm_memory_room(const char *root, struct memory_room *out);
/* The lowest memory limit of the control groups in bytes, no matter how much is used; 0 if there is none. */
uint64_t cm_memory_limit(const char *root);

/* Checks whether n_bytes of new pages would fit. NO_MEMORY: they certainly do not; the sentence begins "no memory for
 * <what>" and names the limit, what is needed and what is left. */
calmoe_status cm_room_check(struct calmoe_context *ctx, const struct memory_room *room, uint64_t n_bytes,
                            const char *what);
/* The present room on this machine, and the check against it. */
void          cm_limits_room(struct memory_room *out);
calmoe_status cm_memory_check(struct calmoe_context *ctx, uint64_t n_bytes, const char *what);
/* For tests: from now on these two functions, and topologies of this machine, look for limits below `root`, a text that
 * must stay valid; NULL ends that. */
void          cm_limits_pretend(const char *root);
const char   *cm_limits_root(void); /* "" or the root of the tests */

/* Writes why the system may have refused, or will refuse, to map n_bytes more: "; RLIMIT_AS is 1.0 GiB, of which 900.0
 * MiB are used". The limits of address space, of data segments and of promised memory (overcommit) are checked. "" if
 * none of them is that low. */
void cm_mapping_reason(const char *root, uint64_t n_bytes, char *out, size_t n_out);

/* Processor time that the process may use, in processors, by the tightest quota of its control groups: 1.5 = 1.5
 * seconds of processor time in a second. 0 if there is no quota; else *name names it. */
double cm_cpu_quota(const char *root, char name[CM_LIMIT_NAME]);
/* The number of threads that uses a quota best on a machine with n_cores: the quota rounded to the nearest whole number
 * (a half is rounded up), at least 1. With more threads, some are paused in the middle of their work; with fewer, time
 * is left unused (docs/PERFORMANCE.md has figures). */
int cm_quota_threads(double quota, int n_cores);

/* The number of threads that the process may still start, by its control groups; UINT64_MAX if they set no limit, else
 * *name names it. */
uint64_t cm_thread_room(const char *root, char name[CM_LIMIT_NAME]);

/* Writes a size for people: "22.6 MiB". */
const char *cm_bytes_text(uint64_t n_bytes, char text[32]);

#endif
