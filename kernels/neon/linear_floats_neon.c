/* linear_floats_neon.c - kernels/linear_floats_body.h with NEON. */
#include "kernels/neon/linear_lanes_neon.h"

#include "kernels/linear_floats_body.h"
