/* test_taken_out.c - a model file that lacks something: each key and each tensor of each golden model is taken out in
 * turn. Either the file is refused, with a sentence that names what is missing, or the model gives the same logits.
 *
 * `differs` lists what by its meaning in the format changes the model where it is absent. A row that no golden model
 * needs any more fails the test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/folder_fixture.h"
#include "tests/support/gguf_copy.h"
#include "tests/support/goldens.h"
#include "tests/support/logit_records.h"
#include "tests/support/running.h"
#include "tests/support/thin.h"

enum { N_NEW = 4 }; /* tokens after the text */

static struct differing {
    const char *golden; /* model; NULL: any */
    const char *name;   /* that is taken out */
    bool        is_met;
} differs[] = {
    /* Where it is absent the embedding serves as the output, as in models of the same families that are tied. */
    {.name = "output.weight"},
    /* Absent in files of Llama 1 and 2, where it means 10000. */
    {.golden = "llama3", .name = "llama.rope.freq_base"},
    {.golden = "llamabias", .name = "llama.rope.freq_base"},
    /* Absent where tokenizers put nothing before a text; most with these rules do. */
    {.golden = "deepseek2", .name = "tokenizer.ggml.add_bos_token"},
    {.golden = "deepseek2old", .name = "tokenizer.ggml.add_bos_token"},
    {.golden = "deepseek3", .name = "tokenizer.ggml.add_bos_token"},
    {.golden = "deepseek", .name = "tokenizer.ggml.add_bos_token"},
    {.golden = "youtu", .name = "tokenizer.ggml.add_bos_token"},
    {.golden = "minimaxm2", .name = "tokenizer.ggml.add_bos_token"},
    {.golden = "llama4", .name = "tokenizer.ggml.add_bos_token"},
    /* Absent in published files, which mean 8192, 8192 and 0.1. */
    {.golden = "llama4", .name = "llama4.attention.sliding_window"},
    {.golden = "llama4", .name = "llama4.attention.temperature_length"},
    {.golden = "llama4", .name = "llama4.attention.temperature_scale"},
    /* Absent where queries do not grow, as in Mistral Small 3. */
    {.golden = "mistral3", .name = "mistral3.attention.temperature_scale"},
    /* Absent where it is the formula's: 1 + 0.1 ln(factor). */
    {.golden = "laguna", .name = "laguna.rope.scaling.yarn_attn_factor"},
    /* Absent in the first files of the family, and in those of models without windows. */
    {.golden = "phi3", .name = "phi3.attention.sliding_window"},
    /* Llama 3.1 and later ones have it, Llama 3 has not; nothing else in a file tells them apart. */
    {.golden = "llama3", .name = "rope_freqs.weight"},
    /* Files with pieces by score were Llama's first, where its absence means token 1, and a space before the text. */
    {.golden = "gemma", .name = "tokenizer.ggml.bos_token_id"},
    {.golden = "gemma2", .name = "tokenizer.ggml.bos_token_id"},
    {.golden = "gemma3", .name = "tokenizer.ggml.bos_token_id"},
    {.golden = "gemma4", .name = "tokenizer.ggml.bos_token_id"},
    {.name = "tokenizer.ggml.add_space_prefix"},
};
enum { N_DIFFERING = sizeof differs / sizeof *differs };

static bool may_differ(const char *golden, const char *name)
{
    for (int i = 0; i < N_DIFFERING; i++) {
        if (differs[i].golden && strcmp(differs[i].golden, golden) != 0) continue;
        if (strcmp(differs[i].name, name) == 0) return differs[i].is_met = true;
    }
    return false;
}

