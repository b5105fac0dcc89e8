/* tools/calmoe_run.c - `calmoe run`: continues a text, or converses. */
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <calmoe/trace.h>

#include "tools/answer_json.h"
#include "tools/calmoe_chat.h"
#include "tools/chat_history.h"
#include "tools/command.h"
#include "tools/context_file.h"
#include "tools/depth_page.h"
#include "tools/engine_request.h"
#include "tools/output_file.h"
#include "tools/policy_request.h"

enum { DEFAULT_TOKENS = 256, TOKENS_NOT_GIVEN = -1, MAX_ROWS = 1 << 16 };

struct settings {
    const char *model, *prompt, *file, *system, *chat_format, *trace, *html, *save, *restore, *context_file,
               *questions;
    const char *json_schema, *pattern, *after;
    int         tokens, context, batch;
    float       temperature, top_p, min_p, repeat_penalty, presence_penalty, frequency_penalty, audit;
    int         top_k, repeat_last;
    uint64_t    seed;
    int         chat, special, ignore_eos, model_sampling, json_object, logit_hash, json, show_exits, color, verbose;
    struct cli_list stops, loras;
    struct policy_request policy;
    struct engine_request engine;
    struct model_request  numbers;
    struct memory_request memory;
};

#define AT(member) offsetof(struct settings, member)
#define AT_ENGINE(member) offsetof(struct settings, engine.member)
#define AT_NUMBER(member) offsetof(struct settings, numbers.member)
#define AT_MEMORY(member) offsetof(struct settings, memory.member)
static const struct cli_option options[] = {
    {"model", 'm', CLI_INPUT, AT(model), 0, 0, "MODEL",
     "GGUF file, or the first of its shards (default: the embedded model)"},
    {"lora", 0, CLI_INPUTS, AT(loras), 0, 0, "ADAPTER[:SCALE]",
     "use an adapter (LoRA, prefix), a GGUF file or a folder by PEFT, so strongly (default 1); may be repeated"},
    {"prompt", 'p', CLI_TEXT, AT(prompt), 0, 0, "TEXT", "the text to continue; with --chat, the only turn"},
    {"file", 'f', CLI_INPUT, AT(file), 0, 0, "FILE",
     "take it from FILE, byte for byte; - reads standard input"},
    {"special", 0, CLI_FLAG, AT(special), 0, 0, NULL,
     "control tokens such as <|im_start|> in the text are tokens, not text"},
    {"tokens", 'n', CLI_INT, AT(tokens), 0, INT_MAX, "N",
     "make at most N tokens, 0 = only read the text (default 256)"},
    {"context", 'c', CLI_INT, AT(context), 0, 1 << 24, "N",
     "room for N tokens in all, 0 = what the model was trained for (default)"},
    ENGINE_REQUEST_ROWS(AT_ENGINE),
    {"verbose", 0, CLI_FLAG, AT(verbose), 0, 0, NULL, "say what the engine found: threads, cores, nodes, limits"},
    {"temp", 0, CLI_REAL, AT(temperature), 0, 1000, "T",
     "temperature, 0 = always the likeliest token (default)"},
    {"top-k", 0, CLI_INT, AT(top_k), 0, INT_MAX, "K", "draw from the K likeliest, 0 = off (default)"},
    {"top-p", 0, CLI_REAL, AT(top_p), 0, 1, "P",
     "draw from the likeliest that sum to P, 1 = off (default)"},
    {"min-p", 0, CLI_REAL, AT(min_p), 0, 1, "P",
     "draw from those at least P times as likely as the best, 0 = off (default)"},
    {"repeat-penalty", 0, CLI_REAL, AT(repeat_penalty), 0.01, 100, "R",
     "make recent tokens less likely, 1 = off (default)"},
    {"repeat-last", 0, CLI_INT, AT(repeat_last), 0, 1 << 20, "N",
     "how many tokens are recent (default 64)"},
    {"presence-penalty", 0, CLI_REAL, AT(presence_penalty), -100, 100, "X",
     "taken off the logits of tokens that stand in the answer (default 0)"},
    {"frequency-penalty", 0, CLI_REAL, AT(frequency_penalty), -100, 100, "X",
     "the same for each time that they do (default 0)"},
    {"model-sampling", 0, CLI_FLAG, AT(model_sampling), 0, 0, NULL,
     "sample as the model's file advises (keys general.sampling), but for what is given here"},
    {"seed", 0, CLI_SEED, AT(seed), 0, 0, "S", "the draws' seed (default 0)"},
    {"chat", 0, CLI_FLAG, AT(chat), 0, 0, NULL,
     "converse: each line of standard input is a turn, /help lists commands; or -p or -f is"},
    {"chat-format", 0, CLI_TEXT, AT(chat_format), 0, 0, "NAME",
     "how turns are written; a wrong NAME lists all (default: as the model's chat template does)"},
    {"system", 0, CLI_TEXT, AT(system), 0, 0, "TEXT", "instructions that begin the conversation"},
    {"stop", 0, CLI_LIST, AT(stops), 0, 0, "TEXT", "end an answer before TEXT; may be repeated"},
    {"json-schema", 0, CLI_INPUT, AT(json_schema), 0, 0, "FILE",
     "answers are JSON that fits the schema in FILE, whatever the model would rather say"},
    {"json-object", 0, CLI_FLAG, AT(json_object), 0, 0, NULL, "answers are JSON objects"},
    {"pattern", 0, CLI_TEXT, AT(pattern), 0, 0, "REGEX", "answers fit a regular expression"},
    {"after", 0, CLI_TEXT, AT(after), 0, 0, "TEXT",
     "what these ask for begins behind TEXT, such as </think>; before it comes what may"},
    {"save-session", 0, CLI_OUTPUT, AT(save), 0, 0, "FILE", "at the end, write what was read and answered to FILE"},
    {"restore-session", 0, CLI_TEXT, AT(restore), 0, 0, "FILE",
     "go on from what --save-session wrote; a text is optional, and is added to it"},
    {"context-file", 0, CLI_INPUT, AT(context_file), 0, 0, "FILE",
     "a text that calmoe context has read stands before -p, -f or the conversation"},
    {"questions", 0, CLI_INPUT, AT(questions), 0, 0, "FILE",
     "answer each line of FILE behind that text, and behind no other line; - reads standard input"},
    {"ignore-eos", 0, CLI_FLAG, AT(ignore_eos), 0, 0, NULL, "go on after the model's end token"},
    {"trace", 0, CLI_OUTPUT, AT(trace), 0, 0, "FILE", "record each token's routing, for calmoe place --simulate"},
    {"policy", 0, CLI_INPUT, AT(policy.file), 0, 0, "FILE",
     "leave out layers and experts as this file of proven bounds says"},
    {"quality", 0, CLI_TEXT, AT(policy.quality), 0, 0, "DELTA",
     "risk that may be, 1%: of the policy its boldest rung up to that (default: its safest)"},
    {"costs", 0, CLI_INPUT, AT(policy.costs), 0, 0, "time|bytes|FILE",
     "of several policies proven for a bound take the cheapest by time here (default), bytes, or a costs file"},
    {"exit", 0, CLI_TEXT, AT(policy.exit), 0, 0, "RULE",
     "unproven: tokens leave early, softmax:0.9@5 = after layer 5 where p1 - p2 is 0.9"},
    {"lossless", 0, CLI_FLAG, AT(policy.lossless), 0, 0, NULL,
     "draft tokens and verify them, where that is faster: the same text; by early exits (of --exit, --policy, or "
     "chosen), by lookup, by the file's block for it"},
    {"draft-model", 0, CLI_INPUT, AT(policy.draft_model), 0, 0, "FILE",
     "with --lossless, a smaller model of the same vocabulary drafts, too"},
    {"kv-fill", 0, CLI_TEXT, AT(policy.kv_fill), 0, 0, "HOW",
     "with --exit, keys and values of skipped layers: propagate (default), lazy, catch_up"},
    {"width", 0, CLI_TEXT, AT(policy.width), 0, 0, "RULE",
     "unproven: fewer experts, fixed:2, ratio:0.3 or top_p:0.8; more than the file's as --experts; or with a --plan "
     "that streams, resident:0.5: one in memory may replace one on disk that weighs up to twice as much"},
    {"exits", 0, CLI_INPUT, AT(policy.exits), 0, 0, "FILE",
     "exits fitted to the model: calmoe fit-exits writes them"},
    {"audit", 0, CLI_REAL, AT(audit), 0, 1, "SHARE",
     "of tokens under a proven policy that are run again in full, to watch its bound; 0 = none (default 0.01)"},
    {"show-exits", 0, CLI_FLAG, AT(show_exits), 0, 0, NULL,
     "colour tokens by the layers they used: green under half … red all"},
    {"html", 0, CLI_OUTPUT, AT(html), 0, 0, "FILE", "write the answer as a page that shows this; needs no network"},
    {"color", 0, CLI_CHOICE, AT(color), 0, 0, "auto|always|never", "colours, auto = on a terminal (default)"},
    MODEL_REQUEST_ROWS(AT_NUMBER),
    MEMORY_REQUEST_ROWS(AT_MEMORY),
    {"batch", 0, CLI_INT, AT(batch), 1, MAX_ROWS, "ROWS",
     "read the text in steps of ROWS tokens (default 512)"},
    {"logit-hash", 0, CLI_FLAG, AT(logit_hash), 0, 0, NULL,
     "print the SHA-256 of every logit computed, as the last line"},
    {"json", 0, CLI_FLAG, AT(json), 0, 0, NULL, "print one JSON object instead of the text"},
};

