/* experts/packing.c - see packing.h. */
#include "experts/packing.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "experts/file_sharing.h"

/* A worker reads a chunk into a buffer and packs it from there. A chunk's 16 rows are 16 streams, which come
 * slowly from memory and fast from a cache; so the buffer must fit there, beside what is written. */
enum { CHUNK_BYTES = 256 * 1024 };   /* of file                                   */
enum { PORTION_BYTES = 64 << 20 };   /* that a rank without the file fetches of it */

struct pack_job {
    struct weight_source        source;
    const struct linear_kernel *kernel;
    struct matrix              *matrix; /* either gets the address of what was packed */
    const float               **floats;
    int                         node;
    size_t                      offset; /* in the node's block */
};

struct pack_chunk {
    size_t job;
    int    row_begin, row_end;
};

struct pack_list {
    enum isa         isa;
    size_t           n_jobs, capacity;
    struct pack_job *jobs;
    size_t           bytes_on[CM_MAX_NODES];
    struct kept     *kept;
    bool             is_numbered;
    int              n_origins, origins_capacity;
    const struct file_sharing *sharing; /* NULL: none */
    struct matrix_origin *origins; /* (n_origins): of the matrices that have got a number, the first of which is 1 */
};

struct kept { /* memory that goes with the list */
    void        *memory;
    struct kept *next;
};

calmoe_status cm_pack_list_open(struct calmoe_context *ctx, enum isa isa, struct pack_list **out)
{
    *out = cm_alloc(ctx, 1, sizeof **out, "the list of weights");
    if (!*out) return CALMOE_NO_MEMORY;
    (*out)->isa = isa;
    return CALMOE_OK;
}

void cm_pack_list_close(struct pack_list **list)
{
    if (!*list) return;
    for (struct kept *kept = (*list)->kept, *next; kept; kept = next) {
        next = kept->next;
        cm_free(kept->memory);
        cm_free(kept);
    }
    cm_free((*list)->origins);
    cm_free((*list)->jobs);
    cm_free(*list);
    *list = NULL;
}

void cm_pack_list_share(struct pack_list *list, const struct file_sharing *sharing) { list->sharing = sharing; }

enum isa cm_pack_list_isa(const struct pack_list *list) { return list->isa; }

static calmoe_status grow(struct calmoe_context *ctx, struct pack_list *list)
{
    if (list->n_jobs < list->capacity) return CALMOE_OK;
    const size_t capacity = list->capacity ? 2 * list->capacity : 256;
    struct pack_job *jobs = cm_alloc(ctx, capacity, sizeof *jobs, "the list of weights");
    if (!jobs) return CALMOE_NO_MEMORY;
    for (size_t i = 0; i < list->n_jobs; i++) jobs[i] = list->jobs[i];
    cm_free(list->jobs);
    list->jobs = jobs;
    list->capacity = capacity;
    return CALMOE_OK;
}

/* Gives the job its place in the node's block. */
static calmoe_status add_job(struct calmoe_context *ctx, struct pack_list *list, struct pack_job *job)
{
    size_t *end = &list->bytes_on[job->node];
    CM_TRY(grow(ctx, list));
    const size_t n_bytes = job->kernel->packed_bytes((size_t)job->source.n_rows, (size_t)job->source.n_columns);
    const size_t rounded = (n_bytes + CM_ALIGNMENT - 1) / CM_ALIGNMENT * CM_ALIGNMENT;
    job->offset = *end;
    list->jobs[list->n_jobs++] = *job;
    if (!cm_add(*end, rounded, end))
        return cm_fail(ctx, CALMOE_NO_MEMORY, "the weights are larger than any memory");
    return CALMOE_OK;
}

calmoe_status cm_pack_list_note(struct calmoe_context *ctx, struct pack_list *list,
                                const struct weight_source *source, int node, struct matrix *matrix)
{
    if (!list->is_numbered || source->n_rows == 0) return CALMOE_OK;
    if (list->n_origins == list->origins_capacity) {
        const int capacity = list->origins_capacity > 0 ? 2 * list->origins_capacity : 256;
        CM_TRY(cm_grow(ctx, &list->origins, (size_t)list->n_origins, (size_t)capacity, sizeof *list->origins,
                       "the list of weights"));
        list->origins_capacity = capacity;
    }
    list->origins[list->n_origins++] = (struct matrix_origin){*source, node};
    matrix->id = list->n_origins;
    return CALMOE_OK;
}

