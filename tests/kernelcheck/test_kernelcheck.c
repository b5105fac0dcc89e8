/* test_kernelcheck.c - every matrix kernel of this machine against the plain C one of its type: the same
 * bits, nothing read or written outside. It walks cm_linear_kernel_at(), so a new row is tested as it is.
 *
 * AVX-VNNI kernels run in AVX-512's encoding, too (tests/support/evex_kernels.h).
 * AMX kernels run twice where the CPU has AMX, natively and on tiles in plain C (tests/support/software_tiles.c);
 * elsewhere on the latter alone. The last lines tell which.
 *
 *     test_kernelcheck            CALMOE_SEED=N repeats a run; CALMOE_ISA caps the levels
 *     test_kernelcheck --bench    times instead (bench.h)                                          */
#include <signal.h>

#include "bench.h"
#include "fills.h"
#include "guarded.h"
#include "kernels/linear.h"
#include "kernels/pack16.h"
#include "tests/support/evex_kernels.h"
#include "tests/support/software_tiles.h"
#include "tests/support/thin.h"

enum { MAX_ROWS = 160, MAX_COLUMNS = 2880, MAX_TOKENS = 304, MAX_STRIDE = MAX_ROWS + 8 };

struct shape { /* of one case */
    enum weight_type type;
    int              n_rows;
    int              n_columns;
    int              n_tokens;
    bool             is_permuted; /* with `which` */
    enum weight_fill weights;
    enum input_fill  input;
    int              row_begin;
    int              row_end;
};

static struct { /* memory for all cases */
    struct guarded rows, packed, values, codes, scales, sums, which, expected, got;
} memory;

static char     description[400]; /* of the case that runs, for a crash */
static uint64_t seed = 1;
static long     n_checks, n_failures;
static long     n_software_checks, n_evex_checks; /* of them */

static void describe(const struct linear_kernel *kernel, const struct shape *shape)
{
    snprintf(description, sizeof description,
             "%s: seed %llu, %d x %d, rows %d to %d, %d tokens%s, weights %s, input %s\n", kernel->name,
             (unsigned long long)seed, shape->n_rows, shape->n_columns, shape->row_begin,
             shape->row_end, shape->n_tokens, shape->is_permuted ? " permuted" : "",
             weight_fill_names[shape->weights], input_fill_names[shape->input]);
}

static void crashed(int signal_number)
{
    const char   text[] = "memory error in ";
    const ssize_t written = write(STDERR_FILENO, text, sizeof text - 1) +
                            write(STDERR_FILENO, description, strlen(description));
    _exit(written > 0 ? 128 + signal_number : 1);
}

static void open_memory(void)
{
    memory.rows = guarded_open(MAX_ROWS * MAX_COLUMNS * 4);
    memory.packed = guarded_open((MAX_ROWS + 16) * MAX_COLUMNS * 4);
    memory.values = guarded_open(MAX_TOKENS * MAX_COLUMNS * 4);
    memory.codes = guarded_open(MAX_TOKENS * MAX_COLUMNS);
    memory.scales = guarded_open(MAX_TOKENS * MAX_COLUMNS);
    memory.sums = guarded_open(MAX_TOKENS * MAX_COLUMNS);
    memory.which = guarded_open(MAX_TOKENS * 4);
    memory.expected = guarded_open(MAX_TOKENS * MAX_STRIDE * 4);
    memory.got = guarded_open(MAX_TOKENS * MAX_STRIDE * 4);
}

/* Input of n rows in the one form that the type reads; the other pointers stay NULL. */
static struct activations make_input(struct random *random, const struct shape *shape, size_t n)
{
    const enum activation_kind kind = cm_weight_types[shape->type].activation;
    const size_t               n_columns = (size_t)shape->n_columns;
    struct activations         x = { .n_columns = shape->n_columns };
    if (kind == ACTIVATION_F32) {
        x.values = guarded_place(&memory.values, n * n_columns * sizeof(float), sizeof(float));
        fill_values(random, shape->input, x.values, n * n_columns);
        return x;
    }
    const size_t      block = kind == ACTIVATION_Q32 ? 32 : 256;
    const size_t      n_blocks = (n_columns + block - 1) / block, n_sums = (n_columns + 15) / 16;
    struct quantized *form = kind == ACTIVATION_Q32 ? &x.q32 : &x.q256;
    form->codes = guarded_place(&memory.codes, n * n_columns, 1);
    form->scales = guarded_place(&memory.scales, n * n_blocks * sizeof(float), sizeof(float));
    form->sums = guarded_place(&memory.sums, n * n_sums * sizeof(int16_t), sizeof(int16_t));
    for (size_t t = 0; t < n; t++)
        fill_quantized(random, shape->input, form->codes + t * n_columns, form->scales + t * n_blocks,
                       form->sums + t * n_sums, n_columns, block);
    return x;
}

