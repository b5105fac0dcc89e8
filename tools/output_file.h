/* tools/output_file.h - files that programs write: checks whether they can be written, and writes them as a whole. */
#ifndef TOOLS_OUTPUT_FILE_H
#define TOOLS_OUTPUT_FILE_H

#include <stdbool.h>
#include <stddef.h>

/* Whether both names mean the same existing regular file, or are the same text. Two names of one device do not
 * count. */
bool cm_is_same_file(const char *a, const char *b);
/* Checks a path before the work begins whose results will be written there. True for NULL, and on ranks that do not
 * write. False with a sentence. */
bool cm_can_write(const char *path);
/* Writes a file of n bytes. On failure the sentence is "cannot write 'PATH': why", and the old file stays as it was. */
bool cm_write_file(const char *path, const char *bytes, size_t n);

#endif
