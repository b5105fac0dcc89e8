/* tools/calmoe_place.c - `calmoe place`: makes a placement plan, or examines one, and explains it. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <calmoe/placement.h>
#include <calmoe/trace.h>

#include "tools/command.h"
#include "tools/front.h"

struct settings {
    const char *model;
    const char *policy;
    const char *plan;
    const char *profile;
    const char *domain;
    const char *topology;
    const char *bandwidth;
    const char *memory_limit;
    int         stream;
    const char *simulate;
    const char *output;
    int         json;
    int         ranks, rank_experts;
    const char *latency;
    const char *net_bandwidth;
    const char *line_latency;
};

static const struct cli_option options[] = {
    {"model", 'm', CLI_INPUT, offsetof(struct settings, model), 0, 0, "MODEL",
     "GGUF file; default: the embedded model"},
    {"policy", 0, CLI_TEXT, offsetof(struct settings, policy), 0, 0, "NAME",
     "how to place; default: by_usage with a profile, else sliced"},
    {"plan", 0, CLI_TEXT, offsetof(struct settings, plan), 0, 0, "FILE", "look at this plan instead of making one"},
    {"profile", 0, CLI_INPUT, offsetof(struct settings, profile), 0, 0, "FILE",
     "how experts are used; default: all of them alike"},
    {"domain", 0, CLI_TEXT, offsetof(struct settings, domain), 0, 0, "NAME", "only this domain of the profile"},
    {"topology", 0, CLI_INPUT, offsetof(struct settings, topology), 0, 0, "SPEC",
     "hwloc description or .xml; default: this machine"},
    {"bandwidth", 0, CLI_TEXT, offsetof(struct settings, bandwidth), 0, 0, "LIST",
     "GB/s that nodes read: \"0:40,1:20\", or \"40\" for all"},
    {"memory-limit", 0, CLI_TEXT, offsetof(struct settings, memory_limit), 0, 0, "X",
     "weights with replicas, times the model (default 1.25); or bytes, 12GiB, with --stream or --simulate: as of "
     "calmoe run"},
    {"stream", 0, CLI_FLAG, offsetof(struct settings, stream), 0, 0, NULL,
     "with a limit in bytes: the plan says which experts stay in memory, and which are read from disk"},
    {"simulate", 0, CLI_INPUT, offsetof(struct settings, simulate), 0, 0, "TRACE",
     "replay this routing trace through the plan"},
    {"ranks", 0, CLI_INT, offsetof(struct settings, ranks), 2, 64, "N", "also N such machines together, by mpirun"},
    {"rank-experts", 0, CLI_CHOICE, offsetof(struct settings, rank_experts), 0, 0, "quicker|cut|whole",
     "experts by rows over ranks, whole on one each, or as predicted to be quicker (default), for each batch"},
    {"net-latency", 0, CLI_TEXT, offsetof(struct settings, latency), 0, 0, "TIME",
     "of a message between them, one way: 20us (default), 1ms"},
    {"net-bandwidth", 0, CLI_TEXT, offsetof(struct settings, net_bandwidth), 0, 0, "RATE",
     "that a machine receives: 10Gb (default), 2.5Gb, 1GB"},
    {"line-latency", 0, CLI_TEXT, offsetof(struct settings, line_latency), 0, 0, "NEAR[,FAR]",
     "of a cache line between cores round one cache and others: 40ns,150ns; then waiting is predicted, too"},
    {"output", 'o', CLI_OUTPUT, offsetof(struct settings, output), 0, 0, "PLAN.json", "write the plan"},
    {"json", 0, CLI_FLAG, offsetof(struct settings, json), 0, 0, NULL, "print one JSON object instead of tables"},
};

static const struct cli_command description = {
    .name      = "calmoe place",
    .summary   = "Plans on which memory node each expert lives, and says why.",
    .options   = options,
    .n_options = sizeof options / sizeof options[0],
    .notes     = "Policies:\n"
                 "  one_node     everything on one node\n"
                 "  interleave   each expert in equal parts over all nodes\n"
                 "  round_robin  whole experts, dealt to the nodes in turn\n"
                 "  sliced       each expert cut in proportion to the nodes' bandwidths\n"
                 "  by_usage     pinned, sliced or replicated, as a profile says\n\n"
                 "All times and balances are predicted from bytes and bandwidths, none is measured. The machine\n"
                 "may be described: \"node:4(memory=64GiB) core:8 pu:1\" has four nodes of 8 cores.\n\n"
                 "Example:\n"
                 "  calmoe place -m model.gguf --topology \"node:2 core:16 pu:1\" --bandwidth 120 -o plan.json\n",
};

enum { N_BATCHES = 3, MAX_TRACE_TOKENS = 65536 };
static const int batches[N_BATCHES] = {1, 8, 32};
enum { N_RANK_BATCHES = 5 };
static const int rank_batches[N_RANK_BATCHES] = {1, 8, 32, 128, 512}; /* the largest: as of a prompt */

