/* test_profile_file.c - profiles: written, read back, merged, and refused with the very sentence. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "runtime/documents/json.h"
#include "runtime/documents/profile_file.h"
#include "tests/support/folder_fixture.h"

#define HEAD "{\"schema\": \"calmoe.profile.1\", \"version\": \"0.1.0\", "
#define MODEL "\"model\": {\"fingerprint\": \"0123456789abcdef\", \"layers\": 1, \"experts\": 3, \"used\": 2}, "
#define DOMAIN "\"domains\": [{\"name\": \"c\", \"tokens\": 10, \"used\": [0, 0, 10], \"layers\": ["
#define REUSE "\"reuse\": [1, 2, 3, 4, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5], \"exits\": 0, "
#define WEIGHTS "\"weights\": [4.5, 3, 2.5], "
#define PAIRS "\"pairs\": [[0, 1, 7], [1, 2, 3]]"
#define COUNTS "\"tokens\": [10, 7, 3], "
#define LAYER "{" COUNTS WEIGHTS REUSE PAIRS "}"
#define END "]}]}"
#define WORKED(steps, rest) "\"domains\": [{\"name\": \"c\", \"tokens\": 10, \"used\": [0, 0, 10], " \
    "\"work\": {\"steps\": " #steps ", \"seconds\": " rest "}, \"layers\": [" LAYER END
#define NODES(list) "[0, 0, 0, 0, 0, 0, 0, 0], \"waited\": 0.5, " \
    "\"bytes\": {\"experts\": 5, \"head\": 0, \"dense\": 0}, " \
    "\"nodes\": [" list "]"
#define NODE(bytes) "{\"seconds\": [0, 0, 0, 1.5, 0, 0, 0, 0], \"waited\": 0.25, " \
    "\"bytes\": [0, 0, 0, " #bytes ", 0, 0, 0, 1], \"remote\": 2}"
#define WHOLE HEAD MODEL DOMAIN LAYER END

static const struct {
    const char *name, *text, *message;
} faults[] = {
    {"empty", "", "'p.json', line 1, column 0: the text ends too early"},
    {"cut", HEAD MODEL DOMAIN "{" COUNTS, "'p.json', line 1, column 229: the text ends too early"},
    {"list", "[]", "'p.json': found an array of 0, wanted an object"},
    {"other_schema", "{\"schema\": \"calmoe.plan.1\"}",
     "'p.json': schema: found \"calmoe.plan.1\", wanted \"calmoe.profile.1\""},
    {"unknown_member", HEAD MODEL "\"colour\": 1}", "'p.json': colour: found an unknown member, wanted none of that"
        " name"},
    {"no_version", "{\"schema\": \"calmoe.profile.1\"}", "'p.json': version: found nothing, wanted a value"},
    {"no_model", HEAD "\"domains\": []}", "'p.json': model: found nothing, wanted a value"},
    {"fingerprint", HEAD "\"model\": {\"fingerprint\": \"xyz\"}}",
     "'p.json': model.fingerprint: found \"xyz\", wanted 16 digits 0-9a-f"},
    {"layers_0", HEAD "\"model\": {\"fingerprint\": \"0123456789abcdef\", \"layers\": 0}}",
     "'p.json': model.layers: found 0, wanted an integer from 1 to 4096"},
    {"used_too_many", HEAD "\"model\": {\"fingerprint\": \"0123456789abcdef\", \"layers\": 1, \"experts\": 3,"
        " \"used\": 4}}",
     "'p.json': model.used: found 4, wanted an integer from 1 to 3"},
    {"no_domains", HEAD MODEL "\"domains\": []}", "'p.json': domains: found an array of 0, wanted an array of 1 to"
        " 256"},
    {"domain_twice", HEAD MODEL DOMAIN LAYER "]}, {\"name\": \"c\"}]}",
     "'p.json': domains[1].name: found \"c\", wanted a name that was not there before"},
    {"domain_unknown_member", HEAD MODEL "\"domains\": [{\"language\": 1}]}",
     "'p.json': domains[0].language: found an unknown member, wanted none of that name"},
    {"tokens_negative", HEAD MODEL "\"domains\": [{\"name\": \"\", \"tokens\": -1}]}",
     "'p.json': domains[0].tokens: found -1, wanted an integer from 0 to 35184372088831"},
    {"layers_missing", HEAD MODEL DOMAIN END, "'p.json': domains[0].layers: found an array of 0, wanted an array of 1"},
    {"layers_too_many", HEAD MODEL DOMAIN LAYER ", " LAYER END,
     "'p.json': domains[0].layers: found an array of 2, wanted an array of 1"},
    {"work_unknown_member", HEAD MODEL WORKED(1, "[0, 0, 0, 0, 0, 0, 0, 0], \"colour\": 1"),
     "'p.json': domains[0].work.colour: found an unknown member, wanted none of that name"},
    {"work_short", HEAD MODEL WORKED(1, "[1, 2]"),
     "'p.json': domains[0].work.seconds: found an array of 2, wanted an array of 8"},
    {"work_negative", HEAD MODEL WORKED(1, "[0, -1, 0, 0, 0, 0, 0, 0]"),
     "'p.json': domains[0].work.seconds[1]: found -1, wanted a number from 0 to 1e+18"},
    {"work_without_bytes", HEAD MODEL WORKED(1, "[0, 0, 0, 0, 0, 0, 0, 0], \"waited\": 0.5"),
     "'p.json': domains[0].work.bytes: found nothing, wanted a value"},
    {"node_unknown_member", HEAD MODEL WORKED(1, NODES("{\"colour\": 1}")),
     "'p.json': domains[0].work.nodes[0].colour: found an unknown member, wanted none of that name"},
    {"node_short", HEAD MODEL WORKED(1, NODES("{\"seconds\": [1]}")),
     "'p.json': domains[0].work.nodes[0].seconds: found an array of 1, wanted an array of 8"},
    {"node_negative", HEAD MODEL WORKED(1, NODES(NODE(-1))),
     "'p.json': domains[0].work.nodes[0].bytes[3]: found -1, wanted an integer from 0 to 9007199254740991"},
    {"used_short", HEAD MODEL "\"domains\": [{\"name\": \"c\", \"tokens\": 10, \"used\": [0, 10], \"layers\":"
        " [" LAYER END,
     "'p.json': domains[0].used: found an array of 2, wanted an array of 3"},
    {"counts_short", HEAD MODEL DOMAIN "{\"tokens\": [1, 2]}" END,
     "'p.json': domains[0].layers[0].tokens: found an array of 2, wanted an array of 3"},
    {"count_above_tokens", HEAD MODEL DOMAIN "{\"tokens\": [11, 0, 0]}" END,
     "'p.json': domains[0].layers[0].tokens[0]: found 11, wanted an integer from 0 to 10"},
    {"count_real", HEAD MODEL DOMAIN "{\"tokens\": [1.5, 0, 0]}" END,
     "'p.json': domains[0].layers[0].tokens[0]: found the number 1.5, wanted an integer from 0 to 10"},
    {"more_uses_than_slots", HEAD MODEL DOMAIN "{\"tokens\": [10, 10, 1]}" END,
     "'p.json': domains[0].layers[0]: found an object, wanted no more uses of experts than tokens times experts used"},
    {"weight_negative", HEAD MODEL DOMAIN "{" COUNTS "\"weights\": [1, -1, 0]}" END,
     "'p.json': domains[0].layers[0].weights[1]: found -1, wanted a number from 0 to 1e+18"},
    {"reuse_short", HEAD MODEL DOMAIN "{" COUNTS WEIGHTS "\"reuse\": [1]}" END,
     "'p.json': domains[0].layers[0].reuse: found an array of 1, wanted an array of 16"},
    {"exits_too_many",
     HEAD MODEL DOMAIN "{" COUNTS WEIGHTS "\"reuse\": [1, 2, 3, 4, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5], \"exits\":"
         " 11}" END,
     "'p.json': domains[0].layers[0].exits: found 11, wanted an integer from 0 to 10"},
    {"pair_short", HEAD MODEL DOMAIN "{" COUNTS WEIGHTS REUSE "\"pairs\": [[0, 1]]}" END,
     "'p.json': domains[0].layers[0].pairs[0]: found an array of 2, wanted an array of 3"},
    {"pair_with_itself", HEAD MODEL DOMAIN "{" COUNTS WEIGHTS REUSE "\"pairs\": [[1, 1, 2]]}" END,
     "'p.json': domains[0].layers[0].pairs[0][1]: found 1, wanted an integer from 2 to 2"},
    {"pair_out_of_range", HEAD MODEL DOMAIN "{" COUNTS WEIGHTS REUSE "\"pairs\": [[0, 3, 2]]}" END,
     "'p.json': domains[0].layers[0].pairs[0][1]: found 3, wanted an integer from 1 to 2"},
    {"pair_too_often", HEAD MODEL DOMAIN "{" COUNTS WEIGHTS REUSE "\"pairs\": [[0, 1, 11]]}" END,
     "'p.json': domains[0].layers[0].pairs[0][2]: found 11, wanted an integer from 0 to 10"},
    {"pairs_unsorted", HEAD MODEL DOMAIN "{" COUNTS WEIGHTS REUSE "\"pairs\": [[1, 2, 3], [0, 1, 7]]}" END,
     "'p.json': domains[0].layers[0].pairs[1]: found an array of 3, wanted a pair after the one before it"},
    {"pair_twice", HEAD MODEL DOMAIN "{" COUNTS WEIGHTS REUSE "\"pairs\": [[0, 1, 3], [0, 1, 7]]}" END,
     "'p.json': domains[0].layers[0].pairs[1]: found an array of 3, wanted a pair after the one before it"},
};
enum { N_FAULTS = sizeof faults / sizeof faults[0] };

static struct profile parse_ok(const char *text)
{
    struct calmoe_context ctx = {0};
    struct profile        profile;
    if (cm_profile_parse(&ctx, "p.json", text, strlen(text), &profile) != CALMOE_OK) fail_msg("%s", ctx.message);
    return profile;
}

static void each_fault_is_told(void **state)
{
    (void)state;
    int n_wrong = 0;
    for (size_t i = 0; i < N_FAULTS; i++) {
        struct calmoe_context ctx = {0};
        struct profile        profile;
        const long            n_live = cm_live_blocks();
        const calmoe_status   status =
            cm_profile_parse(&ctx, "a/p.json", faults[i].text, strlen(faults[i].text), &profile);
        if (status != CALMOE_BAD_FILE || strcmp(ctx.message, faults[i].message) != 0) {
            print_error("%s:\n  found  %s\n  wanted %s\n", faults[i].name, ctx.message, faults[i].message);
            n_wrong++;
        }
        assert_null(profile.domains);
        assert_int_equal(cm_live_blocks(), n_live);
    }
    assert_int_equal(n_wrong, 0);
}

/* Every beginning of a file that is fine is refused, and leaves nothing behind. */
static void cut_anywhere(void **state)
{
    (void)state;
    const long n_live = cm_live_blocks();
    for (size_t n = 0; n < sizeof WHOLE - 1; n++) {
        struct calmoe_context ctx = {0};
        struct profile        profile;
        assert_int_equal(cm_profile_parse(&ctx, "p.json", WHOLE, n, &profile), CALMOE_BAD_FILE);
        assert_int_equal(cm_live_blocks(), n_live);
    }
}

