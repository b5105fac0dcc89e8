/* test_synthetic.c - synthetic models of every weight type and kind of block: they open, run, and give finite logits
 * that differ; the file depends on the seed, not on threads; wrong options and full disks are told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include <calmoe/synthetic.h>

#include "base/memory.h"
#include "runtime/families/family.h"
#include "runtime/load/model_file.h"
#include "tests/support/running.h"
#include "tests/support/context_fixture.h"

enum { N_TOKENS = 12, N_VOCAB = 300 };

static char                path[600], other_path[600];

static calmoe_synthetic_options tiny(const char *type)
{
    calmoe_synthetic_options options;
    calmoe_synthetic_options_init(&options);
    options.family = "qwen3moe";
    options.type = type;
    options.n_layers = 2;
    options.width = 256;
    options.n_heads = 4;
    options.n_kv_heads = 2;
    options.head_size = 32;
    options.n_experts = 8;
    options.n_experts_used = 2;
    options.expert_width = 256;
    options.n_vocab = N_VOCAB;
    options.head_norms = CALMOE_NORM_HEADS;
    return options;
}

static void synthesize(const calmoe_synthetic_options *options)
{
    running_must(context, calmoe_synthesize(context, options, path, NULL, NULL));
}

/* Runs some tokens; logits must be finite, of a sane size, and tell tokens apart. */
static void run_model(void)
{
    const calmoe_engine_options engine = running_options(2, NULL);
    struct running running = running_open(path, &engine, NULL);
    int32_t        tokens[N_TOKENS];
    float         *logits = malloc(sizeof *logits * N_TOKENS * (size_t)running.n_vocab);
    assert_non_null(logits);
    for (int i = 0; i < N_TOKENS; i++) tokens[i] = (37 * i + 5) % running.n_vocab;
    running_read(&running, running.session, tokens, N_TOKENS, N_TOKENS, logits);
    for (int i = 0; i < N_TOKENS; i++) {
        const float *row = logits + (size_t)i * (size_t)running.n_vocab;
        double sum = 0.0, squares = 0.0;
        for (int v = 0; v < running.n_vocab; v++) {
            assert_true(isfinite(row[v]));
            sum += (double)row[v];
            squares += (double)row[v] * (double)row[v];
        }
        const double mean = sum / running.n_vocab, deviation = sqrt(squares / running.n_vocab - mean * mean);
        if (!(deviation > 0.05 && deviation < 50.0)) fail_msg("logits of deviation %g", deviation);
    }
    free(logits);
    running_close(&running);
}

static void every_type_runs(void **state)
{
    (void)state;
    for (int type = 0; type < WEIGHT_TYPE_COUNT; type++) {
        const calmoe_synthetic_options options = tiny(cm_weight_types[type].name);
        struct model_file *file = NULL;
        synthesize(&options);
        running_must(context, cm_model_file_open(context, path, &file));
        assert_int_equal(cm_file_tensor(file, "blk.1.ffn_down_exps.weight")->type, type);
        assert_int_equal(cm_file_tensor(file, "token_embd.weight")->type, type);
        assert_int_equal(cm_file_tensor(file, "output.weight")->type, type);
        assert_int_equal(cm_file_tensor(file, "blk.0.ffn_gate_inp.weight")->type, WEIGHT_F32);
        assert_int_equal(cm_file_tensor(file, "blk.0.attn_norm.weight")->type, WEIGHT_F32);
        cm_model_file_close(&file);
        run_model();
    }
}

