/* generate.c - the shortest useful program: a prompt in, text out.
 *
 *     generate [MODEL.gguf]        without an argument: the model that comes with the library */
#include <calmoe/calmoe.h>

#include <stdio.h>
#include <string.h>

/* Prints tokens as they come, until the answer ends. */
static calmoe_status print_answer(const calmoe_model *model, calmoe_session *session)
{
    calmoe_text_stream stream = { { 0 } };
    calmoe_status  status;
    char           text[1024];
    int32_t        token;

    while ((status = calmoe_session_next(session, &token)) == CALMOE_OK) {
        if ((status = calmoe_text_stream_put(model, &stream, token, text, sizeof text)) != CALMOE_OK) return status;
        fputs(text, stdout);
        fflush(stdout);
    }
    putchar('\n');
    return status == CALMOE_END ? CALMOE_OK : status;
}

int main(int argc, char **argv)
{
    const char    *path = argc > 1 ? argv[1] : NULL;
    const char    *prompt = "This function returns";
    calmoe_context *context = NULL;
    calmoe_model   *model = NULL;
    calmoe_engine  *engine = NULL;
    calmoe_session *session = NULL;
    calmoe_status   status;

    calmoe_session_options options;
    calmoe_session_options_init(&options);
    options.max_new_tokens = 40;

    if ((status = calmoe_context_open(NULL, &context)) == CALMOE_OK &&
        (status = calmoe_model_open(context, path, NULL, &model)) == CALMOE_OK &&
        (status = calmoe_engine_open(model, NULL, &engine)) == CALMOE_OK &&
        (status = calmoe_session_open(engine, &options, &session)) == CALMOE_OK &&
        (status = calmoe_session_feed_text(session, prompt, strlen(prompt), CALMOE_TOKENIZE_BOS)) ==
            CALMOE_OK) {
        fputs(prompt, stdout);
        status = print_answer(model, session);
    }
    if (status != CALMOE_OK)
        fprintf(stderr, "generate: %s: %s\n", calmoe_status_text(status), calmoe_context_message(context));

    calmoe_session_close(&session);
    calmoe_engine_close(&engine);
    calmoe_model_close(&model);
    calmoe_context_close(&context);
    return status == CALMOE_OK ? 0 : 1;
}
