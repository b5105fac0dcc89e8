/* experts/packed_experts.h - routed experts that stand in a file in the order in which kernels read them: what is
 * mapped or read from there needs no packing. How the file looks: runtime/documents/packed_file.h.
 *
 * An expert's matrices gate (where there is one), up and down stand one behind the other, each from a multiple of
 * CM_ALIGNMENT on, as in a slot of a stream. A matrix's rows stand there tile by tile, so that a rank finds its own one
 * behind the other. */
#ifndef EXPERTS_PACKED_EXPERTS_H
#define EXPERTS_PACKED_EXPERTS_H

#include "experts/packing.h"

struct packed_expert {
    uint64_t at;       /* in the file                                                  */
    uint64_t n_bytes;
    uint64_t checksum; /* of these bytes: base/checksum.h                              */
    uint64_t layout;   /* cm_packed_layout() of its matrices when they were packed     */
};

struct packed_experts {
    struct file_map       map;
    char                  fingerprint[17]; /* of the model, as its file says */
    int                   n_layers, n_experts;
    struct packed_expert *experts;         /* (n_layers, n_experts); n_bytes 0: the layer has no such expert */
};

static inline const struct packed_expert *cm_packed_expert(const struct packed_experts *packed, int layer, int expert)
{
    return &packed->experts[(size_t)layer * (size_t)packed->n_experts + (size_t)expert];
}

/* A number for the shapes, types and packings of an expert's matrices (n, NULL: there is none); and its packed
 * bytes. */
uint64_t cm_packed_layout(const struct weight_source *const *matrices, int n, enum isa isa, uint64_t *n_bytes);
/* Packs them to `out`, of so many bytes, aligned to CM_ALIGNMENT, the gaps between them zeros. Returns 0, or what
 * cm_file_map_read() does; buffer has room for the largest of them as in the file. */
int cm_pack_expert(const struct weight_source *const *matrices, int n, enum isa isa, void *buffer, uint8_t *out);

#endif
