/* runtime/fit/fit_parts.h - what fit_exits.c and its passes share. */
#ifndef RUNTIME_FIT_FIT_PARTS_H
#define RUNTIME_FIT_FIT_PARTS_H

#include <calmoe/fit_exits.h>

#include "runtime/fit/fit_text.h"
#include "runtime/fit/exit_tally.h"
#include "runtime/fit/fit_translator.h"
#include "runtime/policy/learned_exits.h"
#include "runtime/exits/exit_probe.h"

struct kept_states { /* of a sample of the text */
    size_t    n, capacity, n_tried; /* the first n_tried rows were not fitted                   */
    uint16_t *states;             /* (n_exits, capacity, dim), float16                                   */
    uint8_t  *plain, *translated; /* (n_exits, capacity): 1 where the exit's token is the full model's  */
};

struct fitting {
    calmoe_engine       *engine;
    calmoe_context      *ctx;
    calmoe_fit_options   options;
    const char          *path;
    char                *sums_path;
    int                  layers[CALMOE_MAX_EXITS], n_exits;
    int                 *read_layers;         /* (n_layers): these, then the others behind the first  */
    struct fit_text      text, held_out;      /* held_out.tokens NULL: of the text                   */
    struct translator_fit *fits[CALMOE_MAX_EXITS];
    float               *scaled;              /* (dim)                                               */
    struct learned_exits learned;             /* exit i of layers[i]                                 */
    struct exit_weights *weights;
    struct exits           *exits;       /* the scratch of probes that translate; NULL: none does */
    struct state_reader  reader;
    struct kept_states   kept;
    struct exit_guess   *full, *guesses;      /* (reader.max_rows): of the full model, of an exit    */
    struct exit_answer  *before, *after;      /* (reader.max_rows, n_exits)                          */
    struct exit_tally    tally_before, tally_after;
    uint64_t             n_chosen[CALMOE_MAX_EXITS], n_chosen_agreeing[CALMOE_MAX_EXITS];
    struct path_sums    *path_sums;           /* (n_exits, n_layers)                                 */
    double               explained[CALMOE_MAX_EXITS];
    double               skipped_before[CALMOE_MAX_EXITS], skipped_after[CALMOE_MAX_EXITS];
    double               tried_before[CALMOE_MAX_EXITS], tried_after[CALMOE_MAX_EXITS];
    bool                 is_dropped[CALMOE_MAX_EXITS]; /* a translator that did not help      */
    uint64_t             n_fitted;
    bool                 was_resumed;
    uint64_t             n_work, n_worked;    /* windows of all passes, for progress                 */
};

/* ---- fit_common.c ---- */

/* What a window of the text is for. */
enum fit_use { FIT_SUMS, FIT_TRIAL /* does the translator help? */, FIT_JUDGEMENT };
enum fit_use cm_fit_use(const struct fitting *f, size_t window);
/* One window of work is done. CANCELLED where progress says so. */
calmoe_status cm_fit_advance(struct fitting *f);
/* A reader with steps of at most so many rows takes the place of the one that was. It keeps the states after the exits,
 * and, where paths are fitted, after all layers behind the first of them. */
calmoe_status cm_fit_open_reader(struct fitting *f, int max_rows, bool for_paths);

/* What the head says of states (n, dim) after so many layers, of all ranks together. */
void          cm_fit_probe(struct fitting *f, int n_layers_run, bool is_translated, const float *states, int n,
                           struct exit_guess *guesses);

/* fit_translators.c: reads the text, and sets the translators of `learned`. */
calmoe_status cm_fit_translators(struct fitting *f);
/* fit_sample.c: a sample of the text; drops translators that do not help, sets paths and classifiers. How many windows
 * that will be. */
calmoe_status cm_fit_sample(struct fitting *f);
size_t        cm_fit_sample_windows(const struct fitting *f);
/* fit_paths.c: rows of the sample, n that the exit's translator was just probed with; then its path. */
calmoe_status cm_fit_paths_open(struct fitting *f);
void          cm_fit_paths_add(struct fitting *f, int exit, int n);
calmoe_status cm_fit_path_solve(struct fitting *f, int exit);
/* fit_judge.c: what is held out. */
calmoe_status cm_fit_judge(struct fitting *f);
void          cm_fit_report(const struct fitting *f, calmoe_fit_report *report);

#endif
