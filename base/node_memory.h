/* base/node_memory.h - memory for weights, asked for by node. The second hwloc door.
 *
 * Large blocks come straight from the system, page-aligned, with huge pages where there are. On a
 * machine with one node nothing is bound; on one with several the block is bound strictly, and a
 * system that refuses is told in one sentence (log) and runs on unbound. */
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

/* Zeroed memory. topology must outlive the block. NO_MEMORY says node and bytes. */
calmoe_status cm_node_block_open(struct calmoe_context *ctx, const struct topology *topology,
                                 int node, size_t n_bytes, struct node_block *out);
/* The same for memory that is written bit by bit, such as a cache that grows: small pages, which the
 * system gives only when they are touched. */
calmoe_status cm_node_block_open_sparse(struct calmoe_context *ctx, const struct topology *topology,
                                        int node, size_t n_bytes, struct node_block *out);
/* Asks the system for huge pages from byte `begin` on, in a sparse block whose further part is written densely. */
void          cm_node_block_prefer_huge(const struct node_block *block, size_t begin);
void          cm_node_block_close(struct node_block *block); /* zeroes it; zeroed is fine */

#endif
