/* runtime/families/override.c - see override.h. */
#include "runtime/families/override.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/names.h"
#include "router/router.h"
#include "runtime/families/rope_spec.h"
#include "runtime/load/meta_override.h"

enum { MAX_KEY = 128, MAX_CONTEXT = 1 << 24 };

bool cm_override_has_rope(const struct model_override *override)
{
    return override->rope_scaling || override->rope_scale != 0.0f || override->rope_base != 0.0f ||
           override->yarn_original_context != 0 || override->yarn_attn_factor != 0.0f ||
           override->yarn_beta_fast != 0.0f || override->yarn_beta_slow != 0.0f;
}

bool cm_override_any(const struct model_override *override)
{
    return override->n_experts_used != 0 || cm_override_has_rope(override);
}

struct work {
    struct calmoe_context       *ctx;
    const struct model_override *wanted;
    struct model_file           *file;
    char                         key[MAX_KEY];
};

/* "<architecture>.<name>" */
static const char *full(struct work *w, const char *name)
{
    struct meta_string architecture = {"", 0};
    (void)cm_meta_get_string(w->ctx, w->file, "general.architecture", &architecture);
    snprintf(w->key, sizeof w->key, "%.*s.%s", (int)(architecture.n_bytes < 40 ? architecture.n_bytes : 40),
             architecture.bytes, name);
    return w->key;
}

/* What the file says of a number, from 0 on; absent = 0. Files that say it for each layer: of the first. */
static calmoe_status said_int(struct work *w, const char *name, int max, int *out)
{
    int64_t                  value = 0;
    const struct meta_entry *entry = cm_meta_entry(w->file, full(w, name));
    if (entry && entry->type == META_ARRAY && cm_meta_is_integer(entry->element_type) && entry->count > 0)
        value = cm_meta_element_int(entry, 0);
    else CM_TRY(cm_meta_get_int(w->ctx, w->file, w->key, 0, max, &value));
    *out = value > 0 && value <= max ? (int)value : 0;
    return CALMOE_OK;
}

/* ---- experts ---- */

static calmoe_status override_experts(struct work *w)
{
    const int wanted = w->wanted->n_experts_used;
    int       n_experts, trained;
    if (wanted == 0) return CALMOE_OK;
    CM_TRY(said_int(w, "expert_count", ROUTER_MAX_EXPERTS, &n_experts));
    CM_TRY(said_int(w, "expert_used_count", ROUTER_MAX_EXPERTS, &trained));
    if (n_experts == 0)
        return cm_fail(w->ctx, CALMOE_INVALID_ARGUMENT, "n_experts_used is %d, but '%s' is a dense model",
                       wanted, w->file->name);
    const int most = n_experts < ROUTER_MAX_USED ? n_experts : ROUTER_MAX_USED;
    if (wanted < 1 || wanted > most)
        return cm_fail(w->ctx, CALMOE_INVALID_ARGUMENT, "n_experts_used is %d; 1 to %d of the %d experts is wanted",
                       wanted, most, n_experts);
    if (wanted != trained)
        cm_log(w->ctx, "each token takes %d of %d experts in each layer; the model was trained with %d", wanted,
               n_experts, trained);
    return cm_meta_override_int(w->ctx, w->file, full(w, "expert_used_count"), wanted);
}

/* ---- rotary positions ---- */

struct scaling { /* as it will be */
    const char *type;     /* "none", "linear", "yarn" */
    bool        was_yarn; /* as the file says         */
    float       factor;
    int         original_context, context;
};

static calmoe_status refuse_range(struct work *w, const char *name, double value, double least, double most)
{
    return cm_fail(w->ctx, CALMOE_INVALID_ARGUMENT, "%s is %g; %g to %g is wanted", name, value, least, most);
}

