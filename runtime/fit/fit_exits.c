/* runtime/fit/fit_exits.c - calmoe_fit_exits: translators from the sums of all states, classifiers from a sample, then
 * what they are good for, then the file. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/options.h"
#include "runtime/fit/fit_parts.h"
#include "runtime/documents/exits_file.h"
#include "runtime/engine/followers.h"

enum {
    DEFAULT_RANK = 64,
    DEFAULT_WINDOW = 512,
    DEFAULT_MEMORY = 256 << 20,
    PROBE_ROWS = 64 /* whose logits are made at once */
};

void calmoe_fit_options_init(calmoe_fit_options *options)
{
    if (options)
        *options = (calmoe_fit_options){.size = sizeof *options, .rank = DEFAULT_RANK, .ridge = 1e-3,
                                        .classifiers = 1, .memory = DEFAULT_MEMORY, .save_every = 60.0};
}

/* ---- options ---- */

/* After about 1/2, 2/3 and 5/6 of the layers. */
static void choose_layers(struct fitting *f, int n_layers)
{
    for (int sixth = 3; sixth <= 5; sixth++) {
        const int layer = (n_layers * sixth + 3) / 6;
        if (layer < 1 || layer >= n_layers || (f->n_exits > 0 && f->layers[f->n_exits - 1] >= layer)) continue;
        f->layers[f->n_exits++] = layer;
    }
}

static calmoe_status read_layers(struct fitting *f)
{
    const calmoe_fit_options *options = &f->options;
    const int n_layers = f->engine->model->spec.n_layers;
    if (!options->layers) choose_layers(f, n_layers);
    if (options->layers && (options->n_layers < 1 || options->n_layers > CALMOE_MAX_EXITS))
        return cm_fail(f->ctx, CALMOE_INVALID_ARGUMENT, "%d exit layers; 1 to %d are wanted", options->n_layers,
                       CALMOE_MAX_EXITS);
    for (int i = 0; options->layers && i < options->n_layers; i++) {
        const int layer = options->layers[i];
        if (layer < 1 || layer >= n_layers || (i > 0 && layer <= options->layers[i - 1]))
            return cm_fail(f->ctx, CALMOE_INVALID_ARGUMENT,
                           "exit layer %d is %d; layers from 1 to %d, ascending, are wanted", i, layer, n_layers - 1);
        f->layers[f->n_exits++] = layer;
    }
    if (f->n_exits == 0)
        return cm_fail(f->ctx, CALMOE_INVALID_ARGUMENT, "a model of %d layer has no exits", n_layers);
    return CALMOE_OK;
}

static calmoe_status check_tokens(const struct fitting *f, const struct fit_text *text, const char *what)
{
    const int n_vocab = f->engine->model->spec.n_vocab;
    for (size_t i = 0; i < text->n_tokens; i++)
        if (text->tokens[i] < 0 || text->tokens[i] >= n_vocab)
            return cm_fail(f->ctx, CALMOE_INVALID_ARGUMENT, "token %zu %s is %d; 0 to %d is wanted", i, what,
                           (int)text->tokens[i], n_vocab - 1);
    return CALMOE_OK;
}

static calmoe_status read_numbers(struct fitting *f)
{
    calmoe_fit_options *options = &f->options;
    const struct model_spec *spec = &f->engine->model->spec;
    if (options->rank == DEFAULT_RANK && spec->dim < DEFAULT_RANK) options->rank = spec->dim;
    if (options->rank < 0 || options->rank > spec->dim)
        return cm_fail(f->ctx, CALMOE_INVALID_ARGUMENT, "rank is %d; 0 (no translators) to %d is wanted",
                       options->rank, spec->dim);
    if (options->rank == 0 && !options->classifiers)
        return cm_fail(f->ctx, CALMOE_INVALID_ARGUMENT, "neither translators nor classifiers are to be fitted");
    if (!(options->ridge > 0.0 && options->ridge < (double)INFINITY) || !(options->save_every >= 0.0))
        return cm_fail(f->ctx, CALMOE_INVALID_ARGUMENT,
                       "ridge is %g, save_every %g; above 0, and 0 or more are wanted", options->ridge,
                       options->save_every);
    if (options->window == 0)
        options->window = spec->context_length < DEFAULT_WINDOW ? spec->context_length : DEFAULT_WINDOW;
    if (options->window < 1 || options->window > spec->context_length)
        return cm_fail(f->ctx, CALMOE_INVALID_ARGUMENT, "window is %d; 1 to %d tokens, which the model was trained "
                       "for, are wanted", options->window, spec->context_length);
    return CALMOE_OK;
}

