/* test_fit_classifier.c - logistic regression on data whose answer is known. */
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
#include "runtime/fit/fit_classifier.h"

enum { MAX_FEATURES = 6, MAX_ROWS = 20000 };

struct data {
    int     n_features;
    float   x[MAX_ROWS][MAX_FEATURES];
    uint8_t labels[MAX_ROWS];
};

static void read_rows(void *user, size_t first, size_t n, float *x, uint8_t *labels)
{
    const struct data *data = user;
    for (size_t row = 0; row < n; row++)
        memcpy(x + row * (size_t)data->n_features, data->x[first + row], (size_t)data->n_features * sizeof(float));
    memcpy(labels, data->labels + first, n);
}

static struct data *data;

static struct classifier_fit fit(int n_features, size_t n, double ridge, float *weights)
{
    const struct labelled_rows rows = {n_features, n, read_rows, data};
    struct classifier_fit      out = {.weights = weights};
    data->n_features = n_features;
    assert_int_equal(cm_fit_classifier(NULL, &rows, ridge, &out), CALMOE_OK);
    assert_int_equal(cm_live_blocks(), 0);
    return out;
}

/* One feature that is 0 or 1: the counts say it all. Of x = 0 there are 30 and 10, of x = 1 10 and 50 (label 0, 1).
 * Balanced, odds are (n_1(x) / 60) / (n_0(x) / 40). */
static void closed_form(void **state)
{
    (void)state;
    const int counts[2][2] = {{30, 10}, {10, 50}};
    size_t    n = 0;
    for (int x = 0; x < 2; x++)
        for (int label = 0; label < 2; label++)
            for (int i = 0; i < counts[x][label]; i++, n++) {
                data->x[n][0] = (float)x;
                data->labels[n] = (uint8_t)label;
            }
    float w;
    const struct classifier_fit found = fit(1, n, 1e-9, &w);
    const double at_0 = log(10.0 / 60.0 / (30.0 / 40.0)), at_1 = log(50.0 / 60.0 / (10.0 / 40.0));
    assert_true(found.has_converged);
    assert_int_equal(found.n_positive, 60);
    assert_true(fabs((double)found.bias - at_0) < 1e-4);
    assert_true(fabs((double)(w + found.bias) - at_1) < 1e-4);
}

/* Labels drawn from a known classifier; scales and means of the features far apart. */
static void known_classifier(void **state)
{
    (void)state;
    struct random random = cm_random(41);
    const double  w[] = {1.5, -0.02, 30.0, 0.0, 0.5, 0.0}, scale[] = {1.0, 50.0, 0.03, 1.0, 2.0, 1.0};
    for (int row = 0; row < MAX_ROWS; row++) {
        double z = 0.3;
        for (int i = 0; i < 6; i++) {
            const double u = (double)cm_random_normal(&random);
            data->x[row][i] = i == 5 ? 7.0f : (float)(u * scale[i] + (i == 1 ? 4000.0 : 0.0)); /* 5 never changes */
            z += w[i] * u * scale[i];
        }
        data->labels[row] = cm_random_unit(&random) < 1.0 / (1.0 + exp(-z));
    }
    float found_w[6];
    const struct classifier_fit found = fit(6, MAX_ROWS, 1e-9, found_w);
    assert_true(found.has_converged && found.n_steps < 15);
    for (int i = 0; i < 5; i++)
        if (!(fabs((double)found_w[i] - w[i]) * scale[i] < 0.12))
            fail_msg("w[%d] %g, not %g", i, (double)found_w[i], w[i]);
    assert_true(found_w[5] == 0.0f);
    assert_true(found.objective < log(2.0));
}

/* A plane parts the labels: without a ridge there is no minimum. */
static void separable(void **state)
{
    (void)state;
    struct random random = cm_random(42);
    float         w[2];
    for (int row = 0; row < 400; row++) {
        data->labels[row] = row % 5 == 0;
        data->x[row][0] = cm_random_normal(&random);
        data->x[row][1] = (float)cm_random_unit(&random) + (data->labels[row] ? 1.1f : -1.1f);
    }
    double last = INFINITY;
    for (double ridge = 1.0; ridge > 1e-7; ridge *= 0.1) {
        const struct classifier_fit found = fit(2, 400, ridge, w);
        assert_true(found.has_converged);
        assert_true(found.objective < last);
        assert_true(isfinite(w[0]) && isfinite(w[1]) && isfinite(found.bias));
        last = found.objective;
        if (ridge > 1e-2) continue;
        for (int row = 0; row < 400; row++) {
            const float z = w[0] * data->x[row][0] + w[1] * data->x[row][1] + found.bias;
            assert_int_equal(z > 0.0f, data->labels[row]);
        }
    }
}

static void faults(void **state)
{
    (void)state;
    struct calmoe_context ctx = {.log = NULL};
    float                 w[2];
    struct classifier_fit out = {.weights = w};
    struct labelled_rows  rows = {2, 10, read_rows, data};
    memset(data, 0, sizeof *data);
    data->n_features = 2;
    assert_int_equal(cm_fit_classifier(&ctx, &rows, 1e-3, &out), CALMOE_INVALID_ARGUMENT);
    assert_string_equal(ctx.message, "all 10 labels are 0; a classifier needs both kinds");
    data->labels[3] = 1;
    data->x[7][1] = NAN;
    assert_int_equal(cm_fit_classifier(&ctx, &rows, 1e-3, &out), CALMOE_INVALID_ARGUMENT);
    assert_string_equal(ctx.message, "row 7: feature 1: found nan, wanted a finite number");
    data->x[7][1] = 0.0f;
    assert_int_equal(cm_fit_classifier(&ctx, &rows, 0.0, &out), CALMOE_INVALID_ARGUMENT);
    assert_int_equal(cm_fit_classifier(&ctx, &rows, 1e-3, &out), CALMOE_OK); /* all features 0: it knows nothing */
    assert_true(out.has_converged && fabs(out.objective - log(2.0)) < 1e-9 && fabsf(out.bias) < 1e-6f);
    rows.n = 0;
    assert_int_equal(cm_fit_classifier(&ctx, &rows, 1e-3, &out), CALMOE_INVALID_ARGUMENT);
    rows.n = 10;
    for (long nth = 1; nth <= 10; nth++) {
        cm_fail_request(nth);
        assert_int_equal(cm_fit_classifier(&ctx, &rows, 1e-3, &out), CALMOE_NO_MEMORY);
        assert_int_equal(cm_live_blocks(), 0);
    }
    cm_fail_request(0);
}

static int open_data(void **state)
{
    (void)state;
    data = calloc(1, sizeof *data);
    return data ? 0 : -1;
}

static int close_data(void **state)
{
    (void)state;
    free(data);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(closed_form), cmocka_unit_test(known_classifier), cmocka_unit_test(separable),
        cmocka_unit_test(faults),
    };
    return cmocka_run_group_tests(tests, open_data, close_data);
}
