/* runtime/adapters/adapter_folder.c - a LoRA from a folder of Hugging Face's PEFT: adapter_config.json, and
 * adapter_model.safetensors, in which a module MODULE has MODULE.lora_A.weight (rank, inputs) and MODULE.lora_B.weight
 * (outputs, rank); the embedding lora_embedding_A (rank, vocabulary) and lora_embedding_B (width, rank). Experts that a
 * model has as one parameter have one such pair (ParamWrapper): A is (experts * rank, inputs), expert by expert, B is
 * (outputs, rank * experts), rank by rank.
 *
 * Models' files have other rows than modules: gate and up apart, heads in another order, keys and values of latent
 * attention apart. What is added to rows is added to them wherever they stand. A folder of another kind, a prefix:
 * peft_prefix.c. */
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "runtime/adapters/peft_config.h"
#include "runtime/adapters/peft_modules.h"
#include "runtime/adapters/peft_prefix.h"
#include "runtime/documents/safetensors.h"
#include "runtime/families/family.h"

static const char PREFIX[] = "base_model.model.";

struct folder {
    const struct adapter_reading *reading;
    const struct family          *family;
    struct peft_config            config;
    struct safetensors           *file;
};

/* A module's two matrices, and which of their rows and columns belong together. */
struct halves {
    const struct safetensor *from_a, *from_b;
    char                     name[SAFETENSORS_MAX_NAME_BYTES + 1]; /* of the module, without the prefix */
    float                   *a, *b;
    int                      n_inputs, n_outputs, rank, n_experts;
    bool                     is_turned; /* experts of older versions: A has outputs, B has inputs */
    float                    scale;
};

/* ---- what goes where ---- */

/* Row i of a target is row first + step i of a module; or, by heads of n_rows / n_heads rows, 2 i + s is row
 * i + s n_rows / n_heads / 2 of the same head. */
struct row_order {
    int first, step, n_heads;
};

static int row_of(const struct row_order *order, int n_rows, int i)
{
    if (order->n_heads < 1) return order->first + order->step * i;
    const int size = n_rows / order->n_heads, head = i / size, at = i % size;
    return order->first + head * size + cm_turned_row(at, size);
}

static float element_of_a(const struct halves *h, int expert, int i, int input)
{
    const size_t of_b = (size_t)input * (size_t)(h->rank * h->n_experts) + (size_t)(i * h->n_experts + expert);
    return h->is_turned ? h->b[of_b] : h->a[(size_t)(expert * h->rank + i) * (size_t)h->n_inputs + (size_t)input];
}

static float element_of_b(const struct halves *h, int expert, int output, int i)
{
    if (h->is_turned) return h->a[(size_t)(expert * h->rank + i) * (size_t)h->n_outputs + (size_t)output];
    return h->b[(size_t)output * (size_t)(h->rank * h->n_experts) + (size_t)(i * h->n_experts + expert)];
}

static calmoe_status wrong_shape(const struct folder *folder, const struct halves *h, const char *what)
{
    const uint64_t *a = h->from_a->shape, *b = h->from_b->shape;
    return cm_fail(folder->reading->ctx, CALMOE_INVALID_ARGUMENT, "'%s': '%s' has %llu x %llu and %llu x %llu numbers, "
               "which "
                   "do not fit %s of '%s'", folder->reading->name, h->name, (unsigned long long)a[0],
                   (unsigned long long)a[1], (unsigned long long)b[0], (unsigned long long)b[1], what,
                   folder->reading->model->path);
}