static const struct cli_command description = {
    .name      = "calmoe run",
    .summary   = "Continues a text with a model, or converses with it.",
    .options   = options,
    .n_options = sizeof options / sizeof options[0],
    .notes     =
        "The continuation goes to stdout as it is made, followed by a newline; tokens, seconds and tokens/s\n"
        "go to stderr. Ctrl-C ends the continuation as -n does: with the summary, and exit status 0; while the text\n"
        "is read it ends that. In a conversation it stops the answer, takes back a turn that is still being read,\n"
        "and at the prompt it ends the program; -n limits each answer.\n\n"
        "A line of a conversation that is a slash and one word is a command; //word sends /word.\n\n"
        "--json: text, tokens (ids; those of a stop text too, not an end token), prompt_tokens, generated_tokens,\n"
        "prompt_tokens_per_s, decode_tokens_per_s (0 where nothing was timed), layers_per_token,\n"
        "experts_per_token (over all layers), bytes_per_token (weights that were read; all three of tokens read\n"
        "after the prompt, if any, else of the prompt), token_layers (with --show-exits: layers that each token\n"
        "came of), rounds, drafted and accepted, plain_steps and drafts_by (with --lossless), logit_hash (null\n"
        "without --logit-hash).\n\n"
        "A session in a file is read no second time: its keys and values are in it. It is of one model, with one type\n"
        "of keys and values (--kv); without -c it has the context that it had. Sampling is as the options say, from\n"
        "their seed on. With -n 0 the file ends with the text, to be gone on from by another; after Ctrl-C it holds\n"
        "what was read, and what is still to be read.\n\n"
        "--exit MEASURE:THRESHOLD[@LAYER[,LAYER]]: measures are softmax, lead, state, shortlist, always, and\n"
        "with --exits classifier; without @LAYER every layer is an exit. --quality without --policy reads\n"
        "MODEL.policy.json beside MODEL.gguf.\n\n"
        "Where a model's authors advise YaRN with a factor of 4 for contexts beyond 32768 tokens, that is\n"
        "--rope-scaling yarn --rope-scale 4 --yarn-orig 32768. Policies and fitted exits hold for a model with the\n"
        "numbers that its file says.\n\n"
        "Example:\n  calmoe run -p \"Once upon a time\" -n 64 --temp 0.8 --top-k 40 --seed 7\n"
        "  calmoe run -m model.gguf --chat --system \"Answer briefly.\"\n",
};

