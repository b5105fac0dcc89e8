/* runtime/make/quantize_plan.h - which tensor of a file gets which type when it is quantized, and why: a pure
 * decision, before anything is read or written. */
#ifndef RUNTIME_MAKE_QUANTIZE_PLAN_H
#define RUNTIME_MAKE_QUANTIZE_PLAN_H

#include <calmoe/quantize.h>

#include "runtime/load/model_writer.h"

struct planned_tensor {
    const struct file_tensor *source;
    enum weight_type          type; /* that it gets, where it is_converted; else the source's file_id stays */
    bool                      is_converted;
    calmoe_tensor_fate        fate;
};

struct quantize_plan {
    enum weight_type       wanted, most; /* most: the type that most weights of matrices have in the end */
    uint64_t               n_tensors, n_bytes, n_requantized;
    struct planned_tensor *tensors;      /* (n_tensors), as in the file   */
    struct new_tensor     *written;      /* (n_tensors), for the writer   */
};

/* quantized: CALMOE_QUANTIZED_*. UNSUPPORTED, NO_MEMORY. */
calmoe_status cm_quantize_plan_open(struct calmoe_context *ctx, const struct model_file *file, enum weight_type wanted,
                                    int quantized, struct quantize_plan *out);
void          cm_quantize_plan_close(struct quantize_plan *plan); /* a zeroed one is fine */

#endif
