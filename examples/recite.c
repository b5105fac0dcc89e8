/* recite.c - recall first, then answer. The model is first asked to say what it knows about a question, and then to
 * answer it, in the same conversation, so that the answer can rest on what it recited. Both turns share one budget of
 * tokens: the second turn gets what the first one leaves. For comparison the same question is also answered directly,
 * with the whole budget.
 *
 *     recite [-m MODEL.gguf] [-n BUDGET] QUESTION     without a model: the one that comes with the library */
#include <calmoe/calmoe.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_TEXT = 4096 };

/* Feeds a turn in the model's own chat format, or as a plain line if it has none. */
static calmoe_status ask(calmoe_session *session, int has_chat, const char *text)
{
    char      line[MAX_TEXT];
    const int n = snprintf(line, sizeof line, "%s%s\nAnswer:",
                           calmoe_session_n_tokens(session) > 0 ? "\n\nQuestion: " : "Question: ", text);

    if (has_chat) return calmoe_session_feed_chat(session, NULL, text);
    if (n < 0 || (size_t)n >= sizeof line) return CALMOE_INVALID_ARGUMENT;
    return calmoe_session_feed_text(session, line, (size_t)n,
                                    calmoe_session_n_tokens(session) > 0 ? 0 : CALMOE_TOKENIZE_BOS);
}

/* Prints the answer, at most n_tokens of it; *n_used: how many there were. A full context also ends an answer, and so
 * does a line end if the model has no chat format. */
static calmoe_status print_answer(const calmoe_model *model, calmoe_session *session, int has_chat, int n_tokens,
                                  int *n_used)
{
    calmoe_text_stream stream = { { 0 } };
    char               text[1024];
    int32_t            token;
    calmoe_status      status = calmoe_session_set_limits(session, n_tokens, 0);

    *n_used = 0;
    while (status == CALMOE_OK && (status = calmoe_session_next(session, &token)) == CALMOE_OK) {
        ++*n_used;
        if ((status = calmoe_text_stream_put(model, &stream, token, text, sizeof text)) != CALMOE_OK) return status;
        if (!has_chat && strchr(text, '\n') != NULL) break;
        fputs(text, stdout);
        fflush(stdout);
    }
    putchar('\n');
    return status == CALMOE_END || status == CALMOE_FULL ? CALMOE_OK : status;
}

static calmoe_status recite(const calmoe_model *model, calmoe_engine *engine, const char *question, int budget,
                            int recalls)
{
    calmoe_model_info info = { .size = sizeof info };
    calmoe_session   *session = NULL;
    char              recall[MAX_TEXT];
    int               n_used = 0;
    calmoe_status     status = calmoe_model_get_info(model, &info);
    const int         has_chat = status == CALMOE_OK && info.chat_format[0] != '\0';

    if (status == CALMOE_OK) status = calmoe_session_open(engine, NULL, &session);
    if (status == CALMOE_OK && recalls) {
        if (snprintf(recall, sizeof recall, "What do you know that matters for this question? %s", question) >=
            (int)sizeof recall)
            status = CALMOE_INVALID_ARGUMENT;
        printf("--- recalled\n");
        if (status == CALMOE_OK) status = ask(session, has_chat, recall);
        if (status == CALMOE_OK) status = print_answer(model, session, has_chat, budget / 2, &n_used);
        budget -= n_used;
    }
    printf("--- %s\n", recalls ? "answered after that" : "answered at once");
    if (status == CALMOE_OK) status = ask(session, has_chat, question);
    if (status == CALMOE_OK) status = print_answer(model, session, has_chat, budget, &n_used);
    calmoe_session_close(&session);
    return status;
}

int main(int argc, char **argv)
{
    const char     *path = NULL, *question = NULL;
    int             budget = 96;
    calmoe_context *context = NULL;
    calmoe_model   *model = NULL;
    calmoe_engine  *engine = NULL;
    calmoe_status   status;

    for (int i = 1; i < argc; i++) {
        if (i + 1 < argc && strcmp(argv[i], "-m") == 0) path = argv[++i];
        else if (i + 1 < argc && strcmp(argv[i], "-n") == 0) budget = (int)strtol(argv[++i], NULL, 10);
        else question = argv[i];
    }
    if (question == NULL || budget < 2) {
        fprintf(stderr, "usage: recite [-m MODEL.gguf] [-n BUDGET] QUESTION\n");
        return 2;
    }

    if ((status = calmoe_context_open(NULL, &context)) == CALMOE_OK &&
        (status = calmoe_model_open(context, path, NULL, &model)) == CALMOE_OK &&
        (status = calmoe_engine_open(model, NULL, &engine)) == CALMOE_OK &&
        (status = recite(model, engine, question, budget, 1)) == CALMOE_OK)
        status = recite(model, engine, question, budget, 0);
    if (status != CALMOE_OK)
        fprintf(stderr, "recite: %s: %s\n", calmoe_status_text(status), calmoe_context_message(context));

    calmoe_engine_close(&engine);
    calmoe_model_close(&model);
    calmoe_context_close(&context);
    return status == CALMOE_OK ? 0 : 1;
}
