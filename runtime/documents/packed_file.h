/* runtime/documents/packed_file.h - a model's routed experts in the order in which kernels read them, as a file
 * (docs/FORMATS.md, "Packed experts"). Numbers are little-endian; experts begin at multiples of 4096.
 *
 *     0    "calmoe.packed.1"   16 bytes with a NUL          64   layers, experts of a layer     u32 each
 *     16   version             of the library, 16 bytes     72   bytes of the file              u64
 *     32   fingerprint         of the model, 32 bytes       80   SHA-256 of all before the experts, as hex digits, 64
 *                                                                bytes; itself counted as zeros
 *     144  for each layer and expert: at, bytes, checksum, layout, u64 each (struct packed_expert) */
#ifndef RUNTIME_DOCUMENTS_PACKED_FILE_H
#define RUNTIME_DOCUMENTS_PACKED_FILE_H

#include "base/whole_file.h"
#include "experts/packed_experts.h"

enum { PACKED_ALIGNMENT = 4096, PACKED_MAX_LAYERS = 4096, PACKED_MAX_EXPERTS = 4096 };

/* Maps and checks all but the experts' own bytes. IO; BAD_FILE for anything that is not such a file, was cut short, or
 * is damaged; INVALID_ARGUMENT for one of another version. *out is the caller's until cm_packed_file_close(). */
calmoe_status cm_packed_file_open(struct calmoe_context *ctx, const char *path, struct packed_experts *out);
void          cm_packed_file_close(struct packed_experts *packed); /* zeroed is fine */
/* Reads all experts: BAD_FILE where one has another checksum. */
calmoe_status cm_packed_file_check(struct calmoe_context *ctx, const struct packed_experts *packed);

/* Writing: begin, then for each expert in order its bytes, whose place and checksum are noted in experts; then end. The
 * whole_file is the caller's to finish. IO. */
struct packed_writer {
    struct whole_file     *file;
    struct packed_experts *packed; /* fingerprint, n_layers, n_experts are set; experts (n_layers, n_experts) */
    uint64_t               n_bytes; /* so far */
};
calmoe_status cm_packed_begin(struct calmoe_context *ctx, struct packed_writer *writer);
calmoe_status cm_packed_add(struct calmoe_context *ctx, struct packed_writer *writer, int layer, int expert,
                            uint64_t layout, const void *bytes, size_t n_bytes);
calmoe_status cm_packed_end(struct calmoe_context *ctx, struct packed_writer *writer);

#endif
