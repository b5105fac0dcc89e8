/* tools/profile_report.c - a profile as tables. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "tools/profile_view.h"

enum { NAME_WIDTH = 14 };

/* Prints a name in so many columns, counted in characters and not in bytes; control characters of a file's name become
 * blanks. */
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
    printf("  %-*s   tokens  windows  tokens/s  experts    head   dense\n", NAME_WIDTH, "");
    for (int i = 0; i < view->info.n_domains; i++) {
        const calmoe_profile_domain domain = cm_view_domain(view, i);
        const struct kept *const    kept   = cm_reading_domain(view->reading, domain.name);
        const struct view_times     times   = cm_view_times(view, i);
        const double                seconds = cm_view_seconds(&times);
        print_name(domain.name);
        printf("  %7" PRIu64, domain.n_tokens);
        if (kept != NULL) printf("  %7zu", kept->n_windows);
        else printf("  %7s", "-");
        if (domain.n_steps == 0 || !(seconds > 0)) printf("  not measured\n");
        else
            printf("  %8.0f  %7.3f  %6.3f  %6.3f\n", (double)domain.n_tokens / seconds,
                   cm_view_bytes_per_token(domain.n_expert_bytes, &domain) * 1e-6,
                   cm_view_bytes_per_token(domain.n_head_bytes, &domain) * 1e-6,
                   cm_view_bytes_per_token(domain.n_dense_bytes, &domain) * 1e-6);
    }
}

/* Prints shares of the time in percent, waiting last. */
static void print_shares(const struct view_times *times)
{
    const double all = cm_view_seconds(times);
    for (int phase = 0; phase <= CALMOE_N_PHASES; phase++)
        printf("  %5.1f %%",
               all > 0 ? 100 * (phase < CALMOE_N_PHASES ? times->phases[phase] : times->waited) / all : 0);
    printf("  %9.3f\n", all);
}

static void print_phases_head(int width, const char *what)
{
    printf("  %-*s", width, what);
    for (int phase = 0; phase < CALMOE_N_PHASES; phase++) printf("  %7s", calmoe_phase_name(phase));
    printf("  waiting    seconds\n");
}

static void print_times(const struct view *view)
{
    printf("\nTime of the threads in each phase of steps, mean over threads\n");
    print_phases_head(NAME_WIDTH, "");
    for (int i = 0; i < view->info.n_domains; i++) {
        const calmoe_profile_domain domain = cm_view_domain(view, i);
        print_name(domain.name);
        const struct view_times times = cm_view_times(view, i);
        if (domain.n_steps == 0) printf("  not measured\n");
        else print_shares(&times);
    }
}

/* Prints a line for each memory node, if there are several, or if threads read from other nodes. */
static void print_nodes(const struct view *view)
{
    struct view_node node;
    if (!cm_view_node(view, -1, 1, &node)) return;
    printf("\nMemory nodes, all domains: GB of weights read there, of experts and of all else, and elsewhere by its\n"
           "threads\n  node   experts     other     remote");
    print_phases_head(0, "");
    for (int i = 0; cm_view_node(view, -1, i, &node); i++) {
        const uint64_t n_experts = node.n_bytes[CALMOE_PHASE_EXPERTS];
        uint64_t       n_all     = 0;
        for (int phase = 0; phase < CALMOE_N_PHASES; phase++) n_all += node.n_bytes[phase];
        printf("  %4d  %8.3f  %8.3f  %9.3f  ", i, (double)n_experts * 1e-9, (double)(n_all - n_experts) * 1e-9,
               (double)node.n_remote_bytes * 1e-9);
        print_shares(&node.times);
    }
}