/* SHA-256 of all logits over a text and some tokens behind it. */
static calmoe_status read_logits(calmoe_context *context, const char *path, char hash[65])
{
    static const char text[] = "The 12 experts route\n it's n\u00e9w!";
    const calmoe_engine_options engine_options = running_options(1, NULL);
    calmoe_session_options options;
    calmoe_model *model = NULL;
    calmoe_engine *engine = NULL;
    calmoe_session *session = NULL;
    const calmoe_status status = calmoe_model_open(context, path, NULL, &model);
    if (status != CALMOE_OK) return status;
    calmoe_session_options_init(&options);
    options.hash_logits = 1;
    options.ignore_end = 1;
    running_must(context, calmoe_engine_open(model, &engine_options, &engine));
    running_must(context, calmoe_session_open(engine, &options, &session));
    running_must(context, calmoe_session_feed_text(session, text, sizeof text - 1, CALMOE_TOKENIZE_BOS));
    struct logit_answer answer = logit_answer(context, session);
    logit_answer_go_on(&answer, N_NEW);
    running_must(context, calmoe_session_logit_hash(session, hash));
    calmoe_session_close(&session);
    calmoe_engine_close(&engine);
    calmoe_model_close(&model);
    return CALMOE_OK;
}

/* Returns 1 where the file neither is refused well nor gives the logits of that hash. */
static int take_out(calmoe_context *context, const struct model_file *file, const char *golden, const char *name,
                    const char *wanted)
{
    const char *path = temp_file(folder, "m.gguf");
    char found[65];
    struct gguf_builder *builder = gguf_copy(file, name);
    builder_write(builder, path);
    builder_close(&builder);
    const calmoe_status status = read_logits(context, path, found);
    const char *message = calmoe_context_message(context);
    if (status == CALMOE_OK) {
        if (strcmp(found, wanted) == 0 || may_differ(golden, name)) return 0;
        fprintf(stderr, "%s without '%s': other logits, and not a word\n", golden, name);
        return 1;
    }
    if ((status == CALMOE_BAD_FILE || status == CALMOE_UNSUPPORTED) && strstr(message, name)) return 0;
    fprintf(stderr, "%s without '%s': %s: %s\n", golden, name, calmoe_status_name(status), message);
    return 1;
}

static int check_file(calmoe_context *context, const char *path, const char *golden, const char *wanted)
{
    struct model_file *file = NULL;
    int n_wrong = 0;
    char whole[65];
    running_must(context, read_logits(context, path, whole));
    assert_string_equal(whole, wanted);
    running_must(context, cm_model_file_open(context, path, &file));
    for (uint64_t i = 0; i < file->n_entries; i++)
        n_wrong += take_out(context, file, golden, file->entries[i].key, wanted);
    for (uint64_t i = 0; i < file->n_tensors; i++)
        n_wrong += take_out(context, file, golden, file->tensors[i].name, wanted);
    cm_model_file_close(&file);
    return n_wrong;
}

/* As it is; and the one that had files in 2023 in their form, too. */
static int check_golden(const char *golden)
{
    char path[600], copy[600], name[80], wanted[65];
    calmoe_context *context = NULL;
    struct model_file *file = NULL;
    running_must(NULL, calmoe_context_open(NULL, &context));
    running_must(context, read_logits(context, golden_path(path, golden), wanted));
    int n_wrong = check_file(context, path, golden, wanted);
    if (strcmp(golden, "mixtral") == 0) {
        snprintf(copy, sizeof copy, "%s", temp_file(folder, "2023.gguf"));
        snprintf(name, sizeof name, "%s of 2023", golden);
        running_must(context, cm_model_file_open(context, path, &file));
        struct gguf_builder *builder = gguf_copy_2023(file);
        builder_write(builder, copy);
        builder_close(&builder);
        cm_model_file_close(&file);
        n_wrong += check_file(context, copy, name, wanted);
    }
    calmoe_context_close(&context);
    return n_wrong;
}

static void each_key_and_tensor_of_each_golden_model(void **state)
{
    (void)state;
    const struct goldens models = goldens();
    int n_wrong = 0;
    for (int i = 0; i < models.n; i++)
        if (!golden_is_left_out(models.names[i])) n_wrong += check_golden(models.names[i]);
    for (int i = 0; i < N_DIFFERING; i++) {
        if (differs[i].is_met || tests_are_thin()) continue; /* in a thin run its model may be left out */
        fprintf(stderr, "%s without '%s' is in the list of differing ones, but does not differ\n", differs[i].golden,
                differs[i].name);
        n_wrong++;
    }
    assert_int_equal(n_wrong, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(each_key_and_tensor_of_each_golden_model)};
    return cmocka_run_group_tests_name("taken out", tests, open_folder, close_folder);
}
