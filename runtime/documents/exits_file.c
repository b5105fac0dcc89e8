/* exits_file.c - see exits_file.h. */
#include "runtime/documents/exits_file.h"

#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "runtime/load/meta_draft.h"
#include "runtime/load/model_writer.h"

enum { SCHEMA = 1, FINGERPRINT_DIGITS = 16, MAX_WIDTH = 1 << 20, N_PARTS = 6 };

static const char architecture[] = "calmoe-exits";

enum part { DOWN, UP, BIAS, PATH, CLASSIFIER, CLASSIFIER_BIAS };
static const char *const part_names[N_PARTS] = {"down", "up", "bias", "path", "classifier", "classifier_bias"};

static void name_of(int layer, enum part part, char *name)
{
    snprintf(name, FILE_MAX_NAME_BYTES, "exit.%d.%s", layer, part_names[part]);
}

static void shape_of(enum part part, const struct learned_exits *exits, int rank, uint64_t shape[2])
{
    shape[0] = (uint64_t)(part == UP ? rank : part == PATH ? exits->n_layers : part == CLASSIFIER_BIAS ? 1
                                                                                                       : exits->dim);
    shape[1] = (uint64_t)(part == DOWN ? rank : part == UP ? exits->dim : 1);
}

static float *values_of(struct learned_exit *exit, enum part part)
{
    float *const values[N_PARTS] = {exit->down, exit->up, exit->bias, exit->path, exit->classifier,
                                    exit->classifier ? &exit->classifier_bias : NULL};
    return values[part];
}

/* ---- reading ---- */

struct reader {
    struct calmoe_context *ctx;
    const struct model_file     *file;
    struct learned_exits  *out;
};

static calmoe_status read_fingerprint(const struct reader *r)
{
    struct meta_string text;
    char              *model = r->out->model;
    CM_TRY(cm_meta_need_string(r->ctx, r->file, "calmoe.exits.model", &text));
    memcpy(model, text.bytes, text.n_bytes < FINGERPRINT_DIGITS ? (size_t)text.n_bytes : FINGERPRINT_DIGITS);
    if (text.n_bytes != FINGERPRINT_DIGITS || strspn(model, "0123456789abcdef") != FINGERPRINT_DIGITS)
        return cm_fail(r->ctx, CALMOE_BAD_FILE, "'%s': calmoe.exits.model: found '%.*s', wanted 16 digits 0-9a-f",
                       r->file->name, text.n_bytes < 64 ? (int)text.n_bytes : 64, text.bytes);
    return CALMOE_OK;
}

static calmoe_status read_head(const struct reader *r)
{
    struct meta_string text;
    int64_t            schema, n_layers, dim;
    CM_TRY(cm_meta_need_string(r->ctx, r->file, "general.architecture", &text));
    if (text.n_bytes != sizeof architecture - 1 || memcmp(text.bytes, architecture, sizeof architecture - 1) != 0)
        return cm_fail(r->ctx, CALMOE_BAD_FILE,
                       "'%s': general.architecture: found '%.*s', wanted '%s', a file of exits",
                       r->file->name, text.n_bytes < 64 ? (int)text.n_bytes : 64, text.bytes, architecture);
    CM_TRY(cm_meta_need_int(r->ctx, r->file, "calmoe.exits.schema", 1, INT32_MAX, &schema));
    if (schema != SCHEMA)
        return cm_fail(r->ctx, CALMOE_UNSUPPORTED, "'%s': exits of schema %d; this version reads %d", r->file->name,
                       (int)schema, SCHEMA);
    CM_TRY(read_fingerprint(r));
    CM_TRY(cm_meta_need_int(r->ctx, r->file, "calmoe.exits.n_layers", 1, POLICY_MAX_LAYERS, &n_layers));
    CM_TRY(cm_meta_need_int(r->ctx, r->file, "calmoe.exits.width", 1, MAX_WIDTH, &dim));
    r->out->n_layers = (int)n_layers;
    r->out->dim = (int)dim;
    return CALMOE_OK;
}

static calmoe_status read_layers(const struct reader *r)
{
    const struct meta_entry *entry = cm_meta_entry(r->file, "calmoe.exits.layers");
    if (!entry || entry->type != META_ARRAY || !cm_meta_is_integer(entry->element_type) || entry->count < 1 ||
        entry->count > POLICY_MAX_EXITS)
        return cm_fail(r->ctx, CALMOE_BAD_FILE, "'%s': calmoe.exits.layers: wanted an array of 1 to %d integers",
                       r->file->name, POLICY_MAX_EXITS);
    for (uint64_t i = 0; i < entry->count; i++) {
        const int64_t layer = cm_meta_element_int(entry, i);
        if (layer < 1 || layer >= r->out->n_layers)
            return cm_fail(r->ctx, CALMOE_BAD_FILE, "'%s': calmoe.exits.layers: found %lld, wanted 1 to %d",
                           r->file->name, (long long)layer, r->out->n_layers - 1);
        r->out->exits[r->out->n++].layer = (int)layer;
    }
    return CALMOE_OK;
}

