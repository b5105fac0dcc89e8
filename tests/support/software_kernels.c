/* software_kernels.c - a row for each AMX kernel on software tiles. */
#include <stddef.h>

#include "tests/support/software_tiles.h"

#if defined(CALMOE_HAS_SOFTWARE_AMX)
#define SOFTWARE_KERNELS(X)                                                                        \
    X(q4_0, Q4_0) X(q4_1, Q4_1) X(q5_0, Q5_0) X(q5_1, Q5_1) X(q8_0, Q8_0) X(q2_k, Q2_K)            \
    X(q3_k, Q3_K) X(q4_k, Q4_K) X(q5_k, Q5_K) X(q6_k, Q6_K) X(iq4_nl, IQ4_NL) X(iq4_xs, IQ4_XS)    \
    X(mxfp4, MXFP4) X(iq1_s, IQ1_S) X(iq1_m, IQ1_M) X(iq2_xxs, IQ2_XXS) X(iq2_xs, IQ2_XS)          \
    X(iq2_s, IQ2_S) X(iq3_xxs, IQ3_XXS) X(iq3_s, IQ3_S) X(tq1_0, TQ1_0) X(tq2_0, TQ2_0)

#define DECLARE(type, TYPE)                                                                              \
    void cm_linear_##type##_software_amx(const struct matrix *matrix, int row_begin, int row_end,        \
                                         const struct activations *x, const int32_t *which,              \
                                         int n_tokens, float *y, size_t y_stride);
SOFTWARE_KERNELS(DECLARE)

#define ROW(type, TYPE) \
    { "linear_" #type "_amx (software tiles)", WEIGHT_##TYPE, ISA_AVX512VNNI, 16, NULL, NULL, \
      cm_linear_##type##_software_amx },
static struct linear_kernel kernels[] = { SOFTWARE_KERNELS(ROW) };

enum { N_KERNELS = sizeof kernels / sizeof kernels[0] };

const struct linear_kernel *cm_software_kernel_at(int i)
{
    if (i < 0 || i >= N_KERNELS) return NULL;
    const struct linear_kernel *native = cm_linear_kernel(kernels[i].type, ISA_AMX);
    kernels[i].packed_bytes = native->packed_bytes;
    kernels[i].pack = native->pack;
    return &kernels[i];
}
#else
const struct linear_kernel *cm_software_kernel_at(int i)
{
    (void)i;
    return NULL;
}
#endif
