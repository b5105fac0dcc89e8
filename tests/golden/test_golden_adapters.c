/* test_golden_adapters.c - adapters by Hugging Face's PEFT on tiny models, in the folders of adapters/: the logits of
 * PEFT's own model, at each level of instructions. An adapter.gguf beside one is the same adapter: the same bits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <calmoe/adapter.h>

#include "runtime/load/model_file.h"
#include "tests/support/goldens.h"
#include "tests/support/running.h"

static const double LIMIT = 1e-5; /* of the range of the expected logits */

enum { MIN_FOLDERS = 9, MAX_FOLDERS = 32, MAX_LOGITS = 64 * 1024 };

static char folders[MAX_FOLDERS][GOLDEN_NAME];
static int  n_folders;

struct expected {
    struct model_file *file;
    int                n_tokens, n_vocab;
    const int32_t     *tokens;
    const float       *logits;
    double             range;
};

static int is_folder(const struct dirent *entry) { return entry->d_name[0] != '.'; }

static int find_folders(void **state)
{
    struct dirent **entries = NULL;
    (void)state;
    n_folders = scandir(GOLDEN_FOLDER "/adapters", &entries, is_folder, alphasort);
    assert_in_range(n_folders, MIN_FOLDERS, MAX_FOLDERS);
    for (int i = 0; i < n_folders; i++) {
        snprintf(folders[i], sizeof folders[i], "%.60s", entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
    return 0;
}

static struct expected open_expected(const char *folder)
{
    struct expected e;
    char path[700];
    double low = INFINITY, high = -INFINITY;
    snprintf(path, sizeof path, GOLDEN_FOLDER "/adapters/%s/expect.gguf", folder);
    running_must(NULL, cm_model_file_open(NULL, path, &e.file));
    const struct file_tensor *tokens = cm_file_tensor(e.file, "tokens"), *logits = cm_file_tensor(e.file, "logits");
    assert_non_null(tokens);
    assert_non_null(logits);
    e.n_tokens = (int)tokens->shape[0];
    e.n_vocab = (int)logits->shape[0];
    e.tokens = (const int32_t *)(const void *)tokens->bytes;
    e.logits = (const float *)(const void *)logits->bytes;
    assert_int_equal(logits->shape[1], e.n_tokens);
    assert_in_range(e.n_tokens * e.n_vocab, 1, MAX_LOGITS);
    for (int i = 0; i < e.n_tokens * e.n_vocab; i++) {
        low = fmin(low, (double)e.logits[i]);
        high = fmax(high, (double)e.logits[i]);
    }
    e.range = high - low;
    return e;
}

/* adapter NULL: the model as it is. */
static void read_with(const char *model, const char *adapter_path, const char *isa, const struct expected *e, float *out)
{
    char path[600];
    calmoe_engine_options options = running_options(1, isa);
    calmoe_adapter *adapter = NULL;
    const float scale = 1.0f;
    options.kv_float32 = 1;
    struct running r = running_open(golden_path(path, model), &options, NULL);
    assert_int_equal(r.n_vocab, e->n_vocab);
    if (adapter_path) {
        running_must(r.context, calmoe_adapter_open(r.engine, adapter_path, &adapter));
        running_must(r.context, calmoe_session_set_adapters(r.session, &adapter, &scale, 1));
    }
    running_read(&r, r.session, e->tokens, e->n_tokens, e->n_tokens, out);
    calmoe_adapter_close(&adapter);
    running_close(&r);
}

static double difference(const struct expected *e, const float *found)
{
    double worst = 0.0;
    for (int i = 0; i < e->n_tokens * e->n_vocab; i++) {
        const double d = fabs((double)found[i] - (double)e->logits[i]);
        if (!(d <= worst)) worst = d;
    }
    return worst / e->range;
}

static void check_folder(const char *folder)
{
    static float found[MAX_LOGITS], again[MAX_LOGITS];
    char path[700], model[GOLDEN_NAME];
    const char *isa;
    const struct expected e = open_expected(folder);
    const size_t n_bytes = (size_t)(e.n_tokens * e.n_vocab) * sizeof *found;
    snprintf(model, sizeof model, "%.*s", (int)strcspn(folder, "_"), folder);
    read_with(model, NULL, NULL, &e, found);
    const double change = difference(&e, found);
    snprintf(path, sizeof path, GOLDEN_FOLDER "/adapters/%s", folder);
    for (int i = 0; (isa = running_isa(i)) != NULL; i++) {
        read_with(model, path, isa, &e, i == 0 ? found : again);
        if (i > 0) assert_memory_equal(again, found, n_bytes);
    }
    const double worst = difference(&e, found);
    if (getenv("CALMOE_SHOW")) printf("%-16s %.1e of a change of %.1e\n", folder, worst, change);
    if (!(worst <= LIMIT) || !(change > 0.05))
        fail_msg("%s: %g from PEFT's logits, which are %g from the model's", folder, worst, change);
    snprintf(path, sizeof path, GOLDEN_FOLDER "/adapters/%s/adapter.gguf", folder);
    if (access(path, R_OK) == 0) {
        read_with(model, path, NULL, &e, again);
        assert_memory_equal(again, found, n_bytes);
    }
    struct model_file *file = e.file;
    cm_model_file_close(&file);
}

static void logits_of_peft(void **state)
{
    (void)state;
    for (int i = 0; i < n_folders; i++) check_folder(folders[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(logits_of_peft)};
    return cmocka_run_group_tests(tests, find_folders, NULL);
}
