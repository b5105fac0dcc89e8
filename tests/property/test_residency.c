/* test_residency.c - experts that are read from disk give the same bits as experts in memory: with the fewest slots
 * that work, with all but one, and some between, by any number of threads, any cut of a prompt, several sequences in a
 * step, with and without looking ahead and a profile, by io_uring and by pread, and when rows leave early. And a read
 * that fails ends the step, and nothing else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <calmoe/calmoe.h>
#include <calmoe/placement.h>
#include <calmoe/policy.h>
#include <calmoe/profile.h>

#include "base/disk_file.h"
#include "base/disk_ring.h"
#include "base/random.h"
#include "experts/slot_predict.h"
#include "tests/support/folder_fixture.h"
#include "tests/support/goldens.h"
#include "tests/support/running.h"
#include "tests/support/tiny_model.h"

enum { N_TOKENS = 22, MAX_ROWS = 22 };

static char    model_path[600];
static int32_t tokens[N_TOKENS];
static int     n_vocab;
static float  *wanted, *found; /* (N_TOKENS, n_vocab) */

static calmoe_engine_options options_of(int n_threads, uint64_t limit)
{
    calmoe_engine_options options = running_options(n_threads, NULL);
    options.max_rows = MAX_ROWS;
    options.memory_limit = limit;
    return options;
}

static calmoe_disk_stats disk_of(const struct running *r)
{
    calmoe_disk_stats stats = {.size = sizeof stats};
    running_must(r->context, calmoe_engine_get_disk_stats(r->engine, &stats));
    return stats;
}

static uint64_t smallest_limit(void) { return running_smallest_limit(model_path, options_of(1, 0)); }

/* Reads all tokens under a limit and compares; answers what the disk did. */
static calmoe_disk_stats check(calmoe_engine_options options, int n_chunk, const char *way)
{
    struct running r = running_open(model_path, &options, NULL);
    const size_t   n_floats = (size_t)N_TOKENS * (size_t)r.n_vocab;
    n_vocab = r.n_vocab;
    if (!wanted) wanted = malloc(n_floats * sizeof *wanted);
    else if (!found) found = malloc(n_floats * sizeof *found);
    float *const to = found ? found : wanted;
    assert_non_null(to);
    running_read(&r, r.session, tokens, N_TOKENS, n_chunk, to);
    if (to == found && memcmp(found, wanted, n_floats * sizeof *found) != 0)
        fail_msg("%s, %s: other logits than in memory", model_path, way);
    const calmoe_disk_stats stats = disk_of(&r);
    running_close(&r);
    return stats;
}

static void forget(void)
{
    free(wanted);
    free(found);
    wanted = found = NULL;
}

static void write_profile(const char *path)
{
    calmoe_engine_options options = options_of(2, 0);
    calmoe_profile       *profile;
    options.profile = 1;
    struct running r = running_open(model_path, &options, NULL);
    float *logits = malloc((size_t)N_TOKENS * (size_t)r.n_vocab * sizeof *logits);
    running_read(&r, r.session, tokens, N_TOKENS, N_TOKENS < MAX_ROWS ? N_TOKENS : MAX_ROWS, logits);
    running_must(r.context, calmoe_engine_get_profile(r.engine, &profile));
    running_must(r.context, calmoe_profile_write(profile, path));
    calmoe_profile_close(&profile);
    free(logits);
    running_close(&r);
}

/* False: the model is too small for anything to stay on disk. */
static bool check_model(uint64_t seed)
{
    struct random random = cm_random(seed);
    char          profile[600], way[100];
    forget();
    for (int i = 0; i < N_TOKENS; i++) tokens[i] = 3 + (int32_t)cm_random_below(&random, 25);
    snprintf(profile, sizeof profile, "%s", temp_file(folder, "profile.json"));
    assert_int_equal(check(options_of(1, 0), N_TOKENS < MAX_ROWS ? N_TOKENS : MAX_ROWS, "no limit").n_slots, 0);
    write_profile(profile);
    const uint64_t          least = smallest_limit();
    const calmoe_disk_stats few = check(options_of(2, least), 1, "the fewest slots");
    if (few.n_slots == 0) return false; /* a model so small that what reads experts would be larger than they are */
    assert_in_range(few.n_slots, 1, few.n_experts - 1);
    assert_true(few.n_reads > 0 && few.n_bytes > 0);
    const uint64_t each = few.n_slot_bytes / (uint64_t)few.n_slots;
    const int      left = few.n_experts - few.n_slots;
    for (int i = 1; i < 4; i++) {
        const int             more = i == 3 ? left - 1 : left * i / 4;
        calmoe_engine_options options = options_of(1 + i % 3, least + (uint64_t)more * each);
        options.no_lookahead = i % 2;
        options.memory_profile = i >= 2 ? profile : NULL;
        options.disk_reads = i % 3;
        snprintf(way, sizeof way, "%d slots more", more);
        cm_disk_ring_refuse(i % 2 ? EPERM : 0);
        const calmoe_disk_stats stats = check(options, 1 + 7 * i, way);
        cm_disk_ring_refuse(0);
        if (stats.n_slots == 0) continue; /* without slots and what reads into them, all are smaller: it fits */
        assert_int_equal(stats.n_slots, few.n_slots + more);
        assert_true(stats.n_there + stats.n_ahead <= stats.n_wanted);
        assert_true(stats.n_named <= stats.n_asked && stats.n_asked <= stats.n_wanted);
        if (options.no_lookahead) assert_int_equal(stats.n_reads, stats.n_wanted - stats.n_there);
    }
    return true;
}

