/* experts/packing.c - see packing.h. */
#include "experts/packing.h"

#include <stdatomic.h>

#include "base/memory.h"

enum { CHUNK_BYTES = 512 * 1024 }; /* of file, packed at a time by one worker */

struct pack_job {
    struct weight_source source;
    struct matrix       *out;
    int                  node;
    size_t               offset; /* in the node's block */
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
    cm_free((*list)->jobs);
    cm_free(*list);
    *list = NULL;
}

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

calmoe_status cm_pack_list_add(struct calmoe_context *ctx, struct pack_list *list,
                               const struct weight_source *source, int node, struct matrix *out)
{
    CM_TRY(grow(ctx, list));
    const struct linear_kernel *kernel = cm_linear_kernel(source->type, list->isa);
    *out = (struct matrix){.kernel = kernel, .n_rows = source->n_rows, .n_columns = source->n_columns};
    const size_t n_bytes = kernel->packed_bytes((size_t)source->n_rows, (size_t)source->n_columns);
    const size_t rounded = (n_bytes + CM_ALIGNMENT - 1) / CM_ALIGNMENT * CM_ALIGNMENT;
    list->jobs[list->n_jobs++] = (struct pack_job){*source, out, node, list->bytes_on[node]};
    if (!cm_add(list->bytes_on[node], rounded, &list->bytes_on[node]))
        return cm_fail(ctx, CALMOE_NO_MEMORY, "the weights are larger than any memory");
    return CALMOE_OK;
}

/* Rows of a chunk: whole tiles, about CHUNK_BYTES of file. */
static int rows_of_chunk(const struct pack_job *job)
{
    const int tile = job->out->kernel->tile_rows;
    const size_t tile_bytes = cm_row_bytes(job->source.type, (size_t)job->source.n_columns) * (size_t)tile;
    const size_t n_tiles = tile_bytes < CHUNK_BYTES ? CHUNK_BYTES / tile_bytes : 1;
    const size_t rows = n_tiles * (size_t)tile;
    return rows < (size_t)job->source.n_rows ? (int)rows : job->source.n_rows;
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
    const struct pack_chunk *chunks;
    size_t                  n_chunks;
    struct packed_weights  *weights;
    atomic_size_t           next;
    atomic_bool             cancelled;
    int (*progress)(void *user, double fraction);
    void *user;
};

static void pack_chunk(struct pack_run *run, const struct pack_chunk *chunk)
{
    const struct pack_job *job = &run->list->jobs[chunk->job];
    const struct linear_kernel *kernel = job->out->kernel;
    const size_t columns = (size_t)job->source.n_columns, n_rows = (size_t)(chunk->row_end - chunk->row_begin);
    const size_t row_bytes = cm_row_bytes(job->source.type, columns);
    const uint8_t *rows = job->source.rows + (size_t)chunk->row_begin * row_bytes;
    uint8_t *packed = (uint8_t *)run->weights->blocks[job->node].bytes + job->offset;
    kernel->pack(rows, n_rows, columns, packed + kernel->packed_bytes((size_t)chunk->row_begin, columns));
    if (job->source.map)
        cm_file_map_release(job->source.map, (size_t)(rows - job->source.map->bytes), n_rows * row_bytes);
}

/* All workers take chunks in order; the caller's thread reports now and then. */
static void pack_phase(void *arg, const struct worker *me)
{
    struct pack_run *run = arg;
    for (;;) {
        const size_t i = atomic_fetch_add(&run->next, 1);
        if (i >= run->n_chunks || atomic_load(&run->cancelled)) return;
        if (me->index == 0 && run->progress && run->progress(run->user, (double)i / (double)run->n_chunks)) {
            atomic_store(&run->cancelled, true);
            return;
        }
        pack_chunk(run, &run->chunks[i]);
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
    for (size_t i = 0; i < list->n_jobs; i++)
        list->jobs[i].out->packed = (uint8_t *)out->blocks[list->jobs[i].node].bytes + list->jobs[i].offset;
    return CALMOE_OK;
}

calmoe_status cm_pack_list_run(struct calmoe_context *ctx, struct pack_list *list,
                               const struct topology *topology, struct team *team,
                               int (*progress)(void *user, double fraction), void *user,
                               struct packed_weights *out)
{
    *out = (struct packed_weights){0};
    struct pack_run run = {.list = list, .weights = out, .progress = progress, .user = user};
    run.n_chunks = cut(list, NULL);
    struct pack_chunk *chunks = cm_alloc(ctx, run.n_chunks, sizeof *chunks, "the list of weights");
    calmoe_status status = chunks ? open_blocks(ctx, list, topology, out) : CALMOE_NO_MEMORY;
    if (status == CALMOE_OK) {
        cut(list, chunks);
        run.chunks = chunks;
        cm_team_run(team, pack_phase, &run);
        if (atomic_load(&run.cancelled) || (progress && progress(user, 1.0)))
            status = cm_fail(ctx, CALMOE_CANCELLED, "loading was cancelled");
    }
    cm_free(chunks);
    if (status != CALMOE_OK) cm_packed_weights_close(out);
    return status;
}
