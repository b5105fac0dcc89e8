/* gguf_parse.c - the header and the metadata of one GGUF file.
 *
 * Every count is held against the bytes that are left before memory is asked for it, so a file costs
 * at most a few times its own size, and time proportional to it. */
#include <stdbool.h>
#include <string.h>

#include "base/memory.h"
#include "runtime/load/file_kind.h"
#include "runtime/load/gguf_parts.h"

enum {
    MAGIC_BYTES = 4,
    MIN_ENTRY_BYTES = 8 + 1 + 4 + 1,          /* name of one byte, type, value of one byte    */
    MIN_TENSOR_BYTES = 8 + 1 + 4 + 8 + 4 + 8, /* name of one byte, one dimension, type, offset */
    MIN_STRING_BYTES = 8
};

/* ---- values ---- */

static calmoe_status read_type(struct gguf_parse *parse, uint64_t i, const char *key,
                               const char *place, enum meta_type *out)
{
    const uint32_t type = cm_read_u32(&parse->reader);
    if (parse->reader.failed) return cm_gguf_ends_inside(parse, "key", i);
    if (type >= META_TYPE_COUNT)
        return cm_fail(parse->ctx, CALMOE_BAD_FILE,
                       "'%s': key %llu '%.80s' %s value type %lu; wanted 0 to %d",
                       parse->file->name, (unsigned long long)i, key, place, (unsigned long)type,
                       META_TYPE_COUNT - 1);
    *out = (enum meta_type)type;
    return CALMOE_OK;
}

static calmoe_status skip_strings(struct gguf_parse *parse, const struct meta_entry *entry,
                                  uint64_t i)
{
    for (uint64_t string = 0; string < entry->count; string++) {
        const uint64_t n_bytes = cm_read_u64(&parse->reader);
        if (parse->reader.failed) return cm_gguf_ends_inside(parse, "key", i);
        if (n_bytes > cm_reader_left(&parse->reader))
            return cm_fail(
                parse->ctx, CALMOE_BAD_FILE,
                "'%s': string %llu of key %llu '%.80s' has %llu bytes, but the file has %zu more",
                parse->file->name, (unsigned long long)string, (unsigned long long)i, entry->key,
                (unsigned long long)n_bytes, cm_reader_left(&parse->reader));
        (void)cm_read_bytes(&parse->reader, n_bytes);
    }
    return CALMOE_OK;
}

/* Moves behind the values of the entry, whose type and count are known. */
static calmoe_status skip_values(struct gguf_parse *parse, const struct meta_entry *entry,
                                 uint64_t i)
{
    const size_t   left = cm_reader_left(&parse->reader);
    const bool     is_string = entry->element_type == META_STRING;
    const uint64_t n_bytes = is_string ? MIN_STRING_BYTES : cm_gguf_type_bytes(entry->element_type);
    if (entry->type != META_ARRAY && n_bytes > left) return cm_gguf_ends_inside(parse, "key", i);
    if (entry->count > left / n_bytes)
        return cm_fail(
            parse->ctx, CALMOE_BAD_FILE,
            "'%s': key %llu '%.80s' is an array of %llu x %s, but the file has %zu more bytes",
            parse->file->name, (unsigned long long)i, entry->key, (unsigned long long)entry->count,
            cm_meta_type_name(entry->element_type), left);
    if (is_string) return skip_strings(parse, entry, i);
    (void)cm_read_bytes(&parse->reader, entry->count * n_bytes);
    return CALMOE_OK;
}

/* Cuts the copied values into strings. The bytes are a copy of what skip_strings() saw, but the file
 * may have changed in between: so the cuts are bounded again. */
static calmoe_status cut_strings(struct gguf_parse *parse, struct meta_entry *entry, size_t n_bytes,
                                 uint64_t i)
{
    struct byte_reader reader = cm_reader(entry->bytes, n_bytes);
    entry->strings = cm_alloc(parse->ctx, (size_t)entry->count, sizeof *entry->strings,
                              "the strings of a key");
    if (entry->strings == NULL) return CALMOE_NO_MEMORY;
    for (uint64_t string = 0; string < entry->count; string++) {
        entry->strings[string].n_bytes = cm_read_u64(&reader);
        entry->strings[string].bytes = (const char *)cm_read_bytes(&reader,
                                                                   entry->strings[string].n_bytes);
    }
    return reader.failed ? cm_gguf_ends_inside(parse, "key", i) : CALMOE_OK;
}

static calmoe_status check_bools(struct gguf_parse *parse, const struct meta_entry *entry,
                                 uint64_t i)
{
    for (uint64_t element = 0; element < entry->count; element++)
        if (entry->bytes[element] > 1)
            return cm_fail(parse->ctx, CALMOE_BAD_FILE,
                           "'%s': key %llu '%.80s' holds the bool %u; wanted 0 or 1",
                           parse->file->name, (unsigned long long)i, entry->key,
                           entry->bytes[element]);
    return CALMOE_OK;
}

