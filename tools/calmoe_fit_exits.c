/* tools/calmoe_fit_exits.c - `calmoe fit-exits`: fits translators and classifiers for early exits to a model that was
 * not trained for them, and says whether they are worth it. */
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <calmoe/fit_exits.h>

#include "tools/command.h"
#include "tools/front.h"
#include "tools/output_file.h"

enum { MAX_THREADS = 4096, MAX_MEMORY = 1 << 20, RANK_NOT_GIVEN = -1 };

struct settings {
    const char     *model, *output, *layers, *isa;
    struct cli_list files, held_out;
    int             rank, tokens, window, memory, threads, no_classifiers, json;
    float           ridge;
};

#define AT(member) offsetof(struct settings, member)
static const struct cli_option options[] = {
    {"model", 'm', CLI_INPUT, AT(model), 0, 0, "MODEL", "GGUF file; default: the embedded model"},
    {"file", 'f', CLI_INPUTS, AT(files), 0, 0, "FILE", "a text to fit to; more may follow"},
    {"held-out", 0, CLI_INPUTS, AT(held_out), 0, 0, "FILE",
     "a text to judge by; may be repeated; default: every tenth window of the others, which is not fitted then"},
    {"output", 'o', CLI_OUTPUT, AT(output), 0, 0, "EXITS.gguf", "the file to write, for calmoe run --exits"},
    {"layers", 'l', CLI_TEXT, AT(layers), 0, 0, "L[,L...]",
     "after which layers; default: about 1/2, 2/3 and 5/6 of the model's"},
    {"rank", 'r', CLI_INT, AT(rank), 0, 1 << 20, "R",
     "of translators, up to the model's width; 0 = none; default: 64, or the width"},
    {"ridge", 0, CLI_REAL, AT(ridge), 1e-12, 1e12, "X",
     "of translators, a share of the states' variance; default: 0.001"},
    {"no-classifiers", 0, CLI_FLAG, AT(no_classifiers), 0, 0, NULL, "translators only"},
    {"tokens", 'n', CLI_INT, AT(tokens), 0, INT_MAX, "N", "read at most N tokens of each file, 0 = all (default)"},
    {"window", 'c', CLI_INT, AT(window), 0, INT_MAX, "N",
     "read in sequences of N tokens; default: 512, or the context"},
    {"memory", 0, CLI_INT, AT(memory), 1, MAX_MEMORY, "MB",
     "for the states of a sample, to which classifiers are fitted; default: 256"},
    {"threads", 't', CLI_INT, AT(threads), 0, MAX_THREADS, "N", "threads, 0 = every core that can be had (default)"},
    {"isa", 0, CLI_TEXT, AT(isa), 0, 0, "LEVEL", "instruction set, as of calmoe run"},
    {"json", 0, CLI_FLAG, AT(json), 0, 0, NULL, "print one JSON object instead of tables"},
};

static const struct cli_command description = {
    .name         = "calmoe fit-exits",
    .summary      = "Fits exits to a model that was not trained for them, and says what they are good for.",
    .operands     = "[FILE]...",
    .max_operands = CLI_LIST_MAX,
    .options      = options,
    .n_options    = sizeof options / sizeof options[0],
    .notes        = "A break costs little: sums are kept in EXITS.gguf.sums, and the same command goes on from there.\n"
                    "Nothing is proven of these exits: calmoe calibrate proves bounds. docs/SPARSITY.md tells the\n"
                    "method and how to read the table.\n\n"
                    "Example:\n"
                    "  calmoe fit-exits -m model.gguf -f war.txt hash.c -o model.exits.gguf --layers 8,11,13\n"
                    "  calmoe run -m model.gguf --exits model.exits.gguf --exit classifier:0.9@11 -p \"Once upon\"\n",
};

/* ---- the command line ---- */

struct layer_list {
    int at[CALMOE_MAX_EXITS], n;
};

