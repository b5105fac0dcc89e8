/* tools/calmoe_profile.c - `calmoe profile`: reads texts, counts which experts they use, and reports it. */
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include <calmoe/profile.h>
#include <calmoe/trace.h>

#include "tools/command.h"
#include "tools/output_file.h"
#include "tools/policy_request.h"
#include "tools/profile_page.h"

enum { DEFAULT_WINDOW = 4096, MAX_THREADS = 4096 };

struct settings {
    const char     *model, *plan, *output, *html, *trace, *prometheus, *isa;
    struct cli_list files, domains;
    const char     *topology, *bandwidth;
    int             merge, tokens, context, threads, json;
    struct policy_request policy;
    struct memory_request memory;
};

#define AT(member) offsetof(struct settings, member)
#define AT_MEMORY(member) offsetof(struct settings, memory.member)
static const struct cli_option options[] = {
    {"model", 'm', CLI_INPUT, AT(model), 0, 0, "MODEL", "GGUF file; default: the embedded model"},
    {"file", 'f', CLI_INPUTS, AT(files), 0, 0, "FILE", "a text to read; its name is its domain; more may follow"},
    {"domain", 'd', CLI_INPUTS, AT(domains), 0, 0, "NAME=FILE", "a text of that domain; more may follow"},
    {"merge", 0, CLI_FLAG, AT(merge), 0, 0, NULL, "the files are profiles: add them up instead of reading texts"},
    {"output", 'o', CLI_OUTPUT, AT(output), 0, 0, "PROFILE.json", "write the profile, for calmoe place --profile"},
    {"html", 0, CLI_OUTPUT, AT(html), 0, 0, "FILE", "write a page that shows it; needs no network"},
    {"prometheus", 0, CLI_OUTPUT, AT(prometheus), 0, 0, "FILE", "write it in Prometheus' exposition format"},
    {"trace", 0, CLI_OUTPUT, AT(trace), 0, 0, "FILE", "record each token's routing"},
    {"tokens", 'n', CLI_INT, AT(tokens), 0, INT_MAX, "N", "read at most N tokens of each file, 0 = all (default)"},
    {"context", 'c', CLI_INT, AT(context), 0, 1 << 24, "N",
     "windows of N tokens; default and at most: what the model was trained for, up to 4096 where not given"},
    {"threads", 't', CLI_INT, AT(threads), 0, MAX_THREADS, "N", "threads, 0 = every core that can be had (default)"},
    {"plan", 0, CLI_INPUT, AT(plan), 0, 0, "FILE", "placement plan (default: sliced over the nodes)"},
    {"isa", 0, CLI_TEXT, AT(isa), 0, 0, "LEVEL", "instruction set, as of calmoe run"},
    MEMORY_REQUEST_ROWS(AT_MEMORY),
    {"policy", 0, CLI_INPUT, AT(policy.file), 0, 0, "FILE", "read texts as answers that leave out what this file says"},
    {"quality", 0, CLI_TEXT, AT(policy.quality), 0, 0, "DELTA", "as of calmoe run"},
    {"exit", 0, CLI_TEXT, AT(policy.exit), 0, 0, "RULE", "as of calmoe run: softmax:0.9@5"},
    {"width", 0, CLI_TEXT, AT(policy.width), 0, 0, "RULE", "as of calmoe run: fixed:2, ratio:0.3 or top_p:0.8"},
    {"exits", 0, CLI_INPUT, AT(policy.exits), 0, 0, "FILE", "exits fitted to the model, as of calmoe run"},
    {"topology", 0, CLI_INPUT, AT(topology), 0, 0, "SPEC",
     "predict plans for this machine, an hwloc description or .xml; default: this one, or 2 and 4 equal nodes"},
    {"bandwidth", 0, CLI_TEXT, AT(bandwidth), 0, 0, "LIST", "GB/s that its nodes read: \"0:40,1:20\", or \"40\""},
    {"json", 0, CLI_FLAG, AT(json), 0, 0, NULL, "print one JSON object instead of tables"},
};

static const struct cli_command description = {
    .name         = "calmoe profile",
    .summary      = "Counts which experts texts use: for people, for calmoe place, and as a page.",
    .operands     = "[FILE | NAME=FILE]...",
    .max_operands = CLI_LIST_MAX,
    .options      = options,
    .n_options    = sizeof options / sizeof options[0],
    .notes        = "Each text is read as a prompt, in windows that are sequences of their own. Files that follow\n"
                    "--domain options only are NAME=FILE, too. docs/PROFILER.md tells how to read the tables.\n\n"
                    "With --policy, --quality, --exit or --width texts are read as if they were answers: each\n"
                    "token is given, and leaves out what the policy lets it.\n\n"
                    "Example:\n"
                    "  calmoe profile -f war.txt hash.c -o profile.json --html profile.html\n"
                    "  calmoe profile --domain russian=war.txt c=hash.c --domain c=list.c -o profile.json\n"
                    "  calmoe profile --merge monday.json tuesday.json -o both.json\n",
};

