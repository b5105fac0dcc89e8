/* bench/calmoe_bench.c - the program `calmoe-bench`: measures how many tokens a second a model reads and generates
 * here, and what share of the machine's limits that is. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/policy_bench.h"
#include "bench/serve_bench.h"

enum { MAX_ISA_BYTES = 32 };

struct settings {
    const char *model, *synthetic, *save, *prompts, *answers, *batches, *depths, *threads, *isa, *output, *routing;
    const char *plan, *serve;
    int         n_repeats, kv, limits, n_slices, fixed_threads, pin, no_tune, whole_experts;
    struct cli_list       texts, loras;
    struct policy_request policy;
    struct model_request  numbers;
    struct memory_request memory;
};

#define AT(member) offsetof(struct settings, member)
#define AT_NUMBER(member) offsetof(struct settings, numbers.member)
#define AT_MEMORY(member) offsetof(struct settings, memory.member)
static const struct cli_option options[] = {
    {"model", 'm', CLI_INPUT, AT(model), 0, 0, "MODEL", "GGUF file (default: the embedded model)"},
    {"synthetic", 0, CLI_TEXT, AT(synthetic), 0, 0, "SHAPE:TYPE",
     "a model of random weights instead, of a shape's name or file and a weight type"},
    {"save", 0, CLI_OUTPUT, AT(save), 0, 0, "FILE", "keep the synthetic model in FILE"},
    {"prompt", 'p', CLI_TEXT, AT(prompts), 0, 0, "N",
     "read a prompt of N tokens, 0 = do not (default 512; with a policy 64)"},
    {"tokens", 'n', CLI_TEXT, AT(answers), 0, 0, "N", "generate N tokens, 0 = do not (default 128)"},
    {"batch", 'b', CLI_TEXT, AT(batches), 0, 0, "N", "sessions that generate together (default 1)"},
    {"depth", 'd', CLI_TEXT, AT(depths), 0, 0, "N", "positions that are in the context before (default 0)"},
    {"repeats", 'r', CLI_INT, AT(n_repeats), 1, BENCH_MAX_REPEATS, "N", "repetitions after one warm-up (default 5)"},
    {"threads", 't', CLI_TEXT, AT(threads), 0, 0, "N", "threads, 0 = every core that can be had (default)"},
    {"fixed-threads", 0, CLI_FLAG, AT(fixed_threads), 0, 0, NULL,
     "every step on all of them; else fewer, for as long as that is quicker on a busy machine"},
    PIN_ROW(AT(pin)),
    {"no-tune", 0, CLI_FLAG, AT(no_tune), 0, 0, NULL,
     "do not measure which settings of kernels are quickest here, or look up what was measured"},
    {"isa", 0, CLI_TEXT, AT(isa), 0, 0, "LEVEL",
     "instruction set: ref; avx2, avxvnni, avx512vnni, amx; neon, neondot (default: the best here)"},
    {"kv", 0, CLI_CHOICE, AT(kv), 0, 0, "f16|f32", "type of keys and values (default f16)"},
    {"rank-experts", 0, CLI_CHOICE, AT(whole_experts), 0, 0, "cut|whole",
     "under mpirun, each expert by rows over ranks (default), or whole on one of them"},
    {"routing", 0, CLI_TEXT, AT(routing), 0, 0, "HOW", "router (default); trace: replay the trace in FILE"},
    {"policy", 0, CLI_INPUT, AT(policy.file), 0, 0, "FILE",
     "measure what this file of proven bounds gains against OFF"},
    {"quality", 0, CLI_TEXT, AT(policy.quality), 0, 0, "DELTA",
     "risk that may be, 1%: of the policy its boldest rung up to that (default: its safest)"},
    {"costs", 0, CLI_INPUT, AT(policy.costs), 0, 0, "time|bytes|FILE",
     "of several policies proven for a bound take the cheapest by time here (default), bytes, or a costs file"},
    {"exit", 0, CLI_TEXT, AT(policy.exit), 0, 0, "RULE", "measure early exits against OFF, softmax:0.9@5"},
    {"kv-fill", 0, CLI_TEXT, AT(policy.kv_fill), 0, 0, "HOW",
     "with --exit, keys and values of skipped layers: propagate (default), lazy, catch_up"},
    {"width", 0, CLI_TEXT, AT(policy.width), 0, 0, "RULE",
     "measure fewer experts against OFF, fixed:2, ratio:0.3 or top_p:0.8; or resident:0.5, as of calmoe run"},
    {"lossless", 0, CLI_FLAG, AT(policy.lossless), 0, 0, NULL,
     "measure drafts that are verified (of --exit, --policy, or chosen) against OFF: the same tokens"},
    {"draft-model", 0, CLI_INPUT, AT(policy.draft_model), 0, 0, "FILE",
     "with --lossless, a smaller model of the same vocabulary drafts, too"},
    {"exits", 0, CLI_INPUT, AT(policy.exits), 0, 0, "FILE", "exits fitted to the model, for --exit classifier"},
    {"lora", 0, CLI_INPUTS, AT(loras), 0, 0, "ADAPTER[:SCALE]",
     "all sessions use an adapter, a GGUF file or a folder by PEFT (as of calmoe run); may be repeated"},
    MODEL_REQUEST_ROWS(AT_NUMBER),
    MEMORY_REQUEST_ROWS(AT_MEMORY),
    {"text", 'f', CLI_INPUTS, AT(texts), 0, 0, "FILE",
     "text that a policy's prompts are cut of; -f again for more (default: of the model's own writing)"},
    {"plan", 0, CLI_INPUT, AT(plan), 0, 0, "FILE", "placement plan (default: all on one node)"},
    {"counting", 0, CLI_INT, AT(n_slices), 0, BENCH_MAX_SLICES, "N",
     "count the use of experts, and measure what counting costs in N repetitions with and without"},
    {"serve", 0, CLI_TEXT, AT(serve), 0, 0, "URL",
     "measure a server instead: -b clients at once, each with -r prompts of -p tokens and answers of -n"},
    {"limits", 0, CLI_FLAG, AT(limits), 0, 0, NULL, "print the machine's limits and end"},
    {"output", 'o', CLI_TEXT, AT(output), 0, 0, "FORMAT", "md (default), csv, json, jsonl"},
};

static const struct cli_command description = {
    .name         = "calmoe-bench",
    .summary      = "Measures a model's speed: tests ppN (reading a prompt) and tgN (generating), in tokens/s.",
    .operands     = "[FILE]",
    .max_operands = 1,
    .options      = options,
    .n_options    = sizeof options / sizeof options[0],
    .notes        =
        "-p, -n, -b, -d, -t, --isa and --synthetic take lists with commas; every combination is a row.\n\n"
        "Each repetition begins with the same context, empty or with -d positions, and takes random tokens of\n"
        "a fixed seed, others for each session; with real text routing is less even. Reported are the median, the\n"
        "slowest and the fastest repetition. tg counts the tokens of all sessions of the batch, and computes\n"
        "every token's logits.\n\n"
        "bandwidth: bytes that steps read in a second (packed weights, an expert only where a token takes it,\n"
        "each once in a step; keys and values), as a share of the streaming read that was measured right before\n"
        "and after each repetition, since it drifts on shared machines. peak: operations of the matrices, as a\n"
        "share of the instruction set's fastest int8 (quantized types) or float loop. waiting: the mean share of a\n"
        "step that a thread waits for others. imbalance: the busiest thread's time in the experts' phases by the\n"
        "mean. touched: experts of a layer that a step reads. ~: the repetitions differ by more than 10 % of the\n"
        "median.\n\n"
        "With --lora every session of every test uses the adapters (+lora in the test's name); bandwidth and peak\n"
        "count the model's own weights. With --lossless both sides use them.\n\n"
        "With --policy, --quality, --exit, --width or --lossless (as of calmoe run) answers to the same -p tokens are\n"
        "generated in full (OFF) and by the policy in turns, each repetition to other prompts. layers, experts\n"
        "(over all layers), MB: of a token, by the policy; of: MB by OFF. agreement: tokens that are OFF's where\n"
        "OFF's were read before them; same tokens: up to the first that differs when each reads its own. Then\n"
        "where the time goes: checks: exits that are asked; fill: keys and values of skipped layers.\n\n"
        "Under mpirun all processes run the model together; with md and json, exchanges: how often a token's step\n"
        "waits for other ranks, and for how long. calmoe place --ranks predicts them.\n\n"
        "--counting: repetitions with all counting (times, waiting, profile) and with none, in the order ABBA,\n"
        "four to a group; reported is the median over groups of the time with, by the time without, - 1.\n\n"
        "--serve: time to the first token and between tokens as clients see them, medians and 99th percentiles, and\n"
        "tokens/s of all clients. Any server will do that has OpenAI's completions and streams; the environment's\n"
        "OPENAI_API_KEY is its key. Prompts are other words each time, about -p tokens; the server's count is told.\n\n"
        "Shapes are files in share/calmoe/shapes, or in the folder of the environment variable CALMOE_SHAPES.\n"
        "A synthetic model is written into TMPDIR, or /tmp, and removed again.\n\n"
        "Examples:\n  calmoe-bench -m model.gguf -p 512 -n 128 -t 8 -o md\n"
        "  calmoe-bench --synthetic a1b:q4_0,a1b:q8_0 -b 1,8\n"
        "  calmoe-bench --synthetic a1b:q4_0 --routing trace recorded.trace\n"
        "  calmoe-bench --exit softmax:0.9@5 -f book.txt -n 64 -b 1,8\n",
};

struct bench {
    struct settings            settings;
    struct bench_plan          plan;
    struct bench_ints          threads;
    int                        n_isas;
    char                       isas[BENCH_MAX_LIST][MAX_ISA_BYTES]; /* "" = the best one       */
    int                        n_synthetics;
    struct bench_synthetic    *synthetics; /* (n_synthetics)                                   */
    const struct bench_format *format;
    const char                *trace;      /* NULL = the router's own choices                  */
    struct bench_replay       *replay;
    calmoe_machine            *machines;   /* (threads.n)                                      */
    int                        n_models;
    struct bench_model       **models;     /* (n_models) to which rows refer                   */
    int                        n_rows;
    struct bench_row          *rows;       /* (n_rows)                                         */
    const struct policy_format *policy_format;
    struct adapters            adapters;   /* of the present engine                            */
    calmoe_policy             *policy;     /* of the present model; NULL = none is requested   */
    double                     quality;
    int                        n_policy_rows;
    struct policy_row         *policy_rows; /* (n_policy_rows)                                 */
};

