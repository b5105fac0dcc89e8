/* runtime/documents/plan_file.h - a placement plan (experts/placement.h) as a file; docs/FORMATS.md describes it.
 *
 *     {"schema": "calmoe.plan.2", "version": "0.1.0",
 *      "model": {"fingerprint": "0123456789abcdef", "width": 64, "dim": 32, "kv_heads": 4},
 *      "nodes": 2, "quantum": 16, "dense": [1, 1], "kv_heads": [2, 2],
 *      "slices": [{"rows": [32, 32], "down": [16, 16]}],
 *      "layers": [[0, 1, {"slice": 0}, {"nodes": [0, 1]}]]}
 *
 * layers[layer][expert] is a node that holds all of it, a slice, or the nodes that each hold all of it; in the third
 * schema, "calmoe.plan.3", which is written only where it is needed, "disk" is a streamed expert. The
 * first schema, "calmoe.plan.1", is read too: it has schema, version, model.fingerprint, nodes, and layers of
 * node numbers; all else is on node 0 then, and the plan's width, dim, quantum and n_kv_heads are 0. */
#ifndef RUNTIME_DOCUMENTS_PLAN_FILE_H
#define RUNTIME_DOCUMENTS_PLAN_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "experts/placement.h"

enum { PLAN_MAX_NODES = CM_MAX_NODES, PLAN_MAX_LAYERS = 4096, PLAN_MAX_EXPERTS = 4096, PLAN_MAX_SLICES = 4096 };

struct plan_file {
    char        fingerprint[17]; /* of the model it was made for: 16 hex digits */
    struct plan plan;
};

/* On success *out is the caller's until cm_plan_file_close(). BAD_FILE for anything that is not a plan: unknown
 * members, slices that do not add up, replicas of no node. That it fits the model and the machine at hand is for
 * the caller to see (cm_plan_check()). */
calmoe_status cm_plan_file_read(struct calmoe_context *ctx, const char *path, struct plan_file *out);
/* The same from a text; name is used in messages. */
calmoe_status cm_plan_file_parse(struct calmoe_context *ctx, const char *name, const void *text,
                                 size_t n_bytes, struct plan_file *out);
void          cm_plan_file_close(struct plan_file *plan); /* zeroes it; a zeroed one is fine */

/* Writes a plan that keeps to the limits above, in the second or third schema; one line for each layer. IO: "cannot
 * write 'PATH': why". */
calmoe_status cm_plan_file_write(struct calmoe_context *ctx, const char *path, const struct plan_file *plan);

#endif