/* Every switch that a shape may have, under a family that has it. */
static void every_kind_of_block_runs(void **state)
{
    (void)state;
    calmoe_synthetic_options options = tiny("q4_0");
    options.family = "qwen2moe";
    options.head_norms = CALMOE_NORM_NONE;
    options.qkv_biases = options.shared_gate = 1;
    options.shared_width = 96;
    synthesize(&options);
    run_model();
    options = tiny("q8_0");
    options.family = "olmoe";
    options.head_norms = CALMOE_NORM_WHOLE;
    synthesize(&options);
    run_model();
    options.family = "granitemoe";
    options.head_norms = CALMOE_NORM_NONE;
    options.tied = 1;
    options.embedding_scale = 12.0f;
    options.residual_scale = 0.22f;
    options.attention_scale = 0.015625f;
    options.logit_scale = 6.0f;
    synthesize(&options);
    run_model();
    options.shared_width = 96; /* without a gate */
    synthesize(&options);
    run_model();
    options = tiny("mxfp4");
    options.family = "gpt-oss";
    options.head_norms = CALMOE_NORM_NONE;
    options.n_layers = 3;
    options.window = N_TOKENS / 2;
    synthesize(&options);
    run_model();
    options = tiny("f16");
    options.family = "llama";
    options.head_norms = CALMOE_NORM_NONE;
    options.qkv_biases = 1;
    options.shared_width = 96;
    synthesize(&options);
    run_model();
    options.n_experts = options.shared_width = 0; /* dense */
    synthesize(&options);
    run_model();
    options = tiny("q8_0");
    options.family = "qwen3next"; /* delta nets */
    options.shared_width = 96;
    options.shared_gate = 1;
    options.rotated = options.head_size / 2;
    options.attention_interval = options.n_layers;
    options.delta_key_heads = 2;
    options.delta_value_heads = 4;
    options.delta_head_size = 32;
    synthesize(&options);
    run_model();
    options.family = "qwen35moe";
    synthesize(&options);
    run_model();
    options.attention_interval = 0;
    options.kinds = "ra"; /* the same layers, said otherwise */
    synthesize(&options);
    run_model();
}

/* Layers of which letters say what they are: the first dense, a state longer than its heads, halves. */
static void kinds_by_letters(void **state)
{
    (void)state;
    calmoe_synthetic_options options = tiny("q8_0");
    options.family = "lfm2moe";
    options.n_layers = 5;
    options.kinds = "rar"; /* the fourth and the fifth: r and a again */
    options.dense_layers = 1;
    options.dense_width = 96;
    options.tied = 1;
    synthesize(&options);
    run_model();
    options = tiny("q4_0");
    options.family = "nemotron_h_moe";
    options.head_norms = CALMOE_NORM_NONE;
    options.n_layers = 6;
    options.kinds = "rfrfaf";
    options.shared_width = 64;
    options.delta_key_heads = 2;
    options.delta_value_heads = 4;
    options.delta_head_size = 32;
    options.state_size = 48;
    synthesize(&options);
    run_model();
}

/* The least that a file of the family has. */
static calmoe_synthetic_options least_of(const struct family *family)
{
    calmoe_synthetic_options options = tiny("q8_0");
    options.family = family->architecture;
    options.width = options.expert_width = 64;
    if (!family->has_experts) options.n_experts = options.n_experts_used = 0;
    if (!(family->needs & NEEDS_QK_NORMS)) options.head_norms = CALMOE_NORM_NONE;
    if (family->needs & NEEDS_SHARED) options.shared_width = 32;
    options.shared_gate = (family->needs & NEEDS_SHARED_GATE) != 0;
    if (family->needs & NEEDS_DENSE_PART) options.dense_part = 96;
    if (cm_family_needs_key(family, "attention.sliding_window_pattern")) options.window = 5;
    if (family->needs & NEEDS_LATENTS) options.latent = 24, options.rotated = 8, options.head_norms = CALMOE_NORM_NONE;
    if (family->recurrent != RECURRENT_NONE) {
        if (family->norms == NORMS_OF_ONE_HALF) options.kinds = "rfa", options.n_layers = 3;
        else options.attention_interval = 2;
        options.delta_key_heads = options.delta_value_heads = 2;
        options.delta_head_size = 16;
    }
    if (cm_family_needs_key(family, "embedding_scale"))
        options.embedding_scale = options.residual_scale = options.attention_scale = options.logit_scale = 0.5f;
    return options;
}

static void every_family_runs(void **state)
{
    (void)state;
    const struct family *family;
    for (int i = 0; (family = cm_family_at(i)) != NULL; i++) {
        const calmoe_synthetic_options options = least_of(family);
        synthesize(&options);
        run_model();
    }
}

