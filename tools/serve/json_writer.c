/* tools/serve/json_writer.c - see json_writer.h. */
#include "tools/serve/json_writer.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "tools/utf8.h"

void cm_writer_close(struct json_writer *writer) { cm_bytes_close(&writer->bytes); }

static void put(struct json_writer *writer, const char *bytes, size_t n)
{
    if (!writer->failed && !cm_bytes_append(&writer->bytes, bytes, n)) writer->failed = true;
}

void cm_write_raw(struct json_writer *writer, const char *text) { put(writer, text, strlen(text)); }

void cm_write_format(struct json_writer *writer, const char *format, ...)
{
    char    text[512];
    va_list arguments;
    va_start(arguments, format);
    const int n = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (n < 0 || (size_t)n >= sizeof text) writer->failed = true;
    else put(writer, text, (size_t)n);
}

bool cm_is_utf8(const char *bytes, size_t n_bytes)
{
    size_t i = 0, length = 1;
    for (; i < n_bytes && length > 0; i += length)
        length = cm_utf8_length((const unsigned char *)bytes + i, n_bytes - i);
    return length > 0;
}

static void put_escaped(struct json_writer *writer, unsigned char byte)
{
    static const char letters[] = {['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r',
                                   ['"'] = '"', ['\\'] = '\\'};
    char text[8];
    if (byte < sizeof letters && letters[byte] != 0) (void)snprintf(text, sizeof text, "\\%c", letters[byte]);
    else (void)snprintf(text, sizeof text, "\\u%04x", byte);
    put(writer, text, strlen(text));
}

static void put_string(struct json_writer *writer, const char *bytes, size_t n)
{
    const unsigned char *const text = (const unsigned char *)bytes;
    size_t                     from = 0; /* everything before it is written */
    put(writer, "\"", 1);
    for (size_t i = 0; i < n;) {
        const size_t length = cm_utf8_length(text + i, n - i);
        if (length > 0 && text[i] >= 0x20 && text[i] != '"' && text[i] != '\\' && text[i] != 0x7F) {
            i += length;
            continue;
        }
        put(writer, bytes + from, i - from);
        if (length == 0) cm_write_raw(writer, "\xEF\xBF\xBD");
        else put_escaped(writer, text[i]);
        from = ++i;
    }
    if (from < n) put(writer, bytes + from, n - from); /* bytes may be NULL if n is 0 */
    put(writer, "\"", 1);
}

/* A value needs a comma before it unless it is the first; no value ends with one of these bytes. */
static void begin_value(struct json_writer *writer, const char *name)
{
    const size_t n    = writer->bytes.n;
    const char   last = n > 0 ? writer->bytes.at[n - 1] : '\0';
    if (n > 0 && strchr("{[: \n", last) == NULL) put(writer, ",", 1);
    if (name == NULL) return;
    put_string(writer, name, strlen(name));
    put(writer, ":", 1);
}

void cm_write_json(struct json_writer *writer, const char *name, const char *json)
{
    begin_value(writer, name);
    cm_write_raw(writer, json);
}

void cm_write_object(struct json_writer *writer, const char *name) { cm_write_json(writer, name, "{"); }
void cm_write_array(struct json_writer *writer, const char *name) { cm_write_json(writer, name, "["); }
void cm_write_end_object(struct json_writer *writer) { put(writer, "}", 1); }
void cm_write_end_array(struct json_writer *writer) { put(writer, "]", 1); }
void cm_write_null(struct json_writer *writer, const char *name) { cm_write_json(writer, name, "null"); }

void cm_write_bool(struct json_writer *writer, const char *name, bool value)
{
    cm_write_json(writer, name, value ? "true" : "false");
}

void cm_write_bytes(struct json_writer *writer, const char *name, const char *bytes, size_t n_bytes)
{
    begin_value(writer, name);
    put_string(writer, bytes, n_bytes);
}

void cm_write_text(struct json_writer *writer, const char *name, const char *text)
{
    cm_write_bytes(writer, name, text, strlen(text));
}

void cm_write_integer(struct json_writer *writer, const char *name, int64_t number)
{
    begin_value(writer, name);
    cm_write_format(writer, "%" PRId64, number);
}

void cm_write_real(struct json_writer *writer, const char *name, double number)
{
    const double told = isnan(number) ? 0.0 : number > FLT_MAX ? FLT_MAX : number < -FLT_MAX ? -FLT_MAX : number;
    begin_value(writer, name);
    cm_write_format(writer, "%.9g", told);
}
