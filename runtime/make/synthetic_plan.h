/* runtime/make/synthetic_plan.h - what a synthetic model's file will hold: a pure list of tensors. */
#ifndef RUNTIME_MAKE_SYNTHETIC_PLAN_H
#define RUNTIME_MAKE_SYNTHETIC_PLAN_H

#include <calmoe/synthetic.h>

#include "runtime/families/family.h"
#include "runtime/load/model_writer.h"

struct synthetic_tensor {
    struct file_tensor tensor; /* name, shape, type, n_bytes; the bytes come later */
    float              mean, deviation;
};

struct synthetic_plan {
    calmoe_synthetic_options options;
    enum weight_type         type;
    const struct family     *family;             /* NULL: none that this library runs */
    uint64_t                 n_tensors, n_bytes; /* of all tensors */
    struct synthetic_tensor *tensors;            /* (n_tensors)    */
    int32_t                 *kv_heads, *widths;  /* (n_layers) each: lists for the metadata, where a file has such */
};

enum { CM_SYNTHETIC_TAPS = 4, CM_SYNTHETIC_SHORT_TAPS = 3 }; /* of convolutions; of those without heads */

/* The layer's letter in calmoe_synthetic_options.kinds, said by attention_interval where that is NULL. */
char cm_synthetic_kind(const calmoe_synthetic_options *options, int layer);

/* Whether files of the family list the kv heads of layers, by which layers that do not attend are known. */
bool cm_synthetic_lists_kinds(const struct synthetic_plan *plan);

/* Whether the layer sees a window; the sizes of its heads of keys, and how many there are. */
bool cm_synthetic_has_window(const struct synthetic_plan *plan, int layer);
int  cm_synthetic_head_size(const struct synthetic_plan *plan, int layer);
int  cm_synthetic_kv_heads(const struct synthetic_plan *plan, int layer);

/* Whether the family has latent attention. */
bool cm_synthetic_has_latents(const struct synthetic_plan *plan);

/* Checks the options and lists the tensors. INVALID_ARGUMENT, NO_MEMORY. */
calmoe_status cm_synthetic_plan_open(struct calmoe_context *ctx, const calmoe_synthetic_options *given,
                                     struct synthetic_plan *out);
void          cm_synthetic_plan_close(struct synthetic_plan *plan);

#endif
