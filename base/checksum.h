/* base/checksum.h - a 64-bit checksum of a block of bytes, computed as fast as memory can be read. It detects
 * accidental damage, but not deliberate changes (sha256.h is for these). */
#ifndef BASE_CHECKSUM_H
#define BASE_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

/* The block is divided into little-endian words of 8 bytes, the last one padded with zeros. The words go to four lanes
 * in turn. Lane i starts with h = i and does h = rotate_left((h ^ word) * P, 29) for each of its words; then the lanes
 * are folded in the same way into n_bytes. P is odd, so a change of a single word always changes the result. */
uint64_t cm_checksum(const void *bytes, size_t n_bytes);

#endif
