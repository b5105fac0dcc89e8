/* engine_ranks.c - see engine_ranks.h; and calmoe_ranks, which an engine is opened with. */
#include "runtime/engine/engine_ranks.h"
#include "runtime/engine/followers.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include <calmoe/ranks.h>

#include "base/memory.h"
#include "base/options.h"
#include "runtime/forward/step_exchanges.h"

/* ---- ranks by themselves ---- */

static const double DEFAULT_TIMEOUT = 10, LONGEST_TIMEOUT = 86400;

int calmoe_ranks_launched(void) { return cm_ranks_launched(); }

void calmoe_ranks_options_init(calmoe_ranks_options *options)
{
    if (options) *options = (calmoe_ranks_options){.size = sizeof *options};
}

calmoe_status calmoe_ranks_open(calmoe_context *ctx, const calmoe_ranks_options *given, calmoe_ranks **out)
{
    calmoe_ranks_options options;
    if (out) *out = NULL;
    if (!ctx || !out) return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "calmoe_ranks_open: context and out are needed");
    calmoe_ranks_options_init(&options);
    CM_TRY(cm_options_copy(ctx, "calmoe_ranks_options", &options, sizeof options, given));
    if (!(options.timeout >= 0 && options.timeout <= LONGEST_TIMEOUT && options.bandwidth >= 0 &&
          isfinite(options.bandwidth)))
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT,
                       "ranks with a timeout of %g s and %g GB/s: 0 to %g, and 0 or more, are wanted", options.timeout,
                       options.bandwidth, LONGEST_TIMEOUT);
    calmoe_ranks *ranks = cm_alloc(ctx, 1, sizeof *ranks, "ranks");
    if (!ranks) return CALMOE_NO_MEMORY;
    ranks->ctx = ctx;
    ranks->bandwidth = options.bandwidth;
    const calmoe_status status = cm_ranks_open(ctx, options.communicator,
                                               options.timeout > 0 ? options.timeout : DEFAULT_TIMEOUT, &ranks->ranks);
    if (status != CALMOE_OK) calmoe_ranks_close(&ranks, NULL);
    *out = ranks;
    return status;
}

void calmoe_ranks_close(calmoe_ranks **ranks, const char *failure)
{
    if (!ranks || !*ranks) return;
    cm_ranks_close(&(*ranks)->ranks, failure);
    cm_free(*ranks);
    *ranks = NULL;
}

int calmoe_ranks_count(const calmoe_ranks *ranks) { return ranks ? cm_ranks_n(ranks->ranks) : 1; }
int calmoe_ranks_own(const calmoe_ranks *ranks) { return ranks ? cm_ranks_own(ranks->ranks) : 0; }

int calmoe_ranks_are_lost(const calmoe_ranks *ranks) { return ranks && cm_ranks_are_lost(ranks->ranks); }

/* ---- an engine's ---- */

static bool has_others(const calmoe_engine *engine) { return calmoe_ranks_count(engine->options.ranks) > 1; }

static calmoe_status check(const calmoe_engine *engine)
{
    if (!engine->options.whole_experts || engine->options.memory_limit == 0) return CALMOE_OK;
    return cm_fail(engine->ctx, CALMOE_UNSUPPORTED, "experts that are whole on ranks stay in memory; a limit of memory "
                   "is for experts whose rows are cut over ranks");
}

/* What must be the same on all ranks. */
static void describe(const calmoe_engine *engine, char text[CM_RANK_TEXT])
{
    const calmoe_engine_options *options = &engine->options;
    snprintf(text, CM_RANK_TEXT, "calmoe %s, the model %s, %d rows in a step, %s keys and values, %s%s",
             calmoe_version(), engine->model->fingerprint, options->max_rows,
             options->kv_float32 ? "float32" : "float16",
             options->ranks->bandwidth > 0 ? "a stated bandwidth" : "no stated bandwidth",
             options->whole_experts ? ", experts whole on ranks" : "");
}

static calmoe_status agree(const calmoe_engine *engine, calmoe_status status, double number, const char *text,
                           double *numbers)
{
    struct rank_word word = {.status = status, .number = number};
    snprintf(word.text, sizeof word.text, "%.*s", CM_RANK_TEXT - 1,
             status == CALMOE_OK ? text : calmoe_context_message(engine->ctx));
    return cm_ranks_agree(engine->options.ranks->ranks, &word, numbers);
}