/* The names of all chat formats, with commas between them. */
static const char *format_names(char *names, size_t size)
{
    size_t n = 0;
    names[0] = '\0';
    for (int i = 0; calmoe_chat_format_name(i) != NULL && n < size; i++)
        n += (size_t)snprintf(names + n, size - n, "%s%s", i == 0 ? "" : ", ", calmoe_chat_format_name(i));
    return names;
}

static int check_chat(const struct settings *settings)
{
    const bool has_turn = settings->prompt != NULL || settings->file != NULL;
    const struct { int given; const char *name; } not_in_chat[] = {
        {settings->json, "--json"},
        {settings->logit_hash, "--logit-hash"},
        {settings->html != NULL, "--html"},
    };
    char names[512];
    int  i = 0;
    while (settings->chat_format != NULL && calmoe_chat_format_name(i) != NULL &&
           strcmp(settings->chat_format, calmoe_chat_format_name(i)) != 0)
        i++;
    if (settings->chat_format != NULL && calmoe_chat_format_name(i) == NULL)
        return cm_usage_error(description.name, "option '--chat-format' wants one of %s, found '%s'",
                              format_names(names, sizeof names), settings->chat_format);
    if (!settings->chat && settings->chat_format != NULL)
        return cm_usage_error(description.name, "option '--chat-format' wants --chat, found a plain run");
    if (!settings->chat && settings->system != NULL)
        return cm_usage_error(description.name, "option '--system' wants --chat, found a plain run");
    if (settings->chat && settings->special)
        return cm_usage_error(description.name, "option '--special' wants a plain run, found --chat");
    for (size_t k = 0; settings->chat && !has_turn && k < sizeof not_in_chat / sizeof not_in_chat[0]; k++)
        if (not_in_chat[k].given)
            return cm_usage_error(description.name, "option '%s' wants one turn with --chat, -p or -f, found none",
                                  not_in_chat[k].name);
    if (settings->chat && !has_turn && settings->tokens == 0)
        return cm_usage_error(description.name, "option '-n' wants at least 1 with --chat, found '0'");
    return CLI_GO_ON;
}

