/* test_further.c - blocks that predict a further token, of the tiny models that have one (NAME.further.gguf), against
 * answers that make/further_block.py computed: logits along a text, the drafts that a session gets behind it, and
 * sessions that draft by them give the tokens and logits of plain ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/engine/drafter_parts.h"
#include "tests/support/folder_fixture.h"
#include "tests/support/gguf_copy.h"
#include "tests/support/goldens.h"
#include "tests/support/running.h"
#include "tests/support/thin.h"

static const double LIMIT = 1e-5; /* as a part of the range of the expected logits */

enum { N_NEW = 40, MOST_TOKENS = 128 };

struct further {
    struct model_file *expect;
    int                n_tokens, n_drafts;
    const int32_t     *tokens, *drafts;
    const float       *logits, *draft_logits; /* (n_tokens - 1, vocabulary), (n_drafts, vocabulary) */
};

static const struct file_tensor *expected(const struct further *further, const char *name)
{
    const struct file_tensor *tensor = cm_file_tensor(further->expect, name);
    if (!tensor) fail_msg("no tensor '%s' in the expectations", name);
    return tensor;
}

/* False: the model has no such block. */
static bool open_further(const char *name, struct further *out)
{
    char path[600];
    calmoe_context *context = NULL;
    snprintf(path, sizeof path, GOLDEN_FOLDER "/%s.further.gguf", name);
    FILE *file = fopen(path, "rb");
    if (!file) return false;
    fclose(file);
    running_must(NULL, calmoe_context_open(NULL, &context));
    running_must(context, cm_model_file_open(context, path, &out->expect));
    calmoe_context_close(&context);
    out->n_tokens = (int)expected(out, "tokens")->shape[0];
    out->n_drafts = (int)expected(out, "drafts")->shape[0];
    out->tokens = (const int32_t *)(const void *)expected(out, "tokens")->bytes;
    out->drafts = (const int32_t *)(const void *)expected(out, "drafts")->bytes;
    out->logits = (const float *)(const void *)expected(out, "logits")->bytes;
    out->draft_logits = (const float *)(const void *)expected(out, "draft_logits")->bytes;
    assert_in_range(out->n_tokens, 10, MOST_TOKENS);
    return true;
}

static struct running open_model(const char *name, const char *isa, int n_threads, int max_rows)
{
    char path[600];
    calmoe_engine_options options = running_options(n_threads, isa);
    calmoe_session_options session;
    calmoe_session_options_init(&session);
    session.lossless = CALMOE_LOSSLESS_ALWAYS;
    session.context = 256;
    session.ignore_end = 1;
    options.kv_float32 = 1;
    options.max_rows = max_rows;
    return running_open(golden_path(path, name), &options, &session);
}

static void read_text(struct running *r, const int32_t *tokens, int n, int n_chunk)
{
    for (int done = 0; done < n; done += n_chunk) {
        const calmoe_chunk chunk = {r->session, tokens + done, n - done < n_chunk ? n - done : n_chunk,
                                    CALMOE_LOGITS_NONE};
        running_must(r->context, calmoe_engine_step(r->engine, &chunk, 1));
    }
}

static double worst_of(const float *found, const float *wanted, size_t n)
{
    double low = INFINITY, high = -INFINITY, worst = 0.0;
    for (size_t i = 0; i < n; i++) {
        low = fmin(low, (double)wanted[i]);
        high = fmax(high, (double)wanted[i]);
        const double d = fabs((double)found[i] - (double)wanted[i]);
        if (!(d <= worst)) worst = d;
    }
    return worst / (high - low);
}

