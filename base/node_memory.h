/* base/node_memory.h - memory for weights on a chosen memory node. Besides topology.h, the only user of hwloc.
 *
 * Large blocks come directly from the system, aligned to pages, with huge pages if there are any. If the machine has
 * several nodes, a block is bound strictly to its node; if the system refuses to bind, one sentence goes to the log and
 * the block is used unbound. With a single node nothing is bound.
 *
 * When a strictly bound page finds no memory on its node, Linux kills the process, even inside
 * madvise(MADV_POPULATE_WRITE). So a block for which the node has no room is refused before it is bound. */
#ifndef BASE_NODE_MEMORY_H
#define BASE_NODE_MEMORY_H

#include "base/topology.h"

struct node_block {
    void  *bytes;    /* NULL when closed */
    size_t n_bytes;  /* as requested     */
    size_t n_mapped; /* as mapped        */
    int    node;
    bool   is_bound; /* the system accepted the binding */
};

/* Opens a block of zeroed memory. topology must outlive the block. NO_MEMORY names the node and the bytes. Blocks that
 * were not touched yet do not lower the room that is found on a node; so touch a block before you open the next one on
 * its node. */
calmoe_status cm_node_block_open(struct calmoe_context *ctx, const struct topology *topology,
                                 int node, size_t n_bytes, struct node_block *out);
/* The same for memory that fills up gradually, such as a cache. It has small pages, which the system provides when they
 * are first touched; that happens in the middle of a step, which must not fail. So the node is only preferred, and
 * pages for which it has no room come from another one. */
calmoe_status cm_node_block_open_sparse(struct calmoe_context *ctx, const struct topology *topology,
                                        int node, size_t n_bytes, struct node_block *out);
/* Asks the system for huge pages from byte `begin` on, in a sparse block whose rest will be filled densely. */
void          cm_node_block_prefer_huge(const struct node_block *block, size_t begin);
/* Gives the pages of a sparse block that lie completely in the n_bytes from `begin` on back to the system; they then
 * read as zeros. */
void          cm_node_block_empty(const struct node_block *block, size_t begin, size_t n_bytes);
void          cm_node_block_close(struct node_block *block); /* zeroes it; zeroed is fine */

struct node_pages { /* where the pages of a block are                                         */
    size_t n_touched;      /* pages that the system has provided so far                       */
    size_t n_elsewhere;    /* of these, pages on another node than the block's                */
    int    elsewhere;      /* the system's number of the node of the last such page; -1 = there is none */
};
/* Asks the system about every page; false if it does not answer. */
bool cm_node_block_check(const struct topology *topology, const struct node_block *block, struct node_pages *out);

/* Bytes that the system can still provide on a node: free memory and cached files, minus its own reserve. UINT64_MAX if
 * it does not say. */
uint64_t cm_node_room(const struct topology *topology, int node);
/* The same from the text of /sys/devices/system/node/nodeN/meminfo. */
uint64_t cm_room_of_meminfo(const char *text);

#endif
