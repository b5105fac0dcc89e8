/* runtime/adapters/peft_prefix.c - see peft_prefix.h. */
#include "runtime/adapters/peft_prefix.h"

#include "base/memory.h"

static const char TENSOR[] = "prompt_embeddings";

/* Layers that keep something else of a position than keys and values of heads have no place for such. */
static calmoe_status check_layers(const struct adapter_reading *reading)
{
    const struct model_spec     *spec = reading->model->spec;
    const struct attention_spec *first = &spec->layers[0].attention;
    for (int i = 0; i < spec->n_layers; i++) {
        const struct attention_spec *of = &spec->layers[i].attention;
        const char *why = spec->layers[i].mixer == MIXER_MLA ? "keeps latents, not keys and values of heads"
                          : spec->layers[i].mixer == MIXER_NONE ? "does not attend"
                          : spec->layers[i].mixer != MIXER_ATTENTION ? "keeps a state, not keys and values"
                          : of->head_size != of->value_size ? "has keys and values of different sizes"
                          : of->n_kv_heads != first->n_kv_heads || of->head_size != first->head_size
                              ? "has other numbers or sizes of heads than layer 0" : NULL;
        if (why)
            return cm_fail(reading->ctx, CALMOE_UNSUPPORTED, "'%s' is a prefix of keys and values for all layers, and "
                           "layer %d of '%s' %s", reading->name, i, reading->model->path, why);
    }
    return CALMOE_OK;
}

static calmoe_status check_shape(const struct adapter_reading *reading, const struct peft_config *config,
                                 const struct safetensor *tensor, const struct adapter_prefix *prefix)
{
    const struct json_value n_heads = cm_json_get(&config->root, "num_attention_heads");
    if (tensor->n_dims != 2 || tensor->shape[0] != (uint64_t)prefix->n_positions ||
        tensor->shape[1] != cm_prefix_n_floats(prefix))
        return cm_fail(reading->ctx, CALMOE_INVALID_ARGUMENT, "'%s': '%s' has %llu x %llu numbers; keys and values of "
                       "%d positions in %d layers of '%s', with %d heads of %d, are %d x %zu", reading->name, TENSOR,
                       (unsigned long long)tensor->shape[0], (unsigned long long)tensor->shape[1],
                       prefix->n_positions, prefix->n_layers, reading->model->path, prefix->n_heads, prefix->head_size,
                       prefix->n_positions, cm_prefix_n_floats(prefix));
    if (cm_json_sort(&n_heads) == JSON_IS_INTEGER && cm_json_integer(&n_heads) != prefix->n_heads)
        return cm_fail(reading->ctx, CALMOE_INVALID_ARGUMENT, "'%s' has keys and values of %lld heads "
                       "(num_attention_heads); '%s' has %d", reading->name, (long long)cm_json_integer(&n_heads),
                       reading->model->path, prefix->n_heads);
    return CALMOE_OK;
}

/* Files of some families have the rows of a head of keys in another order than modules, so keys have that, too. */
static void turn_keys(const struct adapter_prefix *prefix, float *scratch)
{
    const size_t n_keys = (size_t)prefix->n_heads * (size_t)prefix->head_size;
    const size_t n_layers = (size_t)prefix->n_positions * (size_t)prefix->n_layers;
    for (size_t i = 0; i < n_layers; i++)
        for (int head = 0; head < prefix->n_heads; head++) {
            float *key = prefix->numbers + 2 * i * n_keys + (size_t)(head * prefix->head_size);
            for (int d = 0; d < prefix->head_size; d++) scratch[d] = key[cm_turned_row(d, prefix->head_size)];
            for (int d = 0; d < prefix->head_size; d++) key[d] = scratch[d];
        }
}

calmoe_status cm_peft_read_prefix(const struct adapter_reading *reading, const struct peft_config *config,
                                  const struct family *family, const struct safetensors *file)
{
    const struct attention_spec *of = &reading->model->spec->layers[0].attention;
    const struct safetensor     *tensor = cm_safetensor(file, TENSOR);
    struct adapter_prefix       *prefix = &reading->out->prefix;
    CM_TRY(check_layers(reading));
    if (!tensor || file->n != 1)
        return cm_fail(reading->ctx, CALMOE_BAD_FILE, "'%s' has %d tensors; '%s' alone is wanted of a prefix",
                       reading->name, file->n, TENSOR);
    *prefix = (struct adapter_prefix){config->n_positions, reading->model->spec->n_layers, of->n_kv_heads,
                                      of->head_size, NULL};
    CM_TRY(check_shape(reading, config, tensor, prefix));
    prefix->numbers = cm_alloc(reading->ctx, tensor->n_elements, sizeof *prefix->numbers, "a prefix");
    if (!prefix->numbers) return CALMOE_NO_MEMORY;
    if (!cm_safetensor_floats(tensor, 0, tensor->n_elements, prefix->numbers))
        return cm_fail(reading->ctx, CALMOE_UNSUPPORTED, "'%s': tensor '%s' has type %s; floating numbers are wanted",
                       reading->name, TENSOR, cm_safetensor_type_name(tensor));
    reading->out->n_parameters = tensor->n_elements;
    if (!family->turns_heads) return CALMOE_OK;
    float *scratch = cm_alloc(reading->ctx, (size_t)prefix->head_size, sizeof *scratch, "a prefix");
    if (!scratch) return CALMOE_NO_MEMORY;
    turn_keys(prefix, scratch);
    cm_free(scratch);
    return CALMOE_OK;
}
