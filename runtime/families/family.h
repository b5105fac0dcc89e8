/* runtime/families/family.h - a model family as a record. What the file's metadata and tensors say
 * decides; the record holds only what files leave unsaid. One file for each family, one row in
 * family_list.c; a family's name stands nowhere else. */
#ifndef RUNTIME_FAMILIES_FAMILY_H
#define RUNTIME_FAMILIES_FAMILY_H

#include "runtime/families/model_spec.h"
#include "runtime/load/model_file.h"

struct family {
    const char       *name;         /* as users see it                               */
    const char       *architecture; /* general.architecture in files                 */
    bool              has_experts;  /* one architecture may be dense or not          */
    enum rope_pairing pairing;      /* as the file's rows of q and k are arranged    */
    enum score_kind   score;        /* where the file has no expert_gating_func      */
    bool              renormalise;  /* where the file has no expert_weights_norm     */
    /* What is special; reads keys that no other family has. NULL = nothing. */
    calmoe_status (*adjust)(struct calmoe_context *ctx, const struct model_file *file, struct model_spec *spec);
};

/* Row i, or NULL past the end. */
const struct family *cm_family_at(int i);

/* Finds the family by architecture, reads the metadata, checks every number. */
calmoe_status cm_read_model_spec(struct calmoe_context *ctx, const struct model_file *file,
                                 struct model_spec *out);

#endif
