/* augment.c - makes data for fine-tuning from a document, with the model that is to learn it. A model that reads "A is
 * B" in training does not learn "B is A" from it. So each statement is also put into other words and reversed (local),
 * and conclusions are drawn from the whole document (global).
 *
 *     augment [-m MODEL.gguf] [-l ADAPTER] [-n CANDIDATES] [-v VOTES] [-g GAIN] DOCUMENT.txt > data.jsonl
 *
 * The same model judges what it wrote, by two measures. Gain: how much likelier a text becomes, in nats a token, when
 * the model has read the document; a text that is not about the document gains little. Votes: the question whether it
 * is true is asked in three ways, and the votes are those in which the document moves the model from no towards yes.
 * Each line of the output is a JSON object with "text", for trainers, and with its origin. Without -m, the model that
 * comes with the library is used. */
#include <calmoe/adapter.h>
#include <calmoe/calmoe.h>

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_DOCUMENT = 1 << 16, MAX_TEXT = 2048, LINE_TOKENS = 48 };

struct augment {
    calmoe_context *context;
    calmoe_model   *model;
    calmoe_engine  *engine;
    calmoe_adapter *adapter;    /* used for writing and judging; or NULL     */
    calmoe_session *informed;   /* has read the document                     */
    calmoe_session *uninformed; /* has not read the document                 */
    int             n_candidates, min_votes, n_made, n_kept;
    double          min_gain;
};

static const struct strategy {
    const char *name;
    const char *prompt; /* %s stands for the statement; the global one has none */
} strategies[] = {
    { "rephrase", "\n\nStatement: The lamp stands on the table.\nIn other words: There is a lamp on the table.\n\n"
                  "Statement: %s\nIn other words:" },
    { "reverse", "\n\nStatement: The lamp stands on the table.\nTurned round: On the table stands the lamp.\n\n"
                 "Statement: %s\nTurned round:" },
    { "global", "\n\nWhat follows from this text, in one sentence:" },
};

static const char *const questions[] = { "\n\nIs it true that %s Answer:", "\n\nStatement: %s\nTrue, yes or no:",
                                         "\n\n%s\nDoes the text above say so? Answer:" };
enum { N_QUESTIONS = sizeof questions / sizeof questions[0] };

/* Formats a prompt; the format has one %s at most. */
static int fill(char *out, size_t capacity, const char *format, const char *text)
{
    const char  *place = strstr(format, "%s");
    const size_t n = place ? (size_t)(place - format) : strlen(format);
    return snprintf(out, capacity, "%.*s%s%s", (int)n, format, place ? text : "", place ? place + 2 : "") <
           (int)capacity;
}

/* Opens a session that has read the text and has nothing pending. */
static calmoe_status open_reader(struct augment *a, const char *text, calmoe_session **session)
{
    static int32_t tokens[MAX_DOCUMENT];
    size_t         n;
    const float    scale = 1.0f;
    calmoe_status  status = calmoe_session_open(a->engine, NULL, session);
    if (status == CALMOE_OK) status = calmoe_session_set_adapters(*session, &a->adapter, &scale, a->adapter ? 1 : 0);
    if (status == CALMOE_OK)
        status = calmoe_tokenize(a->context, a->model, text, strlen(text), CALMOE_TOKENIZE_BOS, tokens, MAX_DOCUMENT,
                                 &n);
    for (size_t i = 0; status == CALMOE_OK && i < n; i += 256) {
        const calmoe_chunk chunk = { *session, tokens + i, (int)(n - i < 256 ? n - i : 256), CALMOE_LOGITS_NONE };
        status = calmoe_engine_step(a->engine, &chunk, 1);
    }
    return status;
}

/* The mean log-probability of the tokens of text, after what the session has read and `before`. */
static calmoe_status judge(const calmoe_session *from, const char *before, const char *text, double *mean)
{
    calmoe_session *fork = NULL;
    int32_t         sampled;
    int             begin = 0, end = 0;
    calmoe_status   status = calmoe_session_fork(from, &fork);
    if (status == CALMOE_OK) status = calmoe_session_keep_logprobs(fork, 0);
    if (status == CALMOE_OK) status = calmoe_session_feed_text(fork, before, strlen(before), 0);
    if (status == CALMOE_OK) begin = calmoe_session_n_tokens(fork);
    if (status == CALMOE_OK) status = calmoe_session_feed_text(fork, text, strlen(text), 0);
    if (status == CALMOE_OK) end = calmoe_session_n_tokens(fork);
    if (status == CALMOE_OK) status = calmoe_session_next(fork, &sampled); /* reads all of it */
    if (status == CALMOE_END) status = CALMOE_OK;
    *mean = 0.0;
    for (int i = begin; i < end && status == CALMOE_OK; i++) {
        float logprob;
        status = calmoe_session_kept_logprobs(fork, i, &logprob, 0, NULL, NULL);
        *mean += (double)logprob / (end - begin);
    }
    calmoe_session_close(&fork);
    return status;
}

