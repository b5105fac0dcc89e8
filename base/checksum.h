/* base/checksum.h - a 64-bit checksum of a block of bytes, as fast as memory: it finds damage, and proves nothing
 * against somebody who wants to deceive (that is what sha256.h is for). */
#ifndef BASE_CHECKSUM_H
#define BASE_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

/* Words of 8 bytes, little-endian, the last one filled up with zeros, are dealt to four lanes in turn; each lane does
 * h = rotate_left((h ^ word) * P, 29), from h = its number on, and the lanes are folded in the same way onto n_bytes. P
 * is odd, so any change of one word changes the result. */
uint64_t cm_checksum(const void *bytes, size_t n_bytes);

#endif
