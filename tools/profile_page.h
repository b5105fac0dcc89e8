/* tools/profile_page.h - a profile as one page of HTML that needs nothing else. */
#ifndef TOOLS_PROFILE_PAGE_H
#define TOOLS_PROFILE_PAGE_H

#include "tools/profile_view.h"

/* False with a sentence. */
bool cm_page_write(const struct view *view, const char *path);
/* The file is n bytes; "cannot write 'PATH': why" otherwise. */
bool cm_write_file(const char *path, const char *bytes, size_t n);

#endif
