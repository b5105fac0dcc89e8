/* topology.c - reads the machine, or the description of one, through hwloc. */
#include "base/topology.h"

#include <assert.h>
#include <errno.h>
#include <hwloc.h>
#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/memory.h"

static bool ends_in(const char *text, const char *ending)
{
    const size_t length = strlen(text);
    const size_t n_ending = strlen(ending);
    return length >= n_ending && strcmp(text + length - n_ending, ending) == 0;
}

/* Tells hwloc what to look at, and starts its discovery. */
static calmoe_status load(struct calmoe_context *ctx, const char *spec, hwloc_topology_t machine)
{
    if (!spec) {
        if (hwloc_topology_load(machine) != 0)
            return cm_fail(ctx, CALMOE_SYSTEM, "the system does not show its topology: %s",
                           strerror(errno));
        return CALMOE_OK;
    }
    if (ends_in(spec, ".xml")) {
        if (access(spec, R_OK) != 0)
            return cm_fail(ctx, CALMOE_IO, "cannot open '%s': %s", spec, strerror(errno));
        if (hwloc_topology_set_xml(machine, spec) != 0 || hwloc_topology_load(machine) != 0)
            return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "'%s' is not an hwloc topology in XML",
                           spec);
        return CALMOE_OK;
    }
    if (hwloc_topology_set_synthetic(machine, spec) != 0 || hwloc_topology_load(machine) != 0)
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT,
                       "topology '%s' is neither an hwloc description such as"
                       " \"numa:2 core:4 pu:1\" nor the path of an .xml file",
                       spec);
    return CALMOE_OK;
}

/* The hardware threads that the calling thread may use. */
static hwloc_bitmap_t usable_pus(hwloc_topology_t machine)
{
    hwloc_bitmap_t usable = hwloc_bitmap_dup(hwloc_topology_get_allowed_cpuset(machine));
    if (!usable || !hwloc_topology_is_thissystem(machine)) return usable;

    hwloc_bitmap_t bound = hwloc_bitmap_alloc();
    if (bound && hwloc_get_cpubind(machine, bound, HWLOC_CPUBIND_THREAD) == 0 &&
        hwloc_bitmap_intersects(bound, usable))
        hwloc_bitmap_and(usable, usable, bound);
    hwloc_bitmap_free(bound);
    return usable;
}

/* The node nearest to a hardware thread that has no node around it: of the nodes with memory, the one that shares most
 * of the thread's branch of the tree. Returns a logical index; 0 if there is none. */
static int nearest_node(hwloc_topology_t machine, hwloc_obj_t pu)
{
    int         nearest = 0, nearest_depth = -1;
    hwloc_obj_t node = NULL;
    while ((node = hwloc_get_next_obj_by_type(machine, HWLOC_OBJ_NUMANODE, node))) {
        if (node->attr->numanode.local_memory == 0) continue;
        hwloc_obj_t branch = node;
        while (hwloc_obj_type_is_memory(branch->type)) branch = branch->parent;
        const int depth = hwloc_get_common_ancestor_obj(machine, branch, pu)->depth;
        if (depth > nearest_depth) {
            nearest = (int)node->logical_index;
            nearest_depth = depth;
        }
    }
    return nearest;
}

/* The logical index of a hardware thread's node. A node without cores of its own may claim all cores of the machine; so
 * of several nodes around a thread, the smallest is taken, of equal ones the first. */
static int node_of_pu(hwloc_topology_t machine, hwloc_obj_t pu)
{
    int         best = -1, best_pus = 0;
    hwloc_obj_t node = NULL;
    while ((node = hwloc_get_next_obj_by_type(machine, HWLOC_OBJ_NUMANODE, node))) {
        if (!hwloc_bitmap_isset(node->cpuset, pu->os_index)) continue;
        const int n_pus = hwloc_bitmap_weight(node->cpuset);
        if (best < 0 || n_pus < best_pus) {
            best = (int)node->logical_index;
            best_pus = n_pus;
        }
    }
    return best >= 0 ? best : nearest_node(machine, pu);
}

/* Counts the usable cores: those with at least one usable hardware thread (or the usable hardware threads, if the
 * system shows no cores). If cores is not NULL, it has room for all of them, and gets them in the machine's order with
 * the logical indices of their nodes. */