/* The block's rows of a text that the session has read, and behind them on its own. */
static double run_block(struct running *r, const struct further *further)
{
    struct drafter *drafter = r->engine->drafters[DRAFTER_FURTHER];
    const int    n = further->n_tokens - 1, n_vocab = r->n_vocab;
    const size_t dim = (size_t)drafter->spec->dim;
    struct draft_reader *reader = r->session->readers[DRAFTER_FURTHER];
    float own[1024];
    struct sequence_state state;
    const struct state_place place = cm_engine_state_place(r->engine, 256);
    assert_true(dim <= 1024);
    running_must(r->context, cm_sequence_state_open(&drafter->machine, drafter->spec, &place, &state));
    running_must(r->context, cm_decoder_reserve_logits(drafter->decoder, n));
    const struct sequence sequence = {.state = &state};
    struct step step = {.rows = drafter->rows, .n_rows = n, .n_logits = n};
    for (int i = 0; i < n; i++)
        drafter->rows[i] = (struct row){.asked = {.sequence = &sequence, .position = i, .logits_row = i,
                                                  .token = further->tokens[i + 1],
                                                  .before = cm_draft_reader_state_of(reader, i),
                                                  .state = i == n - 1 ? own : NULL}};
    running_must(r->context, cm_decoder_run(drafter->decoder, &step));
    double worst = worst_of(step.logits, further->logits, (size_t)n * (size_t)n_vocab);
    for (int i = 0; i + 1 < further->n_drafts; i++) {
        step = (struct step){.rows = drafter->rows, .n_rows = 1, .n_logits = 1};
        drafter->rows[0] = (struct row){.asked = {.sequence = &sequence, .position = n + i, .logits_row = 0,
                                                  .token = further->drafts[i], .before = own, .state = own}};
        running_must(r->context, cm_decoder_run(drafter->decoder, &step));
        const float *wanted = further->draft_logits + (size_t)(i + 1) * (size_t)n_vocab;
        worst = fmax(worst, worst_of(step.logits, wanted, (size_t)n_vocab));
    }
    cm_sequence_state_close(&state);
    return worst;
}

static void logits_along_a_text(void **state)
{
    (void)state;
    const struct goldens all = goldens();
    const char *isa;
    int n_models = 0;
    for (int m = 0; m < all.n; m++) {
        struct further further = {0};
        if (!open_further(all.names[m], &further)) continue;
        n_models++;
        for (int i = 0; (isa = running_isa(i)) != NULL; i++) {
            struct running r = open_model(all.names[m], isa, 2, MOST_TOKENS);
            assert_string_equal(r.model->further_problem, "");
            assert_int_equal(r.model->further.n_layers, 1);
            read_text(&r, further.tokens, further.n_tokens, further.n_tokens);
            const double worst = run_block(&r, &further);
            printf("%-10s %-10s %.1e of the range\n", all.names[m], isa, worst);
            assert_true(worst <= LIMIT);
            running_close(&r);
        }
        cm_model_file_close(&further.expect);
    }
    assert_in_range(n_models, 4, GOLDEN_MAX);
}

/* The drafts behind a text, of which the block has read all or nothing, in one step or in many. */
static void drafts_of_a_session(void **state)
{
    (void)state;
    const struct goldens all = goldens();
    for (int m = 0; m < all.n; m++) {
        struct further further = {0};
        if (!open_further(all.names[m], &further)) continue;
        for (int chunk = 5; chunk <= 105; chunk += 20) {
            struct running r = open_model(all.names[m], NULL, 2, chunk > MOST_TOKENS ? MOST_TOKENS : chunk + 3);
            struct draft_reader *reader = r.session->readers[DRAFTER_FURTHER];
            int32_t drafts[4];
            int     n;
            read_text(&r, further.tokens, further.n_tokens - 1, chunk);
            running_must(r.context, calmoe_session_feed_tokens(r.session, further.tokens + further.n_tokens - 1, 1));
            for (int again = 0; again < 2; again++) {
                cm_sampler_mark(r.session->sampler);
                running_must(r.context, cm_draft_reader_draft(r.session, reader, further.n_drafts, drafts, &n));
                cm_sampler_return(r.session->sampler);
                assert_int_equal(n, further.n_drafts);
                assert_memory_equal(drafts, further.drafts, (size_t)n * sizeof *drafts);
            }
            running_close(&r);
        }
        cm_model_file_close(&further.expect);
    }
}

static void generate(struct running *r, calmoe_session *session, const struct further *further, int32_t *tokens,
                     char hash[65])
{
    running_must(r->context, calmoe_session_feed_tokens(session, further->tokens, 12));
    for (int t = 0; t < N_NEW; t++) {
        running_must(r->context, calmoe_session_next(session, &tokens[t]));
        if (t % 16 != 15) continue; /* and back a little */
        const int n = calmoe_session_n_positions(session) - 5;
        running_must(r->context, calmoe_session_rewind(session, n));
        running_must(r->context, calmoe_session_feed_tokens(session, further->tokens, 2));
    }
    running_must(r->context, calmoe_session_logit_hash(session, hash));
}

