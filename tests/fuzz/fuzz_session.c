/* fuzz_session.c - any bytes as a saved session, with a digest that fits them: refused with a sentence, or a session
 * that reads a token. The model is a tiny one, made once; its fingerprint is put where the head has the model's, so
 * that what is behind is looked at. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "runtime/engine/handles.h"
#include "tests/support/temp_folder.h"
#include "tests/support/tiny_model.h"

enum { MODEL_AT = 16, MODEL_BYTES = 16, DIGITS = 64 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static calmoe_context *context;
static calmoe_model   *model;
static calmoe_engine  *engine;

static void close_engine(void)
{
    calmoe_engine_close(&engine);
    calmoe_model_close(&model);
    calmoe_context_close(&context);
}

static void open_engine(void)
{
    struct temp_folder      *folder = temp_folder_open();
    const struct tiny_model  tiny = tiny_model();
    const char              *path = temp_file(folder, "tiny.gguf");
    calmoe_engine_options    options;
    calmoe_session          *first = NULL; /* after it the engine has what all sessions need */
    tiny_model_write(&tiny, path);
    calmoe_engine_options_init(&options);
    options.n_threads = 1;
    options.pin_threads = 0;
    options.max_rows = 8;
    if (calmoe_context_open(NULL, &context) || calmoe_model_open(context, path, NULL, &model) ||
        calmoe_engine_open(model, &options, &engine) || calmoe_session_open(engine, NULL, &first))
        abort();
    calmoe_session_close(&first);
    temp_folder_close(&folder); /* the file stays mapped */
    atexit(close_engine);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const int32_t token = 40;
    calmoe_session *session = NULL;
    char            hex[65];
    int32_t         next;
    if (!engine) open_engine();
    const long    n_live = cm_live_blocks();
    struct sha256 sha = cm_sha256();
    uint8_t      *bytes = malloc(size + DIGITS);
    if (!bytes) abort();
    if (size > 0) memcpy(bytes, data, size);
    if (size >= MODEL_AT + MODEL_BYTES) memcpy(bytes + MODEL_AT, model->fingerprint, MODEL_BYTES);
    cm_sha256_add(&sha, bytes, size);
    cm_sha256_hex(&sha, hex);
    memcpy(bytes + size, hex, DIGITS);
    context->message[0] = '\0';
    const calmoe_status status = cm_session_parse(engine, "fuzz.session", bytes, size + DIGITS, NULL, &session);
    free(bytes);
    if ((status == CALMOE_OK) != (session != NULL)) abort();
    if (status != CALMOE_OK && context->message[0] == '\0') abort();
    if (session && calmoe_session_n_tokens(session) < calmoe_session_context(session)) {
        if (calmoe_session_feed_tokens(session, &token, 1) != CALMOE_OK) abort();
        const calmoe_status ran = calmoe_session_next(session, &next);
        if (ran != CALMOE_OK && ran != CALMOE_END && ran != CALMOE_NOT_FINITE) abort();
    }
    calmoe_session_close(&session);
    if (cm_live_blocks() != n_live) abort();
    return 0;
}
