/* hand_out.c - see hand_out.h. */
#include "runtime/api/hand_out.h"

#include "base/options.h"

_Static_assert((int)PROFILE_PHASES == (int)CALMOE_N_PHASES, "a profile has a time for each phase");

void cm_hand_out_node(const struct profile_node *node, calmoe_node_stats *out)
{
    const calmoe_node_stats stats = {.waited_seconds = node->waited, .n_remote_bytes = node->remote_bytes};
    cm_options_give(out, &stats, sizeof stats);
}

void cm_hand_out_phases(const double *seconds, const uint64_t *bytes, double *to_seconds, uint64_t *to_bytes, int n)
{
    for (int phase = 0; phase < n; phase++) {
        if (to_seconds) to_seconds[phase] = phase < PROFILE_PHASES ? seconds[phase] : 0.0;
        if (to_bytes) to_bytes[phase] = phase < PROFILE_PHASES ? bytes[phase] : 0;
    }
}