/* Repeats and disorder: token t reads some row of n_rows. */
static const int32_t *make_which(struct random *random, const struct shape *shape, size_t n_rows)
{
    if (!shape->is_permuted) return NULL;
    int32_t *which = guarded_place(&memory.which, (size_t)shape->n_tokens * 4, 4);
    for (int t = 0; t < shape->n_tokens; t++) which[t] = (int32_t)cm_random_below(random, n_rows);
    return which;
}

enum { CANARY = 0x4b1dface };

static float *clear_output(const struct guarded *output, size_t n)
{
    float *y = guarded_place(output, n * sizeof(float), sizeof(float));
    for (size_t i = 0; i < n; i++) y[i] = cm_float_of_bits(CANARY);
    return y;
}

/* The same bits; a NaN may be any NaN. */
static bool is_same(const float *expected, const float *got, size_t n, size_t *where)
{
    if (memcmp(expected, got, n * sizeof(float)) == 0) return true;
    for (size_t i = 0; i < n; i++) {
        if (memcmp(&expected[i], &got[i], sizeof(float)) == 0) continue;
        if (isnan(expected[i]) && isnan(got[i])) continue;
        *where = i;
        return false;
    }
    return true;
}

/* The ways to read ahead take turns: none may matter. */
static void choose_ahead(void)
{
    static int turn;
    if (cm_read_ahead_row(++turn) == NULL) turn = 0;
    cm_read_ahead_choose(cm_read_ahead_row(turn));
}

static void check_kernel(const struct linear_kernel *kernel, const struct shape *shape,
                         const uint8_t *rows, const struct activations *x, const int32_t *which,
                         const float *expected, size_t n_y, size_t y_stride)
{
    const size_t n_rows = (size_t)shape->n_rows, n_columns = (size_t)shape->n_columns;
    const size_t n_bytes = kernel->packed_bytes(n_rows, n_columns);
    uint8_t     *packed = guarded_place(&memory.packed, n_bytes, 64);
    size_t       where = 0;
    describe(kernel, shape);
    choose_ahead();
    memset(packed, 0xa5, n_bytes);
    kernel->pack(rows, n_rows, n_columns, packed);
    const struct matrix matrix = { kernel, shape->n_rows, shape->n_columns, packed, 0 };
    float              *y = clear_output(&memory.got, n_y);
    kernel->multiply(&matrix, shape->row_begin, shape->row_end, x, which, shape->n_tokens, y, y_stride);
    n_checks++;
    if (is_same(expected, y, n_y, &where)) return;
    if (n_failures++ < 20)
        fprintf(stderr, "token %zu, row %zu: %a, expected %a in %s", where / y_stride,
                where % y_stride, (double)y[where], (double)expected[where], description);
}

static void check_case(struct random *random, const struct shape *shape)
{
    const struct weight_type_row *row = &cm_weight_types[shape->type];
    const struct linear_kernel   *plain = cm_linear_kernel(shape->type, ISA_REF);
    const size_t n_rows = (size_t)shape->n_rows, n_columns = (size_t)shape->n_columns;
    const size_t n_bytes = n_rows * cm_row_bytes(shape->type, n_columns);
    const size_t y_stride = n_rows + (size_t)cm_random_below(random, 8);
    const size_t n_y = (size_t)(shape->n_tokens - 1) * y_stride +
                       (size_t)(shape->row_end - shape->row_begin);
    uint8_t *rows = guarded_place(&memory.rows, n_bytes, 1);
    fill_weights(random, shape->type, shape->weights, rows, n_rows * n_columns / (size_t)row->n_elements);
    const size_t             n_inputs = (size_t)shape->n_tokens;
    const struct activations x = make_input(random, shape, n_inputs);
    const int32_t           *which = make_which(random, shape, n_inputs);
    const struct matrix      matrix = { plain, shape->n_rows, shape->n_columns, rows, 0 };
    float                   *expected = clear_output(&memory.expected, n_y);
    describe(plain, shape);
    plain->multiply(&matrix, shape->row_begin, shape->row_end, &x, which, shape->n_tokens, expected,
                    y_stride);
    const struct linear_kernel *kernel;
    for (int i = 0; (kernel = cm_linear_kernel_at(i)) != NULL; i++)
        if (kernel->type == shape->type && cm_isa_is_supported(kernel->isa))
            check_kernel(kernel, shape, rows, &x, which, expected, n_y, y_stride);
    for (int i = 0; (kernel = cm_evex_kernel_at(i)) != NULL; i++) {
        if (kernel->type != shape->type || !cm_isa_is_supported(kernel->isa)) continue;
        check_kernel(kernel, shape, rows, &x, which, expected, n_y, y_stride);
        n_evex_checks++;
    }
    for (int i = 0; (kernel = cm_software_kernel_at(i)) != NULL; i++) {
        if (kernel->type != shape->type || !cm_isa_is_supported(kernel->isa)) continue;
        check_kernel(kernel, shape, rows, &x, which, expected, n_y, y_stride);
        n_software_checks++;
        if (!cm_software_tiles_are_configured()) continue;
        n_failures++;
        fprintf(stderr, "tiles are not released by %s", description);
    }
}

