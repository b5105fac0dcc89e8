/* test_blas.c - the linear algebra door against loops, and on matrices whose answers are known. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <math.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "base/random.h"
#include "kernels/blas.h"

enum { ROWS = 13, A = 7, B = 5 };

static void fill(struct random *random, double *x, int n)
{
    for (int i = 0; i < n; i++) x[i] = (double)cm_random_normal(random);
}

static void near(double found, double wanted)
{
    if (!(fabs(found - wanted) <= 1e-10 * fmax(1.0, fabs(wanted)))) fail_msg("%.17g, not %.17g", found, wanted);
}

static void products(void **state)
{
    (void)state;
    struct random random = cm_random(1);
    double a[ROWS * A], b[ROWS * B], gram[A * A], product[A * B], outer[ROWS * ROWS];
    fill(&random, a, ROWS * A);
    fill(&random, b, ROWS * B);
    for (int i = 0; i < A * A; i++) gram[i] = 100.0 + i;
    for (int i = 0; i < A * B; i++) product[i] = -i;
    cm_blas_add_gram(ROWS, A, a, gram);
    cm_blas_add_product(ROWS, A, B, a, b, product);
    for (int i = 0; i < A; i++) {
        for (int j = 0; j < A; j++) {
            double sum = 100.0 + i * A + j;
            for (int row = 0; row < ROWS && j >= i; row++) sum += a[row * A + i] * a[row * A + j];
            near(gram[i * A + j], sum); /* below the diagonal it is as it was */
        }
        for (int j = 0; j < B; j++) {
            double sum = -(i * B + j);
            for (int row = 0; row < ROWS; row++) sum += a[row * A + i] * b[row * B + j];
            near(product[i * B + j], sum);
        }
    }
    cm_blas_multiply_transposed(ROWS, A, ROWS, a, a, outer);
    for (int i = 0; i < ROWS; i++)
        for (int j = 0; j < ROWS; j++) {
            double sum = 0.0;
            for (int k = 0; k < A; k++) sum += a[i * A + k] * a[j * A + k];
            near(outer[i * ROWS + j], sum);
        }
}

static void solutions(void **state)
{
    (void)state;
    struct random random = cm_random(2);
    double rows[ROWS * A], gram[A * A] = {0}, wanted[A * B], right[A * B] = {0}, copy[A * B];
    fill(&random, rows, ROWS * A);
    fill(&random, wanted, A * B);
    cm_blas_add_gram(ROWS, A, rows, gram);
    for (int i = 0; i < A; i++)
        for (int j = 0; j < B; j++)
            for (int k = 0; k < A; k++) right[i * B + j] += gram[k < i ? k * A + i : i * A + k] * wanted[k * B + j];
    memcpy(copy, right, sizeof copy);
    assert_true(cm_blas_solve(A, gram, B, right));
    for (int i = 0; i < A * B; i++) near(right[i], wanted[i]);
    double indefinite[] = {1.0, 2.0, 0.0, 1.0}, two[] = {5.0, 6.0};
    assert_false(cm_blas_solve(2, indefinite, 1, two));
    assert_true(two[0] == 5.0 && two[1] == 6.0);
}

/* a = sum over i of lambda_i v_i v_i', v orthonormal by Gram-Schmidt */
static void eigenvectors(void **state)
{
    (void)state;
    const double  lambda[A] = {9.0, 4.0, 2.5, 1.0, 0.25, 0.0, -3.0};
    struct random random = cm_random(3);
    double v[A * A], a[A * A] = {0}, values[A], vectors[A * A];
    fill(&random, v, A * A);
    for (int i = 0; i < A; i++) {
        double length = 0.0;
        for (int j = 0; j < i; j++) {
            double dot = 0.0;
            for (int k = 0; k < A; k++) dot += v[i * A + k] * v[j * A + k];
            for (int k = 0; k < A; k++) v[i * A + k] -= dot * v[j * A + k];
        }
        for (int k = 0; k < A; k++) length += v[i * A + k] * v[i * A + k];
        for (int k = 0; k < A; k++) v[i * A + k] /= sqrt(length);
    }
    for (int i = 0; i < A * A; i++)
        for (int k = 0; k < A && i % A >= i / A; k++) a[i] += lambda[k] * v[k * A + i / A] * v[k * A + i % A];
    for (int i = 0; i < A * A; i++)
        if (i % A < i / A) a[i] = 777.0; /* the lower triangle is not read */
    void *work = cm_alloc(NULL, cm_blas_eigen_bytes(A), 1, "work");
    double copy[A * A];
    for (int n = 1; n <= A; n++) {
        memcpy(copy, a, sizeof copy);
        assert_true(cm_blas_eigen(A, copy, n, values, vectors, work));
        for (int i = 0; i < n; i++) {
            double dot = 0.0;
            for (int k = 0; k < A; k++) dot += vectors[i * A + k] * v[i * A + k];
            assert_true(fabs(values[i] - lambda[i]) < 1e-12);
            near(fabs(dot), 1.0);
        }
    }
    a[3] = (double)NAN;
    assert_false(cm_blas_eigen(A, a, 2, values, vectors, work));
    cm_free(work);
}

int main(void)
{
    if (cm_blas_open(NULL) != CALMOE_OK) return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products),
        cmocka_unit_test(solutions),
        cmocka_unit_test(eigenvectors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
