/* utf8.c - characters in bytes. */
#include "runtime/text/utf8.h"

int cm_utf8_length(const char *text, size_t n_bytes)
{
    const unsigned char *const byte = (const unsigned char *)text;
    if (byte[0] < 0x80) return 1;
    if (byte[0] < 0xc2 || byte[0] > 0xf4) return 0;
    const size_t length = byte[0] >= 0xf0 ? 4 : byte[0] >= 0xe0 ? 3 : 2;
    /* What is overlong, a surrogate or too large shows in the second byte. */
    const unsigned char low = byte[0] == 0xe0 ? 0xa0 : byte[0] == 0xf0 ? 0x90 : 0x80;
    const unsigned char high = byte[0] == 0xed ? 0x9f : byte[0] == 0xf4 ? 0x8f : 0xbf;
    for (size_t at = 1; at < length; at++) {
        if (at == n_bytes) return -1;
        if (byte[at] < (at == 1 ? low : 0x80) || byte[at] > (at == 1 ? high : 0xbf)) return 0;
    }
    return (int)length;
}

uint32_t cm_utf8_point(const char *character, int n_bytes)
{
    const unsigned char *const byte = (const unsigned char *)character;
    if (n_bytes == 1) return byte[0];
    uint32_t point = byte[0] & (0x7fu >> n_bytes);
    for (int at = 1; at < n_bytes; at++) point = point << 6 | (byte[at] & 0x3fu);
    return point;
}

int cm_utf8_write(uint32_t point, char *out)
{
    if (point < 0x80) {
        out[0] = (char)point;
        return 1;
    }
    const int n_bytes = point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
    for (int at = n_bytes - 1; at > 0; at--) {
        out[at] = (char)(0x80 | (point & 0x3f));
        point >>= 6;
    }
    out[0] = (char)((0xf00u >> n_bytes & 0xf0u) | point);
    return n_bytes;
}

bool cm_utf8_is_white(uint32_t point)
{
    return point == ' ' || (point >= '\t' && point <= '\r') || (point >= 0x1c && point <= 0x1f) || point == 0x85 ||
           point == 0xa0 || point == 0x1680 || (point >= 0x2000 && point <= 0x200a) || point == 0x2028 ||
           point == 0x2029 || point == 0x202f || point == 0x205f || point == 0x3000;
}
