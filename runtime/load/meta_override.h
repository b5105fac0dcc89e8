/* runtime/load/meta_override.h - metadata that a caller says instead of the file.
 *
 * A scalar key is replaced, or added where the file does not have it. Whoever reads the key afterwards finds the new
 * value and checks it as if it stood in the file; the fingerprint, which covers the metadata, becomes another one. */
#ifndef RUNTIME_LOAD_META_OVERRIDE_H
#define RUNTIME_LOAD_META_OVERRIDE_H

#include "runtime/load/model_file.h"

/* Nothing is changed where the file says the same, in whatever type of number. NO_MEMORY. Entries and texts that were
 * borrowed from the file before are no longer valid. */
calmoe_status cm_meta_override_int(struct calmoe_context *ctx, struct model_file *file, const char *key, int value);
calmoe_status cm_meta_override_float(struct calmoe_context *ctx, struct model_file *file, const char *key,
                                     float value);
calmoe_status cm_meta_override_text(struct calmoe_context *ctx, struct model_file *file, const char *key,
                                    const char *text);

#endif