/* The rows of one matrix: expert `expert` of the halves, matrix `slice` of the target. */
static calmoe_status emit(const struct folder *folder, const struct halves *h, int expert,
                          const struct adapter_target *target, int slice, const struct row_order *order)
{
    float *a, *b;
    const bool is_whole = order->n_heads < 1 || target->n_rows % (2 * order->n_heads) == 0;
    if (h->n_inputs != target->n_columns || slice >= target->n_stacked || !is_whole ||
        order->first + order->step * (target->n_rows - 1) >= h->n_outputs)
        return wrong_shape(folder, h, target->tensor->name);
    CM_TRY(cm_adapter_add(folder->reading, target, slice, h->rank, h->scale, &a, &b));
    for (int i = 0; i < h->rank; i++)
        for (int input = 0; input < h->n_inputs; input++) *a++ = element_of_a(h, expert, i, input);
    for (int row = 0; row < target->n_rows; row++)
        for (int i = 0; i < h->rank; i++)
            *b++ = element_of_b(h, expert, row_of(order, target->n_rows, row), i);
    return CALMOE_OK;
}

static calmoe_status need_target(const struct folder *folder, const struct halves *h, const char *role,
                                 struct adapter_target *out)
{
    if (cm_adapter_target(folder->reading->model, role, out)) return CALMOE_OK;
    return cm_fail(folder->reading->ctx, CALMOE_INVALID_ARGUMENT, "'%s' changes '%s'; '%s' has no tensor '%s' that "
               "would be it",
                   folder->reading->name, h->name, folder->reading->model->path, role);
}

/* Rows of the tensor that is called so: one of n_parts that the module has rows of, all of one length. expert: which
 * of a stack, and of the halves where they are of all experts; -1: there is no stack. */
static calmoe_status emit_rows(const struct folder *folder, const struct halves *h, int expert, const char *role,
                               int n_parts, const struct row_order *order)
{
    struct adapter_target target;
    CM_TRY(need_target(folder, h, role, &target));
    cm_adapter_leave_gate_out(folder->reading->model, role, &target);
    if (h->n_outputs != n_parts * target.n_rows) return wrong_shape(folder, h, target.tensor->name);
    return emit(folder, h, h->n_experts > 1 ? expert : 0, &target, expert < 0 ? 0 : expert, order);
}

static calmoe_status emit_gate_up(const struct folder *folder, const struct halves *h, int expert, int layer,
                                  const char *end)
{
    const int  half = h->n_outputs / 2;
    const bool alternates = expert >= 0 && folder->family->alternates_gate_up;
    char role[FILE_MAX_NAME_BYTES + 24];
    if (h->n_outputs % 2 != 0) return wrong_shape(folder, h, "gate and up");
    for (int is_up = 0; is_up < 2; is_up++) {
        const struct row_order order = {alternates ? is_up : is_up * half, alternates ? 2 : 1, 0};
        snprintf(role, sizeof role, "blk.%d.ffn_%s%s", layer, is_up ? "up" : "gate", end);
        CM_TRY(emit_rows(folder, h, expert, role, 2, &order));
    }
    return CALMOE_OK;
}

/* Of latent attention: the matrix of head `head`. K is K' turned: B A becomes A' B'. */
static calmoe_status emit_head(const struct folder *folder, const struct halves *h, const struct mla_spec *spec,
                               int head, const struct adapter_target *keys, const struct adapter_target *values)
{
    const int first = head * (spec->plain_size + spec->value_size);
    float    *a, *b;
    CM_TRY(cm_adapter_add(folder->reading, keys, head, h->rank, h->scale, &a, &b));
    for (int i = 0; i < h->rank; i++)
        for (int row = 0; row < spec->plain_size; row++) *a++ = element_of_b(h, 0, first + row, i);
    for (int input = 0; input < h->n_inputs; input++)
        for (int i = 0; i < h->rank; i++) *b++ = element_of_a(h, 0, i, input);
    return emit(folder, h, 0, values, head, &(struct row_order){first + spec->plain_size, 1, 0});
}

