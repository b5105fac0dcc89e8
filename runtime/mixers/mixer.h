/* runtime/mixers/mixer.h - how a layer moves information between positions: a record for each way, one row of a table.
 * The forward pass calls what the layer's row says and knows no mixer by name. A new one is a file, a kind in
 * model_spec.h with what finds its tensors, and a row here. */
#ifndef RUNTIME_MIXERS_MIXER_H
#define RUNTIME_MIXERS_MIXER_H

#include "experts/machine.h"
#include "experts/packing.h"
#include "runtime/families/model_tensors.h"
#include "runtime/mixers/batch.h"

/* What packing and opening need of the machine and of the model. */
struct mixer_place {
    const struct machine    *machine;
    const struct model_spec *spec;
    int                      max_rows;
    const struct mixer      *mixer; /* of the layer that is packed */
};

/* Layers first_layer … first_layer + n_layers, all of one mixer, are skipped by the rows begin … begin + n, which stand
 * in the batch or behind it: what a sequence keeps of these rows is made of their state at the exit. */
struct mixer_fill {
    int          first_layer, n_layers;
    int          begin, n;
    const float *path;   /* (layers of the model): layer l reads h + path_l drift instead of h; NULL = none */
    const float *drifts; /* (rows, dim), where there is a path                                          */
};

/* Exchanges of a layer between ranks, and what comes together in each. */
enum { MAX_GATHERINGS = 8, MAX_GATHERED = 1 + N_BANKS };
struct gatherings {
    int n;
    int n_pieces[MAX_GATHERINGS];
    struct exchange_piece pieces[MAX_GATHERINGS][MAX_GATHERED];
};

/* One exchange more, of one piece. */
static inline void cm_add_gathering(struct gatherings *gatherings, struct exchange_piece piece)
{
    gatherings->pieces[gatherings->n][0] = piece;
    gatherings->n_pieces[gatherings->n++] = 1;
}

struct recurrence;

struct mixer {
    const char *name;
    const struct recurrence *recurrence; /* of mixers with a state of fixed size (recurrent.h); NULL for others */
    /* How ranks share a layer: what is gathered in a step of n_rows rows, exchange by exchange. The pieces' values are
     * not looked at. */
    void (*gathers)(const struct mixer *mixer, const struct layer_spec *layer, int dim, int n_rows,
                    struct gatherings *out);
    /* Barriers that its run() meets on one rank, of n_workers on equal nodes. */
    int (*n_barriers)(const struct mixer *mixer, const struct layer_spec *layer, int n_workers);
    /* A layer's weights, listed for packing where the plan puts them; *weights is freed by drop(), on failure too. */
    calmoe_status (*pack)(const struct mixer_place *place, struct pack_list *list, int layer,
                          const struct layer_tensors *tensors, void **weights);
    void (*drop)(void **weights); /* NULL inside is fine */
    /* Bytes that a step reads of the layer's weights; and a fill. */
    size_t (*step_bytes)(const void *weights);
    size_t (*fill_bytes)(const void *weights);
    /* Scratch of all layers of this kind, for steps of up to max_rows rows. *work is closed by close(), on failure
     * too. */
    calmoe_status (*open)(const struct mixer_place *place, void **work);
    void (*close)(void **work); /* NULL inside is fine */
    /* By one worker, after the batch's rows were set or changed, before any layer of them. */
    void (*plan)(void *work, const struct batch *batch);
    /* One layer, by all workers: norm; mix; x += what comes of it; and what its sequences keep of the rows. Ends with a
     * barrier, so that each worker may go on with its own rows. */
    void (*run)(struct batch *batch, int layer, const struct worker *me);
    /* By all workers; a barrier before. n_layers * n is max_rows at most. */
    void (*fill)(struct batch *batch, const struct mixer_fill *fill, const struct worker *me);
    /* Bytes of a layer's state that is not kept by position, for one sequence; 0: it is all by position. */
    size_t (*fixed_bytes)(const struct layer_spec *layer);
    /* What other ranks keep of such a state becomes zero. NULL where there is none. */
    void (*clear_others)(const struct mixer *mixer, const struct layer_spec *layer, const struct plan *plan,
                         void *state);
};

/* Of a fill, no product waits for another: (layer, row) pairs stand as rows of batch->normed, pair i being that of
 * layer first_layer + i / n and row begin + i % n. Makes row `pair` of them what the layer reads. batch.c */
void cm_norm_pair(struct batch *batch, const struct mixer_fill *fill, int pair, const float *norm, unsigned kinds);

extern const struct mixer *const cm_mixers[MIXER_KIND_COUNT];

struct mixer_layer {
    const struct mixer *mixer;
    void               *weights; /* of its own kind */
};

/* A layer's mixer, its weights, and the scratch of its kind. */
static inline const struct mixer *cm_mixer_of(const struct batch *batch, int layer)
{
    return batch->layers[layer].mixer;
}
static inline const void *cm_mixer_weights(const struct batch *batch, int layer)
{
    return batch->layers[layer].weights;
}

#endif
