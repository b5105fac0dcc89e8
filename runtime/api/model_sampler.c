/* runtime/api/model_sampler.c - what a model's file advises on sampling. */
#include <float.h>
#include <limits.h>
#include <string.h>

#include "base/options.h"
#include "runtime/engine/handles.h"

enum { REPEAT_ALL = 1 << 20 }; /* as far back as a sampler looks */

static const char prefix[] = "general.sampling.";
static const char *const known[] = {"temp", "top_k", "top_p", "min_p", "penalty_repeat", "penalty_last_n"};

static bool is_known(const char *name)
{
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(name, known[i]) == 0) return true;
    return false;
}

static void remark_on_others(const calmoe_model *model)
{
    for (uint64_t i = 0; i < model->file->n_entries; i++) {
        const char *key = model->file->entries[i].key;
        if (strncmp(key, prefix, strlen(prefix)) != 0 || is_known(key + strlen(prefix))) continue;
        cm_log(model->ctx, "'%s': its advice on sampling, key '%.80s', is not followed", model->file->name, key);
    }
}

static calmoe_status read_advice(const calmoe_model *model, calmoe_sampler_options *options)
{
    calmoe_context          *ctx = model->ctx;
    const struct model_file *file = model->file;
    int64_t top_k = options->top_k, last = options->repeat_last;
    CM_TRY(cm_meta_get_float(ctx, file, "general.sampling.temp", 0, (double)FLT_MAX, &options->temperature));
    CM_TRY(cm_meta_get_int(ctx, file, "general.sampling.top_k", -1, INT_MAX, &top_k));
    CM_TRY(cm_meta_get_float(ctx, file, "general.sampling.top_p", 0, 1, &options->top_p));
    CM_TRY(cm_meta_get_float(ctx, file, "general.sampling.min_p", 0, 1, &options->min_p));
    CM_TRY(cm_meta_get_float(ctx, file, "general.sampling.penalty_repeat", (double)FLT_MIN, (double)FLT_MAX,
                             &options->repeat_penalty));
    CM_TRY(cm_meta_get_int(ctx, file, "general.sampling.penalty_last_n", -1, REPEAT_ALL, &last));
    options->top_k = top_k < 0 ? 0 : (int)top_k;                 /* files write -1 for all tokens */
    options->repeat_last = last < 0 ? REPEAT_ALL : (int)last;    /* and -1 for the whole context  */
    if (!(options->top_p > 0)) options->top_p = FLT_MIN;         /* only the likeliest            */
    return CALMOE_OK;
}

calmoe_status calmoe_model_sampler_defaults(const calmoe_model *model, calmoe_sampler_options *options)
{
    if (!model || !options || options->size < sizeof options->size)
        return cm_fail(model ? model->ctx : NULL, CALMOE_INVALID_ARGUMENT,
                       "calmoe_model_sampler_defaults: a model, and options that were initialised, are needed");
    calmoe_sampler_options advised;
    calmoe_sampler_options_init(&advised);
    CM_TRY(cm_options_copy(model->ctx, "calmoe_sampler_options", &advised, sizeof advised, options));
    CM_TRY(read_advice(model, &advised));
    remark_on_others(model);
    cm_options_give(options, &advised, sizeof advised);
    return CALMOE_OK;
}