static int check_context(const struct settings *settings)
{
    const struct { bool is_given; const char *name; } not_with_context[] = {
        {settings->restore != NULL, "--restore-session"},
        {settings->chat_format != NULL, "--chat-format"},
        {settings->system != NULL, "--system"},
    }, not_with_questions[] = {
        {settings->prompt != NULL, "-p"},
        {settings->file != NULL, "-f"},
        {settings->json != 0, "--json"},
        {settings->html != NULL, "--html"},
        {settings->logit_hash != 0, "--logit-hash"},
        {settings->save != NULL, "--save-session"},
    };
    if (settings->questions != NULL && settings->context_file == NULL)
        return cm_usage_error(description.name, "option '--questions' wants --context-file, found none");
    for (size_t i = 0; settings->context_file != NULL && i < sizeof not_with_context / sizeof *not_with_context; i++)
        if (not_with_context[i].is_given)
            return cm_usage_error(description.name, "wanted --context-file or %s, found both",
                                  not_with_context[i].name);
    for (size_t i = 0; settings->questions != NULL && i < sizeof not_with_questions / sizeof *not_with_questions; i++)
        if (not_with_questions[i].is_given)
            return cm_usage_error(description.name, "wanted --questions or %s, found both", not_with_questions[i].name);
    return CLI_GO_ON;
}

static int check(const struct settings *settings)
{
    int status = check_chat(settings);
    if (status == CLI_GO_ON) status = check_context(settings);
    if (status != CLI_GO_ON) return status;
    for (int i = 0; i < settings->stops.n; i++)
        if (settings->stops.values[i][0] == '\0')
            return cm_usage_error(description.name, "option '--stop' wants a text, found an empty one");
    if (!settings->chat && settings->prompt == NULL && settings->file == NULL && settings->restore == NULL &&
        settings->questions == NULL)
        return cm_usage_error(description.name, "wanted a text to continue, -p TEXT or -f FILE, or --chat; "
                                                "found none of them");
    if (settings->prompt != NULL && settings->file != NULL)
        return cm_usage_error(description.name, "wanted -p or -f, found both");
    const int n_forms = (settings->json_schema != NULL) + (settings->json_object != 0) + (settings->pattern != NULL);
    if (n_forms > 1)
        return cm_usage_error(description.name, "wanted one of --json-schema, --json-object, --pattern; found several");
    if (settings->after != NULL && (n_forms == 0 || settings->after[0] == '\0'))
        return cm_usage_error(description.name, "option '--after' wants a text, and --json-schema, --json-object or "
                                                "--pattern");
    if (!cm_memory_request_is_fine(description.name, &settings->memory, settings->engine.plan)) return EXIT_WRONG_USAGE;
    return cm_policy_request_check(description.name, &settings->policy, settings->trace);
}

