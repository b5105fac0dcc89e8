/* cpu.c - finds the instruction set levels of this machine. A level needs the CPU's instructions and an
 * operating system that saves the registers (XCR0).
 *
 * The environment variable CALMOE_ISA (ref, avx2, avx512vnni) caps the level, as if the machine were
 * older; other values are ignored. */
#include "kernels/cpu.h"

#include <stdlib.h>
#include <string.h>

static const char *const names[ISA_COUNT] = {
    [ISA_REF] = "ref",
    [ISA_AVX2] = "avx2",
    [ISA_AVX512VNNI] = "avx512vnni",
};

#if defined(__x86_64__)
#include <cpuid.h>
#include <stdatomic.h>
#include <stdint.h>

enum { /* XCR0: which registers the system saves */
    SAVES_YMM = 1 << 1 | 1 << 2,                         /* SSE and AVX state            */
    SAVES_ZMM = SAVES_YMM | 1 << 5 | 1 << 6 | 1 << 7     /* and masks, zmm0-15, zmm16-31 */
};
enum { /* CPUID leaf 1, ECX */
    HAS_FMA = 1 << 12, HAS_OSXSAVE = 1 << 27, HAS_AVX = 1 << 28, HAS_F16C = 1 << 29
};
enum { /* CPUID leaf 7, EBX and ECX */
    HAS_AVX2 = 1 << 5, HAS_BMI2 = 1 << 8,
    HAS_AVX512F = 1 << 16, HAS_AVX512DQ = 1 << 17, HAS_AVX512BW = 1 << 30,
    HAS_AVX512VNNI = 1 << 11 /* ECX */
};
static const uint32_t HAS_AVX512VL = 1u << 31;

static bool has_all(uint32_t bits, uint32_t wanted)
{
    return (bits & wanted) == wanted;
}

static uint32_t saved_registers(void)
{
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

static enum isa detect(void)
{
    uint32_t a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d)) return ISA_REF;
    if (!has_all(c, HAS_OSXSAVE | HAS_AVX | HAS_FMA | HAS_F16C)) return ISA_REF;
    const uint32_t saved = saved_registers();
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return ISA_REF;
    if (!has_all(saved, SAVES_YMM) || !has_all(b, HAS_AVX2 | HAS_BMI2)) return ISA_REF;
    if (!has_all(saved, SAVES_ZMM)) return ISA_AVX2;
    if (!has_all(b, HAS_AVX512F | HAS_AVX512DQ | HAS_AVX512BW | HAS_AVX512VL)) return ISA_AVX2;
    return has_all(c, HAS_AVX512VNNI) ? ISA_AVX512VNNI : ISA_AVX2;
}

/* CPUID is slow under a hypervisor: asked once. Two threads that both ask write the same answer. */
static enum isa machine_level(void)
{
    static atomic_int known = -1;
    int level = atomic_load_explicit(&known, memory_order_relaxed);
    if (level < 0) {
        level = (int)detect();
        atomic_store_explicit(&known, level, memory_order_relaxed);
    }
    return (enum isa)level;
}
#else
static enum isa machine_level(void)
{
    return ISA_REF;
}
#endif

const char *cm_isa_name(enum isa isa)
{
    return names[isa];
}

bool cm_isa_of_name(const char *name, enum isa *out)
{
    for (int isa = 0; isa < ISA_COUNT; isa++) {
        if (strcmp(names[isa], name) != 0) continue;
        *out = (enum isa)isa;
        return true;
    }
    return false;
}

enum isa cm_isa_best(void)
{
    const char    *wanted = getenv("CALMOE_ISA");
    const enum isa machine = machine_level();
    enum isa       cap;
    if (wanted != NULL && cm_isa_of_name(wanted, &cap) && cap < machine) return cap;
    return machine;
}

bool cm_isa_is_supported(enum isa isa)
{
    return isa <= cm_isa_best();
}
