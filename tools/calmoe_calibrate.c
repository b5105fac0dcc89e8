/* tools/calmoe_calibrate.c - `calmoe calibrate`: finds out what may be left out under a bound, and proves the bound on
 * texts. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <calmoe/calibration.h>

#include "tools/command.h"
#include "tools/memory_request.h"
#include "tools/output_file.h"
#include "tools/prompt_set.h"

enum { MAX_THREADS = 4096, MAX_PROMPTS = 1 << 20, DEFAULT_PROMPTS = 2000, DEFAULT_CUT = 64, DEFAULT_ANSWER = 64 };

struct settings {
    const char     *model, *plan, *isa, *output, *deltas, *epsilon, *loss, *p_value, *measures, *first, *exits;
    struct cli_list files;
    int             prompts, prompt_tokens, answer_tokens, costs, max_exits, no_width, no_tails, most, batch, rivals,
                    splits, threads, json, resident;
    uint64_t        seed;
    struct memory_request memory;
};

#define AT(member) offsetof(struct settings, member)
#define AT_MEMORY(member) offsetof(struct settings, memory.member)
static const struct cli_option options[] = {
    {"model", 'm', CLI_INPUT, AT(model), 0, 0, "MODEL", "GGUF file; default: the embedded model"},
    {"file", 'f', CLI_INPUTS, AT(files), 0, 0, "FILE",
     "a text, or JSON lines (FILE.jsonl); more may follow, and are mixed evenly"},
    {"output", 'o', CLI_OUTPUT, AT(output), 0, 0, "POLICY.json", "write the policy, for calmoe run --policy"},
    {"delta", 'd', CLI_TEXT, AT(deltas), 0, 0, "D[,D...]",
     "bounds to prove, 1% or 0.01; default: 0.1%,0.5%,1%,2%,5%,10%"},
    {"epsilon", 'e', CLI_TEXT, AT(epsilon), 0, 0, "E", "each bound may be wrong with this chance; default: 0.05"},
    {"loss", 0, CLI_TEXT, AT(loss), 0, 0, "LOSS",
     "token_disagreement (default), total_variation, rouge_l, exact_match"},
    {"p-value", 0, CLI_TEXT, AT(p_value), 0, 0, "TEST", "wsr (default), hoeffding_bentkus, binomial (of exact_match)"},
    {"prompts", 'n', CLI_INT, AT(prompts), 0, MAX_PROMPTS, "N", "at most N prompts, 0 = all; default: 2000"},
    {"prompt-tokens", 'p', CLI_INT, AT(prompt_tokens), 1, 1 << 20, "N",
     "texts are cut into prompts of N tokens; default: 64"},
    {"answer-tokens", 'a', CLI_INT, AT(answer_tokens), 2, 4096, "N", "answers are cut after N tokens; default: 64"},
    {"first", 0, CLI_TEXT, AT(first), 0, 0, "SHARE",
     "of the prompts that policies are made on; the others prove; default: 0.3"},
    {"seed", 's', CLI_SEED, AT(seed), 0, 0, "N", "of the deal to the two parts; default: 1"},
    {"measures", 0, CLI_TEXT, AT(measures), 0, 0, "M[,M...]",
     "of confidence: softmax, lead, state, shortlist, classifier, always; none; default: all that can run, but always"},
    {"max-exits", 0, CLI_INT, AT(max_exits), 1, 3, "N", "exits of a policy at most; default: 2"},
    {"no-width", 0, CLI_FLAG, AT(no_width), 0, 0, NULL, "all experts: early exits only"},
    {"no-tails", 0, CLI_FLAG, AT(no_tails), 0, 0, NULL, "no thin tails after exits"},
    {"most", 0, CLI_INT, AT(most), 1, 1000, "N", "search among at most N policies; default: 240"},
    {"costs", 0, CLI_CHOICE, AT(costs), 0, 0, "time|bytes",
     "policies are sought by time measured here (default), or by bytes of weights read: the same each time"},
    {"batch", 'b', CLI_INT, AT(batch), 1, 32, "N", "costs are those of steps of N sessions; default: 1"},
    {"rivals", 0, CLI_FLAG, AT(rivals), 0, 0, NULL,
     "prove also the best early exits alone, fewer experts alone, and static ones, for comparison"},
    {"splits", 0, CLI_INT, AT(splits), 0, 1000000, "N",
     "check the bounds on N random divisions of the prompts that prove; default: 0"},
    {"exits", 0, CLI_INPUT, AT(exits), 0, 0, "FILE", "fitted exits, for the measure 'classifier'"},
    {"threads", 't', CLI_INT, AT(threads), 0, MAX_THREADS, "N", "threads, 0 = every core that can be had (default)"},
    {"plan", 0, CLI_INPUT, AT(plan), 0, 0, "FILE", "placement plan (default: all on one node)"},
    {"resident", 0, CLI_FLAG, AT(resident), 0, 0, NULL,
     "with a --plan that leaves experts on disk: try also to take others instead; then proven for this plan alone"},
    MEMORY_REQUEST_ROWS(AT_MEMORY),
    {"isa", 0, CLI_TEXT, AT(isa), 0, 0, "LEVEL", "instruction set, as of calmoe run"},
    {"json", 0, CLI_FLAG, AT(json), 0, 0, NULL, "print one JSON object instead of tables"},
};

static const struct cli_command description = {
    .name         = "calmoe calibrate",
    .summary      = "Finds which layers and experts may be left out under a bound, and proves it on your texts.",
    .operands     = "[FILE]...",
    .max_operands = CLI_LIST_MAX,
    .options      = options,
    .n_options    = sizeof options / sizeof options[0],
    .notes        = "Lines of FILE.jsonl are {\"text\": …}, a document, or {\"prompt\": …}, or {\"prompt\": …,\n"
                    "\"answer\": …} with a reference: then what is bounded is what shortening adds to the loss\n"
                    "against references.\n"
                    "What cannot be proven is left out and the reason told; exit status 1 and no file where nothing\n"
                    "is proven at all. docs/SPARSITY.md tells the method.\n\n"
                    "Example:\n"
                    "  calmoe calibrate -f war.txt hash.c --delta 1%,5% -o policy.json\n"
                    "  calmoe run --policy policy.json --quality 1% -p \"Once upon a time\"\n",
};

/* ---- the command line ---- */

