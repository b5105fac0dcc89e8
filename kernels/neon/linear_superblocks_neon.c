/* linear_superblocks_neon.c - kernels/linear_superblocks_body.h with NEON. */
#include "kernels/neon/linear_lanes_neon.h"

#include "kernels/linear_superblocks_body.h"
