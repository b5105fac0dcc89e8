/* experts/expert_stream.c - see expert_stream.h. */
#include "experts/expert_stream.h"

#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "experts/stream_parts.h"

enum { SLOT_ALIGNMENT = CM_DISK_BLOCK };

/* ---- opened, experts added ---- */

calmoe_status cm_expert_stream_open(struct calmoe_context *ctx, enum isa isa, int n_layers, int n_experts,
                                    const struct packed_experts *packed, struct expert_stream **out)
{
    struct expert_stream *stream = *out = cm_alloc(ctx, 1, sizeof *stream, "experts on disk");
    if (!stream) return CALMOE_NO_MEMORY;
    stream->ctx = ctx;
    stream->isa = isa;
    stream->n_layers = n_layers;
    stream->n_experts = n_experts;
    stream->packed = packed;
    stream->packed_file = (struct disk_file){.file = -1, .direct = -1};
    atomic_store(&stream->failed_slot, NO_SLOT);
    stream->experts = cm_alloc(ctx, (size_t)n_layers * (size_t)n_experts, sizeof *stream->experts, "experts on disk");
    if (stream->experts) return CALMOE_OK;
    cm_expert_stream_close(out);
    return CALMOE_NO_MEMORY;
}

void cm_expert_stream_close(struct expert_stream **stream_pointer)
{
    struct expert_stream *stream = *stream_pointer;
    if (!stream) return;
    cm_readers_close(&stream->readers);
    for (int i = 0; i < STREAM_THREADS; i++) cm_disk_queue_close(&stream->queues[i]);
    for (int i = 0; i < stream->n_files; i++) cm_disk_file_close(&stream->files[i].disk);
    cm_disk_file_close(&stream->packed_file);
    for (int node = 0; node < stream->n_nodes; node++) cm_node_block_close(&stream->blocks[node]);
    cm_slot_cache_close(&stream->cache);
    cm_free(stream->slots);
    cm_free(stream->files);
    cm_free(stream->pieces);
    cm_free(stream->experts);
    cm_free(stream);
    *stream_pointer = NULL;
}

/* *array (n of capacity, elements of size) gets room for one more, when it is full. */
static calmoe_status grow(struct expert_stream *stream, void **array, size_t n, size_t *capacity, size_t size)
{
    if (n < *capacity) return CALMOE_OK;
    const size_t more = *capacity ? 2 * *capacity : 64;
    void *memory = cm_alloc(stream->ctx, more, size, "experts on disk");
    if (!memory) return CALMOE_NO_MEMORY;
    if (n > 0) memcpy(memory, *array, n * size);
    cm_free(*array);
    *array = memory;
    *capacity = more;
    return CALMOE_OK;
}

/* The number of the map's file among the stream's; few are used by turns. */
static calmoe_status find_file(struct expert_stream *stream, const struct file_map *map, int *out)
{
    for (*out = stream->n_files - 1; *out >= 0; (*out)--)
        if (stream->files[*out].map == map) return CALMOE_OK;
    struct stream_file *files = cm_alloc(stream->ctx, (size_t)stream->n_files + 1, sizeof *files, "experts on disk");
    if (!files) return CALMOE_NO_MEMORY;
    if (stream->n_files > 0) memcpy(files, stream->files, (size_t)stream->n_files * sizeof *files);
    cm_free(stream->files);
    stream->files = files;
    *out = stream->n_files++;
    files[*out] = (struct stream_file){.map = map, .disk = {.file = -1, .direct = -1}};
    return CALMOE_OK;
}

/* *most becomes the bytes of the piece's chunks, if they are more. */
static void look_at_chunk(const struct expert_stream *stream, const struct stream_piece *piece, size_t n_bytes,
                          size_t *most)
{
    const size_t chunk = cm_stream_chunk_bytes(stream, piece, cm_stream_chunk_rows(piece, n_bytes));
    if (chunk > *most) *most = chunk;
}

