/* Packing: a file gives the same bytes as memory; a file cut short is an error that leaves nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/memory.h"
#include "experts/packing.h"

enum { N_MATRICES = 3, N_COLUMNS = 2048, MATRIX_ROWS = 37, HEAD_BYTES = 33, MAX_BYTES = 700 * 1000 };

static char            path[] = "/tmp/calmoe-packing-XXXXXX";
static uint8_t         bytes[MAX_BYTES];
static struct topology topology;
static struct team    *team;

static int open_machine(void **state)
{
    (void)state;
    for (size_t i = 0; i < MAX_BYTES; i++) bytes[i] = (uint8_t)(i * 31 % 251);
    const int file = mkstemp(path);
    if (file < 0) return -1;
    close(file);
    if (cm_topology_open(NULL, "numa:2 core:2 pu:1", &topology) != CALMOE_OK) return -1;
    return cm_team_open(NULL, &topology, 3, false, &team) == CALMOE_OK ? 0 : -1;
}

static int close_machine(void **state)
{
    (void)state;
    cm_team_close(&team);
    cm_topology_close(&topology);
    return unlink(path);
}

static size_t matrix_bytes(enum weight_type type)
{
    return MATRIX_ROWS * cm_row_bytes(type, N_COLUMNS);
}

/* Matrices that lie one behind the other from HEAD_BYTES on, listed last first. */
static calmoe_status pack(struct calmoe_context *ctx, enum weight_type type, const uint8_t *from,
                          const struct file_map *map, struct matrix *matrices, struct packed_weights *out)
{
    struct pack_list *list = NULL;
    assert_int_equal(cm_pack_list_open(ctx, 0, &list), CALMOE_OK);
    for (int i = N_MATRICES - 1; i >= 0; i--) {
        const struct weight_source source = {type, from + HEAD_BYTES + (size_t)i * matrix_bytes(type), MATRIX_ROWS,
                                             N_COLUMNS, map, NULL};
        assert_int_equal(cm_pack_list_add(ctx, list, &source, i % 2, &matrices[i]), CALMOE_OK);
    }
    const calmoe_status status = cm_pack_list_run(ctx, list, &topology, team, NULL, NULL, out);
    cm_pack_list_close(&list);
    return status;
}

static void open_file(enum weight_type type, struct file_map *out)
{
    const size_t n_bytes = HEAD_BYTES + N_MATRICES * matrix_bytes(type);
    assert_true(n_bytes <= MAX_BYTES);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, n_bytes, file), n_bytes);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(cm_file_map_open(NULL, path, out), CALMOE_OK);
}

static void a_file_packs_like_memory(void **state)
{
    (void)state;
    static const enum weight_type types[] = {WEIGHT_Q4_0, WEIGHT_Q8_0, WEIGHT_Q6_K, WEIGHT_BF16};
    for (size_t t = 0; t < sizeof types / sizeof types[0]; t++) {
        struct calmoe_context ctx = {0};
        struct file_map       map;
        struct matrix         from_memory[N_MATRICES], from_file[N_MATRICES];
        struct packed_weights memory, file;
        open_file(types[t], &map);
        assert_int_equal(pack(&ctx, types[t], bytes, NULL, from_memory, &memory), CALMOE_OK);
        assert_int_equal(pack(&ctx, types[t], map.bytes, &map, from_file, &file), CALMOE_OK);
        for (int i = 0; i < N_MATRICES; i++) {
            const struct linear_kernel *kernel = from_file[i].kernel;
            const size_t n_bytes = kernel->packed_bytes(MATRIX_ROWS, N_COLUMNS);
            uint8_t     *wanted = test_malloc(n_bytes);
            kernel->pack(bytes + HEAD_BYTES + (size_t)i * matrix_bytes(types[t]), MATRIX_ROWS, N_COLUMNS, wanted);
            assert_memory_equal(from_memory[i].packed, wanted, n_bytes);
            assert_memory_equal(from_file[i].packed, wanted, n_bytes);
            test_free(wanted);
        }
        cm_packed_weights_close(&memory);
        cm_packed_weights_close(&file);
        cm_file_map_close(&map);
    }
}

static void a_file_cut_short_leaves_nothing(void **state)
{
    (void)state;
    struct calmoe_context ctx = {0};
    struct file_map       map;
    struct matrix         matrices[N_MATRICES];
    struct packed_weights weights;
    open_file(WEIGHT_Q8_0, &map);
    const long n_live = cm_live_blocks();
    assert_int_equal(truncate(path, HEAD_BYTES + 2 * (off_t)matrix_bytes(WEIGHT_Q8_0) + 1000), 0);
    assert_int_equal(pack(&ctx, WEIGHT_Q8_0, map.bytes, &map, matrices, &weights), CALMOE_IO);
    assert_string_equal(ctx.message, "cannot read the model's weights: the file has become shorter");
    assert_int_equal(cm_live_blocks(), n_live);
    assert_null(weights.blocks[0].bytes);
    cm_file_map_close(&map);
}

/* Floats are copied next to the matrices; before the list runs, their own place is what is known of them. */
static void floats_are_copied(void **state)
{
    (void)state;
    struct calmoe_context ctx = {0};
    struct pack_list *list = NULL;
    struct packed_weights weights;
    struct matrix matrix;
    float values[2][37], wanted[2][37];
    const float *packed[2];
    const struct weight_source source = {WEIGHT_Q8_0, bytes, MATRIX_ROWS, N_COLUMNS, NULL, NULL};
    for (int i = 0; i < 2 * 37; i++) values[i / 37][i % 37] = wanted[i / 37][i % 37] = (float)i - 20.5f;
    assert_int_equal(cm_pack_list_open(&ctx, ISA_REF, &list), CALMOE_OK);
    assert_int_equal(cm_pack_list_add_floats(&ctx, list, values[0], 37, 1, &packed[0]), CALMOE_OK);
    assert_int_equal(cm_pack_list_add(&ctx, list, &source, 1, &matrix), CALMOE_OK);
    assert_int_equal(cm_pack_list_add_floats(&ctx, list, values[1], 37, 1, &packed[1]), CALMOE_OK);
    assert_ptr_equal(packed[0], values[0]);
    assert_int_equal(cm_pack_list_run(&ctx, list, &topology, team, NULL, NULL, &weights), CALMOE_OK);
    cm_pack_list_close(&list);
    memset(values, 0xff, sizeof values);
    for (int i = 0; i < 2; i++) {
        const uint8_t *begin = weights.blocks[1].bytes;
        assert_memory_equal(packed[i], wanted[i], sizeof wanted[i]);
        assert_in_range((uintptr_t)packed[i], (uintptr_t)begin, (uintptr_t)(begin + weights.n_bytes));
    }
    assert_memory_equal(matrix.packed, bytes, cm_row_bytes(WEIGHT_Q8_0, N_COLUMNS));
    cm_packed_weights_close(&weights);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_packs_like_memory),
        cmocka_unit_test(a_file_cut_short_leaves_nothing),
        cmocka_unit_test(floats_are_copied),
    };
    return cmocka_run_group_tests(tests, open_machine, close_machine);
}
