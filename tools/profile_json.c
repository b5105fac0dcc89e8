/* tools/profile_json.c - a profile as one JSON object. */
#include "tools/profile_view.h"

static void add_loads(struct json_output *json, struct json_node *in, const struct view *view, int domain)
{
    struct json_node *const layers = cm_json_array(json, in, "layers");
    for (int layer = 0; layer < view->info.n_layers; layer++) {
        const calmoe_expert_load load   = cm_view_load(view, domain, layer);
        struct json_node *const  object = cm_json_object(json, layers, NULL);
        cm_json_real(json, object, "max_over_mean", load.peak);
        cm_json_real(json, object, "gini", load.gini);
        cm_json_real(json, object, "entropy_bits", load.entropy);
        cm_json_integer(json, object, "dead", (uint64_t)load.n_dead);
        cm_json_integer(json, object, "busiest", (uint64_t)load.busiest);
    }
}

static void add_specialists(struct json_output *json, struct json_node *in, const struct view *view, int i,
                            const char *domain)
{
    struct json_node *const list = cm_json_array(json, in, "specialists");
    calmoe_specialist       specialists[N_SPECIALISTS];
    int                     n = 0;
    (void)calmoe_profile_get_specialists(view->profile, i, specialists, N_SPECIALISTS, &n);
    for (int j = 0; j < n; j++) {
        const calmoe_specialist *it     = &specialists[j];
        struct json_node *const  object = cm_json_object(json, list, NULL);
        struct liked             liked[N_LIKED];
        cm_json_integer(json, object, "layer", (uint64_t)it->layer);
        cm_json_integer(json, object, "expert", (uint64_t)it->expert);
        cm_json_real(json, object, "share", it->share);
        cm_json_real(json, object, "lift", it->lift);
        struct json_node *const tokens = cm_json_array(json, object, "likes");
        const int n_liked = cm_liked_tokens(view->reading, domain, it->layer, it->expert, liked, N_LIKED);
        for (int k = 0; k < n_liked; k++) {
            char text[1024];
            cm_token_text(view->front, liked[k].token, text, sizeof text);
            cm_json_text(json, tokens, NULL, text);
        }
    }
}

static void add_together(struct json_output *json, struct json_node *in, const struct view *view, int i)
{
    struct json_node *const list = cm_json_array(json, in, "together");
    struct together         best[N_TOGETHER];
    const int               n = cm_view_together(view, i, best);
    for (int j = 0; j < n; j++) {
        struct json_node *const object  = cm_json_object(json, list, NULL);
        const int32_t           pair[2] = {best[j].a, best[j].b};
        cm_json_integer(json, object, "layer", (uint64_t)best[j].layer);
        cm_json_ids(json, object, "experts", pair, 2);
        cm_json_real(json, object, "share", best[j].share);
        cm_json_real(json, object, "lift", best[j].lift);
    }
}

/* The phases with their seconds; waiting stands beside them, since it belongs to none. */
static void add_times(struct json_output *json, struct json_node *in, const struct view_times *times)
{
    struct json_node *const phases = cm_json_object(json, in, "phase_seconds");
    for (int phase = 0; phase < CALMOE_N_PHASES; phase++)
        cm_json_real(json, phases, calmoe_phase_name(phase), times->phases[phase]);
    cm_json_real(json, in, "waited_seconds", times->waited);
}

static void add_nodes(struct json_output *json, struct json_node *in, const struct view *view, int domain)
{
    struct json_node *const list = cm_json_array(json, in, "nodes");
    struct view_node        node;
    for (int i = 0; cm_view_node(view, domain, i, &node); i++) {
        struct json_node *const object = cm_json_object(json, list, NULL);
        struct json_node *const bytes = cm_json_object(json, object, "bytes");
        for (int phase = 0; phase < CALMOE_N_PHASES; phase++)
            cm_json_integer(json, bytes, calmoe_phase_name(phase), node.n_bytes[phase]);
        cm_json_integer(json, object, "remote_bytes", node.n_remote_bytes);
        add_times(json, object, &node.times);
    }
}

