/* kernels/ref/peak_ref.c - plain C has no instruction of its own whose rate would be a limit; it can read. */
#include <string.h>

#include "kernels/peak.h"

static uint64_t read_bytes(const void *bytes, size_t n_bytes)
{
    const uint8_t *at = bytes;
    uint64_t       sums[8] = {0};
    for (size_t i = 0; i < n_bytes; i += 64) {
        uint64_t words[8];
        memcpy(words, at + i, sizeof words);
        for (int lane = 0; lane < 8; lane++) sums[lane] += words[lane];
    }
    uint64_t sum = 0;
    for (int lane = 0; lane < 8; lane++) sum += sums[lane];
    return sum;
}

extern const struct peak_row cm_peak_row_ref;
const struct peak_row cm_peak_row_ref = {.isa = ISA_REF, .read = read_bytes};