struct report {
    calmoe_model_info     model;
    calmoe_placement_info info;
    calmoe_prediction     predictions[N_BATCHES];
    calmoe_placement_node nodes[CALMOE_MAX_NODES];
    calmoe_network          network; /* n_ranks 0: several machines were not asked for */
    calmoe_ranks_prediction ranks[N_RANK_BATCHES];
    bool                  is_simulated;
    uint64_t              limit_bytes; /* memory limit, for experts on disk; 0: not asked for */
    calmoe_disk_prediction disk[N_BATCHES];
    calmoe_prediction     simulations[N_BATCHES]; /* with the trace's routings */
};

static bool gather(const struct front *front, const calmoe_placement *placement, struct report *report)
{
    report->model.size = sizeof report->model;
    report->info.size  = sizeof report->info;
    if (!cm_front_succeeded(front, calmoe_model_get_info(front->model, &report->model)) ||
        !cm_front_succeeded(front, calmoe_placement_get_info(placement, &report->info)))
        return false;
    for (int i = 0; i < report->info.n_nodes; i++) {
        report->nodes[i].size = sizeof report->nodes[i];
        if (!cm_front_succeeded(front, calmoe_placement_get_node(placement, i, &report->nodes[i]))) return false;
    }
    for (int i = 0; i < N_BATCHES; i++) {
        report->predictions[i].size = sizeof report->predictions[i];
        if (!cm_front_succeeded(front, calmoe_placement_predict(placement, batches[i], &report->predictions[i])))
            return false;
    }
    return true;
}

/* ---- several machines ---- */

/* Reads a positive number with one of the units, "20us"; false for anything else. */
static bool read_quantity(const char *text, const char *const *units, const double *values, int n, double *quantity)
{
    char *end;
    *quantity = strtod(text, &end);
    for (int i = 0; i < n && end != text && *quantity > 0; i++) {
        if (strcmp(end, units[i]) != 0) continue;
        *quantity *= values[i];
        return true;
    }
    return false;
}

static bool read_time(const char *text, double *seconds)
{
    static const char *const units[] = {"us", "ms", "ns", "s"};
    static const double      values[] = {1e-6, 1e-3, 1e-9, 1};
    return read_quantity(text, units, values, 4, seconds);
}

/* CLI_GO_ON, or the exit status. */
static int read_network(const struct settings *settings, calmoe_network *network)
{
    static const char *const rates[] = {"Gb", "GB", "Mb", "MB"};
    static const double      bytes[] = {1e9 / 8, 1e9, 1e6 / 8, 1e6};
    const char *latency   = settings->latency != NULL ? settings->latency : "20us";
    const char *bandwidth = settings->net_bandwidth != NULL ? settings->net_bandwidth : "10Gb";
    network->n_ranks      = settings->ranks;
    network->experts      = settings->rank_experts;
    if (settings->ranks == 0 && (settings->latency != NULL || settings->net_bandwidth != NULL || network->experts != 0))
        return cm_usage_error(description.name, "option '%s' wants --ranks, found none",
                              settings->latency != NULL         ? "--net-latency"
                              : settings->net_bandwidth != NULL ? "--net-bandwidth"
                                                                : "--rank-experts");
    if (!read_time(latency, &network->latency))
        return cm_usage_error(description.name, "option '--net-latency' wants a time such as 20us, found '%s'",
                              latency);
    if (!read_quantity(bandwidth, rates, bytes, 4, &network->bandwidth))
        return cm_usage_error(description.name, "option '--net-bandwidth' wants a rate such as 10Gb, found '%s'",
                              bandwidth);
    return CLI_GO_ON;
}

