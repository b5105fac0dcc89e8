/* tests/support/gguf_copy.h - a GGUF file as a builder, to be written with something changed. */
#ifndef TESTS_SUPPORT_GGUF_COPY_H
#define TESTS_SUPPORT_GGUF_COPY_H

#include "tests/support/gguf_builder.h"

/* All metadata and tensors of the file in their order, but the key or the tensor of the name `without` (NULL: all). */
struct gguf_builder *gguf_copy(const struct model_file *file, const char *without);
/* The same of all, as a file of another architecture: keys "<its own>.…" are named for that one. */
struct gguf_builder *gguf_copy_as(const struct model_file *file, const char *architecture);
/* The same of all, in the form of 2023: a stack of experts' matrices, "blk.0.ffn_up_exps.weight", becomes a tensor for
 * each expert, "blk.0.ffn_up.7.weight". */
struct gguf_builder *gguf_copy_2023(const struct model_file *file);

#endif