static void sessions_are_as_plain_ones(void **state)
{
    (void)state;
    const struct goldens all = goldens();
    for (int m = 0; m < all.n; m++) {
        struct further further = {0};
        if (!open_further(all.names[m], &further)) continue;
        for (int kind = 0; kind < 2; kind++) {
            calmoe_sampler_options sampler;
            calmoe_session_options options;
            int32_t tokens[2][N_NEW];
            char    hashes[2][65];
            calmoe_sampler_options_init(&sampler);
            sampler.temperature = kind == 0 ? 0.0f : 0.7f;
            calmoe_session_options_init(&options);
            options.sampler = &sampler;
            options.ignore_end = options.hash_logits = 1;
            options.context = 256;
            FOR_THREADS(threads, 2) {
                struct running r = open_model(all.names[m], NULL, threads, 16);
                for (int lossless = 0; lossless < 2; lossless++) {
                    calmoe_session *session = NULL;
                    calmoe_speculation told = {.size = sizeof told};
                    options.lossless = lossless ? CALMOE_LOSSLESS_ALWAYS : CALMOE_LOSSLESS_OFF;
                    running_must(r.context, calmoe_session_open(r.engine, &options, &session));
                    generate(&r, session, &further, tokens[lossless], hashes[lossless]);
                    running_must(r.context, calmoe_session_speculation(session, &told));
                    if (lossless) assert_in_range(told.drafted_by[CALMOE_DRAFTS_BY_FURTHER], 5, 3 * N_NEW);
                    calmoe_session_close(&session);
                }
                assert_memory_equal(tokens[0], tokens[1], sizeof tokens[0]);
                assert_string_equal(hashes[0], hashes[1]);
                running_close(&r);
            }
        }
        cm_model_file_close(&further.expect);
    }
}

/* Where drafts are rejected, states of fixed size are had back as they were behind the last one that was accepted: no
 * row runs but those of rounds and plain steps. */
static void nothing_is_read_again(void **state)
{
    (void)state;
    struct further further = {0};
    assert_true(open_further("qwen35moe", &further));
    struct running r = open_model("qwen35moe", NULL, 2, 64);
    calmoe_stats stats = {.size = sizeof stats};
    calmoe_speculation told = {.size = sizeof told};
    int32_t token;
    running_must(r.context, calmoe_session_feed_tokens(r.session, further.tokens, 12));
    for (int t = 0; t < N_NEW; t++) running_must(r.context, calmoe_session_next(r.session, &token));
    running_must(r.context, calmoe_session_speculation(r.session, &told));
    running_must(r.context, calmoe_engine_get_stats(r.engine, &stats));
    assert_in_range(told.accepted, 0, told.drafted / 2); /* many were rejected */
    assert_int_equal(stats.n_rows, 12 + told.plain + told.rounds + told.drafted);
    running_close(&r);
    cm_model_file_close(&further.expect);
}

/* Files that lost a part of the block, or all of it, run without, and say so where drafts are wanted. */
static void blocks_that_are_not_whole(void **state)
{
    (void)state;
    static const char *const names[] = {"blk.5.nextn.hnorm.weight", "blk.5.nextn.eh_proj.weight",
                                        "blk.5.ffn_down_exps.weight", "blk.5.attn_q.weight"};
    char path[600];
    calmoe_context *context = NULL;
    struct model_file *file = NULL;
    running_must(NULL, calmoe_context_open(NULL, &context));
    running_must(context, cm_model_file_open(context, golden_path(path, "qwen35moe"), &file));
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *copy = temp_file(folder, "m.gguf");
        struct gguf_builder *builder = gguf_copy(file, names[i]);
        calmoe_model *model = NULL;
        builder_write(builder, copy);
        builder_close(&builder);
        running_must(context, calmoe_model_open(context, copy, NULL, &model));
        assert_int_equal(model->further.n_layers, 0);
        if (i != 1) assert_non_null(strstr(model->further_problem, names[i]));
        else assert_string_equal(model->further_problem, ""); /* it has none */
        calmoe_model_close(&model);
    }
    cm_model_file_close(&file);
    calmoe_context_close(&context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logits_along_a_text),
        cmocka_unit_test(drafts_of_a_session),
        cmocka_unit_test(sessions_are_as_plain_ones),
        cmocka_unit_test(nothing_is_read_again),
        cmocka_unit_test(blocks_that_are_not_whole),
    };
    return cmocka_run_group_tests_name("further blocks", tests, open_folder, close_folder);
}
