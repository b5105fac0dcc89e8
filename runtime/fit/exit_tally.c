/* exit_tally.c - see exit_tally.h. */
#include "runtime/fit/exit_tally.h"

void cm_exit_tally_add(struct exit_tally *tally, const struct exit_answer *answers)
{
    int first_agreeing = -1, first_sure = -1;
    for (int i = 0; i < tally->n_exits; i++) {
        const bool is_sure = answers[i].margin >= EXIT_IS_SURE;
        tally->exits[i].n_agreeing += answers[i].agrees;
        tally->exits[i].n_sure += is_sure;
        tally->exits[i].n_sure_agreeing += is_sure && answers[i].agrees;
        if (answers[i].agrees && first_agreeing < 0) first_agreeing = i;
        if (is_sure && first_sure < 0) first_sure = i;
    }
    if (first_agreeing >= 0) tally->exits[first_agreeing].n_first++;
    tally->n_oracle_layers += (uint64_t)(first_agreeing < 0 ? tally->n_layers : tally->layers[first_agreeing]);
    tally->n_sure_layers += (uint64_t)(first_sure < 0 ? tally->n_layers : tally->layers[first_sure]);
    tally->n_path_agreeing += first_sure < 0 || answers[first_sure].agrees;
    tally->n++;
}
