/* test_kv_cache.c - where keys and values of a sequence lie: regions for each layer and head, apart from each other, as
 * large as what the kernels write there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "experts/placement.h"
#include "runtime/mixers/kv_cache.h"
#include "tests/support/attend_one.h"

static struct topology topology;

enum { MANY_LAYERS = 1024 };

/* The same numbers in every layer; its layers are there until the next call. */
static struct model_spec spec_of(int n_layers, int n_kv_heads, int head_size, int value_size)
{
    static struct layer_spec layers[MANY_LAYERS];
    assert_true(n_layers <= MANY_LAYERS);
    for (int i = 0; i < n_layers; i++)
        layers[i] = (struct layer_spec){.attention = {.n_heads = n_kv_heads, .n_kv_heads = n_kv_heads,
                                                      .head_size = head_size, .value_size = value_size}};
    return (struct model_spec){.n_layers = n_layers, .layers = layers};
}

static struct plan heads_on(const int32_t *kv_heads, int n_nodes)
{
    struct plan plan = {.n_nodes = n_nodes};
    for (int node = 0; node < n_nodes; node++) plan.n_kv_heads += plan.kv_heads[node] = kv_heads[node];
    return plan;
}

/* Writes every position of every region, each with a value of its own, then looks whether all are still there.
 * is_alike: all layers have as many heads as kv_heads says. */
static void check_apart(const struct model_spec *spec, bool is_alike, enum kv_type type, int n_positions,
                        const struct topology *machine, const int32_t *kv_heads)
{
    struct kv_cache cache;
    float k[64], v[64], out[64];
    const float zeros[64] = {0};
    const struct vector_ops *ops = cm_vector_ops(ISA_REF);
    const struct plan plan = heads_on(kv_heads, machine->n_nodes);
    assert_int_equal(cm_kv_cache_open(NULL, spec, type, n_positions, 512, machine, &plan, &cache), CALMOE_OK);
    assert_true(cache.capacity >= n_positions && cache.capacity % CM_KV_BLOCK == 0);
    for (int layer = 0; layer < spec->n_layers; layer++)
        for (int head = 0; head < spec->layers[layer].attention.n_kv_heads; head++)
            for (int p = 0; p < cache.capacity; p++) {
                for (int d = 0; d < 64; d++) k[d] = 0.0f, v[d] = (float)(layer * 100 + head * 10 + 1);
                const struct attention_spec *of = &spec->layers[layer].attention;
                const struct kv_region region = cm_kv_region(&cache, layer, head, p / CM_ATTEND_SPAN);
                ops->store_kv(k, v, region.keys, region.values, type, of->head_size, of->value_size,
                              p % CM_ATTEND_SPAN);
            }
    for (int layer = 0; layer < spec->n_layers; layer++)
        for (int head = 0; head < spec->layers[layer].attention.n_kv_heads; head++) {
            const struct attention_spec *of = &spec->layers[layer].attention;
            const float *const queries[] = {zeros};
            const struct kv_region region = cm_kv_region(&cache, layer, head, 0);
            const size_t span_bytes =
                cache.capacity > CM_ATTEND_SPAN
                    ? (size_t)((uint8_t *)cm_kv_region(&cache, layer, head, 1).keys - (uint8_t *)region.keys)
                    : 0;
            const struct attention_input in = {.keys = region.keys, .values = region.values,
                                               .span_bytes = span_bytes, .type = type,
                                               .head_size = of->head_size, .value_size = of->value_size,
                                               .scale = 1.0f, .n_queries = 1, .queries = queries,
                                               .n_positions = &n_positions};
            assert_int_equal((uintptr_t)in.keys % CM_ALIGNMENT, 0);
            assert_int_equal((uintptr_t)in.values % CM_ALIGNMENT, 0);
            attend_one(ops, &in, out); /* equal keys: the mean of the values */
            for (int d = 0; d < of->value_size; d++) {
                const float wanted = (float)(layer * 100 + head * 10 + 1);
                assert_true(out[d] > wanted - 1e-3f && out[d] < wanted + 1e-3f);
            }
        }
    /* the last byte of each node's last region is inside */
    for (int i = 0; i < cache.n_parts; i++) {
        const struct kv_part    *part = &cache.parts[i];
        const int                layer = spec->n_layers - 1;
        const struct kv_regions *regions = &part->regions[layer];
        const int                head = regions->first_head + regions->n_heads - 1;
        if (is_alike) assert_int_equal(kv_heads[cm_kv_store_memory(&part->all)->node], regions->n_heads);
        if (regions->n_heads == 0) continue;
        const uint8_t *last = cm_kv_region(&cache, layer, head, (cache.capacity - 1) / CM_ATTEND_SPAN).keys;
        assert_true(last + cache.layers[layer].region_bytes <=
                    (const uint8_t *)cm_kv_store_memory(&part->all)->bytes + cm_kv_store_memory(&part->all)->n_bytes);
    }
    cm_kv_cache_close(&cache);
    assert_null(cache.parts);
    cm_kv_cache_close(&cache);
}