/* Writes one line after the prompt, drawn with its own seed. */
static calmoe_status write_line(struct augment *a, const char *prompt, int seed, char *line, size_t capacity)
{
    calmoe_sampler_options sampler;
    calmoe_text_stream     stream = { { 0 } };
    calmoe_session        *fork = NULL;
    int32_t                token;
    size_t                 n = 0;
    calmoe_sampler_options_init(&sampler);
    sampler.temperature = 0.7f;
    sampler.top_p = 0.9f;
    sampler.seed = (uint64_t)seed;
    calmoe_status status = calmoe_session_fork(a->informed, &fork);
    if (status == CALMOE_OK) status = calmoe_session_set_sampler(fork, &sampler);
    if (status == CALMOE_OK) status = calmoe_session_set_limits(fork, LINE_TOKENS, 0);
    if (status == CALMOE_OK) status = calmoe_session_feed_text(fork, prompt, strlen(prompt), 0);
    while (status == CALMOE_OK && (status = calmoe_session_next(fork, &token)) == CALMOE_OK) {
        char text[1024];
        if ((status = calmoe_text_stream_put(a->model, &stream, token, text, sizeof text)) != CALMOE_OK) break;
        const size_t n_bytes = strcspn(text, "\n"), n_all = strlen(text);
        const size_t n_blank = n == 0 ? strspn(text, " ") : 0;
        if (n_bytes < n_blank || n + n_bytes - n_blank >= capacity) break;
        memcpy(line + n, text + n_blank, n_bytes - n_blank);
        n += n_bytes - n_blank;
        if (n_bytes < n_all && n > 0) break;
    }
    line[n] = '\0';
    calmoe_session_close(&fork);
    return status == CALMOE_END ? CALMOE_OK : status;
}

static void print_json_text(const char *text)
{
    putchar('"');
    for (; *text; text++) {
        if (*text == '"' || *text == '\\') printf("\\%c", *text);
        else if (iscntrl((unsigned char)*text)) printf("\\u%04x", (unsigned)(unsigned char)*text);
        else putchar(*text);
    }
    putchar('"');
}

/* How much likelier the session would answer yes than no. */
static calmoe_status ask(const calmoe_session *session, const char *question, double *yes)
{
    double        no;
    calmoe_status status = judge(session, question, " yes", yes);
    if (status == CALMOE_OK) status = judge(session, question, " no", &no);
    if (status == CALMOE_OK) *yes -= no;
    return status;
}

/* Prints the line if the model confirms it. */
static calmoe_status consider(struct augment *a, const char *strategy, const char *source, const char *line)
{
    double        with, without, yes, yes_before;
    int           votes = 0;
    calmoe_status status = judge(a->informed, "\n\n", line, &with);
    if (status == CALMOE_OK) status = judge(a->uninformed, "\n\n", line, &without);
    for (int i = 0; i < N_QUESTIONS && status == CALMOE_OK; i++) {
        char question[2 * MAX_TEXT];
        if (!fill(question, sizeof question, questions[i], line)) return CALMOE_INVALID_ARGUMENT;
        if ((status = ask(a->informed, question, &yes)) == CALMOE_OK)
            status = ask(a->uninformed, question, &yes_before);
        votes += status == CALMOE_OK && yes > yes_before;
    }
    a->n_made++;
    if (status != CALMOE_OK || with - without < a->min_gain || votes < a->min_votes) return status;
    a->n_kept++;
    printf("{\"text\": ");
    print_json_text(line);
    printf(", \"strategy\": \"%s\", \"source\": ", strategy);
    print_json_text(source);
    printf(", \"logprob\": %.3f, \"gain\": %.3f, \"votes\": %d}\n", with, with - without, votes);
    return CALMOE_OK;
}