static void golden_models(void **state)
{
    (void)state;
    static const char *const names[] = {"gptoss", "gemma4moe", "deepseek3", "nemotronhmoe"};
    int n_checked = 0, n_models = 0;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (golden_is_left_out(names[i])) continue;
        golden_path(model_path, names[i]);
        n_checked += check_model(i + 1);
        n_models++;
    }
    forget();
    assert_true(n_checked >= n_models / 2);
}

/* Types that are packed in different ways, in experts that are read in several chunks; and a thin one beside them. */
static void wide_models(void **state)
{
    (void)state;
    static const enum weight_type types[] = {WEIGHT_Q4_0, WEIGHT_BF16};
    snprintf(model_path, sizeof model_path, "%s", temp_file(folder, "wide.gguf"));
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        struct tiny_model tiny = tiny_model_wide();
        tiny.n_layers = 3;
        tiny.types[TINY_GATE] = tiny.types[TINY_UP] = types[i];
        tiny.types[TINY_DOWN] = WEIGHT_Q8_0;
        tiny.seed = i + 1;
        tiny_model_write(&tiny, model_path);
        assert_true(check_model(50 + i));
    }
    forget();
}

static void open_wide(void)
{
    struct tiny_model tiny = tiny_model_wide();
    tiny.n_layers = 4;
    snprintf(model_path, sizeof model_path, "%s", temp_file(folder, "same.gguf"));
    if (access(model_path, F_OK) != 0) tiny_model_write(&tiny, model_path);
    forget();
    for (int i = 0; i < N_TOKENS; i++) tokens[i] = 3 + i % 25;
    check(options_of(1, 0), 1, "no limit");
}

/* On machines of several nodes, slots have a part on each. */
static void several_nodes(void **state)
{
    (void)state;
    static const char *const machines[] = {"numa:2 core:2 pu:1", "numa:3 core:1 pu:1"};
    open_wide();
    for (size_t i = 0; i < sizeof machines / sizeof *machines; i++) {
        setenv("HWLOC_SYNTHETIC", machines[i], 1);
        const uint64_t least = running_smallest_limit(model_path, options_of(2 + (int)i, 0));
        assert_true(check(options_of(2 + (int)i, least), 3, machines[i]).n_slots > 0);
    }
    unsetenv("HWLOC_SYNTHETIC");
    forget();
}

/* ---- plans that say which experts are streamed ---- */

/* Writes a plan for a limit that leaves room for a third of the experts beyond those that must be there. */
static void write_plan(const char *path, uint64_t limit)
{
    struct running            r = {0};
    calmoe_placement         *placement;
    calmoe_placement_options  options;
    calmoe_placement_info     info = {.size = sizeof info};
    int                       kind, n_streamed = 0;
    double                    parts[CALMOE_MAX_NODES];
    calmoe_placement_options_init(&options);
    options.stream_limit = limit;
    assert_int_equal(calmoe_context_open(NULL, &r.context), CALMOE_OK);
    running_must(r.context, calmoe_model_open(r.context, model_path, NULL, &r.model));
    running_must(r.context, calmoe_placement_open(r.model, &options, &placement));
    running_must(r.context, calmoe_placement_write(placement, path));
    running_must(r.context, calmoe_placement_get_info(placement, &info));
    for (int i = 0; i < info.n_layers * info.n_experts; i++) {
        running_must(r.context, calmoe_placement_get_expert(placement, i / info.n_experts, i % info.n_experts, &kind,
                                                            parts, CALMOE_MAX_NODES));
        n_streamed += kind == CALMOE_PLACE_STREAMED;
    }
    assert_in_range(n_streamed, 1, info.n_layers * info.n_experts - 1);
    assert_int_equal(info.n_streamed, n_streamed);
    assert_int_equal(info.n_streamed + info.n_pinned + info.n_sliced, info.n_layers * info.n_experts);
    calmoe_placement_close(&placement);
    calmoe_model_close(&r.model);
    calmoe_context_close(&r.context);
}