static bool open_trace(const struct front *front, const char *path, calmoe_trace_writer **trace)
{
    calmoe_model_info model = {.size = sizeof model};
    calmoe_trace_info info  = {.size = sizeof info};
    if (!cm_front_succeeded(front, calmoe_model_get_info(front->model, &model))) return false;
    info.n_layers  = model.n_layers;
    info.n_experts = model.n_experts;
    info.n_used    = model.n_experts_used;
    memcpy(info.fingerprint, model.fingerprint, sizeof info.fingerprint);
    return cm_front_succeeded(front, calmoe_trace_writer_open(front->context, path, &info, trace));
}

/* Checks that a conversation is possible. One in another form than the model was trained for would look like a bad
 * model, so such a form has to be requested by name. *is_whole: the model's template cannot append turns, but it can
 * write whole conversations. */
static bool has_chat_format(const struct front *front, const struct settings *settings, bool *is_whole)
{
    calmoe_model_info info = {.size = sizeof info};
    char              names[512];
    if (!settings->chat || settings->chat_format != NULL) return true;
    if (!cm_front_succeeded(front, calmoe_model_get_info(front->model, &info))) return false;
    if (info.chat_format[0] != '\0' && settings->context_file == NULL) return true;
    *is_whole = settings->restore == NULL && cm_history_is_possible(front);
    if (*is_whole) return true;
    cm_say("'%s' names no chat format that is known: %s; --chat-format NAME chooses one, NAME being %s", info.path,
           info.chat_problem, format_names(names, sizeof names));
    return false;
}

static bool open_engine(struct front *front, const struct settings *settings, calmoe_trace_writer **trace,
                        bool *is_whole)
{
    calmoe_engine_options engine = cm_engine_request_options(&settings->engine);
    engine.max_rows    = settings->batch;
    engine.exits       = settings->policy.exits;
    cm_memory_request_set(&settings->memory, &engine);
    if (!cm_model_request_open(front, settings->model, &settings->numbers,
                               cm_policy_request_fixed_width(&settings->policy)) ||
        !has_chat_format(front, settings, is_whole) ||
        !cm_can_write(settings->html) || !cm_can_write(settings->save))
        return false;
    const bool has_trace = settings->trace != NULL && cm_front_leads(front);
    if (has_trace && !open_trace(front, settings->trace, trace)) return false;
    engine.routing      = has_trace ? calmoe_trace_writer_see : NULL;
    engine.routing_user = *trace;
    if (!cm_front_open_draft_model(front, settings->policy.draft_model) || !cm_front_open_engine(front, &engine))
        return false;
    char found[1024];
    if (!settings->verbose) return true;
    if (!cm_front_succeeded(front, calmoe_engine_describe(front->engine, found, sizeof found))) return false;
    cm_say("%s", found);
    return true;
}

static bool open_stops(struct generation *generation, const struct settings *settings)
{
    const struct front *front = generation->front;
    return cm_front_succeeded(front, calmoe_stops_open(front->context, settings->stops.values, NULL, settings->stops.n,
                                                       &generation->stops));
}

