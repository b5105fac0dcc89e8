/* kernels/vector_ops.c - one row of ops for each instruction set. */
#include "kernels/vector_ops.h"

#include <stddef.h>
#include <string.h>

extern const struct vector_ops cm_vector_ops_ref;
#if defined(__x86_64__)
extern const struct vector_ops cm_vector_ops_avx2, cm_vector_ops_avx512vnni;
#elif defined(__aarch64__)
extern const struct vector_ops cm_vector_ops_neon;
#endif

static const struct vector_ops *const rows[ISA_COUNT] = {
    [ISA_REF] = &cm_vector_ops_ref,
#if defined(__x86_64__)
    [ISA_AVX2] = &cm_vector_ops_avx2,
    [ISA_AVXVNNI] = &cm_vector_ops_avx2, /* its dot product is for matrices only */
    [ISA_AVX512VNNI] = &cm_vector_ops_avx512vnni,
    [ISA_AMX] = &cm_vector_ops_avx512vnni, /* tiles are for matrices only */
#elif defined(__aarch64__)
    [ISA_NEON] = &cm_vector_ops_neon,
    [ISA_NEONDOT] = &cm_vector_ops_neon, /* its dot product is for matrices only */
#endif
};

const struct vector_ops *cm_vector_ops(enum isa isa) { return rows[isa]; }

void cm_rms_norm_groups(const struct vector_ops *ops, const float *x, const float *weight, float eps, int n,
                        int n_groups, float *y)
{
    for (int group = 0; group < n_groups; group++) {
        const size_t at = (size_t)group * (size_t)n;
        ops->rms_norm(x + at, weight ? weight + at : NULL, eps, n, y + at);
    }
}

void cm_attended_spans(const struct attention_input *in, int *begin, int *end)
{
    int first = cm_first_position(in, 0), last = in->n_positions[0] - 1;
    for (int i = 1; i < in->n_queries; i++) {
        if (cm_first_position(in, i) < first) first = cm_first_position(in, i);
        if (in->n_positions[i] - 1 > last) last = in->n_positions[i] - 1;
    }
    *begin = first / CM_ATTEND_SPAN;
    *end = last / CM_ATTEND_SPAN + 1;
}

void cm_attend_take(const struct vector_ops *ops, const struct attention_input *in, int span, const float *parts,
                    float *wholes, size_t stride)
{
    for (int i = 0; i < in->n_queries; i++) {
        const int first_span = cm_first_position(in, i) / CM_ATTEND_SPAN;
        const float *part = parts + (size_t)i * stride;
        float *whole = wholes + (size_t)i * stride;
        if (first_span > span || in->n_positions[i] <= span * CM_ATTEND_SPAN) continue;
        if (first_span < span) ops->attend_merge(whole, part, in->value_size);
        else if (whole != part) memcpy(whole, part, cm_part_floats(in->value_size) * sizeof *whole);
    }
}
