/* runtime/calibrate/calibrate.c - calmoe_calibration: the call, its stages, and what is told. */
#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/names.h"
#include "base/options.h"
#include "base/sha256.h"
#include "runtime/calibrate/calibrate_parts.h"
#include "runtime/proof/deal.h"

enum { MAX_PROMPTS = 1 << 20, MAX_SPLITS = 1000000, LOGIT_BYTES = 64 << 20 };

static const double ladder[] = {0.001, 0.005, 0.01, 0.02, 0.05, 0.1};
enum { N_LADDER = sizeof ladder / sizeof ladder[0] };

void calmoe_calibrate_options_init(calmoe_calibrate_options *options)
{
    if (options)
        *options = (calmoe_calibrate_options){.size = sizeof *options, .loss = "token_disagreement", .epsilon = 0.05,
                                              .first_share = 0.3, .seed = 1, .answer_tokens = 64, .batch = 1,
                                              .max_exits = 2, .width = 1, .tails = 1, .most = 240};
}

/* ---- options ---- */

static calmoe_status check_int(const struct calmoe_calibration *c, const char *name, int value, int min, int max)
{
    if (value >= min && value <= max) return CALMOE_OK;
    return cm_fail(c->ctx, CALMOE_INVALID_ARGUMENT, "%s is %d; %d to %d is wanted", name, value, min, max);
}

static calmoe_status check_deltas(struct calmoe_calibration *c)
{
    const double *deltas = c->options.deltas ? c->options.deltas : ladder;
    c->n_deltas = c->options.deltas ? c->options.n_deltas : N_LADDER;
    CM_TRY(check_int(c, "n_deltas", c->n_deltas, 1, CALMOE_MAX_DELTAS));
    for (int i = 0; i < c->n_deltas; i++) {
        if (!(deltas[i] > 0.0 && deltas[i] < 1.0) || (i > 0 && !(deltas[i] > deltas[i - 1])))
            return cm_fail(c->ctx, CALMOE_INVALID_ARGUMENT,
                           "delta %d is %g; above 0, below 1, and above the one before is wanted", i, deltas[i]);
        c->deltas[i] = deltas[i];
    }
    return CALMOE_OK;
}

static calmoe_status check_names(struct calmoe_calibration *c)
{
    const calmoe_calibrate_options *options = &c->options;
    int row = LOSS_TOKEN_DISAGREEMENT;
    if (options->loss) CM_TRY(cm_name_choose(c->ctx, "loss", CM_NAMES(cm_loss_kinds, name), options->loss, &row));
    c->loss = (enum loss_kind)row;
    row = cm_loss_kinds[c->loss].is_binary ? P_BINOMIAL : P_WSR;
    if (options->p_value)
        CM_TRY(cm_name_choose(c->ctx, "p_value", CM_NAMES(cm_p_values, name), options->p_value, &row));
    c->p_value = (enum p_value_kind)row;
    if (cm_p_values[c->p_value].is_binary && !cm_loss_kinds[c->loss].is_binary)
        return cm_fail(c->ctx, CALMOE_INVALID_ARGUMENT, "the p-value '%s' is for losses of 0 and 1; '%s' is another",
                       cm_p_values[c->p_value].name, cm_loss_kinds[c->loss].name);
    return CALMOE_OK;
}

/* Every word of measures must be one that this engine can run. */
static calmoe_status check_measures(const struct calmoe_calibration *c)
{
    for (const char *at = c->options.measures; at && *at;) {
        char         name[32];
        const size_t n = strcspn(at, ",");
        if (n >= sizeof name) return cm_fail(c->ctx, CALMOE_INVALID_ARGUMENT, "measure '%s' is unknown", at);
        memcpy(name, at, n);
        name[n] = '\0';
        int measure;
        CM_TRY(cm_name_choose(c->ctx, "measure", CM_NAMES(cm_exit_measures, name), name, &measure));
        if (cm_exit_layer_of(c->engine, (enum exit_measure)measure) == 0)
            return cm_fail(c->ctx, CALMOE_UNSUPPORTED, "no layer can be asked by '%s'%s", name,
                           cm_exit_measures[measure].reads_features ? ": the engine was opened without exits that "
                                                                      "have classifiers" : "");
        at += at[n] == ',' ? n + 1 : n;
    }
    return CALMOE_OK;
}