/* The constraint that --json-schema and the like ask for; NULL if none of them is given. */
static bool open_constraint(const struct front *front, const struct settings *settings, calmoe_constraint **out)
{
    calmoe_constraint_options form;
    struct bytes  schema = {0};
    calmoe_status status = CALMOE_OK;
    calmoe_constraint_options_init(&form);
    form.after = settings->after;
    *out = NULL;
    if (settings->json_schema != NULL && !cm_bytes_read_file(&schema, settings->json_schema)) return false;
    if (settings->json_schema != NULL)
        status = calmoe_constraint_open_json_schema(front->model, schema.n > 0 ? schema.at : "", schema.n, &form, out);
    else if (settings->json_object)
        status = calmoe_constraint_open_json_object(front->model, &form, out);
    else if (settings->pattern != NULL)
        status = calmoe_constraint_open_pattern(front->model, settings->pattern, strlen(settings->pattern), &form, out);
    cm_bytes_close(&schema);
    return cm_front_succeeded(front, status);
}

/* The sampler: the model file's advice, if that is wanted, with the given options on top. */
static bool choose_sampler(const struct front *front, const struct settings *settings, calmoe_sampler_options *sampler)
{
    calmoe_sampler_options_init(sampler);
    if (settings->model_sampling &&
        !cm_front_succeeded(front, calmoe_model_sampler_defaults(front->model, sampler)))
        return false;
    if (settings->temperature >= 0) sampler->temperature = settings->temperature;
    if (settings->top_k >= 0) sampler->top_k = settings->top_k;
    if (settings->top_p >= 0) sampler->top_p = settings->top_p;
    if (settings->min_p >= 0) sampler->min_p = settings->min_p;
    if (settings->repeat_penalty >= 0) sampler->repeat_penalty = settings->repeat_penalty;
    if (settings->repeat_last >= 0) sampler->repeat_last = settings->repeat_last;
    sampler->presence_penalty  = settings->presence_penalty;
    sampler->frequency_penalty = settings->frequency_penalty;
    sampler->seed              = settings->seed;
    return true;
}

static bool open_session(struct generation *generation, const struct settings *settings, calmoe_policy **policy,
                         calmoe_constraint **constraint)
{
    double quality;
    calmoe_sampler_options sampler;
    if (!cm_policy_request_open(generation->front, &settings->policy, policy, &quality) ||
        !cm_policy_request_choose(generation->front, &settings->policy, !settings->engine.no_tune, *policy) ||
        !choose_sampler(generation->front, settings, &sampler) ||
        !open_constraint(generation->front, settings, constraint))
        return false;
    if (settings->verbose) cm_policy_say_costs(*policy);
    sampler.constraint = *constraint;
    calmoe_session_options session;
    calmoe_session_options_init(&session);
    session.context        = settings->context;
    session.ignore_end     = settings->ignore_eos;
    session.chat_format    = settings->chat_format;
    session.hash_logits    = settings->logit_hash;
    session.sampler        = &sampler;
    session.policy         = *policy;
    session.quality        = quality;
    session.lossless       = settings->policy.lossless ? CALMOE_LOSSLESS_WHERE_FASTER : CALMOE_LOSSLESS_OFF;
    if (settings->audit >= 0) session.audit = settings->audit > 0 ? CALMOE_AUDIT_REQUIRED : CALMOE_AUDIT_NEVER;
    if (settings->audit > 0) session.audit_share = (double)settings->audit;
    calmoe_engine *const engine = generation->front->engine;
    const char *const    file = settings->restore != NULL ? settings->restore : settings->context_file;
    const calmoe_status status =
        file != NULL ? calmoe_session_restore(engine, file, &session, &generation->session)
                     : calmoe_session_open(engine, &session, &generation->session);
    if (!cm_front_succeeded(generation->front, status)) return false;
    if (!settings->policy.lossless) cm_policy_say(*policy, generation->session);
    return true;
}

/* Sets what --show-exits and --color ask for. */
static void begin_colors(struct generation *generation, const struct settings *settings)
{
    enum { AUTO, ALWAYS };
    calmoe_model_info info = {.size = sizeof info};
    if (!settings->show_exits || calmoe_model_get_info(generation->front->model, &info) != CALMOE_OK) return;
    generation->exits.is_on    = true;
    generation->exits.n_layers = info.n_layers;
    generation->exits.is_drawn = !settings->json && (settings->color == ALWAYS ||
                                                     (settings->color == AUTO && isatty(STDOUT_FILENO)));
}

