/* test_prefix.c - prefixes: keys and values before a session's first token. A prefix that is made of what a session
 * keeps of a text must do what the text does: so a session behind it gives, bit for bit, the logits of one that read
 * the text itself, in steps of any length, at the end of windows, in forks, from files and after going back. What PEFT
 * says of prefixes: test_golden_adapters.c; with drafts: test_adapter_drafts.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/adapter_fixture.h"
#include "tests/support/goldens.h"
#include "tests/support/prefix_folder.h"
#include "tests/support/random_adapter.h"
#include "tests/support/thin.h"
#include "tests/support/tiny_model.h"

static float found[N_TOKENS * MAX_VOCAB], wanted[N_TOKENS * MAX_VOCAB];

static const float ONE = 1.0f;

/* ---- short texts, many models ---- */

enum { N_PREFIX = 9, N_BEHIND = N_TOKENS - N_PREFIX };

/* lora: what the text was read with, and is gone on with; or NULL. */
static void try_model(const char *path, const char *lora)
{
    char prefix_path[600];
    struct running r = open_model(path, 1, NULL);
    in_folder(prefix_path, "prefix");
    make_text(r.n_vocab, 11);
    calmoe_adapter *first = lora ? open_adapter(&r, lora) : NULL;
    if (lora) running_must(r.context, calmoe_session_set_adapters(r.session, &first, &ONE, 1));
    running_read(&r, r.session, text, N_TOKENS, N_TOKENS, wanted);
    prefix_folder_write_read(prefix_path, r.session, N_PREFIX);
    calmoe_adapter_close(&first);
    running_close(&r);
    for (int way = full_or_thin(0, 1); way < 3; way++) {
        static const struct { int n_threads, n_chunk; } ways[] = {{1, N_BEHIND}, {3, 4}, {2, 1}};
        r = open_model(path, ways[way].n_threads, NULL);
        calmoe_adapter *adapters[2] = {open_adapter(&r, prefix_path), lora ? open_adapter(&r, lora) : NULL};
        const float     scales[2] = {1.0f, 1.0f};
        calmoe_adapter_info info = {.size = sizeof info};
        running_must(r.context, calmoe_adapter_get_info(adapters[0], &info));
        assert_int_equal(info.n_virtual_tokens, N_PREFIX);
        running_must(r.context, calmoe_session_set_adapters(r.session, adapters, scales, lora ? 2 : 1));
        running_read(&r, r.session, text + N_PREFIX, N_BEHIND, ways[way].n_chunk, found);
        if (memcmp(found, wanted + N_PREFIX * r.n_vocab, (size_t)(N_BEHIND * r.n_vocab) * sizeof *found) != 0)
            fail_msg("%s, %d threads, chunks of %d: other bits than behind the text", path, ways[way].n_threads,
                     ways[way].n_chunk);
        for (int i = 0; i < 2; i++) calmoe_adapter_close(&adapters[i]);
        running_close(&r);
    }
}

static void as_the_text(void **state)
{
    static const char *const names[] = {"llama", "qwen3moe", "gptoss", "gemma3", "llama4", "olmoe"};
    char path[600], lora[600];
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        golden_path(path, names[i]);
        try_model(path, NULL);
        if (i != 1) continue; /* beside a LoRA: the text is read with it, too */
        const struct random_adapter random = {.seed = 78, .rank = 3, .size = 0.3f};
        in_folder(lora, "lora.gguf");
        random_adapter_write(path, &random, lora);
        try_model(path, lora);
    }
}

/* ---- a long text: several spans, rings of windows, float16 ---- */

enum { N_LONG = 1700, N_LONG_PREFIX = 600, LONG_ROWS = 64, LONG_CONTEXT = 2048 };

static int32_t long_text[N_LONG];
static char    long_path[600], long_prefix[600];
static float   after[N_LONG][8]; /* the first logits behind each position of the long text */

