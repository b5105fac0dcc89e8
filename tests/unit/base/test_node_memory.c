/* Memory by node, as far as it can be seen without several nodes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "base/node_memory.h"

static int n_logged;

static void count_log(void *user, const char *sentence)
{
    (void)user;
    assert_non_null(strstr(sentence, "does not bind memory to node"));
    n_logged++;
}

/* Opens a block of node, checks that it is zeroed and writable to its end, closes it. */
static void use_block(const struct topology *topology, int node, size_t n_bytes)
{
    struct node_block block;
    assert_int_equal(cm_node_block_open(NULL, topology, node, n_bytes, &block), CALMOE_OK);
    assert_int_equal(block.n_bytes, n_bytes);
    assert_true(block.n_mapped >= n_bytes);
    assert_int_equal(block.node, node);
    assert_int_equal((uintptr_t)block.bytes % 4096, 0);
    if (n_bytes >= (size_t)4 << 20) assert_int_equal((uintptr_t)block.bytes % (2 << 20), 0);
    assert_false(block.is_bound);
    unsigned char *bytes = block.bytes;
    for (size_t at = 0; at < block.n_mapped; at += 4096) {
        assert_int_equal(bytes[at], 0);
        bytes[at] = 1;
    }
    memset(bytes, 0xff, n_bytes);
    cm_node_block_close(&block);
    assert_true(block.bytes == NULL && block.n_mapped == 0);
    cm_node_block_close(&block);
}

static void gives_zeroed_blocks_of_any_size(void **state)
{
    (void)state;
    const long      n_live = cm_live_blocks();
    const size_t    mib = (size_t)1 << 20;
    const size_t    sizes[] = {0, 1, 4096, 4097, mib, 4 * mib - 1, 4 * mib, 4 * mib + 1, 33 * mib + 7};
    struct topology topology;
    assert_int_equal(cm_topology_open(NULL, "numa:2 core:1 pu:1", &topology), CALMOE_OK);
    for (size_t at = 0; at < sizeof sizes / sizeof sizes[0]; at++)
        for (int node = 0; node < 2; node++) use_block(&topology, node, sizes[at]);
    cm_topology_close(&topology);
    assert_int_equal(cm_live_blocks(), n_live);
}

/* What was mapped for alignment is given back: the address space holds many such blocks at once. */
static void large_blocks_live_side_by_side(void **state)
{
    (void)state;
    enum { N = 20 };
    struct topology   topology;
    struct node_block blocks[N];
    assert_int_equal(cm_topology_open(NULL, "pu:1", &topology), CALMOE_OK);
    for (int block = 0; block < N; block++) {
        const size_t n_bytes = ((size_t)4 << 20) + (size_t)block * 4096;
        assert_int_equal(cm_node_block_open(NULL, &topology, 0, n_bytes, &blocks[block]), CALMOE_OK);
        memset(blocks[block].bytes, block + 1, n_bytes);
    }
    for (int block = 0; block < N; block++) {
        const unsigned char *bytes = blocks[block].bytes;
        assert_int_equal(bytes[0], block + 1);
        assert_int_equal(bytes[blocks[block].n_bytes - 1], block + 1);
        cm_node_block_close(&blocks[block]);
    }
    cm_topology_close(&topology);
}

static void says_what_it_cannot_give(void **state)
{
    (void)state;
    struct calmoe_context ctx = {0};
    struct topology       topology;
    struct node_block     block;
    const long            n_live = cm_live_blocks();
    assert_int_equal(cm_topology_open(NULL, "numa:3 core:1 pu:1", &topology), CALMOE_OK);

    const size_t sizes[] = {SIZE_MAX, SIZE_MAX - 4094, PTRDIFF_MAX, (size_t)1 << 62};
    for (size_t at = 0; at < sizeof sizes / sizeof sizes[0]; at++) {
        char sentence[80];
        snprintf(sentence, sizeof sentence, "no memory on node 2: %zu bytes", sizes[at]);
        assert_int_equal(cm_node_block_open(&ctx, &topology, 2, sizes[at], &block),
                         CALMOE_NO_MEMORY);
        assert_string_equal(ctx.message, sentence);
        assert_null(block.bytes);
    }
    cm_fail_request(1);
    assert_int_equal(cm_node_block_open(&ctx, &topology, 1, 100, &block), CALMOE_NO_MEMORY);
    assert_string_equal(ctx.message, "no memory on node 1: 100 bytes");
    cm_topology_close(&topology);
    assert_int_equal(cm_live_blocks(), n_live);
}

