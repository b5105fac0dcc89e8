/* tools/json_output.h - JSON for stdout. The programs' only jansson door.
 *
 * Failures to get memory are remembered and told by cm_json_write(), so that a row of calls needs one
 * check at its end. Members keep the order in which they were added. Text that is not UTF-8 gets '?'
 * for the bytes that are not. */
#ifndef TOOLS_JSON_OUTPUT_H
#define TOOLS_JSON_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct json_node; /* an object or an array */

struct json_output {
    struct json_node *root;
    bool              failed;
};

void cm_json_open_object(struct json_output *json);
void cm_json_open_array(struct json_output *json);
void cm_json_close(struct json_output *json);

/* To an array, name is NULL. */
struct json_node *cm_json_object(struct json_output *json, struct json_node *in, const char *name);
struct json_node *cm_json_array(struct json_output *json, struct json_node *in, const char *name);
void cm_json_text(struct json_output *json, struct json_node *in, const char *name, const char *text);
void cm_json_bytes(struct json_output *json, struct json_node *in, const char *name, const char *bytes,
                   size_t n_bytes);
void cm_json_integer(struct json_output *json, struct json_node *in, const char *name, uint64_t number);
void cm_json_real(struct json_output *json, struct json_node *in, const char *name, double number);
void cm_json_null(struct json_output *json, struct json_node *in, const char *name);
void cm_json_ids(struct json_output *json, struct json_node *in, const char *name, const int32_t *ids,
                 size_t n_ids);

/* The whole as one line of text, to be freed; with <, > and & escaped, so that it may stand inside a page. NULL, with a
 * sentence, when memory was used up. */
char *cm_json_page_text(struct json_output *json);

/* Writes it and a newline to stdout, on one line or indented. False when memory was used up before
 * or stdout cannot be written; a sentence about memory goes to stderr. */
bool cm_json_write(struct json_output *json, bool on_one_line);

#endif