static bool wants_policy(const struct bench *bench)
{
    return cm_policy_request_any(&bench->settings.policy);
}

/* ---- the command line ---- */

static bool read_isas(const char *text, struct bench *bench)
{
    for (const char *at = text;; at++) {
        const size_t n = strcspn(at, ",");
        if (bench->n_isas == BENCH_MAX_LIST || (n == 0 && text[0] != '\0') || n >= MAX_ISA_BYTES) {
            (void)cm_usage_error(description.name, "option '--isa' wants names with commas between, found '%s'", text);
            return false;
        }
        memcpy(bench->isas[bench->n_isas++], at, n);
        at += n;
        if (*at == '\0') return true;
    }
}

static bool read_lists(struct bench *bench)
{
    const struct settings *s = &bench->settings;
    const char            *prompts = s->prompts != NULL ? s->prompts : wants_policy(bench) ? "64" : "512";
    const struct {
        const char        *option, *text;
        int                min, max;
        struct bench_ints *out;
    } lists[] = {{"-p", prompts, 0, 1 << 24, &bench->plan.prompts},
                 {"-n", s->answers, 0, 1 << 24, &bench->plan.answers},
                 {"-b", s->batches, 1, BENCH_MAX_BATCH, &bench->plan.batches},
                 {"-d", s->depths, 0, 1 << 24, &bench->plan.depths},
                 {"-t", s->threads, 0, 4096, &bench->threads}};
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++)
        if (!cm_bench_read_ints(description.name, lists[i].option, lists[i].text, lists[i].min, lists[i].max,
                                lists[i].out))
            return false;
    return read_isas(s->isa, bench);
}

