/* base/limits.h - what the system lets this process have: memory, before it is killed, and processor time, before it is
 * stopped for a while.
 *
 * Limits come from control groups of either version, where each group round the process's own counts, too; from
 * resource limits; and from the machine. Everything is read below the folder `root`: "" is this machine, and tests put
 * recorded files into another. Nothing here takes memory of base/memory.h, which asks here first. */
#ifndef BASE_LIMITS_H
#define BASE_LIMITS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

enum { CM_LIMIT_NAME = 200 };

/* The limit that is met first when pages are written. */
struct memory_room {
    uint64_t limit;     /* bytes                                                                      */
    uint64_t used;      /* of it; without the pages of files, which the system gives back             */
    uint64_t room;      /* what is left; UINT64_MAX where no limit is known                           */
    uint64_t swap;      /* pages beyond the room that may go to swap instead                          */
    char     name[CM_LIMIT_NAME]; /* "memory.max of the control group /a/b"; "" where none is known   */
};

/* Of all memory limits the one with the least room, swap counted. */
void cm_memory_room(const char *root, struct memory_room *out);
/* The least memory limit of the control groups, in bytes, whatever is used of it; 0 where there is none. */
uint64_t cm_memory_limit(const char *root);

/* Will n_bytes of pages, written now, fit? NO_MEMORY: they surely do not; the sentence begins "no memory for <what>"
 * and names the limit, what is needed and what was found. */
calmoe_status cm_room_check(struct calmoe_context *ctx, const struct memory_room *room, uint64_t n_bytes,
                            const char *what);
/* The room that there is now on this machine, and the check with it. */
void          cm_limits_room(struct memory_room *out);
calmoe_status cm_memory_check(struct calmoe_context *ctx, uint64_t n_bytes, const char *what);
/* For tests: from now on these two, and topologies of this machine, find limits below root, which must stay; NULL = as
 * they are. */
void          cm_limits_pretend(const char *root);
const char   *cm_limits_root(void); /* "" or the pretended one */

/* Why the system may have refused to map n_bytes more, or will: "; RLIMIT_AS is 1.0 GiB, of which 900.0 MiB are used",
 * of the address space, of data, or of what the system promises (overcommit). "" where none of them is that small. */
void cm_mapping_reason(const char *root, uint64_t n_bytes, char *out, size_t n_out);

/* Processors' worth of time that the process may use, by the tightest quota of its control groups: 1.5 = so many
 * seconds a second. 0 where there is no quota; else *name says which it is. */
double cm_cpu_quota(const char *root, char name[CM_LIMIT_NAME]);
/* How many threads use a quota best, of n_cores that there are: the nearest whole number, a half up, 1 at least. More
 * threads are stopped in the middle of their work; fewer leave time unused (docs/PERFORMANCE.md has figures). */
int cm_quota_threads(double quota, int n_cores);

/* Threads that the process may still start, by its control groups; UINT64_MAX where they say nothing, else *name says
 * which it is. */
uint64_t cm_thread_room(const char *root, char name[CM_LIMIT_NAME]);

/* "22.6 MiB" */
const char *cm_bytes_text(uint64_t n_bytes, char text[32]);

#endif