/* The tensor, its type and shape as wanted; *out NULL where there is none. A rank of 0 stands for any. */
static calmoe_status find_part(const struct reader *r, const struct learned_exit *exit, enum part part, int rank,
                               const struct file_tensor **out)
{
    char     name[FILE_MAX_NAME_BYTES];
    uint64_t shape[2];
    name_of(exit->layer, part, name);
    shape_of(part, r->out, rank, shape);
    const struct file_tensor *tensor = *out = cm_file_tensor(r->file, name);
    if (!tensor) return CALMOE_OK;
    if (!tensor->is_weight || tensor->type != WEIGHT_F32)
        return cm_fail(r->ctx, CALMOE_BAD_FILE, "'%s': tensor '%s' is not F32", r->file->name, name);
    if (rank == 0 && part == DOWN) shape[1] = tensor->shape[1];
    if (tensor->shape[0] != shape[0] || tensor->shape[1] != shape[1] || tensor->shape[2] != 1 || tensor->shape[3] != 1)
        return cm_fail(r->ctx, CALMOE_BAD_FILE, "'%s': tensor '%s' is %llu × %llu, wanted %llu × %llu", r->file->name,
                       name, (unsigned long long)tensor->shape[0], (unsigned long long)tensor->shape[1],
                       (unsigned long long)shape[0], (unsigned long long)shape[1]);
    return CALMOE_OK;
}

/* Parts from first to last are all there or none is. *n: how many are. */
static calmoe_status check_all_or_none(const struct reader *r, const struct learned_exit *exit, enum part first,
                                       enum part last, int *n)
{
    char name[FILE_MAX_NAME_BYTES], missing[FILE_MAX_NAME_BYTES];
    *n = 0;
    for (int part = (int)first; part <= (int)last; part++) {
        name_of(exit->layer, (enum part)part, name);
        if (cm_file_tensor(r->file, name)) ++*n;
        else memcpy(missing, name, sizeof missing);
    }
    if (*n == 0 || *n == (int)last - (int)first + 1) return CALMOE_OK;
    return cm_fail(r->ctx, CALMOE_BAD_FILE, "'%s': tensor '%s' is missing beside its others", r->file->name, missing);
}

static calmoe_status read_parts(const struct reader *r, struct learned_exit *exit, enum part first, enum part last)
{
    const struct file_tensor *tensor;
    for (int part = (int)first; part <= (int)last; part++) {
        CM_TRY(find_part(r, exit, (enum part)part, exit->rank, &tensor));
        memcpy(values_of(exit, (enum part)part), tensor->bytes, (size_t)tensor->n_bytes);
    }
    return CALMOE_OK;
}

/* *n_known += its tensors */
static calmoe_status read_exit(const struct reader *r, struct learned_exit *exit, uint64_t *n_known)
{
    const struct file_tensor *down;
    int n_translator, n_path, n_classifier;
    CM_TRY(check_all_or_none(r, exit, DOWN, BIAS, &n_translator));
    CM_TRY(check_all_or_none(r, exit, PATH, PATH, &n_path));
    CM_TRY(check_all_or_none(r, exit, CLASSIFIER, CLASSIFIER_BIAS, &n_classifier));
    *n_known += (uint64_t)n_translator + (uint64_t)n_path + (uint64_t)n_classifier;
    if (n_translator > 0) {
        CM_TRY(find_part(r, exit, DOWN, 0, &down));
        if (down->shape[1] > (uint64_t)r->out->dim)
            return cm_fail(r->ctx, CALMOE_BAD_FILE, "'%s': tensor '%s' has rank %llu; at most %d is possible",
                           r->file->name, down->name, (unsigned long long)down->shape[1], r->out->dim);
        CM_TRY(cm_learned_translator_reserve(r->ctx, exit, r->out->dim, (int)down->shape[1]));
        CM_TRY(read_parts(r, exit, DOWN, BIAS));
    }
    if (n_path > 0) {
        CM_TRY(cm_learned_path_reserve(r->ctx, exit, r->out->n_layers));
        CM_TRY(read_parts(r, exit, PATH, PATH));
    }
    if (n_classifier > 0) {
        CM_TRY(cm_learned_classifier_reserve(r->ctx, exit, r->out->dim));
        CM_TRY(read_parts(r, exit, CLASSIFIER, CLASSIFIER_BIAS));
    }
    return CALMOE_OK;
}

static calmoe_status check(const struct reader *r)
{
    struct calmoe_context inner = {.log = NULL};
    const calmoe_status   status = cm_learned_exits_check(&inner, r->out);
    return status == CALMOE_OK ? CALMOE_OK : cm_fail(r->ctx, status, "'%s': %s", r->file->name, inner.message);
}

