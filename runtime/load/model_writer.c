/* runtime/load/model_writer.c - see model_writer.h. */
#include "runtime/load/model_writer.h"

#include <string.h>

#include "base/memory.h"
#include "base/whole_file.h"

enum { ALIGNMENT = 32, GGUF_VERSION = 3 };

struct model_writer {
    struct calmoe_context *ctx;
    struct whole_file      file;
    uint64_t               n_put; /* bytes of the tensor that is being written */
};

static void put(struct model_writer *writer, const void *bytes, size_t n_bytes)
{
    fwrite(bytes, 1, n_bytes, writer->file.stream); /* errors stay in the stream; checked at the ends */
}

static void put_u32(struct model_writer *writer, uint32_t value)
{
    uint8_t bytes[4];
    for (int i = 0; i < 4; i++) bytes[i] = (uint8_t)(value >> (8 * i));
    put(writer, bytes, sizeof bytes);
}

static void put_u64(struct model_writer *writer, uint64_t value)
{
    put_u32(writer, (uint32_t)value);
    put_u32(writer, (uint32_t)(value >> 32));
}

static void put_string(struct model_writer *writer, const char *bytes, uint64_t n_bytes)
{
    put_u64(writer, n_bytes);
    put(writer, bytes, (size_t)n_bytes);
}

static size_t bytes_of_type(enum meta_type type)
{
    static const uint8_t sizes[META_TYPE_COUNT] = {
        [META_U8] = 1,  [META_I8] = 1,  [META_U16] = 2, [META_I16] = 2, [META_U32] = 4, [META_I32] = 4,
        [META_F32] = 4, [META_BOOL] = 1, [META_U64] = 8, [META_I64] = 8, [META_F64] = 8};
    return sizes[type];
}

static void put_entry(struct model_writer *writer, const struct meta_entry *entry)
{
    const bool is_array = entry->type == META_ARRAY;
    put_string(writer, entry->key, strlen(entry->key));
    put_u32(writer, entry->type);
    if (is_array) {
        put_u32(writer, entry->element_type);
        put_u64(writer, entry->count);
    }
    for (uint64_t i = 0; entry->strings && i < entry->count; i++)
        put_string(writer, entry->strings[i].bytes, entry->strings[i].n_bytes);
    if (!entry->strings)
        put(writer, entry->bytes, (size_t)entry->count * bytes_of_type(is_array ? entry->element_type : entry->type));
}

static void pad(struct model_writer *writer, uint64_t position)
{
    static const uint8_t zeros[ALIGNMENT];
    put(writer, zeros, (size_t)((ALIGNMENT - position % ALIGNMENT) % ALIGNMENT));
}

static bool is_dropped(const char *key, const char *const *dropped, int n_dropped)
{
    if (strcmp(key, "general.alignment") == 0) return true; /* the source's; here it is the default */
    for (int i = 0; i < n_dropped; i++)
        if (strncmp(key, dropped[i], strlen(dropped[i])) == 0) return true;
    return false;
}

static calmoe_status check(const struct model_writer *writer)
{
    return cm_whole_file_check(writer->ctx, &writer->file);
}

static void put_tensor_infos(struct model_writer *writer, const struct new_tensor *tensors, uint64_t n_tensors)
{
    uint64_t offset = 0;
    for (uint64_t i = 0; i < n_tensors; i++) {
        const struct file_tensor *source = tensors[i].source;
        put_string(writer, source->name, strlen(source->name));
        put_u32(writer, (uint32_t)source->n_dims);
        for (int dim = 0; dim < source->n_dims; dim++) put_u64(writer, source->shape[dim]);
        put_u32(writer, tensors[i].file_id);
        put_u64(writer, offset);
        offset += (tensors[i].n_bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    }
}

calmoe_status cm_model_writer_open(struct calmoe_context *ctx, const char *path, const struct model_file *source,
                                  const char *const *dropped, int n_dropped,
                                  const struct new_meta_u32 *added, int n_added,
                                  const struct new_tensor *tensors, uint64_t n_tensors,
                                  struct model_writer **out)
{
    struct model_writer *writer = *out = cm_alloc(ctx, 1, sizeof *writer, "the file writer");
    if (!writer) return CALMOE_NO_MEMORY;
    writer->ctx = ctx;
    calmoe_status status = cm_whole_file_open(ctx, path, &writer->file);
    if (status == CALMOE_OK) {
        uint64_t n_entries = (uint64_t)n_added;
        for (uint64_t i = 0; i < source->n_entries; i++)
            if (!is_dropped(source->entries[i].key, dropped, n_dropped)) n_entries++;
        put(writer, "GGUF", 4);
        put_u32(writer, GGUF_VERSION);
        put_u64(writer, n_tensors);
        put_u64(writer, n_entries);
        for (uint64_t i = 0; i < source->n_entries; i++)
            if (!is_dropped(source->entries[i].key, dropped, n_dropped)) put_entry(writer, &source->entries[i]);
        for (int i = 0; i < n_added; i++) {
            put_string(writer, added[i].key, strlen(added[i].key));
            put_u32(writer, META_U32);
            put_u32(writer, added[i].value);
        }
        put_tensor_infos(writer, tensors, n_tensors);
        pad(writer, (uint64_t)ftello(writer->file.stream));
        status = check(writer);
    }
    if (status != CALMOE_OK) cm_model_writer_close(out);
    return status;
}

calmoe_status cm_model_writer_put_part(struct model_writer *writer, const void *bytes, uint64_t n_bytes)
{
    put(writer, bytes, (size_t)n_bytes);
    writer->n_put += n_bytes;
    return check(writer);
}

calmoe_status cm_model_writer_end_tensor(struct model_writer *writer)
{
    pad(writer, writer->n_put);
    writer->n_put = 0;
    return check(writer);
}

calmoe_status cm_model_writer_put(struct model_writer *writer, const void *bytes, uint64_t n_bytes)
{
    CM_TRY(cm_model_writer_put_part(writer, bytes, n_bytes));
    return cm_model_writer_end_tensor(writer);
}

calmoe_status cm_model_writer_finish(struct model_writer *writer)
{
    return cm_whole_file_finish(writer->ctx, &writer->file);
}

void cm_model_writer_close(struct model_writer **writer)
{
    if (!*writer) return;
    cm_whole_file_close(&(*writer)->file);
    cm_free(*writer);
    *writer = NULL;
}
