/* fit_sample.c - a sample of the text once more, with "is the exit's token the full model's?": translators that do not
 * make it so more often are dropped, the others' paths (fit_paths.c) and classifiers are fitted. For these, states are
 * kept in memory as float16, since Newton's method reads them some times over. */
#include "runtime/fit/fit_parts.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "kernels/half.h"
#include "runtime/fit/fit_classifier.h"

enum { LEAST_ROWS = 512 };
static const double RIDGE = 1e-3; /* of standardised features */

static size_t n_sampled_tokens(const struct fitting *f)
{
    size_t n = 0;
    for (size_t i = 0; i < cm_fit_windows(&f->text); i++)
        if (cm_fit_use(f, i) != FIT_JUDGEMENT) n += cm_fit_window(&f->text, i).n_tokens;
    return n;
}

static size_t room(const struct fitting *f)
{
    const size_t row_bytes = (size_t)f->n_exits * ((size_t)f->engine->model->spec.dim * sizeof(uint16_t) + 2);
    const size_t n = f->options.memory / row_bytes;
    return n < LEAST_ROWS ? LEAST_ROWS : n;
}

/* Of so many windows one is kept. */
static size_t stride_of(const struct fitting *f) { return (n_sampled_tokens(f) + room(f) - 1) / room(f); }

static bool is_kept(const struct fitting *f, size_t window, enum fit_use use, size_t stride, size_t *ordinal)
{
    return cm_fit_use(f, window) == use && (*ordinal)++ % stride == 0;
}

size_t cm_fit_sample_windows(const struct fitting *f)
{
    size_t ordinals[2] = {0, 0}, n = 0;
    const size_t stride = stride_of(f);
    for (size_t i = 0; i < cm_fit_windows(&f->text); i++)
        n += is_kept(f, i, FIT_TRIAL, stride, &ordinals[0]) || is_kept(f, i, FIT_SUMS, stride, &ordinals[1]);
    return n;
}

/* ---- keeping ---- */

static bool fits_half(const float *state, int dim)
{
    for (int i = 0; i < dim; i++)
        if (!(fabsf(state[i]) <= 65504.0f)) return false;
    return true;
}

/* A row with a number beyond float16 at any exit is left out. */
static bool fits(const struct fitting *f, int row)
{
    const int dim = f->engine->model->spec.dim;
    for (int i = 0; i < f->n_exits; i++)
        if (!fits_half(cm_row(cm_states(&f->reader, i), row, dim), dim)) return false;
    return true;
}

static void keep_state(const float *state, int dim, uint16_t *out)
{
    for (int i = 0; i < dim; i++) out[i] = cm_half_of_float(state[i]);
}

/* Behind the labels of exit i: those of n rows. */
static void label_rows(struct fitting *f, int i, bool is_translated, int n, uint8_t *labels)
{
    const struct kept_states *kept = &f->kept;
    size_t at = (size_t)i * kept->capacity + kept->n;
    const size_t end = (size_t)(i + 1) * kept->capacity;
    cm_fit_probe(f, f->layers[i], is_translated, cm_states(&f->reader, i), n, f->guesses);
    if (is_translated) cm_fit_paths_add(f, i, n);
    for (int r = 0; r < n && at < end; r++)
        if (fits(f, r)) labels[at++] = f->guesses[r].token == f->full[r].token;
}

static void keep_rows(void *user, int n)
{
    struct fitting *f = user;
    struct kept_states *kept = &f->kept;
    const int    dim = f->engine->model->spec.dim;
    const size_t first = kept->n;
    cm_fit_probe(f, f->learned.n_layers, false, cm_last_states(&f->reader), n, f->full);
    for (int i = 0; i < f->n_exits; i++) {
        kept->n = first;
        label_rows(f, i, false, n, kept->plain);
        if (f->options.rank > 0) label_rows(f, i, true, n, kept->translated);
        for (int r = 0; r < n && kept->n < kept->capacity; r++) {
            if (!fits(f, r)) continue;
            keep_state(cm_row(cm_states(&f->reader, i), r, dim), dim,
                       kept->states + ((size_t)i * kept->capacity + kept->n++) * (size_t)dim);
        }
    }
}

static calmoe_status read_sample(struct fitting *f, enum fit_use use)
{
    size_t ordinal = 0;
    for (size_t i = 0; i < cm_fit_windows(&f->text); i++) {
        const struct fit_text window = cm_fit_window(&f->text, i);
        if (!is_kept(f, i, use, stride_of(f), &ordinal)) continue;
        CM_TRY(cm_state_reader_read(&f->reader, &window, keep_rows, f));
        CM_TRY(cm_fit_advance(f));
    }
    return CALMOE_OK;
}

