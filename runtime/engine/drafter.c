/* runtime/engine/drafter.c - see drafter.h: what an engine has of it. */
#include "runtime/engine/drafter_parts.h"
#include "runtime/engine/engine_ranks.h"
#include "runtime/engine/followers.h"

#include <string.h>

#include "base/memory.h"

/* ---- the same vocabulary ---- */

/* A token may be anything in either where nobody can use it: files fill vocabularies up. */
static bool is_same_token(const calmoe_model *a, const calmoe_model *b, int id)
{
    int         n_a, n_b;
    const char *of_a = cm_token_bytes(a->tokenizer, id, true, &n_a);
    const char *of_b = cm_token_bytes(b->tokenizer, id, true, &n_b);
    if (!a->usable[id] && !b->usable[id]) return true;
    return a->usable[id] == b->usable[id] && n_a == n_b && memcmp(of_a, of_b, (size_t)n_a) == 0;
}

calmoe_status cm_draft_model_check(const calmoe_engine *engine)
{
    const calmoe_model *model = engine->model, *draft = engine->options.draft_model;
    if (!draft->has_weights)
        return cm_fail(engine->ctx, CALMOE_INVALID_ARGUMENT, "draft_model '%s' was opened for its vocabulary only",
                       draft->path);
    const calmoe_model *larger = draft->spec.n_vocab > model->spec.n_vocab ? draft : model;
    const int n = larger == draft ? model->spec.n_vocab : draft->spec.n_vocab;
    int       id = 0;
    while (id < n && is_same_token(model, draft, id)) id++;
    while (id >= n && id < larger->spec.n_vocab && !larger->usable[id]) id++;
    if (id == larger->spec.n_vocab) return CALMOE_OK;
    return cm_fail(engine->ctx, CALMOE_INVALID_ARGUMENT,
                   "the draft model '%s' has another vocabulary than '%s': token %d is not the same; a model "
                   "of the same vocabulary is wanted", draft->path, model->path, id);
}

/* ---- opening ---- */

/* Of tensors of that model. */
static calmoe_status open_parts(calmoe_engine *engine, struct drafter *drafter, const calmoe_model *model,
                                const struct model_tensors *tensors)
{
    const bool shares_output = tensors->output.rows == engine->model->tensors.output.rows;
    const struct weights_options options = {.output_of = shares_output ? engine->weights : NULL,
                                            .sharing = cm_model_sharing(model)};
    CM_TRY(cm_engine_plan_beside(engine, drafter->spec, tensors, &drafter->plan));
    drafter->machine = engine->machine;
    drafter->machine.plan = &drafter->plan;
    CM_TRY(cm_weights_open(&drafter->machine, drafter->spec, tensors, &options, &drafter->weights));
    drafter->max_rows = engine->options.max_rows;
    CM_TRY(cm_decoder_open(&drafter->machine, drafter->spec, drafter->weights, drafter->max_rows, &drafter->decoder));
    drafter->rows = cm_alloc(engine->ctx, (size_t)drafter->max_rows, sizeof *drafter->rows, "rows of drafts");
    return drafter->rows ? cm_decoder_reserve_logits(drafter->decoder, 1) : CALMOE_NO_MEMORY;
}

static calmoe_status open_drafter(calmoe_engine *engine, const calmoe_model *model, const struct model_spec *spec,
                                  const struct model_tensors *tensors, struct drafter **out)
{
    if (*out) return CALMOE_OK;
    struct drafter *drafter = *out = cm_alloc(engine->ctx, 1, sizeof *drafter, "a drafter");
    if (!drafter) return CALMOE_NO_MEMORY;
    drafter->spec = spec;
    const calmoe_status status = open_parts(engine, drafter, model, tensors);
    if (status != CALMOE_OK) cm_drafter_close(out);
    return status;
}

static calmoe_status open_all(calmoe_engine *engine)
{
    const calmoe_model *model = engine->model, *draft = engine->options.draft_model;
    if (model->further.n_layers > 0)
        CM_TRY(open_drafter(engine, model, &model->further, &model->further_tensors,
                            &engine->drafters[DRAFTER_FURTHER]));
    if (!draft) return CALMOE_OK;
    return open_drafter(engine, draft, &draft->spec, &draft->tensors, &engine->drafters[DRAFTER_MODEL]);
}

static bool are_open(const calmoe_engine *engine)
{
    return (engine->model->further.n_layers == 0 || engine->drafters[DRAFTER_FURTHER]) &&
           (!engine->options.draft_model || engine->drafters[DRAFTER_MODEL]);
}

calmoe_status cm_drafters_follow(calmoe_engine *engine)
{
    const calmoe_status status = cm_engine_agree(engine, open_all(engine), "");
    for (int i = 0; i < N_DRAFTERS && status != CALMOE_OK; i++) cm_drafter_close(&engine->drafters[i]);
    return status;
}

calmoe_status cm_drafters_open(calmoe_engine *engine)
{
    if (engine->model->further_problem[0] != '\0')
        cm_log(engine->ctx, "the file's block that predicts a further token does not draft: %s",
               engine->model->further_problem);
    if (are_open(engine)) return CALMOE_OK;
    if (!engine->followers) return open_all(engine);
    CM_TRY(cm_followers_begin_drafters(engine->followers));
    const calmoe_status status = cm_drafters_follow(engine);
    cm_followers_end_step(engine->followers);
    return status;
}

void cm_drafter_close(struct drafter **drafter)
{
    if (!*drafter) return;
    cm_decoder_close(&(*drafter)->decoder);
    cm_weights_close(&(*drafter)->weights);
    cm_plan_close(&(*drafter)->plan);
    cm_free((*drafter)->rows);
    cm_free(*drafter);
    *drafter = NULL;
}

const struct model_spec *cm_drafter_spec(const struct drafter *drafter) { return drafter->spec; }
