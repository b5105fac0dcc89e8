/* tools/profile_page.h - a profile as one page of HTML that needs nothing else. */
#ifndef TOOLS_PROFILE_PAGE_H
#define TOOLS_PROFILE_PAGE_H

#include "tools/profile_view.h"

/* False with a sentence. */
bool cm_page_write(const struct view *view, const char *path);
/* Writes the page html (NUL-terminated, of n_html bytes) with the data, JSON that may stand in a page, at its mark. */
bool cm_page_fill(const char *html, size_t n_html, const char *data, const char *path);

#endif
