/* prefix_folder.c - see prefix_folder.h. */
#include "tests/support/prefix_folder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/random.h"
#include "kernels/half.h"
#include "runtime/engine/handles.h"

static FILE *open_part(const char *path, const char *name)
{
    char  whole[800];
    snprintf(whole, sizeof whole, "%s/%s", path, name);
    FILE *file = fopen(whole, "wb");
    assert_non_null(file);
    return file;
}

void prefix_folder_write(const char *path, int n_positions, int n_columns, const float *numbers)
{
    const size_t n = (size_t)n_positions * (size_t)n_columns;
    char  header[256];
    (void)mkdir(path, 0700);
    FILE *file = open_part(path, "adapter_config.json");
    fprintf(file, "{\"peft_type\": \"PREFIX_TUNING\", \"num_virtual_tokens\": %d}\n", n_positions);
    assert_int_equal(fclose(file), 0);
    file = open_part(path, "adapter_model.safetensors");
    const int n_header = snprintf(header, sizeof header, "{\"prompt_embeddings\": {\"dtype\": \"F32\", \"shape\": "
                                  "[%d, %d], \"data_offsets\": [0, %zu]}}", n_positions, n_columns, 4 * n);
    for (int i = 0; i < 8; i++) fputc(n_header >> 8 * (i < 4 ? i : 3) & (i < 4 ? 255 : 0), file);
    fputs(header, file);
    assert_int_equal(fwrite(numbers, sizeof *numbers, n, file), n);
    assert_int_equal(fclose(file), 0);
}

static int columns_of(const struct model_spec *spec)
{
    return 2 * spec->n_layers * spec->layers[0].attention.n_kv_heads * spec->layers[0].attention.head_size;
}

static float element(const struct kv_cache *kv, const void *elements, size_t i)
{
    return kv->type == KV_F32 ? ((const float *)elements)[i] : cm_float_of_half(((const uint16_t *)elements)[i]);
}

/* One kv head's key and value at a position; a key's elements in the order of modules. */
static void take_head(const struct kv_cache *kv, int layer, int head, int position, int size, bool turns_heads,
                      float *key, float *value)
{
    const struct kv_region region = cm_kv_region(kv, layer, head, position / CM_ATTEND_SPAN);
    const size_t at = (size_t)(position % CM_ATTEND_SPAN), block = at / CM_KV_BLOCK, lane = at % CM_KV_BLOCK;
    for (int d = 0; d < size; d++) {
        const int of_module = turns_heads ? d / 2 + d % 2 * (size / 2) : d;
        key[of_module] = element(kv, region.keys, (block * (size_t)size + (size_t)d) * CM_KV_BLOCK + lane);
        value[d] = element(kv, region.values, at * (size_t)size + (size_t)d);
    }
}

void prefix_folder_write_read(const char *path, const calmoe_session *session, int n_positions)
{
    const struct model_spec *spec = &session->engine->model->spec;
    const int n_heads = spec->layers[0].attention.n_kv_heads, size = spec->layers[0].attention.head_size;
    const int n_columns = columns_of(spec);
    bool      turns_heads = false;
    float    *numbers = malloc((size_t)n_positions * (size_t)n_columns * sizeof *numbers), *at = numbers;
    assert_non_null(numbers);
    for (int i = 0; cm_family_at(i); i++)
        if (strcmp(cm_family_at(i)->name, spec->family) == 0) turns_heads = cm_family_at(i)->turns_heads;
    for (int position = 0; position < n_positions; position++)
        for (int layer = 0; layer < spec->n_layers; layer++, at += 2 * n_heads * size)
            for (int head = 0; head < n_heads; head++)
                take_head(&session->state.kv, layer, head, position, size, turns_heads, at + head * size,
                          at + (n_heads + head) * size);
    prefix_folder_write(path, n_positions, n_columns, numbers);
    free(numbers);
}

void prefix_folder_write_random(const char *path, const calmoe_session *session, int n_positions, uint64_t seed)
{
    struct random random = cm_random(seed);
    const int     n_columns = columns_of(&session->engine->model->spec);
    const size_t  n = (size_t)n_positions * (size_t)n_columns;
    float        *numbers = malloc(n * sizeof *numbers);
    assert_non_null(numbers);
    for (size_t i = 0; i < n; i++) numbers[i] = (float)(2.0 * cm_random_unit(&random) - 1.0);
    prefix_folder_write(path, n_positions, n_columns, numbers);
    free(numbers);
}
