/* runtime/load/shared_file.h - a model file that rank 0 alone has, opened by all ranks: the others get its list of
 * tensors and their first bytes, and more of it by experts/file_sharing.h. */
#ifndef RUNTIME_LOAD_SHARED_FILE_H
#define RUNTIME_LOAD_SHARED_FILE_H

#include "experts/file_sharing.h"
#include "runtime/load/model_file.h"

/* By all ranks. status: how it went so far on this one. path: rank 0's. n_sample: of each tensor's first bytes, which
 * all get. *sharing, in which nothing is lent yet, is good for as long as the file is open, also where this fails. */
calmoe_status cm_shared_file_open(struct calmoe_context *ctx, struct ranks *ranks, calmoe_status status,
                                  const char *path, size_t n_sample, struct file_sharing *sharing,
                                  struct model_file **out);

#endif
