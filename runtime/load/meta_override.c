/* runtime/load/meta_override.c - see meta_override.h. */
#include "runtime/load/meta_override.h"

#include <string.h>

#include "base/memory.h"
#include "runtime/load/gguf_parts.h"

/* A new entry behind the others, with a key and nothing else; every entry found before has moved. */
static calmoe_status add_entry(struct calmoe_context *ctx, struct model_file *file, const char *key)
{
    const size_t       n = (size_t)file->n_entries;
    struct meta_entry *entries = cm_alloc(ctx, n + 1, sizeof *entries, "metadata");
    char              *name = entries ? cm_copy_text(ctx, key, strlen(key)) : NULL;
    if (!name) {
        cm_free(entries);
        return CALMOE_NO_MEMORY;
    }
    if (n > 0) memcpy(entries, file->entries, n * sizeof *entries);
    entries[n].key = name;
    cm_free(file->entries);
    file->entries = entries;
    file->n_entries++;
    return cm_gguf_index_entries(ctx, file);
}

/* Gives the key this value of n_bytes bytes, or, where text is not NULL, that text. */
static calmoe_status set(struct calmoe_context *ctx, struct model_file *file, const char *key, enum meta_type type,
                         const void *value, size_t n_bytes, const char *text)
{
    struct meta_string *strings = text ? cm_alloc(ctx, 1, sizeof *strings, "metadata") : NULL;
    char               *bytes = cm_copy_text(ctx, text ? text : value, n_bytes);
    calmoe_status       status = bytes && (strings || !text) ? CALMOE_OK : CALMOE_NO_MEMORY;
    if (status == CALMOE_OK && !cm_meta_entry(file, key)) status = add_entry(ctx, file, key);
    if (status != CALMOE_OK) {
        cm_free(strings);
        cm_free(bytes);
        return status;
    }
    if (strings) *strings = (struct meta_string){bytes, n_bytes};
    struct meta_entry *entry = &file->entries[cm_meta_entry(file, key) - file->entries];
    cm_free((void *)entry->bytes);
    cm_free(entry->strings);
    *entry = (struct meta_entry){.key = entry->key, .type = type, .element_type = type, .count = 1,
                                 .bytes = (const uint8_t *)bytes, .strings = strings};
    return CALMOE_OK;
}

calmoe_status cm_meta_override_int(struct calmoe_context *ctx, struct model_file *file, const char *key, int value)
{
    const struct meta_entry *entry = cm_meta_entry(file, key);
    const uint32_t           bits = (uint32_t)value;
    const uint8_t bytes[4] = {(uint8_t)bits, (uint8_t)(bits >> 8), (uint8_t)(bits >> 16), (uint8_t)(bits >> 24)};
    if (entry && cm_meta_is_integer(entry->type) && cm_meta_element_int(entry, 0) == value) return CALMOE_OK;
    return set(ctx, file, key, META_I32, bytes, sizeof bytes, NULL);
}

calmoe_status cm_meta_override_float(struct calmoe_context *ctx, struct model_file *file, const char *key,
                                     float value)
{
    const struct meta_entry *entry = cm_meta_entry(file, key);
    uint32_t                 bits;
    memcpy(&bits, &value, sizeof bits);
    const uint8_t bytes[4] = {(uint8_t)bits, (uint8_t)(bits >> 8), (uint8_t)(bits >> 16), (uint8_t)(bits >> 24)};
    if (entry && (entry->type == META_F32 || entry->type == META_F64) &&
        (float)cm_meta_element_float(entry, 0) == value)
        return CALMOE_OK;
    return set(ctx, file, key, META_F32, bytes, sizeof bytes, NULL);
}

calmoe_status cm_meta_override_text(struct calmoe_context *ctx, struct model_file *file, const char *key,
                                    const char *text)
{
    const struct meta_entry *entry = cm_meta_entry(file, key);
    const size_t             n = strlen(text);
    if (entry && entry->type == META_STRING && entry->strings[0].n_bytes == n &&
        memcmp(entry->strings[0].bytes, text, n) == 0)
        return CALMOE_OK;
    return set(ctx, file, key, META_STRING, NULL, n, text);
}