/* The same bits; slots that the limit leaves room for, or the fewest that work; and experts that always are there. */
static void plan_says_which(void **state)
{
    (void)state;
    static const char *const machines[] = {NULL, "numa:2 core:2 pu:1"};
    char path[600];
    snprintf(path, sizeof path, "%s", temp_file(folder, "plan.json"));
    open_wide();
    for (size_t i = 0; i < sizeof machines / sizeof *machines; i++) {
        if (machines[i]) setenv("HWLOC_SYNTHETIC", machines[i], 1);
        calmoe_engine_options options = options_of(2, 0);
        const uint64_t        least = running_smallest_limit(model_path, options);
        const uint64_t        each = check(options_of(2, least), 5, "no plan").n_slot_bytes / 8;
        write_plan(path, least + 12 * each);
        options.plan = path;
        const calmoe_disk_stats few = check(options, 5, "a plan, no limit");
        assert_in_range(few.n_kept, 1, few.n_experts - 1);
        assert_true(few.n_slots > 0 && few.n_kept + few.n_slots < few.n_experts && few.n_reads > 0);
        options.memory_limit = running_smallest_limit(model_path, options) + 3 * each;
        const calmoe_disk_stats more = check(options, 5, "a plan and a limit");
        assert_int_equal(more.n_kept, few.n_kept);
        assert_int_equal(more.n_slots, few.n_slots + 3);
        unsetenv("HWLOC_SYNTHETIC");
    }
    forget();
}

/* Reads all tokens as an answer, where experts that the plan keeps may take the places of streamed ones. */
static calmoe_disk_stats read_preferring(calmoe_engine_options options, float bound, int n_chunk, float *logits)
{
    struct running        r = running_open(model_path, &options, NULL);
    calmoe_policy        *policy;
    calmoe_policy_options wanted_policy;
    calmoe_policy_options_init(&wanted_policy);
    wanted_policy.width = "resident";
    wanted_policy.width_bound = bound;
    running_must(r.context, calmoe_policy_make(r.model, &wanted_policy, &policy));
    if (options.plan) {
        running_must(r.context, calmoe_session_set_policy(r.session, policy, 0));
        calmoe_session_begin_answer(r.session);
        running_read(&r, r.session, tokens, N_TOKENS, n_chunk, logits);
    } else {
        assert_int_equal(calmoe_session_set_policy(r.session, policy, 0), CALMOE_INVALID_ARGUMENT);
        assert_string_equal(calmoe_context_message(r.context), "width 'resident' wants a plan that says which experts "
                                                               "are streamed; this engine's says nothing of it");
    }
    const calmoe_disk_stats stats = disk_of(&r);
    calmoe_session_close(&r.session);
    calmoe_policy_close(&policy);
    running_close(&r);
    return stats;
}

/* The width rule that prefers experts in memory goes by the plan: whatever else differs, the same plan gives the same
 * bits. They are others than the full model's, unless the bound lets nothing pass; a low one lets all pass, and then
 * nothing is read. */
static void resident_experts_are_preferred(void **state)
{
    (void)state;
    char path[600];
    snprintf(path, sizeof path, "%s", temp_file(folder, "plan.json"));
    open_wide();
    calmoe_engine_options options = options_of(1, 0);
    const uint64_t        least = running_smallest_limit(model_path, options);
    const calmoe_disk_stats few = check(options_of(1, least), 5, "no plan");
    write_plan(path, least + 20 * few.n_slot_bytes / (uint64_t)few.n_slots); /* three experts of each layer stay */
    const size_t n_compared = (size_t)N_TOKENS * (size_t)n_vocab * sizeof(float);
    float *first = malloc(n_compared), *other = malloc(n_compared);
    assert_true(first && other);
    read_preferring(options, 0.5f, 1, first);
    options.plan = path;
    read_preferring(options, 1.0f, 3, first);
    assert_memory_equal(first, wanted, n_compared);
    read_preferring(options, 0.6f, 1, first);
    assert_memory_not_equal(first, wanted, n_compared);
    for (int way = 0; way < 3; way++) {
        calmoe_engine_options ways = options_of(1 + way % 2, 0);
        ways.plan = path;
        ways.no_lookahead = way == 1;
        if (way > 0) ways.memory_limit = running_smallest_limit(model_path, ways) + (uint64_t)way * 1500000;
        read_preferring(ways, 0.6f, 1 + 5 * way, other);
        assert_memory_equal(other, first, n_compared);
    }
    assert_int_equal(read_preferring(options, 1e-6f, 4, other).n_reads, 0);
    assert_memory_not_equal(other, first, n_compared);
    free(first);
    free(other);
    forget();
}