static calmoe_status read_options(struct calmoe_calibration *c, const calmoe_calibrate_options *given)
{
    calmoe_calibrate_options *options = &c->options;
    calmoe_calibrate_options_init(options);
    CM_TRY(cm_options_copy(c->ctx, "calmoe_calibrate_options", options, sizeof *options, given));
    CM_TRY(check_names(c));
    CM_TRY(check_deltas(c));
    if (!(options->epsilon > 0.0 && options->epsilon < 1.0))
        return cm_fail(c->ctx, CALMOE_INVALID_ARGUMENT, "epsilon is %g; above 0 and below 1 is wanted",
                       options->epsilon);
    if (!(options->first_share > 0.0 && options->first_share < 1.0))
        return cm_fail(c->ctx, CALMOE_INVALID_ARGUMENT, "first_share is %g; above 0 and below 1 is wanted",
                       options->first_share);
    CM_TRY(check_int(c, "answer_tokens", options->answer_tokens, 2, MAX_ANSWER));
    CM_TRY(check_int(c, "costs", options->costs, CALMOE_COSTS_TIME, CALMOE_COSTS_BYTES));
    CM_TRY(check_int(c, "batch", options->batch, 1, MAX_LANES));
    CM_TRY(check_int(c, "max_exits", options->max_exits, 1, 3));
    CM_TRY(check_int(c, "most", options->most, 1, MAX_POLICIES));
    CM_TRY(check_int(c, "n_splits", options->n_splits, 0, MAX_SPLITS));
    CM_TRY(check_int(c, "width", options->width, 0, 1));
    CM_TRY(check_int(c, "tails", options->tails, 0, 1));
    CM_TRY(check_int(c, "rivals", options->rivals, 0, 1));
    CM_TRY(check_int(c, "resident", options->resident, 0, 1));
    if (options->resident) CM_TRY(cm_engine_check_streams(c->engine));
    return check_measures(c);
}

/* ---- prompts ---- */

static calmoe_status check_tokens(const struct calmoe_calibration *c, const char *what, int prompt,
                                  const int32_t *tokens, int n)
{
    const int n_vocab = c->engine->model->spec.n_vocab;
    if (!tokens || n < 1)
        return cm_fail(c->ctx, CALMOE_INVALID_ARGUMENT, "%s %d is empty; at least one token is wanted", what, prompt);
    for (int i = 0; i < n; i++)
        if (tokens[i] < 0 || tokens[i] >= n_vocab)
            return cm_fail(c->ctx, CALMOE_INVALID_ARGUMENT, "%s %d: token %d is %d; 0 to %d is wanted", what, prompt, i,
                           (int)tokens[i], n_vocab - 1);
    return CALMOE_OK;
}

static calmoe_status check_prompt(struct calmoe_calibration *c, const calmoe_prompt *prompt, int i)
{
    const int context = c->engine->model->spec.context_length;
    CM_TRY(check_tokens(c, "prompt", i, prompt->tokens, prompt->n_tokens));
    if ((prompt->answer != NULL) != c->has_references)
        return cm_fail(c->ctx, CALMOE_INVALID_ARGUMENT, "prompt %d has %s reference, others have %s", i,
                       prompt->answer ? "a" : "no", prompt->answer ? "none" : "one");
    if (prompt->answer) CM_TRY(check_tokens(c, "the reference of prompt", i, prompt->answer, prompt->n_answer));
    if (prompt->n_tokens > context - c->options.answer_tokens)
        return cm_fail(c->ctx, CALMOE_INVALID_ARGUMENT, "prompt %d has %d tokens, its answer %d; the model was trained "
                       "for %d", i, prompt->n_tokens, c->options.answer_tokens, context);
    if (prompt->n_tokens > c->longest) c->longest = prompt->n_tokens;
    return CALMOE_OK;
}