struct request {
    double deltas[CALMOE_MAX_DELTAS];
    int    n_deltas;
    double epsilon, first;
};

/* Reads "1%" or "0.01"; *end points behind it. */
static bool read_share(const char *text, char **end, double *out)
{
    *out = strtod(text, end);
    if (*end == text) return false;
    if (**end == '%') {
        *out /= 100.0;
        ++*end;
    }
    return *out > 0.0 && *out < 1.0;
}

static bool read_deltas(const char *text, struct request *request)
{
    char *end = NULL;
    for (;; text = end + 1) {
        double delta;
        if (request->n_deltas == CALMOE_MAX_DELTAS || !read_share(text, &end, &delta)) return false;
        if (request->n_deltas > 0 && delta <= request->deltas[request->n_deltas - 1]) return false;
        request->deltas[request->n_deltas++] = delta;
        if (*end != ',') return *end == '\0';
    }
}

static int read_request(const struct settings *settings, int n_operands, struct request *request)
{
    char *end = NULL;
    if (settings->files.n + n_operands == 0)
        return cm_usage_error(description.name, "wanted texts, -f FILE; found none");
    if (settings->deltas != NULL && !read_deltas(settings->deltas, request))
        return cm_usage_error(description.name, "option '--delta' wants ascending shares such as 0.5%%,1%%, found '%s'",
                              settings->deltas);
    if (settings->epsilon != NULL && (!read_share(settings->epsilon, &end, &request->epsilon) || *end != '\0'))
        return cm_usage_error(description.name, "option '--epsilon' wants a share such as 5%% or 0.05, found '%s'",
                              settings->epsilon);
    if (settings->first != NULL && (!read_share(settings->first, &end, &request->first) || *end != '\0'))
        return cm_usage_error(description.name, "option '--first' wants a share such as 0.3, found '%s'",
                              settings->first);
    if (settings->resident && settings->plan == NULL)
        return cm_usage_error(description.name, "option '--resident' wants a --plan, found none");
    if (!cm_memory_request_is_fine(description.name, &settings->memory, settings->plan)) return EXIT_WRONG_USAGE;
    return CLI_GO_ON;
}

/* ---- the work ---- */

static bool gather(struct front *front, const struct settings *settings, char **operands, int n_operands,
                   struct prompt_set *set)
{
    calmoe_engine_options engine;
    calmoe_engine_options_init(&engine);
    engine.fixed_threads = 1; /* since the costs of parts of a step are measured */
    engine.n_threads = settings->threads;
    engine.isa       = settings->isa;
    engine.plan      = settings->plan;
    engine.exits     = settings->exits;
    cm_memory_request_set(&settings->memory, &engine);
    bool is_fine     = cm_front_open_model(front, settings->model, false);
    for (int i = 0; i < settings->files.n && is_fine; i++) is_fine = cm_prompt_set_add(set, settings->files.values[i]);
    for (int i = 0; i < n_operands && is_fine; i++) is_fine = cm_prompt_set_add(set, operands[i]);
    return is_fine && cm_prompt_set_choose(set, settings->prompts) && cm_front_open_engine(front, &engine);
}

