/* tools/serve/json_writer.h - answers as JSON, written into bytes from left to right.
 *
 * Numbers are formatted here, so that the same answer is the same bytes everywhere; what is NaN or infinite, which JSON
 * cannot say, is told as the nearest number that it can. Text that is not UTF-8 gets U+FFFD for the bytes that are not.
 * When memory is used up `failed` is set, and nothing more is written. */
#ifndef TOOLS_SERVE_JSON_WRITER_H
#define TOOLS_SERVE_JSON_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tools/front.h"

struct json_writer { /* zeroed = empty */
    struct bytes bytes;
    bool         failed;
};

void cm_writer_close(struct json_writer *writer);

/* name: of a member of the object that is open; NULL in an array and at the top. */
void cm_write_object(struct json_writer *writer, const char *name);
void cm_write_end_object(struct json_writer *writer);
void cm_write_array(struct json_writer *writer, const char *name);
void cm_write_end_array(struct json_writer *writer);
void cm_write_text(struct json_writer *writer, const char *name, const char *text);
void cm_write_bytes(struct json_writer *writer, const char *name, const char *bytes, size_t n_bytes);
void cm_write_integer(struct json_writer *writer, const char *name, int64_t number);
void cm_write_real(struct json_writer *writer, const char *name, double number); /* 9 digits: a float to the bit */
void cm_write_bool(struct json_writer *writer, const char *name, bool value);
void cm_write_null(struct json_writer *writer, const char *name);
/* A value that is JSON already. */
void cm_write_json(struct json_writer *writer, const char *name, const char *json);

/* Whether the bytes are whole UTF-8 characters. */
bool cm_is_utf8(const char *bytes, size_t n_bytes);

/* Bytes that are no JSON: what stands between values, as "data: " and line ends. */
void cm_write_raw(struct json_writer *writer, const char *text);
void cm_write_format(struct json_writer *writer, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
