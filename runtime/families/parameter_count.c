/* runtime/families/parameter_count.c - how many weights a model has, and how many of them a token reads. */
#include "runtime/families/model_tensors.h"

/* Weights of the experts that a token does not take. */
static uint64_t idle_parameters(const struct model_spec *spec, const struct model_tensors *tensors)
{
    uint64_t n = 0;
    for (int i = 0; i < spec->n_layers; i++) {
        const struct ffn_spec *ffn = &spec->layers[i].ffn;
        const struct bank_tensors *bank = &tensors->layers[i].banks[BANK_ROUTED];
        const uint64_t dim = (uint64_t)spec->dim, width = (uint64_t)ffn->branches[BANK_ROUTED].width;
        const uint64_t n_matrices = cm_nonlinearities[ffn->branches[BANK_ROUTED].nonlinearity].has_gate ? 3 : 2;
        const uint64_t of_expert = n_matrices * dim * width + (bank->gate_bias.tensor ? width : 0) +
                                   (bank->up_bias.tensor ? width : 0) + (bank->down_bias.tensor ? dim : 0);
        n += of_expert * (uint64_t)(ffn->router.n_experts - ffn->router.n_used);
    }
    return n;
}

/* What one token reads: everything but the experts that are not chosen, and one row of the embedding
 * (all of it where it serves as the output as well). */
void cm_count_parameters(const struct model_file *file, const struct model_spec *spec, const bool *is_used,
                         struct model_tensors *out)
{
    for (uint64_t i = 0; i < file->n_tensors; i++) {
        const struct file_tensor *tensor = &file->tensors[i];
        if (is_used[i])
            out->n_parameters += tensor->shape[0] * tensor->shape[1] * tensor->shape[2] * tensor->shape[3];
    }
    out->n_active_parameters = out->n_parameters - idle_parameters(spec, out);
    if (!out->is_tied) out->n_active_parameters -= (uint64_t)spec->n_vocab * (uint64_t)spec->dim - (uint64_t)spec->dim;
}
