/* runtime/families/keys.c - see keys.h. */
#include "runtime/families/keys.h"

#include <stdio.h>
#include <string.h>

#include "base/memory.h"

calmoe_status cm_keys_open(struct calmoe_context *ctx, const struct model_file *file, struct keys *out,
                           struct meta_string *name)
{
    *out = (struct keys){.ctx = ctx, .file = file};
    CM_TRY(cm_meta_need_string(ctx, file, "general.architecture", name));
    if (name->n_bytes < sizeof out->architecture) memcpy(out->architecture, name->bytes, name->n_bytes);
    out->is_read = cm_alloc(ctx, (size_t)file->n_entries, sizeof *out->is_read, "the metadata");
    return out->is_read ? CALMOE_OK : CALMOE_NO_MEMORY;
}

void cm_keys_close(struct keys *keys)
{
    cm_free(keys->is_read);
    *keys = (struct keys){0};
}

static const char *full(struct keys *keys, const char *name)
{
    snprintf(keys->key, sizeof keys->key, "%s.%s", keys->architecture, name);
    return keys->key;
}

bool cm_key_exists(struct keys *keys, const char *name)
{
    return cm_meta_entry(keys->file, full(keys, name)) != NULL;
}

const struct meta_entry *cm_key_entry(struct keys *keys, const char *name)
{
    const struct meta_entry *entry = cm_meta_entry(keys->file, full(keys, name));
    if (entry) keys->is_read[entry - keys->file->entries] = true;
    return entry;
}

calmoe_status cm_key_int(struct keys *keys, const char *name, int min, int max, int *out)
{
    int64_t value = *out;
    cm_key_entry(keys, name);
    CM_TRY(cm_meta_get_int(keys->ctx, keys->file, keys->key, min, max, &value));
    *out = (int)value;
    return CALMOE_OK;
}

calmoe_status cm_key_need_int(struct keys *keys, const char *name, int min, int max, int *out)
{
    int64_t value = *out;
    cm_key_entry(keys, name);
    CM_TRY(cm_meta_need_int(keys->ctx, keys->file, keys->key, min, max, &value));
    *out = (int)value;
    return CALMOE_OK;
}

calmoe_status cm_key_float(struct keys *keys, const char *name, double min, double max, float *out)
{
    cm_key_entry(keys, name);
    return cm_meta_get_float(keys->ctx, keys->file, keys->key, min, max, out);
}

calmoe_status cm_key_need_float(struct keys *keys, const char *name, double min, double max, float *out)
{
    if (!cm_key_entry(keys, name))
        return cm_fail(keys->ctx, CALMOE_BAD_FILE, "'%s': key '%.80s' is missing; wanted a float", keys->file->name,
                       keys->key);
    return cm_meta_get_float(keys->ctx, keys->file, keys->key, min, max, out);
}

calmoe_status cm_key_bool(struct keys *keys, const char *name, bool *out)
{
    cm_key_entry(keys, name);
    return cm_meta_get_bool(keys->ctx, keys->file, keys->key, out);
}

calmoe_status cm_key_string(struct keys *keys, const char *name, struct meta_string *out)
{
    cm_key_entry(keys, name);
    return cm_meta_get_string(keys->ctx, keys->file, keys->key, out);
}

calmoe_status cm_key_need(struct keys *keys, const char *name)
{
    if (cm_key_exists(keys, name)) return CALMOE_OK;
    return cm_fail(keys->ctx, CALMOE_BAD_FILE, "'%s': key '%.80s' is missing; wanted an integer", keys->file->name,
                   keys->key);
}

calmoe_status cm_key_layer_ints(struct keys *keys, const char *name, int min, int max, int n_layers, int *out)
{
    const struct meta_entry *entry = cm_key_entry(keys, name);
    if (!entry) return CALMOE_OK;
    if (entry->type != META_ARRAY || !cm_meta_is_integer(entry->element_type)) {
        CM_TRY(cm_key_int(keys, name, min, max, out));
        for (int layer = 1; layer < n_layers; layer++) out[layer] = out[0];
        return CALMOE_OK;
    }
    const int n_blocks = keys->first_block + n_layers;
    if (entry->count < (uint64_t)n_blocks)
        return cm_fail(keys->ctx, CALMOE_BAD_FILE, "'%s': key '%.80s' has %llu numbers; one for each of %d layers is"
                       " wanted", keys->file->name, keys->key, (unsigned long long)entry->count, n_blocks);
    for (int layer = 0; layer < n_layers; layer++) {
        const int64_t value = cm_meta_element_int(entry, (uint64_t)(keys->first_block + layer));
        if (value < min || value > max)
            return cm_fail(keys->ctx, CALMOE_BAD_FILE, "'%s': key '%.80s' is %lld for layer %d; wanted %d to %d",
                           keys->file->name, keys->key, (long long)value, layer, min, max);
        out[layer] = (int)value;
    }
    return CALMOE_OK;
}

