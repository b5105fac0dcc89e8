/* calmoe/pack.h - a model's routed experts, written once in the order in which kernels read them: a file beside the
 * model from which an engine (calmoe_engine_options.packed) maps experts in milliseconds instead of packing them, or
 * with a memory limit reads them one by one. docs/DISK.md; how it looks: docs/FORMATS.md. */
#ifndef CALMOE_PACK_H
#define CALMOE_PACK_H

#include "calmoe/model.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct calmoe_pack_options {
    size_t             size;     /* set by calmoe_pack_options_init()                                */
    const char        *isa;      /* the level of instructions that will read it; NULL = the best here (default) */
    calmoe_progress_fn progress; /* NULL = none (default); may cancel                                */
    void              *progress_user;
} calmoe_pack_options;

CALMOE_API void calmoe_pack_options_init(calmoe_pack_options *options);

/* Writes the file, whole or not at all. options may be NULL. UNSUPPORTED: the model has no routed experts. IO,
 * NO_MEMORY, CANCELLED. */
CALMOE_API calmoe_status calmoe_pack(const calmoe_model *model, const char *path, const calmoe_pack_options *options);
/* Reads such a file as a whole: does it belong to the model, and is every byte as it was written? BAD_FILE,
 * INVALID_ARGUMENT (of another model or version), IO, NO_MEMORY. */
CALMOE_API calmoe_status calmoe_pack_check(const calmoe_model *model, const char *path);

#ifdef __cplusplus
}
#endif
#endif