calmoe_status cm_pack_list_add(struct calmoe_context *ctx, struct pack_list *list,
                               const struct weight_source *source, int node, struct matrix *out)
{
    const struct linear_kernel *kernel = cm_linear_kernel(source->type, list->isa);
    *out = (struct matrix){.kernel = kernel, .n_rows = source->n_rows, .n_columns = source->n_columns};
    if (source->n_rows == 0) return CALMOE_OK;
    CM_TRY(cm_pack_list_note(ctx, list, source, node, out));
    return add_job(ctx, list, &(struct pack_job){.source = *source, .kernel = kernel, .matrix = out, .node = node});
}

calmoe_status cm_pack_list_add_floats(struct calmoe_context *ctx, struct pack_list *list, const float *values, int n,
                                      int node, const float **out)
{
    /* Plain C packs a row as it stands. */
    const struct weight_source row = {.type = WEIGHT_F32, .rows = (const uint8_t *)values, .n_rows = 1, .n_columns = n};
    const struct linear_kernel *kernel = cm_linear_kernel(WEIGHT_F32, ISA_REF);
    *out = values;
    return add_job(ctx, list, &(struct pack_job){.source = row, .kernel = kernel, .floats = out, .node = node});
}

calmoe_status cm_pack_list_keep(struct calmoe_context *ctx, struct pack_list *list, void *memory)
{
    struct kept *kept = cm_alloc(ctx, 1, sizeof *kept, "the list of weights");
    if (!kept) {
        cm_free(memory);
        return CALMOE_NO_MEMORY;
    }
    *kept = (struct kept){memory, list->kept};
    list->kept = kept;
    return CALMOE_OK;
}

void cm_pack_list_number(struct pack_list *list) { list->is_numbered = true; }

calmoe_status cm_pack_list_origins(struct calmoe_context *ctx, const struct pack_list *list,
                                   struct matrix_origin **out, int *n)
{
    *n = list->n_origins + 1;
    *out = cm_alloc(ctx, (size_t)*n, sizeof **out, "the list of weights");
    if (!*out) return CALMOE_NO_MEMORY;
    for (int i = 0; i < list->n_origins; i++) (*out)[i + 1] = list->origins[i];
    return CALMOE_OK;
}

size_t cm_pack_list_size(const struct pack_list *list)
{
    return list->n_jobs;
}

const struct matrix *cm_pack_list_matrix(const struct pack_list *list, size_t i, int *node)
{
    if (node) *node = list->jobs[i].node;
    return list->jobs[i].matrix;
}

size_t cm_pack_list_bytes(const struct pack_list *list)
{
    size_t n = 0;
    for (int node = 0; node < CM_MAX_NODES; node++) n += list->bytes_on[node];
    return n;
}

/* Rows of a chunk: whole tiles, about CHUNK_BYTES of file. */
static int rows_of_chunk(const struct pack_job *job)
{
    const int tile = job->kernel->tile_rows;
    const size_t tile_bytes = cm_row_bytes(job->source.type, (size_t)job->source.n_columns) * (size_t)tile;
    const size_t n_tiles = tile_bytes < CHUNK_BYTES ? CHUNK_BYTES / tile_bytes : 1;
    const size_t rows = n_tiles * (size_t)tile;
    return rows < (size_t)job->source.n_rows ? (int)rows : job->source.n_rows;
}

static size_t chunk_bytes(const struct pack_list *list, const struct pack_chunk *chunk)
{
    const struct weight_source *source = &list->jobs[chunk->job].source;
    const size_t n_rows = (size_t)(chunk->row_end - chunk->row_begin);
    return n_rows * cm_row_bytes(source->type, (size_t)source->n_columns);
}

/* In the order of the files, which disks read fastest. */
static int compare_jobs(const void *a, const void *b)
{
    const uintptr_t left = (uintptr_t)((const struct pack_job *)a)->source.rows;
    const uintptr_t right = (uintptr_t)((const struct pack_job *)b)->source.rows;
    return (left > right) - (left < right);
}

/* Writes the chunks of all jobs, or only counts them where chunks is NULL. */
static size_t cut(const struct pack_list *list, struct pack_chunk *chunks)
{
    size_t n = 0;
    for (size_t i = 0; i < list->n_jobs; i++) {
        const int n_rows = list->jobs[i].source.n_rows, step = rows_of_chunk(&list->jobs[i]);
        for (int begin = 0; begin < n_rows; begin += step, n++)
            if (chunks) {
                const int end = n_rows - begin < step ? n_rows : begin + step;
                chunks[n] = (struct pack_chunk){i, begin, end};
            }
    }
    return n;
}

