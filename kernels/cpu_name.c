/* cpu_name.c - see cpu_name.h. */
#include "kernels/cpu_name.h"

#include <stdbool.h>
#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>

/* CPUID leaves 0x80000002 … 4: 16 bytes of text each. */
static void read_brand(char brand[49])
{
    unsigned words[12], a, b, c, d;
    memset(brand, 0, 49);
    if (!__get_cpuid(0x80000000u, &a, &b, &c, &d) || a < 0x80000004u) return;
    for (unsigned i = 0; i < 3; i++)
        __get_cpuid(0x80000002u + i, &words[4 * i], &words[4 * i + 1], &words[4 * i + 2], &words[4 * i + 3]);
    memcpy(brand, words, sizeof words);
}

/* CPUID leaf 0: 4 bytes of text in EBX, EDX and ECX. */
void cm_cpu_vendor(char vendor[CM_CPU_VENDOR_SIZE])
{
    unsigned highest, words[3] = { 0 };
    __get_cpuid(0, &highest, &words[0], &words[2], &words[1]);
    memcpy(vendor, words, sizeof words);
    vendor[sizeof words] = '\0';
}
#else
void cm_cpu_vendor(char vendor[CM_CPU_VENDOR_SIZE])
{
    vendor[0] = '\0';
}

static void read_brand(char brand[49])
{
    memset(brand, 0, 49);
}
#endif

void cm_cpu_name(char *text, size_t n_text)
{
    char   brand[49];
    size_t n = 0;
    read_brand(brand);
    for (const char *at = brand; *at != '\0' && n + 1 < n_text; at++) {
        const bool is_blank = *at <= ' ' || *at > '~';
        if (is_blank && (n == 0 || text[n - 1] == ' ')) continue;
        text[n++] = is_blank ? ' ' : *at;
    }
    while (n > 0 && text[n - 1] == ' ') n--;
    if (n_text > 0) text[n] = '\0';
}