/* A small file must not ask for much memory: 4096 layers of one expert in each of many domains. */
static void many_layers_in_many_domains(void **state)
{
    (void)state;
    enum { ROOM = 1 << 16 };
    char *text = malloc(ROOM);
    int   n;
    assert_non_null(text);
    n = snprintf(text, ROOM, HEAD "\"model\": {\"fingerprint\": \"0123456789abcdef\", \"layers\": 4096, \"experts\": 1,"
                      " \"used\": 1}, \"domains\": [");
    for (int i = 0; i < 200; i++)
        n += snprintf(text + n, (size_t)(ROOM - n), "%s{\"name\": \"%d\"}", i > 0 ? ", " : "", i);
    snprintf(text + n, (size_t)(ROOM - n), "]}");
    struct calmoe_context ctx = {0};
    struct profile        profile;
    assert_int_equal(cm_profile_parse(&ctx, "p.json", text, strlen(text), &profile), CALMOE_BAD_FILE);
    assert_string_equal(ctx.message, "'p.json': domains: found an array of 200, wanted no more than 16384 layers in all"
                                     " domains together");
    free(text);
}

static void assert_same(const struct profile *a, const struct profile *b)
{
    const size_t n_layers = (size_t)a->n_layers, n = n_layers * (size_t)a->n_experts;
    assert_string_equal(a->fingerprint, b->fingerprint);
    assert_true(a->n_layers == b->n_layers && a->n_experts == b->n_experts && a->n_used == b->n_used);
    assert_int_equal(a->n_domains, b->n_domains);
    for (int i = 0; i < a->n_domains; i++) {
        const struct profile_domain *x = &a->domains[i], *y = &b->domains[i];
        assert_string_equal(x->name, y->name);
        assert_true(x->n_tokens == y->n_tokens);
        assert_memory_equal(x->tokens, y->tokens, n * sizeof *x->tokens);
        assert_memory_equal(x->weights, y->weights, n * sizeof *x->weights);
        assert_memory_equal(x->reuse, y->reuse, n_layers * PROFILE_REUSE_BINS * sizeof *x->reuse);
        assert_memory_equal(x->exits, y->exits, n_layers * sizeof *x->exits);
        assert_memory_equal(x->used, y->used, ((size_t)a->n_used + 1) * sizeof *x->used);
        assert_memory_equal(x->n_pairs, y->n_pairs, n_layers * sizeof *x->n_pairs);
        assert_memory_equal(x->pairs, y->pairs, n_layers * PROFILE_MAX_PAIRS * sizeof *x->pairs);
    }
}

