/* kernels/peak.h - what an instruction set can do at best on one core: loops that live in registers, and a loop that
 * does nothing but read. Measured figures of kernels are put beside these. */
#ifndef KERNELS_PEAK_H
#define KERNELS_PEAK_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/cpu.h"

/* Runs a loop of `rounds` rounds and answers how many operations that was; a multiply-add counts 2. */
typedef double (*cm_peak_loop)(uint64_t rounds);

struct peak_row {
    enum isa     isa;
    cm_peak_loop int8; /* products of bytes, summed to int32; NULL = the level has no such instruction */
    cm_peak_loop f32;  /* float32 fused multiply-adds                                                  */
    cm_peak_loop bf16; /* products of bfloat16, summed to float32                                      */
    /* Reads n_bytes (a multiple of 4096, 64-byte aligned) in ascending order, as wide as the level can. The answer
     * depends on every byte, so that no read can be left out. */
    uint64_t (*read)(const void *bytes, size_t n_bytes);
};

#if defined(__x86_64__)
/* What a level takes over from the one below. */
double   cm_peak_f32_avx2(uint64_t rounds);
double   cm_peak_f32_avx512vnni(uint64_t rounds);
uint64_t cm_peak_read_avx2(const void *bytes, size_t n_bytes);
uint64_t cm_peak_read_avx512vnni(const void *bytes, size_t n_bytes);
#elif defined(__aarch64__)
double   cm_peak_f32_neon(uint64_t rounds);
uint64_t cm_peak_read_neon(const void *bytes, size_t n_bytes);
#endif

/* NULL where this build does not know the level. */
const struct peak_row *cm_peak_row(enum isa isa);

#endif
