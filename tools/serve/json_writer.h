/* tools/serve/json_writer.h - writes answers as JSON, from left to right.
 *
 * Numbers are formatted here, so that the same answer has the same bytes everywhere. JSON has no NaN and no infinity;
 * they are written as the nearest possible number. Bytes that are not valid UTF-8 become U+FFFD. If memory runs out,
 * `failed` is set, and nothing more is written. */
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

/* name: the name of the member, inside an object; NULL inside an array and at the top. */
void cm_write_object(struct json_writer *writer, const char *name);
void cm_write_end_object(struct json_writer *writer);
void cm_write_array(struct json_writer *writer, const char *name);
void cm_write_end_array(struct json_writer *writer);
void cm_write_text(struct json_writer *writer, const char *name, const char *text);
void cm_write_bytes(struct json_writer *writer, const char *name, const char *bytes, size_t n_bytes);
void cm_write_integer(struct json_writer *writer, const char *name, int64_t number);
void cm_write_real(struct json_writer *writer, const char *name, double number); /* with 9 digits, which fix a float */
void cm_write_bool(struct json_writer *writer, const char *name, bool value);
void cm_write_null(struct json_writer *writer, const char *name);
/* Writes a value that is JSON already. */
void cm_write_json(struct json_writer *writer, const char *name, const char *json);

/* Whether the bytes are whole UTF-8 characters. */
bool cm_is_utf8(const char *bytes, size_t n_bytes);

/* Writes bytes that are not JSON and stand between values, such as "data: " and line ends. */
void cm_write_raw(struct json_writer *writer, const char *text);
void cm_write_format(struct json_writer *writer, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
