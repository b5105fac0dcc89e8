/* tools/calmoe_context.c - `calmoe context`: reads a text once, so that `calmoe run --context-file` can continue from
 * it. */
#include <limits.h>
#include <stdio.h>

#include "tools/command.h"
#include "tools/context_file.h"
#include "tools/engine_request.h"
#include "tools/output_file.h"

struct settings {
    const char *model, *file, *output;
    int         context, batch, chat, special;
    struct engine_request engine;
    struct model_request  numbers;
};

#define AT(member) offsetof(struct settings, member)
#define AT_ENGINE(member) offsetof(struct settings, engine.member)
#define AT_NUMBER(member) offsetof(struct settings, numbers.member)
static const struct cli_option options[] = {
    {"model", 'm', CLI_INPUT, AT(model), 0, 0, "MODEL",
     "GGUF file, or the first of its shards (default: the embedded model)"},
    {"file", 'f', CLI_INPUT, AT(file), 0, 0, "FILE", "the text, byte for byte; - reads standard input"},
    {"output", 'o', CLI_OUTPUT, AT(output), 0, 0, "FILE", "where to write what was read"},
    {"chat", 0, CLI_FLAG, AT(chat), 0, 0, NULL,
     "the text is the system text of conversations, as the model's chat template writes them"},
    {"special", 0, CLI_FLAG, AT(special), 0, 0, NULL,
     "control tokens such as <|im_start|> in the text are tokens, not text"},
    {"context", 'c', CLI_INT, AT(context), 0, 1 << 24, "N",
     "room for N tokens in all, questions and answers too, 0 = what the model was trained for (default)"},
    {"batch", 0, CLI_INT, AT(batch), 1, 1 << 16, "ROWS", "read the text in steps of ROWS tokens (default 512)"},
    ENGINE_REQUEST_ROWS(AT_ENGINE),
    MODEL_REQUEST_ROWS(AT_NUMBER),
};

static const struct cli_command description = {
    .name      = "calmoe context",
    .summary   = "Reads a text once, so that many questions can be asked about it without reading it again.",
    .options   = options,
    .n_options = sizeof options / sizeof options[0],
    .notes     =
        "The file has the text's keys and values, the text itself and its name. It is of one model, with one type of\n"
        "keys and values (--kv). One line on stdout says what is in it.\n\n"
        "Example:\n  calmoe context -m model.gguf -f manual.txt --chat -o manual.context\n"
        "  calmoe run -m model.gguf --context-file manual.context --chat -p \"How do I begin?\"\n"
        "  calmoe run -m model.gguf --context-file manual.context --chat --questions questions.txt\n",
};

static int check(const struct settings *settings)
{
    if (settings->file == NULL) return cm_usage_error(description.name, "wanted a text, -f FILE; found none");
    if (settings->output == NULL)
        return cm_usage_error(description.name, "wanted a file to write, -o FILE; found none");
    if (settings->chat && settings->special)
        return cm_usage_error(description.name, "option '--special' wants a plain text, found --chat");
    return CLI_GO_ON;
}

static bool open_session(struct generation *generation, struct front *front, const struct settings *settings)
{
    calmoe_engine_options  engine = cm_engine_request_options(&settings->engine);
    calmoe_session_options session;
    calmoe_session_options_init(&session);
    engine.max_rows = settings->batch;
    session.context = settings->context;
    return cm_model_request_open(front, settings->model, &settings->numbers, 0) &&
           cm_front_open_engine(front, &engine) &&
           cm_front_succeeded(front, calmoe_stops_open(front->context, NULL, NULL, 0, &generation->stops)) &&
           cm_front_succeeded(front, calmoe_session_open(front->engine, &session, &generation->session));
}

/* Reads everything that was fed. The token that is sampled after it is ignored. */
static bool read_text(struct generation *generation)
{
    int n_tokens;
    cm_catch_interrupt();
    const enum answer_end end = cm_generate(generation, &n_tokens);
    if (end == ANSWER_INTERRUPTED) cm_say("interrupted; nothing was written");
    if (end == ANSWER_INTERRUPTED || end == ANSWER_FAILED) return false;
    return cm_front_succeeded(generation->front,
                              calmoe_session_rewind(generation->session,
                                                    calmoe_session_n_positions(generation->session)));
}

static bool make(struct generation *generation, const struct settings *settings, const struct bytes *text)
{
    const unsigned flags = CALMOE_TOKENIZE_BOS | (settings->special ? CALMOE_TOKENIZE_SPECIAL : 0u);
    calmoe_source  source = {.size = sizeof source};
    char           line[1024];
    if (!cm_context_feed(generation->front, generation->session, settings->file, text, settings->chat != 0, flags))
        return false;
    if (calmoe_session_n_tokens(generation->session) == 0) {
        cm_say("'%s' holds no text, and the model has no token that begins one", settings->file);
        return false;
    }
    if (!read_text(generation) ||
        !cm_front_succeeded(generation->front, calmoe_session_save(generation->session, settings->output)) ||
        !cm_front_succeeded(generation->front, calmoe_session_source(generation->session, &source)))
        return false;
    const int n = snprintf(line, sizeof line, "%.300s: %d tokens of '%.300s', %zu bytes, SHA-256 %s\n",
                           settings->output, calmoe_session_n_positions(generation->session), source.name,
                           source.n_bytes, source.sha256);
    return cm_put(line, (size_t)n);
}

static int run(int argc, char **argv)
{
    struct settings   settings = {.batch = 512, .engine = {.pin = CALMOE_PIN_AUTO}};
    struct front      front = {0};
    struct generation generation = {.front = &front};
    struct bytes      text = {0};
    int               n_operands, status = cm_cli_parse(&description, argc, argv, &settings, &n_operands);
    if (status == CLI_GO_ON) status = check(&settings);
    if (status != CLI_GO_ON) return status;
    const bool is_made = cm_can_write(settings.output) && cm_bytes_read_file(&text, settings.file) &&
                         open_session(&generation, &front, &settings) && make(&generation, &settings, &text);
    if (is_made) cm_print_times(&generation.times);
    cm_bytes_close(&text);
    cm_generation_close(&generation);
    calmoe_stops_close(&generation.stops);
    calmoe_session_close(&generation.session);
    cm_front_close(&front);
    return is_made ? 0 : 1;
}

const struct command cm_command_context = {
    .name    = "context",
    .summary = "read a text once, to ask many questions about it",
    .run     = run,
};