calmoe_status cm_expert_stream_add(struct expert_stream *stream, int layer, int expert,
                                   const struct weight_source *source, uint64_t packed_at, int node,
                                   struct matrix *out)
{
    const struct linear_kernel *kernel = cm_linear_kernel(source->type, stream->isa);
    struct stream_expert       *of = cm_stream_expert(stream, layer * stream->n_experts + expert);
    struct stream_piece         piece = {.source = *source, .matrix = out, .node = node, .packed_at = packed_at,
                                         .file = -1};
    void *pieces = stream->pieces;
    *out = (struct matrix){.kernel = kernel, .n_rows = source->n_rows, .n_columns = source->n_columns};
    if (source->n_rows == 0) return CALMOE_OK;
    const calmoe_status status =
        grow(stream, &pieces, stream->n_pieces, &stream->pieces_capacity, sizeof *stream->pieces);
    stream->pieces = pieces;
    if (status != CALMOE_OK) return status;
    if (source->map && !stream->packed) CM_TRY(find_file(stream, source->map, &piece.file));
    piece.at = of->bytes_on[node];
    of->bytes_on[node] += (cm_matrix_bytes(out) + CM_ALIGNMENT - 1) / CM_ALIGNMENT * CM_ALIGNMENT;
    if (of->n == 0) of->first = stream->n_pieces;
    of->n++;
    const size_t wanted = (of->bytes_on[node] + SLOT_ALIGNMENT - 1) / SLOT_ALIGNMENT * SLOT_ALIGNMENT;
    if (wanted > stream->slot_bytes[node]) stream->slot_bytes[node] = wanted;
    look_at_chunk(stream, &piece, STREAM_LARGE, &stream->large_bytes);
    look_at_chunk(stream, &piece, STREAM_SMALL, &stream->small_bytes);
    stream->pieces[stream->n_pieces++] = piece;
    return CALMOE_OK;
}

void cm_expert_stream_keep(struct expert_stream *stream) { stream->n_kept++; }

size_t cm_expert_stream_slot_bytes(const struct expert_stream *stream)
{
    size_t n = 0;
    for (int node = 0; node < CM_MAX_NODES; node++) n += stream->slot_bytes[node];
    return n;
}

static int n_keys(const struct expert_stream *stream) { return stream->n_layers * stream->n_experts; }

int cm_expert_stream_n_experts(const struct expert_stream *stream)
{
    int n = 0;
    for (int key = 0; key < n_keys(stream); key++) n += cm_stream_expert(stream, key)->n > 0;
    return n;
}

size_t cm_expert_stream_buffer_bytes(const struct expert_stream *stream)
{
    return STREAM_THREADS * cm_disk_buffer_bytes(stream->large_bytes);
}

/* ---- slots ---- */

/* The expert's matrices have their bytes in the slot from now on; NO_SLOT: nowhere. */
static void point_to(const struct expert_stream *stream, int key, int slot)
{
    const struct stream_expert *expert = cm_stream_expert(stream, key);
    for (size_t i = expert->first; i < expert->first + expert->n; i++) {
        const struct stream_piece *piece = &stream->pieces[i];
        piece->matrix->packed = slot == NO_SLOT ? NULL : stream->slots[slot].bytes_on[piece->node] + piece->at;
    }
}

/* A slot that is not held is read anew for that expert. */
static void read_into(struct expert_stream *stream, int slot, int key, bool is_urgent)
{
    if (stream->cache.key_in[slot] != NO_KEY) point_to(stream, stream->cache.key_in[slot], NO_SLOT);
    cm_slot_cache_put(&stream->cache, slot, key);
    point_to(stream, key, slot);
    stream->cache.holds[slot] |= SLOT_READING;
    stream->slots[slot].is_ahead = !is_urgent;
    cm_readers_ask(stream->readers, slot, is_urgent);
}

/* Nothing is in the slot: what should have come there did not. */
static void empty(struct expert_stream *stream, int slot)
{
    point_to(stream, stream->cache.key_in[slot], NO_SLOT);
    cm_slot_cache_put(&stream->cache, slot, NO_KEY);
    stream->slots[slot].failure = 0;
}

/* Notes which reads have ended since. */
static void look_at_reads(struct expert_stream *stream)
{
    for (int slot = 0; slot < stream->cache.n_slots; slot++) {
        if (!(stream->cache.holds[slot] & SLOT_READING) || !cm_readers_is_idle(stream->readers, slot)) continue;
        stream->cache.holds[slot] &= (uint8_t)~SLOT_READING;
        if (stream->slots[slot].failure != 0) empty(stream, slot);
    }
}

