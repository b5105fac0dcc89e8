/* test_fit_translator.c - translators on hidden states whose map is known. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <math.h>

#include <cmocka.h>

#include "base/memory.h"
#include "base/random.h"
#include "runtime/fit/fit_translator.h"

enum { DIM = 24, RANK = 3, ROWS = 1500 };

struct world { /* to = from + sum over r of up_r (down_r · from) + bias + noise */
    double down[RANK][DIM], up[RANK][DIM], bias[DIM];
    float  from[ROWS][DIM], to[ROWS][DIM];
};

static void make(struct world *world, double noise, double offset)
{
    struct random random = cm_random(31);
    for (int r = 0; r < RANK; r++)
        for (int i = 0; i < DIM; i++) {
            world->down[r][i] = (double)cm_random_normal(&random) / sqrt(DIM) * (RANK - r);
            world->up[r][i] = (double)cm_random_normal(&random);
        }
    for (int i = 0; i < DIM; i++) world->bias[i] = (double)cm_random_normal(&random);
    for (int row = 0; row < ROWS; row++) {
        for (int i = 0; i < DIM; i++)
            world->from[row][i] = cm_random_normal(&random) * (1.0f + (float)i) + (float)(offset * (i % 3));
        for (int i = 0; i < DIM; i++) {
            double y = (double)world->from[row][i] + world->bias[i] + noise * (double)cm_random_normal(&random);
            for (int r = 0; r < RANK; r++) {
                double sum = 0.0;
                for (int j = 0; j < DIM; j++) sum += world->down[r][j] * (double)world->from[row][j];
                y += sum * world->up[r][i];
            }
            world->to[row][i] = (float)y;
        }
    }
}

/* Root of the mean squared error. */
static double error_of(const struct translator *translator, const struct world *world)
{
    double sum = 0.0;
    for (int row = 0; row < ROWS; row++) {
        float out[DIM];
        cm_translate(translator, world->from[row], out);
        for (int i = 0; i < DIM; i++)
            sum += ((double)out[i] - (double)world->to[row][i]) * ((double)out[i] - (double)world->to[row][i]);
    }
    return sqrt(sum / (ROWS * DIM));
}

static struct translator_fit *fit_of(const struct world *world)
{
    struct translator_fit *fit;
    assert_int_equal(cm_translator_fit_open(NULL, DIM, &fit), CALMOE_OK);
    for (int row = 0; row < ROWS;) { /* in uneven pieces, over the ends of blocks */
        const int n = 1 + row % 97 < ROWS - row ? 1 + row % 97 : ROWS - row;
        cm_translator_fit_add(fit, world->from[row], world->to[row], NULL, n);
        row += n;
    }
    assert_int_equal(cm_translator_fit_rows(fit), ROWS);
    return fit;
}

static void known_map(void **state)
{
    (void)state;
    struct world *world = malloc(sizeof *world);
    assert_non_null(world);
    for (int far = 0; far < 2; far++) { /* with means 1000 times the spread too */
        double errors[DIM + 1], last = INFINITY;
        make(world, 0.01, far ? 3000.0 : 0.0);
        struct translator_fit *fit = fit_of(world);
        for (int rank = 1; rank <= 5; rank++) {
            struct translator translator;
            assert_int_equal(cm_translator_fit_solve(NULL, fit, rank, 1e-9, &translator), CALMOE_OK);
            errors[rank] = error_of(&translator, world);
            assert_true(errors[rank] <= last * 1.01);
            last = errors[rank];
            if (rank >= RANK) assert_true(translator.explained > 0.9999);
            else assert_true(translator.explained < 0.999);
            cm_translator_close(&translator);
        }
        assert_true(errors[RANK] < (far ? 0.05 : 0.012)); /* the noise; floats of large numbers add theirs */
        assert_true(errors[RANK - 1] > 20.0 * errors[RANK]);
        cm_translator_fit_close(&fit);
    }
    free(world);
    assert_int_equal(cm_live_blocks(), 0);
}

/* The best map of rank 1 between anisotropic states is not the leading part of the full map: among random other maps of
 * rank 1 with their best scale none may do better. */
static void best_of_its_rank(void **state)
{
    (void)state;
    struct world *world = malloc(sizeof *world);
    assert_non_null(world);
    make(world, 0.5, 0.0);
    struct translator_fit *fit = fit_of(world);
    struct translator      best;
    struct random          random = cm_random(5);
    assert_int_equal(cm_translator_fit_solve(NULL, fit, 1, 1e-9, &best), CALMOE_OK);
    const double least = error_of(&best, world);
    for (int trial = 0; trial < 400; trial++) { /* a step away in either factor makes it worse */
        float *const  factor = trial % 2 ? best.up : best.down;
        const int     at = (int)cm_random_below(&random, DIM);
        const float   was = factor[at];
        factor[at] += cm_random_normal(&random) * 0.05f;
        assert_true(error_of(&best, world) >= least * (1.0 - 1e-6));
        factor[at] = was;
    }
    cm_translator_close(&best);
    cm_translator_fit_close(&fit);
    free(world);
}

