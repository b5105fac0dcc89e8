/* plan_file.c - a placement plan as a file. */
#include "runtime/documents/plan_file.h"

#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/whole_file.h"
#include "runtime/documents/json.h"

static const char *const schemas[] = {"calmoe.plan.1", "calmoe.plan.2", "calmoe.plan.3"};
enum { FIRST, SECOND, THIRD }; /* the second is written, but of plans that stream experts the third */

static const char disk[] = "disk"; /* where a streamed expert is */

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* ---- reading ---- */

/* A member that is an integer from min to INT32_MAX. */
static calmoe_status read_number(struct calmoe_context *ctx, const struct json_value *object, const char *key,
                                 int min, int *out)
{
    struct json_value value;
    int64_t           number;
    CM_TRY(cm_json_member(ctx, object, key, &value));
    CM_TRY(cm_json_int(ctx, &value, min, INT32_MAX, &number));
    *out = (int)number;
    return CALMOE_OK;
}

static calmoe_status read_model(struct calmoe_context *ctx, const struct json_value *root, bool is_first,
                                struct plan_file *file)
{
    static const char *const known[] = {"fingerprint", "width", "dim", "kv_heads"};
    struct json_value        model;
    CM_TRY(cm_json_member(ctx, root, "model", &model));
    CM_TRY(cm_json_check_object(ctx, &model, known, is_first ? 1 : COUNT_OF(known)));
    CM_TRY(cm_json_fingerprint(ctx, &model, file->fingerprint));
    if (is_first) return CALMOE_OK;
    CM_TRY(read_number(ctx, &model, "width", 1, &file->plan.width));
    CM_TRY(read_number(ctx, &model, "dim", 1, &file->plan.dim));
    return read_number(ctx, &model, "kv_heads", 1, &file->plan.n_kv_heads);
}

/* A member that has a number for each node. sum > 0: they must add up to it; 0: to anything but 0. quantum: all
 * up to the last that is not 0 are multiples of it. */
static calmoe_status read_by_node(struct calmoe_context *ctx, const struct json_value *object, const char *key,
                                  int n_nodes, int64_t sum, int quantum, int32_t *out)
{
    struct json_value list;
    size_t            n_found;
    int64_t           added = 0;
    char              wanted[96];
    CM_TRY(cm_json_member(ctx, object, key, &list));
    CM_TRY(cm_json_array(ctx, &list, (size_t)n_nodes, (size_t)n_nodes, &n_found));
    for (int node = 0; node < n_nodes; node++) {
        const struct json_value value = cm_json_element(&list, (size_t)node);
        int64_t                 number;
        CM_TRY(cm_json_int(ctx, &value, 0, sum > 0 ? sum : 100000000, &number));
        added += number;
        out[node] = (int32_t)number;
        if (number % quantum == 0 || added == sum) continue;
        snprintf(wanted, sizeof wanted, "a multiple of the quantum %d", quantum);
        return cm_json_wrong(ctx, &value, wanted);
    }
    if (sum > 0 ? added == sum : added > 0) return CALMOE_OK;
    if (sum > 0) snprintf(wanted, sizeof wanted, "numbers that add up to %lld", (long long)sum);
    else snprintf(wanted, sizeof wanted, "numbers that are not all 0");
    return cm_json_wrong(ctx, &list, wanted);
}

static calmoe_status read_slices(struct calmoe_context *ctx, const struct json_value *root, struct plan *plan)
{
    static const char *const known[] = {"rows", "down"};
    struct json_value        slices;
    size_t                   n_slices;
    CM_TRY(cm_json_member(ctx, root, "slices", &slices));
    CM_TRY(cm_json_array(ctx, &slices, 0, PLAN_MAX_SLICES, &n_slices));
    plan->slices = cm_alloc(ctx, n_slices, sizeof *plan->slices, "a placement plan");
    if (plan->slices == NULL) return CALMOE_NO_MEMORY;
    plan->n_slices = plan->slices_capacity = (int)n_slices;
    for (size_t i = 0; i < n_slices; i++) {
        const struct json_value value = cm_json_element(&slices, i);
        struct slice           *slice = &plan->slices[i];
        CM_TRY(cm_json_check_object(ctx, &value, known, COUNT_OF(known)));
        CM_TRY(read_by_node(ctx, &value, "rows", plan->n_nodes, plan->width, plan->quantum, slice->rows));
        CM_TRY(read_by_node(ctx, &value, "down", plan->n_nodes, plan->dim, plan->quantum, slice->down_rows));
    }
    return CALMOE_OK;
}