/* ---- the command line ---- */

struct text_file {
    char        name[256]; /* of the domain */
    const char *path;
};

/* "NAME=FILE", or a path whose last part is the name. */
static bool split(const char *argument, bool is_named, struct text_file *out)
{
    const char *const equals = strchr(argument, '=');
    const char *const slash  = strrchr(argument, '/');
    if (!is_named) {
        snprintf(out->name, sizeof out->name, "%s", slash != NULL && slash[1] != '\0' ? slash + 1 : argument);
        out->path = argument;
        return true;
    }
    if (equals == NULL || equals == argument || equals[1] == '\0') return false;
    const size_t n = (size_t)(equals - argument);
    if (n >= sizeof out->name) return false;
    memcpy(out->name, argument, n);
    out->name[n] = '\0';
    out->path    = equals + 1;
    return true;
}

enum { MAX_FILES = 3 * CLI_LIST_MAX };

/* All texts: those of -f, of --domain, and the other arguments, in this order. */
static int list_texts(const struct settings *settings, char **operands, int n_operands, struct text_file *texts,
                      int *n_texts)
{
    const bool are_named = settings->domains.n > 0 && settings->files.n == 0;
    *n_texts = 0;
    for (int i = 0; i < settings->files.n; i++) (void)split(settings->files.values[i], false, &texts[(*n_texts)++]);
    for (int i = 0; i < settings->domains.n; i++)
        if (!split(settings->domains.values[i], true, &texts[(*n_texts)++]))
            return cm_usage_error(description.name, "option '--domain' wants NAME=FILE, found '%s'",
                                  settings->domains.values[i]);
    for (int i = 0; i < n_operands; i++)
        if (!split(operands[i], are_named, &texts[(*n_texts)++]))
            return cm_usage_error(description.name, "wanted NAME=FILE, as after --domain, found '%s'", operands[i]);
    return CLI_GO_ON;
}

static int check(const struct settings *settings, int n_operands)
{
    const bool has_texts = settings->files.n > 0 || settings->domains.n > 0;
    const struct policy_request *policy = &settings->policy;
    if (settings->merge && (has_texts || cm_policy_request_any(policy) || settings->trace || settings->plan))
        return cm_usage_error(description.name, "option '--merge' does not go with -f, --domain, --trace, --plan and "
                                                "policies");
    if (settings->merge && n_operands == 0)
        return cm_usage_error(description.name, "option '--merge' wants profiles, found none");
    if (!has_texts && n_operands == 0)
        return cm_usage_error(description.name, "wanted texts, -f FILE or --domain NAME=FILE; found none");
    if (!cm_memory_request_is_fine(description.name, &settings->memory, settings->plan)) return EXIT_WRONG_USAGE;
    return cm_policy_request_check(description.name, policy, settings->trace);
}

/* ---- counting ---- */

static bool open_trace(struct reading *reading, const char *path, const calmoe_model_info *model)
{
    calmoe_trace_info info = {.size = sizeof info, .n_layers = model->n_layers, .n_experts = model->n_experts,
                              .n_used = model->n_experts_used};
    memcpy(info.fingerprint, model->fingerprint, sizeof info.fingerprint);
    return cm_front_succeeded(reading->front,
                              calmoe_trace_writer_open(reading->front->context, path, &info, &reading->trace));
}

static bool open_reading(struct front *front, const struct settings *settings, struct reading *reading)
{
    calmoe_engine_options engine;
    calmoe_model_info     model = {.size = sizeof model};
    if (!cm_front_open_model(front, settings->model, false) ||
        !cm_front_succeeded(front, calmoe_model_get_info(front->model, &model)))
        return false;
    reading->n_layers   = model.n_layers;
    reading->n_used     = model.n_experts_used;
    reading->max_tokens = settings->tokens;
    reading->window     = settings->context > 0 ? settings->context : DEFAULT_WINDOW;
    if (reading->window > model.context_length) {
        if (settings->context > 0)
            cm_say("windows of %d tokens, not %d: the model was trained for no more", model.context_length,
                   settings->context);
        reading->window = model.context_length;
    }
    calmoe_engine_options_init(&engine);
    engine.n_threads    = settings->threads;
    engine.isa          = settings->isa;
    engine.plan         = settings->plan;
    engine.exits        = settings->policy.exits;
    engine.profile      = 1;
    cm_memory_request_set(&settings->memory, &engine);
    engine.routing      = cm_reading_see;
    engine.routing_user = reading;
    return cm_policy_request_open(front, &settings->policy, &reading->policy, &reading->quality) &&
           cm_front_open_engine(front, &engine) &&
           cm_policy_request_choose(front, &settings->policy, false, reading->policy) &&
           (settings->trace == NULL || open_trace(reading, settings->trace, &model));
}

