/* cpu.c - finds the instruction set levels of this machine. A level needs the CPU's instructions and an
 * operating system that saves the registers (XCR0).
 *
 * Level amx needs one thing more: Linux lets a process use tiles only if it asks (arch_prctl). The permission
 * is the process's, for all its threads, older ones too; children inherit it by fork, exec clears it. A system that
 * refuses (an old kernel, a filter, a thread whose alternate signal stack is too small for tiles) has no
 * level amx. It is asked for when the level first matters, and not where CALMOE_ISA caps lower.
 *
 * The environment variable CALMOE_ISA (ref; avx2, avxvnni, avx512vnni, amx; neon, neondot) caps the level, as if the
 * machine were older; other values, and those of another architecture, are ignored. */
#include "kernels/cpu.h"

#include <stdlib.h>
#include <string.h>

static const char *const names[ISA_COUNT] = {
    [ISA_REF] = "ref",
    [ISA_NEON] = "neon",
    [ISA_NEONDOT] = "neondot",
    [ISA_AVX2] = "avx2",
    [ISA_AVXVNNI] = "avxvnni",
    [ISA_AVX512VNNI] = "avx512vnni",
    [ISA_AMX] = "amx",
};

#if defined(__x86_64__)
#include <cpuid.h>
#include <stdatomic.h>
#include <stdint.h>
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

enum { /* XCR0: which registers the system saves */
    SAVES_YMM = 1 << 1 | 1 << 2,                       /* SSE and AVX state                 */
    SAVES_ZMM = SAVES_YMM | 1 << 5 | 1 << 6 | 1 << 7,  /* and masks, zmm0-15, zmm16-31      */
    SAVES_TILES = 1 << 17 | 1 << 18                    /* AMX: tiles' configuration, data   */
};
enum { /* CPUID leaf 1, ECX */
    HAS_FMA = 1 << 12, HAS_OSXSAVE = 1 << 27, HAS_AVX = 1 << 28, HAS_F16C = 1 << 29
};
enum { /* CPUID leaf 7, EBX, ECX and EDX */
    HAS_AVX2 = 1 << 5, HAS_BMI2 = 1 << 8,
    HAS_AVX512F = 1 << 16, HAS_AVX512DQ = 1 << 17, HAS_AVX512BW = 1 << 30,
    HAS_AVX512VNNI = 1 << 11,                        /* ECX */
    HAS_AMX_BF16 = 1 << 22, HAS_AMX_TILE = 1 << 24, HAS_AMX_INT8 = 1 << 25 /* EDX */
};
enum { LEAF_TILES = 0x1d, LEAF_TILE_PRODUCTS = 0x1e };
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

/* Tiles as the kernels know them: palette 1 has 8 of 16 rows of 64 bytes, and products take them whole. */
static bool has_known_tiles(void)
{
    uint32_t a, b, c, d;
    if (!__get_cpuid_count(LEAF_TILES, 0, &a, &b, &c, &d) || a < 1) return false;
    if (!__get_cpuid_count(LEAF_TILES, 1, &a, &b, &c, &d)) return false;
    if (a >> 16 < 1024 || (b & 0xffff) < 64 || b >> 16 < 8 || (c & 0xffff) < 16) return false;
    if (!__get_cpuid_count(LEAF_TILE_PRODUCTS, 0, &a, &b, &c, &d)) return false;
    return (b & 0xff) >= 16 && (b >> 8 & 0xffff) >= 64;
}

static bool ask_for_tiles(void)
{
#if defined(__linux__) && defined(SYS_arch_prctl)
    enum { GET_PERMITTED = 0x1022, REQUEST_PERMISSION = 0x1023, TILE_DATA = 18 };
    uint64_t permitted = 0;
    return syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0 &&
           syscall(SYS_arch_prctl, GET_PERMITTED, &permitted) == 0 && (permitted & SAVES_TILES) == SAVES_TILES;
#else
    return false;
#endif
}

