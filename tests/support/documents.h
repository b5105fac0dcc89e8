/* tests/support/documents.h - any bytes as one of the files that calmoe writes: refused with a sentence, or read whole
 * and right. What is neither ends the program. */
#ifndef TESTS_SUPPORT_DOCUMENTS_H
#define TESTS_SUPPORT_DOCUMENTS_H

#include <stddef.h>
#include <stdint.h>

#include <calmoe/status.h>

enum { DOCUMENT_PLAN, DOCUMENT_PROFILE, DOCUMENT_POLICY, DOCUMENT_TRACE, N_DOCUMENTS };

calmoe_status document_read(int kind, const uint8_t *bytes, size_t n_bytes);

#endif