static void room_is_free_and_cached_memory_less_a_reserve(void **state)
{
    (void)state;
    const char *text = "Node 1 MemTotal:       1600 kB\nNode 1 MemFree:         300 kB\nNode 1 Active:  900 kB\n"
                       "Node 1 Active(file):     50 kB\nNode 1 Inactive(file):   10 kB\n";
    assert_int_equal(cm_room_of_meminfo(text), (300 + 50 + 10 - 1600 / 16) * 1024);
    assert_int_equal(cm_room_of_meminfo("Node 1 MemTotal: 1600 kB\nNode 1 MemFree: 99 kB\n"), 0);
    assert_true(cm_room_of_meminfo("Node 1 MemTotal: 67108864 kB\nNode 1 MemFree: 67108864 kB\n") ==
                (UINT64_C(63) << 30)); /* at most a GiB is kept */
    assert_true(cm_room_of_meminfo("") == UINT64_MAX);
}

/* Only touched pages are counted; a machine that is not there has none to ask about. */
static void pages_of_a_block_are_found(void **state)
{
    (void)state;
    struct topology   topology;
    struct node_block block;
    struct node_pages pages;
    assert_int_equal(cm_topology_open(NULL, NULL, &topology), CALMOE_OK);
    assert_int_equal(cm_node_block_open_sparse(NULL, &topology, 0, 3000 * 4096, &block), CALMOE_OK);
    memset(block.bytes, 1, 2000 * 4096);
    if (cm_node_block_check(&topology, &block, &pages)) {
        assert_int_equal(pages.n_touched, 2000);
        if (topology.n_nodes == 1) assert_int_equal(pages.n_elsewhere, 0);
    }
    cm_node_block_close(&block);
    cm_topology_close(&topology);
    assert_int_equal(cm_topology_open(NULL, "numa:2 core:1 pu:1", &topology), CALMOE_OK);
    assert_int_equal(cm_node_block_open(NULL, &topology, 1, 100, &block), CALMOE_OK);
    assert_false(cm_node_block_check(&topology, &block, &pages));
    assert_true(cm_node_room(&topology, 1) == UINT64_MAX);
    cm_node_block_close(&block);
    cm_topology_close(&topology);
}

static void one_node_binds_nothing_and_says_nothing(void **state)
{
    (void)state;
    struct calmoe_context ctx = {.log = count_log};
    struct topology       topology;
    struct node_block     block;
    assert_int_equal(cm_topology_open(NULL, NULL, &topology), CALMOE_OK);
    if (topology.n_nodes > 1) {
        cm_topology_close(&topology);
        skip();
    }
    n_logged = 0;
    assert_int_equal(cm_node_block_open(&ctx, &topology, 0, 100, &block), CALMOE_OK);
    assert_false(block.is_bound);
    assert_int_equal(n_logged, 0);
    cm_node_block_close(&block);
    cm_topology_close(&topology);
}

/* hwloc is made to believe that this machine has a node of number 63: the system must refuse it, the
 * block must come all the same, and the log must say so once. */
static void a_refused_binding_is_told_once(void **state)
{
    (void)state;
    struct calmoe_context ctx = {.log = count_log};
    struct topology       topology;
    struct node_block     block;
    setenv("HWLOC_THISSYSTEM", "1", 1);
    const calmoe_status status = cm_topology_open(&ctx, "numa:64 core:1 pu:1", &topology);
    unsetenv("HWLOC_THISSYSTEM");
    assert_int_equal(status, CALMOE_OK);
    assert_true(topology.is_this_machine);
    assert_true(topology.n_nodes > 1);

    n_logged = 0;
    for (int round = 0; round < 3; round++) {
        assert_int_equal(cm_node_block_open(&ctx, &topology, topology.n_nodes - 1, 100, &block),
                         CALMOE_OK);
        assert_false(block.is_bound);
        memset(block.bytes, 1, block.n_bytes);
        cm_node_block_close(&block);
    }
    assert_int_equal(n_logged, 1);
    cm_topology_close(&topology);
    assert_int_equal(cm_live_blocks(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_zeroed_blocks_of_any_size),
        cmocka_unit_test(large_blocks_live_side_by_side),
        cmocka_unit_test(says_what_it_cannot_give),
        cmocka_unit_test(room_is_free_and_cached_memory_less_a_reserve),
        cmocka_unit_test(pages_of_a_block_are_found),
        cmocka_unit_test(one_node_binds_nothing_and_says_nothing),
        cmocka_unit_test(a_refused_binding_is_told_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
