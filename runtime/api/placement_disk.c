/* runtime/api/placement_disk.c - placements of models of which a part stays on disk: which experts a plan streams, and
 * what a limit of memory would do for recorded routings. */
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/options.h"
#include "experts/slot_predict.h"
#include "runtime/api/placement_parts.h"

struct disk { /* how an engine would have the model's experts there */
    struct expert_stream *stream;   /* never started: for its sizes                   */
    struct matrix        *matrices; /* (n_layers, n_experts, 3)                       */
    bool                 *is_there; /* (n_layers, n_experts)                          */
    uint64_t             *bytes;    /* (n_layers): of an expert in the file           */
    uint64_t              n_routed; /* bytes of all of them                           */
    int                   n_least;  /* the most that a layer has of them              */
    int                   n_kept;   /* routed experts that the plan keeps in memory: they are not among these */
};

static uint64_t file_bytes(const struct weight_source *source)
{
    return (uint64_t)source->n_rows * cm_row_bytes(source->type, (size_t)source->n_columns);
}

static calmoe_status add_experts(const calmoe_placement *p, int layer, struct disk *disk)
{
    const int  n_experts = p->model->spec.layers[layer].ffn.router.n_experts;
    const bool plan_streams = p->result.n_streamed > 0;
    const int  n_streamed = plan_streams ? cm_plan_n_streamed(&p->result.plan, layer) : n_experts;
    if (n_streamed > disk->n_least) disk->n_least = n_streamed;
    disk->n_kept += n_experts - n_streamed;
    for (int expert = 0; expert < n_experts; expert++) {
        if (plan_streams && !cm_place_of(&p->result.plan, layer, expert)->is_streamed) continue;
        const size_t                key = (size_t)layer * (size_t)p->shape.n_experts + (size_t)expert;
        const struct weight_source *matrices[3];
        uint64_t                    n_bytes = 0;
        cm_expert_matrices(p->model, layer, expert, matrices);
        for (int i = 0; i < 3; i++) {
            if (!matrices[i]) continue;
            CM_TRY(cm_expert_stream_add(disk->stream, layer, expert, matrices[i], 0, 0,
                                        &disk->matrices[key * 3 + (size_t)i]));
            n_bytes += file_bytes(matrices[i]);
        }
        disk->is_there[key] = true;
        disk->bytes[layer] = n_bytes;
        disk->n_routed += n_bytes;
    }
    return CALMOE_OK;
}

static calmoe_status open_disk(const calmoe_placement *p, struct disk *disk)
{
    const size_t n = (size_t)p->shape.n_layers * (size_t)p->shape.n_experts;
    CM_TRY(cm_expert_stream_open(p->ctx, cm_isa_best(), p->shape.n_layers, p->shape.n_experts, NULL, &disk->stream));
    disk->matrices = cm_alloc(p->ctx, n * 3, sizeof *disk->matrices, "a prediction");
    disk->is_there = cm_alloc(p->ctx, n, sizeof *disk->is_there, "a prediction");
    disk->bytes = cm_alloc(p->ctx, (size_t)p->shape.n_layers, sizeof *disk->bytes, "a prediction");
    if (!disk->matrices || !disk->is_there || !disk->bytes) return CALMOE_NO_MEMORY;
    for (int layer = 0; layer < p->shape.n_layers; layer++) CM_TRY(add_experts(p, layer, disk));
    return CALMOE_OK;
}

static void close_disk(struct disk *disk)
{
    cm_expert_stream_close(&disk->stream);
    cm_free(disk->matrices);
    cm_free(disk->is_there);
    cm_free(disk->bytes);
}

