/* test_adapters_merged.c - what an adapter does to a session is the same as if it were merged into the model, of every
 * family and everything that is multiplied by: merged by other code than the library's, and by calmoe_quantize(). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <calmoe/quantize.h>

#include "tests/support/adapter_fixture.h"
#include "tests/support/goldens.h"
#include "tests/support/random_adapter.h"

static float found[N_TOKENS * MAX_VOCAB], wanted[N_TOKENS * MAX_VOCAB];

static void use(struct running *r, calmoe_session *session, calmoe_adapter *adapter, float scale)
{
    running_must(r->context, calmoe_session_set_adapters(session, &adapter, &scale, 1));
}

/* The largest difference of two runs' logits, as a part of the range of the second. */
static double difference(int n_vocab)
{
    double low = INFINITY, high = -INFINITY, worst = 0.0;
    for (int i = 0; i < N_TOKENS * n_vocab; i++) {
        const double d = fabs((double)found[i] - (double)wanted[i]);
        low = fmin(low, (double)wanted[i]);
        high = fmax(high, (double)wanted[i]);
        if (!(d <= worst)) worst = d;
    }
    return worst / (high - low);
}

static double changed_by(const char *model, const struct random_adapter *random, double *change)
{
    char  adapter_path[600], merged_path[600];
    const float scale = 0.6f;
    in_folder(adapter_path, "adapter.gguf");
    in_folder(merged_path, "merged.gguf");
    if (random_adapter_write(model, random, adapter_path) == 0) fail_msg("%s: nothing to adapt", model);
    random_adapter_merge(model, adapter_path, scale, merged_path);
    struct running merged = open_model(merged_path, 1, NULL);
    make_text(merged.n_vocab, random->seed);
    running_read(&merged, merged.session, text, N_TOKENS, N_TOKENS, wanted);
    running_close(&merged);
    struct running r = open_model(model, 1, NULL);
    running_read(&r, r.session, text, N_TOKENS, N_TOKENS, found);
    *change = difference(r.n_vocab);
    running_must(r.context, calmoe_session_rewind(r.session, 0));
    calmoe_adapter *adapter = open_adapter(&r, adapter_path);
    use(&r, r.session, adapter, scale);
    running_read(&r, r.session, text, N_TOKENS, N_TOKENS, found);
    const double d = difference(r.n_vocab);
    calmoe_adapter_close(&adapter);
    running_close(&r);
    return d;
}

/* States take in every token, and what rounding leaves in them passes on: test_golden.c. */
static double limit_of(const char *name)
{
    static const char *const with_state[] = {"qwen3next", "qwen35", "granitehybrid", "nemotronh", "lfm2"};
    for (size_t i = 0; i < sizeof with_state / sizeof *with_state; i++)
        if (strncmp(name, with_state[i], strlen(with_state[i])) == 0) return 5e-5;
    return 1e-5;
}

static void as_if_merged(void **state)
{
    (void)state;
    const struct goldens all = goldens();
    for (int i = 0; i < all.n; i++) {
        char   path[600];
        double change;
        if (golden_is_left_out(all.names[i]) || golden_has_twin(all.names[i])) continue;
        const struct random_adapter random = {.seed = 5 + (uint64_t)i, .rank = 2 + i % 3, .size = 0.15f,
                                              .is_for_all = i % 4 == 3};
        const double d = changed_by(golden_path(path, all.names[i]), &random, &change);
        if (getenv("CALMOE_SHOW")) printf("%-20s %.1e of a change of %.1e\n", all.names[i], d, change);
        if (!(d <= limit_of(all.names[i])) || !(change > 1e-2))
            fail_msg("%s: %g from the merged model, which is %g from the model", all.names[i], d, change);
    }
}

/* calmoe_quantize() adds an adapter for good: what it writes answers as the model does with the adapter. */
static void merged_into_a_file(void **state)
{
    static const char *const names[] = {"qwen2moe", "deepseek2old", "chatglm", "qwen3moe", "mixtral"};
    calmoe_context *context = NULL;
    char path[600], adapter_path[600], merged_path[600];
    (void)state;
    running_must(NULL, calmoe_context_open(NULL, &context));
    in_folder(adapter_path, "adapter.gguf");
    in_folder(merged_path, "merged.gguf");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const struct random_adapter random = {.seed = 40 + i, .rank = 3, .size = 0.2f, .is_for_all = i == 0};
        calmoe_quantize_options options;
        calmoe_quantize_options_init(&options);
        golden_path(path, names[i]);
        random_adapter_write(path, &random, adapter_path);
        options.adapter = adapter_path;
        options.adapter_scale = 0.6f;
        options.n_threads = 1;
        running_must(context, calmoe_quantize(context, path, merged_path, "f32", &options, NULL));
        struct running merged = open_model(merged_path, 1, NULL);
        make_text(merged.n_vocab, random.seed);
        running_read(&merged, merged.session, text, N_TOKENS, N_TOKENS, wanted);
        running_close(&merged);
        struct running r = open_model(path, 1, NULL);
        calmoe_adapter *adapter = open_adapter(&r, adapter_path);
        use(&r, r.session, adapter, 0.6f);
        running_read(&r, r.session, text, N_TOKENS, N_TOKENS, found);
        const double d = difference(r.n_vocab);
        calmoe_adapter_close(&adapter);
        running_close(&r);
        if (!(d <= 1e-5)) fail_msg("%s: %g from the merged file", names[i], d);
    }
    const struct random_adapter random = {.seed = 3, .rank = 2, .size = 0.2f, .only = "token_embd"};
    calmoe_quantize_options options;
    calmoe_quantize_options_init(&options);
    random_adapter_write(golden_path(path, "gemma3"), &random, adapter_path);
    options.adapter = adapter_path;
    assert_int_equal(calmoe_quantize(context, path, merged_path, "f16", &options, NULL), CALMOE_UNSUPPORTED);
    assert_string_equal(calmoe_context_message(context),
                        "'gemma3.gguf' has one matrix for embedding and output, and the adapter changes one of the "
                        "two; it "
                        "can be used beside the model only");
    calmoe_context_close(&context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_if_merged),
        cmocka_unit_test(merged_into_a_file),
    };
    return cmocka_run_group_tests(tests, open_folder, close_folder);
}