static struct running open_long(int n_threads)
{
    calmoe_engine_options  engine = running_options(n_threads, NULL);
    calmoe_session_options session;
    engine.max_rows = LONG_ROWS;
    calmoe_session_options_init(&session);
    session.context = LONG_CONTEXT;
    session.ignore_end = 1;
    return running_open(long_path, &engine, &session);
}

/* Reads positions begin … end - 1 of the text; a prefix of n_before stands before the session. is_wanted: their logits
 * are noted, else compared. */
static void read_long(struct running *r, calmoe_session *session, int n_before, int begin, int end, bool is_wanted)
{
    while (begin < end) {
        const int n = end - begin < LONG_ROWS - 7 ? end - begin : LONG_ROWS - 7;
        const calmoe_chunk chunk = {session, long_text + begin, n, CALMOE_LOGITS_ALL};
        assert_int_equal(calmoe_session_n_positions(session) + n_before, begin);
        running_must(r->context, calmoe_engine_step(r->engine, &chunk, 1));
        for (int i = 0; i < n; i++) {
            const float *logits = calmoe_session_logits(session, i);
            if (is_wanted) memcpy(after[begin + i], logits, sizeof after[0]);
            else if (memcmp(after[begin + i], logits, sizeof after[0]) != 0)
                fail_msg("position %d differs", begin + i);
        }
        begin += n;
    }
}

static void back_to(struct running *r, calmoe_session *session, int position)
{
    running_must(r->context, calmoe_session_rewind(session, position));
    running_must(r->context, calmoe_session_rewind(session, calmoe_session_n_positions(session)));
    read_long(r, session, N_LONG_PREFIX, N_LONG_PREFIX + calmoe_session_n_positions(session), N_LONG, false);
}

static void prepare_long(void)
{
    struct tiny_model tiny = tiny_model();
    tiny.architecture = "gemma3"; /* with windows */
    tiny.n_experts = tiny.n_used = tiny.shared_width = 0;
    tiny.has_head_norms = true;
    tiny.context = LONG_CONTEXT;
    in_folder(long_path, "long.gguf");
    in_folder(long_prefix, "long");
    tiny_model_write(&tiny, long_path);
    struct running r = open_long(2);
    for (int i = 0; i < N_LONG; i++) long_text[i] = (40 + i * i % 61 + i / 7) % r.n_vocab;
    read_long(&r, r.session, 0, 0, N_LONG_PREFIX, true);
    prefix_folder_write_read(long_prefix, r.session, N_LONG_PREFIX);
    read_long(&r, r.session, 0, N_LONG_PREFIX, N_LONG, true);
    running_close(&r);
}

/* Forward, and back to places that rings still have, and to those that they have not: then the prefix is put there
 * again. */
static void forth_and_back(void **state)
{
    static const int back[] = {N_LONG - N_LONG_PREFIX - 1, 1000, 20, 1, 0};
    (void)state;
    prepare_long();
    struct running  r = open_long(2);
    calmoe_adapter *adapter = open_adapter(&r, long_prefix);
    running_must(r.context, calmoe_session_set_adapters(r.session, &adapter, &ONE, 1));
    read_long(&r, r.session, N_LONG_PREFIX, N_LONG_PREFIX, N_LONG, false);
    for (size_t i = 0; i < sizeof back / sizeof *back; i++) back_to(&r, r.session, back[i]);
    running_must(r.context, calmoe_session_rewind(r.session, 0));
    running_must(r.context, calmoe_session_set_adapters(r.session, NULL, NULL, 0)); /* and without it */
    read_long(&r, r.session, 0, 0, N_LONG_PREFIX, false);
    calmoe_adapter_close(&adapter);
    running_close(&r);
}

