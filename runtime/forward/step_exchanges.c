/* step_exchanges.c - see step_exchanges.h. */
#include "runtime/forward/step_exchanges.h"

#include "runtime/mixers/mixer.h"

static unsigned kind_of(const struct weight_source *source)
{
    return cm_kind_bit(cm_weight_types[source->type].activation);
}

/* Forms that the products of a layer read which follow what its mixer gave, and what a bank's experts gave. */
static unsigned output_kinds(const struct layer_tensors *tensors)
{
    return kind_of(tensors->recurrent.out.rows ? &tensors->recurrent.out : &tensors->o);
}

static unsigned hidden_kinds(const struct bank_tensors *bank, int n_experts)
{
    unsigned kinds = 0;
    for (int expert = 0; expert < n_experts; expert++) kinds |= kind_of(&bank->experts[expert].down);
    return kinds;
}

/* What the experts gave, all of a layer's banks in one exchange; and their sums, those that are normed by themselves
 * apart. */
static void add_ffn(const struct model_spec *spec, const struct ffn_spec *ffn, const struct layer_tensors *tensors,
                    int n_rows, struct gatherings *out)
{
    struct exchange_piece *hidden = out->pieces[out->n];
    int                    n = 0;
    for (int bank = 0; bank < N_BANKS; bank++) {
        const int n_slots = bank == BANK_ROUTED ? ffn->router.n_used : 1, width = ffn->branches[bank].width;
        if (width == 0 || n_slots == 0) continue;
        hidden[n] = cm_as_input(cm_columns_piece(NULL, n_rows * n_slots, width));
        if (tensors) hidden[n].block = cm_block_of_kinds(hidden_kinds(&tensors->banks[bank], bank == BANK_ROUTED ?
                                                                      ffn->router.n_experts : 1));
        n++;
    }
    out->n_pieces[out->n++] = n;
    const int n_sums = 1 + (ffn->branches[BANK_DENSE].width > 0 ? 2 : 0); /* routed and dense beside each other */
    for (int i = 0; i < n_sums; i++) out->pieces[out->n][i] = cm_columns_piece(NULL, n_rows, spec->dim);
    out->n_pieces[out->n++] = n_sums;
}

static struct gatherings of_layer(const struct model_spec *spec, const struct model_tensors *of_all, int layer,
                                  int n_rows)
{
    const struct layer_tensors *tensors = of_all ? &of_all->layers[layer] : NULL;
    struct gatherings all = {.n = 0};
    const struct mixer *mixer = cm_mixers[spec->layers[layer].mixer];
    mixer->gathers(mixer, &spec->layers[layer], spec->dim, n_rows, &all);
    for (int i = 0; tensors && i < all.n; i++)
        if (all.pieces[i][0].is_input) all.pieces[i][0].block = cm_block_of_kinds(output_kinds(tensors));
    if (cm_has_ffn(&spec->layers[layer].ffn)) add_ffn(spec, &spec->layers[layer].ffn, tensors, n_rows, &all);
    return all;
}

struct step_exchanges cm_step_exchanges(const struct model_spec *spec, const struct model_tensors *tensors,
                                        const struct rank_shares *shares, int max_rows, int n_rows, int n_logits,
                                        int rank)
{
    struct step_exchanges sum = {0};
    const struct exchange_piece logits = cm_columns_piece(NULL, n_logits, spec->n_vocab);
    const int at_once = cm_exchange_rows_at_once(&logits, cm_exchange_floats(spec, max_rows) * sizeof(float));
    for (int layer = 0; layer < spec->n_layers; layer++) {
        const struct gatherings all = of_layer(spec, tensors, layer, n_rows);
        for (int i = 0; i < all.n; i++)
            sum.n_bytes += cm_exchange_bytes(shares, all.pieces[i], all.n_pieces[i], rank);
        sum.n += all.n;
    }
    for (int row = 0; row < n_logits; row += at_once) {
        const int n = n_logits - row < at_once ? n_logits - row : at_once;
        const struct exchange_piece some = cm_columns_piece(NULL, n, spec->n_vocab);
        if (rank == 0) sum.n_bytes += cm_exchange_bytes(shares, &some, 1, 0);
        sum.n++;
    }
    return sum;
}

size_t cm_exchange_floats(const struct model_spec *spec, int max_rows)
{
    size_t most = (size_t)spec->n_vocab; /* a row of logits at least */
    for (int layer = 0; layer < spec->n_layers; layer++) {
        const struct gatherings all = of_layer(spec, NULL, layer, max_rows);
        for (int i = 0; i < all.n; i++) {
            size_t n = 0;
            for (int piece = 0; piece < all.n_pieces[i]; piece++)
                n += (size_t)all.pieces[i][piece].n_rows * (size_t)all.pieces[i][piece].n_units *
                     (size_t)all.pieces[i][piece].unit;
            most = n > most ? n : most;
        }
    }
    return most;
}
