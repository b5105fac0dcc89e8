/* configurations.c - see configurations.h. */
#include "runtime/calibrate/configurations.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"

calmoe_status cm_configurations_open(struct calmoe_context *ctx, int capacity, int n_layers,
                                     struct configurations *out)
{
    const size_t n = (size_t)capacity;
    *out = (struct configurations){.capacity = capacity, .n_layers = n_layers};
    out->rungs = cm_alloc(ctx, n, sizeof *out->rungs, "configurations");
    out->widths = cm_alloc(ctx, n * (size_t)n_layers, sizeof *out->widths, "configurations");
    if (out->rungs && out->widths) return CALMOE_OK;
    cm_configurations_close(out);
    return CALMOE_NO_MEMORY;
}

void cm_configurations_close(struct configurations *list)
{
    cm_free(list->rungs);
    cm_free(list->widths);
    *list = (struct configurations){0};
}

calmoe_status cm_configurations_grow(struct calmoe_context *ctx, int n, struct configurations *list)
{
    struct configurations larger;
    const size_t n_layers = (size_t)list->n_layers;
    CM_TRY(cm_configurations_open(ctx, list->capacity + n, list->n_layers, &larger));
    larger.n = list->n;
    memcpy(larger.rungs, list->rungs, (size_t)list->n * sizeof *list->rungs);
    memcpy(larger.widths, list->widths, (size_t)list->n * n_layers * sizeof *list->widths);
    for (size_t i = 0; i < (size_t)list->n; i++)
        if (larger.rungs[i].widths) larger.rungs[i].widths = larger.widths + i * n_layers;
    cm_configurations_close(list);
    *list = larger;
    return CALMOE_OK;
}

/* ---- the same? ---- */

static bool same_rule(const struct width_rule *a, const struct width_rule *b)
{
    if (a->kind != b->kind) return false;
    return a->kind == WIDTH_OFF || (a->bound == b->bound && a->k == b->k && a->renormalise == b->renormalise);
}

static bool same_depth(const struct policy_rung *a, const struct policy_rung *b)
{
    return cm_same_exits(a, b) && (a->n_exits == 0 || (a->k_tail == b->k_tail && a->kv_fill == b->kv_fill &&
                                                       a->max_pending == b->max_pending));
}

static bool same_widths(const struct width_rule *a, const struct width_rule *b, int n_layers)
{
    if (!a || !b) return a == b;
    for (int layer = 0; layer < n_layers; layer++)
        if (!same_rule(&a[layer], &b[layer])) return false;
    return true;
}

/* NULL where they are off everywhere. */
static const struct width_rule *that_count(const struct width_rule *widths, int n_layers)
{
    for (int layer = 0; widths && layer < n_layers; layer++)
        if (widths[layer].kind != WIDTH_OFF) return widths;
    return NULL;
}

int cm_configurations_find(const struct configurations *list, const struct policy_rung *rung,
                           const struct width_rule *widths)
{
    widths = that_count(widths, list->n_layers);
    for (int i = 0; i < list->n; i++)
        if (same_depth(&list->rungs[i], rung) && same_widths(list->rungs[i].widths, widths, list->n_layers)) return i;
    return -1;
}

bool cm_configurations_add(struct configurations *list, const struct policy_rung *rung, const struct width_rule *widths)
{
    widths = that_count(widths, list->n_layers);
    if (list->n == list->capacity || (rung->n_exits == 0 && !widths)) return false;
    if (cm_configurations_find(list, rung, widths) >= 0) return false;
    struct policy_rung *added = &list->rungs[list->n];
    *added = *rung;
    added->widths = NULL;
    if (widths) {
        added->widths = list->widths + (size_t)list->n * (size_t)list->n_layers;
        memcpy(added->widths, widths, (size_t)list->n_layers * sizeof *widths);
    }
    list->n++;
    return true;
}

/* ---- told ---- */

struct text {
    char  *at;
    size_t n, n_bytes;
};

static void __attribute__((format(printf, 2, 3))) append(struct text *text, const char *format, ...)
{
    va_list arguments;
    if (text->n >= text->n_bytes) return;
    va_start(arguments, format);
    const int n = vsnprintf(text->at + text->n, text->n_bytes - text->n, format, arguments);
    va_end(arguments);
    if (n > 0) text->n += (size_t)n;
}

static void append_rule(struct text *text, const struct width_rule *rule)
{
    if (rule->kind == WIDTH_OFF) append(text, " off");
    else if (rule->kind == WIDTH_FIXED) append(text, " fixed:%d", rule->k);
    else append(text, " %s:%.3g", cm_width_rules[rule->kind].name, (double)rule->bound);
}

void cm_configuration_text(const struct policy_rung *rung, int n_layers, char *out, size_t n_bytes)
{
    struct text text = {out, 0, n_bytes};
    if (n_bytes > 0) out[0] = '\0';
    for (int i = 0; i < rung->n_exits; i++)
        append(&text, "%s%s %d:%.6g", i > 0 ? " " : "", cm_exit_measures[rung->exits[i].measure].name,
               rung->exits[i].layer, (double)rung->exits[i].threshold.lambda);
    if (rung->n_exits > 0 && rung->k_tail != TAIL_NONE) append(&text, ", tail %d", rung->k_tail);
    if (rung->n_exits > 0 && rung->kv_fill != KV_PROPAGATE) append(&text, ", %s", cm_kv_fill_names[rung->kv_fill]);
    if (!rung->widths) return;
    append(&text, "%swidth", rung->n_exits > 0 ? ", " : "");
    bool is_uniform = true;
    for (int layer = 1; layer < n_layers; layer++) is_uniform &= same_rule(&rung->widths[layer], &rung->widths[0]);
    for (int layer = 0; layer < (is_uniform ? 1 : n_layers); layer++) append_rule(&text, &rung->widths[layer]);
}