static calmoe_status read_exits(const struct reader *r)
{
    uint64_t n_known = 0;
    CM_TRY(read_head(r));
    CM_TRY(read_layers(r));
    for (int i = 0; i < r->out->n; i++) CM_TRY(read_exit(r, &r->out->exits[i], &n_known));
    CM_TRY(check(r));
    if (n_known != r->file->n_tensors)
        return cm_fail(r->ctx, CALMOE_BAD_FILE, "'%s': %llu tensors, of which %llu belong to its exits", r->file->name,
                       (unsigned long long)r->file->n_tensors, (unsigned long long)n_known);
    cm_learned_exits_seal(r->out);
    return CALMOE_OK;
}

/* Takes file over. */
static calmoe_status exits_of(struct calmoe_context *ctx, struct model_file *file, struct learned_exits *out)
{
    const struct reader reader = {ctx, file, out};
    const calmoe_status status = read_exits(&reader);
    if (status != CALMOE_OK) cm_learned_exits_close(out);
    cm_model_file_close(&file);
    return status;
}

calmoe_status cm_exits_file_read(struct calmoe_context *ctx, const char *path, struct learned_exits *out)
{
    struct model_file *file;
    *out = (struct learned_exits){.n = 0};
    CM_TRY(cm_model_file_open(ctx, path, &file));
    return exits_of(ctx, file, out);
}

calmoe_status cm_exits_file_parse(struct calmoe_context *ctx, const char *name, const void *bytes, size_t n_bytes,
                                  struct learned_exits *out)
{
    struct model_file *file;
    *out = (struct learned_exits){.n = 0};
    CM_TRY(cm_model_file_parse(ctx, name, bytes, n_bytes, &file));
    return exits_of(ctx, file, out);
}

/* ---- writing ---- */

struct writing {
    struct meta_draft      draft;
    int32_t                layers[POLICY_MAX_EXITS];
    int                    n_tensors;
    struct file_tensor     tensors[POLICY_MAX_EXITS * N_PARTS];
    struct new_tensor new_tensors[POLICY_MAX_EXITS * N_PARTS];
    const float           *values[POLICY_MAX_EXITS * N_PARTS];
};

static void describe(struct writing *w, const struct learned_exits *exits)
{
    cm_meta_draft_begin(&w->draft, "calmoe.exits");
    cm_meta_draft_text(&w->draft, "general.architecture", architecture);
    cm_meta_draft_u32(&w->draft, "%.schema", SCHEMA);
    cm_meta_draft_text(&w->draft, "%.version", CALMOE_VERSION_TEXT);
    cm_meta_draft_text(&w->draft, "%.model", exits->model);
    cm_meta_draft_u32(&w->draft, "%.n_layers", (uint32_t)exits->n_layers);
    cm_meta_draft_u32(&w->draft, "%.width", (uint32_t)exits->dim);
    for (int i = 0; i < exits->n; i++) w->layers[i] = exits->exits[i].layer;
    cm_meta_draft_i32s(&w->draft, "%.layers", w->layers, (uint64_t)exits->n);
}

static void list_tensors(struct writing *w, const struct learned_exits *exits)
{
    for (int i = 0; i < exits->n; i++)
        for (int part = 0; part < N_PARTS; part++) {
            struct learned_exit exit = exits->exits[i];
            struct file_tensor *tensor = &w->tensors[w->n_tensors];
            const bool is_bias = part == CLASSIFIER_BIAS;
            w->values[w->n_tensors] =
                is_bias && exit.classifier ? &exits->exits[i].classifier_bias : values_of(&exit, (enum part)part);
            if (!w->values[w->n_tensors]) continue;
            name_of(exit.layer, (enum part)part, tensor->name);
            shape_of((enum part)part, exits, exit.rank, tensor->shape);
            tensor->n_dims = part == DOWN || part == UP ? 2 : 1;
            tensor->n_bytes = tensor->shape[0] * tensor->shape[1] * sizeof(float);
            w->new_tensors[w->n_tensors++] =
                (struct new_tensor){tensor, cm_weight_types[WEIGHT_F32].file_id, tensor->n_bytes};
        }
}

calmoe_status cm_exits_file_write(struct calmoe_context *ctx, const char *path, const struct learned_exits *exits)
{
    struct model_writer *writer = NULL;
    CM_TRY(cm_learned_exits_check(ctx, exits));
    struct writing *w = cm_alloc(ctx, 1, sizeof *w, "a file of exits");
    if (!w) return CALMOE_NO_MEMORY;
    describe(w, exits);
    list_tensors(w, exits);
    calmoe_status status = cm_model_writer_open(ctx, path, &w->draft.file, NULL, 0, NULL, 0, w->new_tensors,
                                               (uint64_t)w->n_tensors, &writer);
    for (int i = 0; i < w->n_tensors && status == CALMOE_OK; i++)
        status = cm_model_writer_put(writer, w->values[i], w->tensors[i].n_bytes);
    if (status == CALMOE_OK) status = cm_model_writer_finish(writer);
    cm_model_writer_close(&writer);
    cm_free(w);
    return status;
}