static bool has_test(const struct bench_plan *plan)
{
    struct bench_test test;
    for (int i = 0; cm_bench_test_at(plan, i, &test); i++)
        if (test.n_tokens > 0) return true;
    return false;
}

/* With --serve, options about the model are refused: the server decides what it runs. */
static int check_serve(const struct bench *bench)
{
    const struct settings *s = &bench->settings;
    if (s->model != NULL || s->synthetic != NULL || wants_policy(bench) || s->n_slices > 0 || s->limits ||
        s->loras.n > 0)
        return cm_usage_error(description.name, "option '--serve' goes with -p, -n, -b, -r and -o only");
    for (int i = 0; i < bench->plan.prompts.n; i++)
        if (bench->plan.prompts.values[i] == 0)
            return cm_usage_error(description.name, "option '-p' wants lengths above 0 with --serve");
    for (int i = 0; i < bench->plan.answers.n; i++)
        if (bench->plan.answers.values[i] == 0)
            return cm_usage_error(description.name, "option '-n' wants lengths above 0 with --serve");
    return CLI_GO_ON;
}

/* Refuses options that are only for policies, or not for them. */
static int check_policy(const struct bench *bench)
{
    const struct settings *s = &bench->settings;
    const char            *name = description.name;
    if (!wants_policy(bench))
        return s->texts.n == 0 ? CLI_GO_ON : cm_usage_error(name, "option '-f' wants --policy, --quality, --exit, "
                                                                  "--width or --lossless, found none");
    if (bench->trace != NULL) return cm_usage_error(name, "'--routing trace' does not go with a policy");
    if (s->loras.n > 0 && !s->policy.lossless)
        return cm_usage_error(name, "option '--lora' goes with --lossless, and with no other policy: those were made "
                                    "for the model as it is");
    if (bench->plan.depths.n != 1 || bench->plan.depths.values[0] != 0)
        return cm_usage_error(name, "option '-d' does not go with a policy; -p is the context");
    if (bench->plan.prompts.n != 1 || bench->plan.prompts.values[0] == 0)
        return cm_usage_error(name, "option '-p' wants one length above 0 with a policy, found '%s'", s->prompts);
    for (int i = 0; i < bench->plan.answers.n; i++)
        if (bench->plan.answers.values[i] == 0)
            return cm_usage_error(name, "option '-n' wants lengths above 0 with a policy, found '%s'", s->answers);
    if (s->policy.lossless && (bench->plan.batches.n != 1 || bench->plan.batches.values[0] != 1))
        return cm_usage_error(name, "option '-b' wants 1 with --lossless, which is of one sequence");
    return cm_policy_request_check(name, &s->policy, NULL);
}

