/* plan_file.c - a placement plan as a file. */
#include "runtime/load/plan_file.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "runtime/load/json.h"

enum { FINGERPRINT_DIGITS = 16 };

static const char schema[] = "calmoe.plan.1";

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* ---- reading ---- */

static calmoe_status check_schema(struct calmoe_context *ctx, const struct json_value *root)
{
    struct json_value value;
    const char       *text;
    CM_TRY(cm_json_member(ctx, root, "schema", &value));
    CM_TRY(cm_json_text(ctx, &value, &text));
    return strcmp(text, schema) == 0 ? CALMOE_OK : cm_json_wrong(ctx, &value, "\"calmoe.plan.1\"");
}

/* The version of the library that wrote it: for people, so any text will do. */
static calmoe_status check_version(struct calmoe_context *ctx, const struct json_value *root)
{
    struct json_value value;
    const char       *text;
    CM_TRY(cm_json_member(ctx, root, "version", &value));
    return cm_json_text(ctx, &value, &text);
}

static calmoe_status read_fingerprint(struct calmoe_context *ctx, const struct json_value *root,
                                      struct plan_file *plan)
{
    static const char *const known[] = {"fingerprint"};
    struct json_value        model, value;
    const char              *text;
    CM_TRY(cm_json_member(ctx, root, "model", &model));
    CM_TRY(cm_json_check_object(ctx, &model, known, COUNT_OF(known)));
    CM_TRY(cm_json_member(ctx, &model, "fingerprint", &value));
    CM_TRY(cm_json_text(ctx, &value, &text));
    if (strlen(text) != FINGERPRINT_DIGITS ||
        strspn(text, "0123456789abcdef") != FINGERPRINT_DIGITS)
        return cm_json_wrong(ctx, &value, "16 digits 0-9a-f");
    memcpy(plan->fingerprint, text, FINGERPRINT_DIGITS + 1);
    return CALMOE_OK;
}

static calmoe_status read_layer(struct calmoe_context *ctx, const struct json_value *layer,
                                const struct plan_file *plan, int16_t *node_of)
{
    const size_t n_experts = (size_t)plan->n_experts;
    size_t       n_found;
    CM_TRY(cm_json_array(ctx, layer, n_experts, n_experts, &n_found));
    for (size_t expert = 0; expert < n_experts; expert++) {
        const struct json_value value = cm_json_element(layer, expert);
        int64_t                 node;
        CM_TRY(cm_json_int(ctx, &value, 0, plan->n_nodes - 1, &node));
        node_of[expert] = (int16_t)node;
    }
    return CALMOE_OK;
}

static calmoe_status read_layers(struct calmoe_context *ctx, const struct json_value *root,
                                 struct plan_file *plan)
{
    struct json_value layers;
    size_t            n_layers, n_experts;
    CM_TRY(cm_json_member(ctx, root, "layers", &layers));
    CM_TRY(cm_json_array(ctx, &layers, 1, PLAN_MAX_LAYERS, &n_layers));
    const struct json_value first = cm_json_element(&layers, 0); /* says how long all must be */
    CM_TRY(cm_json_array(ctx, &first, 1, PLAN_MAX_EXPERTS, &n_experts));
    plan->n_layers = (int)n_layers;
    plan->n_experts = (int)n_experts;
    for (size_t layer = 0; layer < n_layers; layer++) { /* before memory is asked for */
        const struct json_value value = cm_json_element(&layers, layer);
        size_t                  n_found;
        CM_TRY(cm_json_array(ctx, &value, n_experts, n_experts, &n_found));
    }
    plan->node_of = cm_alloc(ctx, n_layers * n_experts, sizeof *plan->node_of, "a placement plan");
    if (plan->node_of == NULL) return CALMOE_NO_MEMORY;
    for (size_t layer = 0; layer < n_layers; layer++) {
        const struct json_value value = cm_json_element(&layers, layer);
        CM_TRY(read_layer(ctx, &value, plan, plan->node_of + layer * n_experts));
    }
    return CALMOE_OK;
}

static calmoe_status read_plan(struct calmoe_context *ctx, const struct json_document *document,
                               struct plan_file *plan)
{
    static const char *const known[] = {"schema", "version", "model", "nodes", "layers"};
    const struct json_value  root = cm_json_root(document);
    struct json_value        nodes;
    int64_t                  n_nodes;
    CM_TRY(check_schema(ctx, &root)); /* first: of another schema, other members may be right */
    CM_TRY(cm_json_check_object(ctx, &root, known, COUNT_OF(known)));
    CM_TRY(check_version(ctx, &root));
    CM_TRY(read_fingerprint(ctx, &root, plan));
    CM_TRY(cm_json_member(ctx, &root, "nodes", &nodes));
    CM_TRY(cm_json_int(ctx, &nodes, 1, PLAN_MAX_NODES, &n_nodes));
    plan->n_nodes = (int)n_nodes;
    return read_layers(ctx, &root, plan);
}

/* Takes the document over. */
static calmoe_status plan_of(struct calmoe_context *ctx, struct json_document *document,
                             struct plan_file *out)
{
    struct plan_file    plan = {0};
    const calmoe_status status = read_plan(ctx, document, &plan);
    if (status == CALMOE_OK) *out = plan;
    else cm_plan_file_close(&plan);
    cm_json_close(document);
    return status;
}

calmoe_status cm_plan_file_read(struct calmoe_context *ctx, const char *path, struct plan_file *out)
{
    struct json_document document;
    *out = (struct plan_file){0};
    CM_TRY(cm_json_open(ctx, path, &document));
    return plan_of(ctx, &document, out);
}

calmoe_status cm_plan_file_parse(struct calmoe_context *ctx, const char *name, const void *text,
                                 size_t n_bytes, struct plan_file *out)
{
    struct json_document document;
    *out = (struct plan_file){0};
    CM_TRY(cm_json_parse(ctx, name, text, n_bytes, &document));
    return plan_of(ctx, &document, out);
}

void cm_plan_file_close(struct plan_file *plan)
{
    cm_free(plan->node_of);
    *plan = (struct plan_file){0};
}

/* ---- writing ---- */

static void write_layer(FILE *file, const struct plan_file *plan, int layer)
{
    const int16_t *node_of = plan->node_of + (size_t)layer * (size_t)plan->n_experts;
    fputs(layer == 0 ? "\n  [" : ",\n  [", file);
    for (int expert = 0; expert < plan->n_experts; expert++)
        fprintf(file, expert == 0 ? "%d" : ", %d", node_of[expert]);
    fputs("]", file);
}

calmoe_status cm_plan_file_write(struct calmoe_context *ctx, const char *path,
                                 const struct plan_file *plan)
{
    FILE *file = fopen(path, "we");
    if (file == NULL)
        return cm_fail(ctx, CALMOE_IO, "cannot write '%s': %s", path, strerror(errno));
    fprintf(file, "{\"schema\": \"%s\", \"version\": \"%s\",\n", schema, CALMOE_VERSION_TEXT);
    fprintf(file, " \"model\": {\"fingerprint\": \"%s\"},\n", plan->fingerprint);
    fprintf(file, " \"nodes\": %d,\n \"layers\": [", plan->n_nodes);
    for (int layer = 0; layer < plan->n_layers; layer++) write_layer(file, plan, layer);
    fputs("\n ]}\n", file);

    const int failed = ferror(file); /* stays set from the first write that failed */
    if (fclose(file) != 0 || failed)
        return cm_fail(ctx, CALMOE_IO, "cannot write '%s': %s", path, strerror(errno));
    return CALMOE_OK;
}
