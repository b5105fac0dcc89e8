/* test_exits_file.c - learned exits as a file: written, read back to the bit; every fault with its sentence; no byte
 * that is changed or cut off does harm. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <math.h>

#include <cmocka.h>

#include "base/file_map.h"
#include "base/memory.h"
#include "base/random.h"
#include "runtime/documents/exits_file.h"
#include "tests/support/gguf_builder.h"
#include "tests/support/learned.h"
#include "tests/support/temp_folder.h"

#define MODEL "0123456789abcdef"

static void assert_same_floats(const float *a, const float *b, size_t n)
{
    assert_int_equal(a != NULL, b != NULL);
    if (a) assert_memory_equal(a, b, n * sizeof *a);
}

static void assert_same(const struct learned_exits *a, const struct learned_exits *b)
{
    const size_t dim = (size_t)a->dim;
    assert_string_equal(a->model, b->model);
    assert_string_equal(a->fingerprint, b->fingerprint);
    assert_int_equal(a->n_layers, b->n_layers);
    assert_int_equal(a->dim, b->dim);
    assert_int_equal(a->n, b->n);
    for (int i = 0; i < a->n; i++) {
        const struct learned_exit *x = &a->exits[i], *y = &b->exits[i];
        assert_int_equal(x->layer, y->layer);
        assert_int_equal(x->rank, y->rank);
        assert_same_floats(x->down, y->down, (size_t)x->rank * dim);
        assert_same_floats(x->up, y->up, (size_t)x->rank * dim);
        assert_same_floats(x->bias, y->bias, dim);
        assert_same_floats(x->path, y->path, (size_t)a->n_layers);
        assert_same_floats(x->classifier, y->classifier, dim);
        assert_memory_equal(&x->classifier_bias, &y->classifier_bias, sizeof(float));
    }
}

static void round_trip(void **state)
{
    (void)state;
    struct temp_folder *folder = temp_folder_open();
    static const struct { int dim, rank, n, layers[3]; } cases[] = {
        {32, 4, 3, {1, 5, 11}}, {33, 33, 2, {2, 3}}, {7, 1, 1, {11}}, {64, 0, 2, {1, 2}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct learned_exits exits = learned_random(MODEL, 12, cases[i].dim, cases[i].layers, cases[i].n,
                                                    cases[i].rank, i), back;
        const char *path = temp_file(folder, "exits.gguf");
        if (cases[i].rank > 0) { /* one has a translator only */
            cm_free(exits.exits[0].classifier);
            exits.exits[0].classifier = NULL;
            exits.exits[0].classifier_bias = 0.0f;
            cm_learned_exits_seal(&exits);
        }
        struct calmoe_context ctx = {.log = NULL};
        assert_int_equal(cm_exits_file_write(&ctx, path, &exits), CALMOE_OK);
        if (cm_exits_file_read(&ctx, path, &back) != CALMOE_OK) fail_msg("%s", ctx.message);
        assert_same(&exits, &back);
        cm_learned_exits_close(&exits);
        cm_learned_exits_close(&back);
    }
    temp_folder_close(&folder);
    assert_int_equal(cm_live_blocks(), 0);
}

/* Whatever changes in the exits changes their fingerprint. */
static void fingerprints(void **state)
{
    (void)state;
    static const int layers[] = {2, 3};
    struct learned_exits exits = learned_random(MODEL, 5, 16, layers, 2, 3, 7);
    struct learned_exit *exit = &exits.exits[1];
    float *const values[] = {&exit->down[5], &exit->up[47], &exit->bias[0], &exit->path[4], &exit->classifier[15],
                             &exit->classifier_bias};
    int *const numbers[] = {&exits.n_layers, &exit->layer};
    char before[17];
    memcpy(before, exits.fingerprint, sizeof before);
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        const float old = *values[i];
        *values[i] = nextafterf(old, 9.0f);
        cm_learned_exits_seal(&exits);
        assert_string_not_equal(exits.fingerprint, before);
        *values[i] = old;
    }
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        --*numbers[i]; /* more layers would want longer paths */
        cm_learned_exits_seal(&exits);
        assert_string_not_equal(exits.fingerprint, before);
        ++*numbers[i];
    }
    float *const one_path = exit->path;
    exit->path = NULL;
    cm_learned_exits_seal(&exits);
    assert_string_not_equal(exits.fingerprint, before);
    exit->path = one_path;
    exits.model[3] = 'f';
    cm_learned_exits_seal(&exits);
    assert_string_not_equal(exits.fingerprint, before);
    cm_learned_exits_close(&exits);
}

