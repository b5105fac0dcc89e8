/* node_memory.c - memory that lies on a chosen node. */
#include "base/node_memory.h"

#include <assert.h>
#include <errno.h>
#include <hwloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/memory.h"

enum {
    HUGE_PAGE_BYTES = 2 << 20,
    MIN_HUGE_BYTES = 4 << 20, /* smaller blocks would gain little from huge pages */
    PAGES_AT_ONCE = 1024      /* asked about in one call of the system            */
};

static void *map_pages(size_t n_bytes, bool is_sparse)
{
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | (is_sparse ? MAP_NORESERVE : 0);
    void *bytes = mmap(NULL, n_bytes, PROT_READ | PROT_WRITE, flags, -1, 0);
    return bytes == MAP_FAILED ? NULL : bytes;
}

/* Maps n_bytes, in whole pages, from a huge page's boundary on: maps more than that, and unmaps the ends. */
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

/* ---- what a node can give ---- */

/* The number after "Node 1 NAME:", in kilobytes; 0 if there is none. */
static uint64_t bytes_of_row(const char *text, const char *name)
{
    const char *at = strstr(text, name);
    return at ? strtoull(at + strlen(name), NULL, 10) * 1024 : 0;
}

uint64_t cm_room_of_meminfo(const char *text)
{
    const uint64_t total = bytes_of_row(text, " MemTotal:"), gib = UINT64_C(1) << 30;
    if (total == 0) return UINT64_MAX;
    const uint64_t kept = total / 16 < gib ? total / 16 : gib; /* for the kernel's watermarks and its own growth */
    const uint64_t given = bytes_of_row(text, " MemFree:") + bytes_of_row(text, " Active(file):") +
                           bytes_of_row(text, " Inactive(file):");
    return given > kept ? given - kept : 0;
}

uint64_t cm_node_room(const struct topology *topology, int node)
{
    char path[64], text[4096];
    if (!topology->is_this_machine) return UINT64_MAX;
    snprintf(path, sizeof path, "/sys/devices/system/node/node%u/meminfo", topology->nodes[node].os_index);
    FILE *file = fopen(path, "re");
    if (!file) return UINT64_MAX;
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    return cm_room_of_meminfo(text);
}

/* ---- blocks ---- */

/* Binds before the first page is touched, so that no page has to be moved. */
static bool bind_block(struct calmoe_context *ctx, const struct topology *topology,
                       const struct node_block *block, bool is_strict)
{
    hwloc_topology_t machine = topology->hwloc;
    const unsigned   os_index = topology->nodes[block->node].os_index;
    hwloc_obj_t      node = hwloc_get_numanode_obj_by_os_index(machine, os_index);
    if (node && hwloc_set_area_membind(machine, block->bytes, block->n_mapped, node->nodeset,
                                       HWLOC_MEMBIND_BIND,
                                       HWLOC_MEMBIND_BYNODESET | (is_strict ? HWLOC_MEMBIND_STRICT : 0)) == 0)
        return true;

    /* This is logged once for each topology, not for each of thousands of blocks. */
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

    const bool is_bound = topology->is_this_machine && topology->n_nodes > 1;
    if (is_bound && !is_sparse) {
        const uint64_t room = cm_node_room(topology, node);
        if (n_bytes > room)
            return cm_fail(ctx, CALMOE_NO_MEMORY,
                           "no memory on node %u: %zu bytes are wanted, %llu of its %llu can be had",
                           topology->nodes[node].os_index, n_bytes, (unsigned long long)room,
                           (unsigned long long)topology->nodes[node].memory_bytes);
    }
    if (topology->is_this_machine && !is_sparse && n_bytes >= CM_LARGE_BYTES)
        CM_TRY(cm_memory_check(ctx, n_bytes, "a block of a memory node"));
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
    if (!bytes) {
        char reason[200];
        cm_mapping_reason(cm_limits_root(), n_bytes, reason, sizeof reason);
        return cm_fail(ctx, CALMOE_NO_MEMORY, "no memory on node %u: %zu bytes%s", topology->nodes[node].os_index,
                       n_bytes, reason);
    }

    *out = (struct node_block){.bytes = bytes, .n_bytes = n_bytes, .n_mapped = n_mapped, .node = node};
    cm_count_block(+1);
    if (is_bound) out->is_bound = bind_block(ctx, topology, out, !is_sparse);
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

void cm_node_block_empty(const struct node_block *block, size_t begin, size_t n_bytes)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), from = (begin + page - 1) / page * page;
    const size_t end = (begin + n_bytes) / page * page;
    if (from < end) madvise((unsigned char *)block->bytes + from, end - from, MADV_DONTNEED);
}

void cm_node_block_close(struct node_block *block)
{
    if (block->bytes) {
        munmap(block->bytes, block->n_mapped);
        cm_count_block(-1);
    }
    *block = (struct node_block){0};
}

/* ---- where pages are ---- */

/* nodes[i]: the system's number of the node of page i, negative where it was never touched. */
static bool find_pages(void **pages, size_t n_pages, int *nodes)
{
#ifdef SYS_move_pages
    return syscall(SYS_move_pages, 0, (unsigned long)n_pages, pages, NULL, nodes, 0) == 0;
#else
    (void)pages, (void)n_pages, (void)nodes;
    return false;
#endif
}

bool cm_node_block_check(const struct topology *topology, const struct node_block *block, struct node_pages *out)
{
    const size_t page_bytes = (size_t)sysconf(_SC_PAGESIZE), n_pages = block->n_mapped / page_bytes;
    const int    wanted = block->bytes ? (int)topology->nodes[block->node].os_index : -1;
    void        *pages[PAGES_AT_ONCE];
    int          nodes[PAGES_AT_ONCE];
    *out = (struct node_pages){.elsewhere = -1};
    if (!topology->is_this_machine) return false;
    for (size_t done = 0; done < n_pages; done += PAGES_AT_ONCE) {
        const size_t n = n_pages - done < PAGES_AT_ONCE ? n_pages - done : PAGES_AT_ONCE;
        for (size_t i = 0; i < n; i++) pages[i] = (unsigned char *)block->bytes + (done + i) * page_bytes;
        if (!find_pages(pages, n, nodes)) return false;
        for (size_t i = 0; i < n; i++) {
            if (nodes[i] < 0) continue;
            out->n_touched++;
            if (nodes[i] == wanted) continue;
            out->n_elsewhere++;
            out->elsewhere = nodes[i];
        }
    }
    return true;
}
