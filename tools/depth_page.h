/* tools/depth_page.h - writes an answer as a self-contained HTML page in which each token is coloured by the number of
 * layers that it used. */
#ifndef TOOLS_DEPTH_PAGE_H
#define TOOLS_DEPTH_PAGE_H

#include "tools/generation.h"

/* Writes the page; generation must have been told to keep uses. False with a sentence. */
bool cm_depth_page_write(const struct generation *generation, const char *prompt, size_t n_prompt,
                         const calmoe_policy *policy, const char *path);

#endif