/* ---- faults ---- */

enum { DIM = 8, RANK = 2 };

struct plan { /* of a file; what is 0 or NULL is as it should be */
    const char *architecture, *model;
    uint32_t    schema, n_layers, width;
    int32_t     layers[3];
    int         n_layers_told; /* elements of layers; -1: a text instead */
    const char *without;       /* a tensor or a key to leave out         */
    const char *extra;         /* a tensor that nobody knows             */
    uint32_t    type;          /* of up                                  */
    uint64_t    rank_of_up, rank, bias, path;
    float       bad, bad_path; /* an element of down, of path            */
};

static void add_tensor(struct gguf_builder *builder, const struct plan *plan, const char *name, uint64_t columns,
                       uint64_t rows, uint32_t type)
{
    static float values[4096];
    const uint64_t shape[] = {columns, rows};
    if (plan->without && strcmp(plan->without, name) == 0) return;
    for (int i = 0; i < 4096; i++) values[i] = 0.25f;
    if (strcmp(name, "exit.3.down") == 0 && plan->bad != 0.0f) values[5] = plan->bad;
    if (strcmp(name, "exit.3.path") == 0 && plan->bad_path != 0.0f) values[5] = plan->bad_path;
    builder_add_tensor(builder, name, type, rows > 1 ? 2 : 1, shape, values,
                       (size_t)(columns * rows) * (type == 1 ? 2 : 4));
}

static struct gguf_builder *build(const struct plan *plan)
{
    static const int32_t good[] = {3};
    struct gguf_builder *b = builder_open();
    const uint64_t rank = plan->rank ? plan->rank : RANK;
    const char *without = plan->without ? plan->without : "";
    builder_add_string(b, "general.architecture", plan->architecture ? plan->architecture : "calmoe-exits");
    if (strcmp(without, "schema") != 0) builder_add_u32(b, "calmoe.exits.schema", plan->schema ? plan->schema : 1);
    builder_add_string(b, "calmoe.exits.model", plan->model ? plan->model : MODEL);
    builder_add_u32(b, "calmoe.exits.n_layers", plan->n_layers ? plan->n_layers : 6);
    if (strcmp(without, "width") != 0) builder_add_u32(b, "calmoe.exits.width", plan->width ? plan->width : DIM);
    if (plan->n_layers_told < 0) builder_add_string(b, "calmoe.exits.layers", "3");
    else if (plan->n_layers_told > 0)
        builder_add_i32s(b, "calmoe.exits.layers", plan->layers, (size_t)plan->n_layers_told);
    else builder_add_i32s(b, "calmoe.exits.layers", good, 1);
    add_tensor(b, plan, "exit.3.down", DIM, rank, 0);
    add_tensor(b, plan, "exit.3.up", plan->rank_of_up ? plan->rank_of_up : rank, DIM, plan->type);
    add_tensor(b, plan, "exit.3.bias", plan->bias ? plan->bias : DIM, 1, 0);
    add_tensor(b, plan, "exit.3.path", plan->path ? plan->path : 6, 1, 0);
    add_tensor(b, plan, "exit.3.classifier", DIM, 1, 0);
    add_tensor(b, plan, "exit.3.classifier_bias", 1, 1, 0);
    if (plan->extra) add_tensor(b, plan, plan->extra, DIM, 1, 0);
    return b;
}

