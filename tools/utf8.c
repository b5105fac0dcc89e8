/* tools/utf8.c - see utf8.h. */
#include "tools/utf8.h"

size_t cm_utf8_length(const unsigned char *text, size_t n)
{
    const unsigned char first = text[0];
    const size_t length = first < 0x80 ? 1 : first < 0xC2 ? 0 : first < 0xE0 ? 2 : first < 0xF0 ? 3
                                                            : first < 0xF5 ? 4 : 0;
    if (length == 0 || length > n) return 0;
    for (size_t i = 1; i < length; i++)
        if ((text[i] & 0xC0) != 0x80) return 0;
    if (first == 0xE0 && text[1] < 0xA0) return 0; /* overlong form */
    if (first == 0xED && text[1] > 0x9F) return 0; /* a surrogate        */
    if (first == 0xF0 && text[1] < 0x90) return 0;
    if (first == 0xF4 && text[1] > 0x8F) return 0; /* beyond U+10FFFF    */
    return length;
}