calmoe_status cm_engine_join(calmoe_engine *engine, calmoe_status status)
{
    struct rank_shares *shares = &engine->shares;
    char                text[CM_RANK_TEXT] = "";
    if (!has_others(engine)) return status;
    if (status == CALMOE_OK) status = check(engine);
    if (status == CALMOE_OK) describe(engine, text);
    const double stated = engine->options.ranks->bandwidth;
    const double threads = status == CALMOE_OK ? cm_team_n_workers(engine->team) : 1;
    *shares = (struct rank_shares){.n_ranks = calmoe_ranks_count(engine->options.ranks),
                                   .own = calmoe_ranks_own(engine->options.ranks),
                                   .has_whole_experts = engine->options.whole_experts != 0};
    return agree(engine, status, stated > 0 ? stated : threads, text, shares->of);
}

calmoe_status cm_engine_open_exchange(calmoe_engine *engine)
{
    const calmoe_model *model = engine->model, *draft = engine->options.draft_model;
    const struct model_spec *const all[] = {&model->spec, &model->further, draft ? &draft->spec : NULL};
    size_t most = 0;
    if (!has_others(engine)) return CALMOE_OK;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        if (!all[i] || all[i]->n_layers == 0) continue;
        const size_t n = cm_exchange_floats(all[i], &engine->shares, engine->options.max_rows);
        most = n > most ? n : most;
    }
    return cm_exchange_open(engine->ctx, engine->options.ranks->ranks, &engine->shares,
                            engine->machine.isa, most, &engine->machine.exchange);
}

calmoe_status cm_engine_agree(const calmoe_engine *engine, calmoe_status status, const char *text)
{
    double numbers[CM_MAX_RANKS];
    return agree(engine, status, 0, text, numbers);
}

/* A number for which experts a plan streams. A width rule may ask (cm_prefer_kept()), and all ranks must choose the
 * same. */
static unsigned which_streamed(const struct plan *plan)
{
    uint32_t number = 2166136261u; /* FNV-1a */
    for (int layer = 0; layer < plan->n_layers; layer++)
        for (int expert = 0; expert < plan->n_experts; expert++)
            number = (number ^ cm_place_of(plan, layer, expert)->is_streamed) * 16777619u;
    return number;
}

calmoe_status cm_engine_begin_ranks(calmoe_engine *engine, calmoe_status status)
{
    char        text[CM_RANK_TEXT];
    const char *exits = cm_engine_exits(engine);
    if (!has_others(engine)) return status;
    const calmoe_model *draft = engine->options.draft_model;
    char                streamed[64] = "no plan with experts on disk";
    const int           n_streamed = status == CALMOE_OK ? cm_plan_n_streamed(&engine->plan, -1) : 0;
    if (n_streamed > 0)
        snprintf(streamed, sizeof streamed, "a plan with %d experts on disk (%08x)", n_streamed,
                 which_streamed(&engine->plan));
    snprintf(text, sizeof text, "%s%s, %s%s, %s", exits[0] ? "the fitted exits " : "no fitted exits", exits,
             draft ? "the draft model " : "no draft model", draft ? draft->fingerprint : "", streamed);
    CM_TRY(cm_engine_agree(engine, status, text));
    return engine->shares.own == 0 ? cm_followers_open(engine, &engine->followers) : CALMOE_OK;
}

void cm_engine_end_ranks(calmoe_engine *engine)
{
    cm_followers_close(&engine->followers);
    cm_exchange_close(&engine->machine.exchange);
}

calmoe_status calmoe_engine_get_ranks_stats(const calmoe_engine *engine, calmoe_ranks_stats *stats)
{
    if (!engine || !stats || stats->size < sizeof stats->size || !has_others(engine))
        return cm_fail(engine ? engine->ctx : NULL, CALMOE_INVALID_ARGUMENT,
                       "calmoe_engine_get_ranks_stats: an engine of several ranks, and stats with its size set, are "
                       "needed");
    const struct ranks_work now = cm_ranks_work(engine->options.ranks->ranks), *then = &engine->ranks_work_at_reset;
    const calmoe_ranks_stats filled = {.n_ranks = engine->shares.n_ranks, .own = engine->shares.own,
                                       .n_exchanges = now.n_exchanges - then->n_exchanges,
                                       .n_bytes_received = now.n_bytes_received - then->n_bytes_received,
                                       .n_bytes_sent = now.n_bytes_sent - then->n_bytes_sent,
                                       .seconds = (double)(now.ns - then->ns) * 1e-9};
    cm_options_give(stats, &filled, sizeof filled);
    return CALMOE_OK;
}
