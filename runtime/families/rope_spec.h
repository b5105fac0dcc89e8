/* runtime/families/rope_spec.h - rotary positions as numbers. The angles themselves: runtime/mixers/rope.h; what a
 * caller may say in place of the file: override.h. */
#ifndef RUNTIME_FAMILIES_ROPE_SPEC_H
#define RUNTIME_FAMILIES_ROPE_SPEC_H

#include <stdbool.h>
#include <string.h>

#include "kernels/vector_ops.h"

enum rope_scaling { ROPE_SCALING_NONE, ROPE_SCALING_LINEAR, ROPE_SCALING_YARN, ROPE_SCALING_COUNT };
extern const char *const cm_rope_scaling_names[ROPE_SCALING_COUNT]; /* "none", "linear", "yarn" */

enum { MAX_ROPES = 4 }; /* kinds of rotation in one model: layers that see a window may turn by another base */

struct rope_spec {
    bool              is_on;          /* false: no position encoding at all                              */
    enum rope_pairing pairing;
    int               n_rot;          /* first n_rot dimensions of a head are rotated                    */
    float             base;
    enum rope_scaling scaling;
    float             factor;         /* of linear and yarn                                              */
    int               original_context; /* of yarn                                                       */
    float             beta_fast, beta_slow; /* of yarn                                                   */
    bool              has_whole_bounds; /* of yarn: its ramp begins and ends at whole pairs              */
    bool              keeps_length;   /* of yarn: sines and cosines do not grow with the factor          */
    float             magnitude;      /* extra factor on sines and cosines, 1 = none                     */
    bool              has_factors;    /* frequencies are divided by those of a tensor, where the file has it */
    const char       *factors;        /* its name, one of these                                          */
};

#define ROPE_FACTORS "rope_freqs.weight"
#define ROPE_LONG_FACTORS "rope_factors_long.weight" /* of two sets: of a context beyond the original one */
#define ROPE_SHORT_FACTORS "rope_factors_short.weight"

static inline bool cm_rope_has_two_sets(const struct rope_spec *rope)
{
    return rope->factors && strcmp(rope->factors, ROPE_FACTORS) != 0;
}

#endif
