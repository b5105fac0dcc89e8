/* base/byte_reader.h - bounded little-endian reads. Bytes of a file that have not been checked yet are read in this way
 * only.
 *
 * A read past the end returns zero and sets `failed`, which stays set; all later reads return zero too. So a row of
 * reads needs only one check, at its end. After a failure the position stays where the failing read began, and no bytes
 * are left. No byte outside [begin, end) is ever touched. */
#ifndef BASE_BYTE_READER_H
#define BASE_BYTE_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct byte_reader {
    const uint8_t *begin;
    const uint8_t *at; /* next byte */
    const uint8_t *end;
    bool           failed;
};

struct byte_reader cm_reader(const void *bytes, size_t n_bytes);
size_t   cm_reader_left(const struct byte_reader *reader);     /* bytes not yet read */
size_t   cm_reader_position(const struct byte_reader *reader); /* bytes read so far  */
uint8_t  cm_read_u8(struct byte_reader *reader);
uint16_t cm_read_u16(struct byte_reader *reader);
uint32_t cm_read_u32(struct byte_reader *reader);
uint64_t cm_read_u64(struct byte_reader *reader);
float    cm_read_f32(struct byte_reader *reader);
double   cm_read_f64(struct byte_reader *reader);
/* A pointer to the next n_bytes, which are passed over; NULL, and failed is set, if fewer are left. For 0 bytes the
 * pointer is valid too. */
const uint8_t *cm_read_bytes(struct byte_reader *reader, uint64_t n_bytes);

#endif
