/* kernels/peak.h - measures what an instruction set can do at best on one core, with loops that stay in registers, and
 * a loop that only reads memory. The speeds of kernels are compared with these. */
#ifndef KERNELS_PEAK_H
#define KERNELS_PEAK_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/cpu.h"

/* Runs a loop of `rounds` rounds and returns the number of operations; a multiply-add counts as 2. */
typedef double (*cm_peak_loop)(uint64_t rounds);

struct peak_row {
    enum isa     isa;
    cm_peak_loop int8; /* products of bytes, summed to int32; NULL = the level has no such instruction */
    cm_peak_loop f32;  /* float32 fused multiply-adds                                                  */
    cm_peak_loop bf16; /* products of bfloat16, summed to float32                                      */
    /* Reads n_bytes (a multiple of 4096, 64-byte aligned) in ascending order, with the widest loads of the level. The
     * result depends on every byte, so that no read can be optimised away. */
    uint64_t (*read)(const void *bytes, size_t n_bytes);
};

#if defined(__x86_64__)
/* What a level adopts from the one below. */
double   cm_peak_f32_avx2(uint64_t rounds);
double   cm_peak_f32_avx512vnni(uint64_t rounds);
uint64_t cm_peak_read_avx2(const void *bytes, size_t n_bytes);
uint64_t cm_peak_read_avx512vnni(const void *bytes, size_t n_bytes);
#elif defined(__aarch64__)
double   cm_peak_f32_neon(uint64_t rounds);
uint64_t cm_peak_read_neon(const void *bytes, size_t n_bytes);
#endif

/* NULL if this build does not have the level. */
const struct peak_row *cm_peak_row(enum isa isa);

#endif
