/* tests/support/attend_one.h - attention of one query over all its spans, by the ops of vector_ops.h. */
#ifndef TESTS_SUPPORT_ATTEND_ONE_H
#define TESTS_SUPPORT_ATTEND_ONE_H

#include "kernels/vector_ops.h"

enum { MAX_VALUE_SIZE = 256 };

static inline void attend_one(const struct vector_ops *ops, const struct attention_input *in, float *out)
{
    enum { STRIDE = CM_PART_SUMS + MAX_VALUE_SIZE };
    _Alignas(64) float whole[STRIDE], part[STRIDE];
    int begin, end;
    cm_attended_spans(in, &begin, &end);
    for (int span = begin; span < end; span++) {
        ops->attend_span(in, span, part, STRIDE);
        cm_attend_take(ops, in, span, part, whole, STRIDE);
    }
    ops->attend_finish(whole, in->value_size, out);
}

#endif
