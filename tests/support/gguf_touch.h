/* tests/support/gguf_touch.h - reads everything that an opened GGUF file offers. */
#ifndef TESTS_SUPPORT_GGUF_TOUCH_H
#define TESTS_SUPPORT_GGUF_TOUCH_H

#include "runtime/load/model_file.h"

/* Looks at each byte that can be reached, finds each key and tensor by name, and asks for each key
 * with every typed read. Aborts where the reader broke a promise; returns a sum of the bytes. */
uint64_t gguf_touch(const struct model_file *file);

#endif
