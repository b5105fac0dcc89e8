/* runtime/mixers/recurrent_weights.c - tensors of a layer with a state of fixed size as it runs them: matrices packed
 * where the plan's shares put their rows, vectors in float32, the convolution's taps with channels side by side. */
#include "base/memory.h"
#include "runtime/mixers/recurrent.h"

static size_t elements_of(const struct file_tensor *tensor)
{
    return tensor ? (size_t)(tensor->shape[0] * tensor->shape[1]) : 0;
}

/* Reads a tensor to *at, which moves on; answers where it begins. NULL for NULL. */
static float *take(const struct file_tensor *tensor, float **at)
{
    if (!tensor) return NULL;
    const struct weight_type_row *type = &cm_weight_types[tensor->type];
    const size_t n = elements_of(tensor);
    float *begin = *at;
    type->dequantize(tensor->bytes, begin, n / (size_t)type->n_elements);
    *at += n;
    return begin;
}

/* Files have the taps of each channel together: (channels, n_taps); they come to lie (n_taps, channels). */
static void turn_taps(const float *from, const struct recurrent_shape *shape, float *to)
{
    const int n_taps = shape->n_taps, n_channels = shape->n_channels;
    for (int channel = 0; channel < n_channels; channel++)
        for (int tap = 0; tap < n_taps; tap++)
            to[(size_t)tap * (size_t)n_channels + (size_t)channel] = from[channel * n_taps + tap];
}

static calmoe_status read_vectors(struct calmoe_context *ctx, const struct recurrent_shape *shape,
                                  const struct layer_tensors *tensors, struct recurrent_weights *out)
{
    const struct recurrent_tensors *t = &tensors->recurrent;
    const struct {
        const struct file_tensor *from;
        float                   **to;
    } all[] = {{tensors->attention_norm, &out->norm}, {t->taps_bias, &out->taps_bias}, {t->time_bias, &out->time_bias},
               {t->decay, &out->decay}, {t->skip, &out->skip}, {t->norm, &out->read_norm}, {t->taps, &out->taps}};
    size_t n = elements_of(t->taps); /* once more, turned */
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) n += elements_of(all[i].from);
    float *at = out->vectors = cm_alloc(ctx, n, sizeof *at, "norms and biases");
    if (!at) return CALMOE_NO_MEMORY;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) *all[i].to = take(all[i].from, &at);
    turn_taps(out->taps, shape, at);
    out->taps = at;
    return CALMOE_OK;
}

/* A product's matrix: the rows of this rank's heads. */
static calmoe_status add_product(const struct mixer_place *place, struct pack_list *list, const struct layer_spec *spec,
                                 enum recurrent_product product, const struct weight_source *from,
                                 struct placed_matrix *to)
{
    const struct recurrence *recurrence = place->mixer->recurrence;
    struct calmoe_context   *ctx = place->machine->ctx;
    const struct plan       *plan = place->machine->plan;
    if (!from->rows) return CALMOE_OK;
    struct row_range *ranges = cm_alloc(ctx, 4 + (size_t)cm_recurrent_shape(spec).n_heads, sizeof *ranges, "a layer");
    if (!ranges) return CALMOE_NO_MEMORY;
    const int n = recurrence->own_ranges(spec, plan, product, ranges);
    const calmoe_status status = n > 0 ? cm_placed_ranges_open(ctx, list, from, ranges, n, plan, to)
                                       : cm_placed_range_open(ctx, list, from, 0, from->n_rows, plan, to);
    cm_free(ranges);
    return status;
}

static calmoe_status pack(const struct mixer_place *place, struct pack_list *list, const struct layer_spec *spec,
                          const struct layer_tensors *t, struct recurrent_weights *out)
{
    const struct recurrent_shape shape = cm_recurrent_shape(spec);
    CM_TRY(read_vectors(place->machine->ctx, &shape, t, out));
    for (int product = 0; product < N_PRODUCTS; product++) {
        CM_TRY(add_product(place, list, spec, (enum recurrent_product)product, &t->recurrent.products[product],
                           &out->products[product]));
        out->input_kinds |= cm_placed_kind(&out->products[product]);
        if (product != PRODUCT_GATE) out->fill_kinds |= cm_placed_kind(&out->products[product]);
    }
    CM_TRY(cm_placed_shares_open(place->machine->ctx, list, &t->recurrent.out, place->machine->plan, &out->out));
    out->out_kinds = cm_placed_kind(&out->out);
    return CALMOE_OK;
}

calmoe_status cm_recurrent_pack(const struct mixer_place *place, struct pack_list *list, int layer,
                                const struct layer_tensors *tensors, void **weights)
{
    struct recurrent_weights *out = *weights = cm_alloc(place->machine->ctx, 1, sizeof *out, "a layer");
    return out ? pack(place, list, &place->spec->layers[layer], tensors, out) : CALMOE_NO_MEMORY;
}

void cm_recurrent_drop(void **weights)
{
    struct recurrent_weights *w = *weights;
    if (!w) return;
    for (int product = 0; product < N_PRODUCTS; product++) cm_placed_close(&w->products[product]);
    cm_placed_close(&w->out);
    cm_free(w->vectors);
    cm_free(w);
    *weights = NULL;
}

size_t cm_recurrent_fill_bytes(const void *weights)
{
    const struct recurrent_weights *w = weights;
    size_t n = 0;
    for (int product = 0; product < N_PRODUCTS; product++)
        if (product != PRODUCT_GATE) n += w->products[product].n_bytes;
    return n;
}

size_t cm_recurrent_step_bytes(const void *weights)
{
    const struct recurrent_weights *w = weights;
    return cm_recurrent_fill_bytes(w) + w->products[PRODUCT_GATE].n_bytes + w->out.n_bytes;
}
