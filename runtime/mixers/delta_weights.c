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

/* ---- rows of this rank's heads ---- */

/* Rows of a matrix that has value_size rows for each value head, the first at `first`. */
static int value_ranges(const struct delta_spec *spec, const struct delta_heads *own, int first,
                        struct row_range *ranges)
{
    const int in_a_row = spec->order == HEADS_IN_TURN ? own->n_keys : own->n_values;
    int       n = 0;
    for (int i = 0; i < own->n_values; i += in_a_row)
        ranges[n++] = (struct row_range){first + cm_delta_own_value(spec, own, i) * spec->value_size,
                                         in_a_row * spec->value_size};
    return n;
}

static int ranges_of_values(const struct delta_spec *spec, const struct delta_heads *own, struct row_range *ranges)
{
    return value_ranges(spec, own, 0, ranges);
}

/* Of the first matrix: q, k, v; or by key head. */
static int ranges_of_inputs(const struct delta_spec *spec, const struct delta_heads *own, struct row_range *ranges)
{
    const int readers = spec->n_value_heads / spec->n_key_heads, keys = cm_delta_key_columns(spec);
    const int of_key = 2 * spec->key_size + 2 * readers * spec->value_size;
    if (spec->is_by_head) {
        ranges[0] = (struct row_range){own->first_key * of_key, own->n_keys * of_key};
        return 1;
    }
    for (int i = 0; i < 2; i++)
        ranges[i] = (struct row_range){i * keys + own->first_key * spec->key_size, own->n_keys * spec->key_size};
    return 2 + value_ranges(spec, own, 2 * keys, ranges + 2);
}

typedef int ranges_fn(const struct delta_spec *spec, const struct delta_heads *own, struct row_range *ranges);

/* One rank has all rows in one piece. */
static calmoe_status add_heads(const struct mixer_place *place, struct pack_list *list,
                               const struct weight_source *source, ranges_fn *find, const struct delta_spec *spec,
                               struct placed_matrix *out)
{
    struct calmoe_context   *ctx = place->machine->ctx;
    const struct plan       *plan = place->machine->plan;
    const struct delta_heads own = cm_delta_own_heads(spec, plan);
    if (own.n_keys == spec->n_key_heads)
        return cm_placed_range_open(ctx, list, source, 0, source->n_rows, plan, out);
    const size_t      most = 2 + (size_t)(spec->n_value_heads / spec->n_key_heads);
    struct row_range *ranges = cm_alloc(ctx, most, sizeof *ranges, "a layer");
    if (!ranges) return CALMOE_NO_MEMORY;
    const calmoe_status status =
        cm_placed_ranges_open(ctx, list, source, ranges, find(spec, &own, ranges), plan, out);
    cm_free(ranges);
    return status;
}

static calmoe_status pack(const struct mixer_place *place, struct pack_list *list, const struct delta_spec *spec,
                          const struct layer_tensors *t, struct delta_weights *out)
{
    struct calmoe_context     *ctx = place->machine->ctx;
    const struct plan         *plan = place->machine->plan;
    const struct delta_tensors *from = &t->delta;
    CM_TRY(read_vectors(ctx, spec, t, out));
    CM_TRY(add_heads(place, list, &from->qkv, ranges_of_inputs, spec, &out->qkv));
    if (from->z.rows) CM_TRY(add_heads(place, list, &from->z, ranges_of_values, spec, &out->z));
    CM_TRY(cm_placed_range_open(ctx, list, &from->beta, 0, from->beta.n_rows, plan, &out->beta));
    if (from->alpha.rows)
        CM_TRY(cm_placed_range_open(ctx, list, &from->alpha, 0, from->alpha.n_rows, plan, &out->alpha));
    CM_TRY(cm_placed_shares_open(ctx, list, &from->out, plan, &out->out));
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
