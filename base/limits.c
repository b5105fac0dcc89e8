/* base/limits.c - see limits.h. A file that is missing, or contains something unexpected, sets no limit. */
#include "base/limits.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/control_groups.h"

static const uint64_t UNLIMITED = UINT64_MAX / 4; /* version 1 writes the largest number of pages instead of "max" */

const char *cm_bytes_text(uint64_t n_bytes, char text[32])
{
    const double mib = 1048576.0, gib = 1073741824.0, bytes = (double)n_bytes;
    if (bytes < 10.0 * 1024.0) snprintf(text, 32, "%" PRIu64 " bytes", n_bytes);
    else if (bytes < mib) snprintf(text, 32, "%.1f KiB", bytes / 1024.0);
    else if (bytes < gib) snprintf(text, 32, "%.1f MiB", bytes / mib);
    else snprintf(text, 32, "%.1f GiB", bytes / gib);
    return text;
}

static uint64_t less(uint64_t a, uint64_t b) { return a > b ? a - b : 0; }

static uint64_t smaller_of(uint64_t a, uint64_t b) { return a < b ? a : b; }

/* Reads the first number of a file; false if there is none ("max"), or if it is so large that it is no limit. */
static bool number_in(const char *folder, const char *name, uint64_t *out)
{
    char text[64], *end;
    if (!cm_read_small_file(folder, name, text, sizeof text)) return false;
    *out = strtoull(text, &end, 10);
    return end != text && text[0] != '-' && *out < UNLIMITED;
}

/* ---- memory ---- */

struct machine_memory { /* from /proc/meminfo, bytes; UINT64_MAX = not said there */
    uint64_t total, available, swap, commit_limit, committed;
};

static void read_meminfo(const char *root, struct machine_memory *out)
{
    char       text[4096];
    const bool is_there = cm_read_small_file(root, "/proc/meminfo", text, sizeof text);
    const struct { const char *row; uint64_t *bytes; } rows[] = {
        {"MemTotal:", &out->total}, {"MemAvailable:", &out->available}, {"SwapFree:", &out->swap},
        {"CommitLimit:", &out->commit_limit}, {"Committed_AS:", &out->committed}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint64_t kib;
        *rows[i].bytes = is_there && cm_row_number(text, rows[i].row, &kib) ? kib * 1024 : UINT64_MAX;
    }
    if (out->swap == UINT64_MAX) out->swap = 0;
}

static void take_if_tighter(struct memory_room *best, const struct memory_room *found)
{
    const bool has_best = best->room != UINT64_MAX;
    if (!has_best || found->room + found->swap < best->room + best->swap) *best = *found;
}

struct room_search {
    uint64_t           swap; /* of the machine */
    struct memory_room best;
};

static void name_group(char *name, const char *file, const char *group)
{
    snprintf(name, CM_LIMIT_NAME, "%s of the control group %s", file, group[0] ? group : "/");
}

static void see_group_v2(struct room_search *search, const struct control_group *group)
{
    char               stat[8192];
    uint64_t           current, cached = 0, rows[3] = {0}, swap_max, swap_used = 0;
    struct memory_room found = {.swap = search->swap};
    if (!number_in(group->folder, "memory.max", &found.limit) || !number_in(group->folder, "memory.current", &current))
        return;
    if (cm_read_small_file(group->folder, "memory.stat", stat, sizeof stat)) {
        static const char *const names[3] = {"inactive_file ", "active_file ", "slab_reclaimable "};
        for (int i = 0; i < 3; i++) cached += cm_row_number(stat, names[i], &rows[i]) ? rows[i] : 0;
    }
    (void)number_in(group->folder, "memory.swap.current", &swap_used);
    if (number_in(group->folder, "memory.swap.max", &swap_max))
        found.swap = smaller_of(found.swap, less(swap_max, swap_used));
    found.used = less(current, cached);
    found.room = less(found.limit, found.used);
    name_group(found.name, "memory.max", group->name);
    take_if_tighter(&search->best, &found);
}

