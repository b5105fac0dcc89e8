/* tools/utf8.h - which bytes are a character. JSON must be valid UTF-8, but tokens of a model may end inside a
 * character; so whoever writes JSON looks at each one. */
#ifndef TOOLS_UTF8_H
#define TOOLS_UTF8_H

#include <stddef.h>

/* The number of bytes, 1 to 4, of the character that begins at text[0 .. n). It is 0 where no character of UTF-8 begins
 * there: an overlong form, half of a surrogate pair, a number beyond U+10FFFF, or one that the text's end cuts off. */
size_t cm_utf8_length(const unsigned char *text, size_t n);

#endif
