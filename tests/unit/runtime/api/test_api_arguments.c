/* test_api_arguments.c - every public function with arguments that are missing or wrong: a status and a sentence,
 * never a crash, and nothing changed. Also option structs of other versions of the library. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <calmoe/pack.h>
#include <calmoe/quantize.h>

#include "base/memory.h"
#include "base/status.h"
#include "tests/support/wrong_calls.h"

/* ---- contexts and models ---- */

static void contexts(void **state)
{
    (void)state;
    calmoe_context *closed = NULL;
    WRONG_WITHOUT_CONTEXT(calmoe_context_open(NULL, NULL));
    calmoe_context_options options = {0};
    WRONG_WITHOUT_CONTEXT(calmoe_context_open(&options, &closed));
    assert_null(closed);
    calmoe_context_options_init(NULL);
    calmoe_context_close(NULL);
    calmoe_context_close(&closed);
    assert_true(strlen(calmoe_context_message(NULL)) > 0);
    assert_string_equal(calmoe_context_message(r.context), "");
}

static void opening_models(void **state)
{
    (void)state;
    calmoe_model *model = (calmoe_model *)&r;
    WRONG_WITHOUT_CONTEXT(calmoe_model_open(NULL, tiny_path, NULL, &model));
    assert_null(model);
    WRONG(calmoe_model_open(r.context, tiny_path, NULL, NULL));
    calmoe_model_options options = {0};
    model = (calmoe_model *)&r;
    WRONG(calmoe_model_open(r.context, tiny_path, &options, &model));
    assert_null(model);
    GIVES(calmoe_model_open(r.context, "/nowhere/model.gguf", NULL, &model), IO);
    GIVES(calmoe_model_open(r.context, folder->path, NULL, &model), IO);
    GIVES(calmoe_model_open(r.context, "", NULL, &model), IO);
    assert_null(model);
    calmoe_model_options_init(NULL);
    calmoe_model_close(NULL);
    calmoe_model_close(&model);
}

static void looking_at_models(void **state)
{
    (void)state;
    calmoe_model_info info = {0};
    calmoe_tensor_info tensor = {.size = sizeof tensor};
    const char *key;
    char text[64];
    WRONG(calmoe_model_get_info(r.model, &info));
    WRONG(calmoe_model_get_info(r.model, NULL));
    info.size = sizeof info;
    WRONG_WITHOUT_CONTEXT(calmoe_model_get_info(NULL, &info));
    WRONG_WITHOUT_CONTEXT(calmoe_model_get_tensor(NULL, 0, &tensor));
    WRONG(calmoe_model_get_tensor(r.model, 0, NULL));
    tensor.size = 0;
    WRONG(calmoe_model_get_tensor(r.model, 0, &tensor));
    tensor.size = sizeof tensor;
    GIVES_SILENTLY(calmoe_model_get_tensor(r.model, UINT64_MAX, &tensor), END);
    WRONG_WITHOUT_CONTEXT(calmoe_model_get_metadata(NULL, 0, &key, text, sizeof text));
    WRONG(calmoe_model_get_metadata(r.model, 0, NULL, text, sizeof text));
    WRONG(calmoe_model_get_metadata(r.model, 0, &key, NULL, sizeof text));
    WRONG(calmoe_model_get_metadata(r.model, 0, &key, text, 7));
    GIVES_SILENTLY(calmoe_model_get_metadata(r.model, UINT64_MAX, &key, text, sizeof text), END);
}

static void packing(void **state)
{
    (void)state;
    char                out[600];
    calmoe_pack_options options;
    calmoe_disk_stats   stats = {.size = sizeof stats, .n_slots = 9};
    snprintf(out, sizeof out, "%s", temp_file(folder, "out.packed"));
    calmoe_pack_options_init(NULL);
    calmoe_pack_options_init(&options);
    options.isa = "avx9000";
    WRONG_WITHOUT_CONTEXT(calmoe_pack(NULL, out, NULL));
    WRONG(calmoe_pack(r.model, NULL, NULL));
    WRONG(calmoe_pack(r.model, out, &options));
    WRONG_WITHOUT_CONTEXT(calmoe_pack_check(NULL, out));
    WRONG(calmoe_pack_check(r.model, NULL));
    GIVES(calmoe_pack_check(r.model, out), IO);
    WRONG_WITHOUT_CONTEXT(calmoe_engine_get_disk_stats(NULL, &stats));
    WRONG(calmoe_engine_get_disk_stats(r.engine, NULL));
    GIVES_SILENTLY(calmoe_engine_get_disk_stats(r.engine, &stats), OK);
    assert_int_equal(stats.n_slots, 0);
    stats.size = 1;
    WRONG(calmoe_engine_get_disk_stats(r.engine, &stats));
}

