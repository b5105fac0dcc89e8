/* base/topology.h - the machine as plain data: its memory nodes and the cores near them. Only topology.c and
 * node_memory.c use hwloc. */
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
    int      first_core;    /* index of its first core in topology.cores                       */
    int      served_by;     /* the node whose cores are nearest to its memory: itself if it has cores */
    double   bandwidth;     /* bytes/s that these cores can read from it; see is_bandwidth_known */
    uint64_t cache_bytes;   /* size of its cores' last-level caches; 0 if the system shows none */
};

struct topology_core {
    unsigned os_pu; /* the system's number of the core's first usable hardware thread */
    int      node;  /* index into topology.nodes                                      */
    int      cache; /* number of its last-level cache; -1: the system shows none      */
};

struct topology {
    bool                  is_this_machine; /* false: synthetic or recorded; nothing can be bound */
    int                   n_nodes;
    int                   n_cores;         /* cores that this process may use (cpusets are respected) */
    bool                  is_memory_known; /* false: the description names no memory, and the nodes' memory_bytes are
                                              a meaningless default of hwloc's                       */
    bool                  is_bandwidth_known; /* false: bandwidths are only relative: one unit for each core; a
                                                 memory-only node has half as much as the node that serves it */
    uint64_t              memory_limit;    /* memory limit of the process's control groups in bytes; 0 = none */
    double                cpu_quota;       /* their quota of processor time, in processors; 0 = none */
    struct topology_node  nodes[CM_MAX_NODES];
    struct topology_core *cores;           /* (n_cores), grouped by node                           */
    void                 *hwloc;           /* hwloc's handle; only topology.c and node_memory.c look at it */
};

/* Describes a machine. spec: NULL = this machine; or an hwloc synthetic string such as "numa:2 core:4 pu:1" ("node:2 …"
 * means the same; "numa:2(memory=64GiB) …" says how much memory each node has); or the path of an exported XML file,
 * which ends in ".xml". Nodes with neither memory nor usable cores are left out. A core near several nodes belongs to
 * the closest one, of equal ones to the first; a core without a node belongs to the nearest node with memory.
 * INVALID_ARGUMENT: spec makes no sense; IO: there is no such XML file; UNSUPPORTED: there are more nodes or cores than
 * the maxima; SYSTEM: this machine cannot be examined. */
calmoe_status cm_topology_open(struct calmoe_context *ctx, const char *spec, struct topology *out);
void          cm_topology_close(struct topology *topology); /* zeroes it; a zeroed one is fine */

/* Sets the nodes' bandwidths in GB/s (10^9 bytes) from a text: "0:40,1:20" (node:GB/s; other nodes keep theirs, which
 * must be known) or "40" (for every node). INVALID_ARGUMENT for any other text; then nothing changes. */
calmoe_status cm_topology_set_bandwidth(struct calmoe_context *ctx, struct topology *topology, const char *text);

/* Sets of cores on which the calling thread may run; for team.c. The functions that return bool answer false if nothing
 * can be bound: the topology is not this machine's, or the system refuses. */
struct thread_mask {
    void *hwloc; /* hwloc's handle; NULL when closed */
};
calmoe_status cm_thread_mask_open(struct calmoe_context *ctx, struct thread_mask *out);
void          cm_thread_mask_close(struct thread_mask *mask); /* zeroes it; a zeroed one is fine */
bool          cm_thread_mask_save(const struct topology *topology, struct thread_mask *mask);
bool          cm_thread_mask_apply(const struct topology *topology, const struct thread_mask *mask);
bool          cm_topology_bind_thread(const struct topology *topology, int core);
/* mask becomes the cores of a node, for cm_thread_mask_apply(); false if they are not known. */
bool          cm_thread_mask_of_node(const struct topology *topology, int node, struct thread_mask *mask);
/* Whether the calling thread runs on that core at this moment. */
bool          cm_topology_is_on_core(const struct topology *topology, int core);

#endif
