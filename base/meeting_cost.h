/* base/meeting_cost.h - what it costs that threads meet: measured on a team, and predicted for a machine that is only
 * described. */
#ifndef BASE_MEETING_COST_H
#define BASE_MEETING_COST_H

#include "base/team.h"

/* Seconds of several passes. least 0: there was nothing to measure. */
struct delay {
    double least, median;
};

/* How long a core's store takes until another core sees it, where it waits for it: half of a round trip of one cache
 * line. near: cores round the same last-level cache (all cores, where the machine shows no caches); far: others. */
struct meeting_delays {
    struct delay near, far;
    struct delay barrier; /* one cm_barrier() of all workers that are called up, each of whom comes at once */
};

/* Of the workers that are called up; each is held to its core, else pairs are what the system makes of them. Nothing
 * is measured of lines where there are more workers than cores. Takes some 30 ms. NO_MEMORY. */
calmoe_status cm_measure_meetings(struct calmoe_context *ctx, struct team *team, const struct topology *topology,
                                  struct meeting_delays *out);

/* The barrier of barrier.h on a described machine with a worker on each core, from the time that a line takes between
 * near and far cores (seconds): the m members of a group take the line of its count from each other, (m - 1) near; so
 * do the g groups at the top, (g - 1) far; the last writes the lines of all g groups, g far where there is a top; and
 * the others of a group read theirs one after the other, (m - 1) near. 0 for one core. */
double cm_barrier_seconds(const struct topology *topology, double near, double far);

#endif
