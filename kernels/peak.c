/* peak.c - the table of peak loops: a row for each instruction set. */
#include "kernels/peak.h"

extern const struct peak_row cm_peak_row_ref;
#if defined(__x86_64__)
extern const struct peak_row cm_peak_row_avx2, cm_peak_row_avxvnni, cm_peak_row_avx512vnni, cm_peak_row_amx;
#elif defined(__aarch64__)
extern const struct peak_row cm_peak_row_neon, cm_peak_row_neondot;
#endif

static const struct peak_row *const rows[] = {
    &cm_peak_row_ref,
#if defined(__x86_64__)
    &cm_peak_row_avx2,
    &cm_peak_row_avxvnni,
    &cm_peak_row_avx512vnni,
    &cm_peak_row_amx,
#elif defined(__aarch64__)
    &cm_peak_row_neon,
    &cm_peak_row_neondot,
#endif
};

const struct peak_row *cm_peak_row(enum isa isa)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i]->isa == isa) return rows[i];
    return NULL;
}
