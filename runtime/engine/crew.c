/* runtime/engine/crew.c - the step is run by as many workers as steps of late say is best (base/crew_size.h): the bits
 * do not depend on their number. */
#include "base/clock.h"
#include "runtime/engine/handles.h"

calmoe_status cm_step_run_by_crew(calmoe_engine *engine)
{
    const int      n_rows = engine->step.n_rows;
    const bool     may_choose = cm_team_n_workers(engine->team) > 1 && !engine->options.fixed_threads;
    const uint64_t start = cm_now_ns();
    uint64_t       waited = 0;
    int            n = 1;
    if (may_choose) {
        waited = cm_team_waited_in_all_ns(engine->team);
        const int most = cm_team_n_most(engine->team, start);
        cm_crew_limit(&engine->crew, most);
        n = cm_crew_choose(&engine->crew, n_rows);
        cm_team_call_up(engine->team, n);
    }
    const calmoe_status status = cm_decoder_run(engine->decoder, &engine->step);
    if (may_choose) {
        const uint64_t ns = cm_now_ns() - start;
        waited = cm_team_waited_in_all_ns(engine->team) - waited;
        cm_crew_note(&engine->crew, n_rows, start, ns, (double)waited / ((double)ns * n));
    }
    return status;
}
