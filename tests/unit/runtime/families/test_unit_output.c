/* test_unit_output.c - Baichuan 2, whose output matrix is taken with rows of length 1: its logits beside those of Llama
 * with the same weights, and of files whose writers scaled the rows. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/support/folder_fixture.h"
#include "tests/support/running.h"
#include "tests/support/tiny_model.h"

enum { N_VOCAB = 125696, DIM = 32, N = 3 }; /* the vocabulary tells the model from the first Baichuan */

/* The logits of a few tokens; rows of the output times 2^(token % n_powers). output: (N_VOCAB, DIM) as in the file. */
static void read_logits(const char *architecture, int n_vocab, int n_powers, float *output, float *logits)
{
    static const int32_t tokens[N] = {5, 9, 17};
    struct tiny_model tiny = tiny_model();
    tiny.architecture = architecture;
    tiny.n_layers = 1;
    tiny.n_experts = 0;
    tiny.shared_width = 0;
    tiny.n_vocab = n_vocab;
    tiny.types[TINY_EMBEDDING] = WEIGHT_Q4_0;
    struct gguf_builder *builder = tiny_model_build(&tiny);
    float *rows = (float *)(void *)tiny_tensor(builder, "output.weight")->bytes;
    for (int i = 0; i < n_vocab * DIM; i++) output[i] = rows[i] *= (float)(1 << i / DIM % n_powers);
    builder_write(builder, temp_file(folder, "m.gguf"));
    builder_close(&builder);
    const calmoe_engine_options options = running_options(2, NULL);
    struct running running = running_open(temp_file(folder, "m.gguf"), &options, NULL);
    assert_int_equal(running.n_vocab, n_vocab);
    running_read(&running, running.session, tokens, N, N, logits);
    running_close(&running);
}

static double length_of(const float *row)
{
    double squares = 0.0;
    for (int i = 0; i < DIM; i++) squares += (double)row[i] * (double)row[i];
    return sqrt(squares);
}

static void rows_count_by_direction(void **state)
{
    (void)state;
    const size_t n = (size_t)N_VOCAB * N;
    float *output = malloc((size_t)N_VOCAB * DIM * sizeof *output), *plain = malloc(n * sizeof *plain);
    float *unit = malloc(n * sizeof *unit), *scaled = malloc(n * sizeof *scaled);
    assert_true(output && plain && unit && scaled);
    read_logits("llama", N_VOCAB, 1, output, plain);
    read_logits("baichuan", N_VOCAB, 1, output, unit);
    for (size_t i = 0; i < n; i++) {
        const double wanted = (double)plain[i] / length_of(output + i % N_VOCAB * DIM);
        assert_true(fabs((double)unit[i] - wanted) <= 1e-6 * (1.0 + fabs(wanted)));
    }
    read_logits("baichuan", N_VOCAB, 5, output, scaled); /* powers of two are exact: the same bits */
    assert_memory_equal(scaled, unit, n * sizeof *unit);
    free(output);
    free(plain);
    free(unit);
    free(scaled);
}

/* The first Baichuan's vocabulary, and any other: as the file has them. */
static void of_others_as_they_are(void **state)
{
    (void)state;
    enum { N_SMALL = 640 };
    static float output[N_SMALL * DIM], plain[N_SMALL * N], same[N_SMALL * N];
    read_logits("llama", N_SMALL, 3, output, plain);
    read_logits("baichuan", N_SMALL, 3, output, same);
    assert_memory_equal(same, plain, sizeof plain);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_count_by_direction),
        cmocka_unit_test(of_others_as_they_are),
    };
    return cmocka_run_group_tests_name("unit output", tests, open_folder, close_folder);
}
