/* kernels/vector_ops.c - one row of ops for each instruction set. */
#include "kernels/vector_ops.h"

#include <stddef.h>

extern const struct vector_ops cm_vector_ops_ref;
#if defined(__x86_64__)
extern const struct vector_ops cm_vector_ops_avx2, cm_vector_ops_avx512vnni;
#endif

static const struct vector_ops *const rows[ISA_COUNT] = {
    [ISA_REF] = &cm_vector_ops_ref,
#if defined(__x86_64__)
    [ISA_AVX2] = &cm_vector_ops_avx2,
    [ISA_AVXVNNI] = &cm_vector_ops_avx2, /* its dot product is for matrices only */
    [ISA_AVX512VNNI] = &cm_vector_ops_avx512vnni,
    [ISA_AMX] = &cm_vector_ops_avx512vnni, /* tiles are for matrices only */
#endif
};

const struct vector_ops *cm_vector_ops(enum isa isa) { return rows[isa]; }
