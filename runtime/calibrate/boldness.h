/* runtime/calibrate/boldness.h - one parameter that makes a policy leave out more or less, its structure the same.
 *
 * A policy at boldness b > 0 has, of each threshold lambda of an exit and each bound of `top_p` and `resident`, the
 * odds x / (1 - x) divided by b, and of each bound of `ratio` the odds times b. So b = 1 is the policy itself, larger b
 * leaves earlier, keeps fewer experts and reads fewer from disk, and b after c is b c. What has no odds does not
 * change: a 1, `fixed` rules, the measure `always`. Along b risk rises and time falls, which a list of strangers does
 * not promise. Pure. */
#ifndef RUNTIME_CALIBRATE_BOLDNESS_H
#define RUNTIME_CALIBRATE_BOLDNESS_H

#include "runtime/policy/policy.h"

/* x in (0, 1], its odds times factor > 0: in (0, 1) again, and 1 where x is. */
float cm_scale_odds(float x, double factor);

/* The rung at boldness b, with widths (n_layers) in place of its own where it has any. False: it has nothing to scale,
 * and is what it was. */
bool cm_rung_at_boldness(const struct policy_rung *rung, int n_layers, double b, struct width_rule *widths,
                         struct policy_rung *out);

/* A path as seen: mean losses at boldness b (n), ascending in b. */
struct boldness_point {
    double b, mean;
};
/* The boldness at which the path comes to that mean loss, log over log between points; where means fall along b, the
 * largest so far counts, and a step up by more than 16 times counts as 16. Beyond its ends a path goes on as it did
 * between the last two points, within reason. n > 0. */
double cm_boldness_of(const struct boldness_point *points, int n, double mean);

#endif
