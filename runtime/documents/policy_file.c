/* policy_file.c - a policy as a file. */
#include "runtime/documents/policy_file.h"

#include <stdio.h>
#include <string.h>

#include "base/names.h"
#include "base/whole_file.h"
#include "runtime/documents/costs_file.h"
#include "runtime/documents/json.h"

/* The second one has fronts: rungs of the same delta, and parts. The third has rules that go by a plan, and says by
 * which experts it keeps. */
enum { SCHEMA_ALONE, SCHEMA_FRONTS, SCHEMA_KEPT };
static const char *const schemas[] = {"calmoe.policy.1", "calmoe.policy.2", "calmoe.policy.3"};

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* ---- members ---- */

static calmoe_status read_int(struct calmoe_context *ctx, const struct json_value *object, const char *key, int min,
                              int max, int *out)
{
    struct json_value value;
    int64_t           found;
    CM_TRY(cm_json_member(ctx, object, key, &value));
    CM_TRY(cm_json_int(ctx, &value, min, max, &found));
    *out = (int)found;
    return CALMOE_OK;
}

static calmoe_status read_number(struct calmoe_context *ctx, const struct json_value *object, const char *key,
                                 double min, double max, double *out)
{
    struct json_value value;
    CM_TRY(cm_json_member(ctx, object, key, &value));
    return cm_json_number(ctx, &value, min, max, out);
}

/* A float above 0 and at most 1. */
static calmoe_status read_share(struct calmoe_context *ctx, const struct json_value *object, const char *key,
                                float *out)
{
    struct json_value value;
    double            found;
    CM_TRY(cm_json_member(ctx, object, key, &value));
    CM_TRY(cm_json_number(ctx, &value, 0.0, 1.0, &found));
    *out = (float)found;
    return *out > 0.0f ? CALMOE_OK : cm_json_wrong(ctx, &value, "a number above 0");
}

/* A text that is one of the names. */
static calmoe_status read_name(struct calmoe_context *ctx, const struct json_value *object, const char *key,
                               struct names names, int *out)
{
    struct json_value value;
    const char       *text;
    char              wanted[NAMES_BYTES];
    CM_TRY(cm_json_member(ctx, object, key, &value));
    CM_TRY(cm_json_text(ctx, &value, &text));
    *out = cm_name_find(names, text);
    return *out < names.n ? CALMOE_OK : cm_json_wrong(ctx, &value, cm_names_tell(names, wanted));
}

/* ---- reading ---- */

/* The experts that stay by the plan, and how many of the others a token of the full model needs. */
static calmoe_status read_kept(struct calmoe_context *ctx, const struct json_value *root, struct policy *policy)
{
    static const char *const known[] = {"fingerprint", "reads"};
    struct json_value        kept;
    CM_TRY(cm_json_member(ctx, root, "kept", &kept));
    CM_TRY(cm_json_check_object(ctx, &kept, known, COUNT_OF(known)));
    CM_TRY(cm_json_fingerprint(ctx, &kept, policy->kept));
    return read_number(ctx, &kept, "reads", 0.0, POLICY_MAX_PARTS, &policy->off_reads);
}

