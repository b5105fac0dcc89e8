/* test_profile.c - the profile that an engine counts, against a count by brute force from its routing callback;
 * and the API's questions and refusals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <calmoe/placement.h>
#include <calmoe/profile.h>

#include "base/memory.h"
#include "runtime/stats/profile.h"
#include "tests/support/running.h"
#include "tests/support/folder_fixture.h"
#include "tests/support/tiny_model.h"

enum { N_LAYERS = 2, N_EXPERTS = 8, N_USED = 3, N_SESSIONS = 2, MAX_EVENTS = 4096, N_CELLS = N_LAYERS * N_EXPERTS };

static char                model_path[600], path[600];

/* ---- brute force ---- */

static struct event {
    calmoe_session *session;
    int             layer, position, experts[N_USED];
    float           weights[N_USED];
} events[MAX_EVENTS];
static int  n_events;
static bool sees_nothing;

static void see(void *user, const calmoe_routing_event *event)
{
    (void)user;
    if (sees_nothing) return;
    assert_true(n_events < MAX_EVENTS);
    struct event *it = &events[n_events++];
    *it = (struct event){.session = event->session, .layer = event->layer, .position = event->position};
    assert_int_equal(event->n, N_USED);
    for (int i = 0; i < N_USED; i++) {
        it->experts[i] = event->experts[i];
        it->weights[i] = event->weights[i];
    }
}

static int takes(const struct event *it, int expert)
{
    for (int i = 0; i < N_USED; i++)
        if (it->experts[i] == expert) return i;
    return -1;
}

/* The bin of the distance to the nearest earlier token of the sequence that took the expert in the layer. */
static int bin_of(int at, int expert)
{
    int distance = 0;
    for (int i = 0; i < at; i++)
        if (events[i].session == events[at].session && events[i].layer == events[at].layer &&
            takes(&events[i], expert) >= 0 && (distance == 0 || events[at].position - events[i].position < distance))
            distance = events[at].position - events[i].position;
    if (distance == 0) return CALMOE_REUSE_BINS - 1;
    for (int bin = 0;; bin++)
        if (distance <= 1 << bin) return bin;
}

/* Compares the domain with events[begin … end). */
static void check_domain(const calmoe_profile *profile, int domain, int begin, int end)
{
    calmoe_profile_domain it = {.size = sizeof it};
    uint64_t tokens[N_CELLS] = {0}, reuse[N_LAYERS * CALMOE_REUSE_BINS] = {0}, n_tokens[N_LAYERS] = {0};
    uint64_t pairs[N_LAYERS][N_EXPERTS][N_EXPERTS] = {{{0}}};
    double   weights[N_CELLS] = {0};
    for (int i = begin; i < end; i++)
        for (int slot = 0; slot < N_USED; slot++) {
            const int expert = events[i].experts[slot], layer = events[i].layer;
            tokens[layer * N_EXPERTS + expert]++;
            weights[layer * N_EXPERTS + expert] += fabs((double)events[i].weights[slot]);
            reuse[layer * CALMOE_REUSE_BINS + bin_of(i, expert)]++;
            n_tokens[layer] += slot == 0;
            for (int b = expert + 1; b < N_EXPERTS; b++) pairs[layer][expert][b] += takes(&events[i], b) >= 0;
        }
    assert_int_equal(calmoe_profile_get_domain(profile, domain, &it), CALMOE_OK);
    assert_int_equal(it.n_tokens, n_tokens[0]);
    assert_memory_equal(it.tokens, tokens, sizeof tokens);
    assert_memory_equal(it.reuse, reuse, sizeof reuse);
    for (int i = 0; i < N_CELLS; i++) assert_true(fabs(it.weights[i] - weights[i]) < 1e-9);
    for (int i = 0; i <= N_USED; i++) assert_int_equal(it.used[i], i == N_USED ? n_tokens[0] * N_LAYERS : 0);
    for (int layer = 0; layer < N_LAYERS; layer++) {
        assert_int_equal(it.exits[layer], layer == N_LAYERS - 1 ? n_tokens[0] : 0);
        calmoe_expert_pair pair = {.a = 0};
        int                n = 0;
        for (int a = 0; a < N_EXPERTS; a++)
            for (int b = a + 1; b < N_EXPERTS; b++) {
                if (pairs[layer][a][b] == 0) continue;
                assert_int_equal(calmoe_profile_get_pair(profile, domain, layer, n++, &pair), CALMOE_OK);
                assert_int_equal(pair.a, a);
                assert_int_equal(pair.b, b);
                assert_int_equal(pair.n_tokens, pairs[layer][a][b]);
            }
        assert_int_equal(calmoe_profile_get_pair(profile, domain, layer, n, &pair), CALMOE_END);
    }
}