/* Reads a multiple of the model's size, or bytes. Returns CLI_GO_ON, or the exit status. */
static int read_limit(const struct settings *settings, float *factor, uint64_t *n_bytes)
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "KB", "MB", "GB", "TB"};
    static const double      values[] = {1024, 1048576, 1073741824, 1099511627776, 1e3, 1e6, 1e9, 1e12};
    const char *text = settings->memory_limit;
    double      number;
    *factor  = 1.25f;
    *n_bytes = 0;
    if (text == NULL && settings->stream)
        return cm_usage_error(description.name, "option '--stream' wants --memory-limit in bytes, found none");
    if (text == NULL) return CLI_GO_ON;
    if (!settings->stream && read_quantity(text, (const char *const[]){""}, (const double[]){1}, 1, &number) &&
        number >= 1 && number <= 64) {
        *factor = (float)number;
        return CLI_GO_ON;
    }
    if (!read_quantity(text, units, values, 8, &number) || number < 1 || number > 9e18)
        return cm_usage_error(description.name, "option '--memory-limit' wants %sbytes such as 12GiB, found '%s'",
                              settings->stream ? "" : "a number from 1 to 64, or ", text);
    *n_bytes = (uint64_t)number;
    if (settings->simulate != NULL || settings->stream) return CLI_GO_ON;
    return cm_usage_error(description.name, "option '--memory-limit %s' wants --stream or --simulate, found none",
                          text);
}

/* Reads "40ns,150ns", or one time for both. Returns CLI_GO_ON, or the exit status. */
static int read_latencies(const char *text, calmoe_placement_options *wanted)
{
    char near[32];
    if (text == NULL) return CLI_GO_ON;
    const char *const comma = strchr(text, ',');
    snprintf(near, sizeof near, "%.*s", comma != NULL ? (int)(comma - text) : (int)strlen(text), text);
    if (read_time(near, &wanted->near_latency) && read_time(comma != NULL ? comma + 1 : near, &wanted->far_latency))
        return CLI_GO_ON;
    return cm_usage_error(description.name, "option '--line-latency' wants one or two times such as 40ns,150ns, "
                          "found '%s'", text);
}

static bool predict_ranks(const struct front *front, const calmoe_placement *placement, struct report *report)
{
    for (int i = 0; i < N_RANK_BATCHES && report->network.n_ranks > 0; i++) {
        report->ranks[i].size = sizeof report->ranks[i];
        if (!cm_front_succeeded(front, calmoe_placement_predict_ranks(placement, &report->network, rank_batches[i],
                                                                      &report->ranks[i])))
            return false;
    }
    return true;
}

static void print_ranks(const struct report *report)
{
    printf("\n  predicted for %d such machines, %.3g us and %.3g Gb/s between them:\n", report->network.n_ranks,
           report->network.latency * 1e6, report->network.bandwidth * 8e-9);
    printf("  batch  exchanges  bytes received/t  us in exchanges/t  tokens/s <=  experts\n");
    for (int i = 0; i < N_RANK_BATCHES; i++) {
        const calmoe_ranks_prediction *it = &report->ranks[i];
        printf("  %5d  %9d  %16.0f  %17.0f", it->batch, it->n_exchanges, (double)it->n_bytes_received / it->batch,
               it->exchange_seconds * 1e6 / it->batch);
        if (it->tokens_per_s > 0) printf("  %11.1f", it->tokens_per_s);
        else printf("  %11s", "unknown");
        printf("  %s (%s)\n", it->experts == CALMOE_RANK_EXPERTS_WHOLE ? "whole" : "cut", it->why);
    }
}

static void add_ranks(struct json_output *json, const struct report *report)
{
    struct json_node *const object = cm_json_object(json, json->root, "predicted_for_ranks");
    cm_json_integer(json, object, "ranks", (uint64_t)report->network.n_ranks);
    cm_json_real(json, object, "latency_s", report->network.latency);
    cm_json_real(json, object, "bandwidth_bytes_per_s", report->network.bandwidth);
    struct json_node *const array = cm_json_array(json, object, "batches");
    for (int i = 0; i < N_RANK_BATCHES; i++) {
        const calmoe_ranks_prediction *it = &report->ranks[i];
        struct json_node *const        at = cm_json_object(json, array, NULL);
        cm_json_integer(json, at, "batch", (uint64_t)it->batch);
        cm_json_integer(json, at, "exchanges", (uint64_t)it->n_exchanges);
        cm_json_integer(json, at, "bytes_received", it->n_bytes_received);
        cm_json_real(json, at, "exchange_s", it->exchange_seconds);
        cm_json_real(json, at, "step_s", it->step_seconds);
        cm_json_text(json, at, "experts", it->experts == CALMOE_RANK_EXPERTS_WHOLE ? "whole" : "cut");
        cm_json_text(json, at, "why", it->why);
        if (it->tokens_per_s > 0) cm_json_real(json, at, "tokens_per_s", it->tokens_per_s);
        else cm_json_null(json, at, "tokens_per_s");
    }
}