static void written_is_read(void **state)
{
    (void)state;
    struct calmoe_context  ctx = {0};
    const long             n_live = cm_live_blocks();
    struct profile         profile = parse_ok(WHOLE), read;
    struct profile_domain *domain;
    assert_int_equal(cm_profile_add_domain(&ctx, &profile, "a \"name\"\nwith \\ all of it: имя", &domain), CALMOE_OK);
    domain->n_tokens = UINT64_C(30000000000000);
    domain->tokens[2] = UINT64_C(29999999999999);
    domain->weights[2] = 0.123456789;
    domain->exits[0] = 5;
    domain->used[1] = 12;
    assert_int_equal(cm_profile_write(&ctx, temp_file(folder, "p.json"), &profile), CALMOE_OK);
    if (cm_profile_read(&ctx, temp_file(folder, "p.json"), &read) != CALMOE_OK) fail_msg("%s", ctx.message);
    assert_same(&profile, &read);
    cm_profile_close(&profile);
    cm_profile_close(&read);
    cm_profile_close(&read);
    assert_int_equal(cm_live_blocks(), n_live);
}

static void places_that_fail(void **state)
{
    (void)state;
    struct calmoe_context ctx = {0};
    struct profile        profile = parse_ok(WHOLE), read;
    assert_int_equal(cm_profile_write(&ctx, "/no/such/folder/p.json", &profile), CALMOE_IO);
    assert_string_equal(ctx.message, "cannot write '/no/such/folder/p.json': No such file or directory");
    assert_int_equal(cm_profile_write(&ctx, "/dev/full", &profile), CALMOE_IO);
    assert_int_equal(cm_profile_read(&ctx, "/no/such/folder/p.json", &read), CALMOE_IO);
    cm_profile_close(&profile);
}

