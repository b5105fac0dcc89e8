/* runtime/load/file_kind.h - calls files by their names: what a file is that is no GGUF file, and what a GGUF file is
 * that holds no model (adapter, projector, vocabulary …). People download the wrong file oftener than a broken one. */
#ifndef RUNTIME_LOAD_FILE_KIND_H
#define RUNTIME_LOAD_FILE_KIND_H

#include "runtime/load/model_file.h"

/* bytes (n_bytes): the whole of a file that does not begin with "GGUF"; name: its name without folders. Always fails:
 * BAD_FILE, or UNSUPPORTED where the file is a model in another format. */
calmoe_status cm_fail_not_gguf(struct calmoe_context *ctx, const char *name, const uint8_t *bytes, size_t n_bytes);

/* UNSUPPORTED where the file holds something other than a model's weights. With vocabulary_will_do a file without any
 * weights is accepted. */
calmoe_status cm_check_holds_model(struct calmoe_context *ctx, const struct model_file *file, bool vocabulary_will_do);

/* What the file's name says of a file that ends too early: "" or "; …", the end of a sentence. Static storage. */
const char *cm_hint_of_name(const char *name);

#endif