static calmoe_status emit_key_value(const struct folder *folder, const struct halves *h, int layer)
{
    const struct layer_spec *of = &folder->reading->model->spec->layers[layer];
    const int n_heads = of->attention.n_heads, latent = of->attention.value_size;
    struct adapter_target keys, values;
    char role[FILE_MAX_NAME_BYTES];
    snprintf(role, sizeof role, "blk.%d.attn_kv_b.weight", layer);
    if (of->mla.is_joint) return emit_rows(folder, h, -1, role, 1, &(struct row_order){0, 1, 0});
    snprintf(role, sizeof role, "blk.%d.attn_k_b.weight", layer);
    CM_TRY(need_target(folder, h, role, &keys));
    snprintf(role, sizeof role, "blk.%d.attn_v_b.weight", layer);
    CM_TRY(need_target(folder, h, role, &values));
    if (h->n_inputs != latent || h->n_outputs != n_heads * (of->mla.plain_size + of->mla.value_size))
        return wrong_shape(folder, h, "the heads' keys and values");
    for (int head = 0; head < n_heads; head++) CM_TRY(emit_head(folder, h, &of->mla, head, &keys, &values));
    return CALMOE_OK;
}

/* All experts: gate and up, or down, as the shapes say. */
static calmoe_status emit_experts(const struct folder *folder, struct halves *h, int layer)
{
    const struct model_spec *spec = folder->reading->model->spec;
    const struct ffn_spec   *ffn = &spec->layers[layer].ffn;
    const int dim = spec->dim, width = ffn->branches[BANK_ROUTED].width, n = ffn->router.n_experts;
    const bool is_down = (h->n_inputs == width && h->n_outputs == dim) || (h->n_inputs == dim && h->n_outputs == width);
    char role[FILE_MAX_NAME_BYTES];
    h->is_turned = is_down ? h->n_inputs != width : h->n_inputs != dim;
    if (h->is_turned) {
        const int n_inputs = h->n_inputs;
        h->n_inputs = h->n_outputs;
        h->n_outputs = n_inputs;
    }
    if (n < 1 || h->rank % n != 0 || (!is_down && (h->n_inputs != dim || h->n_outputs != 2 * width)))
        return wrong_shape(folder, h, "the routed experts");
    h->n_experts = n;
    h->rank /= n;
    const size_t n_name = strlen(h->name);
    snprintf(h->name + n_name, sizeof h->name - n_name, is_down ? ".down_proj" : ".gate_up_proj");
    CM_TRY(cm_peft_scale(folder->reading, &folder->config, h->name, h->rank, &h->scale));
    snprintf(role, sizeof role, "blk.%d.ffn_down_exps.weight", layer);
    for (int expert = 0; expert < n; expert++)
        CM_TRY(is_down ? emit_rows(folder, h, expert, role, 1, &(struct row_order){0, 1, 0})
                       : emit_gate_up(folder, h, expert, layer, "_exps.weight"));
    return CALMOE_OK;
}

static calmoe_status emit_embedding(const struct folder *folder, const struct halves *h)
{
    struct adapter_target target;
    float *a, *b;
    CM_TRY(need_target(folder, h, "token_embd.weight", &target));
    if (h->n_inputs != target.n_rows || h->n_outputs != target.n_columns)
        return wrong_shape(folder, h, "the embedding");
    CM_TRY(cm_adapter_add(folder->reading, &target, 0, h->rank, h->scale, &a, &b));
    for (int token = 0; token < h->n_inputs; token++)
        for (int i = 0; i < h->rank; i++) *a++ = element_of_a(h, 0, i, token);
    memcpy(b, h->b, (size_t)h->n_outputs * (size_t)h->rank * sizeof *b);
    return CALMOE_OK;
}

static calmoe_status emit_plain(const struct folder *folder, const struct halves *h, const struct module *module)
{
    struct row_order order = {0, 1, 0};
    if (module->form == MODULE_HEADS && folder->family->turns_heads) {
        const struct attention_spec *attention = &folder->reading->model->spec->layers[module->layer].attention;
        order.n_heads = strstr(module->role, "attn_q.") ? attention->n_heads : attention->n_kv_heads;
    }
    return emit_rows(folder, h, module->expert, module->role, 1, &order);
}