/* ---- the trace ---- */

/* Reads the trace's first MAX_TRACE_TOKENS tokens into experts. */
static bool read_trace(const struct front *front, calmoe_trace_reader *reader, const calmoe_trace_info *info,
                       struct bytes *experts, int *n_tokens)
{
    const size_t       n_bytes = (size_t)info->n_layers * (size_t)info->n_used * sizeof(int32_t);
    calmoe_trace_token token;
    for (*n_tokens = 0; *n_tokens < MAX_TRACE_TOKENS; ++*n_tokens) {
        const calmoe_status status = calmoe_trace_reader_next(reader, &token);
        if (status == CALMOE_END) break;
        if (!cm_front_succeeded(front, status) || !cm_bytes_append(experts, token.experts, n_bytes)) return false;
    }
    if (*n_tokens == MAX_TRACE_TOKENS && calmoe_trace_reader_next(reader, &token) == CALMOE_OK)
        cm_say("the trace is longer than %d tokens; those are simulated", MAX_TRACE_TOKENS);
    if (*n_tokens > 0) return true;
    cm_say("the trace holds no token");
    return false;
}

static bool check_trace(const struct report *report, const calmoe_trace_info *info)
{
    if (strcmp(info->fingerprint, report->model.fingerprint) == 0 && info->n_layers == report->info.n_layers &&
        info->n_experts == report->info.n_experts)
        return true;
    cm_say("the trace is of the model %s, %d layers of %d experts; this one is %s, %d layers of %d", info->fingerprint,
           info->n_layers, info->n_experts, report->model.fingerprint, report->info.n_layers, report->info.n_experts);
    return false;
}

static bool simulate(const struct front *front, const calmoe_placement *placement, const char *path,
                     struct report *report)
{
    calmoe_trace_reader *reader  = NULL;
    calmoe_trace_info    info    = {.size = sizeof info};
    struct bytes         experts = {0};
    int                  n_tokens;
    bool is_fine = cm_front_succeeded(front, calmoe_trace_reader_open(front->context, path, &reader)) &&
                   cm_front_succeeded(front, calmoe_trace_reader_get_info(reader, &info)) &&
                   check_trace(report, &info) && read_trace(front, reader, &info, &experts, &n_tokens);
    for (int i = 0; i < N_BATCHES && is_fine; i++) {
        report->simulations[i].size = sizeof report->simulations[i];
        is_fine = cm_front_succeeded(front, calmoe_placement_simulate(placement, (const int32_t *)(void *)experts.at,
                                                                      n_tokens, info.n_used, batches[i],
                                                                      &report->simulations[i]));
    }
    for (int i = 0; i < N_BATCHES && is_fine && report->limit_bytes > 0; i++) {
        report->disk[i].size = sizeof report->disk[i];
        is_fine = cm_front_succeeded(front, calmoe_placement_simulate_disk(
                                                placement, (const int32_t *)(void *)experts.at, n_tokens, info.n_used,
                                                batches[i], report->limit_bytes, &report->disk[i]));
    }
    report->is_simulated = is_fine;
    cm_bytes_close(&experts);
    calmoe_trace_reader_close(&reader);
    return is_fine;
}

/* ---- for people ---- */

