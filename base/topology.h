/* base/topology.h - the machine as plain data: memory nodes and the cores near them.
 * One of the two hwloc doors (the other: node_memory.h). */
#ifndef BASE_TOPOLOGY_H
#define BASE_TOPOLOGY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

enum { CM_MAX_NODES = 64, CM_MAX_CORES = 4096 };

struct topology_node {
    unsigned os_index;      /* the system's number of the node                                 */
    uint64_t memory_bytes;  /* local memory                                                    */
    int      n_cores;       /* 0 for a memory-only node                                        */
    int      first_core;    /* into topology.cores                                             */
    int      served_by;     /* the node whose cores are nearest: itself where it has cores     */
    double   bandwidth;     /* bytes/s that those cores read from it; see is_bandwidth_known   */
    uint64_t cache_bytes;   /* of the last-level caches round its cores; 0 where none is shown */
};

struct topology_core {
    unsigned os_pu; /* the system's number of the core's first usable hardware thread */
    int      node;  /* into topology.nodes                                            */
    int      cache; /* which of the last-level caches is round it; -1: none is shown  */
};

struct topology {
    bool                  is_this_machine; /* false: synthetic or recorded; nothing can be bound */
    int                   n_nodes;
    int                   n_cores;         /* that this process may use (cpusets respected)       */
    bool                  is_memory_known; /* false: a description that names no memory; the nodes'
                                              memory_bytes are then hwloc's default and mean nothing */
    bool                  is_bandwidth_known; /* false: bandwidths are only relative, one unit for each core;
                                              of a memory-only node half of what its cores' node has */
    uint64_t              memory_limit;    /* of the process's control groups, bytes; 0 = none     */
    double                cpu_quota;       /* processors' worth of time that they allow; 0 = any   */
    struct topology_node  nodes[CM_MAX_NODES];
    struct topology_core *cores;           /* (n_cores), grouped by node                           */
    void                 *hwloc;           /* the door's own; nobody else looks                    */
};

/* spec: NULL = this machine; an hwloc synthetic string such as "numa:2 core:4 pu:1" ("node:2 …" is the same;
 * "numa:2(memory=64GiB) …" says how much memory a node has); or the path of an exported XML (ends in
 * ".xml"). Nodes with neither memory nor usable cores are left out. A core
 * near several nodes goes to the closest, of equals to the first; one that belongs to no node goes
 * to the nearest with memory. INVALID_ARGUMENT: spec is nonsense; IO: no such XML; UNSUPPORTED: more
 * nodes or cores than the maxima; SYSTEM: this machine does not show itself. */
calmoe_status cm_topology_open(struct calmoe_context *ctx, const char *spec, struct topology *out);
void          cm_topology_close(struct topology *topology); /* zeroes it; a zeroed one is fine */

/* Sets what nodes read, in GB/s (10^9 bytes), from a text "0:40,1:20" (node:GB/s; the others keep what they
 * have, which must then be known) or "40" (every node). INVALID_ARGUMENT, and nothing changes, where the
 * text is anything else. */
calmoe_status cm_topology_set_bandwidth(struct calmoe_context *ctx, struct topology *topology, const char *text);

/* Where the calling thread may run; for team.c. They answer false where nothing can be bound: a
 * topology that is not this machine's, or a system that refuses. */
struct thread_mask {
    void *hwloc; /* the door's own; NULL when closed */
};
calmoe_status cm_thread_mask_open(struct calmoe_context *ctx, struct thread_mask *out);
void          cm_thread_mask_close(struct thread_mask *mask); /* zeroes it; a zeroed one is fine */
bool          cm_thread_mask_save(const struct topology *topology, struct thread_mask *mask);
bool          cm_thread_mask_apply(const struct topology *topology, const struct thread_mask *mask);
bool          cm_topology_bind_thread(const struct topology *topology, int core);
/* mask: the cores of a node, for cm_thread_mask_apply(); false where they cannot be told. */
bool          cm_thread_mask_of_node(const struct topology *topology, int node, struct thread_mask *mask);
/* The calling thread runs on that core now. */
bool          cm_topology_is_on_core(const struct topology *topology, int core);

#endif