/* ---- the folder's files ---- */

static calmoe_status read_half(const struct folder *folder, const struct safetensor *tensor, float **out)
{
    const struct adapter_reading *reading = folder->reading;
    if (tensor->n_dims != 2 || tensor->shape[0] > INT32_MAX || tensor->shape[1] > INT32_MAX)
        return cm_fail(reading->ctx, CALMOE_BAD_FILE, "'%s': tensor '%s' has %d dimensions; 2 are wanted",
                       reading->name, tensor->name, tensor->n_dims);
    *out = cm_alloc(reading->ctx, (size_t)tensor->n_elements, sizeof **out, "an adapter");
    if (!*out) return CALMOE_NO_MEMORY;
    if (cm_safetensor_floats(tensor, 0, tensor->n_elements, *out)) return CALMOE_OK;
    return cm_fail(reading->ctx, CALMOE_UNSUPPORTED, "'%s': tensor '%s' has type %s; floating numbers are wanted",
                   reading->name, tensor->name, cm_safetensor_type_name(tensor));
}

static calmoe_status add_module(const struct folder *folder, struct halves *h)
{
    const struct adapter_reading *reading = folder->reading;
    struct module                 module;
    if (!cm_peft_module(h->name, &module) || module.layer >= reading->model->spec->n_layers)
        return cm_fail(reading->ctx, CALMOE_UNSUPPORTED, "'%s' changes the module '%s', which is none that is known of "
                                                         "models "
                       "such as '%s'", reading->name, h->name, reading->model->path);
    CM_TRY(cm_peft_scale(reading, &folder->config, h->name, h->rank, &h->scale));
    switch (module.form) {
    case MODULE_EMBEDDING: return emit_embedding(folder, h);
    case MODULE_EXPERTS: return emit_experts(folder, h, module.layer);
    case MODULE_KEY_VALUE: return emit_key_value(folder, h, module.layer);
    case MODULE_GATE_UP: return emit_gate_up(folder, h, -1, module.layer, module.role);
    default: return emit_plain(folder, h, &module);
    }
}

/* The module's name: what stands between the prefix and the end of a tensor's name, without the layers of wrapping. */
static void name_module(const char *tensor, size_t n, char *out)
{
    static const char wrapping[] = ".base_layer";
    memcpy(out, tensor, n);
    out[n] = '\0';
    const size_t n_prefix = sizeof PREFIX - 1;
    if (strncmp(out, PREFIX, n_prefix) == 0) memmove(out, out + n_prefix, n + 1 - n_prefix);
    for (char *at; (at = strstr(out, wrapping)) != NULL;)
        memmove(at, at + sizeof wrapping - 1, strlen(at + sizeof wrapping - 1) + 1);
}

static calmoe_status read_pair(const struct folder *folder, const struct safetensor *a, const char *end_of_a,
                               const char *end_of_b)
{
    const struct adapter_reading *reading = folder->reading;
    const size_t  n = strlen(a->name) - strlen(end_of_a);
    char          other[SAFETENSORS_MAX_NAME_BYTES + 32];
    struct halves h = {.from_a = a, .n_experts = 1};
    snprintf(other, sizeof other, "%.*s%s", (int)n, a->name, end_of_b);
    h.from_b = cm_safetensor(folder->file, other);
    if (!h.from_b)
        return cm_fail(reading->ctx, CALMOE_BAD_FILE, "'%s': tensor '%s' is missing", reading->name, other);
    name_module(a->name, n, h.name);
    calmoe_status status = read_half(folder, a, &h.a);
    if (status == CALMOE_OK) status = read_half(folder, h.from_b, &h.b);
    if (status == CALMOE_OK) {
        h.rank = (int)a->shape[0];
        h.n_inputs = (int)a->shape[1];
        h.n_outputs = (int)h.from_b->shape[0];
        if (h.rank < 1 || h.n_inputs < 1 || h.n_outputs < 1 || h.from_b->shape[1] != a->shape[0])
            status = wrong_shape(folder, &h, "each other, or a matrix");
        else status = add_module(folder, &h);
    }
    cm_free(h.a);
    cm_free(h.b);
    return status;
}

