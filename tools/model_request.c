/* tools/model_request.c - see model_request.h. */
#include "tools/model_request.h"

#include "tools/front.h"

static bool open_with(struct front *front, const char *path, const struct model_request *request, int n_experts_used)
{
    calmoe_model_options options;
    calmoe_model_options_init(&options);
    options.n_experts_used        = n_experts_used;
    options.rope_scaling          = request->rope_scaling;
    options.rope_scale            = request->rope_scale;
    options.rope_base             = request->rope_base;
    options.yarn_original_context = request->yarn_orig;
    options.yarn_attn_factor      = request->yarn_attn_factor;
    options.yarn_beta_fast        = request->yarn_beta_fast;
    options.yarn_beta_slow        = request->yarn_beta_slow;
    if (front->context == NULL && !cm_front_open(front)) return false;
    front->shares_file = request->share_file != 0;
    options.ranks      = front->shares_file ? front->ranks : NULL;
    return cm_front_succeeded(front, calmoe_model_open(front->context, path, &options, &front->model));
}

bool cm_model_request_open(struct front *front, const char *path, const struct model_request *request, int n_wanted)
{
    calmoe_model_info info = {.size = sizeof info};
    if (!open_with(front, path, request, request->experts)) return false;
    if (n_wanted == 0 || request->experts != 0) return true;
    if (!cm_front_succeeded(front, calmoe_model_get_info(front->model, &info))) return false;
    if (n_wanted <= info.n_experts_used || info.n_experts == 1) return true;
    calmoe_model_close(&front->model);
    return open_with(front, path, request, n_wanted);
}