static bool calibrate(struct front *front, const struct settings *settings, const struct request *request,
                      const struct prompt_set *set, calmoe_calibration **calibration)
{
    struct progress_bar      bar;
    calmoe_calibrate_options wish;
    calmoe_calibrate_options_init(&wish);
    if (settings->loss != NULL) wish.loss = settings->loss;
    wish.p_value       = settings->p_value;
    wish.epsilon       = request->epsilon;
    wish.deltas        = request->n_deltas > 0 ? request->deltas : NULL;
    wish.n_deltas      = request->n_deltas;
    wish.first_share   = request->first;
    wish.seed          = settings->seed;
    wish.answer_tokens = settings->answer_tokens;
    wish.costs         = settings->costs;
    wish.batch         = settings->batch;
    wish.measures      = settings->measures;
    if (settings->measures != NULL && strcmp(settings->measures, "none") == 0) wish.measures = "";
    wish.max_exits     = settings->max_exits;
    wish.width         = !settings->no_width;
    wish.tails         = !settings->no_tails;
    wish.most          = settings->most;
    wish.rivals        = settings->rivals;
    wish.resident      = settings->resident;
    wish.n_splits      = settings->splits;
    wish.progress      = cm_bar_move;
    wish.progress_user = &bar;
    cm_catch_interrupt();
    cm_bar_begin(&bar, "calibrating");
    const calmoe_status status = calmoe_calibrate(front->engine, set->prompts, set->n_prompts, &wish, calibration);
    cm_bar_end(&bar);
    return cm_front_succeeded(front, status);
}

/* Writes the policy file if anything is proven; *n_rungs is the number of proven rungs. */
static bool save(const struct front *front, const calmoe_calibration *calibration, const char *path, int *n_rungs)
{
    calmoe_policy *policy = NULL;
    bool is_fine = cm_front_succeeded(front, calmoe_calibration_get_policy(calibration, &policy));
    *n_rungs     = calmoe_policy_n_rungs(policy);
    if (is_fine && path != NULL && *n_rungs > 0) is_fine = cm_front_succeeded(front, calmoe_policy_save(policy, path));
    calmoe_policy_close(&policy);
    return is_fine;
}

/* ---- reports ---- */

/* By what policies were compared, in words. */
static const struct cost_words {
    const char *unit, *column, *mean;
} cost_words[] = {[CALMOE_COSTS_TIME] = {"microseconds", "time", "mean_time"},
                  [CALMOE_COSTS_BYTES] = {"kilobytes", "bytes", "mean_bytes"}};

struct told {
    calmoe_calibration_info info;
    calmoe_finding          finding;
    calmoe_split_finding    split;
    calmoe_finding          rivals[CALMOE_N_RIVALS];
    bool                    has_splits, has_rivals, has_reads;
    const struct cost_words *words;
};

static const char *const rival_names[CALMOE_N_RIVALS] = {"depth", "width", "static"};

static bool look(const struct front *front, const calmoe_calibration *calibration, int delta, struct told *told)
{
    told->finding.size = sizeof told->finding;
    told->split.size   = sizeof told->split;
    for (int kind = 0; kind < CALMOE_N_RIVALS && told->has_rivals; kind++) {
        told->rivals[kind].size = sizeof told->rivals[kind];
        if (!cm_front_succeeded(front, calmoe_calibration_get_rival(calibration, kind, delta, &told->rivals[kind])))
            return false;
    }
    return cm_front_succeeded(front, calmoe_calibration_get_finding(calibration, delta, &told->finding)) &&
           (!told->has_splits ||
            cm_front_succeeded(front, calmoe_calibration_get_splits(calibration, delta, &told->split)));
}

static void print_head(const struct told *told)
{
    const calmoe_calibration_info *info = &told->info;
    printf("%d prompts to find policies, %d to prove them; answers of %.1f tokens; %d policies tried\n",
           info->n_prompts[0], info->n_prompts[1], info->mean_answer, info->n_policies);
    printf("%s a token: whole %.4g; a layer %.4g + %.3g an expert, skipped %.3g; vocabulary %.4g\n",
           told->words->unit, info->step, info->layer, info->expert, info->fill, info->head);
    if (told->has_reads)
        printf("of its experts %.2f are on disk, %.3g %s each; reads: how many a policy leaves of them\n", info->reads,
               info->read, told->words->unit);
    if (info->oracle_layers > 0.0)
        printf("layers a token if each left where it first agrees: %.2f\n", info->oracle_layers);
    printf("\n%7s  %-6s  %9s  %8s  %6s  %8s  %7s  %s%s\n", "delta", "", "mean loss", "p", told->words->column,
           "layers", "experts", told->has_reads ? "  reads  " : "", "policy");
}

