/* runtime/load/model_file.c - opens GGUF files: one, or the shards of a split model as one. */
#include "runtime/load/model_file.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "runtime/load/gguf_parts.h"

enum { SHARD_SUFFIX_BYTES = 20 }; /* "-00001-of-00003.gguf" */

calmoe_status cm_gguf_create(struct calmoe_context *ctx, const char *path, struct model_file **out)
{
    const char  *slash = strrchr(path, '/');
    const char  *name = slash != NULL ? slash + 1 : path;
    struct model_file *file = cm_alloc(ctx, 1, sizeof *file, "a GGUF file");
    if (file == NULL) return CALMOE_NO_MEMORY;
    file->n_shards = 1;
    file->name = cm_copy_text(ctx, name, strlen(name));
    if (file->name == NULL) {
        cm_free(file);
        return CALMOE_NO_MEMORY;
    }
    *out = file;
    return CALMOE_OK;
}

void cm_model_file_close(struct model_file **closing)
{
    if (closing == NULL || *closing == NULL) return;
    struct model_file *file = *closing;
    for (uint64_t i = 0; file->entries != NULL && i < file->n_entries; i++) {
        cm_free((void *)file->entries[i].key);
        cm_free((void *)file->entries[i].bytes);
        cm_free(file->entries[i].strings);
    }
    cm_free(file->entries);
    cm_free(file->tensors);
    cm_gguf_index_close(file);
    for (int shard = 0; file->maps != NULL && shard < file->n_shards; shard++)
        cm_file_map_close(&file->maps[shard]);
    cm_free(file->maps);
    cm_free(file->name);
    cm_free(file);
    *closing = NULL;
}

calmoe_status cm_model_file_parse(struct calmoe_context *ctx, const char *name, const void *bytes,
                            size_t n_bytes, struct model_file **out)
{
    *out = NULL;
    struct model_file *file = NULL;
    CM_TRY(cm_gguf_create(ctx, name, &file));
    const calmoe_status status = cm_gguf_read(ctx, file, bytes, n_bytes);
    if (status == CALMOE_OK) *out = file;
    else cm_model_file_close(&file);
    return status;
}

static calmoe_status map_and_read(struct calmoe_context *ctx, const char *path, struct model_file *file)
{
    file->maps = cm_alloc(ctx, 1, sizeof *file->maps, "the map of a GGUF file");
    if (file->maps == NULL) return CALMOE_NO_MEMORY;
    CM_TRY(cm_file_map_open(ctx, path, &file->maps[0]));
    return cm_gguf_read(ctx, file, file->maps[0].bytes, file->maps[0].n_bytes);
}

/* One file, whatever it says of shards. */
static calmoe_status open_file(struct calmoe_context *ctx, const char *path, struct model_file **out)
{
    struct model_file *file = NULL;
    CM_TRY(cm_gguf_create(ctx, path, &file));
    const calmoe_status status = map_and_read(ctx, path, file);
    if (status == CALMOE_OK) *out = file;
    else cm_model_file_close(&file);
    return status;
}

/* ---- shards ---- */

static void shard_suffix(char suffix[static SHARD_SUFFIX_BYTES + 12], int shard, int n_shards)
{
    snprintf(suffix, SHARD_SUFFIX_BYTES + 12, "-%05d-of-%05d.gguf", shard + 1, n_shards);
}

/* The part of text before its shard suffix; -1 where text is not named so. */
static int prefix_length(const char *text, int shard, int n_shards)
{
    char suffix[SHARD_SUFFIX_BYTES + 12];
    shard_suffix(suffix, shard, n_shards);
    const size_t length = strlen(text);
    if (length < SHARD_SUFFIX_BYTES || strcmp(text + length - SHARD_SUFFIX_BYTES, suffix) != 0)
        return -1;
    return (int)(length - SHARD_SUFFIX_BYTES);
}

/* What the file says of the split it belongs to: shard 0 of 1 where it says nothing. */
static calmoe_status read_split(struct calmoe_context *ctx, const struct model_file *file, int *shard,
                                int *n_shards)
{
    int64_t count = 1, number = 0;
    CM_TRY(cm_meta_get_int(ctx, file, "split.count", 0, FILE_MAX_SHARDS, &count));
    if (count == 0) count = 1; /* some writers say so of a file that was never split */
    CM_TRY(cm_meta_get_int(ctx, file, "split.no", 0, count - 1, &number));
    *shard = (int)number;
    *n_shards = (int)count;
    return CALMOE_OK;
}