/* ---- what nobody read ---- */

enum quiet_if { ALWAYS, IF_IT_IS }; /* IF_IT_IS: the number or bool has the value beside it, which asks for nothing */

/* Keys of published files beyond those that are read: sizes that tensors tell better, remarks of converters, and
 * features that models of these families do not use. */
static const struct quiet_key {
    const char   *name;
    enum quiet_if when;
    double        value;
} quiet[] = {
    {"vocab_size", ALWAYS, 0},
    {"expert_feed_forward_length", ALWAYS, 0},
    {"expert_shared_feed_forward_length", ALWAYS, 0},
    {"expert_shared_count", ALWAYS, 0},
    {"embedding_length_out", ALWAYS, 0},
    {"pooling_type", ALWAYS, 0},          /* of embedding models: what is done with states, not how they come about */
    {"classifier.output_labels", ALWAYS, 0},
    {"tensor_data_layout", ALWAYS, 0},
    {"rope.scaling.finetuned", ALWAYS, 0}, /* whether training saw the scaling; but see the families */
    {"rope.dimension_sections", ALWAYS, 0}, /* which pairs turn by which coordinate of an image: all the same in text */
    {"n_deepstack_layers", ALWAYS, 0},      /* layers to which an image's features are added; a text has none */
    /* of dense files, which say that there are no experts */
    {"expert_count", IF_IT_IS, 0},
    {"expert_used_count", IF_IT_IS, 0},
    {"expert_group_count", IF_IT_IS, 0},
    {"expert_group_used_count", IF_IT_IS, 0},
    {"expert_gating_func", ALWAYS, 0},
    {"expert_weights_norm", ALWAYS, 0},
    {"expert_weights_scale", ALWAYS, 0},
    /* what would change the arithmetic, with the value that does not */
    {"attention.causal", IF_IT_IS, 1},
    {"attention.sliding_window", IF_IT_IS, 0},
    {"attention.sliding_window_pattern", ALWAYS, 0}, /* of a window, which is judged by the line before */
    {"attention.max_alibi_bias", IF_IT_IS, 0},
    {"attention.value_scale", IF_IT_IS, 1},
    {"attention.temperature_scale", IF_IT_IS, 0},
    {"attention.temperature_length", IF_IT_IS, 0},
    {"attn_logit_softcapping", IF_IT_IS, 0},
    {"router_logit_softcapping", IF_IT_IS, 0},
    {"rope.scaling.yarn_ext_factor", IF_IT_IS, 1},
    {"rope.scaling.yarn_attn_factor", IF_IT_IS, 1},
    {"rope.scaling.yarn_log_multiplier", IF_IT_IS, 0},
    {"use_parallel_residual", IF_IT_IS, 0},
};

static bool is_number(enum meta_type type)
{
    return cm_meta_is_integer(type) || type == META_F32 || type == META_F64 || type == META_BOOL;
}

static bool asks_for_nothing(const struct meta_entry *entry, const char *name)
{
    for (size_t i = 0; i < sizeof quiet / sizeof *quiet; i++) {
        if (strcmp(quiet[i].name, name) != 0) continue;
        if (quiet[i].when == ALWAYS) return true;
        return is_number(entry->type) && !(cm_meta_element_float(entry, 0) < quiet[i].value) &&
               !(cm_meta_element_float(entry, 0) > quiet[i].value);
    }
    return false;
}

/* The value of a scalar as text, for the message; "" of others. */
static const char *value_of(const struct meta_entry *entry, char text[64])
{
    text[0] = '\0';
    if (entry->type == META_BOOL) snprintf(text, 64, " (%s)", entry->bytes[0] ? "true" : "false");
    else if (is_number(entry->type)) snprintf(text, 64, " (%g)", cm_meta_element_float(entry, 0));
    return text;
}

calmoe_status cm_keys_check_rest(struct keys *keys, const char *family)
{
    const size_t n = strlen(keys->architecture);
    char text[64];
    for (uint64_t i = 0; i < keys->file->n_entries; i++) {
        const struct meta_entry *entry = &keys->file->entries[i];
        if (keys->is_read[i] || strncmp(entry->key, keys->architecture, n) != 0 || entry->key[n] != '.') continue;
        if (asks_for_nothing(entry, entry->key + n + 1)) continue;
        return cm_fail(keys->ctx, CALMOE_UNSUPPORTED,
                       "key '%.80s'%s has no place in the family %s; running without it could give wrong results",
                       entry->key, value_of(entry, text), family);
    }
    return CALMOE_OK;
}