/* Copies the values, which stand in the file from begin to where the reader is. */
static calmoe_status keep_values(struct gguf_parse *parse, struct meta_entry *entry,
                                 const uint8_t *begin, uint64_t i)
{
    const size_t n_bytes = (size_t)(parse->reader.at - begin);
    if (cm_reader_position(&parse->reader) > META_MAX_METADATA_BYTES)
        return cm_fail(parse->ctx, CALMOE_UNSUPPORTED,
                       "'%s': key %llu '%.80s' ends at byte %zu; metadata is read up to byte %d",
                       parse->file->name, (unsigned long long)i, entry->key,
                       cm_reader_position(&parse->reader), META_MAX_METADATA_BYTES);
    uint8_t *bytes = cm_alloc(parse->ctx, n_bytes, 1, "the value of a key");
    if (bytes == NULL) return CALMOE_NO_MEMORY;
    memcpy(bytes, begin, n_bytes);
    entry->bytes = bytes;
    if (entry->element_type == META_STRING) return cut_strings(parse, entry, n_bytes, i);
    if (entry->element_type == META_BOOL) return check_bools(parse, entry, i);
    return CALMOE_OK;
}

static calmoe_status read_entry(struct gguf_parse *parse, uint64_t i)
{
    struct meta_entry *entry = &parse->file->entries[i];
    const char        *key;
    size_t             n_bytes;
    CM_TRY(cm_gguf_read_name(parse, "key", i, META_MAX_KEY_BYTES, &key, &n_bytes));
    entry->key = cm_copy_text(parse->ctx, key, n_bytes);
    if (entry->key == NULL) return CALMOE_NO_MEMORY;

    CM_TRY(read_type(parse, i, entry->key, "has", &entry->type));
    entry->element_type = entry->type;
    entry->count = 1;
    if (entry->type == META_ARRAY) {
        CM_TRY(read_type(parse, i, entry->key, "is an array of", &entry->element_type));
        if (entry->element_type == META_ARRAY)
            return cm_fail(
                parse->ctx, CALMOE_UNSUPPORTED,
                "'%s': key %llu '%.80s' is an array of arrays; only flat arrays are read",
                parse->file->name, (unsigned long long)i, entry->key);
        entry->count = cm_read_u64(&parse->reader);
        if (parse->reader.failed) return cm_gguf_ends_inside(parse, "key", i);
    }
    const uint8_t *begin = parse->reader.at;
    CM_TRY(skip_values(parse, entry, i));
    return keep_values(parse, entry, begin, i);
}

/* ---- the file ---- */

static calmoe_status check_count(const struct gguf_parse *parse, uint64_t count, const char *what,
                                 uint64_t min_bytes, uint64_t limit)
{
    const size_t left = cm_reader_left(&parse->reader);
    if (count > left / min_bytes)
        return cm_fail(parse->ctx, CALMOE_BAD_FILE,
                       "'%s' announces %llu %s; the %zu bytes after the header hold at most %llu",
                       parse->file->name, (unsigned long long)count, what, left,
                       (unsigned long long)(left / min_bytes));
    if (count > limit)
        return cm_fail(parse->ctx, CALMOE_UNSUPPORTED, "'%s' has %llu %s; at most %llu are read",
                       parse->file->name, (unsigned long long)count, what,
                       (unsigned long long)limit);
    return CALMOE_OK;
}

static calmoe_status read_header(struct gguf_parse *parse)
{
    struct model_file *file = parse->file;
    (void)cm_read_bytes(&parse->reader, MAGIC_BYTES);
    file->version = cm_read_u32(&parse->reader);
    const uint64_t n_tensors = cm_read_u64(&parse->reader);
    const uint64_t n_entries = cm_read_u64(&parse->reader);
    if (parse->reader.failed)
        return cm_fail(parse->ctx, CALMOE_BAD_FILE, "'%s' ends at byte %zu, inside the header",
                       file->name, (size_t)(parse->reader.end - parse->reader.begin));
    if (file->version != 0 && (file->version & 0xffff) == 0)
        return cm_fail(parse->ctx, CALMOE_UNSUPPORTED,
                       "'%s' is a big-endian GGUF file; only little-endian ones are read",
                       file->name);
    if (file->version != 2 && file->version != 3)
        return cm_fail(parse->ctx, CALMOE_UNSUPPORTED,
                       "'%s' has GGUF version %lu; versions 2 and 3 are read", file->name,
                       (unsigned long)file->version);
    CM_TRY(check_count(parse, n_tensors, "tensors", MIN_TENSOR_BYTES, FILE_MAX_TENSORS));
    CM_TRY(check_count(parse, n_entries, "keys", MIN_ENTRY_BYTES, META_MAX_ENTRIES));

    file->entries = cm_alloc(parse->ctx, (size_t)n_entries, sizeof *file->entries,
                             "the keys of a GGUF file");
    if (file->entries == NULL) return CALMOE_NO_MEMORY;
    file->n_entries = n_entries;
    file->tensors = cm_alloc(parse->ctx, (size_t)n_tensors, sizeof *file->tensors,
                             "the tensor list of a GGUF file");
    if (file->tensors == NULL) return CALMOE_NO_MEMORY;
    file->n_tensors = n_tensors;
    return CALMOE_OK;
}

calmoe_status cm_gguf_read(struct calmoe_context *ctx, struct model_file *file, const uint8_t *bytes,
                           size_t n_bytes)
{
    if (n_bytes < MAGIC_BYTES || memcmp(bytes, "GGUF", MAGIC_BYTES) != 0)
        return cm_fail_not_gguf(ctx, file->name, bytes, n_bytes);
    struct gguf_parse parse = {.ctx = ctx, .file = file, .reader = cm_reader(bytes, n_bytes)};
    file->n_file_bytes = n_bytes;
    CM_TRY(read_header(&parse));
    for (uint64_t i = 0; i < file->n_entries; i++) CM_TRY(read_entry(&parse, i));
    CM_TRY(cm_gguf_index_entries(ctx, file));
    return cm_gguf_read_tensors(&parse);
}
