/* tools/profile_page.h - writes a profile as a self-contained HTML page. */
#ifndef TOOLS_PROFILE_PAGE_H
#define TOOLS_PROFILE_PAGE_H

#include "tools/profile_view.h"

/* Writes the page to a file. False with a sentence. */
bool cm_page_write(const struct view *view, const char *path);
/* Writes the page `html` (NUL-terminated, n_html bytes) to a file, and puts the data at its mark. The data are JSON
 * that is safe inside a page (cm_json_text()). */
bool cm_page_fill(const char *html, size_t n_html, const char *data, const char *path);

#endif