static bool detect_avxvnni(void)
{
    enum { HAS_AVXVNNI = 1 << 4 }; /* leaf 7, 1: EAX */
    uint32_t a, b, c, d;
    return __get_cpuid_count(7, 1, &a, &b, &c, &d) && has_all(a, HAS_AVXVNNI);
}

static enum isa detect(void)
{
    uint32_t a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d)) return ISA_REF;
    if (!has_all(c, HAS_OSXSAVE | HAS_AVX | HAS_FMA | HAS_F16C)) return ISA_REF;
    const uint32_t saved = saved_registers();
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return ISA_REF;
    if (!has_all(saved, SAVES_YMM) || !has_all(b, HAS_AVX2 | HAS_BMI2)) return ISA_REF;
    const enum isa narrow = detect_avxvnni() ? ISA_AVXVNNI : ISA_AVX2;
    if (!has_all(saved, SAVES_ZMM)) return narrow;
    if (!has_all(b, HAS_AVX512F | HAS_AVX512DQ | HAS_AVX512BW | HAS_AVX512VL)) return narrow;
    if (!has_all(c, HAS_AVX512VNNI)) return narrow;
    const bool has_amx = has_all(d, HAS_AMX_TILE | HAS_AMX_INT8 | HAS_AMX_BF16);
    return has_amx && has_all(saved, SAVES_TILES) && has_known_tiles() ? ISA_AMX : ISA_AVX512VNNI;
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

/* Whether a machine of a higher level has AVX-VNNI. */
static bool machine_has_avxvnni(void)
{
    static atomic_int known = -1;
    int answer = atomic_load_explicit(&known, memory_order_relaxed);
    if (answer < 0) {
        answer = machine_level() >= ISA_AVX2 && detect_avxvnni();
        atomic_store_explicit(&known, answer, memory_order_relaxed);
    }
    return answer;
}

/* Asked once, too; to ask again would do no harm. */
static bool tiles_are_permitted(void)
{
    static atomic_int known = -1;
    int answer = atomic_load_explicit(&known, memory_order_relaxed);
    if (answer < 0) {
        answer = ask_for_tiles();
        atomic_store_explicit(&known, answer, memory_order_relaxed);
    }
    return answer;
}
#else
#if defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>

static enum isa machine_level(void)
{
    enum { HAS_DOT_PRODUCT = 1 << 20 }; /* HWCAP_ASIMDDP */
    return (getauxval(AT_HWCAP) & HAS_DOT_PRODUCT) != 0 ? ISA_NEONDOT : ISA_NEON;
}
#elif defined(__aarch64__)
static enum isa machine_level(void)
{
    return ISA_NEON;
}
#else
static enum isa machine_level(void)
{
    return ISA_REF;
}
#endif

static bool machine_has_avxvnni(void)
{
    return false;
}

static bool tiles_are_permitted(void)
{
    return false;
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

/* Whether this build's architecture has such a level. */
static bool is_known_here(enum isa isa)
{
#if defined(__x86_64__)
    return isa == ISA_REF || isa >= ISA_AVX2;
#elif defined(__aarch64__)
    return isa <= ISA_NEONDOT;
#else
    return isa == ISA_REF;
#endif
}

enum isa cm_isa_best(void)
{
    const char *wanted = getenv("CALMOE_ISA");
    enum isa    level = machine_level(), cap;
    if (wanted != NULL && cm_isa_of_name(wanted, &cap) && cap < level && is_known_here(cap)) level = cap;
    if (level == ISA_AMX && !tiles_are_permitted()) return ISA_AVX512VNNI;
    return level == ISA_AVXVNNI && !machine_has_avxvnni() ? ISA_AVX2 : level;
}

bool cm_isa_is_supported(enum isa isa)
{
    return isa <= cm_isa_best() && is_known_here(isa) && (isa != ISA_AVXVNNI || machine_has_avxvnni());
}