static void regions_are_apart(void **state)
{
    (void)state;
    static const int sizes[][2] = {{64, 64}, {1, 1}, {7, 5}, {3, 60}, {33, 2}};
    static const int positions[] = {1, 63, 64, 65, 130};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
        for (size_t p = 0; p < sizeof positions / sizeof *positions; p++) {
            const struct model_spec spec = spec_of(3, 2, sizes[s][0], sizes[s][1]);
            check_apart(&spec, true, KV_F32, positions[p], &topology, (int32_t[]){2});
            check_apart(&spec, true, KV_F16, positions[p], &topology, (int32_t[]){2});
        }
}

/* Heads dealt to nodes, some of which have none. */
static void heads_are_on_their_nodes(void **state)
{
    (void)state;
    struct topology machine;
    const struct model_spec spec = spec_of(3, 5, 16, 7);
    assert_int_equal(cm_topology_open(NULL, "numa:4 core:1 pu:1", &machine), CALMOE_OK);
    check_apart(&spec, true, KV_F16, 700, &machine, (int32_t[]){2, 0, 1, 2});
    check_apart(&spec, true, KV_F32, 600, &machine, (int32_t[]){0, 0, 0, 5});
    cm_topology_close(&machine);
}

/* Layers with other heads and sizes than their neighbours. */
static void layers_may_differ(void **state)
{
    (void)state;
    static const int heads[3][3] = {{4, 16, 7}, {2, 64, 64}, {1, 3, 5}};
    struct topology machine;
    struct model_spec spec = spec_of(3, 4, 16, 7);
    for (int i = 0; i < 3; i++)
        spec.layers[i].attention = (struct attention_spec){.n_heads = heads[i][0], .n_kv_heads = heads[i][0],
                                                           .head_size = heads[i][1], .value_size = heads[i][2]};
    assert_int_equal(cm_topology_open(NULL, "numa:4 core:1 pu:1", &machine), CALMOE_OK);
    check_apart(&spec, false, KV_F16, 600, &machine, (int32_t[]){2, 0, 1, 1});
    check_apart(&spec, false, KV_F32, 70, &machine, (int32_t[]){0, 4, 0, 0});
    check_apart(&spec, false, KV_F16, 130, &topology, (int32_t[]){4});
    cm_topology_close(&machine);
}

/* A window's layer keeps as many spans as a window and a step's rows may touch; each lies where the one lay that it
 * replaces, apart from the spans of layers that keep all. */
