/* experts/stream_read.c - an expert from the model's file into a slot: chunks of rows, several in flight, each packed
 * when it has come. */
#include <string.h>

#include "base/checksum.h"
#include "experts/stream_parts.h"

int cm_stream_chunk_rows(const struct stream_piece *piece, size_t n_bytes)
{
    const int    tile = piece->matrix->kernel->tile_rows;
    const size_t tile_bytes = cm_row_bytes(piece->source.type, (size_t)piece->source.n_columns) * (size_t)tile;
    const size_t n_tiles = tile_bytes < n_bytes ? n_bytes / tile_bytes : 1;
    const size_t n_rows = n_tiles * (size_t)tile;
    return n_rows < (size_t)piece->source.n_rows ? (int)n_rows : piece->source.n_rows;
}

size_t cm_stream_chunk_bytes(const struct expert_stream *stream, const struct stream_piece *piece, int n_rows)
{
    const size_t columns = (size_t)piece->source.n_columns;
    if (stream->packed) return piece->matrix->kernel->packed_bytes((size_t)n_rows, columns);
    return (size_t)n_rows * cm_row_bytes(piece->source.type, columns);
}

struct chunk { /* a read, of rows or of a whole packed expert */
    struct disk_read           read;  /* first: a read that is handed back is its chunk   */
    bool                       is_asked;
    int                        index; /* how many were asked for before it                */
    const struct stream_piece *piece; /* NULL: bytes of a packed expert, where they are   */
    int                        row, n;
    uint64_t                   from;  /* where the rows, or the packed expert, begin       */
};

struct reading { /* of one expert */
    struct expert_stream *stream;
    struct stream_slot   *slot;
    struct disk_queue    *queue;
    int                   n_at_once, n_asked;
    int                   failed; /* index of the chunk of which the slot tells */
    struct chunk          chunks[STREAM_AT_ONCE];
};

/* Rows of a piece, as they were found, to their place in the slot. */
static void pack_rows(const struct reading *r, const struct stream_piece *piece, int row, int n, const uint8_t *rows)
{
    const struct linear_kernel *kernel = piece->matrix->kernel;
    const size_t                columns = (size_t)piece->source.n_columns;
    uint8_t *const to = r->slot->bytes_on[piece->node] + piece->at + kernel->packed_bytes((size_t)row, columns);
    if (r->stream->packed) memcpy(to, rows, kernel->packed_bytes((size_t)n, columns));
    else kernel->pack(rows, (size_t)n, columns, to);
}

/* Waits for one of the chunks; NULL: none was asked for. Of failures the first in the file's order is told, whichever
 * came first. */
static struct chunk *take(struct reading *r)
{
    struct disk_read *read = cm_disk_queue_take(r->queue);
    struct chunk     *chunk = (struct chunk *)read;
    if (!read) return NULL;
    chunk->is_asked = false;
    if (read->failure == 0) {
        if (chunk->piece) pack_rows(r, chunk->piece, chunk->row, chunk->n, read->found);
        atomic_fetch_add_explicit(&r->stream->n_bytes, read->n_bytes, memory_order_relaxed);
    } else if (r->slot->failure == 0 || chunk->index < r->failed) {
        r->slot->failure = read->failure;
        r->slot->failed_at = chunk->from;
        r->failed = chunk->index;
    }
    return chunk;
}

/* A chunk that can be asked for; NULL: one has failed. */
static struct chunk *free_chunk(struct reading *r)
{
    struct chunk *chunk = NULL;
    for (int i = 0; i < r->n_at_once && !chunk; i++)
        if (!r->chunks[i].is_asked) chunk = &r->chunks[i];
    if (!chunk) chunk = take(r);
    return r->slot->failure == 0 ? chunk : NULL;
}

/* Asks for n_bytes at an offset behind the chunk's `from`. */
static void ask(struct reading *r, struct chunk *chunk, const struct disk_file *file, uint64_t behind, size_t n_bytes)
{
    chunk->is_asked = true;
    chunk->index = r->n_asked++;
    chunk->read.file = file;
    chunk->read.offset = chunk->from + behind;
    chunk->read.n_bytes = n_bytes;
    cm_disk_queue_ask(r->queue, &chunk->read);
    if (r->n_at_once == 1) take(r);
}

