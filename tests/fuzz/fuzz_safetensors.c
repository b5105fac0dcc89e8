/* fuzz_safetensors.c - any bytes as a file of tensors: refused with a sentence, or tensors that lie where they say, all of
 * whose numbers can be read. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "runtime/documents/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_all(const struct safetensors *file, const uint8_t *data, size_t size)
{
    float number;
    for (int i = 0; i < file->n; i++) {
        const struct safetensor *tensor = &file->tensors[i];
        if (cm_safetensor(file, tensor->name) != tensor) abort();
        if (tensor->bytes < data || tensor->n_bytes > size - (size_t)(tensor->bytes - data)) abort();
        for (uint64_t j = 0; j < tensor->n_elements && j < tensor->n_bytes; j++)
            if (!cm_safetensor_floats(tensor, j, 1, &number)) break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const long            n_live = cm_live_blocks();
    struct calmoe_context ctx = {0};
    struct safetensors   *file = NULL;
    const calmoe_status   status = cm_safetensors_parse(&ctx, "fuzz.safetensors", data, size, &file);
    if ((status == CALMOE_OK) != (ctx.message[0] == '\0')) abort();
    if (status == CALMOE_OK) read_all(file, data, size);
    cm_safetensors_close(&file);
    if (cm_live_blocks() != n_live) abort();
    return 0;
}