/* Prints the shares of tokens by the layers that they used, leaving out shares below half a percent. */
static void print_depths(const struct view *view)
{
    printf("\nDepth and width: layers and experts of a token, of %d and %d; tokens by their layers\n",
           view->info.n_layers, (view->info.n_layers - cm_view_dense_layers(view)) * view->info.n_used);
    printf("  %-*s  layers  experts\n", NAME_WIDTH, "");
    for (int i = 0; i < view->info.n_domains; i++) {
        const calmoe_profile_domain domain = cm_view_domain(view, i);
        print_name(domain.name);
        printf("  %6.2f  %7.2f ", cm_view_layers_per_token(view, &domain), cm_view_experts_per_token(view, &domain));
        for (int layer = 0; layer < view->info.n_layers && domain.n_tokens > 0; layer++) {
            const double share = (double)domain.exits[layer] / (double)domain.n_tokens;
            if (share >= 0.005) printf("  %d: %.0f %%", layer + 1, 100 * share);
        }
        printf("\n");
    }
}

static void print_loads(const struct view *view)
{
    printf("\nLoad of the experts, all domains; an even layer has max/mean 1, Gini 0, entropy %.2f bits\n",
           log2((double)view->info.n_experts));
    printf("  layer  max/mean   Gini  entropy  dead  busiest\n");
    for (int layer = 0; layer < view->info.n_layers; layer++) {
        const calmoe_expert_load load = cm_view_load(view, -1, layer);
        if (load.n_dead == view->info.n_experts) {
            printf("  %5d  no token took an expert\n", layer);
            continue;
        }
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
        const calmoe_profile_domain domain = cm_view_domain(view, i);
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
        print_name(cm_view_domain(view, i).name);
        for (int j = 0; j <= i; j++) printf("  %4.2f", cm_view_similarity(view, i, j));
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
        const calmoe_profile_domain domain = cm_view_domain(view, i);
        print_name(domain.name);
        for (int j = 0; j < N_BINS; j++) printf("  %3.0f %%", 100 * cm_view_reused_within(view, &domain, bins[j]));
        printf("\n");
    }
    printf("  chance alone gives %.0f %% within 1\n", 100.0 * view->info.n_used / view->info.n_experts);
}

static void print_together(const struct view *view)
{
    printf("\nTogether: experts of a layer that the same tokens take, most above chance\n");
    for (int i = 0; i < view->info.n_domains; i++) {
        struct together best[N_TOGETHER];
        const int       n = cm_view_together(view, i, best);
        for (int j = 0; j < n; j++) {
            print_name(j == 0 ? cm_view_domain(view, i).name : " ");
            printf("  layer %2d experts %3d and %3d  %4.1f %% of tokens, %.1f x chance\n", best[j].layer, best[j].a,
                   best[j].b, 100 * best[j].share, best[j].lift);
        }
    }
}

static void print_forecasts(const struct view *view)
{
    if (view->n_forecasts == 0) return;
    printf("\nPlans, predicted from this profile, batch 1 (nothing is measured); speed of a step: one_node is 1\n");
    printf("  %-*s  policy       speed  imbalance  memory  remote KB/token: weights  activations\n", NAME_WIDTH, "");
    for (int i = 0; i < view->n_forecasts; i++) {
        const struct forecast *it = &view->forecasts[i];
        print_name(i > 0 && strcmp(it->machine, it[-1].machine) == 0 ? " " : it->machine);
        printf("  %-11s  %5.2f  %9.3f  %5.2fx  %24.1f  %11.1f", it->policy, it->speed, it->prediction.imbalance,
               (double)it->info.n_placed_bytes / (double)it->info.n_weight_bytes,
               cm_forecast_per_token(it, it->prediction.node_remote_weights) * 1e-3,
               cm_forecast_per_token(it, it->prediction.node_remote_activations) * 1e-3);
        if (it->prediction.tokens_per_s > 0) printf("  %.1f tokens/s", it->prediction.tokens_per_s);
        printf("\n");
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
    printf("%s\n", view->reading->policy != NULL ? ", as answers under a policy" : "");
    print_domains(view);
    print_times(view);
    print_nodes(view);
    print_loads(view);
    print_depths(view);
    print_specialists(view);
    print_similarities(view);
    print_together(view);
    print_locality(view);
    print_forecasts(view);
}
