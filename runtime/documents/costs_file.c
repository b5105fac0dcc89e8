/* costs_file.c - see costs_file.h. */
#include "runtime/documents/costs_file.h"

#include <math.h>
#include <string.h>

#include "runtime/documents/tuning_file.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

static const double most_cost = 1e12;

calmoe_status cm_parts_read(struct calmoe_context *ctx, const struct json_value *object, double most, double otherwise,
                            struct parts *out)
{
    CM_TRY(cm_json_check_object(ctx, object, cm_part_names, PART_COUNT));
    for (int part = 0; part < PART_COUNT; part++) {
        struct json_value value;
        out->of[part] = otherwise;
        CM_TRY(cm_json_find(ctx, object, cm_part_names[part], &value));
        if (value.json) CM_TRY(cm_json_number(ctx, &value, 0.0, most, &out->of[part]));
    }
    return CALMOE_OK;
}

void cm_parts_write(FILE *file, const struct parts *parts, double otherwise)
{
    const char *before = "{";
    for (int part = 0; part < PART_COUNT; part++) {
        const double number = parts->of[part];
        if (number == otherwise || isnan(number)) continue;
        fputs(before, file);
        cm_json_write_number(file, cm_part_names[part], number, 17);
        before = ", ";
    }
    fputs(before[0] == '{' ? "{}" : "}", file);
}

/* ---- a file of costs ---- */

static calmoe_status read_machine(struct calmoe_context *ctx, const struct json_value *root, struct costs_file *out)
{
    struct json_value machine;
    const char       *text;
    CM_TRY(cm_json_find(ctx, root, "machine", &machine));
    if (!machine.json) return CALMOE_OK;
    CM_TRY(cm_json_text(ctx, &machine, &text));
    if (strlen(text) >= COSTS_MACHINE_BYTES) return cm_json_wrong(ctx, &machine, "a text of at most 255 bytes");
    memcpy(out->machine, text, strlen(text) + 1);
    return CALMOE_OK;
}

static calmoe_status read_costs(struct calmoe_context *ctx, const struct json_document *document, void *out)
{
    static const char *const known[] = {"schema", "version", "model", "machine", "costs"};
    static const char *const known_of_model[] = {"fingerprint"};
    static const char *const schemas[] = {"calmoe.costs.1"};
    struct costs_file *const costs = out;
    const struct json_value  root = cm_json_root(document);
    struct json_value        model, prices;
    int                      which;
    CM_TRY(cm_json_schema(ctx, &root, schemas, 1, &which));
    CM_TRY(cm_json_check_object(ctx, &root, known, COUNT_OF(known)));
    CM_TRY(cm_json_version(ctx, &root));
    CM_TRY(cm_json_member(ctx, &root, "model", &model));
    CM_TRY(cm_json_check_object(ctx, &model, known_of_model, COUNT_OF(known_of_model)));
    CM_TRY(cm_json_fingerprint(ctx, &model, costs->fingerprint));
    CM_TRY(read_machine(ctx, &root, costs));
    CM_TRY(cm_json_member(ctx, &root, "costs", &prices));
    return cm_parts_read(ctx, &prices, most_cost, (double)NAN, &costs->prices);
}

static void close_costs(void *costs) { *(struct costs_file *)costs = (struct costs_file){.machine = ""}; }

calmoe_status cm_costs_file_read(struct calmoe_context *ctx, const char *path, struct costs_file *out)
{
    static const struct json_kind kind = {sizeof(struct costs_file), read_costs, close_costs};
    return cm_json_read_file(ctx, path, &kind, out);
}

/* ---- kept ---- */

char *cm_costs_path(const struct costs_file *of)
{
    char text[COSTS_MACHINE_BYTES + 32];
    snprintf(text, sizeof text, "%s, %s", of->machine, of->fingerprint);
    return cm_cache_path("costs", text);
}

/* Processors' names are plain; what JSON would want escaped is left out. */
static void write_plain(FILE *file, const char *text)
{
    for (; *text; text++)
        if (*text >= ' ' && *text != '"' && *text != '\\') fputc(*text, file);
}

static void write_costs(FILE *file, const void *what)
{
    const struct costs_file *costs = what;
    fprintf(file, "{\"schema\": \"calmoe.costs.1\", \"version\": \"%s\",\n", CALMOE_VERSION_TEXT);
    fprintf(file, " \"model\": {\"fingerprint\": \"%s\"},\n \"machine\": \"", costs->fingerprint);
    write_plain(file, costs->machine);
    fputs("\",\n \"costs\": ", file);
    cm_parts_write(file, &costs->prices, (double)NAN);
    fputs("}\n", file);
}

void cm_costs_file_keep(struct calmoe_context *ctx, const char *path, const struct costs_file *costs)
{
    cm_cache_write(ctx, path, write_costs, costs);
}
