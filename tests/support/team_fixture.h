/* tests/support/team_fixture.h - what tests of base/ work on: machines, opened and closed with the test program, and
 * teams. A team that does not open fails the test. */
#ifndef TESTS_SUPPORT_TEAM_FIXTURE_H
#define TESTS_SUPPORT_TEAM_FIXTURE_H

#include "base/team.h"

extern struct topology eight; /* a described machine of two nodes with four cores each */
extern struct topology here;  /* the one that runs the test                            */

int open_machines(void **state);
/* Fails where the library still holds memory. */
int close_machines(void **state);

struct team *open_team(const struct topology *topology, int n_workers, bool pin);

#endif
