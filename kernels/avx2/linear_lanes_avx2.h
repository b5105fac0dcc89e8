/* linear_lanes_avx2.h - the vectors of the matrix kernels with AVX2: 8 lanes, so half of a tile's rows. */
#ifndef KERNELS_AVX2_LINEAR_LANES_H
#define KERNELS_AVX2_LINEAR_LANES_H

#include "kernels/tile16.h"

#define CM_LEVEL avx2
#define CM_HAS_DOT4 0
#include "kernels/avx2/linear_lanes256.h"

CM_INLINE vi vi_dot2(vi sum, vi a, vi b) { return _mm256_add_epi32(sum, _mm256_madd_epi16(a, b)); }

#endif