/* Where a piece stands: in which file, and from where on. NULL: in memory. */
static const struct disk_file *file_of(const struct expert_stream *stream, const struct stream_expert *expert,
                                       const struct stream_piece *piece, uint64_t *from)
{
    if (stream->packed) *from = stream->packed->experts[expert - stream->experts].at + piece->packed_at;
    if (stream->packed) return &stream->packed_file;
    if (piece->file < 0) return NULL;
    *from = (uint64_t)(piece->source.rows - stream->files[piece->file].map->bytes);
    return &stream->files[piece->file].disk;
}

/* False: something could not be read, and the slot says what. */
static bool read_piece(struct reading *r, const struct stream_expert *expert, const struct stream_piece *piece)
{
    const int               step = cm_stream_chunk_rows(piece, r->n_at_once > 1 ? STREAM_SMALL : STREAM_LARGE);
    uint64_t                from = 0;
    const struct disk_file *file = file_of(r->stream, expert, piece, &from);
    if (!file) {
        pack_rows(r, piece, 0, piece->source.n_rows, piece->source.rows);
        return true;
    }
    for (int row = 0; row < piece->source.n_rows; row += step) {
        struct chunk *chunk = free_chunk(r);
        if (!chunk) return false;
        chunk->piece = piece;
        chunk->row = row;
        chunk->n = piece->source.n_rows - row < step ? piece->source.n_rows - row : step;
        chunk->from = from;
        ask(r, chunk, file, cm_stream_chunk_bytes(r->stream, piece, row),
            cm_stream_chunk_bytes(r->stream, piece, chunk->n));
    }
    return true;
}

static void read_pieces(struct reading *r, const struct stream_expert *expert, uint8_t *buffer)
{
    const size_t each = cm_disk_buffer_bytes(r->n_at_once > 1 ? r->stream->small_bytes : r->stream->large_bytes);
    const size_t n_blocks = each / CM_DISK_BLOCK; /* enough for a chunk, wherever in its first block it begins */
    for (int i = 0; i < r->n_at_once; i++) r->chunks[i].read.buffer = buffer + (size_t)i * n_blocks * CM_DISK_BLOCK;
    for (size_t i = expert->first; i < expert->first + expert->n; i++)
        if (!read_piece(r, expert, &r->stream->pieces[i])) break;
    while (take(r)) {}
}

/* The whole expert as it stands in the packed file, straight into the slot: it begins at a block's border there and
 * here, and so does each chunk. */
static void read_packed(struct reading *r, const struct packed_expert *expert)
{
    const size_t n_bytes = (size_t)expert->n_bytes, step = r->n_at_once > 1 ? STREAM_LARGE : n_bytes;
    for (size_t at = 0; at < n_bytes; at += step) {
        struct chunk *chunk = free_chunk(r);
        if (!chunk) break;
        chunk->piece = NULL;
        chunk->from = expert->at;
        chunk->read.buffer = r->slot->bytes_on[0] + at;
        ask(r, chunk, &r->stream->packed_file, at, n_bytes - at < step ? n_bytes - at : step);
    }
    while (take(r)) {}
    if (r->slot->failure != 0 || cm_checksum(r->slot->bytes_on[0], n_bytes) == expert->checksum) return;
    r->slot->failure = STREAM_DAMAGED;
    r->slot->failed_at = expert->at;
}

void cm_stream_read(void *self, int job, int thread, void *buffer)
{
    struct expert_stream *stream = self;
    const int             key = stream->cache.key_in[job];
    struct reading        r = {.stream = stream, .slot = &stream->slots[job], .queue = &stream->queues[thread],
                               .n_at_once = stream->n_at_once};
    r.slot->failure = 0;
    if (stream->packed && !stream->packed_is_cut) read_packed(&r, &stream->packed->experts[key]);
    else read_pieces(&r, cm_stream_expert(stream, key), buffer);
    if (r.slot->failure == 0) atomic_fetch_add_explicit(&stream->n_reads, 1, memory_order_relaxed);
}