/* A weight of 3 is the row three times; and sums that were copied go on as the others. */
static void weights_and_copies(void **state)
{
    (void)state;
    struct world *world = malloc(sizeof *world);
    assert_non_null(world);
    make(world, 0.5, 0.0);
    struct translator_fit *weighted, *repeated, *copied;
    struct translator      maps[3];
    assert_int_equal(cm_translator_fit_open(NULL, DIM, &weighted), CALMOE_OK);
    assert_int_equal(cm_translator_fit_open(NULL, DIM, &repeated), CALMOE_OK);
    assert_int_equal(cm_translator_fit_open(NULL, DIM, &copied), CALMOE_OK);
    for (int row = 0; row < 300; row++) {
        const float weight = row % 2 ? 3.0f : 1.0f;
        cm_translator_fit_add(weighted, world->from[row], world->to[row], &weight, 1);
        for (int i = 0; i < (row % 2 ? 3 : 1); i++)
            cm_translator_fit_add(repeated, world->from[row], world->to[row], NULL, 1);
    }
    assert_int_equal(cm_translator_fit_rows(weighted), 300);
    assert_int_equal(cm_translator_fit_rows(repeated), 600);
    size_t n, n_copied;
    const double *sums = cm_translator_fit_sums(weighted, &n);
    double *into = cm_translator_fit_sums(copied, &n_copied);
    assert_int_equal(n, n_copied);
    memcpy(into, sums, n * sizeof *into);
    struct translator_fit *const fits[3] = {weighted, repeated, copied};
    for (int i = 0; i < 3; i++)
        assert_int_equal(cm_translator_fit_solve(NULL, fits[i], RANK, 1e-6, &maps[i]), CALMOE_OK);
    for (int row = 0; row < 300; row++) {
        float a[DIM], b[DIM];
        cm_translate(&maps[0], world->from[row], a);
        cm_translate(&maps[1], world->from[row], b);
        for (int i = 0; i < DIM; i++) assert_true(fabsf(a[i] - b[i]) < 1e-3f * (1.0f + fabsf(a[i])));
    }
    assert_memory_equal(maps[0].down, maps[2].down, (size_t)RANK * DIM * sizeof(float));
    assert_memory_equal(maps[0].bias, maps[2].bias, DIM * sizeof(float));
    for (int i = 0; i < 3; i++) {
        struct translator_fit *fit = fits[i];
        cm_translator_close(&maps[i]);
        cm_translator_fit_close(&fit);
    }
    free(world);
    assert_int_equal(cm_live_blocks(), 0);
}

static void faults(void **state)
{
    (void)state;
    struct calmoe_context  ctx = {.log = NULL};
    struct translator_fit *fit;
    struct translator      translator;
    assert_int_equal(cm_translator_fit_open(&ctx, 0, &fit), CALMOE_INVALID_ARGUMENT);
    assert_int_equal(cm_translator_fit_open(&ctx, 2, &fit), CALMOE_OK);
    const float rows[][2] = {{1.0f, 2.0f}, {NAN, 0.0f}, {0.0f, INFINITY}, {3.0f, -1.0f}};
    cm_translator_fit_add(fit, rows[0], rows[0], NULL, 1);
    assert_int_equal(cm_translator_fit_solve(&ctx, fit, 1, 1e-3, &translator), CALMOE_INVALID_ARGUMENT);
    assert_string_equal(ctx.message, "1 hidden states; at least 2 are wanted for a fit");
    /* one of each pair is no number, or the other's turn comes */
    cm_translator_fit_add(fit, rows[0], rows[1], NULL, 3);
    assert_int_equal(cm_translator_fit_rows(fit), 1);
    cm_translator_fit_add(fit, rows[3], rows[3], NULL, 1);
    assert_int_equal(cm_translator_fit_solve(&ctx, fit, 1, 1e-3, &translator), CALMOE_OK);
    assert_true(translator.explained == 0.0); /* nothing to do: the map is the identity */
    float out[2];
    cm_translate(&translator, rows[0], out);
    assert_true(fabsf(out[0] - 1.0f) < 1e-6f && fabsf(out[1] - 2.0f) < 1e-6f);
    cm_translator_close(&translator);
    assert_int_equal(cm_translator_fit_solve(&ctx, fit, 3, 1e-3, &translator), CALMOE_INVALID_ARGUMENT);
    assert_string_equal(ctx.message,
                        "a translator of rank 3 and ridge 0.001; the rank must be 1 to 2, the ridge above 0");
    assert_int_equal(cm_translator_fit_solve(&ctx, fit, 1, 0.0, &translator), CALMOE_INVALID_ARGUMENT);
    assert_int_equal(cm_translator_fit_solve(&ctx, fit, 1, (double)NAN, &translator), CALMOE_INVALID_ARGUMENT);
    for (long nth = 1; nth <= 9; nth++) {
        cm_fail_request(nth);
        assert_int_equal(cm_translator_fit_solve(&ctx, fit, 1, 1e-3, &translator), CALMOE_NO_MEMORY);
        assert_null(translator.down);
    }
    cm_fail_request(0);
    cm_translator_fit_close(&fit);
    assert_int_equal(cm_live_blocks(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_map),
        cmocka_unit_test(best_of_its_rank),
        cmocka_unit_test(weights_and_copies),
        cmocka_unit_test(faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
