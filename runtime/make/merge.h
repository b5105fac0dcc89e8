/* runtime/make/merge.h - an adapter, added to the weights of a model for good while they are written to another file.
 * */
#ifndef RUNTIME_MAKE_MERGE_H
#define RUNTIME_MAKE_MERGE_H

#include "runtime/adapters/adapter.h"
#include "runtime/make/quantize_plan.h"

struct merge;

/* The adapter at path, for the model in the file, which stays open as long. UNSUPPORTED: it changes the embedding or
 * the output alone, and the file has one matrix for both; and whatever cm_adapter_open() says. */
calmoe_status cm_merge_open(struct calmoe_context *ctx, const struct model_file *file, const char *path, float scale,
                            struct merge **out);
void          cm_merge_close(struct merge **merge); /* NULL inside is fine */

/* Tensors that the adapter changes are written anew even where they keep their type. UNSUPPORTED: the type is none that
 * is written, or weights would be quantized a second time and that was not asked for. */
calmoe_status cm_merge_plan(struct calmoe_context *ctx, const struct merge *merge, int quantized,
                            struct quantize_plan *plan);
/* x (columns), row `row` of all rows of the tensor, takes in what the adapter adds. merge NULL: nothing. */
void          cm_merge_row(const struct merge *merge, const struct file_tensor *tensor, uint64_t row, float *x);

#endif