static void print_nodes(const struct report *report)
{
    const bool is_known = report->info.is_bandwidth_known;
    printf("\n  node  cores  %10s   memory  weights  whole  sliced  replicas  kv heads  work (predicted)\n",
           is_known ? "bandwidth" : "relative");
    for (int i = 0; i < report->info.n_nodes; i++) {
        const calmoe_placement_node *node = &report->nodes[i];
        char memory[32] = "unknown", bandwidth[32];
        if (report->info.is_memory_known) snprintf(memory, sizeof memory, "%.1f GB", (double)node->memory_bytes * 1e-9);
        if (is_known) snprintf(bandwidth, sizeof bandwidth, "%.1f GB/s", node->bandwidth * 1e-9);
        else snprintf(bandwidth, sizeof bandwidth, "%.1f", node->bandwidth);
        printf("  %4d  %5d  %10s  %7s  %4.2f GB  %5d  %6d  %8d  %8d  %6.1f %%\n", i, node->n_cores, bandwidth, memory,
               (double)node->weight_bytes * 1e-9, node->n_pinned, node->n_sliced, node->n_replicas, node->kv_heads,
               100 * report->predictions[0].node_share[i]);
    }
}

static void print_predictions(const calmoe_prediction *predictions)
{
    printf("  batch  imbalance  remote weights/t  remote activations/t  by replicas  barriers   us in them"
           "  tokens/s <=\n");
    for (int i = 0; i < N_BATCHES; i++) {
        const calmoe_prediction *prediction = &predictions[i];
        const double             n_tokens   = (double)prediction->n_tokens;
        double                   weights = 0, activations = 0;
        for (int node = 0; node < CALMOE_MAX_NODES; node++) {
            weights += (double)prediction->node_remote_weights[node];
            activations += (double)prediction->node_remote_activations[node];
        }
        const double n_uses = prediction->n_uses > 0 ? (double)prediction->n_uses : 1;
        printf("  %5d  %9.3f  %16.0f  %20.0f  %9.1f %%", prediction->batch, prediction->imbalance, weights / n_tokens,
               activations / n_tokens, 100 * (double)prediction->n_replica_uses / n_uses);
        printf("  %8d", prediction->n_barriers);
        if (prediction->barrier_seconds > 0) printf("  %11.1f", prediction->barrier_seconds * 1e6);
        else printf("  %11s", "unknown");
        if (prediction->tokens_per_s > 0) printf("  %11.1f\n", prediction->tokens_per_s);
        else printf("  %11s\n", "unknown");
    }
}

static double share(uint64_t a, uint64_t b) { return b > 0 ? (double)a / (double)b : 0; }

static void print_disk(const struct report *report)
{
    printf("\n  predicted for the trace with %.1f MiB of memory, %d of %d experts in it, without looking ahead:\n",
           (double)report->limit_bytes / 1048576, report->disk[0].n_slots, report->disk[0].n_experts);
    printf("  batch     hits  MB read/t\n");
    for (int i = 0; i < N_BATCHES; i++)
        printf("  %5d  %5.1f %%  %9.3f\n", report->disk[i].batch,
               100 * share(report->disk[i].n_there, report->disk[i].n_wanted),
               share(report->disk[i].n_bytes, report->disk[i].n_tokens) * 1e-6);
}

static void add_disk(struct json_output *json, const struct report *report)
{
    struct json_node *const object = cm_json_object(json, json->root, "predicted_on_disk");
    cm_json_integer(json, object, "memory_limit_bytes", report->limit_bytes);
    cm_json_integer(json, object, "experts", (uint64_t)report->disk[0].n_experts);
    cm_json_integer(json, object, "experts_in_memory", (uint64_t)report->disk[0].n_slots);
    struct json_node *const array = cm_json_array(json, object, "batches");
    for (int i = 0; i < N_BATCHES; i++) {
        struct json_node *const at = cm_json_object(json, array, NULL);
        cm_json_integer(json, at, "batch", (uint64_t)report->disk[i].batch);
        cm_json_integer(json, at, "wanted", report->disk[i].n_wanted);
        cm_json_integer(json, at, "hits", report->disk[i].n_there);
        cm_json_real(json, at, "bytes_per_token", share(report->disk[i].n_bytes, report->disk[i].n_tokens));
    }
}

