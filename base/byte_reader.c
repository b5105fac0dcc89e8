/* byte_reader.c - bounded little-endian reads. */
#include "base/byte_reader.h"

#include <string.h>

struct byte_reader cm_reader(const void *bytes, size_t n_bytes)
{
    static const uint8_t nothing[1]; /* so that pointers are valid in an empty reader too */
    const uint8_t *begin = bytes ? bytes : nothing;
    return (struct byte_reader){.begin = begin, .at = begin, .end = begin + (bytes ? n_bytes : 0)};
}

size_t cm_reader_left(const struct byte_reader *reader)
{
    return reader->failed ? 0 : (size_t)(reader->end - reader->at);
}

size_t cm_reader_position(const struct byte_reader *reader)
{
    return (size_t)(reader->at - reader->begin);
}

const uint8_t *cm_read_bytes(struct byte_reader *reader, uint64_t n_bytes)
{
    if (reader->failed || n_bytes > cm_reader_left(reader)) {
        reader->failed = true;
        return NULL;
    }
    const uint8_t *bytes = reader->at;
    reader->at += n_bytes;
    return bytes;
}

static uint64_t read_little_endian(struct byte_reader *reader, int n_bytes)
{
    const uint8_t *bytes = cm_read_bytes(reader, (uint64_t)n_bytes);
    uint64_t       value = 0;
    if (bytes)
        for (int at = n_bytes - 1; at >= 0; at--) value = value << 8 | bytes[at];
    return value;
}

uint8_t cm_read_u8(struct byte_reader *reader)
{
    return (uint8_t)read_little_endian(reader, 1);
}

uint16_t cm_read_u16(struct byte_reader *reader)
{
    return (uint16_t)read_little_endian(reader, 2);
}

uint32_t cm_read_u32(struct byte_reader *reader)
{
    return (uint32_t)read_little_endian(reader, 4);
}

uint64_t cm_read_u64(struct byte_reader *reader)
{
    return read_little_endian(reader, 8);
}

float cm_read_f32(struct byte_reader *reader)
{
    const uint32_t bits = cm_read_u32(reader);
    float          value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

double cm_read_f64(struct byte_reader *reader)
{
    const uint64_t bits = cm_read_u64(reader);
    double         value;
    memcpy(&value, &bits, sizeof value);
    return value;
}
