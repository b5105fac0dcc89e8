/* step_barriers.c - see step_barriers.h. */
#include "runtime/forward/step_barriers.h"

#include "runtime/mixers/mixer.h"

enum { OF_FFN = 3, OF_HEAD = 1 };

int cm_step_barriers(const struct model_spec *spec, int n_workers)
{
    int n = OF_HEAD;
    for (int i = 0; i < spec->n_layers; i++) {
        const struct layer_spec *layer = &spec->layers[i];
        const struct mixer      *mixer = cm_mixers[layer->mixer];
        n += mixer->n_barriers(mixer, layer, n_workers) + (cm_has_ffn(&layer->ffn) ? OF_FFN : 0);
    }
    return n;
}
