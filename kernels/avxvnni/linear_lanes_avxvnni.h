/* linear_lanes_avxvnni.h - the vectors of the matrix kernels with AVX-VNNI: AVX2's, and the dot product of
 * four bytes.
 *
 * AVX-512 has the same instruction on the same registers in another encoding. If the compiler may not use AVX-VNNI,
 * that encoding is used, and the kernels are called ..._avxvnni_evex. kernelcheck compiles them in this way, to check
 * these bodies on machines without AVX-VNNI. */
#ifndef KERNELS_AVXVNNI_LINEAR_LANES_H
#define KERNELS_AVXVNNI_LINEAR_LANES_H

#define CM_HAS_DOT4 1
#include "kernels/avx2/linear_lanes256.h"

#if defined(__AVXVNNI__)
#define CM_LEVEL avxvnni
CM_INLINE vi vi_dot4(vi sum, vi u, vi q) { return _mm256_dpbusd_avx_epi32(sum, u, q); }
CM_INLINE vi vi_dot2(vi sum, vi a, vi b) { return _mm256_dpwssd_avx_epi32(sum, a, b); }
#else
#define CM_LEVEL avxvnni_evex
CM_INLINE vi vi_dot4(vi sum, vi u, vi q) { return _mm256_dpbusd_epi32(sum, u, q); }
CM_INLINE vi vi_dot2(vi sum, vi a, vi b) { return _mm256_dpwssd_epi32(sum, a, b); }
#endif

#endif