/* Slots under a limit, by the model's bytes in the file: packed ones differ a little. INVALID_ARGUMENT: too few. */
static calmoe_status count_slots(const calmoe_placement *p, const struct disk *disk, uint64_t limit, int *n_slots)
{
    enum { MAX_ROWS = 512 };
    const uint64_t all = cm_place_model_bytes(&p->shape) + cm_bytes_behind(&p->model->spec, MAX_ROWS);
    const uint64_t beside = all - disk->n_routed + cm_expert_stream_buffer_bytes(disk->stream);
    const uint64_t each = cm_expert_stream_slot_bytes(disk->stream);
    const uint64_t most = (uint64_t)cm_expert_stream_n_experts(disk->stream);
    const uint64_t room = limit > beside ? (limit - beside) / each : 0;
    *n_slots = (int)(all <= limit || room > most ? most : room);
    if (*n_slots >= disk->n_least) return CALMOE_OK;
    return cm_fail(p->ctx, CALMOE_INVALID_ARGUMENT,
                   "a memory limit of %llu bytes leaves room for %d experts; a step may need %d at once, and %llu "
                   "bytes are about the smallest limit that works", (unsigned long long)limit, *n_slots, disk->n_least,
                   (unsigned long long)(beside + each * (uint64_t)disk->n_least));
}

/* The slots as an engine would begin with them. */
static calmoe_status fill_slots(const calmoe_placement *p, const struct disk *disk, struct slot_cache *cache)
{
    const int n_layers = p->shape.n_layers;
    int32_t  *keys = cm_alloc(p->ctx, (size_t)cache->n_slots, sizeof *keys, "a prediction");
    int       n = 0;
    if (!keys) return CALMOE_NO_MEMORY;
    if (p->has_profile) cm_slot_cache_set_priors(cache, p->counts, n_layers, p->shape.n_experts, p->shape.n_used);
    const calmoe_status status = cm_slot_cache_first(p->ctx, cache, n_layers, disk->is_there, keys, &n);
    for (int i = 0; i < n; i++) cm_slot_cache_put(cache, i, keys[i]);
    cm_free(keys);
    return status;
}

static calmoe_status simulate_disk(const calmoe_placement *p, const struct place_routings *routings, int batch,
                                   uint64_t limit, struct disk *disk, calmoe_disk_prediction *told)
{
    struct slot_prediction found;
    struct slot_cache      cache;
    CM_TRY(open_disk(p, disk));
    CM_TRY(count_slots(p, disk, limit, &told->n_slots));
    CM_TRY(cm_slot_cache_open(p->ctx, p->shape.n_layers * p->shape.n_experts, told->n_slots, &cache));
    calmoe_status status = fill_slots(p, disk, &cache);
    if (status == CALMOE_OK)
        status = cm_slot_predict(p->ctx, &cache, routings, p->shape.n_experts, batch, disk->bytes, disk->is_there,
                                 &found);
    cm_slot_cache_close(&cache);
    if (status != CALMOE_OK) return status;
    told->n_experts = cm_expert_stream_n_experts(disk->stream) + disk->n_kept;
    told->n_slots += disk->n_kept;
    told->n_wanted = found.n_wanted;
    told->n_there = found.n_there;
    told->n_bytes = found.n_bytes;
    return CALMOE_OK;
}

calmoe_status calmoe_placement_simulate_disk(const calmoe_placement *p, const int32_t *experts, int n_tokens,
                                             int n_slots, int batch, uint64_t memory_limit,
                                             calmoe_disk_prediction *out)
{
    if (!p || !out || out->size < sizeof out->size || batch < 1 || memory_limit < 1)
        return cm_fail(p ? p->ctx : NULL, CALMOE_INVALID_ARGUMENT,
                       "calmoe_placement_simulate_disk: placement, batch >= 1, a limit and a prediction with its size "
                       "set are needed");
    CM_TRY(cm_placement_check_experts(p, experts, n_tokens, n_slots, "calmoe_placement_simulate_disk"));
    if (cm_is_dense_model(&p->model->spec))
        return cm_fail(p->ctx, CALMOE_UNSUPPORTED, "'%s' has no routed experts", p->model->path);
    const struct place_routings routings = cm_placement_routings(p, experts, n_tokens, n_slots);
    calmoe_disk_prediction      told = {.batch = batch, .n_tokens = (uint64_t)n_tokens};
    struct disk                 disk = {0};
    const calmoe_status         status = simulate_disk(p, &routings, batch, memory_limit, &disk, &told);
    close_disk(&disk);
    if (status == CALMOE_OK) cm_options_give(out, &told, sizeof told);
    return status;
}

