/* test_bad_adapters.c - adapters with exactly one fault: the status, the very sentence, and nothing left open. Then
 * calls that ask for what cannot be. The faults are listed in bad_adapter_list.inc. */
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

#include <calmoe/adapter.h>

#include "base/memory.h"
#include "tests/support/folder_fixture.h"
#include "tests/support/random_adapter.h"
#include "tests/support/running.h"
#include "tests/support/tiny_model.h"

static struct running r;
static int            n_wrong;

/* ---- what the list is made of ---- */

static void begin(struct gguf_builder *builder, const char *type, const char *kind, const char *family)
{
    builder_add_string(builder, "general.type", type);
    builder_add_string(builder, "adapter.type", kind);
    builder_add_string(builder, "general.architecture", family);
    builder_add_f32(builder, "adapter.lora.alpha", 3.0f);
}

static void add(struct gguf_builder *builder, const char *name, uint64_t n0, uint64_t n1, uint64_t n2)
{
    builder_add_tensor_random(builder, name, n2 > 1 ? 3 : n1 > 1 ? 2 : 1, (uint64_t[]){n0, n1, n2}, 7, 0.1f);
}

static void pair(struct gguf_builder *builder, const char *target, uint64_t inputs, uint64_t outputs, uint64_t rank,
                 uint64_t n_stacked)
{
    char name[128];
    snprintf(name, sizeof name, "%s.lora_a", target);
    add(builder, name, inputs, rank, n_stacked);
    snprintf(name, sizeof name, "%s.lora_b", target);
    add(builder, name, rank, outputs, n_stacked);
}

static void spoil(struct gguf_builder *builder)
{
    float *values = (float *)(void *)builder_tensor(builder, -1)->bytes;
    values[1] = INFINITY;
    values[5] = NAN;
}

/* ---- checks ---- */

/* In the sentence FOLDER and MODEL stand for what tests cannot know. */
static void expand(const char *sentence, char *out, size_t size)
{
    size_t n = 0;
    for (const char *at = sentence; *at && n + 1 < size;) {
        const bool is_folder = strncmp(at, "FOLDER", 6) == 0, is_model = strncmp(at, "'MODEL'", 7) == 0;
        if (is_folder) n += (size_t)snprintf(out + n, size - n, "%s/peft", folder->path);
        else if (is_model) n += (size_t)snprintf(out + n, size - n, "'%s'", tiny_path);
        else out[n++] = *at;
        at += is_folder ? 6 : is_model ? 7 : 1;
    }
    out[n < size ? n : size - 1] = '\0';
}

static void check_told(const char *name, const char *path, calmoe_status status, const char *sentence)
{
    char wanted[1024];
    calmoe_adapter *adapter = NULL;
    const long live = cm_live_blocks();
    const calmoe_status found = calmoe_adapter_open(r.engine, path, &adapter);
    expand(sentence, wanted, sizeof wanted);
    if (found != status || strcmp(calmoe_context_message(r.context), wanted) != 0)
        n_wrong += fprintf(stderr, "%s:\n  found  %s: %s\n  wanted %s: %s\n", name, calmoe_status_name(found),
                           calmoe_context_message(r.context), calmoe_status_name(status), wanted) > 0;
    assert_null(adapter);
    assert_int_equal(cm_live_blocks(), live);
    assert_int_equal(calmoe_engine_n_adapters(r.engine), 0);
}

static void write_bytes(const char *path, const void *bytes, size_t n)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, n, file), n);
    fclose(file);
}

/* n_data -1: the file ends inside its header. */
static void write_weights(const char *path, const char *header, int n_data)
{
    uint8_t bytes[4096] = {0};
    const size_t n_header = strlen(header);
    assert_true(8 + n_header + (size_t)(n_data > 0 ? n_data : 0) < sizeof bytes);
    for (int i = 0; i < 8; i++) bytes[i] = (uint8_t)(n_header >> 8 * i);
    memcpy(bytes + 8, header, n_header);
    if (strcmp(header, "CUT") == 0) write_bytes(path, "hello", 5);
    else write_bytes(path, bytes, n_data < 0 ? 100 : 8 + n_header + (size_t)n_data);
}

static void check_folder(const char *name, calmoe_status status, const char *sentence, const char *config,
                         const char *header, int n_data)
{
    char root[600], path[700];
    snprintf(root, sizeof root, "%s/peft", folder->path);
    assert_int_equal(mkdir(root, 0700), 0);
    snprintf(path, sizeof path, "%s/adapter_config.json", root);
    if (config) write_bytes(path, config, strlen(config));
    snprintf(path, sizeof path, "%s/adapter_model.safetensors", root);
    if (header) write_weights(path, header, n_data);
    check_told(name, root, status, sentence);
    (void)remove(path);
    snprintf(path, sizeof path, "%s/adapter_config.json", root);
    (void)remove(path);
    assert_int_equal(rmdir(root), 0);
}

