/* runtime/load/plan_file.h - a placement plan as a file: on which memory node each expert lives.
 *
 *     {"schema": "calmoe.plan.1", "version": "0.1.0", "model": {"fingerprint": "0123456789abcdef"},
 *      "nodes": 2, "layers": [[0, 1, 0, 1], [1, 1, 0, 0]]}
 *
 * layers[layer][expert] is a node, 0 … nodes - 1; layers are those that have experts, in order. */
#ifndef RUNTIME_LOAD_PLAN_FILE_H
#define RUNTIME_LOAD_PLAN_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

enum { PLAN_MAX_NODES = 64, PLAN_MAX_LAYERS = 4096, PLAN_MAX_EXPERTS = 4096 };

struct plan_file {
    char     fingerprint[17]; /* of the model it was made for: 16 hex digits */
    int      n_nodes;
    int      n_layers;
    int      n_experts; /* of each layer */
    int16_t *node_of;   /* (n_layers, n_experts) */
};

/* On success *out is the caller's until cm_plan_file_close(). BAD_FILE for anything that is not a plan,
 * unknown members too. That it fits the model and the machine at hand is for the caller to see. */
calmoe_status cm_plan_file_read(struct calmoe_context *ctx, const char *path, struct plan_file *out);
/* The same from a text; name is used in messages. */
calmoe_status cm_plan_file_parse(struct calmoe_context *ctx, const char *name, const void *text,
                                 size_t n_bytes, struct plan_file *out);
void          cm_plan_file_close(struct plan_file *plan); /* zeroes it; a zeroed one is fine */

/* Writes a plan that keeps to the limits above; one line for each layer. IO: "cannot write 'PATH': why". */
calmoe_status cm_plan_file_write(struct calmoe_context *ctx, const char *path,
                                 const struct plan_file *plan);

#endif
