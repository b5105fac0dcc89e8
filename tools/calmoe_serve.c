/* tools/calmoe_serve.c - `calmoe serve`: the command line, signals, and the order in which the parts start and end. */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "tools/command.h"
#include "tools/engine_request.h"
#include "tools/front.h"
#include "tools/serve/server.h"

enum { MAX_ROWS = 1 << 16, MAX_SLOTS = 256, MAX_QUEUE = 1 << 16, MORE_CONNECTIONS = 256,
       TICK_MILLISECONDS = 50, LOOK_MILLISECONDS = 1000,
       FAREWELL_SECONDS = 5 /* for telling clients whose answers were ended */ };

struct settings {
    const char *model, *host, *name, *key_file, *slot_folder;
    int         port, context, slots, queue, queue_seconds, drain, max_body, cache, unread, idle, ping, batch,
                step_rows, open, half_close;
    float       temperature, top_p, min_p, repeat_penalty;
    int         top_k;
    struct cli_list keys, origins, hosts, loras;
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
    {"model", 'm', CLI_TEXT, AT(model), 0, 0, "MODEL",
     "GGUF file, or the first of its shards (default: the embedded model)"},
    {"lora", 0, CLI_LIST, AT(loras), 0, 0, "ADAPTER[:SCALE]",
     "an adapter (LoRA) by GGUF or PEFT, so strong (default 1) where a request does not say; may be repeated"},
    {"host", 0, CLI_TEXT, AT(host), 0, 0, "ADDRESS", "where to listen (default 127.0.0.1: this machine only)"},
    {"port", 0, CLI_INT, AT(port), 0, 65535, "PORT", "0 = any that is free, which is told (default 8080)"},
    {"api-key", 0, CLI_LIST, AT(keys), 0, 0, "KEY", "requests must bring it; may be repeated"},
    {"api-key-file", 0, CLI_TEXT, AT(key_file), 0, 0, "FILE", "keys, one a line"},
    {"open", 0, CLI_FLAG, AT(open), 0, 0, NULL, "listen to other machines although no key is needed"},
    {"alias", 0, CLI_TEXT, AT(name), 0, 0, "NAME", "the model's name for clients (default: the file's)"},
    {"context", 'c', CLI_INT, AT(context), 0, 1 << 24, "N",
     "room for N tokens in each slot, 0 = what the model was trained for (default)"},
    {"parallel", 0, CLI_INT, AT(slots), 1, MAX_SLOTS, "N", "requests at once, each in a slot (default 4)"},
    {"queue", 0, CLI_INT, AT(queue), 0, MAX_QUEUE, "N", "requests that may wait for a slot; more get 429 (default 64)"},
    {"queue-timeout", 0, CLI_INT, AT(queue_seconds), 0, INT_MAX, "SECONDS",
     "how long one may wait before it gets 503, 0 = for ever (default)"},
    {"batch", 0, CLI_INT, AT(batch), 1, MAX_ROWS, "ROWS", "tokens in one step at most (default 512)"},
    {"step-rows", 0, CLI_INT, AT(step_rows), 0, MAX_ROWS, "ROWS",
     "of them from prompts: how long a long prompt holds up other answers; 0 = all (default 128)"},
    {"cache-ram", 0, CLI_INT, AT(cache), 0, INT_MAX, "MIB",
     "what idle slots may keep of what they read, for prompts that begin alike (default 4096)"},
    {"slot-save-path", 0, CLI_TEXT, AT(slot_folder), 0, 0, "FOLDER", "where slots may be saved (default: nowhere)"},
    {"temp", 0, CLI_REAL, AT(temperature), 0, 1000, "T", "temperature where a request has none (default 0.8)"},
    {"top-k", 0, CLI_INT, AT(top_k), 0, INT_MAX, "K", "the same for top_k, 0 = off (default 40)"},
    {"top-p", 0, CLI_REAL, AT(top_p), 0, 1, "P", "the same for top_p, 1 = off (default 0.95)"},
    {"min-p", 0, CLI_REAL, AT(min_p), 0, 1, "P", "the same for min_p, 0 = off (default 0.05)"},
    {"repeat-penalty", 0, CLI_REAL, AT(repeat_penalty), 0.01, 100, "R", "the same for repeat_penalty (default 1: off)"},
    {"cors-origin", 0, CLI_LIST, AT(origins), 0, 0, "ORIGIN",
     "only pages of ORIGIN may read answers, with credentials; may be repeated (default: all, without)"},
    {"allow-host", 0, CLI_LIST, AT(hosts), 0, 0, "NAME",
     "a name of this server, beside its addresses and localhost; * = any; may be repeated"},
    {"max-body", 0, CLI_INT, AT(max_body), 1, 1 << 16, "MIB", "how large a request may be (default 32)"},
    {"max-unread", 0, CLI_INT, AT(unread), 1, 1 << 20, "KIB",
     "what may wait of an answer that its client does not read; then it is cancelled (default 1024)"},
    {"timeout", 0, CLI_INT, AT(idle), 1, INT_MAX, "SECONDS",
     "after which a connection is closed on which nothing moves (default 120)"},
    {"ping", 0, CLI_INT, AT(ping), 0, INT_MAX, "SECONDS",
     "between comments in streams that have nothing to say, 0 = none (default 10)"},
    {"half-close", 0, CLI_FLAG, AT(half_close), 0, 0, NULL,
     "clients that end their side of the connection still get their answer"},
    {"drain", 0, CLI_INT, AT(drain), 0, INT_MAX, "SECONDS",
     "that requests have to end after SIGTERM (default 30)"},
    ENGINE_REQUEST_ROWS(AT_ENGINE),
    {"policy", 0, CLI_TEXT, AT(policy.file), 0, 0, "FILE",
     "answers leave out layers and experts as this file of proven bounds says"},
    {"quality", 0, CLI_TEXT, AT(policy.quality), 0, 0, "DELTA",
     "risk that may be, 1%, where a request does not say another (default: the policy's safest)"},
    {"costs", 0, CLI_TEXT, AT(policy.costs), 0, 0, "time|bytes|FILE",
     "of several policies proven for a bound take the cheapest by time here (default), bytes, or a costs file"},
    {"exits", 0, CLI_TEXT, AT(policy.exits), 0, 0, "FILE",
     "exits fitted to the model: calmoe fit-exits writes them"},
    MODEL_REQUEST_ROWS(AT_NUMBER),
    MEMORY_REQUEST_ROWS(AT_MEMORY),
};