/* ---- a plain run ---- */

static bool read_prompt(const struct settings *settings, struct bytes *text)
{
    if (settings->file != NULL) return cm_bytes_read_file(text, settings->file);
    return settings->prompt == NULL || cm_bytes_append(text, settings->prompt, strlen(settings->prompt));
}

/* Feeds a whole text as a user's turn, without its last line end. */
static bool feed_turn(struct generation *generation, const struct settings *settings, struct bytes *text)
{
    size_t n = text->n;
    if (n > 0 && text->at[n - 1] == '\n') n--;
    if (n > 0 && n < text->n && text->at[n - 1] == '\r') n--;
    if (n > 0 && memchr(text->at, '\0', n) != NULL) {
        cm_say("a turn holds no byte 0, and the text does");
        return false;
    }
    text->n = n;
    if (!cm_bytes_append(text, "", 1)) return false;
    text->n = n;
    return cm_front_succeeded(generation->front,
                              cm_feed_turn(generation, settings->system, text->at));
}

static bool feed(struct generation *generation, const struct settings *settings, struct bytes *text)
{
    const unsigned special = settings->special ? CALMOE_TOKENIZE_SPECIAL : 0u;
    const unsigned bos = calmoe_session_n_tokens(generation->session) == 0 ? CALMOE_TOKENIZE_BOS : 0u;
    if (settings->chat) return feed_turn(generation, settings, text);
    return cm_front_succeeded(generation->front,
                              calmoe_session_feed_text(generation->session, text->n > 0 ? text->at : "", text->n,
                                                       bos | special));
}

/* Says what ended the run, if the user may not expect it. */
static void say_end(const struct generation *generation, const struct settings *settings,
                    enum answer_end end)
{
    if (end == ANSWER_FULL)
        cm_say("the context of %d tokens is full; -c allows more",
               calmoe_session_context(generation->session));
    else if (end == ANSWER_LIMIT && settings->tokens == TOKENS_NOT_GIVEN)
        cm_say("stopped after %d tokens; -n sets the limit", DEFAULT_TOKENS);
    else if (end == ANSWER_INTERRUPTED)
        cm_say("interrupted");
}

static bool print_results(const struct generation *generation, const struct settings *settings)
{
    static const char label[] = "logit hash: ";
    char              hash[65] = "";
    if (settings->logit_hash &&
        !cm_front_succeeded(generation->front, calmoe_session_logit_hash(generation->session, hash)))
        return false;
    if (settings->json)
        return cm_answer_json_print(generation, settings->policy.lossless, settings->logit_hash ? hash : NULL);
    if (settings->tokens != 0 && !cm_put("\n", 1)) return false;
    return !settings->logit_hash ||
           (cm_put(label, strlen(label)) && cm_put(hash, strlen(hash)) && cm_put("\n", 1));
}

/* Runs from the prompt to the end of all output. */
static int answer(struct generation *generation, const struct settings *settings, const calmoe_policy *policy,
                  struct bytes *prompt)
{
    int n_tokens;
    if (!feed(generation, settings, prompt)) return 1;
    cm_catch_interrupt();
    const enum answer_end end = cm_generate(generation, &n_tokens);
    if (end == ANSWER_ENDED && generation->times.n_prompt == 0) {
        cm_say(settings->restore != NULL
                   ? "all of the session is read: there is nothing to go on from without -p or -f"
                   : "the text is empty and the model has no start token: there is nothing to go on from");
        return 1;
    }
    if (end == ANSWER_FAILED || !print_results(generation, settings)) return 1;
    if (settings->html != NULL && !cm_depth_page_write(generation, prompt->n > 0 ? prompt->at : "", prompt->n, policy,
                                                       settings->html))
        return 1;
    say_end(generation, settings, end);
    return 0;
}

static int run_plain(struct generation *generation, const struct settings *settings, const calmoe_policy *policy)
{
    struct bytes prompt = {0};
    generation->prints     = !settings->json;
    generation->keeps      = settings->json != 0 || settings->html != NULL;
    generation->keeps_uses = settings->show_exits != 0 || settings->html != NULL;
    const int status = read_prompt(settings, &prompt) ? answer(generation, settings, policy, &prompt) : 1;
    cm_bytes_close(&prompt);
    return status;
}

