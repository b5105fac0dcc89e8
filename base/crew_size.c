/* base/crew_size.c - see crew_size.h. */
#include "base/crew_size.h"

#include <string.h>

static const double much_waiting = 1.0 / 6.0;
static const double clearly_quicker = 0.95;      /* a trial is kept if it takes less than this share of the time */
static const double memory_ns = 30e6;            /* averages forget what is older: a few time slices of the scheduler */
static const double trial_share = 1.0 / 40.0;    /* trials may cost this share of all time                       */
static const double least_pause_ns = 50e6;       /* pause between trials of one kind; doubled after each that fails, */
static const double most_pause_ns = 3e9;         /* up to this                                                   */
static const double trial_ns = 12e6;             /* length of a trial, which has at least 2 steps                */
static const double long_trial_ns = 40e6;        /* length of a promising trial of more workers: the other programs
                                                    may only pause                                               */
static const double given_up = 2.0;              /* a trial ends early if it is so many times slower than before */
enum { LEAST_STEPS = 2 };

static void add_size(struct crew_size *crew, int size)
{
    if (size < 1 || (crew->n_sizes > 0 && crew->sizes[crew->n_sizes - 1] <= size)) return;
    if (crew->n_sizes < CREW_MAX_SIZES) crew->sizes[crew->n_sizes++] = size;
    else crew->sizes[crew->n_sizes - 1] = size; /* so that the last one is always 1 */
}

static void fill_sizes(struct crew_size *crew, int n_workers)
{
    add_size(crew, n_workers);
    add_size(crew, n_workers - 1);
    add_size(crew, n_workers * 3 / 4);
    for (int size = n_workers / 2; size > 0; size /= 2) add_size(crew, size);
    for (int i = 0; i < CREW_N_CLASSES; i++) crew->classes[i].tried = -1;
}

void cm_crew_limit(struct crew_size *crew, int n_workers)
{
    struct crew_size limited = {.n_trials = crew->n_trials, .n_changes = crew->n_changes + 1};
    if (n_workers == crew->sizes[0]) return;
    fill_sizes(&limited, n_workers);
    *crew = limited;
}

void cm_crew_open(struct crew_size *crew, int n_workers)
{
    memset(crew, 0, sizeof *crew);
    fill_sizes(crew, n_workers);
}

static struct crew_class *class_of(struct crew_size *crew, int n_rows)
{
    int i = 0;
    while (i + 1 < CREW_N_CLASSES && n_rows >= 2 << i) i++;
    return &crew->classes[i];
}

int cm_crew_choose(struct crew_size *crew, int n_rows)
{
    struct crew_class *class = class_of(crew, n_rows);
    if (!class->is_known) class->at = crew->at;
    return crew->sizes[class->tried >= 0 ? class->tried : class->at];
}

static void begin_trial(struct crew_size *crew, struct crew_class *class, int size)
{
    class->tried = size;
    class->trial_ns = 0.0;
    class->trial_rows = class->trial_steps = 0;
    crew->n_trials++;
}

/* Records what a step with the number in use took; then it may be time for a trial. */
static void note_kept(struct crew_size *crew, struct crew_class *class, int n_rows, uint64_t now_ns, double ns,
                      double waiting)
{
    const double weight = ns < memory_ns ? ns / memory_ns : 1.0, share = class->is_known ? weight : 1.0;
    class->row_ns += share * (ns / n_rows - class->row_ns);
    class->waiting += share * (waiting - class->waiting);
    class->is_known = true;
    if (class->waiting > much_waiting && class->at + 1 < crew->n_sizes && now_ns >= class->may_try_smaller)
        begin_trial(crew, class, class->at + 1);
    else if (class->at > 0 && now_ns >= class->may_try_larger)
        begin_trial(crew, class, class->at - 1);
}

static void note_trial(struct crew_size *crew, struct crew_class *class, int n_rows, uint64_t now_ns, double ns)
{
    class->trial_ns += ns;
    class->trial_rows += n_rows;
    class->trial_steps++;
    const double kept_ns = class->row_ns * (double)class->trial_rows, excess = class->trial_ns - kept_ns;
    const bool   is_lost = class->trial_ns > given_up * kept_ns && excess > trial_ns / 4.0;
    const bool   is_smaller = class->tried > class->at, is_quicker = class->trial_ns < clearly_quicker * kept_ns;
    const double wanted_ns = is_smaller || !is_quicker ? trial_ns : long_trial_ns;
    if (!is_lost && (class->trial_steps < LEAST_STEPS || class->trial_ns < wanted_ns)) return;
    double *pause = is_smaller ? &class->pause_smaller : &class->pause_larger;
    *pause = is_quicker ? 0.0 : 2.0 * *pause;
    if (*pause < least_pause_ns) *pause = least_pause_ns;
    if (*pause > most_pause_ns) *pause = most_pause_ns;
    if (*pause < excess / trial_share) *pause = excess / trial_share;
    const uint64_t then = now_ns + (uint64_t)(ns + *pause);
    if (is_quicker) {
        class->at = crew->at = class->tried;
        class->row_ns = class->trial_ns / (double)class->trial_rows;
        class->waiting = 0.0; /* not known yet */
        crew->n_changes++;
        if (is_smaller) class->may_try_larger = then; /* so that it is not undone at once */
    }
    if (is_smaller) class->may_try_smaller = then;
    else class->may_try_larger = then;
    class->tried = -1;
}

void cm_crew_note(struct crew_size *crew, int n_rows, uint64_t now_ns, uint64_t ns, double waiting)
{
    struct crew_class *class = class_of(crew, n_rows);
    if (n_rows < 1) return;
    if (class->tried >= 0) note_trial(crew, class, n_rows, now_ns, (double)ns);
    else note_kept(crew, class, n_rows, now_ns, (double)ns, waiting);
}