struct pack_run {
    const struct pack_list *list;
    struct pack_chunk      *chunks;  /* (n_chunks)                             */
    uint8_t                *buffers; /* (n_workers, buffer_bytes)              */
    size_t                  n_chunks, buffer_bytes;
    size_t                  end;     /* of the chunks that are packed now      */
    struct packed_weights  *weights;
    atomic_size_t           next;
    atomic_bool             stop;
    atomic_int              failure; /* of cm_file_map_read()                  */
    bool                    cancelled;
    int (*progress)(void *user, double fraction);
    void *user;
};

static const uint8_t *rows_of(const struct pack_run *run, const struct pack_chunk *chunk)
{
    const struct weight_source *source = &run->list->jobs[chunk->job].source;
    return source->rows + (size_t)chunk->row_begin * cm_row_bytes(source->type, (size_t)source->n_columns);
}

/* Returns what cm_file_map_read() does. */
static int pack_chunk(const struct pack_run *run, const struct pack_chunk *chunk, uint8_t *buffer)
{
    const struct pack_job *job = &run->list->jobs[chunk->job];
    const struct linear_kernel *kernel = job->kernel;
    const size_t columns = (size_t)job->source.n_columns, n_rows = (size_t)(chunk->row_end - chunk->row_begin);
    const struct file_map *map = job->source.map;
    const uint8_t *rows = rows_of(run, chunk);
    if (map) {
        const int failure = cm_file_map_read(map, (size_t)(rows - map->bytes), chunk_bytes(run->list, chunk), buffer);
        if (failure != 0) return failure;
        rows = buffer;
    }
    uint8_t *packed = (uint8_t *)run->weights->blocks[job->node].bytes + job->offset;
    kernel->pack(rows, n_rows, columns, packed + kernel->packed_bytes((size_t)chunk->row_begin, columns));
    return 0;
}

/* All workers take chunks in order; the caller's thread reports now and then. */
static void pack_phase(void *arg, const struct worker *me)
{
    struct pack_run *run = arg;
    while (!atomic_load(&run->stop)) {
        const size_t i = atomic_fetch_add(&run->next, 1);
        if (i >= run->end) return;
        if (me->index == 0 && run->progress && run->progress(run->user, (double)i / (double)run->n_chunks)) {
            run->cancelled = true;
            atomic_store(&run->stop, true);
            return;
        }
        const int failure = pack_chunk(run, &run->chunks[i], run->buffers + (size_t)me->index * run->buffer_bytes);
        if (failure != 0) {
            atomic_store(&run->failure, failure);
            atomic_store(&run->stop, true);
        }
    }
}

void cm_packed_weights_close(struct packed_weights *weights)
{
    for (int node = 0; node < weights->n_blocks; node++) cm_node_block_close(&weights->blocks[node]);
    *weights = (struct packed_weights){0};
}

static calmoe_status open_blocks(struct calmoe_context *ctx, const struct pack_list *list,
                                 const struct topology *topology, struct packed_weights *out)
{
    out->n_blocks = topology->n_nodes;
    for (int node = 0; node < topology->n_nodes; node++) {
        if (list->bytes_on[node] == 0) continue;
        CM_TRY(cm_node_block_open(ctx, topology, node, list->bytes_on[node], &out->blocks[node]));
        out->n_bytes += list->bytes_on[node];
    }
    for (size_t i = 0; i < list->n_jobs; i++) {
        const struct pack_job *job = &list->jobs[i];
        uint8_t *packed = (uint8_t *)out->blocks[job->node].bytes + job->offset;
        if (job->matrix) job->matrix->packed = packed;
        else *job->floats = (const float *)(const void *)packed;
    }
    return CALMOE_OK;
}

/* Chunks, and for each worker a buffer that holds the largest. */
static calmoe_status open_run(struct calmoe_context *ctx, struct pack_list *list, const struct team *team,
                              struct pack_run *run)
{
    if (list->n_jobs > 0) qsort(list->jobs, list->n_jobs, sizeof *list->jobs, compare_jobs);
    run->n_chunks = cut(list, NULL);
    run->chunks = cm_alloc(ctx, run->n_chunks, sizeof *run->chunks, "the list of weights");
    if (!run->chunks) return CALMOE_NO_MEMORY;
    cut(list, run->chunks);
    for (size_t i = 0; i < run->n_chunks; i++) {
        const size_t n_bytes = chunk_bytes(list, &run->chunks[i]);
        if (list->jobs[run->chunks[i].job].source.map && n_bytes > run->buffer_bytes) run->buffer_bytes = n_bytes;
    }
    run->buffers = cm_alloc(ctx, (size_t)cm_team_n_workers(team), run->buffer_bytes, "buffers for weights");
    return run->buffers ? CALMOE_OK : CALMOE_NO_MEMORY;
}