static void quantizing(void **state)
{
    (void)state;
    char out[600];
    snprintf(out, sizeof out, "%s", temp_file(folder, "out.gguf"));
    WRONG_WITHOUT_CONTEXT(calmoe_quantize(NULL, tiny_path, out, "q8_0", NULL, NULL));
    WRONG(calmoe_quantize(r.context, NULL, out, "q8_0", NULL, NULL));
    WRONG(calmoe_quantize(r.context, tiny_path, NULL, "q8_0", NULL, NULL));
    WRONG(calmoe_quantize(r.context, tiny_path, out, NULL, NULL, NULL));
    WRONG(calmoe_quantize(r.context, tiny_path, out, "q9_0", NULL, NULL));
    WRONG(calmoe_quantize(r.context, tiny_path, out, "", NULL, NULL));
    calmoe_quantize_options options;
    calmoe_quantize_result result = {.size = 1};
    calmoe_quantize_options_init(&options);
    WRONG(calmoe_quantize(r.context, tiny_path, out, "q8_0", NULL, &result));
    options.quantized = 3;
    WRONG(calmoe_quantize(r.context, tiny_path, out, "q8_0", &options, NULL));
    options.quantized = 0;
    options.n_threads = -1;
    WRONG(calmoe_quantize(r.context, tiny_path, out, "q8_0", &options, NULL));
    WRONG(calmoe_quantize(r.context, tiny_path, out, "q5_k", NULL, NULL));
}

/* ---- tokenizer ---- */

static void tokenizing(void **state)
{
    (void)state;
    int32_t tokens[8];
    size_t n = 0;
    WRONG(calmoe_tokenize(r.context, NULL, "a", 1, 0, tokens, 8, &n));
    WRONG(calmoe_tokenize(r.context, r.model, NULL, 1, 0, tokens, 8, &n));
    WRONG(calmoe_tokenize(r.context, r.model, "a", 1, 0, NULL, 8, &n));
    WRONG(calmoe_tokenize(r.context, r.model, "a", 1, 0, tokens, 8, NULL));
    GIVES_SILENTLY(calmoe_tokenize(r.context, r.model, NULL, 0, 0, NULL, 0, &n), OK);
    assert_int_equal(n, 0);
    GIVES(calmoe_tokenize(r.context, r.model, "abcdefghi!", 10, 0, tokens, 2, &n), FULL);
    assert_true(n > 2);
    GIVES_SILENTLY(calmoe_tokenize(NULL, r.model, "abcdefghi!", 10, 0, NULL, 0, &n), FULL);
}

static void decoding(void **state)
{
    (void)state;
    calmoe_text_stream stream = {{0}};
    char text[1024] = "x";
    size_t n = 99;
    WRONG_WITHOUT_CONTEXT(calmoe_text_stream_put(NULL, &stream, 0, text, sizeof text));
    WRONG(calmoe_text_stream_put(r.model, NULL, 0, text, sizeof text));
    WRONG(calmoe_text_stream_put(r.model, &stream, 0, NULL, sizeof text));
    WRONG(calmoe_text_stream_put(r.model, &stream, 0, text, 0));
    GIVES(calmoe_text_stream_put(r.model, &stream, 0, text, 10), FULL);
    GIVES_SILENTLY(calmoe_text_stream_put(r.model, &stream, 1 << 30, text, sizeof text), OK);
    assert_string_equal(text, "");
    GIVES_SILENTLY(calmoe_text_stream_put(r.model, &stream, INT32_MIN, text, sizeof text), OK);
    assert_non_null(calmoe_token_bytes(NULL, 0, 0, &n));
    assert_int_equal(n, 0);
    assert_non_null(calmoe_token_bytes(r.model, -1, 1, &n));
    assert_int_equal(n, 0);
    assert_non_null(calmoe_token_bytes(r.model, INT32_MAX, 1, &n));
    assert_int_equal(n, 0);
    assert_non_null(calmoe_token_bytes(r.model, 5, 1, NULL));
    assert_false(calmoe_token_ends(NULL, 0));
    assert_false(calmoe_token_ends(r.model, -1));
    assert_false(calmoe_token_ends(r.model, INT32_MAX));
}