/* CLI_GO_ON, or the exit status. */
static int check(struct bench *bench, int n_operands, char **operands)
{
    const struct settings *s = &bench->settings;
    const char *name = description.name;
    const bool  is_replay = strcmp(s->routing, "trace") == 0;
    if (!is_replay && strcmp(s->routing, "router") != 0)
        return cm_usage_error(name, "option '--routing' wants router or trace, found '%s'", s->routing);
    if (n_operands != (is_replay ? 1 : 0))
        return is_replay ? cm_usage_error(name, "'--routing trace' wants a FILE, found none")
                         : cm_usage_error(name, "unexpected argument '%s'; wanted options only", operands[1]);
    bench->trace = is_replay ? operands[1] : NULL;
    bench->format = cm_bench_format(s->output);
    if (bench->format == NULL)
        return cm_usage_error(name, "option '-o' wants one of %s, found '%s'", cm_bench_format_names(), s->output);
    if (s->synthetic != NULL && s->model != NULL)
        return cm_usage_error(name, "wanted -m or --synthetic, found both");
    if (s->save != NULL && (s->synthetic == NULL || strchr(s->synthetic, ',') != NULL))
        return cm_usage_error(name, "option '--save' wants one synthetic model, found %s",
                              s->synthetic == NULL ? "none" : "a list");
    if (!read_lists(bench)) return EXIT_WRONG_USAGE;
    if (!has_test(&bench->plan) && !s->limits)
        return cm_usage_error(name, "wanted a test, found 0 for both -p and -n");
    if (calmoe_ranks_launched() > 1 && (bench->n_isas * bench->threads.n > 1 ||
                                        (s->synthetic != NULL && strchr(s->synthetic, ',') != NULL)))
        return cm_usage_error(name, "several ranks measure one model, one --isa and one -t; found a list");
    if (!cm_memory_request_is_fine(name, &s->memory, s->plan)) return EXIT_WRONG_USAGE;
    if (s->n_slices > 0 && wants_policy(bench))
        return cm_usage_error(name, "option '--counting' does not go with a policy");
    bench->policy_format = cm_policy_format(s->output);
    if (s->serve != NULL) return check_serve(bench);
    return check_policy(bench);
}