/* Forks share the prefix's spans, and neither one's going back to 0 is the other's. */
static void forks(void **state)
{
    enum { AT = 500 };
    (void)state;
    struct running  r = open_long(1);
    calmoe_session *fork[2];
    calmoe_adapter *adapter = open_adapter(&r, long_prefix);
    running_must(r.context, calmoe_session_set_adapters(r.session, &adapter, &ONE, 1));
    calmoe_adapter_close(&adapter); /* sessions keep it */
    running_must(r.context, calmoe_session_fork(r.session, &fork[1])); /* without a token */
    read_long(&r, r.session, N_LONG_PREFIX, N_LONG_PREFIX, N_LONG_PREFIX + AT, false);
    running_must(r.context, calmoe_session_fork(r.session, &fork[0]));
    running_must(r.context, calmoe_session_rewind(r.session, 0));
    read_long(&r, r.session, N_LONG_PREFIX, N_LONG_PREFIX, N_LONG_PREFIX + 70, false);
    read_long(&r, fork[0], N_LONG_PREFIX, N_LONG_PREFIX + AT, N_LONG, false);
    back_to(&r, fork[0], 30);
    read_long(&r, r.session, N_LONG_PREFIX, N_LONG_PREFIX + 70, N_LONG_PREFIX + AT, false);
    read_long(&r, fork[1], N_LONG_PREFIX, N_LONG_PREFIX, N_LONG_PREFIX + 100, false);
    for (int i = 0; i < 2; i++) calmoe_session_close(&fork[i]);
    running_close(&r);
}

/* A file of a session has the prefix's place and names it; restored where it is open. */
static void saved(void **state)
{
    char path[600];
    (void)state;
    in_folder(path, "saved.session");
    for (int i = 0; i < 3; i++) {
        const int       at = i > 0 ? 650 : 0;
        struct running  r = open_long(2);
        calmoe_session *restored = NULL;
        calmoe_adapter *adapter = open_adapter(&r, long_prefix);
        running_must(r.context, calmoe_session_set_adapters(r.session, &adapter, &ONE, 1));
        read_long(&r, r.session, N_LONG_PREFIX, N_LONG_PREFIX, N_LONG_PREFIX + at, false);
        running_must(r.context, calmoe_session_save(r.session, path));
        read_long(&r, r.session, N_LONG_PREFIX, N_LONG_PREFIX + at, N_LONG_PREFIX + at + 9, false);
        calmoe_adapter_close(&adapter);
        running_close(&r);
        r = open_long(1);
        assert_int_equal(calmoe_session_restore(r.engine, path, NULL, &restored), CALMOE_INVALID_ARGUMENT);
        assert_non_null(strstr(calmoe_context_message(r.context), ", which is not open; 0 others are"));
        adapter = open_adapter(&r, long_prefix);
        running_must(r.context, calmoe_session_restore(r.engine, path, NULL, &restored));
        if (i == 2) back_to(&r, restored, 440); /* the file has its window no more: back to 0 */
        else read_long(&r, restored, N_LONG_PREFIX, N_LONG_PREFIX + at, N_LONG, false);
        back_to(&r, restored, 300);
        calmoe_session_close(&restored);
        calmoe_adapter_close(&adapter);
        running_close(&r);
    }
}

/* The context is the session's tokens: a prefix takes nothing of it. */
static void context_is_of_tokens(void **state)
{
    enum { CONTEXT = 64 };
    char path[600], prefix[600];
    calmoe_session_options options;
    (void)state;
    in_folder(prefix, "short");
    const calmoe_engine_options engine = running_options(1, NULL);
    calmoe_session_options_init(&options);
    options.context = CONTEXT;
    struct running r = running_open(golden_path(path, "llama"), &engine, &options);
    make_text(r.n_vocab, 5);
    prefix_folder_write_random(prefix, r.session, 100, 4);
    calmoe_adapter *adapter = open_adapter(&r, prefix);
    running_must(r.context, calmoe_session_set_adapters(r.session, &adapter, &ONE, 1));
    for (int i = 0; i < CONTEXT; i++) {
        const calmoe_chunk chunk = {r.session, text + i % N_TOKENS, 1, CALMOE_LOGITS_NONE};
        running_must(r.context, calmoe_engine_step(r.engine, &chunk, 1));
    }
    const calmoe_chunk more = {r.session, text, 1, CALMOE_LOGITS_NONE};
    assert_int_equal(calmoe_engine_step(r.engine, &more, 1), CALMOE_FULL);
    calmoe_adapter_close(&adapter);
    running_close(&r);
}

