/* runtime/families/override.h - numbers of a model that a caller wants otherwise than its file says: how many experts
 * a token takes, and how positions are rotated beyond the context that the model was trained for.
 *
 * They are written over the metadata before it is read, so they pass the same checks, and models with other numbers
 * have other fingerprints. */
#ifndef RUNTIME_FAMILIES_OVERRIDE_H
#define RUNTIME_FAMILIES_OVERRIDE_H

#include "runtime/load/model_file.h"

struct model_override { /* 0 or NULL: as the file says */
    int         n_experts_used;
    const char *rope_scaling; /* "none", "linear", "yarn"                                  */
    float       rope_scale;   /* the context becomes so many times longer                  */
    float       rope_base;
    int         yarn_original_context;
    float       yarn_attn_factor, yarn_beta_fast, yarn_beta_slow;
};

bool cm_override_has_rope(const struct model_override *override);
bool cm_override_any(const struct model_override *override);

/* Writes them over the metadata of an open file; says by the log how many experts the model was trained with.
 * INVALID_ARGUMENT: an option that the model has no use for, or with a value that makes no sense; BAD_FILE,
 * NO_MEMORY. */
calmoe_status cm_override_metadata(struct calmoe_context *ctx, const struct model_override *override,
                                   struct model_file *file);

#endif
