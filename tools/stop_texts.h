/* tools/stop_texts.h - texts that end an answer. They are looked for in the text, not in tokens: a stop text may begin
 * in the middle of one token and end in the middle of another. So what may be the beginning of one is held back until
 * it is known. */
#ifndef TOOLS_STOP_TEXTS_H
#define TOOLS_STOP_TEXTS_H

#include <stdbool.h>
#include <stddef.h>

#include "tools/cli.h"

/* Whether one of the stop texts (none is empty) stands in text[0 .. n); *at: where the first of them begins. */
bool cm_stop_find(const struct cli_list *stops, const char *text, size_t n, size_t *at);
/* How many bytes at the end of text[0 .. n) may be the beginning of a stop text. */
size_t cm_stop_held(const struct cli_list *stops, const char *text, size_t n);

#endif