/* ---- plans that stream ---- */

/* How many of the experts (n_keys of them in order of their worth) stay: as many as have room beside the slots for what
 * a layer may need at once of the others; a quarter of that room is left to slots, so that a text which uses other
 * experts than the profile finds some in memory, too. */
static int count_kept(const calmoe_placement *p, const struct disk *disk, const int32_t *keys, int n_keys, int n_room,
                      int *n_streamed)
{
    int n_kept = 0;
    for (int layer = 0; layer < p->shape.n_layers; layer++)
        n_streamed[layer] = p->model->spec.layers[layer].ffn.router.n_experts;
    const int beside = (n_room - disk->n_least) / 4;
    for (; n_kept < n_keys; n_kept++) {
        int most = 0;
        n_streamed[keys[n_kept] / p->shape.n_experts]--;
        for (int layer = 0; layer < p->shape.n_layers; layer++)
            if (n_streamed[layer] > most) most = n_streamed[layer];
        if (n_kept + 1 + most + beside > n_room) break;
    }
    return n_kept;
}

static calmoe_status stream_rest(calmoe_placement *p, const struct disk *disk, int n_room)
{
    const int         n_keys = p->shape.n_layers * p->shape.n_experts;
    struct slot_cache order = {0}; /* never filled: for the order of the experts' worth */
    calmoe_status     status = cm_slot_cache_open(p->ctx, n_keys, n_keys, &order);
    int32_t          *keys = cm_alloc(p->ctx, (size_t)n_keys, sizeof *keys, "a placement");
    int              *n_streamed = cm_alloc(p->ctx, (size_t)p->shape.n_layers, sizeof *n_streamed, "a placement");
    int               n = 0, n_kept = 0;
    if (!keys || !n_streamed) status = CALMOE_NO_MEMORY;
    if (status == CALMOE_OK && p->has_profile)
        cm_slot_cache_set_priors(&order, p->counts, p->shape.n_layers, p->shape.n_experts, p->shape.n_used);
    if (status == CALMOE_OK)
        status = cm_slot_cache_first(p->ctx, &order, p->shape.n_layers, disk->is_there, keys, &n);
    if (status == CALMOE_OK) n_kept = count_kept(p, disk, keys, n, n_room, n_streamed);
    for (int i = n_kept; i < n; i++)
        cm_plan_stream(&p->result.plan, keys[i] / p->shape.n_experts, keys[i] % p->shape.n_experts);
    if (status == CALMOE_OK) {
        cm_plan_drop_unused(&p->result.plan);
        cm_place_describe(&p->shape, &p->result);
        const size_t length = strlen(p->result.why);
        snprintf(p->result.why + length, sizeof p->result.why - length,
                 "%s%d of %d experts stay in memory, %s; the others are read from disk, %d at a time in memory.",
                 length > 0 ? " " : "", n_kept, n, p->has_profile ? "those that the profile uses most"
                                                                  : "the same share of each layer", n_room - n_kept);
    }
    cm_slot_cache_close(&order);
    cm_free(keys);
    cm_free(n_streamed);
    return status;
}

calmoe_status cm_placement_stream(calmoe_placement *p, uint64_t limit)
{
    struct disk disk = {0};
    int         n_room;
    if (cm_is_dense_model(&p->model->spec))
        return cm_fail(p->ctx, CALMOE_UNSUPPORTED, "'%s' has no routed experts", p->model->path);
    calmoe_status status = open_disk(p, &disk);
    if (status == CALMOE_OK) status = count_slots(p, &disk, limit, &n_room);
    if (status == CALMOE_OK && n_room < cm_expert_stream_n_experts(disk.stream)) status = stream_rest(p, &disk, n_room);
    close_disk(&disk);
    return status;
}
