/* random_adapter.c - see random_adapter.h. */
#include "tests/support/random_adapter.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "runtime/load/model_file.h"
#include "tests/support/gguf_copy.h"
#include "tests/support/running.h"

static const float ALPHA = 3.0f;

static struct model_file *open_file(const char *path)
{
    struct model_file *file;
    running_must(NULL, cm_model_file_open(NULL, path, &file));
    return file;
}

static int64_t n_layers(const struct model_file *file)
{
    for (uint64_t i = 0; i < file->n_entries; i++) {
        const char *key = file->entries[i].key, *dot = strchr(key, '.');
        if (dot && strcmp(dot, ".block_count") == 0) return cm_meta_element_int(&file->entries[i], 0);
    }
    return 0;
}

static int64_t n_behind(const struct model_file *file) /* layers that predict further tokens */
{
    for (uint64_t i = 0; i < file->n_entries; i++)
        if (strstr(file->entries[i].key, ".nextn_predict_layers")) return cm_meta_element_int(&file->entries[i], 0);
    return 0;
}

/* Whether something is multiplied by it, or it is the embedding. */
static bool is_matrix(const struct model_file *file, const struct file_tensor *tensor)
{
    static const char *const others[] = {"norm", "conv", "rope_freqs", "ssm_a", "ssm_d", "bias", "scale"};
    int layer = -1;
    if (tensor->type != WEIGHT_F32 || !strstr(tensor->name, ".weight")) return false;
    if (tensor->n_dims < 2 && !strstr(tensor->name, "ffn_gate_inp_shexp")) return false;
    if (sscanf(tensor->name, "blk.%9d.", &layer) == 1 && layer >= n_layers(file) - n_behind(file)) return false;
    if (strstr(tensor->name, "shortconv.in_proj") || strstr(tensor->name, "shortconv.out_proj")) return true;
    if (strstr(tensor->name, "ssm_alpha")) return true;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (strstr(tensor->name, others[i])) return false;
    return true;
}

static void add_half(struct gguf_builder *builder, struct random *numbers, const char *name, char half,
                     const uint64_t shape[3], float size)
{
    char full[128];
    const size_t n = (size_t)(shape[0] * shape[1] * shape[2]);
    float *values = malloc(n * sizeof *values);
    assert_non_null(values);
    for (size_t i = 0; i < n; i++) values[i] = size * cm_random_normal(numbers);
    snprintf(full, sizeof full, "%s.lora_%c", name, half);
    builder_add_tensor_f32(builder, full, shape[2] > 1 ? 3 : 2, shape, values);
    free(values);
}

/* W has elements of about 1 / sqrt(columns). */
static void add_pair(struct gguf_builder *builder, struct random *numbers, const struct random_adapter *random,
                     const char *name, const struct file_tensor *tensor)
{
    const bool     is_embedding = strcmp(name, "token_embd.weight") == 0;
    const uint64_t rank = (uint64_t)random->rank, n_stacked = random->is_for_all ? 1 : tensor->shape[2];
    const uint64_t columns = tensor->shape[0], rows = tensor->shape[1];
    const uint64_t a[3] = {is_embedding ? rank : columns, is_embedding ? rows : rank, n_stacked};
    const uint64_t b[3] = {rank, is_embedding ? columns : rows, n_stacked};
    const float    size = random->size * (is_embedding ? 1.0f : 1.0f / sqrtf((float)columns));
    add_half(builder, numbers, name, 'a', a, size);
    add_half(builder, numbers, name, 'b', b, sqrtf((float)rank) / ALPHA);
}

