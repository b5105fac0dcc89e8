/* runtime/forward/rope.h - rotary positions: which angle each pair of a head turns by at a position.
 * theta_i(p) = p * base^(-2i / n_rot), changed by linear or YaRN scaling (Peng et al. 2023, 2309.00071) or by
 * a file's tensor of factors. Angles are computed in double with kernels/elementary.h: the same bits on
 * every machine. */
#ifndef RUNTIME_FORWARD_ROPE_H
#define RUNTIME_FORWARD_ROPE_H

#include "base/status.h"
#include "runtime/families/model_spec.h"

struct rope {
    int     n_pairs;     /* n_rot / 2; 0 = off               */
    double *frequencies; /* (n_pairs) radians for a position */
    double  magnitude;   /* of sines and cosines             */
};

/* factors: (n_rot / 2) or NULL; frequencies are divided by them. */
calmoe_status cm_rope_open(struct calmoe_context *ctx, const struct rope_spec *spec, const float *factors,
                           struct rope *out);
void          cm_rope_close(struct rope *rope);

/* cosines, sines: (n_pairs) of a position. */
void cm_rope_row(const struct rope *rope, int position, float *cosines, float *sines);

#endif
