/* tools/memory_request.c - see memory_request.h. */
#include "tools/memory_request.h"

#include <calmoe/stats.h>

#include "tools/front.h"

bool cm_memory_request_is_fine(const char *command, const struct memory_request *request, const char *plan)
{
    const char *name = NULL;
    if (request->limit > 0) return true;
    if (plan == NULL && request->disk_reads != 0) name = "disk-reads";
    if (plan == NULL && request->no_lookahead) name = "no-lookahead";
    if (request->profile != NULL) name = "keep-by";
    if (name != NULL)
        cm_usage_error(command, "option '--%s' wants --memory-limit%s, found none", name,
                       request->profile != NULL ? "" : " or a --plan");
    return name == NULL;
}

void cm_memory_request_set(const struct memory_request *request, calmoe_engine_options *engine)
{
    engine->memory_limit   = request->limit;
    engine->memory_profile = request->profile;
    engine->packed         = request->packed;
    engine->disk_reads     = request->disk_reads;
    engine->no_lookahead   = request->no_lookahead;
}

/* *n_tokens: tokens that steps have read so far. */
static bool get(const struct front *front, calmoe_disk_stats *disk, double *n_tokens)
{
    calmoe_stats stats = {.size = sizeof stats};
    *disk              = (calmoe_disk_stats){.size = sizeof *disk};
    *n_tokens          = 1;
    if (front->engine == NULL) return true;
    if (!cm_front_succeeded(front, calmoe_engine_get_stats(front->engine, &stats)) ||
        !cm_front_succeeded(front, calmoe_engine_get_disk_stats(front->engine, disk)))
        return false;
    if (stats.n_rows > 0) *n_tokens = (double)stats.n_rows;
    return true;
}

/* a / b in percent; 0 if b is 0. */
static double percent(uint64_t a, uint64_t b) { return b > 0 ? 100 * (double)a / (double)b : 0; }

bool cm_disk_say(const struct front *front)
{
    calmoe_disk_stats disk;
    double            n_tokens;
    if (!get(front, &disk, &n_tokens)) return false;
    if (disk.n_slots == 0) return true;
    cm_say("disk       %d of %d experts in memory; of those needed %.1f %% were there, %.1f %% had been named ahead "
           "(recall %.1f %%); read %.2f MB/token, waited %.2f ms/token", disk.n_slots + disk.n_kept, disk.n_experts,
           percent(disk.n_there, disk.n_wanted), percent(disk.n_ahead, disk.n_wanted),
           percent(disk.n_named, disk.n_asked), (double)disk.n_bytes / n_tokens / 1e6,
           1e3 * disk.waited_seconds / n_tokens);
    return true;
}

bool cm_disk_add(const struct front *front, struct json_output *json)
{
    calmoe_disk_stats disk;
    double            n_tokens;
    if (!get(front, &disk, &n_tokens)) return false;
    if (disk.n_slots == 0) return true;
    struct json_node *const in = cm_json_object(json, json->root, "disk");
    cm_json_integer(json, in, "experts", (uint64_t)disk.n_experts);
    cm_json_integer(json, in, "experts_in_memory", (uint64_t)(disk.n_slots + disk.n_kept));
    cm_json_integer(json, in, "kept_by_plan", (uint64_t)disk.n_kept);
    cm_json_integer(json, in, "wanted", disk.n_wanted);
    cm_json_integer(json, in, "hits", disk.n_there);
    cm_json_integer(json, in, "named_ahead", disk.n_ahead);
    cm_json_integer(json, in, "lookahead_asked", disk.n_asked);
    cm_json_integer(json, in, "lookahead_named", disk.n_named);
    cm_json_real(json, in, "bytes_per_token", (double)disk.n_bytes / n_tokens);
    cm_json_real(json, in, "waited_seconds_per_token", disk.waited_seconds / n_tokens);
    return true;
}