#define FILE_FAULT(name, status, sentence, ...) \
    static void bend_##name(struct gguf_builder *builder) { (void)builder; __VA_ARGS__; }
#define FOLDER_FAULT(name, status, sentence, config, header, n_data)
#include "tests/bad_input/bad_adapter_list.inc"
#undef FILE_FAULT
#undef FOLDER_FAULT
#undef LORA
#undef MODULE
#undef F32
#undef GOOD
#undef PREFIX
#undef KEPT

static const struct {
    const char   *name;
    void        (*bend)(struct gguf_builder *builder);
    calmoe_status status;
    const char   *sentence;
} file_faults[] = {
#define FILE_FAULT(name, status, sentence, ...) {#name, bend_##name, CALMOE_##status, sentence},
#define FOLDER_FAULT(name, status, sentence, config, header, n_data)
#include "tests/bad_input/bad_adapter_list.inc"
#undef FILE_FAULT
#undef FOLDER_FAULT
#undef LORA
#undef MODULE
#undef F32
#undef GOOD
#undef PREFIX
#undef KEPT
};

static const struct {
    const char   *name;
    calmoe_status status;
    const char   *sentence, *config, *header;
    int           n_data;
} folder_faults[] = {
#define FILE_FAULT(name, status, sentence, ...)
#define FOLDER_FAULT(name, status, sentence, config, header, n_data) \
    {#name, CALMOE_##status, sentence, config, header, n_data},
#include "tests/bad_input/bad_adapter_list.inc"
#undef FILE_FAULT
#undef FOLDER_FAULT
};

static void files(void **state)
{
    char path[600];
    (void)state;
    snprintf(path, sizeof path, "%s/a.gguf", folder->path);
    for (size_t i = 0; i < sizeof file_faults / sizeof *file_faults; i++) {
        struct gguf_builder *builder = builder_open();
        file_faults[i].bend(builder);
        builder_write(builder, path);
        builder_close(&builder);
        check_told(file_faults[i].name, path, file_faults[i].status, file_faults[i].sentence);
    }
    assert_int_equal(n_wrong, 0);
}

static void folders(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof folder_faults / sizeof *folder_faults; i++)
        check_folder(folder_faults[i].name, folder_faults[i].status, folder_faults[i].sentence, folder_faults[i].config,
                     folder_faults[i].header, folder_faults[i].n_data);
    assert_int_equal(n_wrong, 0);
}

/* ---- calls ---- */

static void check_refused(calmoe_status status, const char *sentence)
{
    assert_int_equal(status, CALMOE_INVALID_ARGUMENT);
    assert_string_equal(calmoe_context_message(r.context), sentence);
}

static calmoe_adapter *open_good(void)
{
    char path[600];
    calmoe_adapter *adapter;
    const struct random_adapter random = {.seed = 5, .rank = 2, .size = 0.3f};
    snprintf(path, sizeof path, "%s/good.gguf", folder->path);
    random_adapter_write(tiny_path, &random, path);
    running_must(r.context, calmoe_adapter_open(r.engine, path, &adapter));
    return adapter;
}

static void wrong_uses(void **state)
{
    (void)state;
    calmoe_adapter *adapter = open_good(), *const twice[2] = {adapter, adapter}, *const none[1] = {NULL};
    const float scales[2] = {1.0f, 2.0f}, infinite = INFINITY, zero = 0.0f;
    const int32_t token = 5;
    check_refused(calmoe_session_set_adapters(r.session, twice, scales, 2), "adapters 0 and 1 are the same");
    check_refused(calmoe_session_set_adapters(r.session, none, scales, 1), "adapter 0 is none of the session's engine");
    check_refused(calmoe_session_set_adapters(r.session, &adapter, &infinite, 1),
                  "adapter 0 has the scale inf; a finite number is wanted");
    check_refused(calmoe_session_set_adapters(r.session, &adapter, NULL, 1),
                  "calmoe_session_set_adapters: 1 adapters; 0 to 16, with their scales, are wanted");
    check_refused(calmoe_session_set_adapters(r.session, &adapter, scales, 17),
                  "calmoe_session_set_adapters: 17 adapters; 0 to 16, with their scales, are wanted");
    assert_int_equal(calmoe_session_n_adapters(r.session), 0);
    running_must(r.context, calmoe_session_set_adapters(r.session, &adapter, &zero, 1));
    assert_int_equal(calmoe_session_n_adapters(r.session), 0);
    running_must(r.context, calmoe_session_feed_tokens(r.session, &token, 1));
    running_must(r.context, calmoe_session_set_adapters(r.session, NULL, NULL, 0)); /* as it is */
    check_refused(calmoe_session_set_adapters(r.session, &adapter, scales, 1),
                  "the session has 1 tokens, which are read with the adapters that it has; to use others, rewind it to "
                  "0 "
                  "first");
    running_must(r.context, calmoe_session_rewind(r.session, 0));
    running_must(r.context, calmoe_session_set_adapters(r.session, &adapter, scales, 1));
    assert_int_equal(calmoe_session_n_adapters(r.session), 1);
    running_must(r.context, calmoe_session_set_adapters(r.session, NULL, NULL, 0));
    calmoe_adapter_close(&adapter);
    check_refused(calmoe_adapter_open(r.engine, NULL, &adapter),
                  "calmoe_adapter_open: engine, path and out are needed");
}

