/* tools/json_lines.h - a file of JSON objects, one a line: documents {"text": …} or prompts {"prompt": …, "answer":
 * …}. */
#ifndef TOOLS_JSON_LINES_H
#define TOOLS_JSON_LINES_H

#include <stdbool.h>
#include <stddef.h>

struct json_line { /* borrowed for the call; NULL = the member is not there; UTF-8, each with its length */
    const char *text, *prompt, *answer;
    size_t      n_text, n_prompt, n_answer;
};

/* Calls see for each line that is not blank, in order, until it answers false. False with a sentence, which line, where
 * one is no object with either a text or a prompt, or where see answered false (then without one). */
bool cm_json_lines(const char *path, const char *bytes, size_t n_bytes,
                   bool (*see)(void *user, const struct json_line *line), void *user);

#endif
