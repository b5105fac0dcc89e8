/* runtime/api/model.c - calmoe_model: open, describe, close. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <calmoe/ranks.h>

#include "base/memory.h"
#include "base/options.h"
#include "base/stack.h"
#include "runtime/engine/handles.h"
#include "runtime/families/override.h"
#include "runtime/load/file_kind.h"
#include "runtime/load/tensor_types.h"

#ifndef CALMOE_MODEL_DIRS
#define CALMOE_MODEL_DIRS "models" /* colon-separated; the build names the installed folder */
#endif
static const char embedded_name[] = "calmoe-nano.gguf";

void calmoe_model_options_init(calmoe_model_options *options)
{
    if (options) *options = (calmoe_model_options){.size = sizeof *options};
}

/* The first folder of dirs (colon-separated) that holds the embedded model, as a new path. */
static char *search(struct calmoe_context *ctx, const char *dirs)
{
    while (dirs && *dirs) {
        const size_t n = strcspn(dirs, ":");
        char path[4096];
        const int length = snprintf(path, sizeof path, "%.*s/%s", (int)n, dirs, embedded_name);
        if (length > 0 && (size_t)length < sizeof path && access(path, R_OK) == 0)
            return cm_copy_text(ctx, path, (size_t)length);
        dirs += n + (dirs[n] == ':');
    }
    return NULL;
}

static calmoe_status resolve_path(struct calmoe_context *ctx, const char *path, char **out)
{
    if (path) {
        *out = cm_copy_text(ctx, path, strlen(path));
        return *out ? CALMOE_OK : CALMOE_NO_MEMORY;
    }
    const char *const stated = getenv("CALMOE_MODELS");
    *out = search(ctx, stated);
    if (*out) return CALMOE_OK;
    *out = search(ctx, CALMOE_MODEL_DIRS);
    if (*out && stated && *stated)
        cm_log(ctx, "the embedded model is not in '%s', as CALMOE_MODELS says; '%s' is taken", stated, *out);
    if (*out) return CALMOE_OK;
    return cm_fail(ctx, CALMOE_IO,
                   "the embedded model %s is not in %s; name its folder in CALMOE_MODELS, or give a model file",
                   embedded_name, CALMOE_MODEL_DIRS);
}

enum {
    SAMPLE_BYTES = 256,
    SMALL_TENSOR_BYTES = 64 * 1024 /* norms and biases, which the engine reads through the map */
};

/* What is read through the map, here and there in the file, is asked for at once and not fault by fault. */
static void fetch_samples(const struct model_file *file)
{
    for (uint64_t i = 0; i < file->n_tensors; i++) {
        const struct file_tensor *tensor = &file->tensors[i];
        const struct file_map *map = &file->maps[tensor->shard];
        const size_t n = tensor->n_bytes <= SMALL_TENSOR_BYTES ? (size_t)tensor->n_bytes : SAMPLE_BYTES;
        cm_file_map_will_need(map, (size_t)(tensor->bytes - map->bytes), n);
    }
}

/* SHA-256 over metadata, tensor list and the first bytes of each tensor: enough to tell models apart
 * without reading them whole. */
static void make_fingerprint(const struct model_file *file, char out[17])
{
    struct sha256 sha = cm_sha256();
    for (uint64_t i = 0; i < file->n_entries; i++) {
        const struct meta_entry *entry = &file->entries[i];
        const uint64_t head[3] = {(uint64_t)entry->type, (uint64_t)entry->element_type, entry->count};
        cm_sha256_add(&sha, entry->key, strlen(entry->key) + 1);
        cm_sha256_add(&sha, head, sizeof head);
        for (uint64_t j = 0; entry->strings && j < entry->count; j++)
            cm_sha256_add(&sha, entry->strings[j].bytes, (size_t)entry->strings[j].n_bytes);
        for (uint64_t j = 0; !entry->strings && j < entry->count; j++) {
            const double value = cm_meta_element_float(entry, j);
            cm_sha256_add(&sha, &value, sizeof value);
        }
    }
    for (uint64_t i = 0; i < file->n_tensors; i++) {
        const struct file_tensor *tensor = &file->tensors[i];
        const size_t n = tensor->n_bytes < SAMPLE_BYTES ? (size_t)tensor->n_bytes : SAMPLE_BYTES;
        cm_sha256_add(&sha, tensor->name, strlen(tensor->name) + 1);
        cm_sha256_add(&sha, &tensor->file_id, sizeof tensor->file_id);
        cm_sha256_add(&sha, tensor->shape, sizeof tensor->shape);
        cm_sha256_add(&sha, tensor->bytes, n);
    }
    char hex[65];
    cm_sha256_hex(&sha, hex);
    memcpy(out, hex, 16);
    out[16] = '\0';
}