/* Reads all synthetic models, and checks that they can be made, before anything is measured. */
static bool read_synthetics(struct bench *bench, const struct front *front)
{
    if (bench->settings.synthetic == NULL) return true;
    bench->synthetics = calloc(BENCH_MAX_LIST, sizeof *bench->synthetics);
    if (bench->synthetics == NULL) return false;
    for (const char *at = bench->settings.synthetic;; at++) {
        const size_t n = strcspn(at, ",");
        if (bench->n_synthetics == BENCH_MAX_LIST) {
            cm_say("more than %d synthetic models", BENCH_MAX_LIST);
            return false;
        }
        struct bench_synthetic *synthetic = &bench->synthetics[bench->n_synthetics++];
        uint64_t                n_bytes;
        if (!cm_bench_read_synthetic(at, n, synthetic) ||
            !cm_front_succeeded(front, calmoe_synthetic_bytes(front->context, &synthetic->options, &n_bytes)))
            return false;
        at += n;
        if (*at == '\0') return true;
    }
}

/* ---- the work ---- */

static bool measure_machines(struct bench *bench, const struct front *front)
{
    bench->machines = calloc((size_t)bench->threads.n, sizeof *bench->machines);
    if (bench->machines == NULL) return false;
    for (int i = 0; i < bench->threads.n; i++) {
        calmoe_machine_options machine;
        calmoe_machine_options_init(&machine);
        machine.n_threads = bench->threads.values[i];
        bench->machines[i].size = sizeof bench->machines[i];
        if (!cm_front_succeeded(front, calmoe_machine_measure(front->context, &machine, &bench->machines[i])))
            return false;
    }
    return true;
}

/* Runs every test that the engine of *front can do; each gives a row. */
static bool measure_tests(struct bench *bench, const struct front *front, const struct bench_row *common)
{
    struct bench_test test;
    for (int i = 0; cm_bench_test_at(&bench->plan, i, &test); i++) {
        if (test.n_tokens == 0) continue;
        struct bench_row *rows = realloc(bench->rows, (size_t)(bench->n_rows + 1) * sizeof *rows);
        if (rows == NULL) return false;
        bench->rows = rows;
        rows[bench->n_rows] = *common;
        if (!cm_bench_measure(front, &bench->plan, &test, bench->replay, &rows[bench->n_rows])) return false;
        if (bench->n_rows == 0 && bench->format->begin != NULL &&
            !bench->format->begin(bench->machines, bench->threads.n))
            return false;
        if (!bench->format->row(&rows[bench->n_rows++])) return false;
    }
    return true;
}

static int largest(const struct bench_ints *list)
{
    int most = 0;
    for (int i = 0; i < list->n; i++)
        if (list->values[i] > most) most = list->values[i];
    return most;
}