static void print_report(const struct report *report)
{
    const calmoe_placement_info *info = &report->info;
    printf("%s: %d layers of %d experts, %d used; weights %.2f GB\n",
           report->model.name[0] != '\0' ? report->model.name : report->model.path, info->n_layers, info->n_experts,
           report->model.n_experts_used, (double)info->n_weight_bytes * 1e-9);
    if (info->policy[0] != '\0') printf("policy %s: ", info->policy);
    else printf("a plan that was read: ");
    if (info->n_streamed > 0) printf("%d experts streamed, ", info->n_streamed);
    printf("%d experts pinned, %d sliced, %d replicated; memory %.2f x the model\n", info->n_pinned, info->n_sliced,
           info->n_replicated, (double)info->n_placed_bytes / (double)info->n_weight_bytes);
    print_nodes(report);
    printf("\n  predicted for %s:\n", strcmp(info->use, "profile") == 0 ? "the profile's use"
        : "even use of all experts");
    print_predictions(report->predictions);
    if (report->is_simulated) {
        printf("\n  predicted for the trace, %" PRIu64 " tokens:\n", report->simulations[0].n_tokens);
        print_predictions(report->simulations);
    }
    if (report->limit_bytes > 0 && report->is_simulated) print_disk(report);
    if (report->network.n_ranks > 0) print_ranks(report);
    if (info->why[0] != '\0') printf("\nWhy: %s\n", info->why);
    if (info->notes[0] != '\0') printf("Note: %s\n", info->notes);
    if (!info->is_bandwidth_known)
        printf("Note: bandwidths are relative, one unit for each core; --bandwidth states them.\n");
}

/* ---- for programs ---- */

static void add_prediction(struct json_output *json, struct json_node *in, const calmoe_prediction *prediction,
                           int n_nodes)
{
    struct json_node *const object = cm_json_object(json, in, NULL);
    cm_json_integer(json, object, "batch", (uint64_t)prediction->batch);
    cm_json_integer(json, object, "steps", prediction->n_steps);
    cm_json_integer(json, object, "tokens", prediction->n_tokens);
    cm_json_real(json, object, "imbalance", prediction->imbalance);
    if (prediction->tokens_per_s > 0) cm_json_real(json, object, "tokens_per_s", prediction->tokens_per_s);
    else cm_json_null(json, object, "tokens_per_s");
    cm_json_integer(json, object, "barriers", (uint64_t)prediction->n_barriers);
    if (prediction->barrier_seconds > 0) cm_json_real(json, object, "barrier_s", prediction->barrier_seconds);
    else cm_json_null(json, object, "barrier_s");
    cm_json_integer(json, object, "uses", prediction->n_uses);
    cm_json_integer(json, object, "sliced_uses", prediction->n_sliced_uses);
    cm_json_integer(json, object, "replica_uses", prediction->n_replica_uses);
    struct json_node *const nodes = cm_json_array(json, object, "nodes");
    for (int node = 0; node < n_nodes; node++) {
        struct json_node *const it = cm_json_object(json, nodes, NULL);
        cm_json_real(json, it, "share", prediction->node_share[node]);
        cm_json_integer(json, it, "weight_bytes", prediction->node_bytes[node]);
        cm_json_integer(json, it, "remote_weight_bytes", prediction->node_remote_weights[node]);
        cm_json_integer(json, it, "remote_activation_bytes", prediction->node_remote_activations[node]);
        cm_json_integer(json, it, "replica_uses", prediction->node_replica_uses[node]);
    }
}

static void add_nodes(struct json_output *json, struct json_node *in, const struct report *report)
{
    for (int i = 0; i < report->info.n_nodes; i++) {
        const calmoe_placement_node *node   = &report->nodes[i];
        struct json_node *const      object = cm_json_object(json, in, NULL);
        cm_json_integer(json, object, "cores", (uint64_t)node->n_cores);
        cm_json_integer(json, object, "served_by", (uint64_t)node->served_by);
        if (report->info.is_memory_known) cm_json_integer(json, object, "memory_bytes", node->memory_bytes);
        else cm_json_null(json, object, "memory_bytes");
        cm_json_real(json, object, "bandwidth", node->bandwidth);
        cm_json_integer(json, object, "weight_bytes", node->weight_bytes);
        cm_json_integer(json, object, "pinned", (uint64_t)node->n_pinned);
        cm_json_integer(json, object, "sliced", (uint64_t)node->n_sliced);
        cm_json_integer(json, object, "replicas", (uint64_t)node->n_replicas);
        cm_json_integer(json, object, "kv_heads", (uint64_t)node->kv_heads);
    }
}

