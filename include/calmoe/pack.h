/* calmoe/pack.h - writes a model's routed experts to a second file, in the order in which kernels read them. An engine
 * (calmoe_engine_options.packed) then maps the experts in milliseconds instead of packing them at each start, or with a
 * memory limit reads them one by one. docs/DISK.md explains the use, docs/FORMATS.md the file. */
#ifndef CALMOE_PACK_H
#define CALMOE_PACK_H

#include "calmoe/model.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct calmoe_pack_options {
    size_t             size;     /* set by calmoe_pack_options_init()                                */
    const char        *isa;      /* the instruction set that will use the file; NULL = the best of this machine
                                    (default)                                                                   */
    calmoe_progress_fn progress; /* NULL = none (default); may cancel                                */
    void              *progress_user;
} calmoe_pack_options;

CALMOE_API void calmoe_pack_options_init(calmoe_pack_options *options);

/* Writes the file; it is either complete or not there. options may be NULL. UNSUPPORTED: the model has no routed
 * experts. IO, NO_MEMORY, CANCELLED. */
CALMOE_API calmoe_status calmoe_pack(const calmoe_model *model, const char *path, const calmoe_pack_options *options);
/* Reads such a file completely, and checks that it belongs to the model and that every byte is as it was written.
 * BAD_FILE; INVALID_ARGUMENT: it is of another model or version; IO, NO_MEMORY. */
CALMOE_API calmoe_status calmoe_pack_check(const calmoe_model *model, const char *path);

#ifdef __cplusplus
}
#endif
#endif
