/* linear_superblocks_avx2.c - kernels/linear_superblocks_body.h with AVX2. */
#include "kernels/avx2/linear_lanes_avx2.h"

#include "kernels/linear_superblocks_body.h"
