/* runtime/documents/safetensors.h - a file of tensors as Hugging Face's libraries write it (safetensors):
 *
 *     8 bytes         n, little-endian
 *     n bytes         JSON: {"NAME": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, …}, and "__metadata__"
 *     the rest        the tensors' bytes, in the order of rows, each offset counted from here
 *
 * All is checked when the file is opened: the header against the file, each tensor's bytes against its shape and type,
 * and that tensors fill the rest of the file one after the other, without gaps and without sharing a byte, as the format
 * asks for. Tensors are views into the map, until the file is closed. */
#ifndef RUNTIME_DOCUMENTS_SAFETENSORS_H
#define RUNTIME_DOCUMENTS_SAFETENSORS_H

#include <stdbool.h>

#include "base/file_map.h"
#include "base/status.h"

enum { SAFETENSORS_MAX_DIMS = 8, SAFETENSORS_MAX_NAME_BYTES = 1024, SAFETENSORS_MAX_TENSORS = 1 << 20 };

struct safetensor {
    char          *name;
    int            dtype; /* a row of the reader's table: cm_safetensor_type_name() */
    int            n_dims;
    uint64_t       shape[SAFETENSORS_MAX_DIMS]; /* the last is contiguous; dimensions behind n_dims are 1 */
    uint64_t       n_elements;
    const uint8_t *bytes;
    uint64_t       n_bytes;
};

struct safetensors {
    char              *name;    /* the last component of the path, for messages */
    struct file_map    map;     /* empty after cm_safetensors_parse()           */
    int                n;
    struct safetensor *tensors; /* (n) by name                                  */
};

/* Other programs may not change the file meanwhile. IO, BAD_FILE, NO_MEMORY; UNSUPPORTED: more than the limits above. */
calmoe_status cm_safetensors_open(struct calmoe_context *ctx, const char *path, struct safetensors **out);
/* The same of bytes in memory, which must outlive *out. */
calmoe_status cm_safetensors_parse(struct calmoe_context *ctx, const char *name, const void *bytes, size_t n_bytes,
                                   struct safetensors **out);
void          cm_safetensors_close(struct safetensors **file); /* NULL inside is fine */

const struct safetensor *cm_safetensor(const struct safetensors *file, const char *name); /* NULL: absent */
const char              *cm_safetensor_type_name(const struct safetensor *tensor);
/* Elements first … first + n as float32, rounded where they have more digits. False where they are no such numbers
 * (integers, bools). */
bool cm_safetensor_floats(const struct safetensor *tensor, uint64_t first, uint64_t n, float *out);

#endif
