/* runtime/forward/fill.c - keys and values of layers that were skipped (CALM, section 3.3).
 *
 * The state h is the same for all skipped layers; where the exit has a translator with a path, layer l reads
 * h + path_l drift, the drift being what the translator adds to h: a state of about its own depth. Either way no
 * product waits for another: (layer, row) pairs stand as rows of d->normed, as many layers at once as there is room
 * for, and two barriers do for all of them. */
#include "runtime/forward/decoder_parts.h"

struct part { /* of a fill: layers that are done at once */
    int first_layer, n_layers;
    const struct layer_fill *of;
};

/* Pair i: layer first_layer + i / n, row begin + i % n. */
static void norm_pairs(struct decoder *d, const struct part *part, const struct worker *me)
{
    const int dim = d->spec->dim;
    int begin, end;
    cm_share(part->n_layers * part->of->n, 1, me->index, me->n_workers, &begin, &end);
    for (int i = begin; i < end; i++) {
        const int index = part->first_layer + i / part->of->n, r = part->of->begin + i % part->of->n;
        const struct layer *layer = &d->weights->layers[index];
        const float *state = cm_row(d->x, r, dim);
        float *normed = cm_row(d->normed.values, i, dim);
        if (part->of->path) {
            const float *drift = part->of->drifts + (size_t)r * (size_t)dim;
            for (int j = 0; j < dim; j++) normed[j] = state[j] + part->of->path[index] * drift[j];
            state = normed;
        }
        d->ops->rms_norm(state, layer->attention_norm, d->spec->norm_eps, dim, normed);
        d->ops->quantize(&d->normed, i, 0, dim, cm_placed_kind(&layer->k) | cm_placed_kind(&layer->v));
    }
}

/* The k or v of the l-th layer's pairs, n_columns wide: one layer's stand behind another's, whatever their widths. */
static float *rows_of_layer(const struct part *part, float *all, int most_columns, int l)
{
    return cm_row(all, l * part->of->n, most_columns);
}

static void project_pairs(struct decoder *d, const struct part *part, const struct worker *me)
{
    for (int l = 0; l < part->n_layers; l++) {
        const struct layer *layer = &d->weights->layers[part->first_layer + l];
        const int32_t *pairs = d->identity + l * part->of->n;
        float *k = rows_of_layer(part, d->k, d->spec->most.k_columns, l);
        float *v = rows_of_layer(part, d->v, d->spec->most.v_columns, l);
        cm_linear_shared(d, &layer->k, &d->normed, pairs, part->of->n, layer->k_bias, k, me);
        cm_linear_shared(d, &layer->v, &d->normed, pairs, part->of->n, layer->v_bias, v, me);
    }
}

static void remember_pairs(struct decoder *d, const struct part *part, const struct worker *me)
{
    const int n = part->of->n;
    int begin, end;
    cm_share(part->n_layers * n, 1, me->index, me->n_workers, &begin, &end);
    for (int i = begin; i < end; i++) {
        const int l = i / n, index = part->first_layer + l, r = part->of->begin + i % n;
        const struct attention_spec *spec = &d->spec->layers[index].attention;
        const int head_size = spec->head_size, value_size = spec->value_size;
        float *k = cm_row(rows_of_layer(part, d->k, d->spec->most.k_columns, l), i % n, spec->n_kv_heads * head_size);
        float *v = cm_row(rows_of_layer(part, d->v, d->spec->most.v_columns, l), i % n, spec->n_kv_heads * value_size);
        cm_norm_keys(d, index, k);
        for (int kv_head = 0; kv_head < spec->n_kv_heads; kv_head++)
            cm_remember_kv(d, index, r, kv_head, k + kv_head * head_size, v + kv_head * value_size);
    }
}

void cm_fill_layers(struct decoder *d, const struct layer_fill *fill, const struct worker *me)
{
    const int to_layer = fill->to_layer, most = d->max_rows / fill->n;
    cm_enter_phase(d, me, CALMOE_PHASE_FILL);
    for (int layer = fill->from_layer; layer < to_layer; layer += most) {
        const struct part part = {layer, to_layer - layer < most ? to_layer - layer : most, fill};
        if (layer > fill->from_layer) cm_barrier(me);
        norm_pairs(d, &part, me);
        cm_barrier(me);
        project_pairs(d, &part, me);
        cm_barrier(me);
        remember_pairs(d, &part, me);
    }
}

size_t cm_fill_bytes(const struct decoder *d, int from_layer, int to_layer)
{
    size_t n_bytes = 0;
    for (int layer = from_layer; layer < to_layer; layer++)
        n_bytes += d->weights->layers[layer].k.n_bytes + d->weights->layers[layer].v.n_bytes;
    return n_bytes;
}
