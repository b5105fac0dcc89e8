/* runtime/families/spec_parts.h - what the files behind cm_read_model_spec() share. */
#ifndef RUNTIME_FAMILIES_SPEC_PARTS_H
#define RUNTIME_FAMILIES_SPEC_PARTS_H

#include "runtime/families/family.h"

/* Limits of what files may claim, so that no later product of sizes can overflow. */
enum {
    MAX_LAYERS = 1024,
    MAX_DIM = 1 << 17,
    MAX_HEADS = 1024,
    MAX_HEAD_SIZE = 1024,
    MAX_VOCAB = 1 << 22,
    MAX_CONTEXT = 1 << 24
};

/* Size of a dimension of a tensor; 0 where it is absent, or larger than any that is wanted. */
static inline int cm_size_of_tensor(const struct model_file *file, const char *name, int dimension)
{
    const struct file_tensor *tensor = cm_file_tensor(file, name);
    return tensor && tensor->shape[dimension] <= MAX_DIM * 64u ? (int)tensor->shape[dimension] : 0;
}

/* rope_reader.c: spec->ropes, and which of them the layers use; the layers' attention is read. */
calmoe_status cm_read_rope(struct keys *keys, const struct family *family, struct model_spec *spec);

/* layer_reader.c: spec->layers, whose memory is there; all else of spec but ropes and maxima is read. */
calmoe_status cm_read_layers(struct keys *keys, const struct family *family, struct model_spec *spec);

/* recurrent_reader.c: which of spec->layers are recurrent, and which have no mixer, before all else of the layers is
 * read. */
calmoe_status cm_read_recurrent_layers(struct keys *keys, const struct family *family, struct model_spec *spec);

/* mla_reader.c: all of spec->layers have latent attention, where the family has it; before all else of them is read. */
calmoe_status cm_read_mla_layers(struct keys *keys, const struct family *family, struct model_spec *spec);

#endif
