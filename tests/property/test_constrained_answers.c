/* test_constrained_answers.c - answers of the embedded model at a temperature at which it writes anything: with a
 * constraint they are what a validator accepts, for random schemas. And such answers are the same with drafts, in
 * forks, after going back and from files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "tests/support/folder_fixture.h"
#include "tests/support/json_schemas.h"
#include "tests/support/running.h"

#define NANO CALMOE_SOURCE_DIR "/models/calmoe-nano.gguf"

enum { MAX_NEW = 180, MAX_TEXT = MAX_NEW * 64 };

static const char prompt[] = "The file";

static const char record[] =
    "{\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"string\",\"maxLength\":20},"
        "\"size\":{\"type\":\"integer\","
    "\"minimum\":0,\"maximum\":4096},\"tags\":{\"type\":\"array\",\"items\":{\"enum\":[\"old\",\"new\",\"odd\"]},"
    "\"maxItems\":4},\"next\":{\"anyOf\":[{\"$ref\":\"#\"},{\"type\":\"null\"}]}},\"required\":[\"name\",\"size\","
        "\"tags\",\"next\"],\"additionalProperties\":false}";

static struct running open_nano(int lossless)
{
    const calmoe_engine_options engine = running_options(1, NULL);
    calmoe_session_options session;
    calmoe_session_options_init(&session);
    session.context = 512;
    session.max_new_tokens = MAX_NEW;
    session.lossless = lossless;
    return running_open(NANO, &engine, &session);
}

static calmoe_constraint *open_schema(struct running *r, const char *schema, int compact)
{
    calmoe_constraint_options options;
    calmoe_constraint *constraint;
    calmoe_constraint_options_init(&options);
    options.compact = compact;
    running_must(r->context, calmoe_constraint_open_json_schema(r->model, schema, strlen(schema), &options,
                                                                &constraint));
    return constraint;
}

static calmoe_sampler_options sampler_of(const calmoe_constraint *constraint, float temperature, uint64_t seed)
{
    calmoe_sampler_options sampler;
    calmoe_sampler_options_init(&sampler);
    sampler.temperature = temperature;
    sampler.seed = seed;
    sampler.constraint = constraint;
    return sampler;
}

static void begin(struct running *r, const calmoe_sampler_options *sampler)
{
    running_must(r->context, calmoe_session_rewind(r->session, 0));
    running_must(r->context, calmoe_session_set_sampler(r->session, sampler));
    running_must(r->context, calmoe_session_feed_text(r->session, prompt, sizeof prompt - 1, CALMOE_TOKENIZE_BOS));
}

/* Up to n tokens of the answer, that which ends it too; how many. */
static int go_on(struct running *r, calmoe_session *session, int n, int32_t *tokens)
{
    int           n_made = 0;
    calmoe_status status = CALMOE_OK;
    while (n_made < n && status == CALMOE_OK) {
        status = calmoe_session_next(session, &tokens[n_made]);
        if (status != CALMOE_OK && status != CALMOE_END) running_must(r->context, status);
        if (tokens[n_made] < 0) break;
        n_made++;
    }
    return n_made;
}

static size_t write_text(const struct running *r, const int32_t *tokens, int n, char *text)
{
    size_t n_text = 0, n_bytes;
    for (int i = 0; i < n; i++) {
        const char *bytes = calmoe_token_bytes(r->model, tokens[i], 0, &n_bytes);
        assert_true(n_text + n_bytes <= MAX_TEXT);
        memcpy(text + n_text, bytes, n_bytes);
        n_text += n_bytes;
    }
    return n_text;
}

static void answers_fit_their_schemas(void **state)
{
    (void)state;
    static char schema[SCHEMA_BYTES], text[MAX_TEXT];
    struct running r = open_nano(CALMOE_LOSSLESS_OFF);
    struct random random = cm_random(77);
    int n_complete = 0;
    enum { N_TRIALS = 20 };
    for (uint64_t trial = 0; trial < N_TRIALS; trial++) {
        char    what[200] = "";
        int32_t tokens[MAX_NEW + 1];
        random_schema(&random, schema);
        calmoe_constraint *constraint = open_schema(&r, schema, trial % 3 != 0);
        const calmoe_sampler_options sampler = sampler_of(constraint, 2, trial);
        begin(&r, &sampler);
        const int n = go_on(&r, r.session, MAX_NEW + 1, tokens);
        running_must(r.context, calmoe_session_set_sampler(r.session, NULL));
        calmoe_constraint_close(&constraint);
        if (n == 0 || !calmoe_token_ends(r.model, tokens[n - 1])) continue; /* cut by the limit */
        const size_t n_text = write_text(&r, tokens, n - 1, text);
        if (!fits_schema(schema, text, n_text, what) && !strstr(what, "a member that was there before"))
            fail_msg("%s\nlets \"%.*s\" through: %s", schema, (int)n_text, text, what);
        n_complete++;
    }
    assert_true(n_complete > N_TRIALS * 3 / 4);
    running_close(&r);
}