static int list_cores(hwloc_topology_t machine, hwloc_const_bitmap_t usable,
                      struct topology_core *cores)
{
    int         n_cores = 0;
    hwloc_obj_t pu = NULL, last_core = NULL;
    while ((pu = hwloc_get_next_obj_by_type(machine, HWLOC_OBJ_PU, pu))) {
        if (!hwloc_bitmap_isset(usable, pu->os_index)) continue;
        hwloc_obj_t core = hwloc_get_ancestor_obj_by_type(machine, HWLOC_OBJ_CORE, pu);
        if (core && core == last_core) continue;
        last_core = core;
        if (cores)
            cores[n_cores] = (struct topology_core){.os_pu = pu->os_index,
                                                    .node = node_of_pu(machine, pu)};
        n_cores++;
    }
    return n_cores;
}

/* Appends the cores of one node to those in out. Returns how many there are. */
static int take_cores(struct topology *out, const struct topology_core *cores, int n_cores, int node)
{
    int n_taken = 0;
    for (int core = 0; core < n_cores; core++) {
        if (cores[core].node != node) continue;
        out->cores[out->n_cores + n_taken] =
            (struct topology_core){.os_pu = cores[core].os_pu, .node = out->n_nodes};
        n_taken++;
    }
    return n_taken;
}

static calmoe_status add_node(struct calmoe_context *ctx, struct topology *out, unsigned os_index,
                              uint64_t memory_bytes, int n_cores)
{
    if (n_cores == 0 && memory_bytes == 0) return CALMOE_OK;
    if (out->n_nodes == CM_MAX_NODES)
        return cm_fail(ctx, CALMOE_UNSUPPORTED,
                       "the topology has more than %d memory nodes; calmoe runs on up to %d",
                       CM_MAX_NODES, CM_MAX_NODES);
    out->nodes[out->n_nodes++] = (struct topology_node){.os_index = os_index,
                                                        .memory_bytes = memory_bytes,
                                                        .n_cores = n_cores,
                                                        .first_core = out->n_cores};
    out->n_cores += n_cores;
    return CALMOE_OK;
}

/* Fills nodes and cores of out, whose cores have room for n_cores, from the list in machine order. */
static calmoe_status group_by_node(struct calmoe_context *ctx, hwloc_topology_t machine,
                                   const struct topology_core *cores, int n_cores,
                                   struct topology *out)
{
    hwloc_obj_t node = NULL;
    while ((node = hwloc_get_next_obj_by_type(machine, HWLOC_OBJ_NUMANODE, node))) {
        const int n_taken = take_cores(out, cores, n_cores, (int)node->logical_index);
        CM_TRY(add_node(ctx, out, node->os_index, node->attr->numanode.local_memory, n_taken));
    }
    if (out->n_nodes == 0) /* the system shows no nodes: assume one, with all cores */
        CM_TRY(add_node(ctx, out, 0, 0, take_cores(out, cores, n_cores, 0)));

    if (out->n_nodes == 1 && out->nodes[0].memory_bytes == 0 && out->is_this_machine) {
        const long n_pages = sysconf(_SC_PHYS_PAGES), page_bytes = sysconf(_SC_PAGESIZE);
        if (n_pages > 0 && page_bytes > 0)
            out->nodes[0].memory_bytes = (uint64_t)n_pages * (uint64_t)page_bytes;
    }
    return CALMOE_OK;
}

/* ---- what the nodes can do ---- */

/* hwloc's object for a node of our list. */
static hwloc_obj_t object_of(hwloc_topology_t machine, const struct topology_node *node)
{
    return hwloc_get_numanode_obj_by_os_index(machine, node->os_index);
}

/* The node with cores that a memory-only node is nearest to: the first one with a core in its cpuset, else the first of
 * all. */
static int server_of(hwloc_topology_t machine, const struct topology *out, int node)
{
    const hwloc_obj_t object = object_of(machine, &out->nodes[node]);
    if (out->nodes[node].n_cores > 0) return node;
    for (int core = 0; object && core < out->n_cores; core++)
        if (hwloc_bitmap_isset(object->cpuset, out->cores[core].os_pu)) return out->cores[core].node;
    return out->cores[0].node;
}

/* The highest bandwidth, in bytes/s, that hwloc knows for reading the node from any cores; 0 = none is known. */
static double attribute_of(hwloc_topology_t machine, hwloc_memattr_id_t attribute, hwloc_obj_t node)
{
    struct hwloc_location initiators[CM_MAX_NODES];
    hwloc_uint64_t        values[CM_MAX_NODES];
    unsigned              n = CM_MAX_NODES;
    double                best = 0;
    if (!node || hwloc_memattr_get_initiators(machine, attribute, node, 0, &n, initiators, values) != 0) return 0;
    if (n > CM_MAX_NODES) n = CM_MAX_NODES;
    for (unsigned i = 0; i < n; i++) best = fmax(best, (double)values[i]);
    return best * 1048576; /* hwloc gives MiB/s */
}