static int run_session(struct generation *generation, const struct settings *settings, const calmoe_policy *policy)
{
    const bool has_text = settings->prompt != NULL || settings->file != NULL;
    bool       was_interrupted = false;
    if (settings->context_file != NULL && !cm_context_begin(generation, settings->context_file, settings->chat != 0))
        return 1;
    if (settings->questions == NULL)
        return settings->chat && !has_text ? cm_chat(generation, settings->system)
                                           : run_plain(generation, settings, policy);
    cm_catch_interrupt();
    if (!cm_context_answer_lines(generation, settings->questions, settings->chat != 0, &was_interrupted)) return 1;
    if (was_interrupted) cm_say("interrupted");
    return 0;
}

/* With -n 0 a token was sampled that nobody saw; it is removed. */
static bool save(const struct generation *generation, const struct settings *settings)
{
    calmoe_session *session = generation->session;
    calmoe_status   status  = CALMOE_OK;
    if (settings->save == NULL) return true;
    if (cm_interrupted()) status = calmoe_session_feed_tokens(session, NULL, 0); /* ends the interruption */
    else if (settings->tokens == 0) status = calmoe_session_rewind(session, calmoe_session_n_positions(session));
    if (status == CALMOE_OK) status = calmoe_session_save(session, settings->save);
    return cm_front_succeeded(generation->front, status);
}

static int run(int argc, char **argv)
{
    struct settings   settings   = {.tokens = TOKENS_NOT_GIVEN, .temperature = -1, .top_k = -1, .top_p = -1,
                                    .min_p = -1, .repeat_penalty = -1, .repeat_last = -1, .batch = 512, .audit = -1,
                                    .engine = {.pin = CALMOE_PIN_AUTO}};
    struct front      front      = {0};
    struct generation generation = {.front = &front};
    calmoe_trace_writer *trace    = NULL;
    calmoe_policy       *policy   = NULL;
    calmoe_constraint   *constraint = NULL;
    struct chat_history history   = {.n_before = 0};
    struct adapters   adapters    = {.n = 0};
    bool              is_whole    = false;
    int               n_operands;
    int               status = cm_cli_parse(&description, argc, argv, &settings, &n_operands);
    if (status == CLI_GO_ON) status = check(&settings);
    if (status != CLI_GO_ON) return status;

    generation.max_tokens = settings.tokens == TOKENS_NOT_GIVEN ? DEFAULT_TOKENS : settings.tokens;
    generation.prints     = true;
    if (!open_engine(&front, &settings, &trace, &is_whole) || !cm_adapters_open(&front, &settings.loras, &adapters) ||
        !open_stops(&generation, &settings) || !open_session(&generation, &settings, &policy, &constraint) ||
        !cm_adapters_use(&front, &adapters, generation.session)) {
        status = 1;
    } else {
        begin_colors(&generation, &settings);
        if (is_whole) generation.history = &history;
        status = run_session(&generation, &settings, policy);
        if (status == 0) cm_print_times(&generation.times);
        if (status == 0 && !cm_disk_say(&front)) status = 1;
        if (status == 0) cm_exit_colors_say(&generation.exits);
        if (status == 0) cm_lossless_say(generation.session);
        if (status == 0) cm_audit_say(generation.session);
        if (status == 0 && !save(&generation, &settings)) status = 1;
    }
    if (!cm_front_succeeded(&front, calmoe_trace_writer_close(&trace))) status = 1;
    cm_generation_close(&generation);
    calmoe_stops_close(&generation.stops);
    cm_history_close(&history);
    calmoe_session_close(&generation.session);
    cm_adapters_close(&adapters);
    calmoe_constraint_close(&constraint);
    calmoe_policy_close(&policy);
    cm_front_close(&front);
    return status;
}

const struct command cm_command_run = {
    .name    = "run",
    .summary = "continue a text, or converse",
    .run     = run,
};