static const struct {
    struct plan   plan;
    const char   *message; /* after "'e.gguf': " */
    calmoe_status status;  /* 0: BAD_FILE        */
} faults[] = {
    {{.architecture = "olmoe"}, "general.architecture: found 'olmoe', wanted 'calmoe-exits', a file of exits", 0},
    {{.without = "schema"}, NULL, 0},
    {{.schema = 2}, "exits of schema 2; this version reads 1", CALMOE_UNSUPPORTED},
    {{.model = "0123456789abcde"}, "calmoe.exits.model: found '0123456789abcde', wanted 16 digits 0-9a-f", 0},
    {{.model = "0123456789ABCDEF"}, "calmoe.exits.model: found '0123456789ABCDEF', wanted 16 digits 0-9a-f", 0},
    {{.n_layers = 5000}, NULL, 0},
    {{.without = "width"}, NULL, 0},
    {{.width = 1 << 21}, NULL, 0},
    {{.width = 9}, "tensor 'exit.3.down' is 8 × 2, wanted 9 × 2", 0},
    {{.n_layers_told = -1}, "calmoe.exits.layers: wanted an array of 1 to 16 integers", 0},
    {{.n_layers_told = 1, .layers = {6}}, "calmoe.exits.layers: found 6, wanted 1 to 5", 0},
    {{.n_layers_told = 1, .layers = {0}}, "calmoe.exits.layers: found 0, wanted 1 to 5", 0},
    {{.n_layers_told = 1, .layers = {2}}, "the exit after layer 2 has neither a translator nor a classifier", 0},
    {{.n_layers_told = 2, .layers = {3, 3}}, "an exit after layer 3 behind one after layer 3; they must ascend", 0},
    {{.n_layers_told = 2, .layers = {3, 4}}, "the exit after layer 4 has neither a translator nor a classifier", 0},
    {{.without = "exit.3.bias"}, "tensor 'exit.3.bias' is missing beside its others", 0},
    {{.without = "exit.3.down"}, "tensor 'exit.3.down' is missing beside its others", 0},
    {{.without = "exit.3.classifier"}, "tensor 'exit.3.classifier' is missing beside its others", 0},
    {{.extra = "exit.4.bias"}, "7 tensors, of which 6 belong to its exits", 0},
    {{.type = 1}, "tensor 'exit.3.up' is not F32", 0},
    {{.rank_of_up = 3}, "tensor 'exit.3.up' is 3 × 8, wanted 2 × 8", 0},
    {{.bias = 16}, "tensor 'exit.3.bias' is 16 × 1, wanted 8 × 1", 0},
    {{.path = 5}, "tensor 'exit.3.path' is 5 × 1, wanted 6 × 1", 0},
    {{.bad_path = NAN}, "the translator after layer 3 has a number that is not finite", 0},
    {{.rank = 9}, "tensor 'exit.3.down' has rank 9; at most 8 is possible", 0},
    {{.bad = NAN}, "the translator after layer 3 has a number that is not finite", 0},
    {{.bad = -INFINITY}, "the translator after layer 3 has a number that is not finite", 0},
};

static void every_fault_has_its_sentence(void **state)
{
    (void)state;
    static const char head[] = "'e.gguf': ";
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        struct calmoe_context ctx = {.log = NULL};
        struct learned_exits exits;
        size_t n_bytes;
        struct gguf_builder *builder = build(&faults[i].plan);
        const uint8_t *bytes = builder_bytes(builder, &n_bytes);
        assert_int_equal(cm_exits_file_parse(&ctx, "e.gguf", bytes, n_bytes, &exits),
                         faults[i].status ? faults[i].status : CALMOE_BAD_FILE);
        if (strncmp(ctx.message, head, strlen(head)) != 0) fail_msg("fault %zu: %s", i, ctx.message);
        if (faults[i].message) assert_string_equal(ctx.message + strlen(head), faults[i].message);
        builder_close(&builder);
    }
    assert_int_equal(cm_live_blocks(), 0);
}