static void hash_prompts(struct calmoe_calibration *c, const calmoe_prompt *prompts)
{
    struct sha256 sha = cm_sha256();
    char          hex[65];
    for (int i = 0; i < c->n_prompts; i++) {
        const int32_t lengths[2] = {prompts[i].n_tokens, prompts[i].answer ? prompts[i].n_answer : -1};
        cm_sha256_add(&sha, lengths, sizeof lengths);
        cm_sha256_add(&sha, prompts[i].tokens, (size_t)prompts[i].n_tokens * sizeof *prompts[i].tokens);
        if (prompts[i].answer)
            cm_sha256_add(&sha, prompts[i].answer, (size_t)prompts[i].n_answer * sizeof *prompts[i].answer);
    }
    cm_sha256_hex(&sha, hex);
    memcpy(c->prompts_hash, hex, 16);
}

static calmoe_status deal(struct calmoe_calibration *c, const calmoe_prompt *prompts)
{
    int *order = cm_alloc(c->ctx, (size_t)c->n_prompts, sizeof *order, "calibration");
    if (!order) return CALMOE_NO_MEMORY;
    cm_deal(order, c->n_prompts, c->options.seed);
    for (int i = 0; i < c->n_prompts; i++) c->prompts[i] = &prompts[order[i]];
    cm_free(order);
    const int n_first = (int)(c->options.first_share * c->n_prompts + 0.5);
    c->n_first = n_first < 1 ? 1 : n_first >= c->n_prompts ? c->n_prompts - 1 : n_first;
    return CALMOE_OK;
}

static calmoe_status open_full(calmoe_context *ctx, size_t n_prompts, size_t n_answer, struct full_model *out)
{
    out->answers = cm_alloc(ctx, n_prompts * n_answer, sizeof *out->answers, "answers");
    out->forced = cm_alloc(ctx, n_prompts * n_answer, sizeof *out->forced, "answers");
    out->winners = cm_alloc(ctx, n_prompts * n_answer, sizeof *out->winners, "answers");
    out->n_answers = cm_alloc(ctx, n_prompts, sizeof *out->n_answers, "answers");
    out->n_forced = cm_alloc(ctx, n_prompts, sizeof *out->n_forced, "answers");
    out->loss = cm_alloc(ctx, n_prompts, sizeof *out->loss, "answers");
    const bool is_whole = out->answers && out->forced && out->winners && out->n_answers && out->n_forced && out->loss;
    return is_whole ? CALMOE_OK : CALMOE_NO_MEMORY;
}

static void close_full(struct full_model *full)
{
    cm_free(full->answers);
    cm_free(full->forced);
    cm_free(full->winners);
    cm_free(full->n_answers);
    cm_free(full->n_forced);
    cm_free(full->loss);
}

static calmoe_status open_prompts(struct calmoe_calibration *c, const calmoe_prompt *prompts, int n_prompts)
{
    const size_t n = (size_t)(c->n_prompts = n_prompts);
    c->has_references = prompts[0].answer != NULL;
    if (c->has_references && c->loss == LOSS_TOTAL_VARIATION)
        return cm_fail(c->ctx, CALMOE_INVALID_ARGUMENT, "the loss 'total_variation' has no use for references");
    for (int i = 0; i < n_prompts; i++) CM_TRY(check_prompt(c, &prompts[i], i));
    hash_prompts(c, prompts);
    c->prompts = cm_alloc(c->ctx, n, sizeof *c->prompts, "prompts");
    if (!c->prompts) return CALMOE_NO_MEMORY;
    CM_TRY(open_full(c->ctx, n, (size_t)c->options.answer_tokens, &c->full));
    return deal(c, prompts);
}