/* ---- what cannot be ---- */

static void check_refused(const struct running *r, calmoe_status found_status, calmoe_status status, const char *part)
{
    if (found_status != status || !strstr(calmoe_context_message(r->context), part))
        fail_msg("%s: '%s', wanted '%s'", calmoe_status_name(found_status), calmoe_context_message(r->context), part);
}

static void models_without_place(void **state)
{
    static const struct { const char *model, *part; } refused[] = {
        {"deepseek3", " keeps latents, not keys and values of heads"},
        {"qwen3next", " keeps a state, not keys and values"},
        {"lfm2moe", " keeps a state, not keys and values"},
        {"granitehybrid", " keeps a state, not keys and values"},
        {"nemotronh", "and layer "},
        {"gemma4", " has other numbers or sizes of heads than layer 0"},
        {"llama", "'qwen3moe_prefix': 'prompt_embeddings' has 9 x 160 numbers; keys and values of 9 positions in 4 "
                  "layers of "},
    };
    char path[600];
    (void)state;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        struct running  r = open_model(golden_path(path, refused[i].model), 1, NULL);
        calmoe_adapter *adapter = NULL;
        const calmoe_status status =
            calmoe_adapter_open(r.engine, GOLDEN_FOLDER "/adapters/qwen3moe_prefix", &adapter);
        const bool is_shape = strcmp(refused[i].model, "llama") == 0;
        check_refused(&r, status, is_shape ? CALMOE_INVALID_ARGUMENT : CALMOE_UNSUPPORTED, refused[i].part);
        running_close(&r);
    }
}

static void wrong_uses(void **state)
{
    char path[600], other[600];
    (void)state;
    in_folder(other, "other");
    struct running r = open_model(golden_path(path, "qwen3moe"), 1, NULL);
    prefix_folder_write_random(other, r.session, 3, 9);
    calmoe_adapter *adapters[2] = {open_adapter(&r, GOLDEN_FOLDER "/adapters/qwen3moe_prefix"),
                                   open_adapter(&r, other)};
    const float     half[2] = {0.0f, 0.5f}, both[2] = {1.0f, 1.0f}, none[2] = {0.0f, 0.0f};
    check_refused(&r, calmoe_session_set_adapters(r.session, adapters, half, 2), CALMOE_INVALID_ARGUMENT,
                  "adapter 1 is a prefix, and is used whole or not: its scale is 0.5, 1 or 0 is wanted");
    check_refused(&r, calmoe_session_set_adapters(r.session, adapters, both, 2), CALMOE_INVALID_ARGUMENT,
                  "adapters 0 and 1 are prefixes: a session begins behind one at most");
    running_must(r.context, calmoe_session_set_adapters(r.session, adapters, none, 2));
    assert_int_equal(calmoe_session_n_adapters(r.session), 0);
    calmoe_policy *policy = running_exits(&r, "softmax", 0.2f, (const int[]){1}, 1, NULL, 0);
    running_must(r.context, calmoe_session_set_adapters(r.session, adapters, both, 1));
    check_refused(&r, calmoe_session_set_policy(r.session, policy, 0.0), CALMOE_INVALID_ARGUMENT,
                  "a policy was made for the model as it is");
    calmoe_policy_close(&policy);
    for (int i = 0; i < 2; i++) calmoe_adapter_close(&adapters[i]);
    running_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_the_text),
        cmocka_unit_test(forth_and_back),
        cmocka_unit_test(forks),
        cmocka_unit_test(saved),
        cmocka_unit_test(context_is_of_tokens),
        cmocka_unit_test(models_without_place),
        cmocka_unit_test(wrong_uses),
    };
    return cmocka_run_group_tests(tests, open_folder, close_folder);
}