static void see_group_v1(struct room_search *search, const struct control_group *group)
{
    static const char limit_file[] = "memory.limit_in_bytes";
    char               stat[8192];
    uint64_t           usage, cached = 0, rows[2] = {0}, both_limit, both_used, swappiness, hierarchy;
    struct memory_room found = {.swap = search->swap};
    if (!number_in(group->folder, limit_file, &found.limit) ||
        !number_in(group->folder, "memory.usage_in_bytes", &usage))
        return;
    /* In version 1 without use_hierarchy, a group's limit does not count the groups inside it. */
    if (!group->is_own && number_in(group->folder, "memory.use_hierarchy", &hierarchy) && hierarchy == 0) return;
    if (cm_read_small_file(group->folder, "memory.stat", stat, sizeof stat)) {
        static const char *const names[2] = {"total_inactive_file ", "total_active_file "};
        for (int i = 0; i < 2; i++) cached += cm_row_number(stat, names[i], &rows[i]) ? rows[i] : 0;
    }
    if (number_in(group->folder, "memory.swappiness", &swappiness) && swappiness == 0) found.swap = 0;
    if (number_in(group->folder, "memory.memsw.limit_in_bytes", &both_limit) &&
        number_in(group->folder, "memory.memsw.usage_in_bytes", &both_used))
        found.swap = smaller_of(found.swap, less(less(both_limit, both_used), less(found.limit, usage)));
    found.used = less(usage, cached);
    found.room = less(found.limit, found.used);
    name_group(found.name, limit_file, group->name);
    take_if_tighter(&search->best, &found);
}

static void see_memory_group(void *arg, const struct control_group *group)
{
    if (group->version == 2) see_group_v2(arg, group);
    else see_group_v1(arg, group);
}

void cm_memory_room(const char *root, struct memory_room *out)
{
    struct machine_memory machine;
    struct room_search    search = {.best = {.room = UINT64_MAX}};
    read_meminfo(root, &machine);
    search.swap = machine.swap;
    if (machine.available != UINT64_MAX && machine.total != UINT64_MAX) {
        search.best = (struct memory_room){.limit = machine.total, .used = less(machine.total, machine.available),
                                           .room = machine.available, .swap = machine.swap};
        snprintf(search.best.name, sizeof search.best.name, "the machine's memory");
    }
    cm_control_groups(root, "memory", see_memory_group, &search);
    *out = search.best;
}

static void see_memory_limit(void *arg, const struct control_group *group)
{
    uint64_t *const smallest = arg, limit;
    if (number_in(group->folder, group->version == 2 ? "memory.max" : "memory.limit_in_bytes", &limit) &&
        (*smallest == 0 || limit < *smallest))
        *smallest = limit;
}

uint64_t cm_memory_limit(const char *root)
{
    uint64_t smallest = 0;
    cm_control_groups(root, "memory", see_memory_limit, &smallest);
    return smallest;
}

calmoe_status cm_room_check(struct calmoe_context *ctx, const struct memory_room *room, uint64_t n_bytes,
                            const char *what)
{
    /* Page tables take 8 bytes for each page of 4096. */
    const uint64_t needed = n_bytes + n_bytes / 512;
    char           wanted[32], left[32], limit[32], used[32], swap[64] = "", bytes[32];
    if (room->room == UINT64_MAX || needed < n_bytes || needed <= room->room + room->swap) return CALMOE_OK;
    if (room->swap > 0) snprintf(swap, sizeof swap, " and %s of swap", cm_bytes_text(room->swap, bytes));
    return cm_fail(ctx, CALMOE_NO_MEMORY, "no memory for %s: %s are needed, %s%s can be had; %s is %s, of which "
                   "%s are used",
                   what, cm_bytes_text(needed, wanted), cm_bytes_text(room->room, left), swap, room->name,
                   cm_bytes_text(room->limit, limit), cm_bytes_text(room->used, used));
}

static const char *pretended_root;

void cm_limits_pretend(const char *root) { pretended_root = root; }

const char *cm_limits_root(void) { return pretended_root ? pretended_root : ""; }

void cm_limits_room(struct memory_room *out) { cm_memory_room(cm_limits_root(), out); }

calmoe_status cm_memory_check(struct calmoe_context *ctx, uint64_t n_bytes, const char *what)
{
    struct memory_room room;
    cm_limits_room(&room);
    return cm_room_check(ctx, &room, n_bytes, what);
}