static calmoe_status read_replicas(struct calmoe_context *ctx, const struct json_value *list, int n_nodes,
                                   struct place *place)
{
    size_t n_replicas;
    CM_TRY(cm_json_array(ctx, list, 1, (size_t)n_nodes, &n_replicas));
    place->kind = PLACE_REPLICATED;
    for (size_t i = 0; i < n_replicas; i++) {
        const struct json_value value = cm_json_element(list, i);
        int64_t                 node;
        CM_TRY(cm_json_int(ctx, &value, 0, n_nodes - 1, &node));
        if (place->replicas >> node & 1) return cm_json_wrong(ctx, &value, "a node that was not there before");
        place->replicas |= UINT64_C(1) << node;
    }
    return CALMOE_OK;
}

/* {"slice": 0} or {"nodes": [0, 1]} */
static calmoe_status read_shared_place(struct calmoe_context *ctx, const struct json_value *value,
                                       const struct plan *plan, struct place *place)
{
    static const char *const known[] = {"slice", "nodes"};
    struct json_value        slice, nodes;
    int64_t                  number;
    CM_TRY(cm_json_check_object(ctx, value, known, COUNT_OF(known)));
    CM_TRY(cm_json_find(ctx, value, "slice", &slice));
    CM_TRY(cm_json_find(ctx, value, "nodes", &nodes));
    if ((slice.json != NULL) == (nodes.json != NULL))
        return cm_json_wrong(ctx, value, "a node, {\"slice\": …} or {\"nodes\": […]}");
    if (nodes.json != NULL) return read_replicas(ctx, &nodes, plan->n_nodes, place);
    if (plan->n_slices == 0) return cm_json_wrong(ctx, &slice, "none, for the plan has no slices");
    CM_TRY(cm_json_int(ctx, &slice, 0, plan->n_slices - 1, &number));
    place->kind = PLACE_SLICED;
    place->slice = (int)number;
    return CALMOE_OK;
}

/* "disk" */
static calmoe_status read_disk(struct calmoe_context *ctx, const struct json_value *value, struct plan *plan, int layer,
                               int expert)
{
    const char *text;
    CM_TRY(cm_json_text(ctx, value, &text));
    if (strcmp(text, disk) != 0) return cm_json_wrong(ctx, value, "\"disk\"");
    cm_plan_stream(plan, layer, expert);
    return CALMOE_OK;
}

static calmoe_status read_layer(struct calmoe_context *ctx, const struct json_value *json, struct plan *plan,
                                int schema, int layer)
{
    struct place *places = cm_place_of(plan, layer, 0);
    for (size_t expert = 0; expert < (size_t)plan->n_experts; expert++) {
        const struct json_value value = cm_json_element(json, expert);
        int64_t                 node;
        if (schema >= SECOND && cm_json_is_object(&value)) {
            CM_TRY(read_shared_place(ctx, &value, plan, &places[expert]));
            continue;
        }
        if (schema >= THIRD && cm_json_sort(&value) == JSON_IS_TEXT) {
            CM_TRY(read_disk(ctx, &value, plan, layer, (int)expert));
            continue;
        }
        CM_TRY(cm_json_int(ctx, &value, 0, plan->n_nodes - 1, &node));
        places[expert].node = (int)node;
    }
    return CALMOE_OK;
}

static calmoe_status read_layers(struct calmoe_context *ctx, const struct json_value *root, int schema,
                                 struct plan *plan)
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
    plan->places = cm_alloc(ctx, n_layers * n_experts, sizeof *plan->places, "a placement plan");
    if (plan->places == NULL) return CALMOE_NO_MEMORY;
    for (size_t layer = 0; layer < n_layers; layer++) {
        const struct json_value value = cm_json_element(&layers, layer);
        CM_TRY(read_layer(ctx, &value, plan, schema, (int)layer));
    }
    return CALMOE_OK;
}

static calmoe_status read_plan(struct calmoe_context *ctx, const struct json_document *document, void *out)
{
    struct plan_file *const file = out;
    static const char *const known[] = {"schema", "version", "model",    "nodes", "layers",
                                        "quantum", "dense",  "kv_heads", "slices"};
    const struct json_value  root = cm_json_root(document);
    struct plan             *plan = &file->plan;
    struct json_value        nodes;
    int64_t                  n_nodes;
    int                      schema;
    CM_TRY(cm_json_schema(ctx, &root, schemas, COUNT_OF(schemas), &schema)); /* first: it tells the members */
    const bool is_first = schema == FIRST;
    CM_TRY(cm_json_check_object(ctx, &root, known, is_first ? 5 : COUNT_OF(known)));
    CM_TRY(cm_json_version(ctx, &root));
    CM_TRY(read_model(ctx, &root, is_first, file));
    CM_TRY(cm_json_member(ctx, &root, "nodes", &nodes));
    CM_TRY(cm_json_int(ctx, &nodes, 1, PLAN_MAX_NODES, &n_nodes));
    plan->n_nodes = (int)n_nodes;
    plan->shares[0] = 1;
    if (!is_first) {
        CM_TRY(read_number(ctx, &root, "quantum", 1, &plan->quantum));
        CM_TRY(read_by_node(ctx, &root, "dense", plan->n_nodes, 0, 1, plan->shares));
        CM_TRY(read_by_node(ctx, &root, "kv_heads", plan->n_nodes, plan->n_kv_heads, 1, plan->kv_heads));
        CM_TRY(read_slices(ctx, &root, plan));
    }
    return read_layers(ctx, &root, schema, plan);
}

