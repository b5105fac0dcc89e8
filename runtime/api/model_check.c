/* runtime/api/model_check.c - calmoe_model_check(): are a file's weights numbers? */
#include <string.h>

#include "base/options.h"
#include "runtime/engine/handles.h"
#include "runtime/load/number_check.h"
#include "runtime/load/tensor_types.h"

void calmoe_check_options_init(calmoe_check_options *options)
{
    if (options) *options = (calmoe_check_options){.size = sizeof *options};
}

struct checking {
    calmoe_check_options      options;
    const struct model_file  *file;
    struct number_check      *check;
    uint64_t                  n_bytes, n_bytes_read; /* of tensors that are weights */
    const struct file_tensor *first_bad, *unread;    /* NULL: none yet              */
    struct bad_numbers        first_found;
};

static int on_bytes(void *user, uint64_t n_bytes)
{
    struct checking *c = user;
    c->n_bytes_read += n_bytes;
    return c->options.progress &&
           c->options.progress(c->options.progress_user, (double)c->n_bytes_read / (double)c->n_bytes);
}

static void tell(const struct checking *c, const struct file_tensor *tensor, const struct bad_numbers *found)
{
    char place[NUMBER_PLACE_BYTES];
    calmoe_bad_tensor bad = {.name = tensor->name, .type = cm_tensor_type_name(tensor->file_id),
                             .n_nan = found->n_nan, .n_infinite = found->n_infinite,
                             .first_is_nan = found->first_is_nan, .first_place = place};
    uint64_t rest = found->first;
    for (int dim = 0; dim < FILE_MAX_DIMS; dim++) {
        bad.first[dim] = rest % tensor->shape[dim];
        rest /= tensor->shape[dim];
    }
    cm_number_place(tensor, found->first, place);
    if (c->options.on_bad) c->options.on_bad(c->options.on_bad_user, &bad);
}

static calmoe_status check_tensors(struct checking *c)
{
    for (uint64_t i = 0; i < c->file->n_tensors; i++) {
        const struct file_tensor *tensor = &c->file->tensors[i];
        struct bad_numbers found;
        if (!tensor->is_weight) {
            if (!c->unread && !cm_tensor_type_is_integer(tensor->file_id)) c->unread = tensor;
            continue;
        }
        CM_TRY(cm_number_check_tensor(c->check, c->file, tensor, on_bytes, c, &found));
        if (found.n_nan + found.n_infinite == 0) continue;
        tell(c, tensor, &found);
        if (c->first_bad) continue;
        c->first_bad = tensor;
        c->first_found = found;
    }
    return CALMOE_OK;
}

static calmoe_status check_all(struct calmoe_context *ctx, struct checking *c)
{
    struct topology topology = {0};
    struct team    *team = NULL;
    calmoe_status   status = cm_topology_open(ctx, NULL, &topology);
    if (status == CALMOE_OK) status = cm_team_open(ctx, &topology, c->options.n_threads, PIN_NO, &team);
    if (status == CALMOE_OK) status = cm_number_check_open(ctx, team, &c->check);
    if (status == CALMOE_OK) status = check_tensors(c);
    cm_number_check_close(&c->check);
    cm_team_close(&team);
    cm_topology_close(&topology);
    return status;
}

calmoe_status calmoe_model_check(const calmoe_model *model, const calmoe_check_options *given)
{
    struct checking c = {.n_bytes = 0};
    if (!model) return cm_fail(NULL, CALMOE_INVALID_ARGUMENT, "calmoe_model_check: a model is needed");
    c.file = model->file;
    calmoe_check_options_init(&c.options);
    CM_TRY(cm_options_copy(model->ctx, "calmoe_check_options", &c.options, sizeof c.options, given));
    if (c.options.n_threads < 0)
        return cm_fail(model->ctx, CALMOE_INVALID_ARGUMENT, "n_threads is %d; 0 or more is wanted",
                       c.options.n_threads);
    for (uint64_t i = 0; i < c.file->n_tensors; i++)
        if (c.file->tensors[i].is_weight) c.n_bytes += c.file->tensors[i].n_bytes;
    CM_TRY(check_all(model->ctx, &c));
    if (c.first_bad) return cm_fail_bad_numbers(model->ctx, c.file, c.first_bad, &c.first_found);
    if (!c.unread) return CALMOE_OK;
    return cm_fail(model->ctx, CALMOE_UNSUPPORTED,
                   "tensor '%s' has type %s; weights of that type are not read by this version, nor checked",
                   c.unread->name, cm_tensor_type_name(c.unread->file_id));
}
