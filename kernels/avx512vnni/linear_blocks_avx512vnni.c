/* linear_blocks_avx512vnni.c - kernels/linear_blocks_body.h with AVX-512 VNNI. */
#include "kernels/avx512vnni/linear_lanes_avx512vnni.h"

#include "kernels/linear_blocks_body.h"
