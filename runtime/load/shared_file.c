/* shared_file.c - see shared_file.h. */
#include "runtime/load/shared_file.h"

#include <stdio.h>
#include <string.h>

#include "base/memory.h"

struct told_file { /* by rank 0, of the model's file … */
    uint64_t n_shards;
    char     name[256];
};
struct told_shard { /* … and of each of its shards */
    uint64_t n_bytes, n_head; /* before the first tensor */
};

static uint64_t head_bytes(const struct model_file *file, int shard)
{
    uint64_t n = file->maps[shard].n_bytes;
    for (uint64_t i = 0; i < file->n_tensors; i++) {
        const uint64_t at = (uint64_t)(file->tensors[i].bytes - file->maps[shard].bytes);
        if (file->tensors[i].shard == shard && at < n) n = at;
    }
    return n;
}

static calmoe_status tell_all(const struct file_sharing *s, const void *bytes, size_t n)
{
    for (int rank = 1; rank < cm_ranks_n(s->ranks); rank++) CM_TRY(cm_ranks_send(s->ranks, rank, bytes, n));
    return CALMOE_OK;
}

static calmoe_status tell_heads(const struct file_sharing *s, const struct model_file *file)
{
    struct told_file told = {.n_shards = (uint64_t)file->n_shards};
    snprintf(told.name, sizeof told.name, "%s", file->name);
    CM_TRY(tell_all(s, &told, sizeof told));
    for (int i = 0; i < file->n_shards; i++) {
        const struct told_shard shard = {file->maps[i].n_bytes, head_bytes(file, i)};
        CM_TRY(tell_all(s, &shard, sizeof shard));
        CM_TRY(cm_sharing_spread(s, &(struct file_range){file->maps[i].bytes, (size_t)shard.n_head}));
    }
    return CALMOE_OK;
}

static calmoe_status take_heads(struct file_sharing *s, struct file_map *maps)
{
    for (int i = 0; i < s->n_maps; i++) {
        struct told_shard shard;
        CM_TRY(cm_ranks_receive(s->ranks, 0, &shard, sizeof shard));
        CM_TRY(cm_file_map_open_empty(s->ctx, (size_t)shard.n_bytes, &maps[i]));
        CM_TRY(cm_sharing_spread(s, &(struct file_range){maps[i].bytes, (size_t)shard.n_head}));
    }
    return CALMOE_OK;
}

static calmoe_status take_file(struct file_sharing *s, struct model_file **out)
{
    struct told_file told;
    CM_TRY(cm_ranks_receive(s->ranks, 0, &told, sizeof told));
    told.name[sizeof told.name - 1] = '\0';
    struct file_map *maps = cm_alloc(s->ctx, (size_t)told.n_shards, sizeof *maps, "a file that ranks share");
    if (!maps) return CALMOE_NO_MEMORY;
    s->maps = maps;
    s->n_maps = (int)told.n_shards;
    calmoe_status status = take_heads(s, maps);
    if (status == CALMOE_OK) return cm_model_file_of_maps(s->ctx, told.name, maps, s->n_maps, out);
    for (int i = 0; i < s->n_maps; i++) cm_file_map_close(&maps[i]);
    cm_free(maps);
    return status;
}

static calmoe_status spread_samples(const struct file_sharing *s, const struct model_file *file, size_t n_sample)
{
    for (uint64_t i = 0; i < file->n_tensors; i++) {
        const struct file_tensor *tensor = &file->tensors[i];
        const size_t n = tensor->n_bytes < n_sample ? (size_t)tensor->n_bytes : n_sample;
        CM_TRY(cm_sharing_spread(s, &(struct file_range){tensor->bytes, n}));
    }
    return CALMOE_OK;
}

calmoe_status cm_shared_file_open(struct calmoe_context *ctx, struct ranks *ranks, calmoe_status status,
                                  const char *path, size_t n_sample, struct file_sharing *s, struct model_file **out)
{
    *out = NULL;
    *s = (struct file_sharing){.ctx = ctx, .ranks = ranks};
    const bool has_file = cm_ranks_own(ranks) == 0;
    if (has_file && status == CALMOE_OK) status = cm_model_file_open(ctx, path, out);
    if (has_file && status == CALMOE_OK) s->maps = (*out)->maps, s->n_maps = (*out)->n_shards;
    status = cm_sharing_agree(s, status);
    if (status == CALMOE_OK) status = has_file ? tell_heads(s, *out) : take_file(s, out);
    status = cm_sharing_agree(s, status);
    if (status == CALMOE_OK) s->maps = (*out)->maps;
    if (status == CALMOE_OK) status = spread_samples(s, *out, n_sample);
    if (status != CALMOE_OK) cm_model_file_close(out);
    return status;
}
