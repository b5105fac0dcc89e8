/* kernels/neon/vector_neon.c - the vector ops on NEON. */
#include "kernels/neon/vector_lanes_neon.h"
#include "kernels/vector_body.h"

extern const struct vector_ops cm_vector_ops_neon;
const struct vector_ops cm_vector_ops_neon = VECTOR_OPS(ISA_NEON);
