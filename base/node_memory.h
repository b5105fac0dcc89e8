/* base/node_memory.h - memory for weights, asked for by node. The second hwloc door.
 *
 * Large blocks come straight from the system, page-aligned, with huge pages where there are. On a
 * machine with one node nothing is bound; on one with several the block is bound strictly, and a
 * system that refuses is told in one sentence (log) and runs on unbound.
 *
 * Where a strictly bound page finds no memory on its node, Linux kills the process, even inside
 * madvise(MADV_POPULATE_WRITE); so a block for which the node has no room is refused before it is bound. */
#ifndef BASE_NODE_MEMORY_H
#define BASE_NODE_MEMORY_H

#include "base/topology.h"

struct node_block {
    void  *bytes;    /* NULL when closed */
    size_t n_bytes;  /* as asked         */
    size_t n_mapped; /* as mapped        */
    int    node;
    bool   is_bound; /* the system accepted the binding */
};

/* Zeroed memory. topology must outlive the block. NO_MEMORY says node and bytes; the node's room is asked for
 * blocks that were not touched yet, too, so touch one before opening the next on its node. */
calmoe_status cm_node_block_open(struct calmoe_context *ctx, const struct topology *topology,
                                 int node, size_t n_bytes, struct node_block *out);
/* The same for memory that is written bit by bit, such as a cache that grows: small pages, which the
 * system gives only when they are touched, in the middle of a step, which cannot fail. So the node is only
 * preferred: a page that it has no room for comes from another. */
calmoe_status cm_node_block_open_sparse(struct calmoe_context *ctx, const struct topology *topology,
                                        int node, size_t n_bytes, struct node_block *out);
/* Asks the system for huge pages from byte `begin` on, in a sparse block whose further part is written densely. */
void          cm_node_block_prefer_huge(const struct node_block *block, size_t begin);
/* Gives the pages of a sparse block that lie wholly in n_bytes from `begin` on back to the system; they are zeros
 * then. */
void          cm_node_block_empty(const struct node_block *block, size_t begin, size_t n_bytes);
void          cm_node_block_close(struct node_block *block); /* zeroes it; zeroed is fine */

struct node_pages { /* where a block's pages lie                                              */
    size_t n_touched;      /* pages that the system has given                                 */
    size_t n_elsewhere;    /* of them, on another node than the block's                       */
    int    elsewhere;      /* the system's number of the last one's node; -1 = there are none */
};
/* Asks the system, page by page; false where it does not say. */
bool cm_node_block_check(const struct topology *topology, const struct node_block *block, struct node_pages *out);

/* Bytes that the system can still give on a node: free ones and those of cached files, less what it keeps for
 * itself. UINT64_MAX where it does not say. */
uint64_t cm_node_room(const struct topology *topology, int node);
/* The same from the text of /sys/devices/system/node/nodeN/meminfo. */
uint64_t cm_room_of_meminfo(const char *text);

#endif