static void layers_may_differ(void **state)
{
    (void)state;
    calmoe_synthetic_options options = tiny("q8_0");
    struct model_file *file = NULL;
    options.family = "gemma4";
    options.n_layers = 6;
    options.tied = 1;
    options.window = 5;
    options.window_head_size = 16;
    options.window_kv_heads = 4;
    options.keys_are_values = 1;
    options.dense_part = 96;
    synthesize(&options);
    run_model();
    running_must(context, cm_model_file_open(context, path, &file));
    assert_int_equal(cm_file_tensor(file, "blk.4.attn_v.weight")->shape[1], 4 * 16);
    assert_int_equal(cm_file_tensor(file, "blk.5.attn_k.weight")->shape[1], 2 * 32);
    assert_null(cm_file_tensor(file, "blk.5.attn_v.weight"));
    cm_model_file_close(&file);
}

/* Keys that calmoe does without, but that files of these families have and other engines want. */
static void files_say_what_others_read(void **state)
{
    (void)state;
    static const struct { const char *family, *key; int64_t values[4]; uint64_t n; } rows[] = {
        {"deepseek2", "deepseek2.expert_shared_count", {3}, 1},
        {"gemma4", "gemma4.embedding_length_per_layer_input", {0}, 1},
        {"gemma4", "gemma4.feed_forward_length", {96}, 1},
        {"qwen35moe", "qwen35moe.rope.dimension_sections", {3, 3, 2, 0}, 4}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        calmoe_synthetic_options options = least_of(cm_family_of(rows[i].family, true));
        struct model_file       *file = NULL;
        if (options.attention_interval > 0) options.rotated = 16; /* eight pairs */
        if (options.latent > 0) options.shared_width = 3 * options.expert_width;
        synthesize(&options);
        running_must(context, cm_model_file_open(context, path, &file));
        const struct meta_entry *entry = cm_meta_entry(file, rows[i].key);
        if (!entry) fail_msg("%s is not there", rows[i].key);
        assert_int_equal(entry->count, rows[i].n);
        for (uint64_t k = 0; k < rows[i].n; k++) assert_int_equal(cm_meta_element_int(entry, k), rows[i].values[k]);
        cm_model_file_close(&file);
        run_model();
    }
}

static void narrow_rows_fall_back(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {{"q2_k", "iq4_nl"}, {"q3_k", "iq4_nl"}, {"iq4_xs", "iq4_nl"},
                                           {"q4_k", "q5_0"},   {"q5_k", "q5_1"},   {"q6_k", "q8_0"},
                                           {"q4_0", "q4_0"},   {"bf16", "bf16"}};
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        calmoe_synthetic_options options = tiny(pairs[i][0]);
        struct model_file *file = NULL;
        options.expert_width = 96;
        synthesize(&options);
        running_must(context, cm_model_file_open(context, path, &file));
        assert_string_equal(cm_weight_types[cm_file_tensor(file, "blk.0.ffn_down_exps.weight")->type].name,
                            pairs[i][1]);
        assert_string_equal(cm_weight_types[cm_file_tensor(file, "blk.0.ffn_up_exps.weight")->type].name, pairs[i][0]);
        cm_model_file_close(&file);
        run_model();
    }
    calmoe_synthetic_options odd = tiny("q4_0"); /* 50 is a multiple of no block */
    struct model_file *file = NULL;
    odd.expert_width = 50;
    synthesize(&odd);
    running_must(context, cm_model_file_open(context, path, &file));
    assert_int_equal(cm_file_tensor(file, "blk.0.ffn_down_exps.weight")->type, WEIGHT_F16);
    cm_model_file_close(&file);
    run_model();
}

static uint8_t *read_all(const char *from, size_t *n_bytes)
{
    struct file_map map;
    running_must(context, cm_file_map_open(context, from, &map));
    uint8_t *bytes = malloc(map.n_bytes);
    assert_non_null(bytes);
    memcpy(bytes, map.bytes, *n_bytes = map.n_bytes);
    cm_file_map_close(&map);
    return bytes;
}

