/* linear_blocks_avxvnni.c - kernels/linear_blocks_body.h with AVX-VNNI. */
#include "kernels/avxvnni/linear_lanes_avxvnni.h"

#include "kernels/linear_blocks_body.h"
