/* tests/support/team_fixture.c - see team_fixture.h. */
#include "tests/support/team_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/memory.h"

struct topology eight, here;

int open_machines(void **state)
{
    (void)state;
    return cm_topology_open(NULL, "numa:2 core:4 pu:1", &eight) || cm_topology_open(NULL, NULL, &here);
}

int close_machines(void **state)
{
    (void)state;
    cm_topology_close(&eight);
    cm_topology_close(&here);
    return cm_live_blocks() != 0;
}

struct team *open_team(const struct topology *topology, int n_workers, bool pin)
{
    struct calmoe_context ctx = {0};
    struct team          *team;
    if (cm_team_open(&ctx, topology, n_workers, pin, &team) != CALMOE_OK) fail_msg("%s", ctx.message);
    return team;
}