void cm_view_add_domain(struct json_output *json, struct json_node *object, const struct view *view, int i)
{
    const calmoe_profile_domain domain = cm_view_domain(view, i);
    const struct view_times     times  = cm_view_times(view, i);
    cm_json_text(json, object, "name", domain.name);
    cm_json_integer(json, object, "tokens", domain.n_tokens);
    cm_json_integer(json, object, "steps", domain.n_steps);
    add_times(json, object, &times);
    add_nodes(json, object, view, i);
    cm_json_real(json, object, "layers_per_token", cm_view_layers_per_token(view, &domain));
    cm_json_real(json, object, "experts_per_token", cm_view_experts_per_token(view, &domain));
    struct json_node *const exits = cm_json_array(json, object, "exits");
    for (int layer = 0; layer < view->info.n_layers; layer++) cm_json_integer(json, exits, NULL, domain.exits[layer]);
    cm_json_real(json, object, "expert_bytes_per_token", cm_view_bytes_per_token(domain.n_expert_bytes, &domain));
    cm_json_real(json, object, "head_bytes_per_token", cm_view_bytes_per_token(domain.n_head_bytes, &domain));
    cm_json_real(json, object, "dense_bytes_per_token", cm_view_bytes_per_token(domain.n_dense_bytes, &domain));
    struct json_node *const reuse = cm_json_array(json, object, "reused_within");
    for (int bin = 0; bin < CALMOE_REUSE_BINS - 1; bin++)
        cm_json_real(json, reuse, NULL, cm_view_reused_within(view, &domain, bin));
    struct json_node *const cosines = cm_json_array(json, object, "similarity");
    for (int j = 0; j < view->info.n_domains; j++) cm_json_real(json, cosines, NULL, cm_view_similarity(view, i, j));
    add_loads(json, object, view, i);
    add_specialists(json, object, view, i, domain.name);
    add_together(json, object, view, i);
}

void cm_view_add_forecasts(struct json_output *json, const struct view *view)
{
    struct json_node *const predicted = cm_json_array(json, json->root, "predicted");
    for (int i = 0; i < view->n_forecasts; i++) {
        const struct forecast  *it     = &view->forecasts[i];
        struct json_node *const object = cm_json_object(json, predicted, NULL);
        cm_json_text(json, object, "machine", it->machine);
        cm_json_integer(json, object, "nodes", (uint64_t)it->info.n_nodes);
        cm_json_text(json, object, "policy", it->policy);
        cm_json_real(json, object, "speed", it->speed);
        cm_json_real(json, object, "imbalance", it->prediction.imbalance);
        cm_json_integer(json, object, "placed_bytes", it->info.n_placed_bytes);
        cm_json_real(json, object, "memory", (double)it->info.n_placed_bytes / (double)it->info.n_weight_bytes);
        cm_json_real(json, object, "tokens_per_s", it->prediction.tokens_per_s);
        cm_json_real(json, object, "remote_weight_bytes_per_token",
                     cm_forecast_per_token(it, it->prediction.node_remote_weights));
        cm_json_real(json, object, "remote_activation_bytes_per_token",
                     cm_forecast_per_token(it, it->prediction.node_remote_activations));
    }
}

bool cm_view_print_json(const struct view *view)
{
    struct json_output json;
    cm_json_open_object(&json);
    if (view->front->model != NULL) cm_json_text(&json, json.root, "model", view->model.path);
    else cm_json_null(&json, json.root, "model");
    cm_json_text(&json, json.root, "fingerprint", view->info.fingerprint);
    cm_json_integer(&json, json.root, "window", (uint64_t)view->reading->window);
    add_loads(&json, json.root, view, -1);
    struct json_node *const domains = cm_json_array(&json, json.root, "domains");
    for (int i = 0; i < view->info.n_domains; i++)
        cm_view_add_domain(&json, cm_json_object(&json, domains, NULL), view, i);
    cm_view_add_forecasts(&json, view);
    const bool written = cm_disk_add(view->front, &json) && cm_json_write(&json, true);
    cm_json_close(&json);
    return written;
}
