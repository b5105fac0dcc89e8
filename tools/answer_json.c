/* tools/answer_json.c - see answer_json.h. */
#include "tools/answer_json.h"

static void add_layers(struct json_output *json, const struct generation *generation)
{
    struct json_node *const       layers = cm_json_array(json, json->root, "token_layers");
    const struct token_use *const uses = (const struct token_use *)(const void *)generation->uses.at;
    for (size_t i = 0; i < generation->uses.n / sizeof *uses; i++)
        cm_json_integer(json, layers, NULL, (uint64_t)uses[i].depth.layers);
}

/* Adds the drafts of each way, and the plain steps. */
static void add_drafts(struct json_output *json, const calmoe_speculation *drafts)
{
    struct json_node *const ways = cm_json_object(json, json->root, "drafts_by");
    cm_json_integer(json, json->root, "plain_steps", drafts->plain);
    for (int kind = 0; kind < CALMOE_N_DRAFT_KINDS; kind++) {
        struct json_node *const way = cm_json_object(json, ways, cm_draft_names[kind]);
        cm_json_integer(json, way, "rounds", drafts->rounds_by[kind]);
        cm_json_integer(json, way, "drafted", drafts->drafted_by[kind]);
        cm_json_integer(json, way, "accepted", drafts->accepted_by[kind]);
    }
}

bool cm_answer_json_print(const struct generation *generation, bool is_lossless, const char *hash)
{
    const struct run_times *const times = &generation->times;
    calmoe_stats                  stats = {.size = sizeof stats};
    calmoe_speculation            drafts = {.size = sizeof drafts};
    struct json_output            json;
    if (!cm_front_succeeded(generation->front, calmoe_session_speculation(generation->session, &drafts)) ||
        !cm_front_succeeded(generation->front, calmoe_engine_get_stats(generation->front->engine, &stats)))
        return false;
    if (stats.n_rows > generation->of_prompt.n_rows) {
        stats.n_rows -= generation->of_prompt.n_rows;
        stats.n_layers_run -= generation->of_prompt.n_layers_run;
        stats.n_experts_run -= generation->of_prompt.n_experts_run;
        stats.n_weight_bytes -= generation->of_prompt.n_weight_bytes;
    }
    if (drafts.drafted > 0) stats.n_rows = times->n_steps; /* n_rows also counts rejected drafts */
    const double n_rows = stats.n_rows > 0 ? (double)stats.n_rows : 1;
    cm_json_open_object(&json);
    cm_json_bytes(&json, json.root, "text", generation->text.at, generation->text.n);
    cm_json_ids(&json, json.root, "tokens", (const int32_t *)(const void *)generation->ids.at,
                generation->ids.n / sizeof(int32_t));
    cm_json_integer(&json, json.root, "prompt_tokens", times->n_prompt);
    cm_json_integer(&json, json.root, "generated_tokens", times->n_generated);
    cm_json_real(&json, json.root, "prompt_tokens_per_s",
                 cm_tokens_per_second(times->n_prompt, times->prompt_seconds));
    cm_json_real(&json, json.root, "decode_tokens_per_s",
                 cm_tokens_per_second(times->n_steps, times->step_seconds));
    cm_json_real(&json, json.root, "layers_per_token", (double)stats.n_layers_run / n_rows);
    cm_json_real(&json, json.root, "experts_per_token", (double)stats.n_experts_run / n_rows);
    cm_json_real(&json, json.root, "bytes_per_token", (double)stats.n_weight_bytes / n_rows);
    if (generation->exits.is_on) add_layers(&json, generation);
    if (is_lossless) {
        cm_json_integer(&json, json.root, "rounds", drafts.rounds);
        cm_json_integer(&json, json.root, "drafted", drafts.drafted);
        cm_json_integer(&json, json.root, "accepted", drafts.accepted);
        add_drafts(&json, &drafts);
    }
    if (hash != NULL) cm_json_text(&json, json.root, "logit_hash", hash);
    else cm_json_null(&json, json.root, "logit_hash");
    const bool written = cm_json_write(&json, true);
    cm_json_close(&json);
    return written;
}
