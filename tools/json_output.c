/* tools/json_output.c - see json_output.h. */
#include "tools/json_output.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/terminal.h"
#include "tools/utf8.h"

enum { REAL_DIGITS = 9 };

void cm_json_open_object(struct json_output *json)
{
    json->root   = (struct json_node *)json_object();
    json->failed = json->root == NULL;
}

void cm_json_open_array(struct json_output *json)
{
    json->root   = (struct json_node *)json_array();
    json->failed = json->root == NULL;
}

void cm_json_close(struct json_output *json)
{
    json_decref((json_t *)json->root);
    json->root = NULL;
}

/* Takes ownership of value; NULL: it could not be made. */
static struct json_node *add(struct json_output *json, struct json_node *in, const char *name,
                             json_t *value)
{
    json_t *const parent = (json_t *)in;
    if (parent == NULL || value == NULL) {
        json_decref(value);
        json->failed = true;
        return NULL;
    }
    const int error = name == NULL ? json_array_append_new(parent, value)
                                   : json_object_set_new_nocheck(parent, name, value);
    if (error != 0) json->failed = true;
    return error != 0 ? NULL : (struct json_node *)value;
}

struct json_node *cm_json_object(struct json_output *json, struct json_node *in, const char *name)
{
    return add(json, in, name, json_object());
}

struct json_node *cm_json_array(struct json_output *json, struct json_node *in, const char *name)
{
    return add(json, in, name, json_array());
}

static json_t *mended_text(const char *bytes, size_t n_bytes)
{
    char *copy = malloc(n_bytes + 1);
    if (copy == NULL) return NULL;
    memcpy(copy, bytes, n_bytes);
    for (size_t i = 0; i < n_bytes;) {
        const size_t length = cm_utf8_length((unsigned char *)copy + i, n_bytes - i);
        if (length == 0) copy[i] = '?';
        i += length != 0 ? length : 1;
    }
    json_t *value = json_stringn(copy, n_bytes);
    free(copy);
    return value;
}

void cm_json_bytes(struct json_output *json, struct json_node *in, const char *name, const char *bytes,
                   size_t n_bytes)
{
    json_t *value = json_stringn(n_bytes != 0 ? bytes : "", n_bytes);
    add(json, in, name, value != NULL ? value : mended_text(bytes, n_bytes));
}

void cm_json_text(struct json_output *json, struct json_node *in, const char *name, const char *text)
{
    cm_json_bytes(json, in, name, text, strlen(text));
}

void cm_json_integer(struct json_output *json, struct json_node *in, const char *name, uint64_t number)
{
    add(json, in, name, json_integer((json_int_t)number));
}

void cm_json_real(struct json_output *json, struct json_node *in, const char *name, double number)
{
    json_t *value = json_real(number);
    add(json, in, name, value != NULL ? value : json_null()); /* JSON has no NaN */
}

void cm_json_null(struct json_output *json, struct json_node *in, const char *name)
{
    add(json, in, name, json_null());
}

void cm_json_ids(struct json_output *json, struct json_node *in, const char *name, const int32_t *ids,
                 size_t n_ids)
{
    json_t *array = json_array();
    for (size_t i = 0; array != NULL && i < n_ids; i++)
        if (json_array_append_new(array, json_integer(ids[i])) != 0) json->failed = true;
    add(json, in, name, array);
}

char *cm_json_page_text(struct json_output *json)
{
    char  *plain = json->failed ? NULL
                                : json_dumps((json_t *)json->root, JSON_REAL_PRECISION(REAL_DIGITS) | JSON_COMPACT);
    size_t n     = 1;
    for (const char *at = plain; at != NULL && *at != '\0'; at++) n += strchr("<>&", *at) != NULL ? 6 : 1;
    char *text = plain != NULL ? malloc(n) : NULL;
    if (text == NULL) cm_say("no memory for the page's data");
    size_t end = 0;
    for (const char *at = plain; text != NULL && *at != '\0'; at++)
        if (strchr("<>&", *at) == NULL) text[end++] = *at;
        else end += (size_t)snprintf(text + end, n - end, "\\u%04x", (unsigned)*at);
    if (text != NULL) text[end] = '\0';
    free(plain);
    return text;
}

bool cm_json_write(struct json_output *json, bool on_one_line)
{
    const size_t flags = JSON_REAL_PRECISION(REAL_DIGITS) |
                         (on_one_line ? (size_t)JSON_COMPACT : (size_t)JSON_INDENT(2));
    char *text = json->failed ? NULL : json_dumps((json_t *)json->root, flags);
    if (text == NULL) {
        cm_say("no memory for the JSON output");
        return false;
    }
    const bool written = cm_put(text, strlen(text)) && cm_put("\n", 1);
    free(text);
    return written;
}
