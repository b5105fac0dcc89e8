/* fuzz_exits.c - any bytes as a file of fitted exits: refused with a sentence, or exits that hold together. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/memory.h"
#include "runtime/documents/exits_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const long            n_live = cm_live_blocks();
    struct calmoe_context ctx = {0};
    struct learned_exits  exits = {0};
    const calmoe_status   status = cm_exits_file_parse(&ctx, "fuzz.gguf", data, size, &exits);
    if ((status == CALMOE_OK) != (ctx.message[0] == '\0')) abort();
    if (status == CALMOE_OK && cm_learned_exits_check(&ctx, &exits) != CALMOE_OK) abort();
    cm_learned_exits_close(&exits);
    if (cm_live_blocks() != n_live) abort();
    return 0;
}
