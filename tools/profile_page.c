/* tools/profile_page.c - see profile_page.h. The page is profile_page.html, in which one place is filled with the
 * figures as JSON; its script decides what to show. Texts are put into the page as JSON strings without <, > and &, and
 * the script shows them as text, never as markup. */
#include "tools/profile_page.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/output_file.h"

extern const char   cm_page_html[]; /* profile_page.html, made into C by the build */
extern const size_t cm_page_html_size;

enum { SAMPLE_TOKENS = 400, SAMPLE_NUMBERS = 60000, SAMPLE_LEAST = 40 };

/* ---- data ---- */

static void add_counts(struct json_output *json, struct json_node *in, const char *name, const uint64_t *counts,
                       size_t n)
{
    struct json_node *const list = cm_json_array(json, in, name);
    for (size_t i = 0; i < n; i++) cm_json_integer(json, list, NULL, counts[i]);
}

/* The first tokens of the domain: [text, experts of all layers (-1 = none), their weights in thousandths, layers]. */
static void add_text(struct json_output *json, struct json_node *in, const struct view *view, const char *domain)
{
    struct json_node *const  list = cm_json_array(json, in, "text");
    const struct kept *const kept = cm_reading_domain(view->reading, domain);
    const int                n_choice = view->info.n_layers * view->info.n_used;
    int                      n_tokens = SAMPLE_NUMBERS / n_choice;
    calmoe_text_stream       stream = {{0}};
    if (kept == NULL) return;
    if (n_tokens < SAMPLE_LEAST) n_tokens = SAMPLE_LEAST;
    if (n_tokens > SAMPLE_TOKENS) n_tokens = SAMPLE_TOKENS;
    for (int i = 0; i < kept->n && i < n_tokens; i++) {
        char text[1024];
        if (calmoe_text_stream_put(view->front->model, &stream, kept->tokens[i], text, sizeof text) != CALMOE_OK ||
            text[0] == '\0')
            continue; /* half a character, or a control token */
        struct json_node *const token = cm_json_array(json, list, NULL);
        const size_t            at = (size_t)i * (size_t)n_choice;
        cm_json_text(json, token, NULL, text);
        cm_json_ids(json, token, NULL, kept->experts + at, (size_t)n_choice);
        struct json_node *const weights = cm_json_array(json, token, NULL);
        for (int j = 0; j < n_choice; j++) {
            const float weight = kept->weights[at + (size_t)j];
            cm_json_integer(json, weights, NULL, weight > 0 ? (uint64_t)(weight * 1000 + 0.5f) : 0);
        }
        cm_json_integer(json, token, NULL, (uint64_t)kept->layers[i]);
    }
}

/* The plan in use. */
static void add_nodes(struct json_output *json, const struct view *view)
{
    struct json_node *const list = cm_json_array(json, json->root, "plan_nodes");
    for (int i = 0; i < view->n_nodes; i++) {
        struct json_node *const node = cm_json_object(json, list, NULL);
        cm_json_integer(json, node, "bytes", view->nodes[i].node.weight_bytes);
        cm_json_real(json, node, "share", view->nodes[i].share);
    }
}

/* The layer in which the domains differ most; the page opens with it. */
static int telling_layer(const struct view *view)
{
    int    best = 0;
    double least = 2;
    for (int layer = 0; layer < view->info.n_layers; layer++) {
        double sum = 0, cosine;
        int    n = 0;
        for (int i = 0; i < view->info.n_domains; i++)
            for (int j = 0; j < i; j++, n++)
                if (calmoe_profile_get_similarity(view->profile, i, j, layer, &cosine) == CALMOE_OK) sum += cosine;
        if (n > 0 && sum / n < least) {
            least = sum / n;
            best  = layer;
        }
    }
    return best;
}

static char *page_data(const struct view *view)
{
    struct json_output json;
    const size_t       n_layers = (size_t)view->info.n_layers, n_experts = (size_t)view->info.n_experts;
    const bool         has_name = view->front->model != NULL && view->model.name[0] != '\0';
    cm_json_open_object(&json);
    cm_json_text(&json, json.root, "name", has_name ? view->model.name : "a model");
    cm_json_text(&json, json.root, "fingerprint", view->info.fingerprint);
    cm_json_text(&json, json.root, "version", calmoe_version());
    cm_json_integer(&json, json.root, "layers", n_layers);
    cm_json_integer(&json, json.root, "experts", n_experts);
    cm_json_integer(&json, json.root, "used", (uint64_t)view->info.n_used);
    cm_json_integer(&json, json.root, "text_layer", (uint64_t)telling_layer(view));
    struct json_node *const domains = cm_json_array(&json, json.root, "domains");
    for (int i = 0; i < view->info.n_domains; i++) {
        calmoe_profile_domain   domain = {.size = sizeof domain};
        struct json_node *const object = cm_json_object(&json, domains, NULL);
        if (calmoe_profile_get_domain(view->profile, i, &domain) != CALMOE_OK) continue;
        cm_view_add_domain(&json, object, view, i);
        add_counts(&json, object, "counts", domain.tokens, n_layers * n_experts);
        add_text(&json, object, view, domain.name);
    }
    add_nodes(&json, view);
    cm_view_add_forecasts(&json, view);
    struct json_node *const phases = cm_json_array(&json, json.root, "phases");
    for (int i = 0; i < CALMOE_N_PHASES; i++) cm_json_text(&json, phases, NULL, calmoe_phase_name(i));
    char *const text = cm_json_page_text(&json);
    cm_json_close(&json);
    return text;
}

/* ---- the page ---- */

bool cm_page_fill(const char *html, size_t n_html, const char *data, const char *path)
{
    static const char mark[] = "@DATA@";
    const char *const found = strstr(html, mark);
    struct bytes      page = {0};
    if (found == NULL) return false;
    const size_t n_before = (size_t)(found - html), n_after = n_before + sizeof mark - 1;
    const bool   is_fine = cm_bytes_append(&page, html, n_before) && cm_bytes_append(&page, data, strlen(data)) &&
                         cm_bytes_append(&page, html + n_after, n_html - n_after) &&
                         cm_write_file(path, page.at, page.n);
    cm_bytes_close(&page);
    return is_fine;
}

bool cm_page_write(const struct view *view, const char *path)
{
    char *const numbers = page_data(view);
    const bool  is_fine = numbers != NULL && cm_page_fill(cm_page_html, cm_page_html_size, numbers, path);
    free(numbers);
    return is_fine;
}