static bool ends_with(const char *text, const char *end)
{
    const size_t n = strlen(text), m = strlen(end);
    return n > m && strcmp(text + n - m, end) == 0;
}

/* A copy of the model's own embedding or output, which PEFT saves beside what it adds to them. Of another shape it has
 * tokens that the model has not. */
static bool is_copy(const struct folder *folder, const struct safetensor *tensor)
{
    const struct model_spec *spec = folder->reading->model->spec;
    return ends_with(tensor->name, ".base_layer.weight") && tensor->n_dims == 2 &&
           tensor->shape[0] == (uint64_t)spec->n_vocab && tensor->shape[1] == (uint64_t)spec->dim;
}

static calmoe_status read_tensor(const struct folder *folder, const struct safetensor *tensor)
{
    static const char *const ends[][2] = {{".lora_A.weight", ".lora_B.weight"},
                                          {".lora_embedding_A", ".lora_embedding_B"}};
    const char *other;
    if (is_copy(folder, tensor)) return CALMOE_OK;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        if (ends_with(tensor->name, ends[i][0])) return read_pair(folder, tensor, ends[i][0], ends[i][1]);
        if (!ends_with(tensor->name, ends[i][1])) continue;
        char name[SAFETENSORS_MAX_NAME_BYTES + 32];
        other = ends[i][0];
        snprintf(name, sizeof name, "%.*s%s", (int)(strlen(tensor->name) - strlen(ends[i][1])), tensor->name, other);
        if (cm_safetensor(folder->file, name)) return CALMOE_OK; /* it is read with its other half */
        return cm_fail(folder->reading->ctx, CALMOE_BAD_FILE, "'%s': tensor '%s' is missing", folder->reading->name,
                       name);
    }
    return cm_fail(folder->reading->ctx, CALMOE_UNSUPPORTED, "'%s': tensor '%s' is no half of a LoRA; running without "
               "it "
                   "would give other results than were trained", folder->reading->name, tensor->name);
}

static calmoe_status read_files(struct folder *folder)
{
    const struct adapter_reading *reading = folder->reading;
    char path[4096];
    if (snprintf(path, sizeof path, "%s/adapter_config.json", reading->path) >= (int)sizeof path - 16)
        return cm_fail(reading->ctx, CALMOE_INVALID_ARGUMENT, "the path of '%s' is too long", reading->name);
    CM_TRY(cm_peft_config_open(reading, path, &folder->config));
    snprintf(path, sizeof path, "%s/adapter_model.safetensors", reading->path);
    CM_TRY(cm_safetensors_open(reading->ctx, path, &folder->file));
    if (folder->config.has_prefix)
        return cm_peft_read_prefix(reading, &folder->config, folder->family, folder->file);
    for (int i = 0; i < folder->file->n; i++) CM_TRY(read_tensor(folder, &folder->file->tensors[i]));
    return CALMOE_OK;
}

calmoe_status cm_adapter_read_folder(const struct adapter_reading *reading)
{
    struct folder folder = {.reading = reading};
    reading->out->kind = "peft";
    reading->out->name = cm_copy_text(reading->ctx, reading->name, strlen(reading->name));
    if (!reading->out->name) return CALMOE_NO_MEMORY;
    for (int i = 0; cm_family_at(i) && !folder.family; i++)
        if (strcmp(cm_family_at(i)->name, reading->model->spec->family) == 0) folder.family = cm_family_at(i);
    const calmoe_status status = read_files(&folder);
    cm_peft_config_close(&folder.config);
    cm_safetensors_close(&folder.file);
    return status;
}
