/* base/meeting_cost.h - how long it takes threads to meet at a barrier: measured on a team, or predicted for a machine
 * that is only described. */
#ifndef BASE_MEETING_COST_H
#define BASE_MEETING_COST_H

#include "base/team.h"

/* Seconds: the least and the median of several passes. least 0 = there was nothing to measure. */
struct delay {
    double least, median;
};

/* Times to pass a cache line from core to core, that is, from one core's store until another core, which polls for it,
 * sees it: half of a round trip. near: between cores that share a last-level cache (between all cores, if the machine
 * shows no caches); far: between other cores. */
struct meeting_delays {
    struct delay near, far;
    struct delay barrier; /* one cm_barrier() at which all workers that are called up arrive at the same time */
};

/* Measures with the workers that are called up. Each is bound to its core for that; if the system does not allow it, it
 * decides where the pairs of workers run. Passing lines is not measured if there are more workers than cores. Takes
 * about 30 ms. NO_MEMORY. */
calmoe_status cm_measure_meetings(struct calmoe_context *ctx, struct team *team, const struct topology *topology,
                                  struct meeting_delays *out);

/* Predicts the time of a barrier (barrier.h) on a machine with one worker on each core, from the times in seconds that
 * a line takes between near and far cores. In a group of m members, the line with the count of arrivals moves m - 1
 * times, near; at the top level, that of g groups moves g - 1 times, far. Then the last worker writes the lines of all
 * g groups (g times far, if there is a top level), and the other members of a group read their line one after the other
 * (m - 1 times near). 0 for one core. */
double cm_barrier_seconds(const struct topology *topology, double near, double far);

#endif
