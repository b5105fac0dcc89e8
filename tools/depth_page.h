/* tools/depth_page.h - an answer as one page of HTML: each token coloured by the layers that it used. The page needs
 * nothing else. */
#ifndef TOOLS_DEPTH_PAGE_H
#define TOOLS_DEPTH_PAGE_H

#include "tools/generation.h"

/* Of a generation that kept its uses. False with a sentence. */
bool cm_depth_page_write(const struct generation *generation, const char *prompt, size_t n_prompt,
                         const calmoe_policy *policy, const char *path);

#endif