/* A slot for an expert that is needed: where all that are not needed are on their way, one of these is given up. */
static int slot_for_need(struct expert_stream *stream)
{
    for (;;) {
        const int victim = cm_slot_cache_victim(&stream->cache, true);
        int       running = NO_SLOT;
        if (victim != NO_SLOT) return victim;
        for (int slot = 0; slot < stream->cache.n_slots; slot++) {
            if (stream->cache.holds[slot] & SLOT_NEEDED) continue;
            if (!cm_readers_withdraw(stream->readers, slot)) {
                running = slot;
                continue;
            }
            stream->cache.holds[slot] = 0;
            empty(stream, slot);
            return slot;
        }
        cm_readers_wait(stream->readers, running);
        look_at_reads(stream);
    }
}

/* ---- the start ---- */

/* Whether a slot has less than an expert: another rank, or another node, has the rest. */
static bool is_cut(const struct expert_stream *stream)
{
    for (int key = 0; key < n_keys(stream); key++) {
        const struct stream_expert *expert = cm_stream_expert(stream, key);
        if (expert->n > 0 && expert->bytes_on[0] != stream->packed->experts[key].n_bytes) return true;
    }
    return false;
}

/* How many reads a thread has in flight: as many small ones as have room where a large one has. */
static void open_queues(struct expert_stream *stream)
{
    const size_t n = cm_disk_buffer_bytes(stream->large_bytes) / cm_disk_buffer_bytes(stream->small_bytes);
    const bool   into_slots = stream->packed && !stream->packed_is_cut; /* and not through buffers */
    stream->n_at_once = n > STREAM_AT_ONCE || into_slots ? STREAM_AT_ONCE : (int)n;
    for (int i = 0; i < STREAM_THREADS && stream->ring_error == 0; i++)
        stream->ring_error = cm_disk_queue_open(&stream->queues[i], STREAM_AT_ONCE);
    if (stream->ring_error != 0) stream->n_at_once = 1;
}

static calmoe_status open_slots(struct expert_stream *stream, const struct stream_start *start)
{
    const size_t n_slots = (size_t)start->n_slots;
    CM_TRY(cm_slot_cache_open(stream->ctx, n_keys(stream), start->n_slots, &stream->cache));
    stream->slots = cm_alloc(stream->ctx, n_slots, sizeof *stream->slots, "slots of experts");
    if (!stream->slots) return CALMOE_NO_MEMORY;
    stream->n_nodes = start->topology->n_nodes;
    for (int node = 0; node < stream->n_nodes; node++) {
        const size_t each = stream->slot_bytes[node];
        if (each == 0) continue;
        CM_TRY(cm_node_block_open(stream->ctx, start->topology, node, n_slots * each, &stream->blocks[node]));
        for (size_t slot = 0; slot < n_slots; slot++)
            stream->slots[slot].bytes_on[node] = (uint8_t *)stream->blocks[node].bytes + slot * each;
    }
    for (int i = 0; i < stream->n_files; i++)
        cm_disk_file_open(stream->files[i].map, start->is_direct, &stream->files[i].disk);
    if (stream->packed) cm_disk_file_open(&stream->packed->map, start->is_direct, &stream->packed_file);
    stream->packed_is_cut = stream->packed && is_cut(stream);
    open_queues(stream);
    const struct readers_options readers = {.n_threads = STREAM_THREADS, .n_jobs = start->n_slots,
                                            .work = cm_stream_read, .self = stream,
                                            .buffer_bytes = cm_disk_buffer_bytes(stream->large_bytes)};
    return cm_readers_open(stream->ctx, &readers, &stream->readers);
}

static calmoe_status say_failure(const struct expert_stream *stream, const struct stream_slot *slot)
{
    return cm_fail(stream->ctx, CALMOE_IO, "cannot read an expert from the %s file at byte %" PRIu64 ": %s",
                   stream->packed ? "packed" : "model's", slot->failed_at,
                   slot->failure == CM_FILE_ENDED    ? "the file has become shorter"
                   : slot->failure == STREAM_DAMAGED ? "it is damaged there; calmoe pack writes it anew"
                                                     : strerror(slot->failure));
}

/* Fills the slots with the experts that are probably worth most. */
static calmoe_status fill(struct expert_stream *stream, const struct stream_start *start, const int32_t *keys, int n)
{
    for (int i = 0; i < n; i++) read_into(stream, i, keys[i], false);
    for (int i = 0; i < n; i++) {
        if (start->progress && start->progress(start->user, (double)i / n))
            return cm_fail(stream->ctx, CALMOE_CANCELLED, "loading was cancelled");
        cm_readers_wait(stream->readers, i);
        if (stream->slots[i].failure != 0) return say_failure(stream, &stream->slots[i]);
        stream->slots[i].is_ahead = false;
    }
    look_at_reads(stream);
    cm_expert_stream_reset_counts(stream);
    return CALMOE_OK;
}

