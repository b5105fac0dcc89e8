/* tools/profile_report.c - see profile_report.h. */
#include "tools/profile_report.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- gathering ---- */

static bool forecast(struct view *view, int n_nodes, const char *policy)
{
    struct forecast *const     it = &view->forecasts[view->n_forecasts];
    calmoe_placement_options   options;
    calmoe_placement          *placement = NULL;
    const struct front *const  front = view->front;
    calmoe_placement_options_init(&options);
    *it = (struct forecast){.n_nodes = n_nodes, .policy = policy};
    it->info.size       = sizeof it->info;
    it->prediction.size = sizeof it->prediction;
    options.topology    = n_nodes == 2 ? "numa:2 core:8 pu:1" : "numa:4 core:8 pu:1";
    options.policy      = policy;
    options.usage       = view->profile;
    const bool is_fine  = cm_front_succeeded(front, calmoe_placement_open(front->model, &options, &placement)) &&
                         cm_front_succeeded(front, calmoe_placement_get_info(placement, &it->info)) &&
                         cm_front_succeeded(front, calmoe_placement_predict(placement, 1, &it->prediction));
    calmoe_placement_close(&placement);
    it->info.policy = it->info.why = it->info.notes = ""; /* they were the placement's */
    view->n_forecasts += is_fine;
    return is_fine;
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
    for (int i = 0; is_fine && i < CALMOE_MAX_NODES; i++) {
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

bool cm_view_gather(struct view *view, const char *plan)
{
    static const struct { int n_nodes; const char *policy; } wanted[N_FORECASTS] = {
        {2, "sliced"}, {2, "round_robin"}, {2, "by_usage"}, {4, "sliced"}, {4, "round_robin"}, {4, "by_usage"}};
    view->info.size  = sizeof view->info;
    view->model.size = sizeof view->model;
    if (!cm_front_succeeded(view->front, calmoe_profile_get_info(view->profile, &view->info))) return false;
    if (view->front->model == NULL) return true;
    if (!cm_front_succeeded(view->front, calmoe_model_get_info(view->front->model, &view->model))) return false;
    for (int i = 0; i < N_FORECASTS; i++)
        if (!forecast(view, wanted[i].n_nodes, wanted[i].policy)) return false;
    return gather_nodes(view, plan);
}

static calmoe_profile_domain domain_of(const struct view *view, int i)
{
    calmoe_profile_domain domain = {.size = sizeof domain};
    (void)calmoe_profile_get_domain(view->profile, i, &domain);
    return domain;
}

static calmoe_expert_load load_of(const struct view *view, int domain, int layer)
{
    calmoe_expert_load load = {.size = sizeof load};
    (void)calmoe_profile_get_load(view->profile, domain, layer, &load);
    return load;
}

static double similarity(const struct view *view, int i, int j)
{
    double cosine = 0;
    (void)calmoe_profile_get_similarity(view->profile, i, j, -1, &cosine);
    return cosine;
}

/* The part of the domain's uses that lie in bins 0 … bin of reuse, over all layers. */
static double reused_within(const struct view *view, const calmoe_profile_domain *domain, int bin)
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

static double bytes_per_token(uint64_t n_bytes, const calmoe_profile_domain *domain)
{
    return domain->n_tokens > 0 ? (double)n_bytes / (double)domain->n_tokens : 0;
}

static double per_token(const struct forecast *it, const uint64_t *node_bytes)
{
    double bytes = 0;
    for (int node = 0; node < it->n_nodes; node++) bytes += (double)node_bytes[node];
    return it->prediction.n_tokens > 0 ? bytes / (double)it->prediction.n_tokens : 0;
}

/* ---- for people ---- */

enum { NAME_WIDTH = 14 };

/* A name as so many columns: characters, not bytes; control characters of a file's name become blanks. */
static void print_name(const char *name)
{
    char copy[128];
    int  n_characters = 0;
    size_t n = 0;
    snprintf(copy, sizeof copy, "%s", name[0] != '\0' ? name : "(all)");
    cm_clean_text(copy);
    for (; copy[n] != '\0'; n++) {
        const bool is_first = ((unsigned char)copy[n] & 0xC0) != 0x80;
        if (is_first && n_characters == NAME_WIDTH) break;
        n_characters += is_first;
    }
    printf("  %.*s%*s", (int)n, copy, NAME_WIDTH - n_characters, "");
}

static void print_domains(const struct view *view)
{
    printf("\nDomains; weights read, a matrix once a step, in MB a token\n");
    printf("  %-*s   tokens  windows  tokens/s  experts    head   dense  waiting\n", NAME_WIDTH, "");
    for (int i = 0; i < view->info.n_domains; i++) {
        const calmoe_profile_domain domain = domain_of(view, i);
        const struct kept *const    kept   = cm_reading_domain(view->reading, domain.name);
        double seconds = domain.waited_seconds;
        for (int phase = 0; phase < CALMOE_N_PHASES; phase++) seconds += domain.phase_seconds[phase];
        print_name(domain.name);
        printf("  %7" PRIu64, domain.n_tokens);
        if (kept != NULL) printf("  %7zu", kept->n_windows);
        else printf("  %7s", "-");
        if (domain.n_steps == 0 || !(seconds > 0)) printf("  not measured\n");
        else
            printf("  %8.0f  %7.3f  %6.3f  %6.3f  %5.1f %%\n", (double)domain.n_tokens / seconds,
                   bytes_per_token(domain.n_expert_bytes, &domain) * 1e-6,
                   bytes_per_token(domain.n_head_bytes, &domain) * 1e-6,
                   bytes_per_token(domain.n_dense_bytes, &domain) * 1e-6, 100 * domain.waited_seconds / seconds);
    }
}

static void print_loads(const struct view *view)
{
    printf("\nLoad of the experts, all domains; an even layer has max/mean 1, Gini 0, entropy %.2f bits\n",
           log2((double)view->info.n_experts));
    printf("  layer  max/mean   Gini  entropy  dead  busiest\n");
    for (int layer = 0; layer < view->info.n_layers; layer++) {
        const calmoe_expert_load load = load_of(view, -1, layer);
        printf("  %5d  %8.2f  %5.3f  %7.2f  %4d  %7d\n", layer, load.peak, load.gini, load.entropy, load.n_dead,
               load.busiest);
    }
}

static void print_liked(const struct view *view, const char *domain, const calmoe_specialist *it)
{
    struct liked liked[N_LIKED];
    const int    n = cm_liked_tokens(view->reading, domain, it->layer, it->expert, liked, N_LIKED);
    for (int i = 0; i < n; i++) {
        char text[1024];
        cm_token_text(view->front, liked[i].token, text, sizeof text);
        printf("%s\"%s\"", i == 0 ? "  likes " : " ", text);
    }
}

static void print_specialists(const struct view *view)
{
    if (view->info.n_domains < 2) {
        printf("\nSpecialists: two domains or more are needed to tell them\n");
        return;
    }
    printf("\nSpecialists: experts whose share of a domain is most above the domains' mean\n");
    for (int i = 0; i < view->info.n_domains; i++) {
        const calmoe_profile_domain domain = domain_of(view, i);
        calmoe_specialist           specialists[N_SPECIALISTS];
        int                         n = 0;
        (void)calmoe_profile_get_specialists(view->profile, i, specialists, N_SPECIALISTS, &n);
        for (int j = 0; j < n; j++) {
            const calmoe_specialist *it = &specialists[j];
            print_name(j == 0 ? domain.name : " ");
            printf("  layer %2d expert %3d  %4.1f %% of uses, %.1f x mean", it->layer, it->expert, 100 * it->share,
                   it->lift);
            print_liked(view, domain.name, it);
            printf("\n");
        }
    }
}

static void print_similarities(const struct view *view)
{
    if (view->info.n_domains < 2) return;
    printf("\nSimilarity of domains: cosine of experts' counts, mean over layers\n");
    for (int i = 0; i < view->info.n_domains; i++) {
        print_name(domain_of(view, i).name);
        for (int j = 0; j <= i; j++) printf("  %4.2f", similarity(view, i, j));
        printf("\n");
    }
}

static void print_locality(const struct view *view)
{
    static const int bins[] = {0, 1, 2, 3, 4, 6, 8};
    enum { N_BINS = sizeof bins / sizeof bins[0] };
    printf("\nLocality: uses of an expert that the sequence had used within so many tokens before\n  %-*s", NAME_WIDTH,
           "");
    for (int i = 0; i < N_BINS; i++) printf("  %5d", 1 << bins[i]);
    printf("\n");
    for (int i = 0; i < view->info.n_domains; i++) {
        const calmoe_profile_domain domain = domain_of(view, i);
        print_name(domain.name);
        for (int j = 0; j < N_BINS; j++) printf("  %3.0f %%", 100 * reused_within(view, &domain, bins[j]));
        printf("\n");
    }
    printf("  chance alone gives %.0f %% within 1\n", 100.0 * view->info.n_used / view->info.n_experts);
}

static void print_forecasts(const struct view *view)
{
    if (view->n_forecasts == 0) return;
    printf("\nPlans for machines of equal nodes, predicted from this profile, batch 1 (nothing is measured)\n");
    printf("  nodes  policy       imbalance  memory  remote KB/token: weights  activations\n");
    for (int i = 0; i < view->n_forecasts; i++) {
        const struct forecast *it = &view->forecasts[i];
        printf("  %5d  %-11s  %9.3f  %5.2fx  %24.1f  %11.1f\n", it->n_nodes, it->policy, it->prediction.imbalance,
               (double)it->info.n_placed_bytes / (double)it->info.n_weight_bytes,
               per_token(it, it->prediction.node_remote_weights) * 1e-3,
               per_token(it, it->prediction.node_remote_activations) * 1e-3);
    }
}

void cm_view_print(const struct view *view)
{
    const calmoe_profile_info *info = &view->info;
    const bool has_name = view->front->model != NULL && view->model.name[0] != '\0';
    printf("%s: %d layers of %d experts, %d used", has_name ? view->model.name : info->fingerprint, info->n_layers,
           info->n_experts, info->n_used);
    if (view->reading->n_domains > 0)
        printf("; read in windows of %d tokens, each a sequence of its own", view->reading->window);
    printf("\n");
    print_domains(view);
    print_loads(view);
    print_specialists(view);
    print_similarities(view);
    print_locality(view);
    print_forecasts(view);
}

/* ---- for programs ---- */

static void add_loads(struct json_output *json, struct json_node *in, const struct view *view, int domain)
{
    struct json_node *const layers = cm_json_array(json, in, "layers");
    for (int layer = 0; layer < view->info.n_layers; layer++) {
        const calmoe_expert_load load   = load_of(view, domain, layer);
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

static void add_domain(struct json_output *json, struct json_node *in, const struct view *view, int i)
{
    const calmoe_profile_domain domain = domain_of(view, i);
    struct json_node *const     object = cm_json_object(json, in, NULL);
    cm_json_text(json, object, "name", domain.name);
    cm_json_integer(json, object, "tokens", domain.n_tokens);
    cm_json_integer(json, object, "steps", domain.n_steps);
    cm_json_real(json, object, "waited_seconds", domain.waited_seconds);
    struct json_node *const seconds = cm_json_array(json, object, "phase_seconds");
    for (int phase = 0; phase < CALMOE_N_PHASES; phase++)
        cm_json_real(json, seconds, NULL, domain.phase_seconds[phase]);
    cm_json_real(json, object, "expert_bytes_per_token", bytes_per_token(domain.n_expert_bytes, &domain));
    cm_json_real(json, object, "head_bytes_per_token", bytes_per_token(domain.n_head_bytes, &domain));
    cm_json_real(json, object, "dense_bytes_per_token", bytes_per_token(domain.n_dense_bytes, &domain));
    struct json_node *const reuse = cm_json_array(json, object, "reused_within");
    for (int bin = 0; bin < CALMOE_REUSE_BINS - 1; bin++)
        cm_json_real(json, reuse, NULL, reused_within(view, &domain, bin));
    struct json_node *const cosines = cm_json_array(json, object, "similarity");
    for (int j = 0; j < view->info.n_domains; j++) cm_json_real(json, cosines, NULL, similarity(view, i, j));
    add_loads(json, object, view, i);
    add_specialists(json, object, view, i, domain.name);
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
    for (int i = 0; i < view->info.n_domains; i++) add_domain(&json, domains, view, i);
    struct json_node *const predicted = cm_json_array(&json, json.root, "predicted");
    for (int i = 0; i < view->n_forecasts; i++) {
        const struct forecast  *it     = &view->forecasts[i];
        struct json_node *const object = cm_json_object(&json, predicted, NULL);
        cm_json_integer(&json, object, "nodes", (uint64_t)it->n_nodes);
        cm_json_text(&json, object, "policy", it->policy);
        cm_json_real(&json, object, "imbalance", it->prediction.imbalance);
        cm_json_integer(&json, object, "placed_bytes", it->info.n_placed_bytes);
        cm_json_real(&json, object, "remote_weight_bytes_per_token",
                     per_token(it, it->prediction.node_remote_weights));
        cm_json_real(&json, object, "remote_activation_bytes_per_token",
                     per_token(it, it->prediction.node_remote_activations));
    }
    const bool written = cm_json_write(&json, true);
    cm_json_close(&json);
    return written;
}
