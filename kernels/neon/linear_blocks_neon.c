/* linear_blocks_neon.c - kernels/linear_blocks_body.h with NEON. */
#include "kernels/neon/linear_lanes_neon.h"

#include "kernels/linear_blocks_body.h"
