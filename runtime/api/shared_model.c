/* shared_model.c - a model whose file rank 0 alone has: the others get of it what is not routed experts at once, and
 * their rows of these when an engine packs them (experts/file_sharing.h). */
#include <string.h>

#include "base/memory.h"
#include "runtime/engine/engine_ranks.h"
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

/* Writes where the matrices of routed experts are, or only counts them where ranges is NULL. */
static size_t list_experts(const struct model_spec *spec, const struct model_tensors *tensors,
                           struct file_range *ranges)
{
    size_t n = 0;
    for (int layer = 0; layer < tensors->n_layers; layer++)
        for (int e = 0; e < spec->layers[layer].ffn.router.n_experts; e++) {
            const struct expert_sources *expert = &tensors->layers[layer].banks[BANK_ROUTED].experts[e];
            const struct weight_source  *all[] = {&expert->gate, &expert->up, &expert->down};
            for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
                const struct weight_source *matrix = all[i];
                if (!matrix->map) continue;
                if (ranges)
                    ranges[n] = (struct file_range){matrix->rows, (size_t)matrix->n_rows *
                                                    cm_row_bytes(matrix->type, (size_t)matrix->n_columns)};
                n++;
            }
        }
    return n;
}

calmoe_status cm_model_share(calmoe_model *model, calmoe_status status)
{
    struct file_range *ranges = NULL;
    size_t             n = 0;
    if (status == CALMOE_OK && model->has_weights) {
        n = list_experts(&model->spec, &model->tensors, NULL) +
            list_experts(&model->further, &model->further_tensors, NULL);
        ranges = cm_alloc(model->ctx, n, sizeof *ranges, "a file that ranks share");
        if (!ranges) status = CALMOE_NO_MEMORY;
    }
    if (ranges) {
        const size_t n_first = list_experts(&model->spec, &model->tensors, ranges);
        (void)list_experts(&model->further, &model->further_tensors, ranges + n_first);
        cm_sharing_lend(&model->sharing, ranges, n);
    }
    CM_TRY(cm_sharing_agree(&model->sharing, status));
    return model->has_weights ? cm_sharing_spread_rest(&model->sharing) : CALMOE_OK;
}