static calmoe_status read_head(struct calmoe_context *ctx, const struct json_value *root, struct policy *policy,
                               int *schema)
{
    static const char *const known[] = {"schema", "version", "model", "exits", "prompts", "rungs", "kept"};
    static const char *const known_of_model[] = {"fingerprint", "layers"};
    struct json_value        model, exits, prompts;
    CM_TRY(cm_json_schema(ctx, root, schemas, COUNT_OF(schemas), schema)); /* first: in another one others are right */
    CM_TRY(cm_json_check_object(ctx, root, known, COUNT_OF(known) - (*schema != SCHEMA_KEPT)));
    CM_TRY(cm_json_version(ctx, root));
    if (*schema == SCHEMA_KEPT) CM_TRY(read_kept(ctx, root, policy));
    CM_TRY(cm_json_member(ctx, root, "model", &model));
    CM_TRY(cm_json_check_object(ctx, &model, known_of_model, COUNT_OF(known_of_model)));
    CM_TRY(cm_json_fingerprint(ctx, &model, policy->fingerprint));
    CM_TRY(cm_json_find(ctx, root, "exits", &exits));
    if (exits.json) CM_TRY(cm_json_digits(ctx, &exits, policy->exits));
    CM_TRY(cm_json_find(ctx, root, "prompts", &prompts));
    if (prompts.json) CM_TRY(cm_json_digits(ctx, &prompts, policy->prompts));
    return read_int(ctx, &model, "layers", 1, POLICY_MAX_LAYERS, &policy->n_layers);
}

static calmoe_status read_exit(struct calmoe_context *ctx, const struct json_value *object, int n_layers,
                               struct policy_exit *exit)
{
    static const char *const known[] = {"layer", "measure", "threshold", "schedule", "tau", "length"};
    int                      measure, schedule;
    double                   tau;
    struct json_value        value;
    CM_TRY(cm_json_check_object(ctx, object, known, COUNT_OF(known)));
    CM_TRY(read_int(ctx, object, "layer", 1, n_layers - 1, &exit->layer));
    CM_TRY(read_name(ctx, object, "measure", CM_NAMES(cm_exit_measures, name), &measure));
    CM_TRY(read_share(ctx, object, "threshold", &exit->threshold.lambda));
    const struct names schedules = cm_names_from(CM_TEXTS(cm_schedule_names), SCHEDULE_CONSTANT); /* never off */
    CM_TRY(read_name(ctx, object, "schedule", schedules, &schedule));
    exit->measure = (enum exit_measure)measure;
    exit->threshold.schedule = (enum threshold_schedule)(SCHEDULE_CONSTANT + schedule);
    if (exit->threshold.schedule != SCHEDULE_CONSTANT) {
        CM_TRY(read_number(ctx, object, "tau", 0.0, 1e6, &tau));
        exit->threshold.tau = (float)tau;
        return read_int(ctx, object, "length", 1, POLICY_MAX_TOKENS, &exit->threshold.length);
    }
    for (int i = 4; i < 6; i++) {
        CM_TRY(cm_json_find(ctx, object, known[i], &value));
        if (value.json) return cm_json_wrong(ctx, &value, "nothing, since the schedule is constant");
    }
    return CALMOE_OK;
}

static calmoe_status read_exits(struct calmoe_context *ctx, const struct json_value *object, int n_layers,
                                struct policy_rung *rung)
{
    struct json_value exits;
    size_t            n;
    CM_TRY(cm_json_member(ctx, object, "exits", &exits));
    CM_TRY(cm_json_array(ctx, &exits, 0, POLICY_MAX_EXITS, &n));
    for (size_t i = 0; i < n; i++) {
        const struct json_value element = cm_json_element(&exits, i);
        CM_TRY(read_exit(ctx, &element, n_layers, &rung->exits[i]));
    }
    rung->n_exits = (int)n;
    return CALMOE_OK;
}

static bool has_bound(enum width_kind kind)
{
    return kind == WIDTH_RATIO || kind == WIDTH_TOP_P || kind == WIDTH_RESIDENT;
}

