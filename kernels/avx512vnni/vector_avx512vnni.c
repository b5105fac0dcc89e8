/* kernels/avx512vnni/vector_avx512vnni.c - the vector ops on AVX-512. */
#include "kernels/avx512vnni/vector_lanes_avx512vnni.h"
#include "kernels/vector_body.h"

extern const struct vector_ops cm_vector_ops_avx512vnni;
const struct vector_ops cm_vector_ops_avx512vnni = VECTOR_OPS(ISA_AVX512VNNI);
