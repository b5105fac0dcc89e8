/* experts/stream_read.c - an expert from the model's file into a slot: chunks of rows, read and packed one by one. */
#include "base/checksum.h"
#include "experts/stream_parts.h"

enum { CHUNK_BYTES = 1 << 20 };

int cm_stream_chunk_rows(const struct stream_piece *piece)
{
    const int    tile = piece->matrix->kernel->tile_rows;
    const size_t tile_bytes = cm_row_bytes(piece->source.type, (size_t)piece->source.n_columns) * (size_t)tile;
    const size_t n_tiles = tile_bytes < CHUNK_BYTES ? CHUNK_BYTES / tile_bytes : 1;
    const size_t n_rows = n_tiles * (size_t)tile;
    return n_rows < (size_t)piece->source.n_rows ? (int)n_rows : piece->source.n_rows;
}

/* Rows begin … begin + n of a piece. False: they could not be read, and the slot says why. */
static bool read_rows(struct expert_stream *stream, struct stream_slot *slot, const struct stream_piece *piece,
                      int begin, int n, void *buffer)
{
    const struct linear_kernel *kernel = piece->matrix->kernel;
    const size_t   columns = (size_t)piece->source.n_columns, row_bytes = cm_row_bytes(piece->source.type, columns);
    const size_t   n_bytes = (size_t)n * row_bytes;
    const uint8_t *rows = piece->source.rows + (size_t)begin * row_bytes;
    if (piece->file >= 0) {
        const struct stream_file *file = &stream->files[piece->file];
        const uint64_t            offset = (uint64_t)(rows - file->map->bytes);
        slot->failure = cm_disk_file_read(&file->disk, offset, n_bytes, buffer, &rows);
        slot->failed_at = offset;
        if (slot->failure != 0) return false;
        atomic_fetch_add_explicit(&stream->n_bytes, n_bytes, memory_order_relaxed);
    }
    kernel->pack(rows, (size_t)n, columns,
                 slot->bytes_on[piece->node] + piece->at + kernel->packed_bytes((size_t)begin, columns));
    return true;
}

/* The whole expert, as it stands in the packed file. */
static bool read_packed(struct expert_stream *stream, struct stream_slot *slot, const struct packed_expert *expert)
{
    const uint8_t *found;
    const size_t   n_bytes = (size_t)expert->n_bytes;
    slot->failure = cm_disk_file_read(&stream->packed_file, expert->at, n_bytes, slot->bytes_on[0], &found);
    slot->failed_at = expert->at;
    if (slot->failure != 0) return false;
    atomic_fetch_add_explicit(&stream->n_bytes, n_bytes, memory_order_relaxed);
    if (cm_checksum(slot->bytes_on[0], n_bytes) != expert->checksum) slot->failure = STREAM_DAMAGED;
    return slot->failure == 0;
}

void cm_stream_read(void *self, int job, void *buffer)
{
    struct expert_stream       *stream = self;
    struct stream_slot         *slot = &stream->slots[job];
    const struct stream_expert *expert = cm_stream_expert(stream, stream->cache.key_in[job]);
    slot->failure = 0;
    if (stream->packed) {
        if (read_packed(stream, slot, &stream->packed->experts[stream->cache.key_in[job]]))
            atomic_fetch_add_explicit(&stream->n_reads, 1, memory_order_relaxed);
        return;
    }
    for (size_t i = expert->first; i < expert->first + expert->n; i++) {
        const struct stream_piece *piece = &stream->pieces[i];
        const int                  step = cm_stream_chunk_rows(piece);
        for (int row = 0; row < piece->source.n_rows; row += step) {
            const int left = piece->source.n_rows - row;
            if (!read_rows(stream, slot, piece, row, left < step ? left : step, buffer)) return;
        }
    }
    atomic_fetch_add_explicit(&stream->n_reads, 1, memory_order_relaxed);
}
