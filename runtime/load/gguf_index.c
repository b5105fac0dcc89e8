/* gguf_index.c - finding keys and tensors by name, and seeing that no name occurs twice. */
#include <stdbool.h>
#include <string.h>

#include "base/memory.h"
#include "runtime/load/gguf_parts.h"

/* Moves order[root] down until neither child comes after it; order[0 .. n) is a heap elsewhere. */
static void sift_down(const struct gguf *gguf, uint64_t *order, uint64_t root, uint64_t n,
                      gguf_compare compare)
{
    const uint64_t moving = order[root];
    for (;;) {
        uint64_t child = 2 * root + 1;
        if (child >= n) break;
        if (child + 1 < n && compare(gguf, order[child], order[child + 1]) < 0) child++;
        if (compare(gguf, moving, order[child]) >= 0) break;
        order[root] = order[child];
        root = child;
    }
    order[root] = moving;
}

/* Heap sort: n log n in the worst case too, and no memory, which qsort() does not promise. */
void cm_gguf_sort(const struct gguf *gguf, uint64_t *order, uint64_t n, gguf_compare compare)
{
    for (uint64_t i = 0; i < n; i++) order[i] = i;
    for (uint64_t root = n / 2; root > 0; root--) sift_down(gguf, order, root - 1, n, compare);
    for (uint64_t last = n; last > 1; last--) {
        const uint64_t largest = order[0];
        order[0] = order[last - 1];
        order[last - 1] = largest;
        sift_down(gguf, order, 0, last - 1, compare);
    }
}

static int compare_positions(uint64_t a, uint64_t b)
{
    return (a > b) - (a < b);
}

static int compare_keys(const struct gguf *gguf, uint64_t a, uint64_t b)
{
    const int order = strcmp(gguf->entries[a].key, gguf->entries[b].key);
    return order != 0 ? order : compare_positions(a, b);
}

static int compare_names(const struct gguf *gguf, uint64_t a, uint64_t b)
{
    const int order = strcmp(gguf->tensors[a].name, gguf->tensors[b].name);
    return order != 0 ? order : compare_positions(a, b);
}

static struct gguf_index *index_of(struct calmoe_context *ctx, struct gguf *gguf)
{
    if (gguf->index == NULL)
        gguf->index = cm_alloc(ctx, 1, sizeof(struct gguf_index), "the index of a GGUF file");
    return gguf->index;
}

calmoe_status cm_gguf_index_entries(struct calmoe_context *ctx, struct gguf *gguf)
{
    struct gguf_index *index = index_of(ctx, gguf);
    if (index == NULL) return CALMOE_NO_MEMORY;
    cm_free(index->entries);
    index->entries = cm_alloc(ctx, gguf->n_entries, sizeof *index->entries, "the index of keys");
    if (index->entries == NULL) return CALMOE_NO_MEMORY;

    cm_gguf_sort(gguf, index->entries, gguf->n_entries, compare_keys);
    for (uint64_t i = 1; i < gguf->n_entries; i++) {
        const uint64_t a = index->entries[i - 1], b = index->entries[i];
        if (strcmp(gguf->entries[a].key, gguf->entries[b].key) == 0)
            return cm_fail(ctx, CALMOE_BAD_FILE,
                           "'%s': keys %llu and %llu have the same name '%.80s'", gguf->name,
                           (unsigned long long)a, (unsigned long long)b, gguf->entries[a].key);
    }
    return CALMOE_OK;
}

calmoe_status cm_gguf_index_tensors(struct calmoe_context *ctx, struct gguf *gguf)
{
    struct gguf_index *index = index_of(ctx, gguf);
    if (index == NULL) return CALMOE_NO_MEMORY;
    cm_free(index->tensors);
    index->tensors = cm_alloc(ctx, gguf->n_tensors, sizeof *index->tensors, "the index of tensors");
    if (index->tensors == NULL) return CALMOE_NO_MEMORY;

    cm_gguf_sort(gguf, index->tensors, gguf->n_tensors, compare_names);
    for (uint64_t i = 1; i < gguf->n_tensors; i++) {
        const uint64_t            a = index->tensors[i - 1], b = index->tensors[i];
        const struct gguf_tensor *first = &gguf->tensors[a], *second = &gguf->tensors[b];
        if (strcmp(first->name, second->name) != 0) continue;
        if (first->shard != second->shard)
            return cm_fail(ctx, CALMOE_BAD_FILE, "'%s': shards %d and %d both hold a tensor '%s'",
                           gguf->name, first->shard + 1, second->shard + 1, first->name);
        return cm_fail(ctx, CALMOE_BAD_FILE, "'%s': tensors %llu and %llu have the same name '%s'",
                       gguf->name, (unsigned long long)a, (unsigned long long)b, first->name);
    }
    return CALMOE_OK;
}

void cm_gguf_index_close(struct gguf *gguf)
{
    struct gguf_index *index = gguf->index;
    if (index == NULL) return;
    cm_free(index->entries);
    cm_free(index->tensors);
    cm_free(index);
    gguf->index = NULL;
}

const struct gguf_tensor *cm_gguf_tensor(const struct gguf *gguf, const char *name)
{
    const struct gguf_index *index = gguf->index;
    uint64_t                 begin = 0, end = gguf->n_tensors;
    while (begin < end) {
        const uint64_t            middle = begin + (end - begin) / 2;
        const struct gguf_tensor *tensor = &gguf->tensors[index->tensors[middle]];
        const int                 order = strcmp(name, tensor->name);
        if (order == 0) return tensor;
        if (order < 0) end = middle;
        else begin = middle + 1;
    }
    return NULL;
}

const struct gguf_entry *cm_gguf_entry(const struct gguf *gguf, const char *key)
{
    const struct gguf_index *index = gguf->index;
    uint64_t                 begin = 0, end = gguf->n_entries;
    while (begin < end) {
        const uint64_t           middle = begin + (end - begin) / 2;
        const struct gguf_entry *entry = &gguf->entries[index->entries[middle]];
        const int                order = strcmp(key, entry->key);
        if (order == 0) return entry;
        if (order < 0) end = middle;
        else begin = middle + 1;
    }
    return NULL;
}
