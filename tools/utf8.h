/* tools/utf8.h - recognises UTF-8 characters. JSON must be valid UTF-8, but tokens of a model may end inside a
 * character; so code that writes JSON checks each character. */
#ifndef TOOLS_UTF8_H
#define TOOLS_UTF8_H

#include <stddef.h>

/* The number of bytes, 1 to 4, of the character that begins at text[0 .. n); 0 if no UTF-8 character begins there:
 * because of an overlong form, half of a surrogate pair, a number above U+10FFFF, or a character that the end of the
 * text cuts off. */
size_t cm_utf8_length(const unsigned char *text, size_t n);

#endif