static void merging_adds_up(void **state)
{
    (void)state;
    struct calmoe_context ctx = {0};
    struct profile        into = parse_ok(WHOLE);
    struct profile        more = parse_ok(HEAD MODEL DOMAIN "{\"tokens\": [1, 2, 9], \"weights\": [1, 1, 1], " REUSE
                                          "\"pairs\": [[0, 1, 1], [0, 2, 4]]}" "]}, "
                                          "{\"name\": \"d\", \"tokens\": 2, \"used\": [0, 2, 0], \"layers\":"
                                              " [{\"tokens\":"
                                          " [2, 0, 0], " WEIGHTS REUSE "\"pairs\": []}" END);
    assert_int_equal(cm_profile_merge(&ctx, &into, &more), CALMOE_OK);
    assert_int_equal(into.n_domains, 2);
    const struct profile_domain *c = &into.domains[0], *d = &into.domains[1];
    assert_true(c->n_tokens == 20 && c->tokens[0] == 11 && c->tokens[1] == 9 && c->tokens[2] == 12);
    assert_true(c->weights[0] == 5.5 && c->reuse[1] == 4 && c->reuse[15] == 10 && c->used[2] == 20);
    assert_int_equal(c->n_pairs[0], 3);
    static const struct profile_pair pairs[] = {{0, 1, 8}, {0, 2, 4}, {1, 2, 3}};
    assert_memory_equal(c->pairs, pairs, sizeof pairs);
    assert_string_equal(d->name, "d");
    assert_true(d->n_tokens == 2 && d->tokens[0] == 2);

    uint64_t counts[3];
    assert_int_equal(cm_profile_counts(&ctx, &into, NULL, counts), CALMOE_OK);
    assert_true(counts[0] == 13 && counts[1] == 9 && counts[2] == 12);
    assert_int_equal(cm_profile_counts(&ctx, &into, "d", counts), CALMOE_OK);
    assert_true(counts[0] == 2 && counts[1] == 0 && counts[2] == 0);
    assert_int_equal(cm_profile_counts(&ctx, &into, "e", counts), CALMOE_INVALID_ARGUMENT);
    assert_string_equal(ctx.message, "the profile has no domain 'e'");
    cm_profile_close(&into);
    cm_profile_close(&more);
}

