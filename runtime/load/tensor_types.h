/* runtime/load/tensor_types.h - the types that tensors in GGUF files have: those of kernels/weight_type.h, and all
 * others that have a name, so that a file is described although its weights are of a type that is not read. */
#ifndef RUNTIME_LOAD_TENSOR_TYPES_H
#define RUNTIME_LOAD_TENSOR_TYPES_H

#include <stdbool.h>
#include <stdint.h>

struct tensor_type {
    const char *name;       /* "q4_k", "i32", "nvfp4"                                                */
    uint64_t    n_elements; /* in a block                                                            */
    uint64_t    n_bytes;    /* of a block; 0: the type has a name, but how it lies in files is not known */
};

/* False: no type has that id. */
bool cm_tensor_type_of(uint32_t file_id, struct tensor_type *out);
/* Its name, "unknown" where it has none. Static storage. */
const char *cm_tensor_type_name(uint32_t file_id);
bool        cm_tensor_type_is_integer(uint32_t file_id); /* i8 … i64 */

#endif
