/* exposition.c - see exposition.h. */
#include "runtime/stats/exposition.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include <calmoe/version.h>

_Static_assert((int)PROFILE_PHASES == (int)CALMOE_N_PHASES, "a profile has a time for each phase");

const char *cm_phase_name(int phase)
{
    static const char *const names[CALMOE_N_PHASES] = {
        [CALMOE_PHASE_PROJECT] = "project", [CALMOE_PHASE_ATTEND] = "attend", [CALMOE_PHASE_ROUTE] = "route",
        [CALMOE_PHASE_EXPERTS] = "experts", [CALMOE_PHASE_HEAD] = "head",     [CALMOE_PHASE_CHECKS] = "checks",
        [CALMOE_PHASE_FILL] = "fill",       [CALMOE_PHASE_OTHER] = "other"};
    return names[phase];
}

__attribute__((format(printf, 2, 3))) static void put(struct exposition *out, const char *format, ...)
{
    va_list      arguments;
    const size_t room = out->n < out->capacity ? out->capacity - out->n : 0;
    va_start(arguments, format);
    const int n = vsnprintf(room > 0 ? out->text + out->n : NULL, room, format, arguments);
    va_end(arguments);
    if (n > 0) out->n += (size_t)n;
}

/* The two lines before a metric's samples. */
static void head(struct exposition *out, const char *name, const char *type, const char *help)
{
    put(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void one(struct exposition *out, const char *name, const char *type, const char *help, double value)
{
    head(out, name, type, help);
    put(out, "%s %.17g\n", name, value);
}

/* A label's value: backslash, quote and line feed are escaped. */
static void put_label(struct exposition *out, const char *value)
{
    for (; *value; value++)
        if (*value == '\n') put(out, "\\n");
        else if (*value == '"' || *value == '\\') put(out, "\\%c", *value);
        else put(out, "%c", *value);
}

static void begin_labels(struct exposition *out, const char *name, const char *domain)
{
    put(out, "%s{", name);
    if (!domain) return;
    put(out, "domain=\"");
    put_label(out, domain);
    put(out, "\",");
}

/* Nodes of an engine (domain NULL), or of a domain; the head of each metric was written. */
static void expose_node_times(struct exposition *out, const char *name, const char *domain,
                              const struct profile_node *nodes, int n)
{
    for (int i = 0; i < n; i++)
        for (int phase = 0; phase <= CALMOE_N_PHASES; phase++) { /* the last: waiting */
            begin_labels(out, name, domain);
            put(out, "node=\"%d\",phase=\"%s\"} %.17g\n", i,
                phase < CALMOE_N_PHASES ? cm_phase_name(phase) : "waiting",
                phase < CALMOE_N_PHASES ? nodes[i].seconds[phase] : nodes[i].waited);
        }
}

static void expose_node_bytes(struct exposition *out, const char *name, const char *domain,
                              const struct profile_node *nodes, int n)
{
    for (int i = 0; i < n; i++)
        for (int phase = 0; phase < CALMOE_N_PHASES; phase++) {
            begin_labels(out, name, domain);
            put(out, "node=\"%d\",phase=\"%s\"} %" PRIu64 "\n", i, cm_phase_name(phase), nodes[i].bytes[phase]);
        }
}

static const char node_seconds_help[] = "Time in each phase and waiting, mean over the threads of a memory node.";
static const char node_read_help[] = "Packed weights that steps read from a memory node, by phase.";
static const char node_remote_help[] = "Packed weights that a node's threads read from other nodes.";

static void expose_engine_nodes(struct exposition *out, const struct profile_node *nodes, int n)
{
    head(out, "calmoe_stats_node_seconds_total", "counter", node_seconds_help);
    expose_node_times(out, "calmoe_stats_node_seconds_total", NULL, nodes, n);
    head(out, "calmoe_stats_node_read_bytes_total", "counter", node_read_help);
    expose_node_bytes(out, "calmoe_stats_node_read_bytes_total", NULL, nodes, n);
    head(out, "calmoe_stats_node_remote_bytes_total", "counter", node_remote_help);
    for (int i = 0; i < n; i++)
        put(out, "calmoe_stats_node_remote_bytes_total{node=\"%d\"} %" PRIu64 "\n", i, nodes[i].remote_bytes);
}

void cm_expose_stats(struct exposition *out, const calmoe_stats *stats, const struct counters *counters,
                     const struct profile_node *nodes)
{
    one(out, "calmoe_stats_steps_total", "counter", "Steps that ran.", (double)stats->n_steps);
    one(out, "calmoe_stats_tokens_total", "counter", "Tokens that went through the layers.", (double)stats->n_rows);
    one(out, "calmoe_stats_layers_run_total", "counter", "Layers that tokens used, summed over tokens.",
        (double)stats->n_layers_run);
    one(out, "calmoe_stats_experts_run_total", "counter", "Routed experts that tokens used, over tokens and layers.",
        (double)stats->n_experts_run);
    one(out, "calmoe_stats_experts_touched_total", "counter", "Routed experts that any token took, over steps and"
        " layers.", (double)stats->n_experts_touched);
    one(out, "calmoe_stats_step_seconds_total", "counter", "Time inside steps.", stats->step_seconds);
    one(out, "calmoe_stats_weight_bytes_total", "counter", "Packed weights that steps read, a matrix once a step.",
        (double)stats->n_weight_bytes);
    one(out, "calmoe_stats_wait_ratio", "gauge", "Share of steps that a thread waits, mean.", stats->wait_share);
    one(out, "calmoe_stats_imbalance_ratio", "gauge", "Experts' phases: busiest thread by mean.", stats->imbalance);
    one(out, "calmoe_stats_threads", "gauge", "Threads of the engine.", stats->n_threads);
    head(out, "calmoe_stats_phase_seconds_total", "counter", "Time in each phase of steps, mean over threads.");
    for (int i = 0; i < CALMOE_N_PHASES; i++)
        put(out, "calmoe_stats_phase_seconds_total{phase=\"%s\"} %.17g\n", cm_phase_name(i),
            cm_phase_seconds(counters, i));
    head(out, "calmoe_stats_node_weight_bytes", "gauge", "Packed weights that live on each memory node.");
    for (int i = 0; i < stats->n_nodes && i < CALMOE_MAX_NODES; i++)
        put(out, "calmoe_stats_node_weight_bytes{node=\"%d\"} %" PRIu64 "\n", i, stats->node_bytes[i]);
    expose_engine_nodes(out, nodes, stats->n_nodes);
    head(out, "calmoe_stats_exits_total", "counter", "Tokens that left early, by the layers that they had run.");
    for (int layer = 1; layer < counters->n_layers; layer++)
        put(out, "calmoe_stats_exits_total{layers=\"%d\"} %" PRIu64 "\n", layer, counters->exits[layer]);
    head(out, "calmoe_stats_expert_tokens_total", "counter", "Tokens that each expert got.");
    for (int layer = 0; layer < counters->n_layers; layer++)
        for (int expert = 0; expert < counters->n_experts; expert++)
            put(out, "calmoe_stats_expert_tokens_total{layer=\"%d\",expert=\"%d\"} %" PRIu64 "\n", layer, expert,
                counters->expert_tokens[(size_t)layer * (size_t)counters->n_experts + (size_t)expert]);
}

void cm_expose_disk(struct exposition *out, const calmoe_disk_stats *stats)
{
    if (stats->n_slots == 0) return;
    one(out, "calmoe_stats_disk_slots", "gauge", "Routed experts that memory has room for.",
        stats->n_slots + stats->n_kept);
    one(out, "calmoe_stats_disk_experts", "gauge", "Routed experts of all layers.", stats->n_experts);
    one(out, "calmoe_stats_disk_wanted_total", "counter", "Experts that steps needed, each once in a step and layer.",
        (double)stats->n_wanted);
    one(out, "calmoe_stats_disk_hits_total", "counter", "Of them, in memory already.", (double)stats->n_there);
    one(out, "calmoe_stats_disk_named_ahead_total", "counter", "Of them, read because they were named ahead.",
        (double)stats->n_ahead);
    one(out, "calmoe_stats_disk_read_bytes_total", "counter", "Of files, for experts.", (double)stats->n_bytes);
    one(out, "calmoe_stats_disk_wait_seconds_total", "counter", "Waiting for experts, mean over threads.",
        stats->waited_seconds);
}

/* What a row of expose_cells() takes from a domain. */
static double cell_of(const struct profile_domain *domain, int kind, size_t i)
{
    return kind == 0 ? (double)domain->tokens[i] : kind == 1 ? domain->weights[i] : (double)domain->reuse[i];
}

static void expose_cells(struct exposition *out, const struct profile *profile, const char *name, const char *label,
                         int kind, int n)
{
    for (int d = 0; d < profile->n_domains; d++)
        for (int layer = 0; layer < profile->n_layers; layer++)
            for (int i = 0; i < n; i++) {
                put(out, "%s{domain=\"", name);
                put_label(out, profile->domains[d].name);
                put(out, "\",layer=\"%d\",%s=\"", layer, label);
                if (kind < 2) put(out, "%d", i);
                else if (i < n - 1) put(out, "%d", 1 << i);
                else put(out, "more");
                put(out, "\"} %.17g\n", cell_of(&profile->domains[d], kind, (size_t)layer * (size_t)n + (size_t)i));
            }
}

/* NAME{domain="…",LABEL="first + i"} values[i] */
static void expose_list(struct exposition *out, const char *name, const char *domain, const char *label, int first,
                        const uint64_t *values, int n)
{
    for (int i = 0; i < n; i++) {
        put(out, "%s{domain=\"", name);
        put_label(out, domain);
        put(out, "\",%s=\"%d\"} %" PRIu64 "\n", label, first + i, values[i]);
    }
}

static void expose_depths(struct exposition *out, const struct profile *profile)
{
    head(out, "calmoe_profile_exits_total", "counter", "Tokens by the layers that they used.");
    for (int d = 0; d < profile->n_domains; d++)
        expose_list(out, "calmoe_profile_exits_total", profile->domains[d].name, "layers", 1,
                    profile->domains[d].exits, profile->n_layers);
    head(out, "calmoe_profile_width_total", "counter", "Layers of tokens by the experts that they took there.");
    for (int d = 0; d < profile->n_domains; d++)
        expose_list(out, "calmoe_profile_width_total", profile->domains[d].name, "experts", 0,
                    profile->domains[d].used, profile->n_used + 1);
}

static void expose_work(struct exposition *out, const struct profile *profile)
{
    uint64_t bytes[PROFILE_MAX_NODES];
    head(out, "calmoe_profile_weight_bytes_total", "counter", "Packed weights that steps read, a matrix once a step.");
    for (int d = 0; d < profile->n_domains; d++) {
        const struct profile_work *work = &profile->domains[d].work;
        const struct { const char *part; uint64_t n; } parts[] = {
            {"experts", work->expert_bytes}, {"head", work->head_bytes}, {"dense", work->dense_bytes}};
        for (int i = 0; i < 3; i++) {
            put(out, "calmoe_profile_weight_bytes_total{domain=\"");
            put_label(out, profile->domains[d].name);
            put(out, "\",part=\"%s\"} %" PRIu64 "\n", parts[i].part, parts[i].n);
        }
    }
    head(out, "calmoe_profile_node_seconds_total", "counter", node_seconds_help);
    for (int d = 0; d < profile->n_domains; d++)
        expose_node_times(out, "calmoe_profile_node_seconds_total", profile->domains[d].name,
                          profile->domains[d].work.nodes, profile->domains[d].work.n_nodes);
    head(out, "calmoe_profile_node_read_bytes_total", "counter", node_read_help);
    for (int d = 0; d < profile->n_domains; d++)
        expose_node_bytes(out, "calmoe_profile_node_read_bytes_total", profile->domains[d].name,
                          profile->domains[d].work.nodes, profile->domains[d].work.n_nodes);
    head(out, "calmoe_profile_node_remote_bytes_total", "counter", node_remote_help);
    for (int d = 0; d < profile->n_domains; d++) {
        const struct profile_work *work = &profile->domains[d].work;
        for (int i = 0; i < work->n_nodes; i++) bytes[i] = work->nodes[i].remote_bytes;
        expose_list(out, "calmoe_profile_node_remote_bytes_total", profile->domains[d].name, "node", 0, bytes,
                    work->n_nodes);
    }
}

void cm_expose_profile(struct exposition *out, const struct profile *profile)
{
    head(out, "calmoe_profile_tokens_total", "counter", "Tokens of a domain that were counted.");
    for (int d = 0; d < profile->n_domains; d++) {
        put(out, "calmoe_profile_tokens_total{domain=\"");
        put_label(out, profile->domains[d].name);
        put(out, "\"} %" PRIu64 "\n", profile->domains[d].n_tokens);
    }
    head(out, "calmoe_profile_expert_tokens_total", "counter", "Tokens that took an expert.");
    expose_cells(out, profile, "calmoe_profile_expert_tokens_total", "expert", 0, profile->n_experts);
    head(out, "calmoe_profile_expert_weight_total", "counter", "Sum of the weights that tokens gave an expert.");
    expose_cells(out, profile, "calmoe_profile_expert_weight_total", "expert", 1, profile->n_experts);
    head(out, "calmoe_profile_reuse_total", "counter",
         "Uses of an expert whose last use in the sequence was at most so many tokens before, in no smaller bin.");
    expose_cells(out, profile, "calmoe_profile_reuse_total", "within", 2, PROFILE_REUSE_BINS);
    expose_depths(out, profile);
    expose_work(out, profile);
}

calmoe_status cm_exposition_end(const struct exposition *out, struct calmoe_context *ctx, size_t *n_text)
{
    *n_text = out->n;
    if (out->n < out->capacity) return CALMOE_OK;
    return cm_fail(ctx, CALMOE_FULL, "the text has %zu bytes and a NUL; there is room for %zu", out->n, out->capacity);
}
