/* tools/json_output.h - writes JSON to stdout. Of the programs' files, only json_output.c uses jansson for writing.
 *
 * If memory runs out, that is remembered and reported by cm_json_write(), so that a row of calls needs only one check
 * at its end. Members keep the order in which they were added. Bytes that are not valid UTF-8 become '?'. */
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

/* Add a value to an object under a name, or to an array with name NULL. */
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

/* The whole as one line of text, to be freed. <, > and & are escaped, so that it may stand inside an HTML page. NULL,
 * with a sentence, if memory ran out. */
char *cm_json_page_text(struct json_output *json);

/* Writes it to stdout, on one line or indented, and a newline. False if memory ran out before, with a sentence on
 * stderr, or if stdout cannot be written. */
bool cm_json_write(struct json_output *json, bool on_one_line);

#endif