/* ---- an engine that counts ---- */

static struct running  running;
static calmoe_session *second;

static void open_engine(int profile)
{
    calmoe_engine_options options = running_options(2, NULL);
    options.profile = profile;
    options.routing = see;
    n_events = 0;
    running = running_open(model_path, &options, NULL);
    running_must(running.context, calmoe_session_open(running.engine, NULL, &second));
}

static void close_engine(void)
{
    calmoe_session_close(&second);
    running_close(&running);
}

/* Both sessions get n tokens more, in one step. */
static void step(int n, int seed)
{
    int32_t tokens[64];
    for (int i = 0; i < n; i++) tokens[i] = (seed + i * 7 + i * i) % running.n_vocab;
    const calmoe_chunk chunks[N_SESSIONS] = {{running.session, tokens, n, CALMOE_LOGITS_LAST},
                                             {second, tokens, (n + 1) / 2, CALMOE_LOGITS_NONE}};
    running_must(running.context, calmoe_engine_step(running.engine, chunks, N_SESSIONS));
}

static calmoe_profile *take_profile(void)
{
    calmoe_profile *profile;
    running_must(running.context, calmoe_engine_get_profile(running.engine, &profile));
    return profile;
}

static void counts_are_those_of_the_routing(void **state)
{
    (void)state;
    open_engine(1);
    step(40, 1);
    step(1, 5);
    step(7, 9);
    calmoe_profile *profile = take_profile();
    check_domain(profile, 0, 0, n_events);
    calmoe_profile_close(&profile);
    assert_null(profile);
    step(9, 3); /* counting goes on, and a profile holds all of it */
    profile = take_profile();
    check_domain(profile, 0, 0, n_events);
    calmoe_profile_close(&profile);
    close_engine();
}

static void domains_divide_the_counts(void **state)
{
    (void)state;
    calmoe_profile_info   info = {.size = sizeof info};
    calmoe_profile_domain domain = {.size = sizeof domain};
    open_engine(1);
    running_must(running.context, calmoe_engine_profile_domain(running.engine, "a"));
    step(20, 1);
    const int first = n_events;
    running_must(running.context, calmoe_engine_profile_domain(running.engine, "b"));
    step(30, 2);
    calmoe_profile *profile = take_profile();
    assert_int_equal(calmoe_profile_get_info(profile, &info), CALMOE_OK);
    assert_int_equal(info.n_domains, 2); /* the one without a name has no tokens */
    assert_int_equal(info.n_layers, N_LAYERS);
    assert_int_equal(info.n_experts, N_EXPERTS);
    assert_int_equal(info.n_used, N_USED);
    check_domain(profile, 0, 0, first);
    check_domain(profile, 1, first, n_events);
    assert_int_equal(calmoe_profile_get_domain(profile, 1, &domain), CALMOE_OK);
    assert_string_equal(domain.name, "b");
    assert_int_equal(calmoe_profile_get_domain(profile, 2, &domain), CALMOE_END);
    calmoe_profile_close(&profile);
    close_engine();
}