static void print_finding(const struct told *told, const calmoe_finding *finding, const char *kind)
{
    char loss[32] = "-", others[48] = "", reads[32] = "";
    if (told->has_reads) snprintf(reads, sizeof reads, "%7.2f  ", finding->mean_reads);
    if (finding->n_members > 1) snprintf(others, sizeof others, " (and %d more)", finding->n_members - 1);
    if (finding->n_tried > 0) snprintf(loss, sizeof loss, "%.3f%%", 100 * finding->mean_loss);
    printf("%6g%%  %-6s  %9s  %8.2g  %5.1f%%  %8.2f  %7.2f  %s%s%s%s\n", 100 * finding->delta,
           finding->is_proven ? "proven" : "OFF", loss, finding->p, 100 * finding->cost, finding->mean_layers,
           finding->mean_experts, reads, kind, finding->is_proven ? finding->policy : "-", others);
}

static void print_findings(const struct told *told)
{
    print_finding(told, &told->finding, "");
    for (int kind = 0; kind < CALMOE_N_RIVALS && told->has_rivals; kind++) {
        char name[16];
        snprintf(name, sizeof name, "%s: ", rival_names[kind]);
        print_finding(told, &told->rivals[kind], name);
    }
}

static void print_split(const struct told *told)
{
    const calmoe_split_finding *split = &told->split;
    printf("%6g%%  proven in %d of %d; ", 100 * told->finding.delta, split->n_proven, split->n_splits);
    if (split->n_proven > 0)
        printf("mean risk %.2f of delta, above delta in %.2f%% of all; ", split->mean_risk / told->finding.delta,
               100.0 * split->n_violated / split->n_splits);
    printf("mean %s %.1f%%\n", told->words->column, 100 * split->mean_cost);
}

static bool print(const struct front *front, const calmoe_calibration *calibration, struct told *told)
{
    print_head(told);
    for (int i = 0; i < told->info.n_deltas; i++) {
        if (!look(front, calibration, i, told)) return false;
        print_findings(told);
    }
    for (int i = 0; i < told->info.n_deltas && look(front, calibration, i, told); i++)
        if (!told->finding.is_proven) printf("\n%g%%: %s\n", 100 * told->finding.delta, told->finding.sentence);
    if (told->has_splits) printf("\nrandom divisions of the prompts that prove, one half proving, one checking:\n");
    for (int i = 0; i < told->info.n_deltas && told->has_splits && look(front, calibration, i, told); i++)
        print_split(told);
    return true;
}

static void add_figures(struct json_output *json, struct json_node *row, const struct told *told,
                        const calmoe_finding *finding)
{
    cm_json_text(json, row, "answer", finding->is_proven ? "proven" : "off");
    cm_json_text(json, row, "sentence", finding->sentence);
    cm_json_text(json, row, "policy", finding->policy);
    cm_json_real(json, row, "p", finding->p);
    if (finding->n_tried > 0) cm_json_real(json, row, "mean_loss", finding->mean_loss);
    else cm_json_null(json, row, "mean_loss");
    cm_json_integer(json, row, "prompts", (uint64_t)finding->n_prompts);
    cm_json_integer(json, row, "prompts_needed", (uint64_t)finding->n_needed);
    cm_json_integer(json, row, "tried", (uint64_t)finding->n_tried);
    cm_json_integer(json, row, "members", (uint64_t)finding->n_members);
    cm_json_real(json, row, told->words->column, finding->cost);
    cm_json_real(json, row, "layers", finding->mean_layers);
    cm_json_real(json, row, "experts", finding->mean_experts);
    if (told->has_reads) cm_json_real(json, row, "reads", finding->mean_reads);
}