/* As many lanes as there may be; fewer where whole logits of all are kept. */
static calmoe_status open_lanes(struct calmoe_calibration *c)
{
    const size_t a_lane = (size_t)c->options.answer_tokens * (size_t)c->engine->model->spec.n_vocab * sizeof(float);
    int n = c->n_prompts < MAX_LANES ? c->n_prompts : MAX_LANES;
    while (c->loss == LOSS_TOTAL_VARIATION && n > 1 && n > c->options.batch && (size_t)n * a_lane > LOGIT_BYTES) n--;
    const int n_answer = c->options.answer_tokens > TIMED_TOKENS ? c->options.answer_tokens : TIMED_TOKENS;
    CM_TRY(cm_lanes_open(c->engine, n, c->longest + n_answer, &c->lanes));
    return cm_engine_need_exits(c->engine);
}

/* ---- the stages ---- */

static void tell(struct calmoe_calibration *c)
{
    for (int kind = 0; kind < (c->options.rivals ? N_KINDS : 1); kind++)
        for (int i = 0; i < c->n_deltas; i++) {
            struct told_finding *told = &c->found[kind][i];
            const int            which = told->finding.configuration;
            cm_risk_sentence(&told->finding, told->sentence, sizeof told->sentence);
            if (which >= 0)
                cm_configuration_text(&c->configurations.rungs[which], c->costs.n_layers, told->policy,
                                      sizeof told->policy);
        }
}

static calmoe_status check_choice(const struct calmoe_calibration *c)
{
    const struct model_spec *spec = &c->engine->model->spec;
    const bool has_exits = spec->n_layers > 1 && !(c->options.measures && c->options.measures[0] == '\0');
    if (has_exits || (c->options.width && (spec->most.n_used > 1 || c->options.resident))) return CALMOE_OK;
    return cm_fail(c->ctx, CALMOE_UNSUPPORTED, "there is nothing to try: no early exit is wanted or possible, and no "
                   "token has experts to spare");
}

static calmoe_status calibrate(struct calmoe_calibration *c, const calmoe_prompt *prompts, int n_prompts)
{
    static const struct {
        calmoe_status (*run)(struct calmoe_calibration *);
        double begin, end;
    } stages[] = {{cm_calibrate_answers, 0.0, 0.1},
                  {cm_calibrate_costs, 0.1, 0.12},
                  {cm_calibrate_candidates, 0.12, 0.2},
                  {cm_calibrate_tests, 0.2, 1.0}};
    CM_TRY(check_choice(c));
    CM_TRY(open_prompts(c, prompts, n_prompts));
    CM_TRY(open_lanes(c));
    CM_TRY(cm_configurations_open(c->ctx, c->options.most, c->engine->model->spec.n_layers, &c->configurations));
    for (size_t i = 0; i < sizeof stages / sizeof stages[0]; i++) {
        c->stage_begin = stages[i].begin;
        c->stage_end = stages[i].end;
        CM_TRY(stages[i].run(c));
    }
    tell(c);
    return CALMOE_OK;
}

calmoe_status calmoe_calibrate(calmoe_engine *engine, const calmoe_prompt *prompts, int n_prompts,
                               const calmoe_calibrate_options *options, calmoe_calibration **out)
{
    if (out) *out = NULL;
    if (!engine || !prompts || !out)
        return cm_fail(engine ? engine->ctx : NULL, CALMOE_INVALID_ARGUMENT,
                       "calmoe_calibrate: engine, prompts and out are needed");
    if (n_prompts < 2 || n_prompts > MAX_PROMPTS)
        return cm_fail(engine->ctx, CALMOE_INVALID_ARGUMENT, "%d prompts; 2 to %d are wanted", n_prompts, MAX_PROMPTS);
    struct calmoe_calibration *c = cm_alloc(engine->ctx, 1, sizeof *c, "calibration");
    if (!c) return CALMOE_NO_MEMORY;
    c->ctx = engine->ctx;
    c->engine = engine;
    calmoe_status status = read_options(c, options);
    if (status == CALMOE_OK) status = calibrate(c, prompts, n_prompts);
    cm_lanes_close(&c->lanes);
    cm_free(c->prompts); /* borrowed until here */
    c->prompts = NULL;
    if (status != CALMOE_OK) calmoe_calibration_close(&c);
    *out = c;
    return status;
}