static bool print_json(const struct report *report)
{
    const calmoe_placement_info *info = &report->info;
    struct json_output           json;
    cm_json_open_object(&json);
    cm_json_text(&json, json.root, "model", report->model.path);
    cm_json_text(&json, json.root, "fingerprint", report->model.fingerprint);
    if (info->policy[0] != '\0') cm_json_text(&json, json.root, "policy", info->policy);
    else cm_json_null(&json, json.root, "policy");
    cm_json_text(&json, json.root, "why", info->why);
    cm_json_text(&json, json.root, "notes", info->notes);
    cm_json_text(&json, json.root, "use", info->use);
    cm_json_integer(&json, json.root, "pinned", (uint64_t)info->n_pinned);
    cm_json_integer(&json, json.root, "sliced", (uint64_t)info->n_sliced);
    cm_json_integer(&json, json.root, "replicated", (uint64_t)info->n_replicated);
    cm_json_integer(&json, json.root, "streamed", (uint64_t)info->n_streamed);
    cm_json_integer(&json, json.root, "weight_bytes", info->n_weight_bytes);
    cm_json_integer(&json, json.root, "placed_bytes", info->n_placed_bytes);
    cm_json_integer(&json, json.root, "bandwidth_known", (uint64_t)info->is_bandwidth_known);
    add_nodes(&json, cm_json_array(&json, json.root, "nodes"), report);
    struct json_node *const predicted = cm_json_array(&json, json.root, "predicted");
    for (int i = 0; i < N_BATCHES; i++) add_prediction(&json, predicted, &report->predictions[i], info->n_nodes);
    if (report->is_simulated) {
        struct json_node *const simulated = cm_json_array(&json, json.root, "predicted_for_trace");
        for (int i = 0; i < N_BATCHES; i++) add_prediction(&json, simulated, &report->simulations[i], info->n_nodes);
    }
    if (report->limit_bytes > 0 && report->is_simulated) add_disk(&json, report);
    if (report->network.n_ranks > 0) add_ranks(&json, report);
    const bool is_written = cm_json_write(&json, true);
    cm_json_close(&json);
    return is_written;
}

struct limits { /* as given by the options */
    calmoe_network           network;
    calmoe_placement_options placement; /* for its latencies, and for memory_limit as a multiple */
    uint64_t                 n_bytes;
};

static bool place(const struct settings *settings, const struct limits *limits, const struct front *front,
                  calmoe_placement **placement)
{
    calmoe_placement_options wanted = limits->placement;
    struct report            report = {.network = limits->network, .limit_bytes = limits->n_bytes};
    wanted.policy       = settings->policy;
    wanted.plan         = settings->plan;
    wanted.profile      = settings->profile;
    wanted.domain       = settings->domain;
    wanted.topology     = settings->topology;
    wanted.bandwidth    = settings->bandwidth;
    wanted.stream_limit = settings->stream ? limits->n_bytes : 0;
    if (!cm_front_succeeded(front, calmoe_placement_open(front->model, &wanted, placement)) ||
        !gather(front, *placement, &report) || !predict_ranks(front, *placement, &report))
        return false;
    if (settings->simulate != NULL && !simulate(front, *placement, settings->simulate, &report)) return false;
    if (settings->output != NULL &&
        !cm_front_succeeded(front, calmoe_placement_write(*placement, settings->output)))
        return false;
    if (settings->json) return print_json(&report);
    print_report(&report);
    return true;
}

static int run(int argc, char **argv)
{
    struct settings settings = {0};
    int             n_operands;
    struct limits   limits = {0};
    calmoe_placement_options_init(&limits.placement);
    int             status = cm_cli_parse(&description, argc, argv, &settings, &n_operands);
    if (status == CLI_GO_ON) status = read_network(&settings, &limits.network);
    if (status == CLI_GO_ON) status = read_latencies(settings.line_latency, &limits.placement);
    if (status == CLI_GO_ON) status = read_limit(&settings, &limits.placement.memory_limit, &limits.n_bytes);
    if (status != CLI_GO_ON) return status;
    struct front      front     = {0};
    calmoe_placement *placement = NULL;
    const bool is_done = cm_front_open(&front) && cm_front_open_model(&front, settings.model, false) &&
                         place(&settings, &limits, &front, &placement);
    calmoe_placement_close(&placement);
    cm_front_close(&front);
    return is_done ? 0 : 1;
}

const struct command cm_command_place = {"place", "plan on which memory node each expert lives", run};
