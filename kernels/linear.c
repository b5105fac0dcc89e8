/* linear.c - the table of matrix kernels and the choice from it. */
#include "kernels/linear.h"

#include "kernels/pack16.h"

/* Each row's multiply function, and two small functions that know its type. */
#define KERNEL(type, TYPE, isa, ISA, tile, multiply)                                             \
    void multiply(const struct matrix *matrix, int row_begin, int row_end,                       \
                  const struct activations *x, const int32_t *which, int n_tokens, float *y,     \
                  size_t y_stride);                                                              \
    static size_t packed_bytes_##type##_##isa(size_t n_rows, size_t n_columns)                   \
    {                                                                                            \
        return cm_pack##tile##_bytes(WEIGHT_##TYPE, n_rows, n_columns);                          \
    }                                                                                            \
    static void pack_##type##_##isa(const void *rows, size_t n_rows, size_t n_columns, void *out) \
    {                                                                                            \
        cm_pack##tile(WEIGHT_##TYPE, rows, n_rows, n_columns, out);                              \
    }
#include "kernels/kernel_list.inc"
#undef KERNEL

static const struct linear_kernel kernels[] = {
#define KERNEL(type, TYPE, isa, ISA, tile, multiply)                                  \
    { "linear_" #type "_" #isa,     WEIGHT_##TYPE,          ISA_##ISA, tile,          \
      packed_bytes_##type##_##isa,  pack_##type##_##isa,    multiply },
#include "kernels/kernel_list.inc"
#undef KERNEL
};

enum { N_KERNELS = sizeof kernels / sizeof kernels[0] };

const struct linear_kernel *cm_linear_kernel(enum weight_type type, enum isa isa)
{
    const struct linear_kernel *plain = NULL; /* the list has a ref row for each type */
    for (int i = 0; i < N_KERNELS; i++) {
        if (kernels[i].type != type) continue;
        if (kernels[i].isa <= isa) return &kernels[i];
        plain = &kernels[i];
    }
    return plain;
}

const struct linear_kernel *cm_linear_kernel_at(int i)
{
    return i >= 0 && i < N_KERNELS ? &kernels[i] : NULL;
}
