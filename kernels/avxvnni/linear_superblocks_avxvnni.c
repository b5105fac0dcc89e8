/* linear_superblocks_avxvnni.c - kernels/linear_superblocks_body.h with AVX-VNNI. */
#include "kernels/avxvnni/linear_lanes_avxvnni.h"

#include "kernels/linear_superblocks_body.h"
