/* routing.c - watches the router: prints which experts each token of a text visits in each layer, and with which
 * weights. Nothing is generated; the text is read once.
 *
 *     routing [MODEL.gguf]         without an argument: the model that comes with the library */
#include <calmoe/calmoe.h>

#include <stdio.h>
#include <string.h>

enum { MAX_TOKENS = 256 };

/* The engine calls this for every token in every layer that has experts. */
static void print_routing(void *user, const calmoe_routing_event *event)
{
    const calmoe_model *model = user;
    size_t              n_bytes;
    const char         *bytes = calmoe_token_bytes(model, event->token, 1, &n_bytes);

    printf("layer %2d  token %3d '", event->layer, event->position);
    for (size_t i = 0; i < n_bytes; i++) {
        if (bytes[i] == '\n')
            fputs("\\n", stdout);
        else
            putchar(bytes[i]);
    }
    putchar('\'');
    for (int slot = 0; slot < event->n; slot++)
        printf("  %d:%.3f", (int)event->experts[slot], (double)event->weights[slot]);
    putchar('\n');
}

/* Reads the text in one step, during which the callback prints. */
static calmoe_status read_text(calmoe_context *context, const calmoe_model *model, calmoe_engine *engine,
                               calmoe_session *session, const char *text)
{
    int32_t       tokens[MAX_TOKENS];
    size_t        n_tokens;
    calmoe_status status = calmoe_tokenize(context, model, text, strlen(text), CALMOE_TOKENIZE_BOS,
                                           tokens, MAX_TOKENS, &n_tokens);
    if (status != CALMOE_OK) return status;

    const calmoe_chunk chunk = { session, tokens, (int)n_tokens, CALMOE_LOGITS_NONE };
    return calmoe_engine_step(engine, &chunk, 1);
}

int main(int argc, char **argv)
{
    const char     *text = "for (int i = 0; i < n; i++) sum += x[i]; /* Die Summe aller Werte. */";
    calmoe_context *context = NULL;
    calmoe_model   *model = NULL;
    calmoe_engine  *engine = NULL;
    calmoe_session *session = NULL;
    calmoe_status   status;

    calmoe_engine_options options;
    calmoe_engine_options_init(&options);
    options.routing = print_routing;

    if ((status = calmoe_context_open(NULL, &context)) == CALMOE_OK &&
        (status = calmoe_model_open(context, argc > 1 ? argv[1] : NULL, NULL, &model)) == CALMOE_OK) {
        options.routing_user = model;
        if ((status = calmoe_engine_open(model, &options, &engine)) == CALMOE_OK &&
            (status = calmoe_session_open(engine, NULL, &session)) == CALMOE_OK)
            status = read_text(context, model, engine, session, text);
    }
    if (status != CALMOE_OK)
        fprintf(stderr, "routing: %s: %s\n", calmoe_status_text(status), calmoe_context_message(context));

    calmoe_session_close(&session);
    calmoe_engine_close(&engine);
    calmoe_model_close(&model);
    calmoe_context_close(&context);
    return status == CALMOE_OK ? 0 : 1;
}