calmoe_status cm_expert_stream_start(struct expert_stream *stream, const struct stream_start *start)
{
    CM_TRY(open_slots(stream, start));
    if (start->uses)
        cm_slot_cache_set_priors(&stream->cache, start->uses, stream->n_layers, stream->n_experts, start->n_used);
    int32_t      *keys = cm_alloc(stream->ctx, (size_t)start->n_slots, sizeof *keys, "slots of experts");
    bool         *is_there = cm_alloc(stream->ctx, (size_t)n_keys(stream), sizeof *is_there, "slots of experts");
    int           n = 0;
    calmoe_status status = keys && is_there ? CALMOE_OK : CALMOE_NO_MEMORY;
    for (int key = 0; key < n_keys(stream) && status == CALMOE_OK; key++)
        is_there[key] = cm_stream_expert(stream, key)->n > 0;
    if (status == CALMOE_OK)
        status = cm_slot_cache_first(stream->ctx, &stream->cache, stream->n_layers, is_there, keys, &n);
    if (status == CALMOE_OK) status = fill(stream, start, keys, n);
    cm_free(keys);
    cm_free(is_there);
    return status;
}

/* ---- in a step ---- */

void cm_expert_stream_begin_step(struct expert_stream *stream)
{
    look_at_reads(stream);
    cm_slot_cache_release(&stream->cache, SLOT_NEEDED | SLOT_AHEAD);
    cm_slot_cache_step(&stream->cache);
    atomic_store(&stream->failed_slot, NO_SLOT);
    stream->was_asked = false;
}

/* An expert that is in a slot, or on its way there. Answers whether it is still on its way. */
static bool take_as_it_is(struct expert_stream *stream, int slot)
{
    struct stream_slot *at = &stream->slots[slot];
    const bool is_late = (stream->cache.holds[slot] & SLOT_READING) != 0;
    if (at->is_ahead) stream->counts.n_ahead++;
    else stream->counts.n_there++;
    at->is_ahead = false;
    if (is_late) cm_readers_hurry(stream->readers, slot);
    return is_late;
}

void cm_expert_stream_want(struct expert_stream *stream, int layer, const int32_t *experts, int n, bool *late)
{
    const int first = layer * stream->n_experts;
    cm_slot_cache_release(&stream->cache, SLOT_NEEDED);
    look_at_reads(stream);
    for (int i = 0; i < n; i++) { /* what is there must not go for what is not */
        const int key = first + experts[i], slot = stream->cache.slot_of[key];
        if (slot != NO_SLOT) stream->cache.holds[slot] |= SLOT_NEEDED;
        stream->counts.n_named += stream->was_asked && cm_stream_expert(stream, key)->was_named;
    }
    for (int i = 0; i < n; i++) {
        const int key = first + experts[i];
        int       slot = stream->cache.slot_of[key];
        late[i] = false;
        if (cm_stream_expert(stream, key)->n == 0) {
            stream->counts.n_there++;
            continue;
        }
        cm_slot_cache_use(&stream->cache, key);
        late[i] = true;
        if (slot != NO_SLOT) {
            late[i] = take_as_it_is(stream, slot);
            continue;
        }
        slot = slot_for_need(stream);
        stream->cache.holds[slot] = SLOT_NEEDED;
        read_into(stream, slot, key, true);
    }
    stream->counts.n_wanted += (uint64_t)n;
    stream->counts.n_asked += stream->was_asked ? (uint64_t)n : 0;
    cm_slot_cache_release(&stream->cache, SLOT_AHEAD);
    stream->was_asked = false;
}

void cm_expert_stream_ahead(struct expert_stream *stream, int layer, const int32_t *experts, int n, bool was_asked)
{
    const int first = layer * stream->n_experts;
    for (int expert = 0; expert < stream->n_experts; expert++)
        cm_stream_expert(stream, first + expert)->was_named = false;
    for (int i = 0; i < n; i++) {
        cm_stream_expert(stream, first + experts[i])->was_named = true;
        const int slot = stream->cache.slot_of[first + experts[i]];
        if (slot != NO_SLOT) stream->cache.holds[slot] |= SLOT_AHEAD;
    }
    stream->was_asked = was_asked;
    for (int i = 0; i < n; i++) {
        const int key = first + experts[i];
        if (stream->cache.slot_of[key] != NO_SLOT || cm_stream_expert(stream, key)->n == 0) continue;
        const int slot = cm_slot_cache_victim(&stream->cache, false);
        if (slot == NO_SLOT) return;
        stream->cache.holds[slot] = SLOT_AHEAD;
        read_into(stream, slot, key, false);
    }
}

