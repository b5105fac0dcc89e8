/* base/bound_others.h - finds out whether a core is already used by a bound thread of another program. Such a thread
 * cannot move to another core: if we bound a thread to the same core, each of the two would get half of it. */
#ifndef BASE_BOUND_OTHERS_H
#define BASE_BOUND_OTHERS_H

#include <stdbool.h>

#include "base/topology.h"

enum { CM_OTHER_NAME = 112 };

/* Answers whether a thread of another process is bound to one of the cores marked in ours (n_cores; 1 for each of the
 * topology's cores that we want), and has been busy for at least a quarter of its life or is busy right now. Bound
 * means that the system lets it run on at most two hardware threads, and not on all that there are. If so, `who`
 * describes it, as in "process 123 (name), which is bound to core 1"; else it is "". The system's own threads do not
 * count. Processes that cannot be read do not count either, so inside a container only the container's are seen.
 * Everything is read below the folder `root`, which is "" for this machine. */
bool cm_another_is_bound(const char *root, const struct topology *topology, const bool *ours,
                         char who[CM_OTHER_NAME]);

#endif
