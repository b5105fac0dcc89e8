/* runtime/mixers/delta_weights.c - a delta net's tensors as it runs them: matrices packed where the plan's shares put
 * their rows, vectors in float32, the convolution's taps with channels side by side. */
#include "base/memory.h"
#include "runtime/mixers/delta_parts.h"

static size_t elements_of(const struct file_tensor *tensor) { return (size_t)(tensor->shape[0] * tensor->shape[1]); }

/* Reads a tensor to *at, which moves on; answers where it begins. */
static float *take(const struct file_tensor *tensor, float **at)
{
    const struct weight_type_row *type = &cm_weight_types[tensor->type];
    const size_t n = elements_of(tensor);
    float *begin = *at;
    type->dequantize(tensor->bytes, begin, n / (size_t)type->n_elements);
    *at += n;
    return begin;
}

/* Files have the taps of each channel together: (channels, n_taps); they come to lie (n_taps, channels). */
static void turn_taps(const float *from, const struct delta_spec *spec, float *to)
{
    const int n_taps = spec->n_taps, n_channels = cm_delta_channels(spec);
    for (int channel = 0; channel < n_channels; channel++)
        for (int tap = 0; tap < n_taps; tap++)
            to[(size_t)tap * (size_t)n_channels + (size_t)channel] = from[channel * n_taps + tap];
}

static calmoe_status read_vectors(struct calmoe_context *ctx, const struct delta_spec *spec,
                                  const struct layer_tensors *t, struct delta_weights *out)
{
    const struct delta_tensors *d = &t->delta;
    const size_t n = elements_of(t->attention_norm) + elements_of(d->time_bias) + elements_of(d->decay) +
                     elements_of(d->norm) + 2 * elements_of(d->taps);
    float *at = out->vectors = cm_alloc(ctx, n, sizeof *at, "norms and biases");
    if (!at) return CALMOE_NO_MEMORY;
    out->norm = take(t->attention_norm, &at);
    out->time_bias = take(d->time_bias, &at);
    out->decay = take(d->decay, &at);
    out->read_norm = take(d->norm, &at);
    const float *taps = take(d->taps, &at);
    out->taps = at;
    turn_taps(taps, spec, out->taps);
    return CALMOE_OK;
}

static calmoe_status pack(const struct mixer_place *place, struct pack_list *list, const struct delta_spec *spec,
                          const struct layer_tensors *t, struct delta_weights *out)
{
    const struct {
        const struct weight_source *from;
        struct placed_matrix       *to;
    } all[] = {{&t->delta.qkv, &out->qkv}, {&t->delta.beta, &out->beta}, {&t->delta.alpha, &out->alpha},
               {&t->delta.z, &out->z}, {&t->delta.out, &out->out}};
    CM_TRY(read_vectors(place->machine->ctx, spec, t, out));
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        if (!all[i].from->rows) continue;
        CM_TRY(cm_placed_shares_open(place->machine->ctx, list, all[i].from, place->machine->plan, all[i].to));
    }
    out->fill_kinds = cm_placed_kind(&out->qkv) | cm_placed_kind(&out->beta) | cm_placed_kind(&out->alpha);
    out->input_kinds = out->fill_kinds | cm_placed_kind(&out->z);
    out->out_kinds = cm_placed_kind(&out->out);
    return CALMOE_OK;
}

calmoe_status cm_delta_pack(const struct mixer_place *place, struct pack_list *list, int layer,
                            const struct layer_tensors *tensors, void **weights)
{
    struct delta_weights *out = *weights = cm_alloc(place->machine->ctx, 1, sizeof *out, "a layer");
    return out ? pack(place, list, &place->spec->layers[layer].delta, tensors, out) : CALMOE_NO_MEMORY;
}

void cm_delta_drop(void **weights)
{
    struct delta_weights *w = *weights;
    if (!w) return;
    struct placed_matrix *all[] = {&w->qkv, &w->z, &w->beta, &w->alpha, &w->out};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) cm_placed_close(all[i]);
    cm_free(w->vectors);
    cm_free(w);
    *weights = NULL;
}