bool cm_expert_stream_wait(struct expert_stream *stream, int layer, int expert)
{
    const int slot = stream->cache.slot_of[layer * stream->n_experts + expert];
    if (!cm_readers_is_idle(stream->readers, slot)) {
        const uint64_t start = cm_now_ns();
        cm_readers_wait(stream->readers, slot);
        atomic_fetch_add_explicit(&stream->waited_ns, cm_now_ns() - start, memory_order_relaxed);
    }
    if (stream->slots[slot].failure == 0) return true;
    int none = NO_SLOT;
    if (atomic_compare_exchange_strong(&stream->failed_slot, &none, slot)) stream->failed = stream->slots[slot];
    return false;
}

/* ---- between steps ---- */

/* Experts of the layer that are nowhere in memory, n of them at most. */
static int find_absent(const struct expert_stream *stream, int layer, int n, int32_t *experts)
{
    const int first = layer * stream->n_experts;
    int       n_found = 0;
    for (int expert = 0; expert < stream->n_experts && n_found < n; expert++)
        if (cm_stream_expert(stream, first + expert)->n > 0 && stream->cache.slot_of[first + expert] == NO_SLOT)
            experts[n_found++] = expert;
    return n_found;
}

calmoe_status cm_expert_stream_time_reads(struct expert_stream *stream, int n, double *ns)
{
    enum { MOST_AT_ONCE = 64, N_TRIES = 24 };
    int32_t  experts[MOST_AT_ONCE];
    bool     late[MOST_AT_ONCE];
    int      n_read = 0;
    uint64_t spent = 0;
    if (n > MOST_AT_ONCE) n = MOST_AT_ONCE;
    for (int i = 0; i < N_TRIES; i++) {
        const int layer = i % stream->n_layers, n_found = find_absent(stream, layer, n, experts);
        if (n_found == 0) continue;
        cm_expert_stream_begin_step(stream);
        const uint64_t start = cm_now_ns();
        cm_expert_stream_want(stream, layer, experts, n_found, late);
        for (int j = 0; j < n_found; j++) (void)cm_expert_stream_wait(stream, layer, experts[j]);
        spent += cm_now_ns() - start;
        n_read += n_found;
        CM_TRY(cm_expert_stream_failure(stream));
    }
    *ns = n_read > 0 ? (double)spent / n_read : 0.0;
    return CALMOE_OK;
}

calmoe_status cm_expert_stream_failure(struct expert_stream *stream)
{
    if (atomic_exchange(&stream->failed_slot, NO_SLOT) == NO_SLOT) return CALMOE_OK;
    return say_failure(stream, &stream->failed);
}

struct stream_counts cm_expert_stream_counts(const struct expert_stream *stream)
{
    struct stream_counts counts = stream->counts;
    counts.n_reads = atomic_load(&stream->n_reads);
    counts.n_bytes = atomic_load(&stream->n_bytes);
    counts.waited_ns = atomic_load(&stream->waited_ns);
    return counts;
}

void cm_expert_stream_reset_counts(struct expert_stream *stream)
{
    stream->counts = (struct stream_counts){0};
    atomic_store(&stream->n_reads, 0);
    atomic_store(&stream->n_bytes, 0);
    atomic_store(&stream->waited_ns, 0);
}

struct stream_size cm_expert_stream_size(const struct expert_stream *stream)
{
    struct stream_size size = {.n_slots = stream->cache.n_slots, .n_experts = cm_expert_stream_n_experts(stream),
                               .n_kept = stream->n_kept};
    for (int node = 0; node < stream->n_nodes; node++)
        size.n_bytes += size.bytes_on[node] = stream->slot_bytes[node] * (size_t)size.n_slots;
    size.ring_error = stream->ring_error;
    size.is_direct = stream->packed_file.direct >= 0;
    for (int i = 0; i < stream->n_files; i++) size.is_direct |= stream->files[i].disk.direct >= 0;
    return size;
}