static calmoe_status gather(struct fitting *f)
{
    const size_t n_rows = n_sampled_tokens(f) / stride_of(f);
    const size_t dim = (size_t)f->engine->model->spec.dim;
    f->kept.capacity = n_rows + 2 * (size_t)f->text.window; /* of both kinds, one may be kept too many */
    f->kept.states = cm_alloc(f->ctx, (size_t)f->n_exits * f->kept.capacity, dim * sizeof(uint16_t), "states");
    f->kept.plain = cm_alloc(f->ctx, (size_t)f->n_exits, f->kept.capacity, "labels");
    f->kept.translated = cm_alloc(f->ctx, (size_t)f->n_exits, f->kept.capacity, "labels");
    if (!f->kept.states || !f->kept.plain || !f->kept.translated) return CALMOE_NO_MEMORY;
    CM_TRY(read_sample(f, FIT_TRIAL));
    f->kept.n_tried = f->kept.n;
    return read_sample(f, FIT_SUMS);
}

/* ---- translators that help ---- */

/* Of rows that were not fitted (a text of so few windows that there are none has all) it must win more than it loses by
 * two standard deviations of a fair coin's. */
static bool helps(struct fitting *f, int exit)
{
    const struct kept_states *kept = &f->kept;
    const size_t at = (size_t)exit * kept->capacity, n = kept->n_tried > 0 ? kept->n_tried : kept->n;
    int n_won = 0, n_lost = 0, n_both = 0;
    for (size_t i = at; i < at + n; i++) {
        n_won += kept->translated[i] && !kept->plain[i];
        n_lost += kept->plain[i] && !kept->translated[i];
        n_both += kept->plain[i] && kept->translated[i];
    }
    f->tried_before[exit] = (double)(n_both + n_lost) / (double)n;
    f->tried_after[exit] = (double)(n_both + n_won) / (double)n;
    return (double)(n_won - n_lost) > 2.0 * sqrt((double)(n_won + n_lost));
}

static void drop_useless(struct fitting *f, int i)
{
    struct learned_exit *exit = &f->learned.exits[i];
    if (exit->rank == 0 || helps(f, i)) return;
    cm_learned_translator_drop(exit);
    cm_placed_close(&f->weights->layers[exit->layer].down);
    f->is_dropped[i] = true;
}

/* ---- fitting ---- */

static const uint8_t *labels_of(const struct fitting *f, int exit)
{
    const struct kept_states *kept = &f->kept;
    return (f->learned.exits[exit].rank > 0 ? kept->translated : kept->plain) + (size_t)exit * kept->capacity;
}

struct rows_of {
    const struct fitting *f;
    int                   exit;
};

static void read_rows(void *user, size_t first, size_t n, float *x, uint8_t *labels)
{
    const struct rows_of *rows = user;
    const struct kept_states *kept = &rows->f->kept;
    const size_t dim = (size_t)rows->f->engine->model->spec.dim;
    const size_t at = (size_t)rows->exit * kept->capacity + first;
    for (size_t i = 0; i < n * dim; i++) x[i] = cm_float_of_half(kept->states[at * dim + i]);
    memcpy(labels, labels_of(rows->f, rows->exit) + first, n);
}

static bool has_both_kinds(const struct fitting *f, int exit)
{
    const uint8_t *labels = labels_of(f, exit);
    size_t n = 0;
    for (size_t i = 0; i < f->kept.n; i++) n += labels[i];
    return n > 0 && n < f->kept.n;
}

static calmoe_status fit(struct fitting *f, int i)
{
    struct learned_exit *exit = &f->learned.exits[i];
    struct rows_of       user = {f, i};
    const struct labelled_rows rows = {f->learned.dim, f->kept.n, read_rows, &user};
    if (!has_both_kinds(f, i)) return CALMOE_OK;
    CM_TRY(cm_learned_classifier_reserve(f->ctx, exit, f->learned.dim));
    struct classifier_fit out = {.weights = exit->classifier};
    CM_TRY(cm_fit_classifier(f->ctx, &rows, RIDGE, &out));
    exit->classifier_bias = out.bias;
    return CALMOE_OK;
}

calmoe_status cm_fit_sample(struct fitting *f)
{
    CM_TRY(gather(f));
    for (int i = 0; i < f->n_exits; i++) {
        drop_useless(f, i);
        CM_TRY(cm_fit_path_solve(f, i));
        if (f->options.classifiers) CM_TRY(fit(f, i));
    }
    if (f->n_fitted == 0) f->n_fitted = f->kept.n;
    return CALMOE_OK;
}
