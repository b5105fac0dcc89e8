/* runtime/load/model_writer.h - writes a GGUF v3 file: header first, then the data of one tensor after the
 * other. The file appears under its name only when it is complete. */
#ifndef RUNTIME_LOAD_MODEL_WRITER_H
#define RUNTIME_LOAD_MODEL_WRITER_H

#include "runtime/load/model_file.h"

struct model_writer;

struct new_tensor {
    const struct file_tensor *source;  /* name and shape   */
    uint32_t                  file_id; /* type as written  */
    uint64_t                  n_bytes;
};

/* Writes to a temporary file beside path. Metadata: all entries of source but general.alignment and those whose key
 * begins with one of the n_dropped prefixes, then the n_added pairs (u32). tensors: (n_tensors), in the order of
 * their data. */
struct new_meta_u32 {
    const char *key;
    uint32_t    value;
};
calmoe_status cm_model_writer_open(struct calmoe_context *ctx, const char *path, const struct model_file *source,
                                  const char *const *dropped, int n_dropped,
                                  const struct new_meta_u32 *added, int n_added,
                                  const struct new_tensor *tensors, uint64_t n_tensors,
                                  struct model_writer **out);
/* The data of the next tensor, all of it. */
calmoe_status cm_model_writer_put(struct model_writer *writer, const void *bytes, uint64_t n_bytes);
/* Or in parts, one after the other; after the last part the tensor is ended. */
calmoe_status cm_model_writer_put_part(struct model_writer *writer, const void *bytes, uint64_t n_bytes);
calmoe_status cm_model_writer_end_tensor(struct model_writer *writer);
/* Flushes and renames. */
calmoe_status cm_model_writer_finish(struct model_writer *writer);
/* Without a finish the temporary file is removed. Sets *writer to NULL; NULL is fine. */
void          cm_model_writer_close(struct model_writer **writer);

#endif