static const struct cli_command description = {
    .name      = "calmoe serve",
    .summary   = "Answers requests over HTTP, as OpenAI's API and others have it; a page at / converses.",
    .options   = options,
    .n_options = sizeof options / sizeof options[0],
    .notes     =
        "Once the model is loaded, a line on stdout says where it is served. SIGTERM or Ctrl-C ends it: requests that\n"
        "are at work have --drain seconds to end; a second one ends them at once. docs/SERVER.md has all endpoints\n"
        "and fields.\n\n"
        "Example:\n  calmoe serve -m model.gguf\n"
        "  curl http://127.0.0.1:8080/v1/chat/completions \\\n"
        "       -d '{\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]}'\n",
};

/* ---- keys ---- */

/* The file's lines that are not empty become keys; they point into its bytes, which stay in memory. */
static bool read_keys(const char *path, struct bytes *file, struct text_list *keys)
{
    if (!cm_bytes_read_file(file, path) || !cm_bytes_append(file, "\n", 2)) return false;
    for (char *line = file->at; *line != '\0';) {
        char *const end = line + strcspn(line, "\r\n");
        const bool  is_empty = end == line;
        if (*end != '\0') *end = '\0';
        if (!is_empty) {
            const char **larger = realloc(keys->at, ((size_t)keys->n + 1) * sizeof *keys->at);
            if (larger == NULL) return false;
            keys->at            = larger;
            keys->at[keys->n++] = line;
        }
        line = end + 1;
        if ((size_t)(line - file->at) >= file->n) break;
    }
    if (keys->n == 0) cm_say("'%s' holds no keys", path);
    return keys->n > 0;
}

static bool collect_keys(const struct settings *settings, struct bytes *file, struct text_list *keys)
{
    keys->at = calloc((size_t)settings->keys.n + 1, sizeof *keys->at);
    if (keys->at == NULL) return false;
    for (int i = 0; i < settings->keys.n; i++) keys->at[keys->n++] = settings->keys.values[i];
    return settings->key_file == NULL || read_keys(settings->key_file, file, keys);
}