/* The nodes' parts are the whole: bytes as their sum, seconds (of nodes with threads) between their least and most. */
static void check_nodes(const calmoe_profile *profile, const calmoe_profile_domain *domain, int n_nodes)
{
    calmoe_node_stats node = {.size = sizeof node};
    uint64_t          n_bytes = 0, n_all = 0, n_route = 0, by_phase[CALMOE_N_PHASES];
    double            most = 0, waited = 0, seconds[CALMOE_N_PHASES], of_all[CALMOE_N_PHASES];
    for (int i = 0; i < n_nodes; i++) {
        assert_int_equal(calmoe_profile_get_node(profile, 0, i, &node), CALMOE_OK);
        assert_int_equal(calmoe_profile_get_node_phases(profile, 0, i, seconds, by_phase, CALMOE_N_PHASES), CALMOE_OK);
        n_bytes += by_phase[CALMOE_PHASE_EXPERTS];
        for (int phase = 0; phase < CALMOE_N_PHASES; phase++) n_all += by_phase[phase];
        n_route += by_phase[CALMOE_PHASE_ROUTE]; /* each thread reads the whole router */
        assert_int_equal(node.n_remote_bytes, 0);
        most = fmax(most, seconds[CALMOE_PHASE_EXPERTS]);
        waited = fmax(waited, node.waited_seconds);
    }
    assert_int_equal(n_bytes, domain->n_expert_bytes);
    assert_true(n_all >= domain->n_expert_bytes + domain->n_head_bytes + domain->n_dense_bytes);
    assert_true(n_all - n_route <= domain->n_expert_bytes + domain->n_head_bytes + domain->n_dense_bytes);
    assert_int_equal(calmoe_profile_get_phases(profile, 0, of_all, CALMOE_N_PHASES), CALMOE_OK);
    assert_true(of_all[CALMOE_PHASE_EXPERTS] > 0);
    assert_true(most >= of_all[CALMOE_PHASE_EXPERTS] * (1 - 1e-9));
    assert_true(waited >= domain->waited_seconds * (1 - 1e-9));
    assert_int_equal(calmoe_profile_get_node(profile, 0, n_nodes, &node), CALMOE_END);
    assert_int_equal(calmoe_profile_get_node(profile, 0, -1, &node), CALMOE_INVALID_ARGUMENT);
    node.size = 0;
    assert_int_equal(calmoe_profile_get_node(profile, 0, 0, &node), CALMOE_INVALID_ARGUMENT);
    node.size = sizeof node;
    assert_int_equal(calmoe_engine_get_node_stats(running.engine, 0, &node), CALMOE_OK);
    assert_int_equal(calmoe_engine_get_node_phases(running.engine, 0, NULL, by_phase, CALMOE_N_PHASES), CALMOE_OK);
    assert_in_range(by_phase[CALMOE_PHASE_EXPERTS], 1, n_bytes - 1); /* since the statistics were reset */
    assert_int_equal(calmoe_engine_get_node_stats(running.engine, n_nodes, &node), CALMOE_END);
    assert_int_equal(calmoe_engine_get_node_stats(running.engine, -1, &node), CALMOE_INVALID_ARGUMENT);
    assert_int_equal(calmoe_engine_get_node_phases(running.engine, n_nodes, seconds, by_phase, 1), CALMOE_END);
    assert_int_equal(calmoe_profile_get_node_phases(profile, 0, n_nodes, seconds, by_phase, 1), CALMOE_END);
    assert_int_equal(calmoe_profile_get_node_phases(profile, 0, 0, seconds, by_phase, -1), CALMOE_INVALID_ARGUMENT);
    assert_int_equal(calmoe_profile_get_phases(profile, 2, seconds, 1), CALMOE_INVALID_ARGUMENT);
}

static void work_is_what_the_steps_cost(void **state)
{
    (void)state;
    calmoe_stats          stats = {.size = sizeof stats};
    calmoe_profile_domain domain = {.size = sizeof domain};
    open_engine(1);
    step(20, 1);
    running_must(running.context, calmoe_engine_get_stats(running.engine, &stats));
    const uint64_t bytes = stats.n_weight_bytes;
    calmoe_engine_reset_stats(running.engine); /* forgets statistics, not the profile */
    step(30, 2);
    running_must(running.context, calmoe_engine_get_stats(running.engine, &stats));
    calmoe_profile *profile = take_profile();
    assert_int_equal(calmoe_profile_get_domain(profile, 0, &domain), CALMOE_OK);
    assert_int_equal(domain.n_steps, 2);
    assert_int_equal(domain.n_expert_bytes + domain.n_head_bytes + domain.n_dense_bytes, bytes + stats.n_weight_bytes);
    assert_true(domain.n_expert_bytes > 0 && domain.n_head_bytes > 0 && domain.n_dense_bytes > 0);
    assert_true(domain.waited_seconds >= 0);
    check_nodes(profile, &domain, stats.n_nodes);
    calmoe_profile_close(&profile);
    close_engine();
}