int random_adapter_write(const char *model_path, const struct random_adapter *random, const char *path)
{
    struct model_file   *file = open_file(model_path);
    struct gguf_builder *builder = builder_open();
    struct random        numbers = cm_random(random->seed);
    struct meta_string   architecture;
    char                 text[64];
    int                  n = 0;
    running_must(NULL, cm_meta_need_string(NULL, file, "general.architecture", &architecture));
    snprintf(text, sizeof text, "%.*s", (int)architecture.n_bytes, architecture.bytes);
    builder_add_string(builder, "general.architecture", text);
    builder_add_string(builder, "general.type", "adapter");
    builder_add_string(builder, "general.name", "random");
    builder_add_string(builder, "adapter.type", "lora");
    builder_add_f32(builder, "adapter.lora.alpha", ALPHA);
    for (uint64_t i = 0; i < file->n_tensors; i++) {
        const struct file_tensor *tensor = &file->tensors[i];
        if (!is_matrix(file, tensor) || (random->only && !strstr(tensor->name, random->only))) continue;
        add_pair(builder, &numbers, random, tensor->name, tensor);
        n++;
    }
    if (!cm_file_tensor(file, "output.weight") && (!random->only || strstr("output.weight", random->only))) {
        add_pair(builder, &numbers, random, "output.weight", cm_file_tensor(file, "token_embd.weight"));
        n++;
    }
    builder_write(builder, path);
    builder_close(&builder);
    cm_model_file_close(&file);
    return n;
}

/* w (rows, columns) += scale (B A); of the embedding A and B change places. */
static void add_product(float *w, size_t rows, size_t columns, const float *a, const float *b, size_t rank,
                        bool is_embedding, double scale)
{
    for (size_t row = 0; row < rows; row++)
        for (size_t column = 0; column < columns; column++) {
            double sum = 0.0;
            for (size_t i = 0; i < rank; i++)
                sum += is_embedding ? (double)a[row * rank + i] * (double)b[column * rank + i]
                                    : (double)b[row * rank + i] * (double)a[i * columns + column];
            w[row * columns + column] = (float)((double)w[row * columns + column] + scale * sum);
        }
}

static void merge_tensor(const struct model_file *adapter, const char *name, struct builder_tensor *tensor, float scale)
{
    char full[128];
    snprintf(full, sizeof full, "%s.lora_a", name);
    const struct file_tensor *a = cm_file_tensor(adapter, full);
    snprintf(full, sizeof full, "%s.lora_b", name);
    const struct file_tensor *b = cm_file_tensor(adapter, full);
    if (!a || !b) return;
    const size_t rank = (size_t)b->shape[0], n_stacked = tensor->n_dims > 2 ? (size_t)tensor->shape[2] : 1;
    const size_t columns = (size_t)tensor->shape[0], rows = tensor->n_dims > 1 ? (size_t)tensor->shape[1] : 1;
    for (size_t i = 0; i < n_stacked; i++) {
        const size_t from = a->shape[2] == 1 ? 0 : i;
        add_product((float *)(void *)tensor->bytes + i * rows * columns, rows, columns,
                    (const float *)(const void *)a->bytes + from * (size_t)(a->shape[0] * a->shape[1]),
                    (const float *)(const void *)b->bytes + from * (size_t)(b->shape[0] * b->shape[1]), rank,
                    strcmp(name, "token_embd.weight") == 0, (double)(scale * ALPHA) / (double)rank);
    }
}

void random_adapter_merge(const char *model_path, const char *adapter_path, float scale, const char *path)
{
    struct model_file   *file = open_file(model_path), *adapter = open_file(adapter_path);
    struct gguf_builder *builder = gguf_copy(file, NULL);
    const struct file_tensor *embedding = cm_file_tensor(file, "token_embd.weight");
    if (!cm_file_tensor(file, "output.weight"))
        builder_add_tensor(builder, "output.weight", embedding->file_id, 2, embedding->shape, embedding->bytes,
                           (size_t)embedding->n_bytes);
    for (size_t i = 0; i < builder->n_tensors; i++) {
        struct builder_tensor *tensor = &builder->tensors[i];
        char name[FILE_MAX_NAME_BYTES];
        snprintf(name, sizeof name, "%.*s", (int)tensor->n_name_bytes, tensor->name);
        merge_tensor(adapter, name, tensor, scale);
    }
    builder_write(builder, path);
    builder_close(&builder);
    cm_model_file_close(&adapter);
    cm_model_file_close(&file);
}
