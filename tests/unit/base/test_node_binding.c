/* Real binding, page by page. Needs a machine with several nodes; elsewhere the test is skipped, and
 * says so. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/node_memory.h"

static struct topology topology;

/* The system's number of the node on which a touched page lies, negative if it does not say. */
static int node_of_page(void *page)
{
    int status = -1;
    return syscall(SYS_move_pages, 0, 1ul, &page, NULL, &status, 0) == 0 ? status : -1;
}

static void every_page_lies_on_its_node(void **state)
{
    (void)state;
    const size_t sizes[] = {1, 100000, (size_t)8 << 20};
    for (int node = 0; node < topology.n_nodes; node++) {
        for (size_t at = 0; at < sizeof sizes / sizeof sizes[0]; at++) {
            struct node_block block;
            assert_int_equal(cm_node_block_open(NULL, &topology, node, sizes[at], &block), CALMOE_OK);
            assert_true(block.is_bound);
            unsigned char *bytes = block.bytes;
            for (size_t page = 0; page < block.n_mapped; page += 4096) {
                bytes[page] = 1;
                assert_int_equal(node_of_page(bytes + page), topology.nodes[node].os_index);
            }
            cm_node_block_close(&block);
        }
    }
}

int main(void)
{
    if (cm_topology_open(NULL, NULL, &topology) != CALMOE_OK) return 1;
    int n_with_memory = 0;
    for (int node = 0; node < topology.n_nodes; node++)
        n_with_memory += topology.nodes[node].memory_bytes >= (uint64_t)1 << 30;
    if (topology.n_nodes < 2 || n_with_memory < topology.n_nodes) {
        printf("skipped: %d memory nodes; two of a GiB or more are needed\n", topology.n_nodes);
        cm_topology_close(&topology);
        return 77;
    }
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_page_lies_on_its_node)};
    const int               n_failed = cmocka_run_group_tests(tests, NULL, NULL);
    cm_topology_close(&topology);
    return n_failed;
}