static calmoe_status read_text(struct fitting *f, const int32_t *tokens, size_t n_tokens)
{
    const calmoe_fit_options *options = &f->options;
    f->text = (struct fit_text){tokens, n_tokens, options->window};
    f->held_out = (struct fit_text){options->held_out, options->n_held_out, options->window};
    if (cm_fit_windows(&f->text) < 2 && !options->held_out)
        return cm_fail(f->ctx, CALMOE_INVALID_ARGUMENT, "%zu tokens are %zu windows of %d; at least 2 are wanted, one "
                       "to be held out", n_tokens, cm_fit_windows(&f->text), options->window);
    if (n_tokens < 2 || (options->held_out && options->n_held_out < 1))
        return cm_fail(f->ctx, CALMOE_INVALID_ARGUMENT, "%zu tokens to fit, and %zu held out; more are wanted",
                       n_tokens, options->n_held_out);
    CM_TRY(check_tokens(f, &f->text, "of the text"));
    return check_tokens(f, &f->held_out, "that is held out");
}

static void count_work(struct fitting *f)
{
    const size_t n = cm_fit_windows(&f->text);
    if (f->options.rank > 0) f->n_work += n;
    f->n_work += cm_fit_sample_windows(f);
    if (f->held_out.tokens) f->n_work += cm_fit_windows(&f->held_out);
    for (size_t i = 0; i < n; i++) f->n_work += cm_fit_use(f, i) == FIT_JUDGEMENT;
}

/* ---- the fit ---- */

/* Heads are read a few rows at a time, with translators where there are any. */
static calmoe_status begin_probing(struct fitting *f)
{
    const int    max_rows = cm_decoder_max_rows(f->engine->decoder);
    const int    n_rows = max_rows < PROBE_ROWS ? max_rows : PROBE_ROWS;
    const size_t n = (size_t)n_rows, n_answers = n * (size_t)f->n_exits;
    CM_TRY(cm_fit_open_reader(f, n_rows, f->options.rank > 0));
    CM_TRY(cm_decoder_reserve_logits(f->engine->decoder, n_rows));
    f->full = cm_alloc(f->ctx, n, sizeof *f->full, "answers");
    f->guesses = cm_alloc(f->ctx, n, sizeof *f->guesses, "answers");
    f->before = cm_alloc(f->ctx, n_answers, sizeof *f->before, "answers");
    f->after = cm_alloc(f->ctx, n_answers, sizeof *f->after, "answers");
    if (!f->full || !f->guesses || !f->before || !f->after) return CALMOE_NO_MEMORY;
    if (f->options.rank == 0) return CALMOE_OK;
    CM_TRY(cm_fit_paths_open(f));
    if (f->engine->followers) cm_followers_take_translators(f->engine->followers, &f->learned);
    CM_TRY(cm_exit_weights_open(&f->engine->machine, &f->learned, &f->weights));
    return cm_exits_open(f->ctx, f->engine->decoder, f->weights, f->engine->model->usable, &f->exits);
}

