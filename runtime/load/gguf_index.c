/* gguf_index.c - finding keys and tensors by name, and seeing that no name occurs twice. */
#include <stdbool.h>
#include <string.h>

#include "base/memory.h"
#include "runtime/load/gguf_parts.h"

/* Moves order[root] down until neither child comes after it; order[0 .. n) is a heap elsewhere. */
static void sift_down(const struct model_file *file, uint64_t *order, uint64_t root, uint64_t n,
                      gguf_compare compare)
{
    const uint64_t moving = order[root];
    for (;;) {
        uint64_t child = 2 * root + 1;
        if (child >= n) break;
        if (child + 1 < n && compare(file, order[child], order[child + 1]) < 0) child++;
        if (compare(file, moving, order[child]) >= 0) break;
        order[root] = order[child];
        root = child;
    }
    order[root] = moving;
}

/* Heap sort: n log n in the worst case too, and no memory, which qsort() does not promise. */
void cm_gguf_sort(const struct model_file *file, uint64_t *order, uint64_t n, gguf_compare compare)
{
    for (uint64_t i = 0; i < n; i++) order[i] = i;
    for (uint64_t root = n / 2; root > 0; root--) sift_down(file, order, root - 1, n, compare);
    for (uint64_t last = n; last > 1; last--) {
        const uint64_t largest = order[0];
        order[0] = order[last - 1];
        order[last - 1] = largest;
        sift_down(file, order, 0, last - 1, compare);
    }
}

static int compare_positions(uint64_t a, uint64_t b)
{
    return (a > b) - (a < b);
}

static int compare_keys(const struct model_file *file, uint64_t a, uint64_t b)
{
    const int order = strcmp(file->entries[a].key, file->entries[b].key);
    return order != 0 ? order : compare_positions(a, b);
}

static int compare_names(const struct model_file *file, uint64_t a, uint64_t b)
{
    const int order = strcmp(file->tensors[a].name, file->tensors[b].name);
    return order != 0 ? order : compare_positions(a, b);
}

static struct gguf_index *index_of(struct calmoe_context *ctx, struct model_file *file)
{
    if (file->index == NULL)
        file->index = cm_alloc(ctx, 1, sizeof(struct gguf_index), "the index of a GGUF file");
    return file->index;
}

calmoe_status cm_gguf_index_entries(struct calmoe_context *ctx, struct model_file *file)
{
    struct gguf_index *index = index_of(ctx, file);
    if (index == NULL) return CALMOE_NO_MEMORY;
    cm_free(index->entries);
    index->entries = cm_alloc(ctx, file->n_entries, sizeof *index->entries, "the index of keys");
    if (index->entries == NULL) return CALMOE_NO_MEMORY;

    cm_gguf_sort(file, index->entries, file->n_entries, compare_keys);
    for (uint64_t i = 1; i < file->n_entries; i++) {
        const uint64_t a = index->entries[i - 1], b = index->entries[i];
        if (strcmp(file->entries[a].key, file->entries[b].key) == 0)
            return cm_fail(ctx, CALMOE_BAD_FILE,
                           "'%s': keys %llu and %llu have the same name '%.80s'", file->name,
                           (unsigned long long)a, (unsigned long long)b, file->entries[a].key);
    }
    return CALMOE_OK;
}

calmoe_status cm_gguf_index_tensors(struct calmoe_context *ctx, struct model_file *file)
{
    struct gguf_index *index = index_of(ctx, file);
    if (index == NULL) return CALMOE_NO_MEMORY;
    cm_free(index->tensors);
    index->tensors = cm_alloc(ctx, file->n_tensors, sizeof *index->tensors, "the index of tensors");
    if (index->tensors == NULL) return CALMOE_NO_MEMORY;

    cm_gguf_sort(file, index->tensors, file->n_tensors, compare_names);
    for (uint64_t i = 1; i < file->n_tensors; i++) {
        const uint64_t            a = index->tensors[i - 1], b = index->tensors[i];
        const struct file_tensor *first = &file->tensors[a], *second = &file->tensors[b];
        if (strcmp(first->name, second->name) != 0) continue;
        if (first->shard != second->shard)
            return cm_fail(ctx, CALMOE_BAD_FILE, "'%s': shards %d and %d both hold a tensor '%s'",
                           file->name, first->shard + 1, second->shard + 1, first->name);
        return cm_fail(ctx, CALMOE_BAD_FILE, "'%s': tensors %llu and %llu have the same name '%s'",
                       file->name, (unsigned long long)a, (unsigned long long)b, first->name);
    }
    return CALMOE_OK;
}

void cm_gguf_index_close(struct model_file *file)
{
    struct gguf_index *index = file->index;
    if (index == NULL) return;
    cm_free(index->entries);
    cm_free(index->tensors);
    cm_free(index);
    file->index = NULL;
}

const struct file_tensor *cm_file_tensor(const struct model_file *file, const char *name)
{
    const struct gguf_index *index = file->index;
    uint64_t                 begin = 0, end = file->n_tensors;
    while (begin < end) {
        const uint64_t            middle = begin + (end - begin) / 2;
        const struct file_tensor *tensor = &file->tensors[index->tensors[middle]];
        const int                 order = strcmp(name, tensor->name);
        if (order == 0) return tensor;
        if (order < 0) end = middle;
        else begin = middle + 1;
    }
    return NULL;
}

const struct meta_entry *cm_meta_entry(const struct model_file *file, const char *key)
{
    const struct gguf_index *index = file->index;
    uint64_t                 begin = 0, end = file->n_entries;
    while (begin < end) {
        const uint64_t           middle = begin + (end - begin) / 2;
        const struct meta_entry *entry = &file->entries[index->entries[middle]];
        const int                order = strcmp(key, entry->key);
        if (order == 0) return entry;
        if (order < 0) end = middle;
        else begin = middle + 1;
    }
    return NULL;
}
