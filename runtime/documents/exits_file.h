/* runtime/documents/exits_file.h - learned exits as a file: GGUF, little-endian, all tensors F32.
 *
 *     general.architecture     "calmoe-exits"          calmoe.exits.schema       1
 *     calmoe.exits.version     of the library          calmoe.exits.model        fingerprint, 16 hex digits
 *     calmoe.exits.n_layers    of that model           calmoe.exits.width        of its residual stream
 *     calmoe.exits.layers      array of i32: after which layers there is something, ascending
 *
 *     exit.5.down [width, rank]   exit.5.up [rank, width]   exit.5.bias [width]     a translator: all three or none
 *     exit.5.path [n_layers]                                                        beside a translator, or none
 *     exit.5.classifier [width]   exit.5.classifier_bias [1]                        a classifier: both or neither */
#ifndef RUNTIME_DOCUMENTS_EXITS_FILE_H
#define RUNTIME_DOCUMENTS_EXITS_FILE_H

#include "runtime/policy/learned_exits.h"

/* On success *out is the caller's until cm_learned_exits_close(), its fingerprint set. IO; BAD_FILE for anything that
 * is no exits file, unknown tensors too; UNSUPPORTED for a later schema. That it fits the model at hand is for
 * cm_learned_exits_fit() to see. */
calmoe_status cm_exits_file_read(struct calmoe_context *ctx, const char *path, struct learned_exits *out);
/* The same for a file in memory; name is used in messages. */
calmoe_status cm_exits_file_parse(struct calmoe_context *ctx, const char *name, const void *bytes, size_t n_bytes,
                                  struct learned_exits *out);

/* Writes exits that cm_learned_exits_check() accepts, whole or not at all. IO: "cannot write 'PATH': why". */
calmoe_status cm_exits_file_write(struct calmoe_context *ctx, const char *path, const struct learned_exits *exits);

#endif
