/* tools/json_lines.h - reads files with one JSON object a line: documents {"text": …} or prompts {"prompt": …,
 * "answer": …}. */
#ifndef TOOLS_JSON_LINES_H
#define TOOLS_JSON_LINES_H

#include <stdbool.h>
#include <stddef.h>

struct json_line { /* UTF-8 texts with their lengths, borrowed for the call; NULL = there is no such member */
    const char *text, *prompt, *answer;
    size_t      n_text, n_prompt, n_answer;
};

/* Calls see() for each line that is not blank, in order, until it returns false. Returns false, with a sentence that
 * names the line, if a line is not an object with a text or a prompt; also returns false, without a sentence, if see()
 * did. */
bool cm_json_lines(const char *path, const char *bytes, size_t n_bytes,
                   bool (*see)(void *user, const struct json_line *line), void *user);

#endif