/* Nodes of the same number are added up, written and read; a machine may have more of them than the other. */
static void nodes_add_up(void **state)
{
    (void)state;
    struct calmoe_context ctx = {0};
    struct profile        into = parse_ok(HEAD MODEL WORKED(1, NODES(NODE(5))));
    struct profile        more = parse_ok(HEAD MODEL WORKED(1, NODES(NODE(7) ", " NODE(9)))), read;
    assert_int_equal(cm_profile_merge(&ctx, &into, &more), CALMOE_OK);
    assert_int_equal(cm_profile_write(&ctx, temp_file(folder, "nodes.json"), &into), CALMOE_OK);
    if (cm_profile_read(&ctx, temp_file(folder, "nodes.json"), &read) != CALMOE_OK) fail_msg("%s", ctx.message);
    const struct profile_work *work = &read.domains[0].work;
    assert_int_equal(work->n_nodes, 2);
    assert_true(work->nodes[0].bytes[3] == 12 && work->nodes[1].bytes[3] == 9 && work->nodes[0].bytes[7] == 2);
    assert_true(work->nodes[0].remote_bytes == 4 && work->nodes[1].remote_bytes == 2);
    assert_true(work->nodes[0].seconds[3] == 3 && work->nodes[1].seconds[3] == 1.5 && work->nodes[1].seconds[0] == 0);
    assert_true(work->nodes[0].waited == 0.5 && work->nodes[1].waited == 0.25 && work->n_steps == 2);
    cm_profile_close(&read);
    cm_profile_close(&into);
    cm_profile_close(&more);
}

