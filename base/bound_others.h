/* base/bound_others.h - is a core already somebody's? Threads of other programs that are bound to one core, and work
 * there, cannot get out of the way: who binds a thread of its own to the same core halves both. */
#ifndef BASE_BOUND_OTHERS_H
#define BASE_BOUND_OTHERS_H

#include <stdbool.h>

#include "base/topology.h"

enum { CM_OTHER_NAME = 112 };

/* Is a thread of another process bound to one of these cores, and has it worked for a quarter of its life, or does it
 * just now? ours (n_cores): 1 for each of the topology's cores that is asked for. Bound means that the system lets it
 * run on at most two hardware threads, and not on all that there are. Then who tells of it: "process 123 (name), which
 * is bound to core 1"; else it is "". The system's own threads do not count. What cannot be read does not, either, so
 * in a container this sees the container only. Everything is read below the folder root, "" is this machine. */
bool cm_another_is_bound(const char *root, const struct topology *topology, const bool *ours,
                         char who[CM_OTHER_NAME]);

#endif
