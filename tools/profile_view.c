/* tools/profile_view.c - see profile_view.h. */
#include "tools/profile_view.h"

#include <math.h>
#include <string.h>

/* ---- plans ---- */

/* Adds a prediction for a plan on a machine (topology NULL: this one); policy NULL: the plan in use. */
static bool forecast(struct view *view, const char *machine, const char *topology, const char *policy,
                     const struct machine_request *request)
{
    struct forecast *const    it = &view->forecasts[view->n_forecasts];
    calmoe_placement_options  options;
    calmoe_placement         *placement = NULL;
    const struct front *const front = view->front;
    calmoe_placement_options_init(&options);
    *it = (struct forecast){.machine = machine, .policy = policy != NULL ? policy : "in use"};
    it->info.size       = sizeof it->info;
    it->prediction.size = sizeof it->prediction;
    options.topology    = topology;
    options.bandwidth   = request->bandwidth;
    options.policy      = policy;
    options.plan        = policy != NULL ? NULL : request->plan;
    options.usage       = view->profile;
    const bool is_fine  = cm_front_succeeded(front, calmoe_placement_open(front->model, &options, &placement)) &&
                         cm_front_succeeded(front, calmoe_placement_get_info(placement, &it->info)) &&
                         cm_front_succeeded(front, calmoe_placement_predict(placement, 1, &it->prediction));
    calmoe_placement_close(&placement);
    it->info.policy = it->info.why = it->info.notes = ""; /* since these belonged to the placement */
    view->n_forecasts += is_fine;
    return is_fine;
}

/* one_node comes first, since speeds are relative to it. */
static bool forecast_machine(struct view *view, const char *machine, const char *topology,
                             const struct machine_request *request)
{
    static const char *const policies[] = {"one_node", "round_robin", "sliced", "by_usage"};
    const int                first = view->n_forecasts;
    for (size_t i = 0; i < sizeof policies / sizeof policies[0]; i++)
        if (!forecast(view, machine, topology, policies[i], request)) return false;
    if (topology == NULL && request->plan != NULL && !forecast(view, machine, NULL, NULL, request)) return false;
    for (int i = first; i < view->n_forecasts; i++)
        view->forecasts[i].speed = view->forecasts[first].prediction.step_seconds /
                                   view->forecasts[i].prediction.step_seconds;
    return true;
}

static bool gather_nodes(struct view *view, const char *plan)
{
    calmoe_placement_options  options;
    calmoe_placement         *placement = NULL;
    calmoe_prediction         prediction = {.size = sizeof prediction};
    const struct front *const front = view->front;
    calmoe_placement_options_init(&options);
    options.plan   = plan;
    options.policy = plan != NULL ? NULL : "one_node";
    options.usage  = view->profile;
    bool is_fine   = cm_front_succeeded(front, calmoe_placement_open(front->model, &options, &placement)) &&
                   cm_front_succeeded(front, calmoe_placement_predict(placement, 1, &prediction));
    for (int i = 0; is_fine && i < NODES_MAX; i++) {
        struct node_load *load = &view->nodes[i];
        load->node.size = sizeof load->node;
        const calmoe_status status = calmoe_placement_get_node(placement, i, &load->node);
        if (status == CALMOE_END) break;
        is_fine       = cm_front_succeeded(front, status);
        load->share   = prediction.node_share[i];
        view->n_nodes = i + 1;
    }
    calmoe_placement_close(&placement);
    return is_fine;
}

bool cm_view_gather(struct view *view, const struct machine_request *request)
{
    view->info.size  = sizeof view->info;
    view->model.size = sizeof view->model;
    if (!cm_front_succeeded(view->front, calmoe_profile_get_info(view->profile, &view->info))) return false;
    if (view->front->model == NULL) return true;
    if (!cm_front_succeeded(view->front, calmoe_model_get_info(view->front->model, &view->model))) return false;
    if (!gather_nodes(view, request->plan)) return false;
    if (request->topology != NULL) return forecast_machine(view, request->topology, request->topology, request);
    if (view->n_nodes > 1) return forecast_machine(view, "this machine", NULL, request);
    return forecast_machine(view, "2 equal nodes", "numa:2 core:8 pu:1", request) &&
           forecast_machine(view, "4 equal nodes", "numa:4 core:8 pu:1", request);
}

double cm_forecast_per_token(const struct forecast *it, const uint64_t *node_bytes)
{
    double bytes = 0;
    for (int node = 0; node < it->info.n_nodes; node++) bytes += (double)node_bytes[node];
    return it->prediction.n_tokens > 0 ? bytes / (double)it->prediction.n_tokens : 0;
}

/* ---- what the profile says ---- */

calmoe_profile_domain cm_view_domain(const struct view *view, int i)
{
    calmoe_profile_domain domain = {.size = sizeof domain};
    (void)calmoe_profile_get_domain(view->profile, i, &domain);
    return domain;
}

calmoe_expert_load cm_view_load(const struct view *view, int domain, int layer)
{
    calmoe_expert_load load = {.size = sizeof load};
    (void)calmoe_profile_get_load(view->profile, domain, layer, &load);
    return load;
}