static void find_bandwidths(hwloc_topology_t machine, struct topology *out)
{
    double least = 0;
    for (int i = 0; i < out->n_nodes; i++) {
        struct topology_node *node = &out->nodes[i];
        const hwloc_obj_t     object = object_of(machine, node);
        node->bandwidth = attribute_of(machine, HWLOC_MEMATTR_ID_READ_BANDWIDTH, object);
        if (node->bandwidth <= 0) node->bandwidth = attribute_of(machine, HWLOC_MEMATTR_ID_BANDWIDTH, object);
        if (node->bandwidth > 0 && (least <= 0 || node->bandwidth < least)) least = node->bandwidth;
    }
    out->is_bandwidth_known = least > 0;
    for (int i = 0; i < out->n_nodes; i++) {
        struct topology_node *node = &out->nodes[i];
        if (out->is_bandwidth_known) {
            if (node->bandwidth <= 0) node->bandwidth = least; /* known for some nodes only */
        } else {
            node->bandwidth = node->n_cores > 0 ? node->n_cores : 0.5 * out->nodes[node->served_by].n_cores;
        }
    }
}

/* Numbers the caches of the outermost level that is shown: sets the cache of each core, and counts each cache for the
 * node of its first usable core. */
static void add_caches(hwloc_topology_t machine, struct topology *out)
{
    static const hwloc_obj_type_t levels[] = {HWLOC_OBJ_L4CACHE, HWLOC_OBJ_L3CACHE, HWLOC_OBJ_L2CACHE};
    for (int core = 0; core < out->n_cores; core++) out->cores[core].cache = -1;
    for (size_t i = 0; i < sizeof levels / sizeof levels[0]; i++) {
        if (hwloc_get_nbobjs_by_type(machine, levels[i]) < 1) continue;
        hwloc_obj_t cache = NULL;
        while ((cache = hwloc_get_next_obj_by_type(machine, levels[i], cache))) {
            bool is_first = true;
            for (int core = 0; core < out->n_cores; core++) {
                if (!hwloc_bitmap_isset(cache->cpuset, out->cores[core].os_pu)) continue;
                out->cores[core].cache = (int)cache->logical_index;
                if (is_first) out->nodes[out->cores[core].node].cache_bytes += cache->attr->cache.size;
                is_first = false;
            }
        }
        return;
    }
}

calmoe_status cm_topology_set_bandwidth(struct calmoe_context *ctx, struct topology *topology, const char *text)
{
    double given[CM_MAX_NODES] = {0};
    bool   is_ok = *text != '\0';
    for (const char *at = text; is_ok && *at;) {
        char *end;
        long  node = -1;
        if (at[strcspn(at, ":,")] == ':') { /* "node:" */
            node = strtol(at, &end, 10);
            is_ok = end != at && *end == ':' && node >= 0 && node < topology->n_nodes && given[node] <= 0;
            at = end + 1;
        } else {
            is_ok = at == text && !strchr(text, ',');
        }
        if (!is_ok) break;
        const double number = strtod(at, &end);
        is_ok = end != at && number > 0 && number < 1e6 && (*end == '\0' || (*end == ',' && end[1] != '\0'));
        for (int i = 0; i < topology->n_nodes; i++)
            if (i == node || node < 0) given[i] = number * 1e9;
        at = end + (is_ok && *end == ',');
    }
    for (int i = 0; is_ok && i < topology->n_nodes; i++)
        is_ok = given[i] > 0 || topology->is_bandwidth_known || topology->nodes[i].memory_bytes == 0;
    if (!is_ok)
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT,
                       "bandwidth '%s': wanted GB/s for each of the %d nodes, such as \"0:40,1:20\", or one number",
                       text, topology->n_nodes);
    for (int i = 0; i < topology->n_nodes; i++)
        if (given[i] > 0) topology->nodes[i].bandwidth = given[i];
    topology->is_bandwidth_known = true;
    return CALMOE_OK;
}