static calmoe_status apply(struct augment *a, const struct strategy *strategy, const char *source)
{
    char          prompt[2 * MAX_TEXT], lines[16][MAX_TEXT];
    calmoe_status status = CALMOE_OK;
    if (!fill(prompt, sizeof prompt, strategy->prompt, source)) return CALMOE_INVALID_ARGUMENT;
    for (int i = 0; i < a->n_candidates && status == CALMOE_OK; i++) {
        if ((status = write_line(a, prompt, i + 1, lines[i], MAX_TEXT)) != CALMOE_OK) break;
        int is_old = lines[i][0] == '\0' || strcmp(lines[i], source) == 0;
        for (int j = 0; j < i; j++) is_old |= strcmp(lines[i], lines[j]) == 0;
        if (!is_old) status = consider(a, strategy->name, source, lines[i]);
    }
    return status;
}

/* Takes the statement at *text, up to a full stop before a blank or the end, with single blanks; *text is moved behind
 * it. */
static int next_statement(const char **text, char *statement, size_t capacity)
{
    const char *at = *text;
    size_t      n = 0;
    int         is_over = 0;
    for (; *at && !is_over; at++) {
        const int is_blank = isspace((unsigned char)*at);
        if (n + 2 < capacity && (!is_blank || (n > 0 && statement[n - 1] != ' ')))
            statement[n++] = is_blank ? ' ' : *at;
        is_over = strchr(".!?", *at) && (at[1] == '\0' || isspace((unsigned char)at[1]));
    }
    statement[n] = '\0';
    *text = at;
    return n > 1;
}

static calmoe_status augment(struct augment *a, const char *document)
{
    char          statement[MAX_TEXT];
    const char   *at = document;
    calmoe_status status = open_reader(a, document, &a->informed);
    if (status == CALMOE_OK) status = open_reader(a, "\n", &a->uninformed);
    while (status == CALMOE_OK && next_statement(&at, statement, sizeof statement))
        for (int i = 0; i < 2 && status == CALMOE_OK; i++) status = apply(a, &strategies[i], statement);
    if (status == CALMOE_OK) status = apply(a, &strategies[2], "");
    fprintf(stderr, "%d lines were made, %d kept\n", a->n_made, a->n_kept);
    return status;
}

static int read_document(const char *path, char *text, size_t capacity)
{
    FILE *file = fopen(path, "rb");
    if (!file) return 0;
    const size_t n = fread(text, 1, capacity - 1, file);
    text[n] = '\0';
    fclose(file);
    return n > 0;
}

int main(int argc, char **argv)
{
    static char           document[MAX_DOCUMENT];
    static struct augment a = { .n_candidates = 4, .min_votes = 2, .min_gain = 1.0 };
    const char           *path = NULL, *adapter = NULL, *file = NULL;
    calmoe_status         status;

    for (int i = 1; i < argc; i++) {
        if (i + 1 < argc && strcmp(argv[i], "-m") == 0) path = argv[++i];
        else if (i + 1 < argc && strcmp(argv[i], "-l") == 0) adapter = argv[++i];
        else if (i + 1 < argc && strcmp(argv[i], "-n") == 0) a.n_candidates = (int)strtol(argv[++i], NULL, 10);
        else if (i + 1 < argc && strcmp(argv[i], "-v") == 0) a.min_votes = (int)strtol(argv[++i], NULL, 10);
        else if (i + 1 < argc && strcmp(argv[i], "-g") == 0) a.min_gain = strtod(argv[++i], NULL);
        else file = argv[i];
    }
    if (!file || a.n_candidates < 1 || a.n_candidates > 16) {
        fprintf(stderr, "usage: augment [-m MODEL.gguf] [-l ADAPTER] [-n CANDIDATES, 1 to 16] [-v VOTES] [-g GAIN] "
                        "DOCUMENT.txt\n");
        return 2;
    }
    if (!read_document(file, document, sizeof document)) {
        fprintf(stderr, "augment: %s cannot be read, or is empty\n", file);
        return 1;
    }

    if ((status = calmoe_context_open(NULL, &a.context)) == CALMOE_OK &&
        (status = calmoe_model_open(a.context, path, NULL, &a.model)) == CALMOE_OK &&
        (status = calmoe_engine_open(a.model, NULL, &a.engine)) == CALMOE_OK &&
        (!adapter || (status = calmoe_adapter_open(a.engine, adapter, &a.adapter)) == CALMOE_OK))
        status = augment(&a, document);
    if (status != CALMOE_OK)
        fprintf(stderr, "augment: %s: %s\n", calmoe_status_text(status), calmoe_context_message(a.context));

    calmoe_session_close(&a.informed);
    calmoe_session_close(&a.uninformed);
    calmoe_adapter_close(&a.adapter);
    calmoe_engine_close(&a.engine);
    calmoe_model_close(&a.model);
    calmoe_context_close(&a.context);
    return status == CALMOE_OK ? 0 : 1;
}