static bool count(struct front *front, const struct settings *settings, const struct text_file *texts, int n_texts,
                  struct reading *reading, calmoe_profile **profile)
{
    bool is_fine = open_reading(front, settings, reading);
    cm_catch_interrupt();
    for (int i = 0; i < n_texts && is_fine; i++)
        is_fine = cm_reading_file(reading, texts[i].name, texts[i].path, i, n_texts);
    const calmoe_status status = calmoe_trace_writer_close(&reading->trace);
    return is_fine && cm_front_succeeded(front, status) &&
           cm_front_succeeded(front, calmoe_engine_get_profile(front->engine, profile));
}

static bool merge(struct front *front, const struct settings *settings, char **paths, int n, calmoe_profile **profile)
{
    bool is_fine = settings->model != NULL ? cm_front_open_model(front, settings->model, false)
                                           : cm_front_open(front);
    is_fine = is_fine && cm_front_succeeded(front, calmoe_profile_open(front->context, paths[0], profile));
    for (int i = 1; i < n && is_fine; i++) {
        calmoe_profile *more = NULL;
        is_fine = cm_front_succeeded(front, calmoe_profile_open(front->context, paths[i], &more)) &&
                  cm_front_succeeded(front, calmoe_profile_merge(*profile, more));
        calmoe_profile_close(&more);
    }
    return is_fine;
}

/* ---- reports ---- */

static bool write_text(const struct front *front, const calmoe_profile *profile, const char *path)
{
    size_t n = 0;
    (void)calmoe_profile_get_text(profile, NULL, 0, &n);
    struct bytes text = {0};
    char         zero[1024] = {0};
    bool         is_fine = true;
    while (is_fine && text.n <= n) is_fine = cm_bytes_append(&text, zero, sizeof zero);
    is_fine = is_fine && cm_front_succeeded(front, calmoe_profile_get_text(profile, text.at, text.n, &n)) &&
              cm_write_file(path, text.at, n);
    cm_bytes_close(&text);
    return is_fine;
}

static bool tell(const struct front *front, const struct settings *settings, const struct reading *reading,
                 const calmoe_profile *profile)
{
    static struct view view;
    view = (struct view){.front = front, .profile = profile, .reading = reading};
    if (settings->output != NULL && !cm_front_succeeded(front, calmoe_profile_write(profile, settings->output)))
        return false;
    if (settings->prometheus != NULL && !write_text(front, profile, settings->prometheus)) return false;
    const struct machine_request machine = {settings->topology, settings->bandwidth, settings->plan};
    if (!cm_view_gather(&view, &machine)) return false;
    if (settings->html != NULL && !cm_page_write(&view, settings->html)) return false;
    if (settings->json) return cm_view_print_json(&view);
    cm_view_print(&view);
    return cm_disk_say(front);
}

static int run(int argc, char **argv)
{
    static struct text_file texts[MAX_FILES];
    struct settings         settings = {.tokens = 0};
    struct front            front    = {0};
    struct reading          reading  = {.front = &front};
    calmoe_profile         *profile  = NULL;
    int                     n_operands, n_texts = 0;
    int status = cm_cli_parse(&description, argc, argv, &settings, &n_operands);
    if (status == CLI_GO_ON) status = check(&settings, n_operands);
    if (status == CLI_GO_ON && !settings.merge)
        status = cm_cli_keep_operands(&description, &settings, argv + 1, n_operands);
    if (status == CLI_GO_ON && !settings.merge)
        status = list_texts(&settings, argv + 1, n_operands, texts, &n_texts);
    if (status != CLI_GO_ON) return status;
    const bool is_fine = cm_can_write(settings.output) && cm_can_write(settings.html) &&
                         cm_can_write(settings.prometheus) &&
                         (settings.merge ? merge(&front, &settings, argv + 1, n_operands, &profile)
                                         : count(&front, &settings, texts, n_texts, &reading, &profile)) &&
                         tell(&front, &settings, &reading, profile);
    calmoe_profile_close(&profile);
    cm_reading_close(&reading);
    calmoe_policy_close(&reading.policy);
    cm_front_close(&front);
    return is_fine ? 0 : 1;
}

const struct command cm_command_profile = {
    .name    = "profile",
    .summary = "count which experts texts use",
    .run     = run,
};