/* Of too many pairs those that met most often stay, in order. */
static void merging_keeps_the_top_pairs(void **state)
{
    (void)state;
    enum { EXPERTS = 64 };
    struct profile         a = {.fingerprint = "0123456789abcdef", .n_layers = 1, .n_experts = EXPERTS, .n_used = 2},
        b = a;
    struct profile_domain *in_a, *in_b;
    assert_int_equal(cm_profile_add_domain(NULL, &a, "", &in_a), CALMOE_OK);
    assert_int_equal(cm_profile_add_domain(NULL, &b, "", &in_b), CALMOE_OK);
    for (int x = 0; x < EXPERTS; x++) /* 2016 pairs, dealt out to both */
        for (int y = x + 1; y < EXPERTS; y++) {
            struct profile_domain *in = (x + y) % 2 ? in_a : in_b;
            if (in->n_pairs[0] < PROFILE_MAX_PAIRS)
                in->pairs[in->n_pairs[0]++] = (struct profile_pair){x, y, (uint64_t)(x * y)};
        }
    assert_int_equal(cm_profile_merge(NULL, &a, &b), CALMOE_OK);
    in_a = &a.domains[0];
    assert_int_equal(in_a->n_pairs[0], PROFILE_MAX_PAIRS);
    uint64_t least = UINT64_MAX;
    for (int i = 0; i < PROFILE_MAX_PAIRS; i++) {
        const struct profile_pair *pair = &in_a->pairs[i];
        if (pair->n_tokens < least) least = pair->n_tokens;
        if (i > 0) assert_true(pair[-1].a < pair->a || (pair[-1].a == pair->a && pair[-1].b < pair->b));
    }
    int n_above = 0; /* none that met more often than the least that stayed was dropped */
    for (int x = 0; x < EXPERTS; x++)
        for (int y = x + 1; y < EXPERTS; y++) n_above += (uint64_t)(x * y) > least;
    assert_true(n_above <= PROFILE_MAX_PAIRS);
    for (int i = 0; i < PROFILE_MAX_PAIRS; i++) n_above -= in_a->pairs[i].n_tokens > least;
    assert_int_equal(n_above, 0);
    cm_profile_close(&a);
    cm_profile_close(&b);
}

static void other_models_do_not_merge(void **state)
{
    (void)state;
    struct calmoe_context ctx = {0};
    struct profile        into = parse_ok(WHOLE), more = parse_ok(WHOLE);
    more.fingerprint[0] = 'f';
    assert_int_equal(cm_profile_merge(&ctx, &into, &more), CALMOE_INVALID_ARGUMENT);
    assert_string_equal(ctx.message, "the profiles are of different models: 0123456789abcdef and f123456789abcdef");
    more.fingerprint[0] = '0';
    more.n_used = 1;
    assert_int_equal(cm_profile_merge(&ctx, &into, &more), CALMOE_INVALID_ARGUMENT);
    assert_string_equal(ctx.message, "the profiles are of 1 layers of 3 experts, 2 used, and of 1 layers of 3, 1 used");
    more.n_used = 2;
    cm_profile_close(&into);
    cm_profile_close(&more);
}

static void memory_runs_out(void **state)
{
    (void)state;
    const long n_live = cm_live_blocks();
    for (long nth = 1;; nth++) {
        struct profile profile, more = {.n_domains = 0};
        cm_fail_request(nth);
        calmoe_status status = cm_profile_parse(NULL, "p.json", WHOLE, sizeof WHOLE - 1, &profile);
        if (status == CALMOE_OK) status = cm_profile_parse(NULL, "p.json", WHOLE, sizeof WHOLE - 1, &more);
        if (status == CALMOE_OK) {
            more.domains[0].name[0] = 'x';
            status = cm_profile_merge(NULL, &profile, &more);
        }
        cm_fail_request(0);
        cm_profile_close(&profile);
        cm_profile_close(&more);
        assert_int_equal(cm_live_blocks(), n_live);
        if (status == CALMOE_OK) break;
        assert_int_equal(status, CALMOE_NO_MEMORY);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_fault_is_told),          cmocka_unit_test(cut_anywhere),
        cmocka_unit_test(many_layers_in_many_domains), cmocka_unit_test(written_is_read),
        cmocka_unit_test(places_that_fail),            cmocka_unit_test(merging_adds_up),
        cmocka_unit_test(nodes_add_up),
        cmocka_unit_test(merging_keeps_the_top_pairs), cmocka_unit_test(other_models_do_not_merge),
        cmocka_unit_test(memory_runs_out),
    };
    return cmocka_run_group_tests_name("profile_file", tests, open_folder, close_folder);
}