/* Neither way round. */
static void no_policies(void **state)
{
    (void)state;
    calmoe_adapter *adapter = open_good();
    calmoe_policy  *policy;
    calmoe_policy_options options;
    const float scale = 1.0f;
    calmoe_policy_options_init(&options);
    options.measure = "softmax";
    options.threshold = 0.5f;
    running_must(r.context, calmoe_policy_make(r.model, &options, &policy));
    running_must(r.context, calmoe_session_set_policy(r.session, policy, 0.0));
    check_refused(calmoe_session_set_adapters(r.session, &adapter, &scale, 1),
                  "the session has a policy, which was made for the model as it is: with adapters nothing that is "
                  "known of "
                  "it holds");
    running_must(r.context, calmoe_session_set_policy(r.session, NULL, 0.0));
    running_must(r.context, calmoe_session_set_adapters(r.session, &adapter, &scale, 1));
    check_refused(calmoe_session_set_policy(r.session, policy, 0.0),
                  "a policy was made for the model as it is: with adapters nothing that is known of it holds");
    running_must(r.context, calmoe_session_set_adapters(r.session, NULL, NULL, 0));
    calmoe_adapter_close(&adapter);
    calmoe_policy_close(&policy);
}

/* Likewise where a session takes it: the session is as it was. */
static void use_without_memory(calmoe_adapter *adapter)
{
    const float   scale = 1.0f;
    const int32_t token = 5;
    calmoe_status status = CALMOE_NO_MEMORY;
    const long live = cm_live_blocks();
    for (long n = 1; status == CALMOE_NO_MEMORY && n < 1000; n++) {
        cm_fail_request(n);
        status = calmoe_session_set_adapters(r.session, &adapter, &scale, 1);
        cm_fail_request(0);
        if (status == CALMOE_OK) break;
        assert_int_equal(calmoe_session_n_adapters(r.session), 0);
        assert_int_equal(cm_live_blocks(), live);
    }
    running_must(r.context, status);
    const calmoe_chunk chunk = {r.session, &token, 1, CALMOE_LOGITS_LAST};
    running_must(r.context, calmoe_engine_step(r.engine, &chunk, 1));
}

/* The n-th request for memory fails, for every n: nothing is left of it. */
static void no_memory(void **state)
{
    static const char *const paths[] = {"good.gguf", CALMOE_SOURCE_DIR "/tests/golden/adapters/qwen3moe",
                                        CALMOE_SOURCE_DIR "/tests/golden/adapters/qwen3moe_prefix"};
    enum { N_PATHS = sizeof paths / sizeof *paths };
    char golden[600];
    (void)state;
    running_close(&r); /* of another model from here on */
    snprintf(golden, sizeof golden, CALMOE_SOURCE_DIR "/tests/golden/qwen3moe.gguf");
    const calmoe_engine_options options = running_options(1, NULL);
    for (int i = 0; i < N_PATHS; i++) {
        char path[600];
        long n = 1;
        calmoe_status status = CALMOE_NO_MEMORY;
        r = running_open(i ? golden : tiny_path, &options, NULL);
        snprintf(path, sizeof path, i ? "%.0s%s" : "%s/%s", folder->path, paths[i]);
        calmoe_adapter *adapter = NULL;
        running_must(r.context, calmoe_adapter_open(r.engine, path, &adapter));
        calmoe_adapter_close(&adapter);
        const long live = cm_live_blocks();
        for (; status == CALMOE_NO_MEMORY && n < 100000; n++) {
            cm_fail_request(n);
            status = calmoe_adapter_open(r.engine, path, &adapter);
            cm_fail_request(0);
            if (status == CALMOE_OK) break;
            assert_null(adapter);
            assert_int_equal(cm_live_blocks(), live);
        }
        running_must(r.context, status);
        assert_true(n > 12);
        use_without_memory(adapter);
        calmoe_adapter_close(&adapter);
        if (i < N_PATHS - 1) running_close(&r);
    }
}

static int open_all(void **state)
{
    if (open_folder_with_tiny(state) != 0) return 1;
    const calmoe_engine_options options = running_options(1, NULL);
    r = running_open(tiny_path, &options, NULL);
    calmoe_adapter *first = open_good(); /* behind it the engine has what all adapters need */
    calmoe_adapter_close(&first);
    return 0;
}

static int close_all(void **state)
{
    running_close(&r);
    return close_folder(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files),
        cmocka_unit_test(folders),
        cmocka_unit_test(wrong_uses),
        cmocka_unit_test(no_policies),
        cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
