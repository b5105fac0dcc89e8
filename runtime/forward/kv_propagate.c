/* runtime/forward/kv_propagate.c - keys and values of layers that were skipped (CALM, section 3.3).
 *
 * The state h is the same for all skipped layers; where the exit has a translator with a path, layer l reads
 * h + path_l drift, the drift being what the translator adds to h: a state of about its own depth. Either way no
 * product waits for another: (layer, row) pairs stand as rows of d->normed, as many layers at once as there is room
 * for, and two barriers do for all of them. */
#include "runtime/forward/exits_parts.h"

struct fill {
    int first_layer, n_layers; /* done at once                  */
    int begin, n;              /* rows                          */
    const float *path;         /* (n_layers of the model), or NULL */
};

/* Pair i: layer first_layer + i / n, row begin + i % n. */
static void norm_pairs(struct decoder *d, const struct fill *fill, const struct worker *me)
{
    const int dim = d->spec->dim;
    int begin, end;
    cm_share(fill->n_layers * fill->n, 1, me->index, me->n_workers, &begin, &end);
    for (int i = begin; i < end; i++) {
        const int index = fill->first_layer + i / fill->n, r = fill->begin + i % fill->n;
        const struct layer *layer = &d->weights->layers[index];
        const float *state = cm_row(d->x, r, dim);
        float *normed = cm_row(d->normed.values, i, dim);
        if (fill->path) {
            const float *drift = cm_row(d->exits->drifts, r, dim);
            for (int j = 0; j < dim; j++) normed[j] = state[j] + fill->path[index] * drift[j];
            state = normed;
        }
        d->ops->rms_norm(state, layer->attention_norm, d->spec->norm_eps, dim, normed);
        d->ops->quantize(&d->normed, i, 0, dim, cm_placed_kind(&layer->k) | cm_placed_kind(&layer->v));
    }
}

/* The k or v of the l-th layer's pairs, n_columns wide: one layer's stand behind another's, whatever their widths. */
static float *rows_of_layer(const struct fill *fill, float *all, int most_columns, int l)
{
    return cm_row(all, l * fill->n, most_columns);
}

static void project_pairs(struct decoder *d, const struct fill *fill, const struct worker *me)
{
    for (int l = 0; l < fill->n_layers; l++) {
        const struct layer *layer = &d->weights->layers[fill->first_layer + l];
        const int32_t *pairs = d->identity + l * fill->n;
        float *k = rows_of_layer(fill, d->k, d->spec->most.k_columns, l);
        float *v = rows_of_layer(fill, d->v, d->spec->most.v_columns, l);
        cm_linear_shared(d, &layer->k, &d->normed, pairs, fill->n, layer->k_bias, k, me);
        cm_linear_shared(d, &layer->v, &d->normed, pairs, fill->n, layer->v_bias, v, me);
    }
}

static void remember_pairs(struct decoder *d, const struct fill *fill, const struct worker *me)
{
    int begin, end;
    cm_share(fill->n_layers * fill->n, 1, me->index, me->n_workers, &begin, &end);
    for (int i = begin; i < end; i++) {
        const int l = i / fill->n, index = fill->first_layer + l, r = fill->begin + i % fill->n;
        const struct attention_spec *spec = &d->spec->layers[index].attention;
        const int head_size = spec->head_size, value_size = spec->value_size;
        float *k = cm_row(rows_of_layer(fill, d->k, d->spec->most.k_columns, l), i % fill->n,
                          spec->n_kv_heads * head_size);
        float *v = cm_row(rows_of_layer(fill, d->v, d->spec->most.v_columns, l), i % fill->n,
                          spec->n_kv_heads * value_size);
        cm_norm_keys(d, index, k);
        for (int kv_head = 0; kv_head < spec->n_kv_heads; kv_head++)
            cm_remember_kv(d, index, r, kv_head, k + kv_head * head_size, v + kv_head * value_size);
    }
}

void cm_kv_propagate(struct decoder *d, const struct kv_fill_rows *rows, const struct worker *me)
{
    const struct exit_weight *exit = cm_exit_weight(d->exit_weights, rows->exit_layer);
    const int to_layer = rows->to_layer, most = d->max_rows / rows->n;
    cm_enter_phase(d, me, CALMOE_PHASE_FILL);
    for (int layer = rows->from_layer; layer < to_layer; layer += most) {
        const struct fill fill = {layer, to_layer - layer < most ? to_layer - layer : most, rows->begin, rows->n,
                                  exit ? exit->path : NULL};
        if (layer > rows->from_layer) cm_barrier(me);
        norm_pairs(d, &fill, me);
        cm_barrier(me);
        project_pairs(d, &fill, me);
        cm_barrier(me);
        remember_pairs(d, &fill, me);
    }
}