static bool is_this_machine(const char *host)
{
    return strcmp(host, "localhost") == 0 || strcmp(host, "::1") == 0 || strncmp(host, "127.", 4) == 0;
}

static int check(const struct settings *settings)
{
    if (!is_this_machine(settings->host) && settings->keys.n == 0 && settings->key_file == NULL && !settings->open)
        return cm_usage_error(description.name, "other machines could use the model by '--host %s': wanted --api-key, "
                                                "or --open where that is meant", settings->host);
    for (int i = 0; i < settings->keys.n; i++)
        if (settings->keys.values[i][0] == '\0')
            return cm_usage_error(description.name, "option '--api-key' wants a text, found an empty one");
    if (settings->ping >= settings->idle)
        return cm_usage_error(description.name, "option '--ping' wants less than --timeout, %d, found '%d'",
                              settings->idle, settings->ping);
    if (!cm_memory_request_is_fine(description.name, &settings->memory, settings->engine.plan)) return EXIT_WRONG_USAGE;
    return cm_policy_request_check(description.name, &settings->policy, NULL);
}

/* ---- the server ---- */

/* The file's name without folder and ending. */
static char *model_name(const struct settings *settings)
{
    const char *path = settings->model != NULL ? settings->model : "calmoe-nano";
    if (settings->name != NULL) return strdup(settings->name);
    if (strrchr(path, '/') != NULL) path = strrchr(path, '/') + 1;
    const size_t n = strlen(path);
    return strndup(path, n > 5 && strcmp(path + n - 5, ".gguf") == 0 ? n - 5 : n);
}

struct loaded {
    struct server         *server;
    const struct settings *settings;
};

/* The sampler for requests that do not set their own: the command line's options, else the file's advice, else these
 * defaults. */
static void set_sampler(void *user, const calmoe_model *model)
{
    const struct settings *const  settings = ((const struct loaded *)user)->settings;
    calmoe_sampler_options *const sampler = &((const struct loaded *)user)->server->sampler;
    calmoe_sampler_options_init(sampler);
    sampler->temperature = 0.8f;
    sampler->top_k       = 40;
    sampler->top_p       = 0.95f;
    sampler->min_p       = 0.05f;
    (void)calmoe_model_sampler_defaults(model, sampler);
    if (settings->temperature >= 0) sampler->temperature = settings->temperature;
    if (settings->top_k >= 0) sampler->top_k = settings->top_k;
    if (settings->top_p >= 0) sampler->top_p = settings->top_p;
    if (settings->min_p >= 0) sampler->min_p = settings->min_p;
    if (settings->repeat_penalty >= 0) sampler->repeat_penalty = settings->repeat_penalty;
}

static struct service *open_service(const struct settings *settings, struct loaded *loaded)
{
    struct service_options service = {
        .model = settings->model, .numbers = settings->numbers, .policy = settings->policy,
        .context = settings->context, .n_slots = settings->slots, .step_rows = settings->step_rows,
        .loras = settings->loras,
        .max_queue = settings->queue, .queue_seconds = settings->queue_seconds,
        .cache_bytes = (double)settings->cache * 1048576.0, .max_unread_bytes = (size_t)settings->unread * 1024,
        .on_loaded = set_sampler, .on_loaded_user = loaded};
    service.engine          = cm_engine_request_options(&settings->engine);
    service.engine.max_rows = settings->batch;
    service.engine.exits    = settings->policy.exits;
    cm_memory_request_set(&settings->memory, &service.engine);
    return cm_service_open(&service);
}

