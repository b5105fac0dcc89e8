/* node_memory.c - memory that lies on a chosen node. */
#include "base/node_memory.h"

#include <assert.h>
#include <errno.h>
#include <hwloc.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/memory.h"

enum {
    HUGE_PAGE_BYTES = 2 << 20,
    MIN_HUGE_BYTES = 4 << 20 /* smaller blocks would gain little from huge pages */
};

static void *map_pages(size_t n_bytes, bool is_sparse)
{
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | (is_sparse ? MAP_NORESERVE : 0);
    void *bytes = mmap(NULL, n_bytes, PROT_READ | PROT_WRITE, flags, -1, 0);
    return bytes == MAP_FAILED ? NULL : bytes;
}

/* n_bytes, whole pages, that begin on a huge page's boundary: maps more and gives the ends back. */
static void *map_huge_pages(size_t n_bytes)
{
    unsigned char *bytes = map_pages(n_bytes + HUGE_PAGE_BYTES, false);
    if (!bytes) return NULL;
    const size_t before = -(uintptr_t)bytes % HUGE_PAGE_BYTES;
    const size_t behind = HUGE_PAGE_BYTES - before;
    if (before) munmap(bytes, before);
    if (behind) munmap(bytes + before + n_bytes, behind);
#ifdef MADV_HUGEPAGE
    madvise(bytes + before, n_bytes, MADV_HUGEPAGE);
#endif
    return bytes + before;
}

/* Binds before the first touch, so that no page has to move. */
static bool bind_block(struct calmoe_context *ctx, const struct topology *topology,
                       const struct node_block *block)
{
    hwloc_topology_t machine = topology->hwloc;
    const unsigned   os_index = topology->nodes[block->node].os_index;
    hwloc_obj_t      node = hwloc_get_numanode_obj_by_os_index(machine, os_index);
    if (node && hwloc_set_area_membind(machine, block->bytes, block->n_mapped, node->nodeset,
                                       HWLOC_MEMBIND_BIND,
                                       HWLOC_MEMBIND_BYNODESET | HWLOC_MEMBIND_STRICT) == 0)
        return true;

    /* Told once for a topology, not for each of thousands of blocks. */
    if (!hwloc_topology_get_userdata(machine))
        cm_log(ctx, "the system does not bind memory to node %u (%s); weights lie where it puts them",
               os_index, node ? strerror(errno) : "no such node");
    hwloc_topology_set_userdata(machine, machine);
    return false;
}

static calmoe_status open_block(struct calmoe_context *ctx, const struct topology *topology, int node,
                                size_t n_bytes, bool is_sparse, struct node_block *out)
{
    assert(node >= 0 && node < topology->n_nodes);
    *out = (struct node_block){0};

    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const size_t n_wanted = n_bytes ? n_bytes : 1;
    size_t       n_mapped;
    void        *bytes = NULL;
    if (!cm_request_fails() && cm_add(n_wanted, page - 1, &n_mapped) &&
        n_mapped <= PTRDIFF_MAX - HUGE_PAGE_BYTES) {
        n_mapped -= n_mapped % page;
        bytes = n_mapped >= MIN_HUGE_BYTES && !is_sparse ? map_huge_pages(n_mapped)
                                                         : map_pages(n_mapped, is_sparse);
    }
    if (!bytes)
        return cm_fail(ctx, CALMOE_NO_MEMORY, "no memory on node %u: %zu bytes",
                       topology->nodes[node].os_index, n_bytes);

    *out = (struct node_block){.bytes = bytes, .n_bytes = n_bytes, .n_mapped = n_mapped, .node = node};
    cm_count_block(+1);
    if (topology->is_this_machine && topology->n_nodes > 1)
        out->is_bound = bind_block(ctx, topology, out);
    return CALMOE_OK;
}

calmoe_status cm_node_block_open(struct calmoe_context *ctx, const struct topology *topology,
                                 int node, size_t n_bytes, struct node_block *out)
{
    return open_block(ctx, topology, node, n_bytes, false, out);
}

calmoe_status cm_node_block_open_sparse(struct calmoe_context *ctx, const struct topology *topology,
                                        int node, size_t n_bytes, struct node_block *out)
{
    return open_block(ctx, topology, node, n_bytes, true, out);
}

void cm_node_block_prefer_huge(const struct node_block *block, size_t begin)
{
#ifdef MADV_HUGEPAGE
    const size_t from = (begin + HUGE_PAGE_BYTES - 1) / HUGE_PAGE_BYTES * HUGE_PAGE_BYTES;
    if (from < block->n_mapped) madvise((unsigned char *)block->bytes + from, block->n_mapped - from, MADV_HUGEPAGE);
#else
    (void)block;
    (void)begin;
#endif
}

void cm_node_block_close(struct node_block *block)
{
    if (block->bytes) {
        munmap(block->bytes, block->n_mapped);
        cm_count_block(-1);
    }
    *block = (struct node_block){0};
}