void calmoe_calibration_close(calmoe_calibration **calibration)
{
    if (!calibration || !*calibration) return;
    struct calmoe_calibration *c = *calibration;
    cm_configurations_close(&c->configurations);
    close_full(&c->full);
    cm_free(c->cost_memory);
    cm_free(c->cost_layers);
    cm_free(c->cost);
    cm_free(c->parts);
    cm_free(c->layers);
    cm_free(c->experts);
    cm_free(c->losses);
    cm_free(c->aim_memory);
    cm_free(c);
    *calibration = NULL;
}

/* ---- told ---- */

/* out begins with its size. */
static calmoe_status check_call(const calmoe_calibration *c, const void *out, int delta, const char *call)
{
    size_t size = 0;
    if (out) memcpy(&size, out, sizeof size);
    if (!c || size < sizeof size || delta < 0 || delta >= c->n_deltas)
        return cm_fail(c ? c->ctx : NULL, CALMOE_INVALID_ARGUMENT,
                       "%s: a calibration, one of its deltas and a struct with its size set are needed", call);
    return CALMOE_OK;
}

static calmoe_status get_finding(const calmoe_calibration *c, int kind, int delta, calmoe_finding *out)
{
    const struct told_finding *told = &c->found[kind][delta];
    const struct model_spec   *spec = &c->engine->model->spec;
    const struct risk_finding *found = &told->finding;
    calmoe_finding finding = {.delta = found->delta, .is_proven = found->answer == RISK_PROVEN, .p = found->p,
                              .mean_loss = found->mean_loss, .n_prompts = (int)found->n,
                              .n_needed = (int)found->n_needed, .n_tried = found->n_tried, .cost = 1.0,
                              .mean_layers = c->costs.n_layers, .policy = told->policy, .sentence = told->sentence,
                              .mean_experts = (double)cm_experts_of_token(spec) / spec->n_layers,
                              .mean_reads = c->off_parts.of[PART_READ]};
    if (finding.is_proven) {
        finding.n_members = kind == KIND_ANY ? c->fronts[delta].n : 1;
        finding.cost = found->cost / c->off_cost;
        finding.mean_layers = c->layers[found->configuration];
        finding.mean_experts = c->experts[found->configuration];
        finding.mean_reads = c->parts[found->configuration].of[PART_READ];
    }
    cm_options_give(out, &finding, sizeof finding);
    return CALMOE_OK;
}

calmoe_status calmoe_calibration_get_finding(const calmoe_calibration *c, int delta, calmoe_finding *out)
{
    CM_TRY(check_call(c, out, delta, "calmoe_calibration_get_finding"));
    return get_finding(c, KIND_ANY, delta, out);
}

calmoe_status calmoe_calibration_get_rival(const calmoe_calibration *c, int kind, int delta, calmoe_finding *out)
{
    CM_TRY(check_call(c, out, delta, "calmoe_calibration_get_rival"));
    if (!c->options.rivals || kind < 0 || kind >= CALMOE_N_RIVALS)
        return cm_fail(c->ctx, CALMOE_INVALID_ARGUMENT, c->options.rivals ? "rival %d; 0 to %d is wanted"
                       : "no rivals were asked for", kind, CALMOE_N_RIVALS - 1);
    return get_finding(c, KIND_DEPTH + kind, delta, out);
}

calmoe_status calmoe_calibration_get_splits(const calmoe_calibration *c, int delta, calmoe_split_finding *out)
{
    CM_TRY(check_call(c, out, delta, "calmoe_calibration_get_splits"));
    if (c->options.n_splits == 0)
        return cm_fail(c->ctx, CALMOE_INVALID_ARGUMENT, "no divisions were asked for: n_splits was 0");
    calmoe_split_finding finding = c->splits[delta];
    cm_options_give(out, &finding, sizeof finding);
    return CALMOE_OK;
}

