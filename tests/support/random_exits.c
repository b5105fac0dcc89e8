/* random_exits.c - see random_exits.h. */
#include "tests/support/random_exits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "tests/support/gguf_builder.h"
#include "tests/support/running.h"

static void add_exit(struct gguf_builder *builder, int layer, const char *part, uint64_t n_columns, uint64_t n_rows,
                     float scale)
{
    const uint64_t shape[] = {n_columns, n_rows};
    char name[64];
    snprintf(name, sizeof name, "exit.%d.%s", layer, part);
    builder_add_tensor_random(builder, name, n_rows > 0 ? 2 : 1, shape, (uint64_t)layer + n_columns, scale);
}

const char *random_exits_write(const char *model_path, const char *path)
{
    enum { RANK = 19, LAYERS = 5 };
    static const int32_t layers[] = {1, 3};
    const calmoe_engine_options options = running_options(1, NULL);
    struct running r = running_open(model_path, &options, NULL);
    calmoe_model_info info = {.size = sizeof info};
    running_must(r.context, calmoe_model_get_info(r.model, &info));
    assert_int_equal(info.n_layers, LAYERS);
    struct gguf_builder *builder = builder_open();
    builder_add_string(builder, "general.architecture", "calmoe-exits");
    builder_add_u32(builder, "calmoe.exits.schema", 1);
    builder_add_string(builder, "calmoe.exits.version", "a test");
    builder_add_string(builder, "calmoe.exits.model", info.fingerprint);
    builder_add_u32(builder, "calmoe.exits.n_layers", LAYERS);
    builder_add_u32(builder, "calmoe.exits.width", (uint32_t)info.width);
    builder_add_i32s(builder, "calmoe.exits.layers", layers, 2);
    for (int i = 0; i < 2; i++) {
        const uint64_t n_path = LAYERS, width = (uint64_t)info.width;
        float ways[LAYERS] = {0};
        char name[64];
        for (int l = layers[i] + 1; l < LAYERS; l++) ways[l] = (float)(l - layers[i]) / (float)(LAYERS - layers[i]);
        add_exit(builder, layers[i], "down", width, RANK, 0.1f);
        add_exit(builder, layers[i], "up", RANK, width, 0.1f);
        add_exit(builder, layers[i], "bias", width, 0, 0.1f);
        snprintf(name, sizeof name, "exit.%d.path", (int)layers[i]);
        builder_add_tensor_f32(builder, name, 1, &n_path, ways);
        add_exit(builder, layers[i], "classifier", width, 0, 0.05f);
        add_exit(builder, layers[i], "classifier_bias", 1, 0, 0.1f);
    }
    builder_write(builder, path);
    builder_close(&builder);
    running_close(&r);
    return path;
}
