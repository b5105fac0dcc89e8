/* kernels/ref/vector_ref.c - the vector ops in plain C. */
#include "kernels/ref/vector_lanes_ref.h"
#include "kernels/vector_body.h"

extern const struct vector_ops cm_vector_ops_ref;
const struct vector_ops cm_vector_ops_ref = VECTOR_OPS(ISA_REF);