/* Chunks begin … end. */
static calmoe_status run_chunks(struct calmoe_context *ctx, struct pack_run *run, struct team *team, size_t begin,
                                size_t end)
{
    atomic_store(&run->next, begin);
    run->end = end;
    cm_team_run(team, pack_phase, run);
    const int failure = atomic_load(&run->failure);
    if (failure != 0)
        return cm_fail(ctx, CALMOE_IO, "cannot read the model's weights: %s",
                       failure == CM_FILE_ENDED ? "the file has become shorter" : strerror(failure));
    if (run->cancelled || (end == run->n_chunks && run->progress && run->progress(run->user, 1.0)))
        return cm_fail(ctx, CALMOE_CANCELLED, "loading was cancelled");
    return CALMOE_OK;
}

/* Chunks from begin on that come from rank 0 together, and where they are: (*n_ranges). */
static size_t next_portion(const struct pack_run *run, size_t begin, struct file_range *ranges, size_t *n_ranges)
{
    size_t n_bytes = 0, end = begin;
    *n_ranges = 0;
    for (; end < run->n_chunks && n_bytes < PORTION_BYTES; end++) {
        const struct pack_chunk *chunk = &run->chunks[end];
        const uint8_t           *rows = rows_of(run, chunk);
        const size_t             n = chunk_bytes(run->list, chunk);
        if (!run->list->jobs[chunk->job].source.map || !cm_sharing_is_lent(run->list->sharing, rows)) continue;
        struct file_range *last = *n_ranges > 0 ? &ranges[*n_ranges - 1] : NULL;
        if (last && last->bytes + last->n == rows) last->n += n;
        else ranges[(*n_ranges)++] = (struct file_range){rows, n};
        n_bytes += n;
    }
    return end;
}

/* A rank without the file: a portion is fetched, packed and dropped. */
static calmoe_status run_portions(struct calmoe_context *ctx, struct pack_run *run, struct team *team)
{
    const struct file_sharing *sharing = run->list->sharing;
    struct file_range *ranges = cm_alloc(ctx, run->n_chunks, sizeof *ranges, "the list of weights");
    calmoe_status      status = ranges ? CALMOE_OK : CALMOE_NO_MEMORY;
    for (size_t begin = 0, end, n; begin < run->n_chunks && status == CALMOE_OK; begin = end) {
        end = next_portion(run, begin, ranges, &n);
        status = cm_sharing_fetch(sharing, ranges, n);
        if (status == CALMOE_OK) status = run_chunks(ctx, run, team, begin, end);
        cm_sharing_drop(sharing, ranges, n);
    }
    cm_free(ranges);
    return status == CALMOE_OK ? cm_sharing_end(sharing) : status;
}

/* status: how it went so far, here; ranks that share a file begin together, or not at all. */
static calmoe_status run_list(struct calmoe_context *ctx, struct pack_run *run, struct team *team, calmoe_status status)
{
    const struct file_sharing *sharing = run->list->sharing;
    if (sharing) status = cm_sharing_agree(sharing, status);
    if (status == CALMOE_OK && sharing && cm_ranks_own(sharing->ranks) > 0) return run_portions(ctx, run, team);
    if (status == CALMOE_OK && sharing) status = cm_sharing_serve(sharing);
    return status == CALMOE_OK ? run_chunks(ctx, run, team, 0, run->n_chunks) : status;
}

calmoe_status cm_pack_list_run(struct calmoe_context *ctx, struct pack_list *list,
                               const struct topology *topology, struct team *team,
                               int (*progress)(void *user, double fraction), void *user,
                               struct packed_weights *out)
{
    *out = (struct packed_weights){0};
    struct pack_run run = {.list = list, .weights = out, .progress = progress, .user = user};
    calmoe_status status = open_run(ctx, list, team, &run);
    if (status == CALMOE_OK) status = open_blocks(ctx, list, topology, out);
    status = run_list(ctx, &run, team, status);
    cm_free(run.buffers);
    cm_free(run.chunks);
    if (status != CALMOE_OK) cm_packed_weights_close(out);
    return status;
}