/* A right file: cut anywhere it is refused, and with any byte changed refused or read. */
static void no_byte_does_harm(void **state)
{
    (void)state;
    static const struct plan good = {.rank = 1};
    struct learned_exits exits;
    size_t n_bytes;
    struct gguf_builder *builder = build(&good);
    const uint8_t *bytes = builder_bytes(builder, &n_bytes);
    struct calmoe_context ctx = {.log = NULL};
    if (cm_exits_file_parse(&ctx, "e.gguf", bytes, n_bytes, &exits) != CALMOE_OK) fail_msg("%s", ctx.message);
    cm_learned_exits_close(&exits);
    for (size_t n = 0; n + 32 <= n_bytes; n++) { /* the last bytes may be padding */
        uint8_t *cut = malloc(n + 1); /* so that a sanitizer sees a read past the end */
        assert_non_null(cut);
        memcpy(cut, bytes, n);
        assert_int_equal(cm_exits_file_parse(&ctx, "e.gguf", cut, n, &exits), CALMOE_BAD_FILE);
        free(cut);
    }
    struct random random = cm_random(3);
    uint8_t *bent = malloc(n_bytes);
    assert_non_null(bent);
    for (size_t at = 0; at < n_bytes; at++)
        for (int trial = 0; trial < 4; trial++) {
            memcpy(bent, bytes, n_bytes);
            bent[at] = (uint8_t)cm_random_u64(&random);
            const calmoe_status status = cm_exits_file_parse(&ctx, "e.gguf", bent, n_bytes, &exits);
            assert_true(status == CALMOE_OK || ctx.message[0] != '\0');
            cm_learned_exits_close(&exits);
        }
    free(bent);
    builder_close(&builder);
    assert_int_equal(cm_live_blocks(), 0);
}

static void files_that_cannot_be(void **state)
{
    (void)state;
    static const int layers[] = {2};
    struct calmoe_context ctx = {.log = NULL};
    struct learned_exits exits = learned_random(MODEL, 5, 16, layers, 1, 3, 7), none;
    assert_int_equal(cm_exits_file_read(&ctx, "/nowhere/e.gguf", &none), CALMOE_IO);
    assert_int_equal(cm_exits_file_write(&ctx, "/nowhere/e.gguf", &exits), CALMOE_IO);
    exits.exits[0].up[3] = NAN;
    assert_int_equal(cm_exits_file_write(&ctx, "/nowhere/e.gguf", &exits), CALMOE_BAD_FILE);
    exits.exits[0].up[3] = 0.0f;
    exits.exits[0].rank = 0;
    assert_int_equal(cm_exits_file_write(&ctx, "/nowhere/e.gguf", &exits), CALMOE_BAD_FILE);
    assert_string_equal(ctx.message, "the exit after layer 2 has a path, but no translator");
    exits.exits[0].rank = 3;
    assert_int_equal(cm_learned_exits_fit(&ctx, &exits, MODEL, 5, 16), CALMOE_OK);
    assert_int_equal(cm_learned_exits_fit(&ctx, &exits, "fedcba9876543210", 5, 16), CALMOE_INVALID_ARGUMENT);
    assert_string_equal(ctx.message, "the exits are for a model with fingerprint 0123456789abcdef; this one's is "
                                     "fedcba9876543210");
    assert_int_equal(cm_learned_exits_fit(&ctx, &exits, MODEL, 6, 16), CALMOE_INVALID_ARGUMENT);
    assert_string_equal(ctx.message, "the exits are for 5 layers of width 16; this model has 6 of width 16");
    assert_int_equal(cm_learned_exits_fit(&ctx, &exits, MODEL, 5, 32), CALMOE_INVALID_ARGUMENT);
    cm_learned_exits_close(&exits);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip), cmocka_unit_test(fingerprints), cmocka_unit_test(every_fault_has_its_sentence),
        cmocka_unit_test(no_byte_does_harm), cmocka_unit_test(files_that_cannot_be),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