static calmoe_status not_the_first(struct calmoe_context *ctx, const struct model_file *file, int shard,
                                   int n_shards)
{
    const int n_prefix = prefix_length(file->name, shard, n_shards);
    if (n_prefix < 0)
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "'%s' is shard %d of %d; open the first one",
                       file->name, shard + 1, n_shards);
    char suffix[SHARD_SUFFIX_BYTES + 12];
    shard_suffix(suffix, 0, n_shards);
    return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "'%s' is shard %d of %d; open '%.*s%s'",
                   file->name, shard + 1, n_shards, n_prefix, file->name, suffix);
}

static calmoe_status check_sibling(struct calmoe_context *ctx, const struct model_file *file, int shard,
                                   int n_shards)
{
    int found = 0, n_found = 1;
    CM_TRY(read_split(ctx, file, &found, &n_found));
    if (found == shard && n_found == n_shards) return CALMOE_OK;
    return cm_fail(ctx, CALMOE_BAD_FILE,
                   "'%s' says that it is shard %d of %d; wanted shard %d of %d", file->name,
                   found + 1, n_found, shard + 1, n_shards);
}

static calmoe_status check_is_there(struct calmoe_context *ctx, const char *name, int n_shards, int shard,
                                    const char *sibling)
{
    if (access(sibling, F_OK) == 0) return CALMOE_OK;
    return cm_fail(ctx, CALMOE_IO, "'%s' is the first of %d shards, but shard %d is missing: cannot open '%s': %s",
                   name, n_shards, shard + 1, sibling, strerror(errno));
}

static calmoe_status open_siblings(struct calmoe_context *ctx, const char *path, const char *name, int n_shards,
                                   struct model_file **shards)
{
    const size_t length = strlen(path);
    char        *sibling = cm_copy_text(ctx, path, length);
    if (sibling == NULL) return CALMOE_NO_MEMORY;
    calmoe_status status = CALMOE_OK;
    for (int shard = 1; shard < n_shards && status == CALMOE_OK; shard++) {
        char suffix[SHARD_SUFFIX_BYTES + 12];
        shard_suffix(suffix, shard, n_shards);
        memcpy(sibling + length - SHARD_SUFFIX_BYTES, suffix, SHARD_SUFFIX_BYTES);
        status = check_is_there(ctx, name, n_shards, shard, sibling);
        if (status == CALMOE_OK) status = open_file(ctx, sibling, &shards[shard]);
        if (status == CALMOE_OK) status = check_sibling(ctx, shards[shard], shard, n_shards);
    }
    cm_free(sibling);
    return status;
}

static calmoe_status count_tensors(struct calmoe_context *ctx, const struct model_file *first,
                                   struct model_file *const *shards, int n_shards, uint64_t *out)
{
    int64_t  wanted = 0;
    uint64_t found = first->n_tensors;
    CM_TRY(cm_meta_need_int(ctx, first, "split.tensors.count", 0, FILE_MAX_TENSORS, &wanted));
    for (int shard = 1; shard < n_shards; shard++) found += shards[shard]->n_tensors;
    if (found != (uint64_t)wanted)
        return cm_fail(ctx, CALMOE_BAD_FILE, "'%s' announces %lld tensors; its %d shards hold %llu",
                       first->name, (long long)wanted, n_shards, (unsigned long long)found);
    *out = found;
    return CALMOE_OK;
}

