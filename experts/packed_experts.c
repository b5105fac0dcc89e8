/* experts/packed_experts.c - see packed_experts.h. */
#include "experts/packed_experts.h"

#include <string.h>

#include "base/checksum.h"
#include "base/memory.h"

static size_t aligned(size_t n_bytes) { return (n_bytes + CM_ALIGNMENT - 1) / CM_ALIGNMENT * CM_ALIGNMENT; }

static size_t packed_bytes(const struct weight_source *source, enum isa isa)
{
    const struct linear_kernel *kernel = cm_linear_kernel(source->type, isa);
    return aligned(kernel->packed_bytes((size_t)source->n_rows, (size_t)source->n_columns));
}

uint64_t cm_packed_layout(const struct weight_source *const *matrices, int n, enum isa isa, uint64_t *n_bytes)
{
    uint64_t facts[16] = {0};
    int      n_facts = 0;
    *n_bytes = 0;
    for (int i = 0; i < n; i++) {
        if (!matrices[i]) continue;
        const struct linear_kernel *kernel = cm_linear_kernel(matrices[i]->type, isa);
        facts[n_facts++] = (uint64_t)matrices[i]->type << 32 | (uint64_t)kernel->tile_rows;
        facts[n_facts++] = (uint64_t)matrices[i]->n_rows;
        facts[n_facts++] = (uint64_t)matrices[i]->n_columns;
        facts[n_facts++] = packed_bytes(matrices[i], isa);
        *n_bytes += facts[n_facts - 1];
    }
    return cm_checksum(facts, (size_t)n_facts * sizeof *facts);
}

int cm_pack_expert(const struct weight_source *const *matrices, int n, enum isa isa, void *buffer, uint8_t *out)
{
    for (int i = 0; i < n; i++) {
        const struct weight_source *source = matrices[i];
        if (!source) continue;
        const size_t   n_rows = (size_t)source->n_rows, columns = (size_t)source->n_columns;
        const uint8_t *rows = source->rows;
        if (source->map) {
            const size_t n_bytes = n_rows * cm_row_bytes(source->type, columns);
            const int    failure = cm_file_map_read(source->map, (size_t)(rows - source->map->bytes), n_bytes, buffer);
            if (failure != 0) return failure;
            rows = buffer;
        }
        memset(out, 0, packed_bytes(source, isa));
        cm_linear_kernel(source->type, isa)->pack(rows, n_rows, columns, out);
        out += packed_bytes(source, isa);
    }
    return 0;
}
