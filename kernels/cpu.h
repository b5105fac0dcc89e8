/* kernels/cpu.h - which instruction sets can be used on this machine. They are grouped into named levels, each of which
 * the CPU *and* the operating system must support. The level is chosen at run time, never at build time. */
#ifndef KERNELS_CPU_H
#define KERNELS_CPU_H

#include <stdbool.h>

enum isa { /* ascending: each level includes the lower ones of its architecture, but AVX-512 VNNI may lack AVX-VNNI */
    ISA_REF,        /* plain C                                        */
    ISA_NEON,       /* 64-bit Arm: NEON, which all have               */
    ISA_NEONDOT,    /* and its dot product of bytes (FEAT_DotProd)    */
    ISA_AVX2,       /* AVX2, FMA, F16C, BMI2                          */
    ISA_AVXVNNI,    /* AVX-VNNI: the dot product of bytes, 256 bits   */
    ISA_AVX512VNNI, /* AVX-512 F, BW, DQ, VL, VNNI                    */
    ISA_AMX,        /* AMX TILE, INT8, BF16; the system must permit them */
    ISA_COUNT
};

const char *cm_isa_name(enum isa isa); /* "ref", "avx2", … "amx" */
bool        cm_isa_of_name(const char *name, enum isa *out);
bool        cm_isa_is_supported(enum isa isa); /* by CPU, system and this build */
enum isa    cm_isa_best(void);                 /* the highest supported one     */

#endif