static calmoe_status read_rule(struct calmoe_context *ctx, const struct json_value *object, bool has_plan,
                               struct width_rule *rule)
{
    static const char *const known[] = {"rule", "bound", "k", "renormalise"};
    struct names             rules = CM_NAMES(cm_width_rules, name);
    struct json_value        value;
    int                      kind;
    CM_TRY(cm_json_check_object(ctx, object, known, COUNT_OF(known)));
    if (!has_plan) rules.n = WIDTH_RESIDENT;
    CM_TRY(read_name(ctx, object, "rule", rules, &kind));
    rule->kind = (enum width_kind)kind;
    for (int i = 1; i < 4; i++) {
        if (i == 1 ? has_bound(rule->kind) : rule->kind != WIDTH_OFF) continue;
        CM_TRY(cm_json_find(ctx, object, known[i], &value));
        if (value.json) return cm_json_wrong(ctx, &value, "nothing, for this rule has none");
    }
    if (has_bound(rule->kind)) CM_TRY(read_share(ctx, object, "bound", &rule->bound));
    if (rule->kind == WIDTH_OFF) return CALMOE_OK;
    CM_TRY(read_int(ctx, object, "k", 1, POLICY_MAX_WIDTH, &rule->k));
    CM_TRY(cm_json_member(ctx, object, "renormalise", &value));
    return cm_json_bool(ctx, &value, &rule->renormalise);
}

static calmoe_status read_widths(struct calmoe_context *ctx, const struct json_value *object, struct policy *policy,
                                 int index)
{
    struct policy_rung *rung = &policy->rungs[index];
    struct json_value   widths;
    const size_t        n_layers = (size_t)policy->n_layers;
    size_t              n;
    CM_TRY(cm_json_member(ctx, object, "width", &widths));
    CM_TRY(cm_json_array(ctx, &widths, 0, n_layers, &n));
    if (n == 0) return CALMOE_OK;
    if (n != n_layers) return cm_json_array(ctx, &widths, n_layers, n_layers, &n);
    rung->widths = cm_policy_widths(policy, index);
    for (size_t layer = 0; layer < n; layer++) {
        const struct json_value element = cm_json_element(&widths, layer);
        CM_TRY(read_rule(ctx, &element, policy->kept[0] != '\0', &rung->widths[layer]));
    }
    return CALMOE_OK;
}

/* What waits for keys and values, and what runs after an exit. */
static calmoe_status read_tail(struct calmoe_context *ctx, const struct json_value *object, struct policy_rung *rung)
{
    struct json_value value;
    const char       *text;
    int               fill;
    CM_TRY(read_name(ctx, object, "kv", CM_TEXTS(cm_kv_fill_names), &fill));
    rung->kv_fill = (enum kv_fill)fill;
    if (rung->kv_fill == KV_PROPAGATE) {
        CM_TRY(cm_json_find(ctx, object, "max_pending", &value));
        if (value.json) return cm_json_wrong(ctx, &value, "nothing, since nothing waits where kv is \"propagate\"");
    } else {
        CM_TRY(read_int(ctx, object, "max_pending", 1, POLICY_MAX_PENDING, &rung->max_pending));
    }
    CM_TRY(cm_json_member(ctx, object, "k_tail", &value));
    rung->k_tail = TAIL_NONE;
    if (cm_json_text(NULL, &value, &text) != CALMOE_OK)
        return read_int(ctx, object, "k_tail", 0, POLICY_MAX_WIDTH, &rung->k_tail);
    return strcmp(text, "none") == 0 ? CALMOE_OK : cm_json_wrong(ctx, &value, "\"none\" or a number");
}

static calmoe_status read_parts(struct calmoe_context *ctx, const struct json_value *object, struct policy_rung *rung)
{
    struct json_value value;
    CM_TRY(cm_json_find(ctx, object, "parts", &value));
    rung->has_parts = value.json != NULL;
    return rung->has_parts ? cm_parts_read(ctx, &value, POLICY_MAX_PARTS, 0.0, &rung->parts) : CALMOE_OK;
}

