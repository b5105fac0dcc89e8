/* runtime/adapters/peft_prefix.h - a prefix as Hugging Face's PEFT saves it (PREFIX_TUNING, CARTRIDGE): one tensor,
 * prompt_embeddings (positions, 2 * layers * heads * size), in which each layer has its keys, then its values. A prefix
 * that was trained behind a projection is saved projected, so it is the same. PEFT puts the numbers into the cache of
 * keys and values as they are, at its first positions, and the first token stands behind them. */
#ifndef RUNTIME_ADAPTERS_PEFT_PREFIX_H
#define RUNTIME_ADAPTERS_PEFT_PREFIX_H

#include "runtime/adapters/peft_config.h"
#include "runtime/documents/safetensors.h"
#include "runtime/families/family.h"

/* Becomes reading->out->prefix. BAD_FILE, NO_MEMORY; INVALID_ARGUMENT: it is of another model's shape; UNSUPPORTED: the
 * model has layers that keep no keys and values of heads, or of other numbers than the others. */
calmoe_status cm_peft_read_prefix(const struct adapter_reading *reading, const struct peft_config *config,
                                  const struct family *family, const struct safetensors *file);

#endif