/* A descriptor that receives SIGTERM and Ctrl-C, which are blocked in all threads; -1 if there is none. */
static int open_signals(void)
{
    sigset_t signals;
    (void)sigemptyset(&signals);
    (void)sigaddset(&signals, SIGTERM);
    (void)sigaddset(&signals, SIGINT);
    if (pthread_sigmask(SIG_BLOCK, &signals, NULL) != 0) return -1;
    return signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* Whether a signal has arrived; waits so many milliseconds for it. */
static bool has_signal(int fd, int milliseconds)
{
    struct pollfd           wait = {.fd = fd, .events = POLLIN};
    struct signalfd_siginfo info;
    int                     n;
    do n = poll(&wait, 1, milliseconds);
    while (n < 0 && errno == EINTR);
    return n > 0 && read(fd, &info, sizeof info) == (ssize_t)sizeof info;
}

static bool say_where(const struct server *server, const struct settings *settings, int port)
{
    const bool is_v6 = strchr(settings->host, ':') != NULL;
    char       line[512];
    (void)snprintf(line, sizeof line, "%s is served at http://%s%s%s:%d\n", server->name, is_v6 ? "[" : "",
                   settings->host, is_v6 ? "]" : "", port);
    return cm_put(line, strlen(line));
}

/* Waits until all requests are answered, for so many seconds at most, or until the next signal. */
static void let_tell(struct http_server *http, int seconds, int signals)
{
    const double until = cm_seconds() + seconds;
    while (cm_http_n_answering(http) > 0 && cm_seconds() < until && !has_signal(signals, TICK_MILLISECONDS)) {}
}

/* Serves until the service is told to end and running requests have got their answers. */
static bool serve(struct server *server, struct http_server *http, const struct settings *settings, int signals)
{
    while (cm_service_state(server->service) == SERVICE_LOADING)
        if (has_signal(signals, TICK_MILLISECONDS)) return true;
    if (cm_service_state(server->service) != SERVICE_READY) return false;
    if (!say_where(server, settings, cm_http_port(http))) return false;
    while (cm_service_state(server->service) == SERVICE_READY && !has_signal(signals, LOOK_MILLISECONDS)) {}
    const bool is_well = cm_service_state(server->service) == SERVICE_READY;
    cm_http_stop_listening(http);
    cm_service_drain(server->service);
    let_tell(http, settings->drain, signals);
    return is_well;
}

static int run_server(struct server *server, const struct settings *settings, int signals)
{
    const struct http_options listen = {
        .host = settings->host, .port = settings->port, .max_body = (size_t)settings->max_body << 20,
        .max_connections = settings->slots + settings->queue + MORE_CONNECTIONS, .idle_seconds = settings->idle,
        .half_close = settings->half_close, .handle = cm_route, .refuse = cm_route_refusal, .user = server};
    struct loaded       loaded = {.server = server, .settings = settings};
    struct http_server *http = NULL;
    bool                is_fine = (server->service = open_service(settings, &loaded)) != NULL;
    if (is_fine && cm_http_open(&listen, &http)) is_fine = serve(server, http, settings, signals);
    else is_fine = false;
    if (server->service != NULL) cm_service_end(server->service);
    if (http != NULL) let_tell(http, FAREWELL_SECONDS, signals);
    cm_http_close(&http);
    cm_service_close(&server->service);
    return is_fine ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int run(int argc, char **argv)
{
    struct settings settings = {.host = "127.0.0.1", .port = 8080, .slots = 4, .queue = 64, .step_rows = 128,
                                .cache = 4096, .temperature = -1, .top_k = -1, .top_p = -1, .min_p = -1,
                                .repeat_penalty = -1, .max_body = 32, .unread = 1024, .idle = 120, .ping = 10,
                                .drain = 30, .engine = {.pin = CALMOE_PIN_AUTO}};
    int             n_operands;
    struct bytes    key_file = {0};
    struct server   server = {.started = time(NULL)};
    int             status = cm_cli_parse(&description, argc, argv, &settings, &n_operands);
    if (status == CLI_GO_ON) status = check(&settings);
    if (status != CLI_GO_ON) return status;
    char *const name = model_name(&settings);
    const int   signals = open_signals();
    server.name         = name;
    server.slot_folder  = settings.slot_folder;
    server.ping_seconds = settings.ping;
    server.origins      = (struct text_list){settings.origins.values, settings.origins.n};
    server.hosts        = (struct text_list){settings.hosts.values, settings.hosts.n};
    status              = EXIT_FAILURE;
    if (name == NULL || signals < 0) cm_say("the system has no memory or no descriptor for the server");
    else if (collect_keys(&settings, &key_file, &server.keys)) status = run_server(&server, &settings, signals);
    if (signals >= 0) (void)close(signals);
    free(server.keys.at);
    cm_bytes_close(&key_file);
    free(name);
    return status;
}

const struct command cm_command_serve = {"serve", "answer requests over HTTP, as OpenAI's API does", run};