static void close_plan(void *plan) { cm_plan_file_close(plan); }

static const struct json_kind plans = {sizeof(struct plan_file), read_plan, close_plan};

calmoe_status cm_plan_file_read(struct calmoe_context *ctx, const char *path, struct plan_file *out)
{
    return cm_json_read_file(ctx, path, &plans, out);
}

calmoe_status cm_plan_file_parse(struct calmoe_context *ctx, const char *name, const void *text,
                                 size_t n_bytes, struct plan_file *out)
{
    return cm_json_read_text(ctx, name, text, n_bytes, &plans, out);
}

void cm_plan_file_close(struct plan_file *file)
{
    cm_plan_close(&file->plan);
    *file = (struct plan_file){0};
}

/* ---- writing ---- */

static void write_numbers(FILE *file, const char *before, const int32_t *numbers, int n)
{
    fputs(before, file);
    for (int i = 0; i < n; i++) fprintf(file, "%s%d", i == 0 ? "[" : ", ", (int)numbers[i]);
    fputs("]", file);
}

static void write_place(FILE *file, const struct place *place, int n_nodes)
{
    if (place->is_streamed) {
        fprintf(file, "\"%s\"", disk);
        return;
    }
    switch (place->kind) {
    case PLACE_PINNED: fprintf(file, "%d", place->node); return;
    case PLACE_SLICED: fprintf(file, "{\"slice\": %d}", place->slice); return;
    case PLACE_REPLICATED: break;
    }
    const char *before = "{\"nodes\": [";
    for (int node = 0; node < n_nodes; node++) {
        if (!(place->replicas >> node & 1)) continue;
        fprintf(file, "%s%d", before, node);
        before = ", ";
    }
    fputs("]}", file);
}

static void write_plan(FILE *file, const struct plan_file *plan_file)
{
    const struct plan *plan = &plan_file->plan;
    fprintf(file, "{\"schema\": \"%s\", \"version\": \"%s\",\n",
            schemas[cm_plan_n_streamed(plan, -1) > 0 ? THIRD : SECOND], CALMOE_VERSION_TEXT);
    fprintf(file, " \"model\": {\"fingerprint\": \"%s\", \"width\": %d, \"dim\": %d, \"kv_heads\": %d},\n",
            plan_file->fingerprint, plan->width, plan->dim, plan->n_kv_heads);
    fprintf(file, " \"nodes\": %d, \"quantum\": %d", plan->n_nodes, plan->quantum);
    write_numbers(file, ",\n \"dense\": ", plan->shares, plan->n_nodes);
    write_numbers(file, ", \"kv_heads\": ", plan->kv_heads, plan->n_nodes);
    fputs(",\n \"slices\": [", file);
    for (int i = 0; i < plan->n_slices; i++) {
        write_numbers(file, i == 0 ? "\n  {\"rows\": " : ",\n  {\"rows\": ", plan->slices[i].rows, plan->n_nodes);
        write_numbers(file, ", \"down\": ", plan->slices[i].down_rows, plan->n_nodes);
        fputs("}", file);
    }
    fputs("],\n \"layers\": [", file);
    for (int layer = 0; layer < plan->n_layers; layer++) {
        fputs(layer == 0 ? "\n  [" : ",\n  [", file);
        for (int expert = 0; expert < plan->n_experts; expert++) {
            if (expert > 0) fputs(", ", file);
            write_place(file, cm_place_of(plan, layer, expert), plan->n_nodes);
        }
        fputs("]", file);
    }
    fputs("\n ]}\n", file);
}

calmoe_status cm_plan_file_write(struct calmoe_context *ctx, const char *path, const struct plan_file *plan)
{
    struct whole_file whole;
    CM_TRY(cm_whole_file_open(ctx, path, &whole));
    FILE *const file = whole.stream;
    write_plan(file, plan);    const calmoe_status status = cm_whole_file_finish(ctx, &whole);
    cm_whole_file_close(&whole);
    return status;
}