static calmoe_status check_ranges(struct work *w)
{
    const struct model_override *o = w->wanted;
    const struct { const char *name; double value, least, most; } numbers[] = {
        {"rope_scale", (double)o->rope_scale, 1e-3, 1e6},
        {"rope_base", (double)o->rope_base, 1.0, 1e12},
        {"yarn_original_context", o->yarn_original_context, 1, MAX_CONTEXT},
        {"yarn_attn_factor", (double)o->yarn_attn_factor, 1e-3, 1e3},
        {"yarn_beta_fast", (double)o->yarn_beta_fast, 1e-3, 1e6},
        {"yarn_beta_slow", (double)o->yarn_beta_slow, 1e-3, 1e6},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        if (numbers[i].value != 0.0 && !(numbers[i].value >= numbers[i].least && numbers[i].value <= numbers[i].most))
            return refuse_range(w, numbers[i].name, numbers[i].value, numbers[i].least, numbers[i].most);
    return CALMOE_OK;
}

/* What the file's own scaling is; a factor without a type is linear. */
static calmoe_status said_scaling(struct work *w, struct scaling *out)
{
    struct meta_string type = {"", 0};
    out->factor = 0.0f;
    CM_TRY(cm_meta_get_float(w->ctx, w->file, full(w, "rope.scale_linear"), 0.0, 1e6, &out->factor));
    CM_TRY(cm_meta_get_float(w->ctx, w->file, full(w, "rope.scaling.factor"), 0.0, 1e6, &out->factor));
    CM_TRY(cm_meta_get_string(w->ctx, w->file, full(w, "rope.scaling.type"), &type));
    const bool is_yarn = type.n_bytes == 4 && memcmp(type.bytes, "yarn", 4) == 0;
    const bool is_linear = type.n_bytes == 0 ? out->factor > 0.0f
                                             : type.n_bytes == 6 && memcmp(type.bytes, "linear", 6) == 0;
    out->was_yarn = is_yarn;
    out->type = is_yarn ? "yarn" : is_linear ? "linear" : "none";
    CM_TRY(said_int(w, "context_length", MAX_CONTEXT, &out->context));
    CM_TRY(said_int(w, "rope.scaling.original_context_length", MAX_CONTEXT, &out->original_context));
    if (out->original_context == 0) out->original_context = out->context;
    return CALMOE_OK;
}

static calmoe_status choose_scaling(struct work *w, struct scaling *s)
{
    const struct model_override *o = w->wanted;
    const bool has_yarn = o->yarn_original_context != 0 || o->yarn_attn_factor != 0.0f || o->yarn_beta_fast != 0.0f ||
                          o->yarn_beta_slow != 0.0f;
    int row;
    CM_TRY(said_scaling(w, s));
    if (o->rope_scaling) s->type = o->rope_scaling;
    else if (o->rope_scale != 0.0f && strcmp(s->type, "none") == 0) s->type = "linear";
    CM_TRY(cm_name_choose(w->ctx, "rope_scaling", CM_TEXTS(cm_rope_scaling_names), s->type, &row));
    if (strcmp(s->type, "none") == 0 && o->rope_scale != 0.0f)
        return cm_fail(w->ctx, CALMOE_INVALID_ARGUMENT, "rope_scale is %g, but rope_scaling is none",
                       (double)o->rope_scale);
    if (strcmp(s->type, "yarn") != 0 && has_yarn)
        return cm_fail(w->ctx, CALMOE_INVALID_ARGUMENT, "numbers of YaRN are given, but rope_scaling is %s", s->type);
    if (o->rope_scale != 0.0f) s->factor = o->rope_scale;
    if (o->yarn_original_context != 0) s->original_context = o->yarn_original_context;
    if (strcmp(s->type, "none") == 0) {
        s->factor = 1.0f;
        s->context = s->original_context < s->context ? s->original_context : s->context;
        return CALMOE_OK;
    }
    if (s->factor <= 0.0f)
        return cm_fail(w->ctx, CALMOE_INVALID_ARGUMENT, "rope_scaling %s wants rope_scale, how many times longer the "
                       "context becomes", s->type);
    const double reach = floor((double)s->original_context * (double)s->factor);
    if (reach > s->context) s->context = reach < MAX_CONTEXT ? (int)reach : MAX_CONTEXT;
    return CALMOE_OK;
}

/* YaRN leaves pairs alone that turn at least beta_fast times within the original context, stretches those that turn at
 * most beta_slow times, and blends between the two. The effective values are the caller's, else the file's. */
static calmoe_status check_turns(struct work *w)
{
    const struct model_override *o = w->wanted;
    float                        fast = 32.0f, slow = 1.0f;
    if (o->yarn_beta_fast == 0.0f && o->yarn_beta_slow == 0.0f) return CALMOE_OK;
    CM_TRY(cm_meta_get_float(w->ctx, w->file, full(w, "rope.scaling.yarn_beta_fast"), 0.0, 1e6, &fast));
    CM_TRY(cm_meta_get_float(w->ctx, w->file, full(w, "rope.scaling.yarn_beta_slow"), 0.0, 1e6, &slow));
    if (o->yarn_beta_fast != 0.0f) fast = o->yarn_beta_fast;
    if (o->yarn_beta_slow != 0.0f) slow = o->yarn_beta_slow;
    if (fast >= slow) return CALMOE_OK;
    return cm_fail(w->ctx, CALMOE_INVALID_ARGUMENT, "yarn_beta_fast is %g; at least yarn_beta_slow, %g, is wanted",
                   (double)fast, (double)slow);
}

static calmoe_status override_scaling(struct work *w)
{
    const struct model_override *o = w->wanted;
    struct scaling               s;
    CM_TRY(choose_scaling(w, &s));
    CM_TRY(check_turns(w));
    if (cm_meta_entry(w->file, full(w, "rope.scale_linear")))
        CM_TRY(cm_meta_override_float(w->ctx, w->file, w->key, 1.0f));
    CM_TRY(cm_meta_override_text(w->ctx, w->file, full(w, "rope.scaling.type"), s.type));
    CM_TRY(cm_meta_override_float(w->ctx, w->file, full(w, "rope.scaling.factor"), s.factor));
    if (s.context > 0) CM_TRY(cm_meta_override_int(w->ctx, w->file, full(w, "context_length"), s.context));
    if (strcmp(s.type, "yarn") != 0) return CALMOE_OK;
    /* Files with YaRN of their own must say it, where the family has it; of one that a caller wants it is none. */
    if (!s.was_yarn && !cm_meta_entry(w->file, full(w, "rope.scaling.yarn_log_multiplier")))
        CM_TRY(cm_meta_override_float(w->ctx, w->file, w->key, 0.0f));
    const struct { const char *name; float value; } numbers[] = {
        {"rope.scaling.attn_factor", o->yarn_attn_factor},
        {"rope.scaling.yarn_beta_fast", o->yarn_beta_fast},
        {"rope.scaling.yarn_beta_slow", o->yarn_beta_slow},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        if (numbers[i].value != 0.0f)
            CM_TRY(cm_meta_override_float(w->ctx, w->file, full(w, numbers[i].name), numbers[i].value));
    if (s.original_context == 0) return CALMOE_OK;
    return cm_meta_override_int(w->ctx, w->file, full(w, "rope.scaling.original_context_length"), s.original_context);
}

static calmoe_status override_rope(struct work *w)
{
    const struct model_override *o = w->wanted;
    if (!cm_override_has_rope(o)) return CALMOE_OK;
    CM_TRY(check_ranges(w));
    if (o->rope_base != 0.0f)
        CM_TRY(cm_meta_override_float(w->ctx, w->file, full(w, "rope.freq_base"), o->rope_base));
    struct model_override without_base = *o;
    without_base.rope_base = 0.0f;
    return cm_override_has_rope(&without_base) ? override_scaling(w) : CALMOE_OK;
}

calmoe_status cm_override_metadata(struct calmoe_context *ctx, const struct model_override *override,
                                   struct model_file *file)
{
    struct work        w = {.ctx = ctx, .wanted = override, .file = file};
    struct meta_string architecture;
    if (!cm_override_any(override)) return CALMOE_OK;
    CM_TRY(cm_meta_need_string(ctx, file, "general.architecture", &architecture));
    CM_TRY(override_experts(&w));
    return override_rope(&w);
}