/* Moves the maps and the tensors of the siblings into the first. */
static calmoe_status join(struct calmoe_context *ctx, struct model_file *first,
                          struct model_file *const *shards, int n_shards)
{
    uint64_t n_tensors = 0;
    CM_TRY(count_tensors(ctx, first, shards, n_shards, &n_tensors));
    struct file_map *maps = cm_alloc(ctx, (size_t)n_shards, sizeof *maps, "the maps of the shards");
    struct file_tensor *tensors = cm_alloc(ctx, (size_t)n_tensors, sizeof *tensors,
                                           "the tensors of the shards");
    if (maps == NULL || tensors == NULL) {
        cm_free(maps);
        cm_free(tensors);
        return CALMOE_NO_MEMORY;
    }
    uint64_t n_moved = 0;
    for (int shard = 0; shard < n_shards; shard++) {
        struct model_file *from = shard == 0 ? first : shards[shard];
        maps[shard] = from->maps[0];
        from->maps[0] = (struct file_map){0};
        for (uint64_t i = 0; i < from->n_tensors; i++) {
            tensors[n_moved] = from->tensors[i];
            tensors[n_moved++].shard = shard;
        }
        if (shard > 0) first->n_file_bytes += from->n_file_bytes;
    }
    cm_free(first->maps);
    cm_free(first->tensors);
    first->maps = maps;
    first->n_shards = n_shards;
    first->tensors = tensors;
    first->n_tensors = n_tensors;
    return cm_gguf_index_tensors(ctx, first);
}

/* first is open; makes it the whole model where it is one of several shards. */
static calmoe_status add_shards(struct calmoe_context *ctx, const char *path, struct model_file *first)
{
    int shard = 0, n_shards = 1;
    CM_TRY(read_split(ctx, first, &shard, &n_shards));
    if (shard > 0) return not_the_first(ctx, first, shard, n_shards);
    if (n_shards == 1) return CALMOE_OK;
    if (prefix_length(first->name, 0, n_shards) < 0) {
        char suffix[SHARD_SUFFIX_BYTES + 12];
        shard_suffix(suffix, 0, n_shards);
        return cm_fail(
            ctx, CALMOE_BAD_FILE,
            "'%s' is shard 1 of %d, but its name does not end in '%s', so the others cannot be found",
            first->name, n_shards, suffix);
    }
    struct model_file **shards = cm_alloc(ctx, (size_t)n_shards, sizeof *shards,
                                    "the list of shards"); /* [0] unused */
    if (shards == NULL) return CALMOE_NO_MEMORY;
    calmoe_status status = open_siblings(ctx, path, first->name, n_shards, shards);
    if (status == CALMOE_OK) status = join(ctx, first, shards, n_shards);
    for (int i = 1; i < n_shards; i++) cm_model_file_close(&shards[i]);
    cm_free(shards);
    return status;
}

/* A file of one map, which it takes; none is left where it was. */
static calmoe_status of_map(struct calmoe_context *ctx, const char *name, struct file_map *map, struct model_file **out)
{
    CM_TRY(cm_gguf_create(ctx, name, out));
    (*out)->maps = cm_alloc(ctx, 1, sizeof *(*out)->maps, "the map of a GGUF file");
    if ((*out)->maps == NULL) return CALMOE_NO_MEMORY;
    (*out)->maps[0] = *map;
    *map = (struct file_map){0};
    return cm_gguf_read(ctx, *out, (*out)->maps[0].bytes, (*out)->maps[0].n_bytes);
}

calmoe_status cm_model_file_of_maps(struct calmoe_context *ctx, const char *name, struct file_map *maps, int n_shards,
                                    struct model_file **out)
{
    struct model_file **shards = cm_alloc(ctx, (size_t)n_shards, sizeof *shards, "the list of shards");
    calmoe_status       status = shards ? CALMOE_OK : CALMOE_NO_MEMORY;
    *out = NULL;
    for (int i = 0; i < n_shards && status == CALMOE_OK; i++) status = of_map(ctx, name, &maps[i], &shards[i]);
    if (status == CALMOE_OK && n_shards > 1) status = join(ctx, shards[0], shards, n_shards);
    if (status == CALMOE_OK) *out = shards[0];
    for (int i = status == CALMOE_OK; shards != NULL && i < n_shards; i++) cm_model_file_close(&shards[i]);
    for (int i = 0; i < n_shards; i++) cm_file_map_close(&maps[i]);
    cm_free(shards);
    cm_free(maps);
    return status;
}

calmoe_status cm_model_file_open(struct calmoe_context *ctx, const char *path, struct model_file **out)
{
    *out = NULL;
    struct model_file *file = NULL;
    CM_TRY(open_file(ctx, path, &file));
    const calmoe_status status = add_shards(ctx, path, file);
    if (status == CALMOE_OK) *out = file;
    else cm_model_file_close(&file);
    return status;
}
