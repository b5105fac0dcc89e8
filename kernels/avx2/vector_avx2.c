/* kernels/avx2/vector_avx2.c - the vector ops on AVX2. */
#include "kernels/avx2/vector_lanes_avx2.h"
#include "kernels/vector_body.h"

extern const struct vector_ops cm_vector_ops_avx2;
const struct vector_ops cm_vector_ops_avx2 = VECTOR_OPS(ISA_AVX2);
