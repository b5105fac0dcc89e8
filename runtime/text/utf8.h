/* runtime/text/utf8.h - where characters begin and end (RFC 3629: no overlong forms, no surrogates,
 * nothing above U+10FFFF). */
#ifndef RUNTIME_TEXT_UTF8_H
#define RUNTIME_TEXT_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes of the character that text[0 .. n_bytes) begins with, 1 to 4; 0 where it begins with none;
 * -1 where all of it is the beginning of a character whose end is missing. n_bytes > 0. */
int cm_utf8_length(const char *text, size_t n_bytes);

/* The code point of a character of n_bytes bytes that cm_utf8_length() has measured. */
uint32_t cm_utf8_point(const char *character, int n_bytes);

/* Writes a code point (no surrogate, at most U+10FFFF) into out, 4 bytes at most; returns their number. */
int cm_utf8_write(uint32_t point, char *out);

/* Whether Python's str.strip() takes the point for white space. */
bool cm_utf8_is_white(uint32_t point);

#endif