static calmoe_status list_usable_tokens(calmoe_model *model)
{
    const int n_vocab = model->spec.n_vocab;
    model->usable = cm_alloc(model->ctx, (size_t)n_vocab, sizeof *model->usable, "the vocabulary");
    if (!model->usable) return CALMOE_NO_MEMORY;
    for (int id = 0; id < n_vocab; id++) model->usable[id] = cm_token_is_usable(model->tokenizer, id);
    return CALMOE_OK;
}

static struct model_override override_of(const calmoe_model_options *options)
{
    return (struct model_override){.n_experts_used = options->n_experts_used,
                                   .rope_scaling = options->rope_scaling,
                                   .rope_scale = options->rope_scale,
                                   .rope_base = options->rope_base,
                                   .yarn_original_context = options->yarn_original_context,
                                   .yarn_attn_factor = options->yarn_attn_factor,
                                   .yarn_beta_fast = options->yarn_beta_fast,
                                   .yarn_beta_slow = options->yarn_beta_slow};
}

/* Writes what the caller wants otherwise over the metadata, of which model->spec is read next. */
static calmoe_status apply_override(calmoe_model *model, const calmoe_model_options *options)
{
    const struct model_override override = override_of(options);
    if (!cm_override_any(&override)) return CALMOE_OK;
    if (options->vocabulary_only || options->contents_only)
        return cm_fail(model->ctx, CALMOE_INVALID_ARGUMENT,
                       "numbers of experts and positions are wanted of '%s', opened without its weights",
                       model->path);
    CM_TRY(cm_override_metadata(model->ctx, &override, model->file));
    make_fingerprint(model->file, model->fingerprint);
    return CALMOE_OK;
}

/* The family and its sizes. */
static calmoe_status read_spec(calmoe_model *model, const calmoe_model_options *options)
{
    const struct model_override override = override_of(options);
    CM_TRY(cm_read_model_spec(model->ctx, model->file, &model->spec));
    if (cm_override_has_rope(&override) && !model->spec.ropes[0].is_on)
        return cm_fail(model->ctx, CALMOE_INVALID_ARGUMENT,
                       "rope options are given, but '%s' does not rotate positions", model->path);
    if (cm_override_has_rope(&override) && cm_rope_has_two_sets(&model->spec.ropes[0]) &&
        model->spec.ropes[0].scaling != ROPE_SCALING_NONE)
        return cm_fail(model->ctx, CALMOE_INVALID_ARGUMENT,
                       "rope_scaling is %s, but '%s' has two sets of rotary factors for its context; only none is "
                       "possible",
                       cm_rope_scaling_names[model->spec.ropes[0].scaling], model->path);
    return CALMOE_OK;
}

/* A block behind the layers that predicts a further token: drafts can do without one that cannot be read. */
static calmoe_status read_further(calmoe_model *model)
{
    struct calmoe_context quiet = {.message = ""};
    calmoe_status status = cm_read_further_spec(&quiet, model->file, &model->spec, &model->further);
    if (status == CALMOE_OK && model->further.n_layers > 0)
        status = cm_model_tensors_open(&quiet, model->file, &model->further, &model->further_tensors);
    if (status == CALMOE_OK) return CALMOE_OK;
    cm_model_spec_close(&model->further);
    model->further = (struct model_spec){0};
    if (status == CALMOE_NO_MEMORY) return cm_fail(model->ctx, status, "%s", quiet.message);
    memcpy(model->further_problem, quiet.message, sizeof quiet.message);
    return CALMOE_OK;
}