static void the_seed_alone_makes_the_file(void **state)
{
    (void)state;
    calmoe_synthetic_options options = tiny("q4_k");
    uint8_t *files[4];
    size_t   n_bytes[4];
    options.width = 512; /* more than one piece in a tensor */
    options.expert_width = 1024;
    for (int i = 0; i < 4; i++) {
        options.n_threads = 1 + i % 3;
        options.seed = i == 3 ? 2 : 1;
        synthesize(&options);
        files[i] = read_all(path, &n_bytes[i]);
        assert_int_equal(n_bytes[i], n_bytes[0]);
    }
    assert_memory_equal(files[0], files[1], n_bytes[0]);
    assert_memory_equal(files[0], files[2], n_bytes[0]);
    assert_memory_not_equal(files[0], files[3], n_bytes[0]);
    for (int i = 0; i < 4; i++) free(files[i]);
}

static void bytes_are_foretold(void **state)
{
    (void)state;
    const calmoe_synthetic_options options = tiny("q8_0");
    uint64_t    n_bytes = 0;
    struct stat facts;
    running_must(context, calmoe_synthetic_bytes(context, &options, &n_bytes));
    synthesize(&options);
    assert_int_equal(stat(path, &facts), 0);
    assert_true((uint64_t)facts.st_size >= n_bytes && (uint64_t)facts.st_size < n_bytes + 30000);
}

/* All experts get some of many tokens. */
static void routing_is_spread(void **state)
{
    (void)state;
    enum { N = 200, N_EXPERTS = 8 };
    const calmoe_synthetic_options options = tiny("q8_0");
    uint64_t counts[N_EXPERTS];
    int32_t  tokens[N];
    synthesize(&options);
    const calmoe_engine_options engine = running_options(1, NULL);
    struct running running = running_open(path, &engine, NULL);
    for (int i = 0; i < N; i++) tokens[i] = i;
    const calmoe_chunk chunk = {running.session, tokens, N, CALMOE_LOGITS_NONE};
    running_must(running.context, calmoe_engine_step(running.engine, &chunk, 1));
    for (int layer = 0; layer < options.n_layers; layer++) {
        running_must(running.context,
                     calmoe_engine_get_expert_counts(running.engine, layer, counts, N_EXPERTS));
        for (int expert = 0; expert < N_EXPERTS; expert++) /* 50 in the mean */
            if (counts[expert] < 10) fail_msg("expert %d of layer %d: %d tokens", expert, layer, (int)counts[expert]);
    }
    running_close(&running);
}

static void refuse(const calmoe_synthetic_options *options, const char *sentence)
{
    unlink(path);
    assert_int_equal(calmoe_synthesize(context, options, path, NULL, NULL), CALMOE_INVALID_ARGUMENT);
    if (!strstr(calmoe_context_message(context), sentence))
        fail_msg("'%s' lacks '%s'", calmoe_context_message(context), sentence);
    assert_int_not_equal(access(path, F_OK), 0);
}

#define REFUSE(member, value, sentence)                             \
    do {                                                            \
        calmoe_synthetic_options wrong = tiny("q8_0");              \
        wrong.member = value;                                       \
        refuse(&wrong, sentence);                                   \
    } while (0)