/* Some range of rows: all, or from a multiple of 16 to anywhere. */
static void choose_rows(struct random *random, struct shape *shape)
{
    shape->row_begin = 0;
    shape->row_end = shape->n_rows;
    if (cm_random_below(random, 2) == 0) return;
    const uint64_t n_tiles = ((uint64_t)shape->n_rows + 15) / 16;
    shape->row_begin = 16 * (int)cm_random_below(random, n_tiles);
    shape->row_end = shape->row_begin + 1 +
                     (int)cm_random_below(random, (uint64_t)(shape->n_rows - shape->row_begin));
}

static int columns_of(enum weight_type type, int i)
{
    static const int float_columns[] = { 1, 3, 17, 40, 72 }, n_blocks[] = { 1, 2, 3, 5, 8 };
    const int n_elements = cm_weight_types[type].n_elements;
    return n_elements == 1 ? float_columns[i] : n_elements * n_blocks[i];
}

/* Shapes around the tile and the groups of tokens, with the fills taking turns. */
static void check_shapes(struct random *random, enum weight_type type)
{
    static const int rows[] = { 1, 7, 15, 16, 17, 31, 33, 48, 65 };
    static const int tokens[] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 14, 16, 19, 33, 49, 64 };
    for (int r = 0; r < 9; r++) {
        for (int c = 0; c < 5; c++) {
            for (int t = 0; t < 16; t++) {
                struct shape shape = { .type = type, .n_rows = rows[r], .n_tokens = tokens[t],
                                       .n_columns = columns_of(type, c) };
                shape.is_permuted = cm_random_below(random, 2) == 1;
                shape.weights = (enum weight_fill)cm_random_below(random, WEIGHT_FILL_COUNT);
                shape.input = (enum input_fill)cm_random_below(random, INPUT_FILL_COUNT);
                choose_rows(random, &shape);
                if (!way_is_left_out(r + c + t, 4)) check_case(random, &shape);
            }
        }
    }
}

/* More rows and tokens than a kernel takes at once. */
static void check_large(struct random *random, enum weight_type type)
{
    static const int sizes[][2] = { { 145, 128 }, { 160, 129 }, { 131, 250 }, { 20, 300 } };
    for (int i = 0; i < 4; i++) {
        const struct shape shape = { .type = type, .n_rows = sizes[i][0], .n_tokens = sizes[i][1],
                                     .n_columns = columns_of(type, i % 3 + 1), .is_permuted = i % 2 == 0,
                                     .row_end = sizes[i][0] };
        check_case(random, &shape);
    }
}

/* Widths of real models, which need more than one panel for a group of tokens; rows that are cut. */
static void check_wide(struct random *random, enum weight_type type)
{
    static const int columns[] = { 704, 1408, 2880 }, tokens[] = { 1, 5, 20, 33 };
    const int        n_elements = cm_weight_types[type].n_elements;
    for (int c = 0; c < 3; c++) {
        for (int t = 0; t < 4; t++) {
            struct shape shape = { .type = type, .n_rows = c == 2 && t == 2 ? 145 : 37, .n_tokens = tokens[t],
                                   .n_columns = columns[c] / n_elements * n_elements - (n_elements == 1),
                                   .is_permuted = t % 2 == 1 };
            shape.weights = (enum weight_fill)cm_random_below(random, WEIGHT_FILL_COUNT);
            shape.row_end = shape.n_rows;
            check_case(random, &shape);
        }
    }
}

/* Every AMX kernel of the table has its twin on software tiles, where those are built. */
static void check_twins(void)
{
    int                         n_native = 0, n_software = 0;
    const struct linear_kernel *kernel;
    for (int i = 0; (kernel = cm_linear_kernel_at(i)) != NULL; i++) n_native += kernel->isa == ISA_AMX;
    while (cm_software_kernel_at(n_software) != NULL) n_software++;
    if (n_software == n_native) return;
    n_failures++;
    fprintf(stderr, "%d AMX kernels, but %d on software tiles\n", n_native, n_software);
}