static calmoe_status describe(struct calmoe_context *ctx, hwloc_topology_t machine,
                              hwloc_const_bitmap_t usable, struct topology *out)
{
    const int n_cores = list_cores(machine, usable, NULL);
    if (n_cores == 0)
        return cm_fail(ctx, CALMOE_SYSTEM, "the topology has no core that may be used");
    if (n_cores > CM_MAX_CORES)
        return cm_fail(ctx, CALMOE_UNSUPPORTED, "the topology has %d cores; calmoe runs on up to %d",
                       n_cores, CM_MAX_CORES);

    out->cores = cm_alloc(ctx, (size_t)n_cores, sizeof *out->cores, "the topology's cores");
    if (!out->cores) return CALMOE_NO_MEMORY;
    struct topology_core *cores = cm_alloc(ctx, (size_t)n_cores, sizeof *cores, "a list of cores");
    if (!cores) return CALMOE_NO_MEMORY;
    list_cores(machine, usable, cores);
    const calmoe_status status = group_by_node(ctx, machine, cores, n_cores, out);
    cm_free(cores);
    if (status != CALMOE_OK) return status;
    char     quota_name[CM_LIMIT_NAME];
    uint64_t memory = 0;
    for (int node = 0; node < out->n_nodes; node++) {
        out->nodes[node].served_by = server_of(machine, out, node);
        memory += out->nodes[node].memory_bytes;
    }
    out->is_memory_known = out->is_memory_known && memory > 0; /* old recordings say nothing about memory */
    find_bandwidths(machine, out);
    add_caches(machine, out);
    if (out->is_this_machine) {
        out->memory_limit = cm_memory_limit(cm_limits_root());
        out->cpu_quota = cm_cpu_quota(cm_limits_root(), quota_name);
    }
    return CALMOE_OK;
}

calmoe_status cm_topology_open(struct calmoe_context *ctx, const char *spec, struct topology *out)
{
    *out = (struct topology){0};

    hwloc_topology_t machine;
    if (cm_request_fails() || hwloc_topology_init(&machine) != 0)
        return cm_fail(ctx, CALMOE_NO_MEMORY, "no memory for a topology");
    out->hwloc = machine;

    calmoe_status status = load(ctx, spec, machine);
    if (status == CALMOE_OK) {
        out->is_this_machine = hwloc_topology_is_thissystem(machine);
        out->is_memory_known = !spec || ends_in(spec, ".xml") || strstr(spec, "memory=");
        hwloc_bitmap_t usable = usable_pus(machine);
        status = usable ? describe(ctx, machine, usable, out)
                        : cm_fail(ctx, CALMOE_NO_MEMORY, "no memory for a set of cores");
        hwloc_bitmap_free(usable);
    }
    if (status != CALMOE_OK) cm_topology_close(out);
    return status;
}

void cm_topology_close(struct topology *topology)
{
    if (topology->hwloc) hwloc_topology_destroy(topology->hwloc);
    cm_free(topology->cores);
    *topology = (struct topology){0};
}

calmoe_status cm_thread_mask_open(struct calmoe_context *ctx, struct thread_mask *out)
{
    out->hwloc = cm_request_fails() ? NULL : hwloc_bitmap_alloc();
    if (!out->hwloc) return cm_fail(ctx, CALMOE_NO_MEMORY, "no memory for a thread mask");
    cm_count_block(+1);
    return CALMOE_OK;
}

void cm_thread_mask_close(struct thread_mask *mask)
{
    if (mask->hwloc) cm_count_block(-1);
    hwloc_bitmap_free(mask->hwloc);
    mask->hwloc = NULL;
}

bool cm_thread_mask_save(const struct topology *topology, struct thread_mask *mask)
{
    return topology->is_this_machine &&
           hwloc_get_cpubind(topology->hwloc, mask->hwloc, HWLOC_CPUBIND_THREAD) == 0;
}

bool cm_thread_mask_apply(const struct topology *topology, const struct thread_mask *mask)
{
    return topology->is_this_machine &&
           hwloc_set_cpubind(topology->hwloc, mask->hwloc, HWLOC_CPUBIND_THREAD) == 0;
}

bool cm_thread_mask_of_node(const struct topology *topology, int node, struct thread_mask *mask)
{
    const struct topology_node *facts = &topology->nodes[node];
    bool                        is_set = facts->n_cores > 0;
    hwloc_bitmap_zero(mask->hwloc);
    for (int core = facts->first_core; core < facts->first_core + facts->n_cores; core++)
        is_set = is_set && hwloc_bitmap_set(mask->hwloc, topology->cores[core].os_pu) == 0;
    return is_set;
}

bool cm_topology_bind_thread(const struct topology *topology, int core)
{
    assert(core >= 0 && core < topology->n_cores);
    if (!topology->is_this_machine) return false;
    hwloc_obj_t pu = hwloc_get_pu_obj_by_os_index(topology->hwloc, topology->cores[core].os_pu);
    return pu && hwloc_set_cpubind(topology->hwloc, pu->cpuset, HWLOC_CPUBIND_THREAD) == 0;
}

bool cm_topology_is_on_core(const struct topology *topology, int core)
{
    assert(core >= 0 && core < topology->n_cores);
    return topology->is_this_machine && sched_getcpu() == (int)topology->cores[core].os_pu;
}
