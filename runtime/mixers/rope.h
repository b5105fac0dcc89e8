/* runtime/mixers/rope.h - rotary positions: which angle each pair of a head turns by at a position.
 * theta_i(p) = p * base^(-2i / n_rot), changed by linear or YaRN scaling (Peng et al. 2023, 2309.00071) or by
 * a file's tensor of factors. Angles are computed in double with kernels/elementary.h: the same bits on
 * every machine.
 *
 * A model may turn some of its layers otherwise than others. Sines and cosines of a position are made once a step, for
 * all its kinds of rotation, one after the other; each layer takes those of its own. */
#ifndef RUNTIME_MIXERS_ROPE_H
#define RUNTIME_MIXERS_ROPE_H

#include "base/status.h"
#include "runtime/families/rope_spec.h"

struct rope_kind {
    enum rope_pairing pairing;
    int               first_pair;  /* where its pairs begin among those of all kinds */
    int               n_pairs;     /* n_rot / 2; 0 = off                             */
    double           *frequencies; /* (n_pairs) radians for a position               */
    double            magnitude;   /* of sines and cosines                           */
};

struct rope {
    int              n_pairs; /* of all kinds */
    int              n_kinds;
    struct rope_kind kinds[MAX_ROPES];
};

/* specs: (n). factors: (n_rot / 2) or NULL; frequencies are divided by them, in the kinds that have factors.
 * BAD_FILE for a factor that is no number above 0. */
calmoe_status cm_rope_open(struct calmoe_context *ctx, const struct rope_spec *specs, int n, const float *factors,
                           struct rope *out);
void          cm_rope_close(struct rope *rope);

/* cosines, sines: (n_pairs) of a position. */
void cm_rope_row(const struct rope *rope, int position, float *cosines, float *sines);

#endif