static void wrong_options_are_told(void **state)
{
    (void)state;
    REFUSE(family, NULL, "family");
    REFUSE(family, "a name that is far too long for any family", "family");
    REFUSE(type, "q9_0", "type is 'q9_0'");
    REFUSE(type, NULL, "type");
    REFUSE(n_layers, 0, "n_layers is 0");
    REFUSE(n_layers, 100000, "n_layers");
    REFUSE(width, -1, "width is -1");
    REFUSE(n_heads, 0, "n_heads");
    REFUSE(n_kv_heads, 3, "3 kv heads");
    REFUSE(head_size, 31, "even size");
    REFUSE(n_experts, -1, "n_experts");
    REFUSE(n_experts_used, 0, "n_experts_used is 0");
    REFUSE(n_experts_used, 9, "n_experts_used is 9; 1 to 8");
    REFUSE(n_vocab, 256, "n_vocab is 256");
    REFUSE(head_norms, 3, "head_norms");
    REFUSE(rope_base, NAN, "rope_base");
    REFUSE(norm_eps, -1.0f, "norm_eps");
    REFUSE(logit_scale, INFINITY, "logit_scale");
    REFUSE(dense_part, 8, "dense_part is 8; 0 to 0 is wanted");
    REFUSE(keys_are_values, 1, "keys_are_values is 1; 0 to 0 is wanted");
    REFUSE(window_kv_heads, 2, "window_kv_heads is 2; 0 to 0 is wanted");
    REFUSE(family, "gemma4", "window is 0; 1 to");
    REFUSE(size, 0, "calmoe_synthetic_options");
    REFUSE(kinds, "", "kinds is ''");
    REFUSE(kinds, "af", "letters of 'ar' are wanted");
    REFUSE(kinds, "rr", "of 2 layers 0 attend");
    REFUSE(kinds, "ar", "the family 'qwen3moe' has attention only");
    REFUSE(family, "nemotron_h_moe", "2 attend and 0 are feed-forward halves");
    REFUSE(state_size, 1025, "state_size is 1025");
    const calmoe_synthetic_options fine = tiny("q8_0");
    uint64_t n_bytes;
    assert_int_equal(calmoe_synthesize(NULL, &fine, path, NULL, NULL), CALMOE_INVALID_ARGUMENT);
    assert_int_equal(calmoe_synthesize(context, NULL, path, NULL, NULL), CALMOE_INVALID_ARGUMENT);
    assert_int_equal(calmoe_synthesize(context, &fine, NULL, NULL, NULL), CALMOE_INVALID_ARGUMENT);
    assert_int_equal(calmoe_synthetic_bytes(context, &fine, NULL), CALMOE_INVALID_ARGUMENT);
    assert_int_equal(calmoe_synthetic_bytes(context, NULL, &n_bytes), CALMOE_INVALID_ARGUMENT);
    assert_int_equal(calmoe_synthesize(context, &fine, "/nowhere/at/all.gguf", NULL, NULL), CALMOE_IO);
}

static int stop_at_half(void *user, double fraction)
{
    int *n_calls = user;
    (*n_calls)++;
    assert_true(fraction >= 0.0 && fraction <= 1.0);
    return fraction >= 0.5;
}

static void what_was_stopped_leaves_nothing(void **state)
{
    (void)state;
    const calmoe_synthetic_options options = tiny("q8_0");
    const long n_blocks = cm_live_blocks();
    char part[700];
    int  n_calls = 0;
    unlink(path);
    assert_int_equal(calmoe_synthesize(context, &options, path, stop_at_half, &n_calls), CALMOE_CANCELLED);
    assert_true(n_calls > 1);
    snprintf(part, sizeof part, "%s.part", path);
    assert_int_not_equal(access(path, F_OK), 0);
    assert_int_not_equal(access(part, F_OK), 0);
    long nth = 0;
    calmoe_status status;
    do { /* every request for memory fails once */
        cm_fail_request(++nth);
        status = calmoe_synthesize(context, &options, other_path, NULL, NULL);
        cm_fail_request(0);
        assert_int_equal(cm_live_blocks(), n_blocks);
        assert_true(status == CALMOE_OK || access(other_path, F_OK) != 0);
    } while (status != CALMOE_OK && nth < 1000);
    assert_true(nth > 5 && nth < 1000);
}

static int open_all(void **state)
{
    if (open_folder_and_context(state) != 0) return -1;
    snprintf(path, sizeof path, "%s", temp_file(folder, "model.gguf"));
    snprintf(other_path, sizeof other_path, "%s", temp_file(folder, "other.gguf"));
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_runs),
        cmocka_unit_test(every_kind_of_block_runs),
        cmocka_unit_test(kinds_by_letters),
        cmocka_unit_test(every_family_runs),
        cmocka_unit_test(layers_may_differ),
        cmocka_unit_test(files_say_what_others_read),
        cmocka_unit_test(narrow_rows_fall_back),
        cmocka_unit_test(the_seed_alone_makes_the_file),
        cmocka_unit_test(bytes_are_foretold),
        cmocka_unit_test(routing_is_spread),
        cmocka_unit_test(wrong_options_are_told),
        cmocka_unit_test(what_was_stopped_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, open_all, close_folder_and_context);
}