/* Compares the policy with OFF; each batch and length of answers gives a row. */
static bool measure_policy(struct bench *bench, const struct front *front, const struct bench_row *common)
{
    const struct bench_plan *plan = &bench->plan;
    const int                n_prompts = plan->n_repeats * largest(&plan->batches);
    struct prompts           prompts = {0};
    calmoe_stats             stats = {.size = sizeof stats};
    bool fine = cm_front_succeeded(front, calmoe_engine_get_stats(front->engine, &stats)) &&
                cm_prompts_open(front, &bench->settings.texts, n_prompts, plan->prompts.values[0], &prompts);
    for (int i = 0; fine && i < plan->batches.n * plan->answers.n; i++) {
        const struct policy_test test = {&bench->settings.policy, bench->policy, bench->quality, &prompts,
                                         plan->batches.values[i / plan->answers.n],
                                         plan->answers.values[i % plan->answers.n], plan->n_repeats, &bench->adapters};
        struct policy_row *rows = realloc(bench->policy_rows, (size_t)(bench->n_policy_rows + 1) * sizeof *rows);
        fine = rows != NULL;
        if (!fine) break;
        bench->policy_rows = rows;
        rows[bench->n_policy_rows] = (struct policy_row){.model = common->model, .isa = stats.isa,
                                                         .n_threads = stats.n_threads};
        fine = cm_policy_measure(front, &test, &rows[bench->n_policy_rows]);
        if (fine && bench->n_policy_rows == 0 && bench->policy_format->begin != NULL)
            fine = bench->policy_format->begin();
        if (fine && bench->policy_format->row != NULL) fine = bench->policy_format->row(&rows[bench->n_policy_rows]);
        bench->n_policy_rows += fine;
    }
    cm_prompts_close(&prompts);
    return fine;
}

/* Opens an engine for each instruction set and number of threads. */
static bool measure_engines(struct bench *bench, struct front *front, const struct bench_model *model,
                            double model_seconds)
{
    const int             n_sessions = largest(&bench->plan.batches);
    calmoe_engine_options engine;
    bool                  fine;
    calmoe_engine_options_init(&engine);
    engine.kv_float32 = bench->settings.kv;
    engine.max_rows   = n_sessions > BENCH_MAX_ROWS_IN_STEP ? n_sessions : BENCH_MAX_ROWS_IN_STEP;
    engine.routing_source      = bench->replay != NULL ? cm_bench_replay_choose : NULL;
    engine.routing_source_user = bench->replay;
    engine.plan                = bench->settings.plan;
    engine.profile             = bench->settings.n_slices > 0;
    engine.fixed_threads       = bench->settings.fixed_threads;
    engine.pin_threads         = bench->settings.pin;
    engine.no_tuning           = bench->settings.no_tune;
    engine.whole_experts       = bench->settings.whole_experts;
    cm_memory_request_set(&bench->settings.memory, &engine);
    engine.exits               = bench->settings.policy.exits;
    fine = front->draft_model != NULL || cm_front_open_draft_model(front, bench->settings.policy.draft_model);
    for (int i = 0; fine && i < bench->n_isas * bench->threads.n; i++) {
        const char      *isa = bench->isas[i / bench->threads.n];
        const int        at = i % bench->threads.n;
        struct bench_row common = {.model = model, .machine = bench->machines != NULL ? &bench->machines[at] : NULL,
                                   .n_threads = bench->threads.values[at]};
        engine.isa       = isa[0] != '\0' ? isa : NULL;
        engine.n_threads = bench->threads.values[at];
        const double start = cm_seconds();
        fine = cm_front_open_engine(front, &engine);
        common.open_seconds = model_seconds + cm_seconds() - start;
        fine = fine && cm_adapters_open(front, &bench->settings.loras, &bench->adapters) &&
               cm_policy_request_choose(front, &bench->settings.policy, !bench->settings.no_tune, bench->policy);
        if (fine)
            fine = wants_policy(bench) ? measure_policy(bench, front, &common)
                                       : measure_tests(bench, front, &common);
        cm_adapters_close(&bench->adapters);
        calmoe_engine_close(&front->engine);
    }
    return fine;
}