static calmoe_status read_weights(calmoe_model *model)
{
    CM_TRY(cm_model_tensors_open(model->ctx, model->file, &model->spec, &model->tensors));
    CM_TRY(read_further(model));
    model->has_weights = true;
    if (cm_tokenizer_n_tokens(model->tokenizer) > model->spec.n_vocab)
        return cm_fail(model->ctx, CALMOE_BAD_FILE,
                       "the vocabulary has %d tokens but tensor 'token_embd.weight' only %d rows",
                       (int)cm_tokenizer_n_tokens(model->tokenizer), model->spec.n_vocab);
    return list_usable_tokens(model);
}

/* A chat template of the file as a program. One that cannot be read is told when it is wanted. */
static calmoe_status read_template(const calmoe_model *model, const char *key, struct file_template *out)
{
    struct calmoe_context quiet = {.message = ""};
    struct meta_string   *text = &out->text;
    if (cm_meta_get_string(NULL, model->file, key, text) != CALMOE_OK || text->n_bytes == 0) {
        *text = (struct meta_string){"", 0};
        memcpy(out->problem, "it has no chat template", sizeof "it has no chat template");
        return CALMOE_OK;
    }
    const calmoe_status status = cm_template_open(&quiet, text->bytes, (size_t)text->n_bytes, &out->program);
    if (status == CALMOE_NO_MEMORY) return cm_fail(model->ctx, status, "%s", quiet.message);
    memcpy(out->problem, quiet.message, sizeof quiet.message);
    return CALMOE_OK;
}

/* First things first: what the file is, whether its family runs, and only then the rest of it. */
static calmoe_status read_contents(calmoe_model *model, const calmoe_model_options *options)
{
    struct meta_string name = {"", 0};
    const bool has_weights = !options->vocabulary_only && !options->contents_only;
    if (!options->contents_only)
        CM_TRY(cm_check_holds_model(model->ctx, model->file, options->vocabulary_only != 0));
    fetch_samples(model->file);
    make_fingerprint(model->file, model->file_fingerprint);
    memcpy(model->fingerprint, model->file_fingerprint, sizeof model->fingerprint);
    CM_TRY(apply_override(model, options));
    if (has_weights) CM_TRY(read_spec(model, options));
    CM_TRY(cm_meta_get_string(model->ctx, model->file, "general.name", &name));
    model->name = cm_copy_text(model->ctx, name.bytes, (size_t)name.n_bytes);
    if (!model->name) return CALMOE_NO_MEMORY;
    if (options->contents_only) return CALMOE_OK;
    CM_TRY(cm_tokenizer_open(model->ctx, model->file, &model->tokenizer));
    CM_TRY(cm_chat_format_of_file(model->ctx, model->file, model->tokenizer, time(NULL), &model->chat,
                                  model->chat_problem));
    CM_TRY(read_template(model, "tokenizer.chat_template", &model->plain));
    CM_TRY(read_template(model, "tokenizer.chat_template.tool_use", &model->for_tools));
    return has_weights ? read_weights(model) : CALMOE_OK;
}

static calmoe_status open_file(calmoe_model *model, const char *path, const calmoe_model_options *options)
{
    const bool    is_shared = calmoe_ranks_count(options->ranks) > 1;
    calmoe_status status = CALMOE_OK;
    if (calmoe_ranks_own(options->ranks) == 0) status = resolve_path(model->ctx, path, &model->path);
    if (is_shared) return cm_model_open_shared(model, options->ranks, status, SAMPLE_BYTES);
    return status == CALMOE_OK ? cm_model_file_open(model->ctx, model->path, &model->file) : status;
}