/* ---- what is predicted ---- */

enum { N_ROUTED = N_TOKENS * 4 * 3 };

struct recording { /* (N_TOKENS, n_layers, n_used) */
    int32_t experts[N_ROUTED];
    int     n;
};

static void record(void *user, const calmoe_routing_event *event)
{
    struct recording *recording = user;
    for (int i = 0; i < event->n; i++) recording->experts[recording->n++] = event->experts[i];
}

/* The book that predicts is the engine's own: token by token, without looking ahead, all numbers are the same. */
static void predicted_as_measured(void **state)
{
    (void)state;
    static struct recording recording;
    open_wide();
    for (int more = 0; more < 3; more++) {
        calmoe_engine_options options = options_of(2, smallest_limit() + (uint64_t)more * 3000000);
        options.no_lookahead = 1;
        options.routing = record;
        options.routing_user = &recording;
        recording.n = 0;
        const calmoe_disk_stats     disk = check(options, 1, "recorded");
        const struct place_routings routings = {.n_tokens = N_TOKENS, .n_layers = 4, .n_slots = 3,
                                                .experts = recording.experts};
        uint64_t               bytes[4];
        int32_t                keys[4 * 8];
        struct slot_cache      cache;
        struct slot_prediction predicted;
        int                    n;
        assert_int_equal(recording.n, N_ROUTED);
        assert_true(disk.n_slots > 0);
        for (int layer = 0; layer < 4; layer++) bytes[layer] = disk.n_bytes / (disk.n_reads > 0 ? disk.n_reads : 1);
        assert_int_equal(cm_slot_cache_open(NULL, 4 * 8, disk.n_slots, &cache), CALMOE_OK);
        assert_int_equal(cm_slot_cache_first(NULL, &cache, 4, NULL, keys, &n), CALMOE_OK);
        for (int i = 0; i < n; i++) cm_slot_cache_put(&cache, i, keys[i]);
        assert_int_equal(cm_slot_predict(NULL, &cache, &routings, 8, 1, bytes, NULL, &predicted), CALMOE_OK);
        cm_slot_cache_close(&cache);
        assert_int_equal(predicted.n_wanted, disk.n_wanted);
        assert_int_equal(predicted.n_there, disk.n_there);
        assert_int_equal(predicted.n_bytes, disk.n_bytes);
    }
    forget();
}

/* ---- reads that fail ---- */

static struct running open_limited(int n_threads)
{
    calmoe_engine_options options = options_of(n_threads, smallest_limit());
    return running_open(model_path, &options, NULL);
}

/* Reads the token at a position, which may fail; then the session stands where it stood. Where it does not, its logits
 * are those of before. */
static bool read_one(struct running *r, int position)
{
    const calmoe_chunk  chunk = {r->session, tokens + position, 1, CALMOE_LOGITS_ALL};
    const calmoe_status status = calmoe_engine_step(r->engine, &chunk, 1);
    if (status == CALMOE_OK) {
        const float *row = wanted + (size_t)position * (size_t)r->n_vocab;
        assert_int_equal(calmoe_session_n_positions(r->session), position + 1);
        assert_memory_equal(calmoe_session_logits(r->session, 0), row, (size_t)r->n_vocab * sizeof *row);
        return true;
    }
    assert_int_equal(status, CALMOE_IO);
    assert_int_equal(calmoe_session_n_positions(r->session), position);
    return false;
}