calmoe_status calmoe_calibration_get_info(const calmoe_calibration *c, calmoe_calibration_info *out)
{
    CM_TRY(check_call(c, out, 0, "calmoe_calibration_get_info"));
    double n_answer = 0.0;
    for (int i = 0; i < c->n_prompts; i++) n_answer += c->full.n_forced[i];
    calmoe_calibration_info info = {.n_deltas = c->n_deltas, .n_prompts = {c->n_first, c->n_prompts - c->n_first},
                                    .n_policies = c->configurations.n, .mean_answer = n_answer / c->n_prompts,
                                    .step = c->off_step, .layer = c->costs.layer[0], .expert = c->costs.expert[0],
                                    .fill = c->costs.fill[c->kv_fill][0], .head = c->costs.head,
                                    .oracle_layers = c->oracle_layers, .read = c->prices.of[PART_READ],
                                    .reads = c->off_parts.of[PART_READ]};
    memcpy(info.prompts, c->prompts_hash, sizeof info.prompts);
    cm_options_give(out, &info, sizeof info);
    return CALMOE_OK;
}

static void add_rung(const struct calmoe_calibration *c, const struct risk_finding *finding,
                     const struct proven *proven, struct policy *policy)
{
    const size_t              row_bytes = (size_t)policy->n_layers * sizeof *policy->widths;
    const struct policy_rung *from = &c->configurations.rungs[proven->configuration];
    struct policy_rung       *rung = &policy->rungs[policy->n_rungs];
    *rung = *from;
    rung->delta = finding->delta;
    rung->epsilon = finding->epsilon;
    rung->loss = c->loss;
    rung->p_value = c->p_value;
    rung->n_prompts = (int)finding->n;
    rung->p = proven->p;
    rung->has_parts = true;
    rung->parts = c->parts[proven->configuration];
    if (from->widths) rung->widths = memcpy(cm_policy_widths(policy, policy->n_rungs), from->widths, row_bytes);
    policy->n_rungs++;
}

static void fill_policy(const calmoe_calibration *c, struct policy *policy)
{
    for (int i = 0; i < c->n_deltas; i++)
        for (int j = 0; j < c->fronts[i].n && policy->n_rungs < POLICY_MAX_RUNGS; j++)
            add_rung(c, &c->found[KIND_ANY][i].finding, &c->fronts[i].of[j], policy);
}

calmoe_status calmoe_calibration_get_policy(const calmoe_calibration *c, calmoe_policy **out)
{
    if (out) *out = NULL;
    if (!c || !out)
        return cm_fail(c ? c->ctx : NULL, CALMOE_INVALID_ARGUMENT,
                       "calmoe_calibration_get_policy: a calibration and out are needed");
    *out = cm_alloc(c->ctx, 1, sizeof **out, "the policy");
    if (!*out) return CALMOE_NO_MEMORY;
    (*out)->ctx = c->ctx;
    (*out)->is_proven = true;
    struct policy *policy = &(*out)->policy;
    memcpy(policy->fingerprint, c->engine->model->fingerprint, sizeof policy->fingerprint);
    memcpy(policy->exits, cm_engine_exits(c->engine), strlen(cm_engine_exits(c->engine)) + 1);
    memcpy(policy->prompts, c->prompts_hash, sizeof policy->prompts);
    if (c->options.resident) {
        cm_plan_kept(&c->engine->plan, policy->kept);
        policy->off_reads = c->off_parts.of[PART_READ];
    }
    policy->n_layers = c->costs.n_layers;
    calmoe_status status = cm_policy_reserve(c->ctx, policy);
    if (status == CALMOE_OK) fill_policy(c, policy);
    if (status == CALMOE_OK) status = cm_policy_check(c->ctx, policy);
    if (status != CALMOE_OK) calmoe_policy_close(out);
    return status;
}