/* Exits and widths of a policy arrive in the profile: the third of all tokens that is an answer leaves after layer 1,
 * and takes two of the three experts there. */
static void depth_and_width_are_counted(void **state)
{
    (void)state;
    enum { N = 10 };
    static const int      exit_layer = 1;
    calmoe_policy        *policy;
    calmoe_policy_options options;
    calmoe_session_options session;
    calmoe_profile_domain domain = {.size = sizeof domain};
    int32_t               tokens[3 * N];
    for (int i = 0; i < 3 * N; i++) tokens[i] = (5 + i * 11) % 200;
    open_engine(1);
    calmoe_session_close(&second);
    calmoe_policy_options_init(&options);
    options.measure = "always";
    options.threshold = 0.5f;
    options.exit_layers = &exit_layer;
    options.n_exits = 1;
    options.width = "fixed";
    options.width_k = 2;
    running_must(running.context, calmoe_policy_make(running.model, &options, &policy));
    calmoe_session_options_init(&session);
    session.policy = policy;
    running_must(running.context, calmoe_session_open(running.engine, &session, &second));
    calmoe_chunk chunk = {second, tokens, 2 * N, CALMOE_LOGITS_ALL};
    sees_nothing = true;
    running_must(running.context, calmoe_engine_step(running.engine, &chunk, 1));
    calmoe_session_begin_answer(second);
    chunk.tokens += 2 * N;
    chunk.n_tokens = N;
    running_must(running.context, calmoe_engine_step(running.engine, &chunk, 1));
    sees_nothing = false;
    calmoe_profile *profile = take_profile();
    running_must(running.context, calmoe_profile_get_domain(profile, 0, &domain));
    assert_int_equal(domain.n_tokens, 3 * N);
    assert_int_equal(domain.exits[0], N);
    assert_int_equal(domain.exits[1], 2 * N);
    assert_int_equal(domain.used[N_USED], 2 * N * N_LAYERS);
    assert_int_equal(domain.used[2], N); /* in the one layer that they ran */
    assert_int_equal(domain.used[0] + domain.used[1], 0);
    uint64_t n_uses[N_LAYERS] = {0};
    for (int i = 0; i < N_CELLS; i++) n_uses[i / N_EXPERTS] += domain.tokens[i];
    assert_int_equal(n_uses[0], 2 * N * N_USED + 2 * N);
    assert_int_equal(n_uses[1], 2 * N * N_USED);
    calmoe_profile_close(&profile);
    calmoe_session_close(&second);
    calmoe_policy_close(&policy);
    close_engine();
}

static void a_rewind_forgets_later_uses(void **state)
{
    (void)state;
    calmoe_profile_domain domain = {.size = sizeof domain};
    open_engine(1);
    step(20, 1);
    running_must(running.context, calmoe_session_rewind(running.session, 0));
    running_must(running.context, calmoe_session_rewind(second, 0));
    running_must(running.context, calmoe_engine_profile_domain(running.engine, "again"));
    step(20, 1); /* the same sequences from the beginning: the same reuse */
    calmoe_profile *profile = take_profile();
    assert_int_equal(calmoe_profile_get_domain(profile, 0, &domain), CALMOE_OK);
    uint64_t reuse[N_LAYERS * CALMOE_REUSE_BINS];
    memcpy(reuse, domain.reuse, sizeof reuse);
    assert_int_equal(calmoe_profile_get_domain(profile, 1, &domain), CALMOE_OK);
    assert_memory_equal(domain.reuse, reuse, sizeof reuse);
    calmoe_profile_close(&profile);
    close_engine();
}

