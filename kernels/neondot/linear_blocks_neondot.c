/* linear_blocks_neondot.c - kernels/linear_blocks_body.h with NEON's dot product of bytes. */
#include "kernels/neon/linear_lanes_neon.h"

#include "kernels/linear_blocks_body.h"