/* ---- engines ---- */

static void wrong_engine(calmoe_engine_options options, calmoe_status wanted, const char *part_of_sentence)
{
    const long live = cm_live_blocks();
    calmoe_engine *engine = (calmoe_engine *)&r;
    assert_int_equal(calmoe_engine_open(r.model, &options, &engine), wanted);
    assert_null(engine);
    if (!strstr(calmoe_context_message(r.context), part_of_sentence))
        fail_msg("'%s' is not in '%s'", part_of_sentence, calmoe_context_message(r.context));
    assert_int_equal(cm_live_blocks(), live);
    r.context->message[0] = '\0';
}

static void opening_engines(void **state)
{
    (void)state;
    calmoe_engine *engine = (calmoe_engine *)&r;
    WRONG_WITHOUT_CONTEXT(calmoe_engine_open(NULL, NULL, &engine));
    assert_null(engine);
    WRONG(calmoe_engine_open(r.model, NULL, NULL));
    calmoe_engine_options_init(NULL);
    calmoe_engine_close(NULL);
    calmoe_engine_close(&engine);
    const calmoe_engine_options good = running_options(1, NULL);
#define WITH(member, value, status, sentence)                        \
    do {                                                             \
        calmoe_engine_options options = good;                        \
        options.member = value;                                      \
        wrong_engine(options, CALMOE_##status, sentence);            \
    } while (0)
    WITH(size, 0, INVALID_ARGUMENT, "calmoe_engine_options: size is 0");
    WITH(n_threads, -1, INVALID_ARGUMENT, "n_threads is -1");
    WITH(n_threads, 4097, INVALID_ARGUMENT, "n_threads is 4097");
    WITH(max_rows, -1, INVALID_ARGUMENT, "max_rows is -1");
    WITH(max_rows, 65537, INVALID_ARGUMENT, "max_rows is 65537");
    WITH(isa, "sse9", INVALID_ARGUMENT, "isa is 'sse9'");
    WITH(isa, "", INVALID_ARGUMENT, "isa is ''");
    WITH(plan, "/nowhere/plan.json", IO, "/nowhere/plan.json");
    WITH(plan, tiny_path, BAD_FILE, "");
#undef WITH
}

static void a_vocabulary_runs_no_engine(void **state)
{
    (void)state;
    calmoe_model *model = NULL;
    calmoe_engine *engine = NULL;
    calmoe_model_options options;
    calmoe_model_info info = {.size = sizeof info};
    calmoe_model_options_init(&options);
    options.vocabulary_only = 1;
    running_must(r.context, calmoe_model_open(r.context, tiny_path, &options, &model));
    WRONG(calmoe_engine_open(model, NULL, &engine));
    running_must(r.context, calmoe_model_get_info(model, &info));
    assert_string_equal(info.family, "");
    assert_true(info.n_vocab > 300);
    calmoe_model_close(&model);
}

static calmoe_status step(calmoe_session *session, const int32_t *tokens, int n_tokens, int logits)
{
    const calmoe_chunk chunk = {session, tokens, n_tokens, logits};
    return calmoe_engine_step(r.engine, &chunk, 1);
}

static void steps(void **state)
{
    (void)state;
    static const int32_t many[600], one[1] = {1};
    const int32_t negative[] = {0, -1}, large[] = {0, 1, r.n_vocab};
    const calmoe_chunk chunk = {r.session, one, 1, CALMOE_LOGITS_LAST}, twice[] = {chunk, chunk};
    WRONG_WITHOUT_CONTEXT(calmoe_engine_step(NULL, &chunk, 1));
    WRONG(calmoe_engine_step(r.engine, NULL, 1));
    WRONG(calmoe_engine_step(r.engine, &chunk, -1));
    WRONG(calmoe_engine_step(r.engine, twice, 2));
    WRONG(step(NULL, one, 1, CALMOE_LOGITS_LAST));
    WRONG(step(r.session, NULL, 1, CALMOE_LOGITS_LAST));
    WRONG(step(r.session, one, 0, CALMOE_LOGITS_LAST));
    WRONG(step(r.session, one, -5, CALMOE_LOGITS_LAST));
    WRONG(step(r.session, one, 1, 3));
    WRONG(step(r.session, one, 1, -1));
    WRONG(step(r.session, negative, 2, CALMOE_LOGITS_LAST));
    WRONG(step(r.session, large, 3, CALMOE_LOGITS_LAST));
    GIVES(step(r.session, many, 65, CALMOE_LOGITS_LAST), FULL); /* the context is 64 */
    assert_int_equal(calmoe_session_n_positions(r.session), 0);
    GIVES_SILENTLY(calmoe_engine_step(r.engine, NULL, 0), OK);
    GIVES_SILENTLY(step(r.session, many, 64, CALMOE_LOGITS_NONE), OK);
    GIVES(step(r.session, one, 1, CALMOE_LOGITS_LAST), FULL);
    running_must(r.context, calmoe_session_rewind(r.session, 0));
}

static void sessions_of_other_engines_and_too_many_rows(void **state)
{
    (void)state;
    static const int32_t tokens[5] = {1, 2, 3, 4, 5};
    calmoe_engine_options options = running_options(1, NULL);
    calmoe_engine *engine = NULL;
    calmoe_session *session = NULL;
    options.max_rows = 4;
    running_must(r.context, calmoe_engine_open(r.model, &options, &engine));
    running_must(r.context, calmoe_session_open(engine, NULL, &session));
    WRONG(step(session, tokens, 1, CALMOE_LOGITS_LAST));
    const calmoe_chunk chunk = {session, tokens, 5, CALMOE_LOGITS_LAST};
    WRONG(calmoe_engine_step(engine, &chunk, 1));
    assert_int_equal(calmoe_session_n_positions(session), 0);
    calmoe_session_close(&session);
    calmoe_engine_close(&engine);
}

static void scheduled_steps(void **state)
{
    (void)state;
    calmoe_event event;
    int n_events;
    WRONG_WITHOUT_CONTEXT(calmoe_engine_next(NULL, &event, 1, &n_events));
    WRONG(calmoe_engine_next(r.engine, NULL, 1, &n_events));
    WRONG(calmoe_engine_next(r.engine, &event, 1, NULL));
    WRONG(calmoe_engine_next(r.engine, &event, 0, &n_events));
    GIVES_SILENTLY(calmoe_engine_next(r.engine, &event, 1, &n_events), END);
    assert_int_equal(n_events, 0);
}

static void statistics(void **state)
{
    (void)state;
    calmoe_stats stats = {0};
    uint64_t counts[4];
    WRONG(calmoe_engine_get_stats(r.engine, &stats));
    WRONG(calmoe_engine_get_stats(r.engine, NULL));
    stats.size = sizeof stats;
    WRONG_WITHOUT_CONTEXT(calmoe_engine_get_stats(NULL, &stats));
    calmoe_engine_reset_stats(NULL);
    WRONG_WITHOUT_CONTEXT(calmoe_engine_get_expert_counts(NULL, 0, counts, 4));
    WRONG(calmoe_engine_get_expert_counts(r.engine, 0, NULL, 4));
    WRONG(calmoe_engine_get_expert_counts(r.engine, -1, counts, 4));
    WRONG(calmoe_engine_get_expert_counts(r.engine, 2, counts, 4));
    WRONG(calmoe_engine_get_expert_counts(r.engine, 0, counts, 3));
}

/* ---- sessions ---- */

static void opening_sessions(void **state)
{
    (void)state;
    calmoe_session *session = (calmoe_session *)&r;
    WRONG_WITHOUT_CONTEXT(calmoe_session_open(NULL, NULL, &session));
    assert_null(session);
    WRONG(calmoe_session_open(r.engine, NULL, NULL));
    calmoe_session_options_init(NULL);
    calmoe_sampler_options_init(NULL);
    calmoe_session_close(NULL);
    calmoe_session_close(&session);
    calmoe_session_options good;
    calmoe_session_options_init(&good);
#define WITH(member, value)                                                 \
    do {                                                                    \
        calmoe_session_options options = good;                              \
        options.member = value;                                             \
        session = (calmoe_session *)&r;                                     \
        WRONG(calmoe_session_open(r.engine, &options, &session));           \
        assert_null(session);                                               \
    } while (0)
    WITH(size, 0);
    WITH(context, -1);
    WITH(context, (1 << 24) + 1);
    WITH(max_new_tokens, -1);
    calmoe_sampler_options sampler, good_sampler;
    calmoe_sampler_options_init(&good_sampler);
#define WITH_SAMPLER(sampler_member, value)                                 \
    do {                                                                    \
        sampler = good_sampler;                                             \
        sampler.sampler_member = value;                                     \
        WITH(sampler, &sampler);                                            \
    } while (0)
    WITH_SAMPLER(size, 0);
    WITH_SAMPLER(temperature, -1.0f);
    WITH_SAMPLER(temperature, NAN);
    WITH_SAMPLER(top_k, -1);
    WITH_SAMPLER(top_p, -0.5f);
    WITH_SAMPLER(top_p, NAN);
    WITH_SAMPLER(min_p, -0.5f);
    WITH_SAMPLER(min_p, 2.0f);
    WITH_SAMPLER(repeat_penalty, -1.0f);
    WITH_SAMPLER(repeat_last, -1);
    WITH_SAMPLER(presence_penalty, NAN);
    WITH_SAMPLER(frequency_penalty, INFINITY);
    WITH_SAMPLER(n_biases, -1);
    WITH_SAMPLER(n_biases, 1); /* without arrays */
#undef WITH
#undef WITH_SAMPLER
}

static void samplers_and_limits(void **state)
{
    (void)state;
    calmoe_sampler_options sampler;
    calmoe_sampler_options_init(&sampler);
    WRONG_WITHOUT_CONTEXT(calmoe_model_sampler_defaults(NULL, &sampler));
    WRONG(calmoe_model_sampler_defaults(r.model, NULL));
    sampler.temperature = -1;
    WRONG_WITHOUT_CONTEXT(calmoe_session_set_sampler(NULL, &sampler));
    WRONG(calmoe_session_set_sampler(r.session, &sampler));
    sampler.size = 0;
    WRONG(calmoe_session_set_sampler(r.session, &sampler));
    WRONG(calmoe_model_sampler_defaults(r.model, &sampler));
    WRONG_WITHOUT_CONTEXT(calmoe_session_set_limits(NULL, 1, 0));
    WRONG(calmoe_session_set_limits(r.session, -1, 0));
    WRONG_WITHOUT_CONTEXT(calmoe_engine_set_step_rows(NULL, 1));
    WRONG(calmoe_engine_set_step_rows(r.engine, -1));
}

static void feeding(void **state)
{
    (void)state;
    static const int32_t tokens[65];
    const int32_t negative[] = {1, -1}, large[] = {r.n_vocab};
    WRONG_WITHOUT_CONTEXT(calmoe_session_feed_tokens(NULL, tokens, 1));
    WRONG(calmoe_session_feed_tokens(r.session, NULL, 1));
    WRONG(calmoe_session_feed_tokens(r.session, negative, 2));
    WRONG(calmoe_session_feed_tokens(r.session, large, 1));
    GIVES(calmoe_session_feed_tokens(r.session, tokens, 65), FULL);
    GIVES_SILENTLY(calmoe_session_feed_tokens(r.session, NULL, 0), OK);
    WRONG_WITHOUT_CONTEXT(calmoe_session_feed_text(NULL, "a", 1, 0));
    WRONG(calmoe_session_feed_text(r.session, NULL, 1, 0));
    GIVES_SILENTLY(calmoe_session_feed_text(r.session, NULL, 0, 0), OK);
    WRONG_WITHOUT_CONTEXT(calmoe_session_feed_chat(NULL, NULL, "a"));
    WRONG(calmoe_session_feed_chat(r.session, "a", NULL));
    GIVES(calmoe_session_feed_chat(r.session, NULL, "a"), UNSUPPORTED); /* the file names no format */
    int32_t token = 5;
    GIVES_SILENTLY(calmoe_session_next(r.session, &token), END); /* nothing was appended */
    assert_int_equal(token, -1);
}

static void using_sessions(void **state)
{
    (void)state;
    int32_t token;
    char hex[65];
    WRONG_WITHOUT_CONTEXT(calmoe_session_next(NULL, &token));
    WRONG(calmoe_session_next(r.session, NULL));
    WRONG_WITHOUT_CONTEXT(calmoe_session_rewind(NULL, 0));
    WRONG(calmoe_session_rewind(r.session, -1));
    WRONG(calmoe_session_rewind(r.session, 1));
    WRONG_WITHOUT_CONTEXT(calmoe_session_sample(NULL, &token));
    WRONG(calmoe_session_sample(r.session, NULL));
    WRONG(calmoe_session_sample(r.session, &token));
    WRONG_WITHOUT_CONTEXT(calmoe_session_logit_hash(NULL, hex));
    WRONG(calmoe_session_logit_hash(r.session, hex)); /* was not opened for it */
    WRONG(calmoe_session_logit_hash(r.session, NULL));
    assert_null(calmoe_session_logits(NULL, 0));
    assert_null(calmoe_session_logits(r.session, 0));
    assert_null(calmoe_session_logits(r.session, -1));
    assert_int_equal(calmoe_session_n_positions(NULL), 0);
    assert_int_equal(calmoe_session_context(NULL), 0);
    assert_null(calmoe_session_engine(NULL));
    assert_ptr_equal(calmoe_session_engine(r.session), r.engine);
    assert_int_equal(calmoe_session_context(r.session), 64);
}

/* ---- structs of other versions ---- */

static void newer_options(void **state)
{
    (void)state;
    struct {
        calmoe_engine_options known;
        long                  unknown[4];
    } options;
    calmoe_engine *engine = NULL;
    memset(&options, 0, sizeof options);
    options.known = running_options(1, NULL);
    options.known.size = sizeof options;
    running_must(r.context, calmoe_engine_open(r.model, &options.known, &engine));
    calmoe_engine_close(&engine);
    options.unknown[3] = 1;
    WRONG(calmoe_engine_open(r.model, &options.known, &engine));
    assert_null(engine);
    struct {
        calmoe_session_options known;
        char                   unknown[3];
    } session_options;
    calmoe_session *session = NULL;
    memset(&session_options, 0, sizeof session_options);
    calmoe_session_options_init(&session_options.known);
    session_options.known.size = sizeof session_options;
    running_must(r.context, calmoe_session_open(r.engine, &session_options.known, &session));
    calmoe_session_close(&session);
    session_options.unknown[2] = 1;
    WRONG(calmoe_session_open(r.engine, &session_options.known, &session));
}

/* Of an older program's struct only the part that it has is read; the rest keeps its default. */
static void older_options(void **state)
{
    (void)state;
    calmoe_session_options options;
    calmoe_session *session = NULL;
    calmoe_session_options_init(&options);
    options.context = 7;
    options.hash_logits = 1;
    options.size = offsetof(calmoe_session_options, hash_logits);
    running_must(r.context, calmoe_session_open(r.engine, &options, &session));
    char hex[65];
    assert_int_equal(calmoe_session_context(session), 7);
    WRONG(calmoe_session_logit_hash(session, hex));
    calmoe_session_close(&session);
}

static void answers_of_other_sizes(void **state)
{
    (void)state;
    struct {
        calmoe_model_info known;
        char              unknown[16];
    } info;
    calmoe_stats stats;
    memset(&info, 0x5a, sizeof info);
    info.known.size = sizeof info;
    running_must(r.context, calmoe_model_get_info(r.model, &info.known));
    assert_int_equal(info.known.size, sizeof info.known); /* says how much is filled in */
    assert_int_equal(info.unknown[0], 0x5a);
    memset(&info, 0x5a, sizeof info);
    info.known.size = offsetof(calmoe_model_info, n_vocab);
    running_must(r.context, calmoe_model_get_info(r.model, &info.known));
    assert_int_equal(info.known.n_experts, 4);
    assert_int_equal(info.known.n_vocab, 0x5a5a5a5a);
    memset(&stats, 0x5a, sizeof stats);
    stats.size = offsetof(calmoe_stats, n_rows);
    running_must(r.context, calmoe_engine_get_stats(r.engine, &stats));
    assert_int_equal(stats.n_rows, 0x5a5a5a5a5a5a5a5a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(contexts),
        cmocka_unit_test(opening_models),
        cmocka_unit_test(looking_at_models),
        cmocka_unit_test(packing), cmocka_unit_test(quantizing),
        cmocka_unit_test(tokenizing),
        cmocka_unit_test(decoding),
        cmocka_unit_test(opening_engines),
        cmocka_unit_test(a_vocabulary_runs_no_engine),
        cmocka_unit_test(steps),
        cmocka_unit_test(sessions_of_other_engines_and_too_many_rows),
        cmocka_unit_test(scheduled_steps),
        cmocka_unit_test(statistics),
        cmocka_unit_test(opening_sessions),
        cmocka_unit_test(samplers_and_limits),
        cmocka_unit_test(feeding),
        cmocka_unit_test(using_sessions),
        cmocka_unit_test(newer_options),
        cmocka_unit_test(older_options),
        cmocka_unit_test(answers_of_other_sizes),
    };
    return cmocka_run_group_tests_name("arguments of the API", tests, open_all, close_all);
}
