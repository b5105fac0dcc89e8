/* base/bound_others.c - see bound_others.h. proc(5) describes the files. */
#include "base/bound_others.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/control_groups.h"

enum { MOST_THREADS = 4096, MOST_PUS = 2, KERNEL_THREAD = 0x00200000 };

struct thread_facts {
    char   name[32], state;
    bool   is_kernel;
    double worked, lived; /* seconds */
};

struct others {
    const char            *root;
    const struct topology *topology;
    const bool            *ours;   /* one for each of its cores */
    double                 uptime; /* of the system, seconds */
    int                    n_pus, n_looked;
};

/* Reads "PID (NAME) STATE PPID …". The name may contain anything, so it ends at the last bracket. */
static bool read_facts(const struct others *others, const char *folder, struct thread_facts *out)
{
    char               text[1024];
    unsigned long      flags;
    unsigned long long user, system, start;
    const double       ticks = (double)sysconf(_SC_CLK_TCK);
    if (!cm_read_small_file(folder, "stat", text, sizeof text)) return false;
    const char *open = strchr(text, '('), *close = strrchr(text, ')');
    if (!open || !close || close < open) return false;
    snprintf(out->name, sizeof out->name, "%.*s", (int)(close - open - 1), open + 1);
    if (sscanf(close + 1, " %c %*d %*d %*d %*d %*d %lu %*u %*u %*u %*u %llu %llu %*d %*d %*d %*d %*d %*d %llu",
               &out->state, &flags, &user, &system, &start) != 5)
        return false;
    out->is_kernel = flags & KERNEL_THREAD;
    out->worked = (double)(user + system) / ticks;
    out->lived = others->uptime - (double)start / ticks;
    return true;
}

/* Reads a list such as "0-2,5": marks the hardware threads below n, and answers how many there are and which is the
 * first. */
static int count_listed(const char *list, int *first)
{
    int n = 0;
    *first = -1;
    for (char *end; *list; list = *end == ',' ? end + 1 : "") {
        const long from = strtol(list, &end, 10);
        const long to = *end == '-' ? strtol(end + 1, &end, 10) : from;
        if (end == list || from < 0 || to < from || to > 1 << 16) return 0;
        if (*first < 0) *first = (int)from;
        n += (int)(to - from + 1);
    }
    return n;
}

/* The core to which the thread is bound; -1: it is bound to none of our cores. */
static int bound_core(const struct others *others, const char *folder)
{
    char text[4096];
    int  first;
    if (!cm_read_small_file(folder, "status", text, sizeof text)) return -1;
    const char *list = strstr(text, "Cpus_allowed_list:");
    if (!list) return -1;
    list += strlen("Cpus_allowed_list:");
    list += strspn(list, "\t ");
    const int n = count_listed(list, &first);
    if (n < 1 || n > MOST_PUS || n >= others->n_pus) return -1;
    for (int core = 0; core < others->topology->n_cores; core++)
        if (others->ours[core] && others->topology->cores[core].os_pu == (unsigned)first) return core;
    return -1;
}

static bool is_number(const char *name) { return name[0] && name[strspn(name, "0123456789")] == '\0'; }

/* Looks at the threads of one process until one is found. */
static bool look_at_process(struct others *others, const char *pid, char who[CM_OTHER_NAME])
{
    char                folder[4096];
    struct thread_facts facts;
    bool                is_found = false;
    snprintf(folder, sizeof folder, "%s/proc/%.20s", others->root, pid);
    if (!read_facts(others, folder, &facts) || facts.is_kernel) return false;
    snprintf(folder, sizeof folder, "%s/proc/%.20s/task", others->root, pid);
    DIR *threads = opendir(folder);
    for (const struct dirent *thread; threads && !is_found && (thread = readdir(threads));) {
        if (!is_number(thread->d_name) || others->n_looked++ >= MOST_THREADS) continue;
        snprintf(folder, sizeof folder, "%s/proc/%.20s/task/%.20s", others->root, pid, thread->d_name);
        if (!read_facts(others, folder, &facts)) continue;
        if (facts.state != 'R' && facts.worked < 0.25 * facts.lived) continue;
        const int core = bound_core(others, folder);
        is_found = core >= 0;
        if (!is_found) continue;
        snprintf(who, CM_OTHER_NAME, "process %.20s (%s), which is bound to core %d", pid, facts.name, core);
    }
    if (threads) closedir(threads);
    return is_found;
}

bool cm_another_is_bound(const char *root, const struct topology *topology, const bool *ours, char who[CM_OTHER_NAME])
{
    char          text[4096];
    int           first;
    bool          is_found = false;
    struct others others = {.root = root, .topology = topology, .ours = ours};
    who[0] = '\0';
    if (!cm_read_small_file(root, "proc/uptime", text, sizeof text)) return false;
    others.uptime = strtod(text, NULL);
    if (!cm_read_small_file(root, "sys/devices/system/cpu/online", text, sizeof text)) return false;
    text[strcspn(text, "\n")] = '\0';
    others.n_pus = count_listed(text, &first);
    snprintf(text, sizeof text, "%s/proc", root);
    DIR *processes = opendir(text);
    for (const struct dirent *process; processes && !is_found && (process = readdir(processes));)
        if (is_number(process->d_name) && strtol(process->d_name, NULL, 10) != (long)getpid())
            is_found = look_at_process(&others, process->d_name, who);
    if (processes) closedir(processes);
    return is_found;
}