static bool read_layers(const char *text, struct layer_list *out)
{
    for (out->n = 0;; text++) {
        char      *end    = NULL;
        const long number = strtol(text, &end, 10);
        if (end == text || number < 1 || number > 1 << 20 || out->n == CALMOE_MAX_EXITS) return false;
        if (out->n > 0 && number <= out->at[out->n - 1]) return false;
        out->at[out->n++] = (int)number;
        text              = end;
        if (*text != ',') return *text == '\0';
    }
}

static int check(const struct settings *settings, int n_operands, struct layer_list *layers)
{
    if (settings->files.n + n_operands == 0)
        return cm_usage_error(description.name, "wanted texts, -f FILE; found none");
    if (settings->output == NULL) return cm_usage_error(description.name, "wanted a file to write, -o EXITS.gguf");
    if (settings->layers != NULL && !read_layers(settings->layers, layers))
        return cm_usage_error(description.name, "option '--layers' wants up to %d layers, ascending, such as 8,11,13; "
                                                "found '%s'", CALMOE_MAX_EXITS, settings->layers);
    return CLI_GO_ON;
}

/* ---- texts ---- */

static bool add_tokens(const struct front *front, const char *path, int most, struct bytes *tokens)
{
    struct bytes text = {0};
    size_t       n    = 0;
    bool         fine = cm_bytes_read_file(&text, path);
    int32_t     *ids  = fine ? malloc((text.n + 16) * sizeof *ids) : NULL; /* at most one token a byte, and both ends */
    if (fine && ids == NULL) cm_say("no memory for the tokens of '%s'", path);
    fine = ids != NULL && cm_front_succeeded(front, calmoe_tokenize(front->context, front->model,
                                                                    text.n != 0 ? text.at : "", text.n,
                                                                    CALMOE_TOKENIZE_BOS, ids, text.n + 16, &n));
    if (fine && most > 0 && n > (size_t)most) n = (size_t)most;
    fine = fine && cm_bytes_append(tokens, ids, n * sizeof *ids);
    free(ids);
    cm_bytes_close(&text);
    return fine;
}

struct texts { /* tokens */
    struct bytes fitted, held_out;
};

static bool read_texts(const struct front *front, const struct settings *settings, char **operands, int n_operands,
                       struct texts *texts)
{
    bool fine = true;
    for (int i = 0; i < settings->files.n && fine; i++)
        fine = add_tokens(front, settings->files.values[i], settings->tokens, &texts->fitted);
    for (int i = 0; i < n_operands && fine; i++)
        fine = add_tokens(front, operands[i], settings->tokens, &texts->fitted);
    for (int i = 0; i < settings->held_out.n && fine; i++)
        fine = add_tokens(front, settings->held_out.values[i], settings->tokens, &texts->held_out);
    return fine;
}

/* ---- the work ---- */

static bool fit(const struct front *front, const struct settings *settings, const struct layer_list *layers,
                const struct texts *texts, calmoe_fit_report *report)
{
    calmoe_fit_options  wish;
    struct progress_bar bar;
    calmoe_fit_options_init(&wish);
    if (layers->n > 0) wish.layers = layers->at;
    wish.n_layers = layers->n;
    if (settings->rank != RANK_NOT_GIVEN) wish.rank = settings->rank;
    if (settings->ridge > 0) wish.ridge = (double)settings->ridge;
    wish.classifiers   = !settings->no_classifiers;
    wish.window        = settings->window;
    wish.memory        = (size_t)settings->memory << 20;
    wish.n_held_out    = texts->held_out.n / sizeof(int32_t);
    wish.held_out      = settings->held_out.n > 0 ? (const int32_t *)(const void *)texts->held_out.at : NULL;
    wish.progress      = cm_bar_move;
    wish.progress_user = &bar;
    cm_catch_interrupt();
    cm_bar_begin(&bar, "fitting");
    const calmoe_status status =
        calmoe_fit_exits(front->engine, (const int32_t *)(const void *)texts->fitted.at,
                         texts->fitted.n / sizeof(int32_t), &wish, settings->output, report);
    cm_bar_end(&bar);
    return cm_front_succeeded(front, status);
}

/* ---- reports ---- */

