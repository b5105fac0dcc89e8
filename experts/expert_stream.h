/* experts/expert_stream.h - routed experts that do not all fit into memory: slots that hold some of them, and threads
 * that read the others from the model's file when a router names them, packed as the kernels want.
 *
 * Opened with weights: every routed expert of every layer, but for those that a plan keeps in memory, is added, then
 * it starts with as many slots as the memory limit leaves room for, and fills them. A step then says, layer by layer,
 * what it needs (one worker, others waiting); what is not in a slot is read while experts that are there run, and
 * whoever comes to an expert that is still on its way waits for it. What the next layer will probably need may be named
 * as well: it is read behind all that is needed.
 *
 * Which bytes are where changes nothing that is computed. A read that fails ends the step: cm_expert_stream_failure().
 * slot_cache.h decides who goes. */
#ifndef EXPERTS_EXPERT_STREAM_H
#define EXPERTS_EXPERT_STREAM_H

#include "experts/packed_experts.h"
#include "experts/slot_cache.h"

struct expert_stream;

/* packed: where experts are read from as they are, whole ones checked by their checksums; it outlives the stream. NULL:
 * they are read from the model's own file. */
calmoe_status cm_expert_stream_open(struct calmoe_context *ctx, enum isa isa, int n_layers, int n_experts,
                                    const struct packed_experts *packed, struct expert_stream **out);
void          cm_expert_stream_close(struct expert_stream **stream); /* NULL is fine */

/* A matrix of an expert, or its rows on a node: *out gets its shape and kernel, and its bytes whenever the expert is in
 * a slot. It must stay where it is, and the source's map open. Matrices of an expert are added one after the other.
 * packed_at: where they stand in an expert that is packed whole. */
calmoe_status cm_expert_stream_add(struct expert_stream *stream, int layer, int expert,
                                   const struct weight_source *source, uint64_t packed_at, int node,
                                   struct matrix *out);

/* A routed expert that is not added: it stays in memory, and steps find it there. */
void cm_expert_stream_keep(struct expert_stream *stream);

/* Of what was added: bytes of a slot, on all nodes, and how many there are for all experts. */
size_t cm_expert_stream_slot_bytes(const struct expert_stream *stream);
int    cm_expert_stream_n_experts(const struct expert_stream *stream);
/* What threads that read take besides the slots. */
size_t cm_expert_stream_buffer_bytes(const struct expert_stream *stream);

struct stream_start {
    const struct topology *topology;
    int                    n_slots;
    const uint64_t        *uses;      /* (n_layers, n_experts): tokens of a profile; NULL = nothing is known  */
    int                    n_used;    /* experts of a token in a layer                                        */
    bool                   is_direct; /* files are read past the system's cache, where the file system can    */
    int (*progress)(void *user, double fraction); /* as in cm_pack_list_run()                                 */
    void *user;
};
/* Takes the slots and fills them. NO_MEMORY, SYSTEM, IO, CANCELLED. */
calmoe_status cm_expert_stream_start(struct expert_stream *stream, const struct stream_start *start);

/* ---- in a step; by one worker, others waiting ---- */

void cm_expert_stream_begin_step(struct expert_stream *stream);
/* The layer's step needs these experts (n), which are different; late[i] = whether expert i is still on its way. What
 * an earlier layer needed may go from now on. There are slots for n experts at least. */
void cm_expert_stream_want(struct expert_stream *stream, int layer, const int32_t *experts, int n, bool *late);
/* These experts (n, repetitions are fine) are probably wanted next, by that layer. was_asked: a router was asked which,
 * so it counts whether they come to be wanted. */
void cm_expert_stream_ahead(struct expert_stream *stream, int layer, const int32_t *experts, int n, bool was_asked);

/* ---- by any worker, between want() and the next one ---- */

/* Returns when the expert is there; false: it could not be read. */
bool cm_expert_stream_wait(struct expert_stream *stream, int layer, int expert);

/* ---- between steps ---- */

/* IO with the sentence, where a step of late could not read an expert; it is forgotten then. OK: none. */
calmoe_status cm_expert_stream_failure(struct expert_stream *stream);

/* Nanoseconds that an expert takes which is nowhere in memory, the mean of some that are read, n of a layer at a time,
 * as a token needs them; 0 where none is to be found. IO. */
calmoe_status cm_expert_stream_time_reads(struct expert_stream *stream, int n, double *ns);

struct stream_counts {
    uint64_t n_wanted;   /* experts that layers of steps needed                                         */
    uint64_t n_there;    /* of them, in a slot already                                                  */
    uint64_t n_ahead;    /* of them, in a slot or on the way there because they had been named ahead    */
    uint64_t n_asked;    /* of them, in layers for which the lookahead was asked                        */
    uint64_t n_named;    /* of those, named by it                                                       */
    uint64_t n_reads;    /* experts that were read                                                      */
    uint64_t n_bytes;    /* of files, for that                                                          */
    uint64_t waited_ns;  /* summed over workers                                                         */
};
/* What steps did since the start, or the last reset. */
struct stream_counts cm_expert_stream_counts(const struct expert_stream *stream);
void                 cm_expert_stream_reset_counts(struct expert_stream *stream);

struct stream_size {
    int    n_slots, n_experts; /* of all layers                   */
    int    n_kept;             /* experts beside these, that stay */
    size_t n_bytes;            /* of all slots                    */
    size_t bytes_on[CM_MAX_NODES];
    bool   is_direct;          /* files are read past the cache   */
    int    ring_error;         /* why not by io_uring, by threads with pread, as errno says it; 0: they are */
};
struct stream_size cm_expert_stream_size(const struct expert_stream *stream);

#endif