/* Every fill of the weights with every fill of the input, for 1 … 9 tokens in turn. */
static void check_fills(struct random *random, enum weight_type type)
{
    for (int w = 0; w < WEIGHT_FILL_COUNT; w++) {
        for (int i = 0; i < INPUT_FILL_COUNT; i++) {
            for (int n_tokens = 1; n_tokens <= 9; n_tokens++) {
                const struct shape shape = { .type = type, .n_rows = 21, .n_tokens = n_tokens,
                                             .n_columns = columns_of(type, 3), .is_permuted = false,
                                             .weights = (enum weight_fill)w, .row_end = 21,
                                             .input = (enum input_fill)i };
                if (!way_is_left_out(w + i + n_tokens, 3)) check_case(random, &shape);
            }
        }
    }
}

/* Tiles are independent, and packing adds next to nothing. */
static void check_packing(struct random *random, const struct linear_kernel *kernel)
{
    const size_t tile = (size_t)kernel->tile_rows, n_rows = 3 * tile + (tile > 1 ? 5 : 0);
    const size_t n_columns = (size_t)columns_of(kernel->type, 4);
    const size_t row_bytes = cm_row_bytes(kernel->type, n_columns);
    uint8_t     *rows = guarded_place(&memory.rows, n_rows * row_bytes, 1);
    const size_t n_bytes = kernel->packed_bytes(n_rows, n_columns);
    uint8_t     *all = guarded_place(&memory.packed, n_bytes, 64);
    uint8_t     *part = guarded_place(&memory.values, n_bytes, 64);
    for (size_t i = 0; i < n_rows * row_bytes; i++) rows[i] = (uint8_t)cm_random_u64(random);
    kernel->pack(rows, n_rows, n_columns, all);
    for (size_t row = 0; row < n_rows; row += tile) {
        const size_t n = n_rows - row < tile ? n_rows - row : tile;
        kernel->pack(rows + row * row_bytes, n, n_columns, part);
        n_checks++;
        if (memcmp(part, all + kernel->packed_bytes(row, n_columns),
                   kernel->packed_bytes(n, n_columns)) == 0)
            continue;
        n_failures++;
        fprintf(stderr, "%s: tile at row %zu packs differently alone\n", kernel->name, row);
    }
    const size_t expected = tile > 1 ? cm_pack16_row_bytes(kernel->type, n_columns) : row_bytes;
    if ((double)kernel->packed_bytes(tile, n_columns) > 1.01 * (double)(tile * expected)) {
        n_failures++;
        fprintf(stderr, "%s: packing adds more than 1 %%\n", kernel->name);
    }
}

int main(int argc, char **argv)
{
    const char *wanted = getenv("CALMOE_SEED");
    if (wanted != NULL) seed = strtoull(wanted, NULL, 10);
    const char *part = argc > 2 ? argv[2] : NULL;
    if (argc > 1 && strcmp(argv[1], "--bench") == 0) return bench(part, false);
    if (argc > 1 && strcmp(argv[1], "--ahead") == 0) return bench(part, true);
    signal(SIGSEGV, crashed);
    signal(SIGBUS, crashed);
    signal(SIGILL, crashed);
    open_memory();
    struct random               random = cm_random(seed);
    const struct linear_kernel *kernel;
    for (int type = 0; type < WEIGHT_TYPE_COUNT; type++) {
        check_shapes(&random, (enum weight_type)type);
        check_fills(&random, (enum weight_type)type);
        check_large(&random, (enum weight_type)type);
        check_wide(&random, (enum weight_type)type);
    }
    check_twins();
    for (int i = 0; (kernel = cm_linear_kernel_at(i)) != NULL; i++)
        if (cm_isa_is_supported(kernel->isa)) check_packing(&random, kernel);
    printf("kernelcheck: %ld checks up to level %s, %ld failures, seed %llu\n", n_checks,
           cm_isa_name(cm_isa_best()), n_failures, (unsigned long long)seed);
    printf("kernelcheck: AVX-VNNI natively: %s; in AVX-512's encoding: %ld of the checks%s\n",
           cm_isa_is_supported(ISA_AVXVNNI) ? "yes" : "no, the machine has none", n_evex_checks,
           n_evex_checks > 0 ? "" : " (they want avx512vnni)");
    printf("kernelcheck: AMX natively: %s; on software tiles: %ld of the checks%s\n",
           cm_isa_is_supported(ISA_AMX) ? "yes" : "no, the machine has none", n_software_checks,
           n_software_checks > 0 ? "" : " (they want avx512vnni)");
    return n_failures == 0 ? 0 : 1;
}