static double percent(double share) { return 100 * share; }

/* Whether exits are worth it, judged by the depth at which tokens could leave. */
static void advise(const calmoe_fit_report *report)
{
    enum { LITTLE = 10 };
    const double n = report->n_layers, oracle = percent(1 - report->after.oracle_layers / n),
                 sure = percent(1 - report->after.sure_layers / n), lost = percent(1 - report->after.sure_agreement);
    if (oracle < LITTLE)
        printf("Depth sparsity is not worth it here: even if each token left at the first exit that agrees, only "
               "%.1f %% of\nthe layers would be saved.\n", oracle);
    else if (sure < LITTLE)
        printf("Depth sparsity is hardly worth it here: %.1f %% of the layers could be left out if one knew where, but "
               "tokens that\nare sure (p1 - p2 of 0.5) save %.1f %% only.\n", oracle, sure);
    else
        printf("Depth sparsity may be worth it here: leaving where p1 - p2 is 0.5 saves %.1f %% of the layers, of "
               "%.1f %% that\ncould be left out, and changes %.1f %% of all tokens; calmoe calibrate proves what you "
               "may rely on.\n", sure, oracle, lost);
}

static void print_report(const calmoe_fit_report *report, const char *path)
{
    const calmoe_exit_way *const ways[2] = {&report->before, &report->after};
    printf("Exits for %d layers, fitted to %" PRIu64 " tokens, judged on %" PRIu64 " others; in %% of tokens\n\n",
           report->n_layers, report->n_fitted, report->n_judged);
    printf("              agrees        sure (p1-p2 0.5)    of these agree    reached by oracle  classifier 0.5\n");
    printf("layer  rank   as is  fitted   as is  fitted     as is  fitted     as is  fitted     chosen  agree\n");
    for (int i = 0; i < report->n_exits; i++) {
        const calmoe_fitted_exit *const exit = &report->exits[i];
        const calmoe_exit_quality *const a = &exit->before, *const b = &exit->after;
        printf("%5d %5d  %6.1f  %6.1f  %6.1f  %6.1f    %6.1f  %6.1f    %6.1f  %6.1f", exit->layer, exit->rank,
               percent(a->agreement), percent(b->agreement), percent(a->sure), percent(b->sure),
               percent(a->sure_agreement), percent(b->sure_agreement), percent(a->reached), percent(b->reached));
        if (exit->has_classifier) printf("     %6.1f %6.1f\n", percent(exit->chosen), percent(exit->chosen_agreement));
        else printf("          -      -\n");
    }
    for (int i = 0; i < 2; i++)
        printf("%s%s: %.2f layers a token by an oracle; %.2f by leaving where sure, %.1f %% of tokens agree\n",
               i == 0 ? "\n" : "", i == 0 ? "as is " : "fitted", ways[i]->oracle_layers, ways[i]->sure_layers,
               percent(ways[i]->sure_agreement));
    for (int i = 0; i < report->n_exits; i++)
        if (report->exits[i].skipped_before > 0.0)
            printf("%slayers skipped behind %d make keys and values of states that are off by %.1f %% (squared), as is "
                   "%.1f %%\n", i == 0 ? "\n" : "", report->exits[i].layer, percent(report->exits[i].skipped_after),
                   percent(report->exits[i].skipped_before));
    for (int i = 0; i < report->n_exits; i++)
        if (report->exits[i].is_dropped)
            printf("%slayer %d: no translator: it agrees on %.1f %% of tokens that were not fitted, as it is the head "
                   "on %.1f %%\n", i == 0 ? "\n" : "", report->exits[i].layer,
                   percent(report->exits[i].tried_after),
                   percent(report->exits[i].tried_before));
    printf("\n");
    advise(report);
    cm_say("wrote '%s'", path);
}

static void json_quality(struct json_output *json, struct json_node *in, const char *name,
                         const calmoe_exit_quality *quality)
{
    struct json_node *const node = cm_json_object(json, in, name);
    cm_json_real(json, node, "agreement", quality->agreement);
    cm_json_real(json, node, "sure", quality->sure);
    cm_json_real(json, node, "sure_agreement", quality->sure_agreement);
    cm_json_real(json, node, "reached", quality->reached);
}

