/* runtime/make/file_type.h - general.file_type: what a GGUF file says that most of its tensors are. Informative;
 * nobody derives a tensor's type from it. */
#ifndef RUNTIME_MAKE_FILE_TYPE_H
#define RUNTIME_MAKE_FILE_TYPE_H

#include "kernels/weight_type.h"

uint32_t cm_file_type_of(enum weight_type type);

#endif
