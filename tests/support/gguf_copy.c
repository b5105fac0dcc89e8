/* tests/support/gguf_copy.c - see gguf_copy.h. */
#include "tests/support/gguf_copy.h"

#include <stdio.h>
#include <string.h>

static void copy_values(struct gguf_builder *builder, const struct meta_entry *entry)
{
    static const size_t sizes[META_TYPE_COUNT] = {
        [META_U8] = 1,  [META_I8] = 1,  [META_U16] = 2, [META_I16] = 2, [META_U32] = 4, [META_I32] = 4,
        [META_F32] = 4, [META_BOOL] = 1, [META_U64] = 8, [META_I64] = 8, [META_F64] = 8,
    };
    for (uint64_t i = 0; entry->strings && i < entry->count; i++)
        builder_put_string(&builder->entries, entry->strings[i].bytes, (size_t)entry->strings[i].n_bytes);
    if (entry->strings) return;
    const enum meta_type type = entry->type == META_ARRAY ? entry->element_type : entry->type;
    builder_put_bytes(&builder->entries, entry->bytes, (size_t)entry->count * sizes[type]);
}

static void copy_entry(struct gguf_builder *builder, const struct meta_entry *entry)
{
    builder_add_raw_entry(builder, entry->key, strlen(entry->key), (uint32_t)entry->type, NULL, 0);
    if (entry->type == META_ARRAY) {
        builder_put(&builder->entries, (uint64_t)entry->element_type, 4);
        builder_put(&builder->entries, entry->count, 8);
    }
    copy_values(builder, entry);
}

static void copy_tensor(struct gguf_builder *builder, const struct file_tensor *tensor)
{
    builder_add_tensor(builder, tensor->name, tensor->file_id, (uint32_t)tensor->n_dims, tensor->shape, tensor->bytes,
                       (size_t)tensor->n_bytes);
}

struct gguf_builder *gguf_copy(const struct model_file *file, const char *without)
{
    struct gguf_builder *builder = builder_open();
    for (uint64_t i = 0; i < file->n_entries; i++)
        if (!without || strcmp(file->entries[i].key, without) != 0) copy_entry(builder, &file->entries[i]);
    for (uint64_t i = 0; i < file->n_tensors; i++)
        if (!without || strcmp(file->tensors[i].name, without) != 0) copy_tensor(builder, &file->tensors[i]);
    return builder;
}

struct gguf_builder *gguf_copy_as(const struct model_file *file, const char *architecture)
{
    static const char of_file[] = "general.architecture";
    struct gguf_builder *builder = builder_open();
    struct meta_string own = {0};
    for (uint64_t i = 0; i < file->n_entries; i++)
        if (strcmp(file->entries[i].key, of_file) == 0) own = file->entries[i].strings[0];
    for (uint64_t i = 0; i < file->n_entries; i++) {
        struct meta_entry entry = file->entries[i];
        const size_t n = (size_t)own.n_bytes;
        char key[256];
        if (n > 0 && strncmp(entry.key, own.bytes, n) == 0 && entry.key[n] == '.') {
            snprintf(key, sizeof key, "%s%s", architecture, entry.key + n);
            entry.key = key;
        }
        if (strcmp(entry.key, of_file) == 0) builder_add_string(builder, of_file, architecture);
        else copy_entry(builder, &entry);
    }
    for (uint64_t i = 0; i < file->n_tensors; i++) copy_tensor(builder, &file->tensors[i]);
    return builder;
}

struct gguf_builder *gguf_copy_2023(const struct model_file *file)
{
    static const char ending[] = "_exps.weight";
    struct gguf_builder *builder = builder_open();
    for (uint64_t i = 0; i < file->n_entries; i++) copy_entry(builder, &file->entries[i]);
    for (uint64_t i = 0; i < file->n_tensors; i++) {
        const struct file_tensor *tensor = &file->tensors[i];
        const char *end = strstr(tensor->name, ending);
        const size_t n_bytes = (size_t)(tensor->n_bytes / tensor->shape[2]);
        if (!end) copy_tensor(builder, tensor);
        for (uint64_t expert = 0; end && expert < tensor->shape[2]; expert++) {
            char name[FILE_MAX_NAME_BYTES];
            snprintf(name, sizeof name, "%.*s.%d.weight", (int)(end - tensor->name), tensor->name, (int)expert);
            builder_add_tensor(builder, name, tensor->file_id, 2, tensor->shape, tensor->bytes + expert * n_bytes,
                               n_bytes);
        }
    }
    return builder;
}