/* One read of many fails, another one each time: in the first layer and the last, needed or only named ahead. */
static void one_read_fails(int ring_error)
{
    cm_disk_ring_refuse(ring_error);
    open_wide();
    struct running r = open_limited(2);
    int            n_failed = 0, position = 0;
    for (int nth = 1; nth < 60; nth += 4) {
        cm_disk_fail(nth, 1, EIO);
        for (int i = 0; i < 3; i++) {
            if (position == N_TOKENS) {
                running_must(r.context, calmoe_session_rewind(r.session, 0));
                position = 0;
            }
            if (read_one(&r, position)) {
                position++;
                continue;
            }
            assert_non_null(strstr(calmoe_context_message(r.context), "cannot read an expert from the model's file"));
            assert_non_null(strstr(calmoe_context_message(r.context), strerror(EIO)));
            n_failed++;
        }
    }
    cm_disk_fail(0, 0, 0);
    cm_disk_ring_refuse(0);
    assert_true(n_failed >= 3);
    running_close(&r);
    forget();
}

static void one_read_by_io_uring_fails(void **state)
{
    (void)state;
    one_read_fails(0);
}

static void one_read_by_pread_fails(void **state)
{
    (void)state;
    one_read_fails(ENOSYS);
}

/* The file is cut short while the model runs, and is whole again later. *sentence: what is said of it. */
static void cut_short(int ring_error, char *sentence, size_t capacity)
{
    cm_disk_ring_refuse(ring_error);
    open_wide();
    struct running r = open_limited(2);
    FILE          *file = fopen(model_path, "r+b");
    assert_non_null(file);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    const long size = ftell(file), cut = size / 3;
    char      *rest = malloc((size_t)(size - cut));
    assert_non_null(rest);
    assert_int_equal(fseek(file, cut, SEEK_SET), 0);
    assert_int_equal(fread(rest, 1, (size_t)(size - cut), file), size - cut);
    assert_true(read_one(&r, 0));
    assert_int_equal(ftruncate(fileno(file), cut), 0);
    for (int i = 0; i < 3; i++) assert_false(read_one(&r, 1));
    assert_non_null(strstr(calmoe_context_message(r.context), "the file has become shorter"));
    snprintf(sentence, capacity, "%s", calmoe_context_message(r.context));
    assert_int_equal(fseek(file, cut, SEEK_SET), 0);
    assert_int_equal(fwrite(rest, 1, (size_t)(size - cut), file), size - cut);
    assert_int_equal(fclose(file), 0);
    for (int i = 1; i < 6; i++) assert_true(read_one(&r, i));
    free(rest);
    cm_disk_ring_refuse(0);
    running_close(&r);
    forget();
}

static void file_cut_short(void **state)
{
    (void)state;
    char sentences[2][300];
    cut_short(0, sentences[0], sizeof sentences[0]);
    cut_short(EPERM, sentences[1], sizeof sentences[1]);
    assert_string_equal(sentences[0], sentences[1]);
}

/* A state that is not kept by position goes back as well: what is read again gives the same bits. */
static void recurrent_state_goes_back(void **state)
{
    (void)state;
    if (golden_is_left_out("qwen3next")) return;
    golden_path(model_path, "qwen3next");
    forget();
    for (int i = 0; i < N_TOKENS; i++) tokens[i] = 3 + i % 25;
    check(options_of(1, 0), 1, "no limit");
    struct running r = open_limited(1);
    int            n_failed = 0;
    for (int nth = 1; nth < 40; nth += 6) {
        int32_t token;
        running_must(r.context, calmoe_session_rewind(r.session, 0));
        running_must(r.context, calmoe_session_feed_tokens(r.session, tokens, 8));
        cm_disk_fail(nth, 1, EIO);
        while (calmoe_session_next(r.session, &token) == CALMOE_IO) n_failed++;
        cm_disk_fail(0, 0, 0);
        assert_int_equal(calmoe_session_n_positions(r.session), 8);
        const float *row = wanted + (size_t)7 * (size_t)r.n_vocab;
        assert_memory_equal(calmoe_session_logits(r.session, 0), row, (size_t)r.n_vocab * sizeof *row);
    }
    assert_true(n_failed > 0);
    running_close(&r);
    forget();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_models),
        cmocka_unit_test(wide_models),
        cmocka_unit_test(several_nodes),
        cmocka_unit_test(plan_says_which),
        cmocka_unit_test(resident_experts_are_preferred),
        cmocka_unit_test(predicted_as_measured),
        cmocka_unit_test(one_read_by_io_uring_fails),
        cmocka_unit_test(one_read_by_pread_fails),
        cmocka_unit_test(file_cut_short),
        cmocka_unit_test(recurrent_state_goes_back),
    };
    return cmocka_run_group_tests_name("same bits, any residency", tests, open_folder, close_folder);
}