static calmoe_status read_rung(struct calmoe_context *ctx, const struct json_value *object, struct policy *policy,
                               int index, int schema)
{
    static const char *const known[] = {"delta", "epsilon", "loss",        "p_value", "n",     "p",
                                        "exits", "kv",      "max_pending", "k_tail",  "width", "parts"};
    struct policy_rung *rung = &policy->rungs[index];
    int                 loss, p_value;
    CM_TRY(cm_json_check_object(ctx, object, known, COUNT_OF(known) - (schema == SCHEMA_ALONE)));
    CM_TRY(read_parts(ctx, object, rung));
    CM_TRY(read_number(ctx, object, "delta", 0.0, 1.0, &rung->delta));
    CM_TRY(read_number(ctx, object, "epsilon", 0.0, 1.0, &rung->epsilon));
    CM_TRY(read_name(ctx, object, "loss", CM_NAMES(cm_loss_kinds, name), &loss));
    CM_TRY(read_name(ctx, object, "p_value", CM_NAMES(cm_p_values, name), &p_value));
    CM_TRY(read_int(ctx, object, "n", 1, INT32_MAX, &rung->n_prompts));
    CM_TRY(read_number(ctx, object, "p", 0.0, 1.0, &rung->p));
    rung->loss = (enum loss_kind)loss;
    rung->p_value = (enum p_value_kind)p_value;
    CM_TRY(read_exits(ctx, object, policy->n_layers, rung));
    CM_TRY(read_tail(ctx, object, rung));
    return read_widths(ctx, object, policy, index);
}

/* The document's name before a sentence about what it says. */
static calmoe_status check(struct calmoe_context *ctx, const char *name, const struct policy *policy)
{
    struct calmoe_context inner = {.log = NULL};
    const calmoe_status   status = cm_policy_check(&inner, policy);
    return status == CALMOE_OK ? CALMOE_OK : cm_fail(ctx, status, "'%s': %s", name, inner.message);
}

static calmoe_status read_policy(struct calmoe_context *ctx, const struct json_document *document, void *out)
{
    struct policy *const policy = out;
    const struct json_value root = cm_json_root(document);
    struct json_value       rungs;
    size_t                  n;
    int                     schema;
    CM_TRY(read_head(ctx, &root, policy, &schema));
    CM_TRY(cm_json_member(ctx, &root, "rungs", &rungs));
    CM_TRY(cm_json_array(ctx, &rungs, 0, POLICY_MAX_RUNGS, &n));
    CM_TRY(cm_policy_reserve(ctx, policy));
    for (size_t i = 0; i < n; i++) {
        const struct json_value rung = cm_json_element(&rungs, i);
        CM_TRY(read_rung(ctx, &rung, policy, (int)i, schema));
    }
    policy->n_rungs = (int)n;
    return check(ctx, document->name, policy);
}

static void close_policy(void *policy) { cm_policy_close(policy); }

static const struct json_kind policies = {sizeof(struct policy), read_policy, close_policy};

calmoe_status cm_policy_file_read(struct calmoe_context *ctx, const char *path, struct policy *out)
{
    return cm_json_read_file(ctx, path, &policies, out);
}

calmoe_status cm_policy_file_parse(struct calmoe_context *ctx, const char *name, const void *text, size_t n_bytes,
                                   struct policy *out)
{
    return cm_json_read_text(ctx, name, text, n_bytes, &policies, out);
}

/* ---- writing ---- */

static void write_double(FILE *file, const char *key, double number) { cm_json_write_number(file, key, number, 17); }
static void write_float(FILE *file, const char *key, float number)
{
    cm_json_write_number(file, key, (double)number, 9);
}

static void write_exit(FILE *file, const struct policy_exit *exit)
{
    const struct exit_threshold *threshold = &exit->threshold;
    fprintf(file, "{\"layer\": %d, \"measure\": \"%s\", ", exit->layer, cm_exit_measures[exit->measure].name);
    write_float(file, "threshold", threshold->lambda);
    fprintf(file, ", \"schedule\": \"%s\"", cm_schedule_names[threshold->schedule]);
    if (threshold->schedule != SCHEDULE_CONSTANT) {
        fputs(", ", file);
        write_float(file, "tau", threshold->tau);
        fprintf(file, ", \"length\": %d", threshold->length);
    }
    fputs("}", file);
}

