/* tests/support/attend_one.h - attention of one query over all its spans, by the ops of vector_ops.h. */
#ifndef TESTS_SUPPORT_ATTEND_ONE_H
#define TESTS_SUPPORT_ATTEND_ONE_H

#include "kernels/vector_ops.h"

enum { MAX_VALUE_SIZE = 256 };

static inline void attend_one(const struct vector_ops *ops, const struct attention_input *in, float *out)
{
    _Alignas(64) float whole[CM_PART_SUMS + MAX_VALUE_SIZE], part[CM_PART_SUMS + MAX_VALUE_SIZE];
    ops->attend_span(in, 0, whole, CM_PART_SUMS + MAX_VALUE_SIZE);
    for (int span = 1; span * CM_ATTEND_SPAN < in->n_positions[0]; span++) {
        ops->attend_span(in, span, part, CM_PART_SUMS + MAX_VALUE_SIZE);
        ops->attend_merge(whole, part, in->value_size);
    }
    ops->attend_finish(whole, in->value_size, out);
}

#endif
