/* experts/stream_parts.h - an expert_stream inside: for expert_stream.c and stream_read.c only. */
#ifndef EXPERTS_STREAM_PARTS_H
#define EXPERTS_STREAM_PARTS_H

#include <stdatomic.h>

#include "base/disk_file.h"
#include "base/readers.h"
#include "experts/expert_stream.h"

struct stream_piece { /* rows of a matrix of an expert, on one node */
    struct weight_source source;
    struct matrix       *matrix;
    int                  node;
    size_t               at;   /* in the slot's bytes on that node                    */
    uint64_t             packed_at; /* in the expert in a packed file                 */
    int                  file; /* of stream.files; -1: the source lies in memory      */
};

enum {
    STREAM_THREADS = 4,      /* that read and pack                                               */
    STREAM_AT_ONCE = 4,      /* reads that a thread has in flight, where there are rings         */
    STREAM_LARGE = 1 << 20,  /* bytes that are read at once by a thread with one read at a time  */
    STREAM_SMALL = 240 << 10 /* and with several: four, with the blocks round them, take the room of a large one */
};
enum { STREAM_DAMAGED = -2 }; /* a failure: what was read has another checksum */

struct stream_expert {
    size_t first, n;        /* its pieces: stream.pieces[first …]; n 0: it is kept in memory */
    size_t bytes_on[CM_MAX_NODES]; /* packed, of a slot                 */
    bool   was_named;       /* by the last lookahead at its layer       */
};

struct stream_file {
    const struct file_map *map;
    struct disk_file       disk;
};

struct stream_slot {
    uint8_t *bytes_on[CM_MAX_NODES]; /* NULL where experts have nothing                     */
    int      failure;                /* of the last read: as of a struct disk_read          */
    uint64_t failed_at;              /* and where that was                                  */
    bool     is_ahead;               /* read because it was named, and not needed since     */
};

struct expert_stream {
    struct calmoe_context *ctx;
    enum isa               isa;
    int                    n_layers, n_experts;
    int                    n_kept;    /* that were not added        */
    const struct packed_experts *packed; /* NULL: each piece is read from its source */
    struct disk_file       packed_file;
    bool                   packed_is_cut; /* only rows of its experts are read: not their checksums then */
    struct stream_expert  *experts; /* (n_layers, n_experts)    */
    size_t                 n_pieces, pieces_capacity;
    struct stream_piece   *pieces;  /* (n_pieces)               */
    int                    n_files;
    struct stream_file    *files;   /* (n_files)                */
    size_t                 large_bytes; /* of file, the most that a thread reads at once in one read … */
    size_t                 small_bytes; /* … and in one of several                                     */
    size_t                 slot_bytes[CM_MAX_NODES];
    /* since the start */
    int                    n_nodes;
    struct node_block      blocks[CM_MAX_NODES];
    struct slot_cache      cache;
    struct stream_slot    *slots;   /* (n_slots)                */
    struct readers        *readers; /* job = slot               */
    struct disk_queue      queues[STREAM_THREADS];
    int                    ring_error; /* why queues have one read at a time; 0: they have several */
    int                    n_at_once;  /* reads of a thread     */
    struct stream_counts   counts;
    atomic_uint_fast64_t   n_reads, n_bytes, waited_ns; /* that the threads count */
    bool                   was_asked; /* the lookahead, for the layer to come */
    struct stream_slot     failed;    /* of a read that was waited for; failure 0: there is none */
    atomic_int             failed_slot; /* what workers met; NO_SLOT: nothing */
};

static inline struct stream_expert *cm_stream_expert(const struct expert_stream *stream, int key)
{
    return &stream->experts[key];
}

/* Rows of a piece that are read at once: whole tiles, one at least, of about so many bytes of the file. */
int cm_stream_chunk_rows(const struct stream_piece *piece, size_t n_bytes);
/* Bytes of so many rows in the file: packed there, or not. */
size_t cm_stream_chunk_bytes(const struct expert_stream *stream, const struct stream_piece *piece, int n_rows);
/* The work of readers: fills slot `job` of a stream with the expert that the cache says is there. */
void cm_stream_read(void *stream, int job, int thread, void *buffer);

#endif
