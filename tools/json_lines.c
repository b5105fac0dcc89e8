/* tools/json_lines.c - see json_lines.h. */
#include "tools/json_lines.h"

#include <jansson.h>
#include <string.h>

#include "tools/terminal.h"

/* False if the member exists but is not a text, or is an empty one. */
static bool read_text(const json_t *object, const char *name, const char **text, size_t *n)
{
    const json_t *value = json_object_get(object, name);
    *text = value != NULL ? json_string_value(value) : NULL;
    *n    = *text != NULL ? json_string_length(value) : 0;
    return value == NULL || *n > 0;
}

static bool is_blank(const char *line, size_t n)
{
    size_t i = 0;
    while (i < n && strchr(" \t\r", line[i]) != NULL && line[i] != '\0') i++;
    return i == n;
}

/* What is wrong with the line, as the end of a sentence; NULL if it is fine. */
static const char *read_line(const json_t *object, struct json_line *line)
{
    if (!json_is_object(object)) return "wanted an object";
    if (!read_text(object, "text", &line->text, &line->n_text) ||
        !read_text(object, "prompt", &line->prompt, &line->n_prompt) ||
        !read_text(object, "answer", &line->answer, &line->n_answer))
        return "\"text\", \"prompt\" and \"answer\" must be texts that are not empty";
    if ((line->text != NULL) == (line->prompt != NULL)) return "wanted either a \"text\" or a \"prompt\"";
    if (line->answer != NULL && line->prompt == NULL) return "an \"answer\" wants a \"prompt\"";
    return NULL;
}

bool cm_json_lines(const char *path, const char *bytes, size_t n_bytes,
                   bool (*see)(void *user, const struct json_line *line), void *user)
{
    size_t number = 0;
    for (size_t at = 0, n; at < n_bytes; at += n + 1) {
        const char *const end  = memchr(bytes + at, '\n', n_bytes - at);
        struct json_line  line = {0};
        json_error_t      error;
        n = end != NULL ? (size_t)(end - (bytes + at)) : n_bytes - at;
        number++;
        if (is_blank(bytes + at, n)) continue;
        json_t *const     object  = json_loadb(bytes + at, n, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
        const char *const problem = object == NULL ? error.text : read_line(object, &line);
        if (problem != NULL) cm_say("'%s', line %zu: %s", path, number, problem);
        const bool goes_on = problem == NULL && see(user, &line);
        json_decref(object);
        if (!goes_on) return false;
    }
    return true;
}
