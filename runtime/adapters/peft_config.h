/* runtime/adapters/peft_config.h - adapter_config.json of an adapter by Hugging Face's PEFT: how strongly what was
 * trained is added, and whether there is anything beside it that cannot be. */
#ifndef RUNTIME_ADAPTERS_PEFT_CONFIG_H
#define RUNTIME_ADAPTERS_PEFT_CONFIG_H

#include "runtime/adapters/adapter_parts.h"
#include "runtime/documents/json.h"

struct peft_config {
    struct json_document document;
    bool                 has_prefix;   /* it is a prefix of so many positions, else a LoRA: what follows is 0 then */
    int                  n_positions;
    double               alpha;        /* of modules that no pattern names           */
    bool                 divides_by_root; /* scales are alpha / sqrt(rank), else alpha / rank */
    struct json_value    root, patterns; /* patterns: alpha_pattern, an object, or absent   */
};

/* IO, BAD_FILE; UNSUPPORTED: it asks for something that is not run. Closed by the caller, on failure too. */
calmoe_status cm_peft_config_open(const struct adapter_reading *reading, const char *path, struct peft_config *out);
void          cm_peft_config_close(struct peft_config *config);

/* The scale of a module, "model.layers.3.self_attn.q_proj", of this rank. UNSUPPORTED: a pattern is not understood. */
calmoe_status cm_peft_scale(const struct adapter_reading *reading, const struct peft_config *config,
                            const char *module, int rank, float *scale);

#endif
