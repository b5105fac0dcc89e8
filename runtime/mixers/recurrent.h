/* runtime/mixers/recurrent.h - mixers whose layers keep a state of fixed size (delta nets, Mamba-2, short
 * convolutions): what they share. A file for each says what is its own: a struct recurrence.
 *
 * Products of a layer's input go through a short convolution over positions; then each head, where there are heads,
 * takes its share into a matrix S and reads something out of it; a gate weighs what was read, and a matrix brings it
 * back to the stream. All of it runs over the rows of each sequence in the order of their positions, a tile of S in the
 * nearest cache while all tokens of the step pass, so that no cut of a sequence into steps changes a bit.
 *
 * A layer's state of a sequence: S of each head, then the last n_taps - 1 inputs of the convolution. */
#ifndef RUNTIME_MIXERS_RECURRENT_H
#define RUNTIME_MIXERS_RECURRENT_H

#include "runtime/mixers/mixer.h"

/* ---- a layer's weights: recurrent_weights.c ---- */

struct recurrent_weights {
    float *norm;                            /* (dim)                                              */
    float *taps;                            /* (n_taps, channels)                                 */
    /* NULL where the mixer has none */
    float *taps_bias;                       /* (channels)                                         */
    float *time_bias, *decay, *skip;        /* (heads)                                            */
    float *read_norm;                       /* as recurrent_tensors has it                        */
    struct placed_matrix products[N_PRODUCTS]; /* cut by the plan's shares; some may be absent    */
    struct placed_matrix out;
    unsigned input_kinds;                   /* forms of the input that the products read          */
    unsigned fill_kinds;                    /* those that all but the gate read                   */
    unsigned out_kinds;
    float *vectors;                         /* memory of all of them                              */
};

calmoe_status cm_recurrent_pack(const struct mixer_place *place, struct pack_list *list, int layer,
                                const struct layer_tensors *tensors, void **weights);
void          cm_recurrent_drop(void **weights);

/* ---- some rows in one layer ---- */

/* Rows of the batch, or behind it, with their scratch; those of one sequence stand side by side. */
struct recurrent_rows {
    const struct layer_spec        *spec;
    const struct recurrent_weights *weights;
    struct recurrent_shape          shape;
    const struct plan *plan;
    int    layer, first_row, n;
    float *products[N_PRODUCTS]; /* (n, shape.rows[product]) each */
    float *strengths, *decays;   /* (n, heads): what the recurrence takes as beta and decay */
    float *read;                 /* (n, values): what is read out of the states             */
};

/* Channels first … first + n of the convolution, which stand at `column` of the input product. */
struct channels {
    int   first, n, column;
    bool  is_activated; /* by silu                                               */
    float length;       /* they become a vector of this length; 0 = they do not  */
};

/* In all rows: multiplied with their factors, where there are any; convolved with what stands before them;
 * activated. */
void cm_convolve_channels(struct batch *batch, const struct recurrent_rows *rows, const struct channels *channels);

/* Shared: all channels that this rank has likewise, which stand in the input product as in the convolution. */
void cm_convolve_own(struct batch *batch, const struct recurrent_rows *rows, bool is_activated,
                     const struct worker *me);

/* ---- a mixer ---- */

struct recurrence {
    /* Shared: all that is done before the heads take it in: channels are convolved, strengths and decays set. */
    void (*prepare)(struct batch *batch, const struct recurrent_rows *rows, const struct worker *me);
    /* What a head takes in of the run that begins at row i: all but its number of tokens, its sizes and where its
     * numbers stand. NULL: there are no heads. */
    void (*head)(const struct recurrent_rows *rows, int head, int i, struct recurrent_input *in);
    bool is_delta; /* the recurrence is delta_net's, else state_space's (kernels/vector_ops.h) */
    /* Row i: what was read, weighted by its gate, to `read`. */
    void (*gate)(const struct batch *batch, const struct recurrent_rows *rows, int i);
    /* Row i, when what all ranks read has come together: what spans their parts; NULL = nothing does. */
    void (*norm)(const struct batch *batch, const struct recurrent_rows *rows, int i);
    /* How several ranks share a layer. How many heads this rank has, and the number of the i-th (NULL: there are none);
     * its i-th range of channels, false where it has no more; the rows of a product that it has, ascending, 4 and the
     * heads at most (0 ranges: all rows); and how what was read comes together. */
    int (*n_own)(const struct layer_spec *layer, const struct plan *plan);
    int (*own_head)(const struct layer_spec *layer, const struct plan *plan, int i);
    bool (*own_channels)(const struct layer_spec *layer, const struct plan *plan, int i, struct row_range *channels);
    int (*own_ranges)(const struct layer_spec *layer, const struct plan *plan, enum recurrent_product product,
                      struct row_range *ranges);
    struct exchange_piece (*read_piece)(const struct layer_spec *layer, int n_rows, float *read);
};

calmoe_status cm_recurrent_open(const struct mixer_place *place, void **work);
void          cm_recurrent_close(void **work);
void          cm_recurrent_plan(void *work, const struct batch *batch);
void          cm_recurrent_run(struct batch *batch, int layer, const struct worker *me);
void          cm_recurrent_fill(struct batch *batch, const struct mixer_fill *fill, const struct worker *me);
int           cm_recurrent_n_barriers(const struct mixer *mixer, const struct layer_spec *layer, int n_workers);
size_t        cm_recurrent_step_bytes(const void *weights);
size_t        cm_recurrent_fill_bytes(const void *weights);
size_t        cm_recurrent_fixed_bytes(const struct layer_spec *layer);
void          cm_recurrent_gathers(const struct mixer *mixer, const struct layer_spec *layer, int dim, int n_rows,
                                   struct gatherings *out);
void          cm_recurrent_clear_others(const struct mixer *mixer, const struct layer_spec *layer,
                                        const struct plan *plan, void *state);

#define RECURRENT_MIXER(its_name, its_recurrence)                                                                     \
    {                                                                                                                 \
        .name = its_name, .recurrence = its_recurrence, .gathers = cm_recurrent_gathers, .pack = cm_recurrent_pack,   \
        .n_barriers = cm_recurrent_n_barriers, .drop = cm_recurrent_drop, .step_bytes = cm_recurrent_step_bytes,      \
        .fill_bytes = cm_recurrent_fill_bytes, .clear_others = cm_recurrent_clear_others,                             \
        .open = cm_recurrent_open, .close = cm_recurrent_close, .plan = cm_recurrent_plan, .run = cm_recurrent_run,   \
        .fill = cm_recurrent_fill, .fixed_bytes = cm_recurrent_fixed_bytes,                                           \
    }

#endif
