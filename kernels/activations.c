/* activations.c - lays the forms of a matrix input over one piece of memory. */
#include "kernels/activations.h"

#include <assert.h>

enum { ALIGNMENT = 64 };

static size_t rounded(size_t n_bytes)
{
    return (n_bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static size_t n_parts(size_t n_columns, size_t block)
{
    return (n_columns + block - 1) / block;
}

/* Gives out n_bytes at *offset of memory (NULL: only counts). */
static void *take(uint8_t *memory, size_t *offset, size_t n_bytes)
{
    void *taken = memory != NULL ? memory + *offset : NULL;
    *offset += rounded(n_bytes);
    return taken;
}

static void place_quantized(struct quantized *out, size_t n_tokens, size_t n_columns, size_t block,
                            uint8_t *memory, size_t *offset)
{
    out->codes = take(memory, offset, n_tokens * n_columns);
    out->scales = take(memory, offset, n_tokens * n_parts(n_columns, block) * sizeof(float));
    out->sums = take(memory, offset, n_tokens * n_parts(n_columns, 16) * sizeof(int16_t));
}

/* One body for both functions, so that the size is always what placing takes. */
static size_t place(struct activations *out, int n_tokens, int n_columns, uint8_t *memory)
{
    const size_t tokens = (size_t)n_tokens, columns = (size_t)n_columns;
    size_t       offset = 0;
    out->n_columns = n_columns;
    out->values = take(memory, &offset, tokens * columns * sizeof(float));
    place_quantized(&out->q32, tokens, columns, 32, memory, &offset);
    place_quantized(&out->q256, tokens, columns, 256, memory, &offset);
    return offset;
}

size_t cm_activations_bytes(int n_tokens, int n_columns)
{
    struct activations unused;
    return place(&unused, n_tokens, n_columns, NULL);
}

void cm_activations_place(struct activations *out, int n_tokens, int n_columns, void *memory)
{
    assert((uintptr_t)memory % ALIGNMENT == 0);
    place(out, n_tokens, n_columns, memory);
}