static calmoe_status read_model(calmoe_model *model, const char *path, const calmoe_model_options *options)
{
    CM_TRY(open_file(model, path, options));
    const calmoe_status status = read_contents(model, options);
    return model->sharing.ranks ? cm_model_share(model, status) : status;
}

calmoe_status calmoe_model_open(calmoe_context *ctx, const char *path, const calmoe_model_options *given,
                                calmoe_model **out)
{
    calmoe_model_options options;
    if (out) *out = NULL;
    if (!ctx || !out) return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "calmoe_model_open: context and out are needed");
    const size_t small_stack = cm_small_stack();
    if (small_stack > 0) return cm_refuse_stack(ctx, small_stack);
    calmoe_model_options_init(&options);
    CM_TRY(cm_options_copy(ctx, "calmoe_model_options", &options, sizeof options, given));
    calmoe_model *model = cm_alloc(ctx, 1, sizeof *model, "the model");
    if (!model) return CALMOE_NO_MEMORY;
    model->ctx = ctx;
    const calmoe_status status = read_model(model, path, &options);
    if (status != CALMOE_OK) calmoe_model_close(&model);
    *out = model;
    return status;
}

void calmoe_model_close(calmoe_model **model)
{
    if (!model || !*model) return;
    cm_model_tensors_close(&(*model)->tensors);
    cm_model_tensors_close(&(*model)->further_tensors);
    cm_model_spec_close(&(*model)->further);
    cm_model_spec_close(&(*model)->spec);
    cm_chat_format_close(&(*model)->chat);
    cm_template_close(&(*model)->plain.program);
    cm_template_close(&(*model)->for_tools.program);
    cm_token_trie_close(&(*model)->trie);
    cm_tokenizer_close(&(*model)->tokenizer);
    cm_free((*model)->usable);
    cm_sharing_close(&(*model)->sharing);
    cm_model_file_close(&(*model)->file);
    cm_free((*model)->name);
    cm_free((*model)->path);
    cm_free(*model);
    *model = NULL;
}

/* Widths, of layers with routed experts and of dense ones. */
static void describe_ffns(const struct model_spec *spec, calmoe_model_info *info)
{
    for (int i = 0; i < spec->n_layers; i++) {
        const struct ffn_spec *ffn = &spec->layers[i].ffn;
        const int shared = ffn->branches[ffn->branches[BANK_DENSE].width > 0 ? BANK_DENSE : BANK_SHARED].width;
        int *width = cm_is_routed(ffn) ? &info->shared_width : &info->dense_width;
        if (shared > *width) *width = shared;
    }
    info->n_dense_layers = cm_dense_layers(spec);
    info->n_routed_layers = cm_routed_layers(spec);
    info->expert_width = cm_is_dense_model(spec) ? info->dense_width : spec->most.width[BANK_ROUTED];
}

static void describe(const calmoe_model *model, calmoe_model_info *info)
{
    const struct model_spec *spec = &model->spec;
    info->family = spec->family;
    info->n_layers = spec->n_layers;
    for (int i = 0; i < spec->n_layers; i++) {
        const struct attention_spec *attention = &spec->layers[i].attention;
        info->n_state_layers += cm_recurrent_shape(&spec->layers[i]).n_channels > 0;
        if (attention->n_heads == 0) continue;
        info->n_attention_layers++;
        info->n_kept_values += cm_kept_heads(attention) * cm_kept_elements(attention);
        if (cm_kept_heads(attention) > info->n_kv_heads) info->n_kv_heads = cm_kept_heads(attention);
    }
    info->width = spec->dim;
    info->n_heads = spec->most.n_heads;
    info->head_size = spec->most.head_size;
    info->n_experts = spec->most.n_experts;
    info->n_experts_used = spec->most.n_used;
    describe_ffns(spec, info);
    info->n_vocab = spec->n_vocab;
    info->context_length = spec->context_length;
    info->n_parameters = model->tensors.n_parameters;
    info->n_active_parameters = model->tensors.n_active_parameters;
}

