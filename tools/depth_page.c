/* tools/depth_page.c - see depth_page.h. The page is depth_page.html with the answer as JSON in one place; texts get
 * into it as JSON strings without <, > and &, and on the screen as text, never as markup. */
#include "tools/depth_page.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/profile_page.h"

extern const char   cm_depth_html[]; /* depth_page.html, made into C by the build */
extern const size_t cm_depth_html_size;

/* What is proven about the policy with which the answer began. */
static void add_bound(struct json_output *json, const struct generation *generation, const calmoe_policy *policy)
{
    const int        rung = calmoe_session_rung(generation->session);
    calmoe_rung_info info = {.size = sizeof info};
    char             text[200] = "All layers and all experts: no policy.";
    if (policy != NULL && rung < 0) snprintf(text, sizeof text, "The policy is off: all layers and all experts.");
    else if (policy != NULL && calmoe_policy_get_rung(policy, rung, &info) == CALMOE_OK && info.is_proven)
        snprintf(text, sizeof text, "Policy: %s at most %g with confidence %g (%s, %d prompts).", info.loss, info.delta,
                 1.0 - info.epsilon, info.p_value, info.n_prompts);
    else if (policy != NULL) snprintf(text, sizeof text, "A policy of which nothing is proven.");
    cm_json_text(json, json->root, "bound", text);
}

/* Writes [text, layers, experts, confidence in thousandths] for each token. */
static void add_tokens(struct json_output *json, const struct generation *generation)
{
    struct json_node *const       list = cm_json_array(json, json->root, "tokens");
    const struct token_use *const uses = (const struct token_use *)(const void *)generation->uses.at;
    const size_t                  n = generation->uses.n / sizeof *uses;
    const char                   *text = generation->text.at;
    for (size_t i = 0; i < n; i++) {
        struct json_node *const token = cm_json_array(json, list, NULL);
        const float             confidence = uses[i].depth.confidence;
        cm_json_bytes(json, token, NULL, text != NULL ? text : "", uses[i].n_bytes);
        cm_json_integer(json, token, NULL, (uint64_t)uses[i].depth.layers);
        cm_json_integer(json, token, NULL, (uint64_t)uses[i].depth.experts);
        cm_json_integer(json, token, NULL, confidence > 0.0f ? (uint64_t)lrintf(confidence * 1000.0f) : 0);
        if (text != NULL) text += uses[i].n_bytes;
    }
}

static char *page_data(const struct generation *generation, const char *prompt, size_t n_prompt,
                       const calmoe_policy *policy)
{
    struct json_output json;
    calmoe_model_info  info = {.size = sizeof info};
    if (!cm_front_succeeded(generation->front, calmoe_model_get_info(generation->front->model, &info))) return NULL;
    cm_json_open_object(&json);
    cm_json_text(&json, json.root, "name", info.name != NULL && info.name[0] != '\0' ? info.name : "a model");
    cm_json_text(&json, json.root, "fingerprint", info.fingerprint);
    cm_json_text(&json, json.root, "version", calmoe_version());
    cm_json_integer(&json, json.root, "layers", (uint64_t)info.n_layers);
    cm_json_integer(&json, json.root, "used", info.n_experts > 1 ? (uint64_t)info.n_experts_used : 1);
    add_bound(&json, generation, policy);
    cm_json_bytes(&json, json.root, "prompt", prompt, n_prompt);
    add_tokens(&json, generation);
    char *const text = cm_json_page_text(&json);
    cm_json_close(&json);
    return text;
}

bool cm_depth_page_write(const struct generation *generation, const char *prompt, size_t n_prompt,
                         const calmoe_policy *policy, const char *path)
{
    char *const data = page_data(generation, prompt, n_prompt, policy);
    const bool  is_fine = data != NULL && cm_page_fill(cm_depth_html, cm_depth_html_size, data, path);
    free(data);
    return is_fine;
}
