/* shared_model.c - a model whose file rank 0 alone has: the others get their rows of most matrices when an engine packs
 * them, and all else at once (experts/file_sharing.h). */
#include <string.h>

#include "base/memory.h"
#include "runtime/engine/handles.h"
#include "runtime/load/shared_file.h"

calmoe_status cm_model_open_shared(calmoe_model *model, const calmoe_ranks *ranks, calmoe_status status,
                                   size_t n_sample)
{
    CM_TRY(cm_shared_file_open(model->ctx, ranks->ranks, status, model->path, n_sample, &model->sharing,
                               &model->file));
    if (model->path) return CALMOE_OK;
    model->path = cm_copy_text(model->ctx, model->file->name, strlen(model->file->name));
    return model->path ? CALMOE_OK : CALMOE_NO_MEMORY;
}

/* Matrices that are listed: written one after the other, or only counted where ranges is NULL. */
struct matrix_list {
    struct file_range *ranges;
    size_t             n;
};

static void list(struct matrix_list *out, const struct weight_source *matrix)
{
    if (!matrix->map || matrix->turned_from) return;
    const size_t n_bytes = (size_t)matrix->n_rows * cm_row_bytes(matrix->type, (size_t)matrix->n_columns);
    if (out->ranges) out->ranges[out->n] = (struct file_range){matrix->rows, n_bytes};
    out->n++;
}

static void list_bank(struct matrix_list *out, const struct bank_tensors *bank, int n_experts)
{
    for (int e = 0; bank->experts && e < n_experts; e++) {
        list(out, &bank->experts[e].gate);
        list(out, &bank->experts[e].up);
        list(out, &bank->experts[e].down);
    }
}

/* Matrices of layers, which are read while they are packed, a portion at a time, and not at all after that. Those of
 * latent attention are not listed: they are turned as they stand in the file. */
static void list_layers(struct matrix_list *out, const struct model_spec *spec, const struct model_tensors *tensors)
{
    for (int layer = 0; layer < tensors->n_layers; layer++) {
        const struct layer_tensors *t = &tensors->layers[layer];
        const struct weight_source *const all[] = {&t->q, &t->k, &t->v, &t->o, &t->router, &t->recurrent.out};
        for (size_t i = 0; i < sizeof all / sizeof *all; i++) list(out, all[i]);
        for (int i = 0; i < N_PRODUCTS; i++) list(out, &t->recurrent.products[i]);
        for (int bank = 0; bank < N_BANKS; bank++)
            list_bank(out, &t->banks[bank], bank == BANK_ROUTED ? spec->layers[layer].ffn.router.n_experts : 1);
    }
}

/* All that is read when it is packed, and then no more; of the vocabulary, the output where no row of it is looked up
 * or measured. */
static void list_matrices(struct matrix_list *out, const calmoe_model *model)
{
    const struct model_tensors *tensors = &model->tensors;
    out->n = 0;
    list_layers(out, &model->spec, tensors);
    list_layers(out, &model->further, &model->further_tensors);
    if (!tensors->is_tied && !model->spec.has_unit_output) list(out, &tensors->output);
}

calmoe_status cm_model_share(calmoe_model *model, calmoe_status status)
{
    struct matrix_list lent = {0};
    for (int round = 0; status == CALMOE_OK && model->has_weights && round < 2; round++) {
        list_matrices(&lent, model);
        if (round > 0) cm_sharing_lend(&model->sharing, lent.ranges, lent.n);
        else if (!(lent.ranges = cm_alloc(model->ctx, lent.n, sizeof *lent.ranges, "a file that ranks share")))
            status = CALMOE_NO_MEMORY;
    }
    CM_TRY(cm_sharing_agree(&model->sharing, status));
    return model->has_weights ? cm_sharing_spread_rest(&model->sharing) : CALMOE_OK;
}