static void profiling_changes_no_bit(void **state)
{
    (void)state;
    const int32_t tokens[12] = {1, 5, 9, 2, 6, 3, 7, 4, 8, 1, 2, 3};
    float        *logits[2];
    for (int profile = 0; profile < 2; profile++) {
        open_engine(profile);
        logits[profile] = calloc(12 * (size_t)running.n_vocab, sizeof **logits);
        running_read(&running, running.session, tokens, 12, 5, logits[profile]);
        if (profile == 0) assert_memory_not_equal(logits[0], (float[1]){0}, sizeof(float));
        else assert_memory_equal(logits[0], logits[1], 12 * (size_t)running.n_vocab * sizeof **logits);
        close_engine();
    }
    free(logits[0]);
    free(logits[1]);
}

/* ---- files and questions ---- */

/* Of an engine that stays open. */
static calmoe_profile *two_domains(void)
{
    open_engine(1);
    running_must(running.context, calmoe_engine_profile_domain(running.engine, "a"));
    step(20, 1);
    running_must(running.context, calmoe_engine_profile_domain(running.engine, "b \"\\\n"));
    step(30, 2);
    calmoe_profile *profile = take_profile();
    return profile;
}

static void files_merge(void **state)
{
    (void)state;
    calmoe_profile       *profile = two_domains(), *copy, *more, *none;
    calmoe_profile_domain one = {.size = sizeof one}, two = {.size = sizeof two};
    calmoe_profile_info   info = {.size = sizeof info};
    double                once[CALMOE_N_PHASES], twice[CALMOE_N_PHASES];
    running_must(running.context, calmoe_profile_write(profile, path));
    running_must(running.context, calmoe_profile_open(running.context, path, &copy));
    running_must(running.context, calmoe_profile_open(running.context, path, &more));
    running_must(running.context, calmoe_profile_merge(copy, more));
    running_must(running.context, calmoe_profile_get_info(copy, &info));
    assert_int_equal(info.n_domains, 2);
    for (int d = 0; d < 2; d++) {
        assert_int_equal(calmoe_profile_get_domain(profile, d, &one), CALMOE_OK);
        assert_int_equal(calmoe_profile_get_domain(copy, d, &two), CALMOE_OK);
        assert_string_equal(one.name, two.name);
        assert_int_equal(two.n_tokens, 2 * one.n_tokens);
        assert_int_equal(two.n_steps, 2 * one.n_steps);
        assert_int_equal(two.n_expert_bytes, 2 * one.n_expert_bytes);
        assert_int_equal(calmoe_profile_get_phases(profile, d, once, CALMOE_N_PHASES), CALMOE_OK);
        assert_int_equal(calmoe_profile_get_phases(copy, d, twice, CALMOE_N_PHASES), CALMOE_OK);
        assert_true(fabs(twice[CALMOE_PHASE_EXPERTS] - 2 * once[CALMOE_PHASE_EXPERTS]) < 1e-7);
        for (int i = 0; i < N_CELLS; i++) assert_int_equal(two.tokens[i], 2 * one.tokens[i]);
    }
    assert_int_equal(calmoe_profile_merge(copy, copy), CALMOE_INVALID_ARGUMENT);
    assert_int_equal(calmoe_profile_open(running.context, model_path, &none), CALMOE_BAD_FILE);
    assert_null(none);
    calmoe_profile_close(&profile);
    calmoe_profile_close(&copy);
    calmoe_profile_close(&more);
    close_engine();
}