/* The i-th model: a synthetic one, or the only one. */
static bool measure_model(struct bench *bench, struct front *front, int i)
{
    struct bench_model  *model = calloc(1, sizeof *model);
    struct bench_model **models = realloc(bench->models, (size_t)(bench->n_models + 1) * sizeof *models);
    if (models != NULL) bench->models = models;
    if (model == NULL || models == NULL) {
        free(model);
        return false;
    }
    models[bench->n_models++] = model;
    double start = cm_seconds();
    bool   fine;
    if (bench->n_synthetics > 0)
        fine = cm_bench_open_synthetic(front, &bench->synthetics[i],
                                       cm_front_leads(front) ? bench->settings.save : NULL, &bench->settings.numbers,
                                       &start);
    else
        fine = cm_model_request_open(front, bench->settings.model, &bench->settings.numbers, 0);
    const double seconds = cm_seconds() - start;
    fine = fine && cm_bench_describe(front, bench->settings.kv != 0, model) &&
           (bench->replay == NULL || cm_bench_replay_fits(bench->replay, &model->info)) &&
           cm_policy_request_open(front, &bench->settings.policy, &bench->policy, &bench->quality) &&
           measure_engines(bench, front, model, seconds);
    calmoe_policy_close(&bench->policy);
    calmoe_model_close(&front->model);
    return fine;
}

static bool measure_all(struct bench *bench, struct front *front)
{
    const int n_models = bench->n_synthetics > 0 ? bench->n_synthetics : 1;
    bool      fine = true;
    for (int i = 0; fine && i < n_models; i++) fine = measure_model(bench, front, i);
    if (bench->n_rows > 0 && bench->format->end != NULL)
        fine = bench->format->end(bench->rows, bench->n_rows) && fine;
    if (bench->n_policy_rows > 0 && bench->policy_format->end != NULL)
        fine = bench->policy_format->end(bench->policy_rows, bench->n_policy_rows) && fine;
    return fine;
}

static void close_bench(struct bench *bench)
{
    for (int i = 0; i < bench->n_models; i++) free(bench->models[i]);
    free(bench->models);
    free(bench->rows);
    free(bench->policy_rows);
    free(bench->machines);
    free(bench->synthetics);
    cm_bench_replay_close(&bench->replay);
}

static int run(int argc, char **argv)
{
    static struct bench bench;
    struct front        front = {0};
    int                 n_operands;
    bench.settings = (struct settings){.answers = "128", .batches = "1", .depths = "0",
                                       .threads = "0", .isa = "", .output = "md", .routing = "router",
                                       .n_repeats = 5, .pin = CALMOE_PIN_AUTO};
    int status = cm_cli_parse(&description, argc, argv, &bench.settings, &n_operands);
    if (status == CLI_GO_ON) status = check(&bench, n_operands, argv);
    if (status != CLI_GO_ON) return status;
    bench.plan.n_repeats = bench.settings.n_repeats;
    bench.plan.adapters  = &bench.adapters;
    bench.plan.n_slices  = (bench.settings.n_slices + 3) / 4 * 4;
    cm_catch_interrupt();
    if (bench.settings.serve != NULL) {
        struct serve_url url;
        if (!cm_serve_url_read(description.name, bench.settings.serve, &url)) return EXIT_WRONG_USAGE;
        return cm_serve_measure(&url, &bench.plan, bench.settings.output) ? 0 : 1;
    }
    bool fine = cm_front_open(&front) && read_synthetics(&bench, &front) &&
                (bench.trace == NULL || cm_bench_replay_open(&front, bench.trace, &bench.replay)) &&
                ((wants_policy(&bench) && !bench.settings.limits) || !cm_front_leads(&front) ||
                 measure_machines(&bench, &front));
    if (fine && (cm_front_leads(&front) || !bench.settings.limits))
        fine = bench.settings.limits ? bench.format->limits(bench.machines, bench.threads.n)
                                     : measure_all(&bench, &front);
    cm_front_close(&front);
    close_bench(&bench);
    return fine ? 0 : 1;
}

int main(int argc, char **argv)
{
    cm_begin_streams();
    return cm_end_streams(run(argc, argv));
}
