/* batch.c - many sessions in one engine. Each step takes a token of every session, so that weights are read once for
 * all of them. Every session says the same, bit for bit, as it would say alone.
 *
 *     batch [MODEL.gguf]           without an argument: the model that comes with the library */
#include <calmoe/calmoe.h>

#include <stdio.h>
#include <string.h>

enum { N_SESSIONS = 4, ANSWER_BYTES = 8192 };

static const char *prompts[N_SESSIONS] = {
    "The library provides",
    "int main(int argc, char **argv)\n{",
    "Das Programm wird",
    "def read_file(path):\n",
};

struct answer {
    calmoe_session    *session;
    calmoe_text_stream stream;
    size_t             n_bytes;
    char               text[ANSWER_BYTES]; /* NUL-terminated */
};

static calmoe_status open_sessions(calmoe_engine *engine, struct answer *answers)
{
    calmoe_session_options options;
    calmoe_session_options_init(&options);
    options.max_new_tokens = 24;
    options.context = 512;

    for (int i = 0; i < N_SESSIONS; i++) {
        calmoe_status status = calmoe_session_open(engine, &options, &answers[i].session);
        if (status != CALMOE_OK) return status;
        status = calmoe_session_feed_text(answers[i].session, prompts[i], strlen(prompts[i]),
                                          CALMOE_TOKENIZE_BOS);
        if (status != CALMOE_OK) return status;
    }
    return CALMOE_OK;
}

/* Appends an event's token to the answer of its session. */
static calmoe_status take(const calmoe_model *model, struct answer *answers, const calmoe_event *event)
{
    struct answer *answer = answers;
    char           text[1024];
    calmoe_status  status;

    while (answer->session != event->session) answer++;
    if (event->status == CALMOE_FULL) fprintf(stderr, "batch: a session's context is full\n");
    if (event->status != CALMOE_OK) return CALMOE_OK; /* this session is done; the others continue */
    status = calmoe_text_stream_put(model, &answer->stream, event->token, text, sizeof text);
    if (status != CALMOE_OK) return status;

    const size_t n_bytes = strlen(text);
    if (n_bytes >= ANSWER_BYTES - answer->n_bytes) return CALMOE_FULL;
    memcpy(answer->text + answer->n_bytes, text, n_bytes + 1);
    answer->n_bytes += n_bytes;
    return CALMOE_OK;
}

static calmoe_status run(const calmoe_model *model, calmoe_engine *engine, struct answer *answers)
{
    calmoe_event  events[N_SESSIONS];
    calmoe_status status;
    int           n_events, n_steps = 0;

    while ((status = calmoe_engine_next(engine, events, N_SESSIONS, &n_events)) == CALMOE_OK) {
        n_steps++;
        for (int i = 0; i < n_events; i++)
            if ((status = take(model, answers, &events[i])) != CALMOE_OK) return status;
    }
    if (status != CALMOE_END) return status;
    for (int i = 0; i < N_SESSIONS; i++)
        printf("--- session %d\n%s%s\n", i, prompts[i], answers[i].text);
    fprintf(stderr, "%d sessions, %d steps\n", N_SESSIONS, n_steps);
    return CALMOE_OK;
}

int main(int argc, char **argv)
{
    static struct answer answers[N_SESSIONS];
    calmoe_context *context = NULL;
    calmoe_model   *model = NULL;
    calmoe_engine  *engine = NULL;
    calmoe_status   status;

    if ((status = calmoe_context_open(NULL, &context)) == CALMOE_OK &&
        (status = calmoe_model_open(context, argc > 1 ? argv[1] : NULL, NULL, &model)) == CALMOE_OK &&
        (status = calmoe_engine_open(model, NULL, &engine)) == CALMOE_OK &&
        (status = open_sessions(engine, answers)) == CALMOE_OK)
        status = run(model, engine, answers);
    if (status != CALMOE_OK)
        fprintf(stderr, "batch: %s: %s\n", calmoe_status_text(status), calmoe_context_message(context));

    for (int i = 0; i < N_SESSIONS; i++) calmoe_session_close(&answers[i].session);
    calmoe_engine_close(&engine);
    calmoe_model_close(&model);
    calmoe_context_close(&context);
    return status == CALMOE_OK ? 0 : 1;
}
