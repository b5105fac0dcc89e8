/* runtime/adapters/adapter_reader.h - reads an adapter for a model: from a file as other programs write it, or from a
 * folder of Hugging Face's PEFT. The rest of the runtime sees only what is read. */
#ifndef RUNTIME_ADAPTERS_ADAPTER_READER_H
#define RUNTIME_ADAPTERS_ADAPTER_READER_H

#include "runtime/adapters/adapter.h"
#include "runtime/families/model_spec.h"

/* What an adapter is for. */
struct adapter_model {
    const struct model_file *file;
    const struct model_spec *spec;
    const char              *path; /* for messages */
};

/* A file or a folder; *out is closed by the caller. IO, BAD_FILE, NO_MEMORY; INVALID_ARGUMENT: it is for another model;
 * UNSUPPORTED: it wants more than is added to products. */
calmoe_status cm_adapter_open(struct calmoe_context *ctx, const struct adapter_model *model, const char *path,
                              struct adapter **out);

#endif
