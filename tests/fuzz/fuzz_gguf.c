/* fuzz_gguf.c - any bytes as a GGUF file: refused with a sentence, or read in full. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/memory.h"
#include "tests/support/gguf_touch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const long            n_live = cm_live_blocks();
    struct calmoe_context ctx = {0};
    struct model_file          *file = NULL;
    const calmoe_status   status = cm_model_file_parse(&ctx, "fuzz.gguf", data, size, &file);
    if ((status == CALMOE_OK) != (file != NULL)) abort();
    if ((status == CALMOE_OK) != (ctx.message[0] == '\0')) abort();
    if (file != NULL) gguf_touch(file);
    cm_model_file_close(&file);
    if (cm_live_blocks() != n_live) abort();
    return 0;
}