/* Drafts are made with the constraint's state that they would have, so some are accepted; tokens are those of plain
 * steps in any case. */
static void drafts_change_nothing(void **state)
{
    (void)state;
    struct running plain = open_nano(CALMOE_LOSSLESS_OFF), drafting = open_nano(CALMOE_LOSSLESS_ALWAYS);
    calmoe_constraint *one = open_schema(&plain, record, 1), *other = open_schema(&drafting, record, 1);
    for (uint64_t seed = 0; seed < 3; seed++) {
        int32_t wanted[MAX_NEW], found[MAX_NEW];
        const float temperature = (float)(seed % 3) * 0.7f;
        const calmoe_sampler_options sampler = sampler_of(one, temperature, seed), same = sampler_of(other,
            temperature, seed);
        begin(&plain, &sampler);
        begin(&drafting, &same);
        const int n = go_on(&plain, plain.session, 70, wanted);
        assert_int_equal(go_on(&drafting, drafting.session, 70, found), n);
        assert_memory_equal(found, wanted, (size_t)n * sizeof *found);
    }
    calmoe_speculation drafts = {.size = sizeof drafts};
    running_must(drafting.context, calmoe_session_speculation(drafting.session, &drafts));
    assert_true(drafts.accepted > 5);
    running_must(plain.context, calmoe_session_set_sampler(plain.session, NULL));
    running_must(drafting.context, calmoe_session_set_sampler(drafting.session, NULL));
    calmoe_constraint_close(&one);
    calmoe_constraint_close(&other);
    running_close(&plain);
    running_close(&drafting);
}

static void answers_go_on(void **state)
{
    (void)state;
    enum { N = 60, CUT = 23 };
    struct running r = open_nano(CALMOE_LOSSLESS_OFF);
    calmoe_constraint *constraint = open_schema(&r, record, 0);
    const calmoe_sampler_options sampler = sampler_of(constraint, 0, 0);
    calmoe_session_options options;
    calmoe_session *fork = NULL, *restored = NULL;
    int32_t wanted[N], found[N];
    const char *file = temp_file(folder, "answer.session");
    begin(&r, &sampler);
    const int n_prompt = calmoe_session_n_tokens(r.session);
    assert_int_equal(go_on(&r, r.session, CUT, wanted), CUT);
    running_must(r.context, calmoe_session_fork(r.session, &fork));
    running_must(r.context, calmoe_session_save(r.session, file));
    const int n = CUT + go_on(&r, r.session, N - CUT, wanted + CUT);
    assert_true(n > CUT + 10);
    assert_int_equal(go_on(&r, fork, N - CUT, found + CUT), n - CUT);
    assert_memory_equal(found + CUT, wanted + CUT, (size_t)(n - CUT) * sizeof *found);
    calmoe_session_options_init(&options);
    options.sampler = &sampler;
    running_must(r.context, calmoe_session_restore(r.engine, file, &options, &restored));
    assert_int_equal(go_on(&r, restored, N - CUT, found + CUT), n - CUT);
    assert_memory_equal(found + CUT, wanted + CUT, (size_t)(n - CUT) * sizeof *found);
    for (int back = n - 3; back > 0; back -= 9) { /* token `back` is read anew, and what follows it is sampled */
        const calmoe_chunk chunk = {.session = r.session, .tokens = wanted + back, .n_tokens = 1,
                                    .logits = CALMOE_LOGITS_LAST};
        int32_t token;
        running_must(r.context, calmoe_session_rewind(r.session, n_prompt + back));
        running_must(r.context, calmoe_engine_step(r.engine, &chunk, 1));
        running_must(r.context, calmoe_session_sample(r.session, &token));
        assert_int_equal(token, wanted[back + 1]);
    }
    calmoe_session_close(&fork);
    calmoe_session_close(&restored);
    running_must(r.context, calmoe_session_set_sampler(r.session, NULL));
    calmoe_constraint_close(&constraint);
    running_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_fit_their_schemas),
        cmocka_unit_test(drafts_change_nothing),
        cmocka_unit_test(answers_go_on),
    };
    return cmocka_run_group_tests_name("constrained answers", tests, open_folder, close_folder);
}