/* ---- address space ---- */

struct mapping_limit {
    const char *name;
    uint64_t    limit, used;
};

static uint64_t limit_of(__rlimit_resource_t resource)
{
    struct rlimit limit;
    return getrlimit(resource, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY
               ? (uint64_t)limit.rlim_cur
               : UINT64_MAX;
}

void cm_mapping_reason(const char *root, uint64_t n_bytes, char *out, size_t n_out)
{
    char                  text[256], policy[16], limit[32], used[32];
    unsigned long long    total = 0, data = 0;
    struct machine_memory machine;
    const uint64_t        page = (uint64_t)sysconf(_SC_PAGESIZE);
    const uint64_t        slack = 1 << 20; /* since a heap grows by more than is asked for */
    read_meminfo(root, &machine);
    if (cm_read_small_file(root, "/proc/self/statm", text, sizeof text))
        (void)sscanf(text, "%llu %*u %*u %*u %*u %llu", &total, &data);
    const bool is_strict = cm_read_small_file(root, "/proc/sys/vm/overcommit_memory", policy, sizeof policy) &&
                           policy[0] == '2';
    const struct mapping_limit limits[] = {
        {"RLIMIT_AS (ulimit -v)", limit_of(RLIMIT_AS), total * page},
        {"RLIMIT_DATA (ulimit -d)", limit_of(RLIMIT_DATA), data * page},
        {"what the system promises (vm.overcommit_memory is 2)", is_strict ? machine.commit_limit : UINT64_MAX,
         machine.committed},
    };
    out[0] = '\0';
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        if (limits[i].limit == UINT64_MAX || n_bytes + slack <= less(limits[i].limit, limits[i].used))
            continue;
        snprintf(out, n_out, "; %s is %s, of which %s are used", limits[i].name, cm_bytes_text(limits[i].limit, limit),
                 cm_bytes_text(limits[i].used, used));
        return;
    }
}

/* ---- processors ---- */

struct quota_search {
    double quota;
    char  *name;
};

static void see_cpu_group(void *arg, const struct control_group *group)
{
    struct quota_search *search = arg;
    const bool           is_v2 = group->version == 2;
    char                 text[64];
    unsigned long long   quota = 0, period = 0;
    if (is_v2) {
        if (!cm_read_small_file(group->folder, "cpu.max", text, sizeof text) ||
            sscanf(text, "%llu %llu", &quota, &period) != 2)
            return;
    } else {
        uint64_t numbers[2];
        if (!number_in(group->folder, "cpu.cfs_quota_us", &numbers[0]) ||
            !number_in(group->folder, "cpu.cfs_period_us", &numbers[1]))
            return;
        quota = numbers[0];
        period = numbers[1];
    }
    if (quota == 0 || period == 0) return;
    const double found = (double)quota / (double)period;
    if (search->quota > 0.0 && found >= search->quota) return;
    search->quota = found;
    name_group(search->name, is_v2 ? "cpu.max" : "cpu.cfs_quota_us", group->name);
}

double cm_cpu_quota(const char *root, char name[CM_LIMIT_NAME])
{
    struct quota_search search = {.name = name};
    name[0] = '\0';
    cm_control_groups(root, "cpu", see_cpu_group, &search);
    return search.quota;
}

struct thread_search {
    uint64_t room;
    char    *name;
};

static void see_pids_group(void *arg, const struct control_group *group)
{
    struct thread_search *search = arg;
    uint64_t              most, now;
    if (!number_in(group->folder, "pids.max", &most) || !number_in(group->folder, "pids.current", &now)) return;
    if (less(most, now) >= search->room) return;
    search->room = less(most, now);
    name_group(search->name, "pids.max", group->name);
}

uint64_t cm_thread_room(const char *root, char name[CM_LIMIT_NAME])
{
    struct thread_search search = {.room = UINT64_MAX, .name = name};
    name[0] = '\0';
    cm_control_groups(root, "pids", see_pids_group, &search);
    return search.room;
}

int cm_quota_threads(double quota, int n_cores)
{
    if (!(quota > 0.0) || quota >= n_cores) return n_cores;
    return quota < 1.5 ? 1 : (int)(quota + 0.5);
}
