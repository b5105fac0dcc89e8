/* fuzz_documents.c - any bytes as a placement plan, a profile, a policy or a routing trace: byte 0 chooses ('0' to '3',
 * in that order), the rest is the file. */
#include <stddef.h>
#include <stdint.h>

#include "tests/support/documents.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 0) (void)document_read(data[0] % N_DOCUMENTS, data + 1, size - 1);
    return 0;
}