static void questions_have_answers(void **state)
{
    (void)state;
    calmoe_profile    *profile = two_domains();
    calmoe_expert_load load = {.size = sizeof load};
    calmoe_specialist  best[N_CELLS];
    double             cosine;
    int                n;
    running_must(running.context, calmoe_profile_get_load(profile, -1, 1, &load));
    assert_true(load.peak >= 1 && load.entropy <= log2(N_EXPERTS) && load.busiest < N_EXPERTS);
    running_must(running.context, calmoe_profile_get_similarity(profile, 1, 1, -1, &cosine));
    assert_true(fabs(cosine - 1) < 1e-12);
    running_must(running.context, calmoe_profile_get_specialists(profile, 0, best, N_CELLS, &n));
    assert_true(n > 0);
    for (int i = 0; i < n; i++) {
        assert_true(best[i].lift > 1 && best[i].lift <= 2 && best[i].share > 0);
        assert_true(fabs(best[i].bits - best[i].share * log2(best[i].lift)) < 1e-12);
        assert_true(i == 0 || best[i - 1].bits >= best[i].bits);
    }
    const calmoe_specialist first = best[0];
    running_must(running.context, calmoe_profile_get_specialists(profile, 0, best, 1, &n));
    assert_int_equal(n, 1);
    assert_int_equal(best[0].layer * N_EXPERTS + best[0].expert, first.layer * N_EXPERTS + first.expert);
    assert_int_equal(calmoe_profile_get_load(profile, 2, 0, &load), CALMOE_INVALID_ARGUMENT);
    assert_int_equal(calmoe_profile_get_load(profile, 0, N_LAYERS, &load), CALMOE_INVALID_ARGUMENT);
    assert_int_equal(calmoe_profile_get_similarity(profile, 0, -1, 0, &cosine), CALMOE_INVALID_ARGUMENT);
    load.size = 0;
    assert_int_equal(calmoe_profile_get_load(profile, 0, 0, &load), CALMOE_INVALID_ARGUMENT);
    calmoe_profile_close(&profile);
    close_engine();
}

static void an_engine_without_a_profile_says_so(void **state)
{
    (void)state;
    calmoe_profile *profile;
    open_engine(0);
    step(4, 1);
    assert_int_equal(calmoe_engine_get_profile(running.engine, &profile), CALMOE_INVALID_ARGUMENT);
    assert_null(profile);
    assert_non_null(strstr(calmoe_context_message(running.context), "without the option profile"));
    assert_int_equal(calmoe_engine_profile_domain(running.engine, "a"), CALMOE_INVALID_ARGUMENT);
    close_engine();
    open_engine(1);
    assert_int_equal(calmoe_engine_get_profile(running.engine, &profile), CALMOE_INVALID_ARGUMENT);
    assert_string_equal(calmoe_context_message(running.context),
                        "no token has been counted yet, so there is no profile");
    close_engine();
    assert_int_equal(calmoe_engine_profile_domain(NULL, "a"), CALMOE_INVALID_ARGUMENT);
}

static void placement_takes_a_profile_in_memory(void **state)
{
    (void)state;
    calmoe_profile          *profile = two_domains();
    calmoe_placement_options options;
    calmoe_placement        *placement;
    calmoe_prediction        from_memory = {.size = sizeof from_memory}, from_file = {.size = sizeof from_file};
    running_must(running.context, calmoe_profile_write(profile, path));
    calmoe_placement_options_init(&options);
    options.topology = "numa:2 core:4 pu:1";
    options.usage = profile;
    running_must(running.context, calmoe_placement_open(running.model, &options, &placement));
    running_must(running.context, calmoe_placement_predict(placement, 1, &from_memory));
    calmoe_placement_close(&placement);
    options.profile = path;
    assert_int_equal(calmoe_placement_open(running.model, &options, &placement), CALMOE_INVALID_ARGUMENT);
    options.usage = NULL;
    running_must(running.context, calmoe_placement_open(running.model, &options, &placement));
    running_must(running.context, calmoe_placement_predict(placement, 1, &from_file));
    calmoe_placement_close(&placement);
    assert_memory_equal(&from_memory, &from_file, sizeof from_file);
    calmoe_profile_close(&profile);
    close_engine();
}

/* ---- text ---- */

/* Every line is a remark or NAME{labels} NUMBER, of a metric whose type was told before. */
static void check_exposition(const char *text, const char *prefix)
{
    char type[128] = "";
    for (const char *line = text; *line; line = strchr(line, '\n') + 1) {
        const char *const end = strchr(line, '\n');
        assert_non_null(end);
        if (strncmp(line, "# TYPE ", 7) == 0) {
            const size_t n = strcspn(line + 7, " ");
            assert_true(n < sizeof type);
            memcpy(type, line + 7, n);
            type[n] = '\0';
            assert_true(strncmp(line + 7 + n, " counter\n", 9) == 0 || strncmp(line + 7 + n, " gauge\n", 7) == 0);
        } else if (strncmp(line, "# HELP ", 7) != 0) {
            const size_t n = strcspn(line, "{ ");
            assert_true(strncmp(line, prefix, strlen(prefix)) == 0);
            assert_true(n == strlen(type) && strncmp(line, type, n) == 0);
            const char *number = end;
            while (number > line && number[-1] != ' ') number--;
            char *after;
            (void)strtod(number, &after);
            assert_true(after == end && number != end);
        }
    }
}

