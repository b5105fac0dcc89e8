/* tools/output_file.h - files that programs write: whether they may be, and writing one whole. */
#ifndef TOOLS_OUTPUT_FILE_H
#define TOOLS_OUTPUT_FILE_H

#include <stdbool.h>
#include <stddef.h>

/* Whether both names mean one regular file that exists, or are the same text. Two names of a device are fine. */
bool cm_is_same_file(const char *a, const char *b);
/* Before work begins whose results are to be written there; true for NULL, and among several ranks, of which one
 * writes. False with a sentence. */
bool cm_can_write(const char *path);
/* The file is n bytes; "cannot write 'PATH': why" otherwise, and then what stood there stays as it was. */
bool cm_write_file(const char *path, const char *bytes, size_t n);
/* The handler of a signal that ends the program, and with it what is half written. */
void cm_end_by_signal(int number);

#endif
