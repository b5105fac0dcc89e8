/* base/checksum.c - see checksum.h. */
#include "base/checksum.h"

#include <string.h>

enum { LANES = 4 };

static uint64_t take(uint64_t h, uint64_t word)
{
    const uint64_t product = (h ^ word) * UINT64_C(0x9E3779B97F4A7C15);
    return product << 29 | product >> 35;
}

static uint64_t word_at(const uint8_t *bytes, size_t n)
{
    uint8_t  filled[8] = {0};
    uint64_t word = 0;
    memcpy(filled, bytes, n);
    for (int i = 7; i >= 0; i--) word = word << 8 | filled[i];
    return word;
}

uint64_t cm_checksum(const void *bytes, size_t n_bytes)
{
    const uint8_t *at = bytes;
    uint64_t       lanes[LANES] = {0, 1, 2, 3}, h = n_bytes;
    size_t         left = n_bytes;
    for (; left >= 8 * LANES; at += 8 * LANES, left -= 8 * LANES)
        for (int i = 0; i < LANES; i++) lanes[i] = take(lanes[i], word_at(at + 8 * i, 8));
    for (int i = 0; left > 0; i++) {
        const size_t n = left < 8 ? left : 8;
        lanes[i] = take(lanes[i], word_at(at, n));
        at += n;
        left -= n;
    }
    for (int i = 0; i < LANES; i++) h = take(h, lanes[i]);
    return h;
}