static void write_rule(FILE *file, const struct width_rule *rule)
{
    fprintf(file, "{\"rule\": \"%s\"", cm_width_rules[rule->kind].name);
    if (has_bound(rule->kind)) {
        fputs(", ", file);
        write_float(file, "bound", rule->bound);
    }
    if (rule->kind != WIDTH_OFF)
        fprintf(file, ", \"k\": %d, \"renormalise\": %s", rule->k, rule->renormalise ? "true" : "false");
    fputs("}", file);
}

static void write_rung(FILE *file, const struct policy_rung *rung, int n_layers)
{
    fputs("\n  {", file);
    write_double(file, "delta", rung->delta);
    fputs(", ", file);
    write_double(file, "epsilon", rung->epsilon);
    fprintf(file, ", \"loss\": \"%s\", \"p_value\": \"%s\", \"n\": %d, ", cm_loss_kinds[rung->loss].name,
            cm_p_values[rung->p_value].name, rung->n_prompts);
    write_double(file, "p", rung->p);
    fputs(",\n   \"exits\": [", file);
    for (int i = 0; i < rung->n_exits; i++) {
        if (i > 0) fputs(",\n             ", file);
        write_exit(file, &rung->exits[i]);
    }
    fputs("],\n   ", file);
    if (rung->has_parts) {
        fputs("\"parts\": ", file);
        cm_parts_write(file, &rung->parts, 0.0);
        fputs(",\n   ", file);
    }
    fprintf(file, "\"kv\": \"%s\", ", cm_kv_fill_names[rung->kv_fill]);
    if (rung->kv_fill != KV_PROPAGATE) fprintf(file, "\"max_pending\": %d, ", rung->max_pending);
    if (rung->k_tail == TAIL_NONE) fputs("\"k_tail\": \"none\",\n   \"width\": [", file);
    else fprintf(file, "\"k_tail\": %d,\n   \"width\": [", rung->k_tail);
    for (int layer = 0; rung->widths && layer < n_layers; layer++) {
        if (layer > 0) fputs(",\n             ", file);
        write_rule(file, &rung->widths[layer]);
    }
    fputs("]}", file);
}

calmoe_status cm_policy_file_write(struct calmoe_context *ctx, const char *path, const struct policy *policy)
{
    struct whole_file whole;
    CM_TRY(cm_whole_file_open(ctx, path, &whole));
    FILE *const file = whole.stream;
    int schema = SCHEMA_ALONE;
    for (int i = 0; i < policy->n_rungs; i++)
        if (policy->rungs[i].has_parts) schema = SCHEMA_FRONTS;
    if (policy->kept[0]) schema = SCHEMA_KEPT;
    fprintf(file, "{\"schema\": \"%s\", \"version\": \"%s\",\n", schemas[schema], CALMOE_VERSION_TEXT);
    fprintf(file, " \"model\": {\"fingerprint\": \"%s\", \"layers\": %d},\n", policy->fingerprint, policy->n_layers);
    if (policy->exits[0]) fprintf(file, " \"exits\": \"%s\",\n", policy->exits);
    if (policy->prompts[0]) fprintf(file, " \"prompts\": \"%s\",\n", policy->prompts);
    if (policy->kept[0]) {
        fprintf(file, " \"kept\": {\"fingerprint\": \"%s\", ", policy->kept);
        write_double(file, "reads", policy->off_reads);
        fputs("},\n", file);
    }
    fputs(" \"rungs\": [", file);
    for (int i = 0; i < policy->n_rungs; i++) {
        if (i > 0) fputs(",", file);
        write_rung(file, &policy->rungs[i], policy->n_layers);
    }
    fputs("\n ]}\n", file);
    const calmoe_status status = cm_whole_file_finish(ctx, &whole);
    cm_whole_file_close(&whole);
    return status;
}