calmoe_status calmoe_model_get_info(const calmoe_model *model, calmoe_model_info *out)
{
    if (!model || !out || out->size < sizeof out->size)
        return cm_fail(model ? model->ctx : NULL, CALMOE_INVALID_ARGUMENT,
                       "calmoe_model_get_info: a model and an info with its size set are needed");
    calmoe_model_info info = {.family = ""};
    if (model->has_weights) describe(model, &info);
    else if (model->tokenizer) info.n_vocab = cm_tokenizer_n_tokens(model->tokenizer);
    info.path = model->path;
    info.name = model->name;
    info.tokenizer = model->tokenizer ? cm_tokenizer_name(model->tokenizer) : "";
    info.chat_format = model->chat ? cm_chat_format_name(model->chat) : "";
    info.chat_problem = model->chat_problem;
    info.n_file_bytes = model->file->n_file_bytes;
    memcpy(info.fingerprint, model->fingerprint, sizeof info.fingerprint);
    cm_options_give(out, &info, sizeof info);
    return CALMOE_OK;
}

calmoe_status calmoe_model_get_tensor(const calmoe_model *model, uint64_t i, calmoe_tensor_info *info)
{
    if (!model || !info || info->size < sizeof info->size)
        return cm_fail(model ? model->ctx : NULL, CALMOE_INVALID_ARGUMENT,
                       "calmoe_model_get_tensor: a model and an info with its size set are needed");
    if (i >= model->file->n_tensors) return CALMOE_END;
    const struct file_tensor *tensor = &model->file->tensors[i];
    calmoe_tensor_info filled = {.name = tensor->name,
                                 .type = cm_tensor_type_name(tensor->file_id),
                                 .n_dims = tensor->n_dims, .n_bytes = tensor->n_bytes, .shard = tensor->shard};
    memcpy(filled.shape, tensor->shape, sizeof filled.shape);
    cm_options_give(info, &filled, sizeof filled);
    return CALMOE_OK;
}

/* One element as text; at most n_text bytes with the NUL. Returns what snprintf would. */
static int print_element(const struct meta_entry *entry, uint64_t i, char *text, size_t n_text)
{
    const enum meta_type type = entry->type == META_ARRAY ? entry->element_type : entry->type;
    if (entry->strings) {
        const struct meta_string *string = &entry->strings[i];
        return snprintf(text, n_text, "%.*s", (int)(string->n_bytes < 4096 ? string->n_bytes : 4096), string->bytes);
    }
    if (type == META_BOOL) return snprintf(text, n_text, "%s", cm_meta_element_int(entry, i) ? "true" : "false");
    if (cm_meta_is_integer(type)) return snprintf(text, n_text, "%" PRId64, cm_meta_element_int(entry, i));
    return snprintf(text, n_text, "%g", cm_meta_element_float(entry, i));
}

calmoe_status calmoe_model_get_metadata(const calmoe_model *model, uint64_t i, const char **key, char *text,
                                        size_t n_text)
{
    if (!model || !key || !text || n_text < 8)
        return cm_fail(model ? model->ctx : NULL, CALMOE_INVALID_ARGUMENT,
                       "calmoe_model_get_metadata: model, key and a text of 8 bytes or more are needed");
    if (i >= model->file->n_entries) return CALMOE_END;
    const struct meta_entry *entry = &model->file->entries[i];
    *key = entry->key;
    text[0] = '\0';
    size_t at = 0;
    if (entry->type == META_ARRAY) at = (size_t)snprintf(text, n_text, "[%" PRIu64 "] ", entry->count);
    for (uint64_t j = 0; j < entry->count && at < n_text; j++) {
        if (j > 0) at += (size_t)snprintf(text + at, n_text - at, ", ");
        if (at < n_text) at += (size_t)print_element(entry, j, text + at, n_text - at);
    }
    if (at >= n_text) memcpy(text + n_text - 4, "...", 4);
    return CALMOE_OK;
}