static void add_finding(struct json_output *json, struct json_node *rows, const struct told *told)
{
    struct json_node *row = cm_json_object(json, rows, NULL);
    cm_json_real(json, row, "delta", told->finding.delta);
    add_figures(json, row, told, &told->finding);
    for (int kind = 0; kind < CALMOE_N_RIVALS && told->has_rivals; kind++)
        add_figures(json, cm_json_object(json, row, rival_names[kind]), told, &told->rivals[kind]);
    if (!told->has_splits) return;
    const calmoe_split_finding *split = &told->split;
    struct json_node           *part  = cm_json_object(json, row, "splits");
    cm_json_integer(json, part, "splits", (uint64_t)split->n_splits);
    cm_json_integer(json, part, "proven", (uint64_t)split->n_proven);
    cm_json_integer(json, part, "violated", (uint64_t)split->n_violated);
    if (split->n_proven > 0) cm_json_real(json, part, "mean_risk", split->mean_risk);
    else cm_json_null(json, part, "mean_risk");
    cm_json_real(json, part, told->words->mean, split->mean_cost);
}

static bool print_json(const struct front *front, const calmoe_calibration *calibration, struct told *told)
{
    const calmoe_calibration_info *info = &told->info;
    struct json_output             json;
    bool                           is_fine = true;
    cm_json_open_object(&json);
    struct json_node *prompts = cm_json_array(&json, json.root, "prompts");
    cm_json_integer(&json, prompts, NULL, (uint64_t)info->n_prompts[0]);
    cm_json_integer(&json, prompts, NULL, (uint64_t)info->n_prompts[1]);
    cm_json_text(&json, json.root, "prompts_hash", info->prompts);
    cm_json_real(&json, json.root, "mean_answer", info->mean_answer);
    cm_json_integer(&json, json.root, "policies", (uint64_t)info->n_policies);
    struct json_node *costs = cm_json_object(&json, json.root, told->words->unit);
    cm_json_real(&json, costs, "token", info->step);
    cm_json_real(&json, costs, "layer", info->layer);
    cm_json_real(&json, costs, "expert", info->expert);
    cm_json_real(&json, costs, "fill", info->fill);
    cm_json_real(&json, costs, "head", info->head);
    if (told->has_reads) {
        cm_json_real(&json, costs, "read", info->read);
        cm_json_real(&json, json.root, "reads", info->reads);
    }
    cm_json_real(&json, json.root, "oracle_layers", info->oracle_layers);
    struct json_node *rows = cm_json_array(&json, json.root, "findings");
    for (int i = 0; i < info->n_deltas && is_fine; i++) {
        is_fine = look(front, calibration, i, told);
        if (is_fine) add_finding(&json, rows, told);
    }
    is_fine = is_fine && cm_json_write(&json, false);
    cm_json_close(&json);
    return is_fine;
}

static bool tell(const struct front *front, const struct settings *settings, const calmoe_calibration *calibration)
{
    struct told told = {.has_splits = settings->splits > 0, .has_rivals = settings->rivals,
                        .has_reads = settings->resident,
                        .words = &cost_words[settings->costs]};
    told.info.size   = sizeof told.info;
    if (!cm_front_succeeded(front, calmoe_calibration_get_info(calibration, &told.info))) return false;
    return settings->json ? print_json(front, calibration, &told) : print(front, calibration, &told);
}

static int run(int argc, char **argv)
{
    struct settings     settings = {.prompts = DEFAULT_PROMPTS, .prompt_tokens = DEFAULT_CUT,
                                    .answer_tokens = DEFAULT_ANSWER, .max_exits = 2, .most = 240, .batch = 1,
                                    .seed = 1};
    struct request      request     = {.epsilon = 0.05, .first = 0.3};
    struct front        front       = {0};
    calmoe_calibration *calibration = NULL;
    int                 n_operands, n_rungs = 0;
    int status = cm_cli_parse(&description, argc, argv, &settings, &n_operands);
    if (status == CLI_GO_ON) status = cm_cli_keep_operands(&description, &settings, argv + 1, n_operands);
    if (status == CLI_GO_ON) status = read_request(&settings, n_operands, &request);
    if (status != CLI_GO_ON) return status;
    struct prompt_set set = {.front = &front, .n_cut = settings.prompt_tokens};
    const bool is_fine = cm_can_write(settings.output) && gather(&front, &settings, argv + 1, n_operands, &set) &&
                         calibrate(&front, &settings, &request, &set, &calibration) &&
                         tell(&front, &settings, calibration) && save(&front, calibration, settings.output, &n_rungs);
    if (is_fine && n_rungs == 0)
        cm_say("nothing is proven%s", settings.output != NULL ? ", and no policy was written: every token is run whole"
                                                              : ": every token is run whole");
    calmoe_calibration_close(&calibration);
    cm_prompt_set_close(&set);
    cm_front_close(&front);
    return is_fine && n_rungs > 0 ? 0 : 1;
}

const struct command cm_command_calibrate = {
    .name    = "calibrate",
    .summary = "prove what may be left out under a bound",
    .run     = run,
};