/* Without translator and classifier there is no exit. */
static calmoe_status write_exits(struct fitting *f)
{
    struct learned_exits written = f->learned; /* borrows; not closed */
    written.n = 0;
    for (int i = 0; i < f->n_exits; i++)
        if (f->learned.exits[i].rank > 0 || f->learned.exits[i].classifier)
            written.exits[written.n++] = f->learned.exits[i];
    if (written.n == 0)
        return cm_fail(f->ctx, CALMOE_INVALID_ARGUMENT, "there is nothing to write: no translator helps, and no "
                       "classifier was fitted");
    CM_TRY(cm_exits_file_write(f->ctx, f->path, &written));
    (void)unlink(f->sums_path);
    return CALMOE_OK;
}

static calmoe_status run(struct fitting *f)
{
    const struct model_spec *spec = &f->engine->model->spec;
    const size_t n_path = strlen(f->path) + 6;
    f->sums_path = cm_alloc(f->ctx, n_path, 1, "a path");
    f->read_layers = cm_alloc(f->ctx, (size_t)spec->n_layers, sizeof *f->read_layers, "layers");
    if (!f->sums_path || !f->read_layers) return CALMOE_NO_MEMORY;
    snprintf(f->sums_path, n_path, "%s.sums", f->path);
    f->learned = (struct learned_exits){.n_layers = spec->n_layers, .dim = spec->dim, .n = f->n_exits};
    memcpy(f->learned.model, f->engine->model->fingerprint, sizeof f->learned.model);
    f->tally_before = (struct exit_tally){.n_exits = f->n_exits, .n_layers = spec->n_layers};
    for (int i = 0; i < f->n_exits; i++) f->learned.exits[i].layer = f->tally_before.layers[i] = f->layers[i];
    f->tally_after = f->tally_before;
    count_work(f);
    CM_TRY(cm_fit_translators(f));
    CM_TRY(begin_probing(f));
    CM_TRY(cm_fit_sample(f));
    CM_TRY(cm_fit_judge(f));
    return write_exits(f);
}

/* The engine is as it was. */
static void close_fitting(struct fitting *f)
{
    cm_state_reader_close(&f->reader);
    cm_exits_close(&f->exits);
    cm_exit_weights_close(&f->weights);
    for (int i = 0; i < CALMOE_MAX_EXITS; i++) cm_translator_fit_close(&f->fits[i]);
    cm_learned_exits_close(&f->learned);
    cm_free(f->scaled);
    cm_free(f->kept.states);
    cm_free(f->kept.plain);
    cm_free(f->kept.translated);
    cm_free(f->full);
    cm_free(f->guesses);
    cm_free(f->before);
    cm_free(f->after);
    cm_free(f->sums_path);
    cm_free(f->read_layers);
    cm_free(f->path_sums);
}

static void put_report(const struct fitting *f, calmoe_fit_report *out)
{
    calmoe_fit_report report = {.size = sizeof report};
    cm_fit_report(f, &report);
    cm_options_give(out, &report, sizeof report);
}

calmoe_status calmoe_fit_exits(calmoe_engine *engine, const int32_t *tokens, size_t n_tokens,
                               const calmoe_fit_options *given, const char *path, calmoe_fit_report *report)
{
    calmoe_context *ctx = engine ? engine->ctx : NULL;
    if (!engine || !tokens || !path || (report && report->size < sizeof report->size))
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT,
                       "calmoe_fit_exits: engine, tokens, path, and a report with its size set are needed");
    if (engine->n_sessions > 0 || engine->exit_weights)
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "exits are fitted on an engine without %s",
                       engine->exit_weights ? "exits" : "open sessions");
    struct fitting f = {.engine = engine, .ctx = ctx, .path = path};
    calmoe_fit_options_init(&f.options);
    CM_TRY(cm_options_copy(ctx, "calmoe_fit_options", &f.options, sizeof f.options, given));
    CM_TRY(read_layers(&f));
    CM_TRY(read_numbers(&f));
    CM_TRY(read_text(&f, tokens, n_tokens));
    const calmoe_status status = run(&f);
    if (status == CALMOE_OK && report) put_report(&f, report);
    close_fitting(&f);
    return status;
}