int cm_view_dense_layers(const struct view *view)
{
    uint64_t n_tokens = 0; /* tokens that ran the layer: they left after it or later */
    int      n = 0;
    for (int layer = view->info.n_layers - 1; layer >= 0; layer--) {
        for (int i = 0; i < view->info.n_domains; i++) n_tokens += cm_view_domain(view, i).exits[layer];
        n += n_tokens > 0 && cm_view_load(view, -1, layer).n_dead == view->info.n_experts;
    }
    return n;
}

double cm_view_similarity(const struct view *view, int i, int j)
{
    double cosine = 0;
    (void)calmoe_profile_get_similarity(view->profile, i, j, -1, &cosine);
    return cosine;
}

struct view_times cm_view_times(const struct view *view, int domain)
{
    struct view_times times = {.waited = cm_view_domain(view, domain).waited_seconds};
    (void)calmoe_profile_get_phases(view->profile, domain, times.phases, CALMOE_N_PHASES);
    return times;
}

double cm_view_seconds(const struct view_times *times)
{
    double seconds = times->waited;
    for (int phase = 0; phase < CALMOE_N_PHASES; phase++) seconds += times->phases[phase];
    return seconds;
}

static bool add_node(const struct view *view, int domain, int i, struct view_node *sum)
{
    calmoe_node_stats node = {.size = sizeof node};
    double            seconds[CALMOE_N_PHASES];
    uint64_t          n_bytes[CALMOE_N_PHASES];
    if (calmoe_profile_get_node(view->profile, domain, i, &node) != CALMOE_OK ||
        calmoe_profile_get_node_phases(view->profile, domain, i, seconds, n_bytes, CALMOE_N_PHASES) != CALMOE_OK)
        return false;
    for (int phase = 0; phase < CALMOE_N_PHASES; phase++) {
        sum->times.phases[phase] += seconds[phase];
        sum->n_bytes[phase] += n_bytes[phase];
    }
    sum->times.waited += node.waited_seconds;
    sum->n_remote_bytes += node.n_remote_bytes;
    return true;
}

bool cm_view_node(const struct view *view, int domain, int i, struct view_node *out)
{
    bool is_there = false;
    memset(out, 0, sizeof *out);
    for (int d = domain < 0 ? 0 : domain; d < (domain < 0 ? view->info.n_domains : domain + 1); d++)
        is_there |= add_node(view, d, i, out);
    return is_there;
}

double cm_view_reused_within(const struct view *view, const calmoe_profile_domain *domain, int bin)
{
    double within = 0, all = 0;
    for (int layer = 0; layer < view->info.n_layers; layer++)
        for (int i = 0; i < CALMOE_REUSE_BINS; i++) {
            const double n = (double)domain->reuse[layer * CALMOE_REUSE_BINS + i];
            all += n;
            if (i <= bin) within += n;
        }
    return all > 0 ? within / all : 0;
}

static double by_tokens(double sum, const calmoe_profile_domain *domain)
{
    return domain->n_tokens > 0 ? sum / (double)domain->n_tokens : 0;
}

double cm_view_layers_per_token(const struct view *view, const calmoe_profile_domain *domain)
{
    double sum = 0;
    for (int layer = 0; layer < view->info.n_layers; layer++) sum += (double)domain->exits[layer] * (layer + 1);
    return by_tokens(sum, domain);
}

double cm_view_experts_per_token(const struct view *view, const calmoe_profile_domain *domain)
{
    double sum = 0;
    for (int n = 0; n <= view->info.n_used; n++) sum += (double)domain->used[n] * n;
    return by_tokens(sum, domain);
}

double cm_view_bytes_per_token(uint64_t n_bytes, const calmoe_profile_domain *domain)
{
    return by_tokens((double)n_bytes, domain);
}

/* Inserts it at its place among the n best. */
static void insert(struct together *best, int *n, const struct together *it)
{
    int at = *n;
    while (at > 0 && best[at - 1].bits < it->bits) at--;
    if (at == N_TOGETHER) return;
    const int last = *n < N_TOGETHER ? (*n)++ : N_TOGETHER - 1;
    for (int i = last; i > at; i--) best[i] = best[i - 1];
    best[at] = *it;
}

int cm_view_together(const struct view *view, int index, struct together best[N_TOGETHER])
{
    const calmoe_profile_domain domain = cm_view_domain(view, index);
    calmoe_expert_pair          pair;
    int                         n = 0;
    for (int layer = 0; layer < view->info.n_layers; layer++) {
        const uint64_t *counts = domain.tokens + (size_t)layer * (size_t)view->info.n_experts;
        for (int i = 0; calmoe_profile_get_pair(view->profile, index, layer, i, &pair) == CALMOE_OK; i++) {
            const double all = (double)domain.n_tokens, chance = (double)counts[pair.a] * (double)counts[pair.b] / all;
            struct together it = {layer, pair.a, pair.b, (double)pair.n_tokens / all, 0, 0};
            if (!(chance > 0)) continue;
            it.lift = (double)pair.n_tokens / chance;
            it.bits = it.share * log2(it.lift);
            if (it.bits > 1e-12) insert(best, &n, &it);
        }
    }
    return n;
}