static void text_is_exposition_format(void **state)
{
    (void)state;
    calmoe_profile *profile = two_domains();
    size_t          n = 0, n_again = 0;
    assert_int_equal(calmoe_profile_get_text(profile, NULL, 0, &n), CALMOE_FULL);
    char *text = calloc(n + 1, 1);
    assert_int_equal(calmoe_profile_get_text(profile, text, n, &n_again), CALMOE_FULL);
    assert_int_equal(calmoe_profile_get_text(profile, text, n + 1, &n_again), CALMOE_OK);
    assert_int_equal(n, n_again);
    assert_int_equal(strlen(text), n);
    check_exposition(text, "calmoe_profile_");
    assert_non_null(strstr(text, "\ncalmoe_profile_tokens_total{domain=\"a\"} 30\n"));
    assert_non_null(strstr(text, "\ncalmoe_profile_tokens_total{domain=\"b \\\"\\\\\\n\"} 45\n"));
    assert_non_null(strstr(text, ",within=\"16384\"} "));
    assert_non_null(strstr(text, "\ncalmoe_profile_exits_total{domain=\"a\",layers=\"2\"} 30\n"));
    assert_non_null(strstr(text, "\ncalmoe_profile_width_total{domain=\"a\",experts=\"3\"} 60\n"));
    assert_non_null(strstr(text, "\ncalmoe_profile_weight_bytes_total{domain=\"a\",part=\"head\"} "));
    assert_non_null(strstr(text, "\ncalmoe_profile_node_seconds_total{domain=\"a\",node=\"0\",phase=\"waiting\"} "));
    assert_non_null(strstr(text, "\ncalmoe_profile_node_remote_bytes_total{domain=\"a\",node=\"0\"} 0\n"));
    free(text);
    assert_int_equal(calmoe_engine_get_stats_text(running.engine, NULL, 0, &n), CALMOE_FULL);
    text = calloc(n + 1, 1);
    running_must(running.context, calmoe_engine_get_stats_text(running.engine, text, n + 1, &n_again));
    check_exposition(text, "calmoe_stats_");
    assert_non_null(strstr(text, "\ncalmoe_stats_tokens_total 75\n"));
    assert_non_null(strstr(text, "\ncalmoe_stats_phase_seconds_total{phase=\"experts\"} "));
    assert_non_null(strstr(text, "\ncalmoe_stats_node_seconds_total{node=\"0\",phase=\"experts\"} "));
    assert_non_null(strstr(text, "\ncalmoe_stats_node_read_bytes_total{node=\"0\",phase=\"experts\"} "));
    assert_non_null(strstr(text, "\ncalmoe_stats_exits_total{layers=\"1\"} 0\n"));
    free(text);
    calmoe_profile_close(&profile);
    close_engine();
}

static int open_all(void **state)
{
    (void)state;
    struct tiny_model tiny = tiny_model_wide();
    folder = temp_folder_open();
    snprintf(model_path, sizeof model_path, "%s", temp_file(folder, "model.gguf"));
    snprintf(path, sizeof path, "%s", temp_file(folder, "profile.json"));
    tiny_model_write(&tiny, model_path);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_are_those_of_the_routing),
        cmocka_unit_test(domains_divide_the_counts),
        cmocka_unit_test(work_is_what_the_steps_cost),
        cmocka_unit_test(depth_and_width_are_counted),
        cmocka_unit_test(a_rewind_forgets_later_uses),
        cmocka_unit_test(profiling_changes_no_bit),
        cmocka_unit_test(files_merge),
        cmocka_unit_test(questions_have_answers),
        cmocka_unit_test(an_engine_without_a_profile_says_so),
        cmocka_unit_test(placement_takes_a_profile_in_memory),
        cmocka_unit_test(text_is_exposition_format),
    };
    return cmocka_run_group_tests(tests, open_all, close_folder);
}
