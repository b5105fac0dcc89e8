/* gguf_touch.c - reads everything that an opened GGUF file offers. */
#include "tests/support/gguf_touch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void must(bool holds, const char *promise)
{
    if (holds) return;
    fprintf(stderr, "gguf_touch: broken promise: %s\n", promise);
    abort();
}

static uint64_t sum_of(const void *bytes, uint64_t n_bytes)
{
    uint64_t sum = 0;
    for (uint64_t i = 0; i < n_bytes; i++) sum = 31 * sum + ((const uint8_t *)bytes)[i];
    return sum;
}

/* Each read answers or tells why not. */
static void read_typed(const struct model_file *file, const char *key)
{
    struct calmoe_context ctx = {0};
    int64_t               integer = 0;
    float                 number = 0;
    bool                  yes = false;
    struct meta_string    text = {0};
    int                   n_answers = 0;
    n_answers += cm_meta_need_int(&ctx, file, key, INT64_MIN, INT64_MAX, &integer) == CALMOE_OK;
    n_answers += cm_meta_get_float(&ctx, file, key, -1e30, 1e30, &number) == CALMOE_OK;
    n_answers += cm_meta_get_bool(&ctx, file, key, &yes) == CALMOE_OK;
    n_answers += cm_meta_need_string(&ctx, file, key, &text) == CALMOE_OK;
    must(n_answers <= 1, "a key has one type");
    must(n_answers == 1 || ctx.message[0] != '\0', "a failed read says why");
}

static uint64_t touch_entry(const struct model_file *file, const struct meta_entry *entry)
{
    uint64_t sum = sum_of(entry->key, strlen(entry->key));
    must(cm_meta_entry(file, entry->key) == entry, "a key is found");
    must(entry->type < META_TYPE_COUNT && entry->element_type < META_TYPE_COUNT, "types are known");
    must(entry->element_type != META_ARRAY, "arrays are flat");
    must(entry->type == META_ARRAY || entry->count == 1, "a scalar is one");
    must((entry->strings != NULL) == (entry->element_type == META_STRING), "strings have strings");
    for (uint64_t i = 0; i < entry->count; i++) {
        if (entry->strings != NULL)
            sum += sum_of(entry->strings[i].bytes, entry->strings[i].n_bytes);
        else if (cm_meta_is_integer(entry->element_type) || entry->element_type == META_BOOL)
            sum += (uint64_t)cm_meta_element_int(entry, i);
        else
            sum += cm_meta_element_float(entry, i) > 0;
        if (entry->element_type == META_BOOL) must(entry->bytes[i] <= 1, "a bool is 0 or 1");
    }
    read_typed(file, entry->key);
    return sum;
}

static uint64_t touch_tensor(const struct model_file *file, const struct file_tensor *tensor)
{
    must(cm_file_tensor(file, tensor->name) == tensor, "a tensor is found");
    must(tensor->n_dims >= 1 && tensor->n_dims <= FILE_MAX_DIMS, "there are 1 to 4 dimensions");
    must(tensor->shard >= 0 && tensor->shard < file->n_shards, "the shard exists");
    for (int d = 0; d < FILE_MAX_DIMS; d++)
        must(d < tensor->n_dims ? tensor->shape[d] >= 1 : tensor->shape[d] == 1, "shapes are filled");
    if (tensor->is_weight) {
        uint64_t n_bytes = cm_row_bytes(tensor->type, tensor->shape[0]);
        for (int d = 1; d < FILE_MAX_DIMS; d++) n_bytes *= tensor->shape[d];
        must(tensor->n_bytes == n_bytes, "a weight has the bytes of its type");
    }
    return sum_of(tensor->bytes, tensor->n_bytes);
}

uint64_t gguf_touch(const struct model_file *file)
{
    uint64_t sum = 0;
    for (uint64_t i = 0; i < file->n_entries; i++) sum += touch_entry(file, &file->entries[i]);
    for (uint64_t i = 0; i < file->n_tensors; i++) sum += touch_tensor(file, &file->tensors[i]);
    return sum;
}