static void json_way(struct json_output *json, const char *name, const calmoe_exit_way *way)
{
    struct json_node *const node = cm_json_object(json, json->root, name);
    cm_json_real(json, node, "oracle_layers", way->oracle_layers);
    cm_json_real(json, node, "sure_layers", way->sure_layers);
    cm_json_real(json, node, "sure_agreement", way->sure_agreement);
}

static bool print_json(const calmoe_fit_report *report)
{
    struct json_output json;
    cm_json_open_object(&json);
    cm_json_integer(&json, json.root, "layers", (uint64_t)report->n_layers);
    cm_json_integer(&json, json.root, "fitted_tokens", report->n_fitted);
    cm_json_integer(&json, json.root, "judged_tokens", report->n_judged);
    json_way(&json, "before", &report->before);
    json_way(&json, "after", &report->after);
    struct json_node *const exits = cm_json_array(&json, json.root, "exits");
    for (int i = 0; i < report->n_exits; i++) {
        const calmoe_fitted_exit *const exit = &report->exits[i];
        struct json_node *const         node = cm_json_object(&json, exits, NULL);
        cm_json_integer(&json, node, "layer", (uint64_t)exit->layer);
        cm_json_integer(&json, node, "rank", (uint64_t)exit->rank);
        cm_json_integer(&json, node, "is_dropped", (uint64_t)exit->is_dropped);
        cm_json_real(&json, node, "tried_before", exit->tried_before);
        cm_json_real(&json, node, "tried_after", exit->tried_after);
        cm_json_real(&json, node, "explained", exit->explained);
        cm_json_real(&json, node, "skipped_before", exit->skipped_before);
        cm_json_real(&json, node, "skipped_after", exit->skipped_after);
        json_quality(&json, node, "before", &exit->before);
        json_quality(&json, node, "after", &exit->after);
        if (!exit->has_classifier) {
            cm_json_null(&json, node, "classifier");
            continue;
        }
        struct json_node *const classifier = cm_json_object(&json, node, "classifier");
        cm_json_real(&json, classifier, "chosen", exit->chosen);
        cm_json_real(&json, classifier, "chosen_agreement", exit->chosen_agreement);
    }
    const bool written = cm_json_write(&json, false);
    cm_json_close(&json);
    return written;
}

static int run(int argc, char **argv)
{
    struct settings       settings = {.rank = RANK_NOT_GIVEN, .memory = 256};
    struct layer_list     layers   = {.n = 0};
    struct front          front    = {0};
    struct texts          texts    = {{0}, {0}};
    calmoe_fit_report     report   = {.size = sizeof report};
    calmoe_engine_options engine;
    int                   n_operands;
    int status = cm_cli_parse(&description, argc, argv, &settings, &n_operands);
    if (status == CLI_GO_ON) status = check(&settings, n_operands, &layers);
    if (status == CLI_GO_ON) status = cm_cli_keep_operands(&description, &settings, argv + 1, n_operands);
    if (status != CLI_GO_ON) return status;
    calmoe_engine_options_init(&engine);
    engine.n_threads = settings.threads;
    engine.isa       = settings.isa;
    bool fine = cm_can_write(settings.output) && cm_front_open_model(&front, settings.model, false) &&
                (!cm_front_leads(&front) || read_texts(&front, &settings, argv + 1, n_operands, &texts)) &&
                cm_front_open_engine(&front, &engine) &&
                fit(&front, &settings, &layers, &texts, &report);
    if (fine && settings.json) fine = print_json(&report);
    else if (fine) print_report(&report, settings.output);
    cm_bytes_close(&texts.fitted);
    cm_bytes_close(&texts.held_out);
    cm_front_close(&front);
    return fine ? 0 : 1;
}

const struct command cm_command_fit_exits = {
    .name    = "fit-exits",
    .summary = "fit early exits to a model that was not trained for them",
    .run     = run,
};