static void windows_keep_a_ring(void **state)
{
    (void)state;
    struct model_spec spec = spec_of(3, 2, 16, 8);
    struct kv_cache   cache;
    spec.layers[1].attention.window = 128;
    const struct plan plan = heads_on((int32_t[]){2}, 1);
    assert_int_equal(cm_kv_cache_open(NULL, &spec, KV_F16, 1 << 16, 512, &topology, &plan, &cache), CALMOE_OK);
    assert_int_equal(cache.layers[0].n_ring, 0);
    assert_int_equal(cache.layers[1].n_ring, 3);
    assert_int_equal(cm_kv_store_memory(&cache.parts[0].rings)->n_bytes, 3 * cache.parts[0].rings.span_bytes);
    assert_ptr_equal(cm_kv_region(&cache, 1, 1, 7).keys, cm_kv_region(&cache, 1, 1, 4).keys);
    assert_ptr_not_equal(cm_kv_region(&cache, 1, 1, 7).keys, cm_kv_region(&cache, 1, 1, 6).keys);
    assert_ptr_not_equal(cm_kv_region(&cache, 0, 1, 7).keys, cm_kv_region(&cache, 0, 1, 4).keys);
    /* 5000 positions are written: spans 7, 8 and 9 are there, from position 3584 on */
    assert_true(cm_kv_may_rewind(&cache, 4999, 5000));
    assert_true(cm_kv_may_rewind(&cache, 3584 + 127, 5000));
    assert_false(cm_kv_may_rewind(&cache, 3584 + 126, 5000));
    assert_true(cm_kv_may_rewind(&cache, 10, 1000)); /* nothing was replaced yet */
    cm_kv_cache_close(&cache);
    spec.layers[1].attention.window = 1 << 15; /* a ring would be no shorter than the context */
    assert_int_equal(cm_kv_cache_open(NULL, &spec, KV_F16, 4096, 512, &topology, &plan, &cache), CALMOE_OK);
    assert_int_equal(cache.layers[1].n_ring, 0);
    cm_kv_cache_close(&cache);
}

/* Address space for a long context costs nothing before it is used. */
static void a_long_context_is_reserved_only(void **state)
{
    (void)state;
    const struct model_spec spec = spec_of(48, 4, 128, 128);
    struct kv_cache cache;
    const struct plan plan = heads_on((int32_t[]){4}, 1);
    assert_int_equal(cm_kv_cache_open(NULL, &spec, KV_F16, 1 << 18, 512, &topology, &plan, &cache), CALMOE_OK);
    const struct node_block *memory = cm_kv_store_memory(&cache.parts[0].all);
    assert_int_equal(memory->n_bytes, 2ull * 2 * 48 * 4 * 128 << 18); /* 24 GiB */
    ((uint8_t *)memory->bytes)[memory->n_bytes - 1] = 1;
    cm_kv_cache_close(&cache);
}

static void what_no_machine_has(void **state)
{
    (void)state;
    struct calmoe_context ctx = {0};
    struct kv_cache cache;
    const struct model_spec spec = spec_of(MANY_LAYERS, 1 << 20, 1024, 1024);
    const struct plan plan = heads_on((int32_t[]){1 << 20}, 1);
    assert_int_equal(cm_kv_cache_open(&ctx, &spec, KV_F32, 1 << 24, 512, &topology, &plan, &cache),
                     CALMOE_NO_MEMORY);
    assert_string_equal(ctx.message, "a context of 16777216 tokens is larger than any memory");
    cm_kv_cache_close(&cache);
}

static int set_up(void **state)
{
    (void)state;
    return cm_topology_open(NULL, NULL, &topology) == CALMOE_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    cm_topology_close(&topology);
    return cm_live_blocks() == 0 ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(regions_are_apart),
        cmocka_unit_test(heads_are_on_their_nodes),
        cmocka_unit_test(layers_may_differ),
        cmocka_unit_test(windows_keep_a_ring),
        cmocka_unit_test(a_long_context_is_reserved_only),
        cmocka_unit_test(what_no_machine_has),
    };
    return cmocka_run_group_tests_name("kv cache", tests, set_up, tear_down);
}
