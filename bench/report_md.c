/* bench/report_md.c - writes rows as two tables of at most 160 characters a line: the main figures of each row as soon
 * as it is measured, and the details at the end. */
#include <math.h>
#include <stdio.h>

#include "bench/bench.h"

/* Writes "12.3 %", or "-" if there is no value. */
static const char *percent(double share, char *text, size_t n_text)
{
    if (isnan(share)) snprintf(text, n_text, "-");
    else snprintf(text, n_text, "%.1f %%", 100 * share);
    return text;
}

static const char *number(double value, double unit, char *text, size_t n_text)
{
    if (isnan(value)) snprintf(text, n_text, "-");
    else snprintf(text, n_text, "%.*f", fabs(value / unit) < 10 ? 2 : 1, value / unit);
    return text;
}

static bool put_machine(const calmoe_machine *machine)
{
    const char *cpu = machine->cpu[0] != '\0' ? machine->cpu : "unknown processor";
    bool fine = cm_bench_print("%s, cores %d, nodes %d; threads %d: read %.1f GB/s (median %.1f)", cpu,
                               machine->n_cores, machine->n_nodes, machine->n_threads, machine->read.best / 1e9,
                               machine->read.median / 1e9);
    for (int i = 0; fine && i < machine->n_levels; i++) {
        const calmoe_level_peaks *level = &machine->levels[i];
        if (level->f32.best > 0)
            fine = cm_bench_print("; %s: int8 %.0f Gop/s, float %.0f Gop/s", level->isa, level->int8.best / 1e9,
                                  level->f32.best / 1e9);
    }
    return fine && cm_bench_print("\n");
}

static bool begin_md(const calmoe_machine *machines, int n_machines)
{
    bool fine = cm_bench_print("calmoe %s on ", calmoe_version());
    for (int i = 0; fine && i < n_machines; i++) fine = put_machine(&machines[i]);
    return fine && cm_bench_print("\n| model | type | size MB | parameters | active | isa | threads | batch | test | "
                                  "tokens/s | min | max | bandwidth | peak | waiting |\n"
                                  "| --- | --- | ---: | ---: | ---: | --- | ---: | ---: | --- | "
                                  "---: | ---: | ---: | ---: | ---: | ---: |\n");
}

static bool row_md(const struct bench_row *row)
{
    const calmoe_model_info *info = &row->model->info;
    char bandwidth[32], peak[32], waiting[32];
    return cm_bench_print("| %.40s | %s | %.1f | %.2f M | %.2f M | %s | %d | %d | %s | "
                          "%.2f%s | %.2f | %.2f | %s | %s | %s |\n",
                          row->model->name, row->model->type, (double)info->n_file_bytes / 1e6,
                          (double)info->n_parameters / 1e6, (double)info->n_active_parameters / 1e6, row->isa,
                          row->n_threads, row->test.batch, row->name, row->median, row->is_noisy ? " ~" : "", row->min,
                          row->max, percent(row->bandwidth_share, bandwidth, sizeof bandwidth),
                          percent(row->peak_share, peak, sizeof peak),
                          percent(row->wait_share, waiting, sizeof waiting));
}

/* Full models have no exits. */
static bool is_shown(int phase) { return phase != CALMOE_PHASE_CHECKS && phase != CALMOE_PHASE_FILL; }

static bool details_md(const struct bench_row *row)
{
    char bytes[32], speed[32], limit[32], work[32], imbalance[32], touched[32], share[CALMOE_N_PHASES][32];
    bool fine = cm_bench_print("| %.24s %s %d %d %s | %s | %s | %s | %s |", row->model->name, row->isa, row->n_threads,
                               row->test.batch, row->name,
                               number(row->model->active_bytes_per_token, 1e6, bytes, sizeof bytes),
                               number(row->bytes_per_s, 1e9, speed, sizeof speed),
                               number(row->read_bytes_per_s, 1e9, limit, sizeof limit),
                               number(row->operations_per_s, 1e9, work, sizeof work));
    for (int phase = 0; fine && phase < CALMOE_N_PHASES; phase++)
        if (is_shown(phase))
            fine = cm_bench_print(" %s |", percent(row->phase_share[phase], share[phase], sizeof share[phase]));
    fine = fine && cm_bench_print(" %s | %s | ", number(row->imbalance, 1, imbalance, sizeof imbalance),
                                  number(row->experts_touched, 1, touched, sizeof touched));
    for (int node = 0; fine && node < row->n_nodes; node++)
        fine = cm_bench_print("%s%.2f", node > 0 ? " " : "", (double)row->node_bytes[node] / 1e9);
    return fine && cm_bench_print(" | %.2f |\n", row->open_seconds);
}

/* "model isa threads batch test" */
static bool put_test(const struct bench_row *row)
{
    return cm_bench_print("| %.24s %s %d %d %s |", row->model->name, row->isa, row->n_threads, row->test.batch,
                          row->name);
}

/* For rows on several nodes, or with remote reads: a line for each node. */
static bool nodes_md(const struct bench_row *rows, int n_rows)
{
    bool fine = true, has_head = false;
    for (int i = 0; fine && i < n_rows; i++) {
        const struct bench_row *row = &rows[i];
        if (row->n_nodes < 2 && !(row->remote_bytes > 0)) continue;
        if (!has_head)
            fine = cm_bench_print("\n| model isa threads batch test | node | GB there | read there, MB/token | "
                                  "remote MB/token |\n| --- | ---: | ---: | ---: | ---: |\n");
        has_head = true;
        for (int node = 0; fine && node < row->n_nodes; node++) {
            fine = put_test(row) && cm_bench_print(" %d | %.2f | %.3f | ", node, (double)row->node_bytes[node] / 1e9,
                                                   row->node_reads[node] / 1e6);
            fine = fine && (node > 0 ? cm_bench_print(" |\n") : cm_bench_print("%.3f |\n", row->remote_bytes / 1e6));
        }
    }
    return fine;
}

static bool ranks_md(const struct bench_row *rows, int n_rows)
{
    bool fine = true;
    if (n_rows == 0 || rows[0].n_ranks == 1) return true;
    fine = cm_bench_print("\n| model isa threads batch test | ranks | exchanges/token | KB received/token | "
                          "us in exchanges/token | of time |\n| --- | ---: | ---: | ---: | ---: | ---: |\n");
    for (int i = 0; fine && i < n_rows; i++)
        fine = put_test(&rows[i]) &&
               cm_bench_print(" %d | %.2f | %.2f | %.1f | %.0f %% |\n", rows[i].n_ranks, rows[i].exchanges,
                              rows[i].exchange_bytes / 1e3, rows[i].exchange_seconds * 1e6,
                              100 * rows[i].exchange_seconds * rows[i].median);
    return fine;
}

/* For experts on disk: how many of the needed ones were in memory or named ahead, and what reading the others cost. */
static bool disk_md(const struct bench_row *rows, int n_rows)
{
    bool fine = true, has_head = false;
    for (int i = 0; fine && i < n_rows; i++) {
        const calmoe_disk_stats *disk = &rows[i].disk;
        const double n_wanted = disk->n_wanted > 0 ? (double)disk->n_wanted : 1;
        char         bytes[32], recall[32];
        if (disk->n_slots == 0) continue;
        if (!has_head)
            fine = cm_bench_print("\n| model isa threads batch test | experts in memory | hits | named ahead | "
                                  "recall | MB read/token | ms waited/token |\n"
                                  "| --- | ---: | ---: | ---: | ---: | ---: | ---: |\n");
        has_head = true;
        fine = fine && put_test(&rows[i]) &&
               cm_bench_print(" %d of %d | %.1f %% | %.1f %% | %s | %s | %.2f |\n", disk->n_slots + disk->n_kept,
                              disk->n_experts,
                              100 * (double)disk->n_there / n_wanted, 100 * (double)disk->n_ahead / n_wanted,
                              percent(disk->n_asked > 0 ? (double)disk->n_named / (double)disk->n_asked : NAN, recall,
                                      sizeof recall),
                              number((double)disk->n_bytes / rows[i].disk_tokens, 1e6, bytes, sizeof bytes),
                              1e3 * disk->waited_seconds / rows[i].disk_tokens);
    }
    return fine;
}

static bool counting_md(const struct bench_row *rows, int n_rows)
{
    bool fine = true, has_head = false;
    for (int i = 0; fine && i < n_rows; i++) {
        char cost[32], low[32], high[32];
        if (isnan(rows[i].counting)) continue;
        if (!has_head)
            fine = cm_bench_print("\n| model isa threads batch test | counting costs | from | to (95 %%) |\n"
                                  "| --- | ---: | ---: | ---: |\n");
        has_head = true;
        fine = fine && put_test(&rows[i]) &&
               cm_bench_print(" %s %% | %s %% | %s %% |\n", number(rows[i].counting, 0.01, cost, sizeof cost),
                              number(rows[i].counting_low, 0.01, low, sizeof low),
                              number(rows[i].counting_high, 0.01, high, sizeof high));
    }
    return fine;
}

static bool end_md(const struct bench_row *rows, int n_rows)
{
    bool is_noisy = false;
    bool fine = cm_bench_print("\n| model isa threads batch test | MB/token | GB/s | of | Gop/s |");
    for (int phase = 0; fine && phase < CALMOE_N_PHASES; phase++)
        if (is_shown(phase)) fine = cm_bench_print(" %s |", calmoe_phase_name(phase));
    fine = fine && cm_bench_print(" imbalance | touched | GB on nodes | open s |\n| --- | ---: | ---: | ---: | ---: | "
                                  "---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- | ---: |\n");
    for (int i = 0; fine && i < n_rows; i++) {
        is_noisy = is_noisy || rows[i].is_noisy;
        fine = details_md(&rows[i]);
    }
    fine = fine && nodes_md(rows, n_rows) && ranks_md(rows, n_rows) && disk_md(rows, n_rows) &&
           counting_md(rows, n_rows);
    return fine && (!is_noisy || cm_bench_print("\n~: the fastest and the slowest repetition differ by more than "
                                                "%.0f %% of the median\n", 100 * BENCH_NOISE));
}

static bool limits_md(const calmoe_machine *machines, int n_machines)
{
    bool fine = cm_bench_print("calmoe %s on %s, cores %d, nodes %d\n\n| threads | what | best | median |\n"
                               "| ---: | --- | ---: | ---: |\n", calmoe_version(), machines[0].cpu,
                               machines[0].n_cores, machines[0].n_nodes);
    for (int i = 0; fine && i < n_machines; i++) {
        const calmoe_machine *m = &machines[i];
        fine = cm_bench_print("| %d | read, GB/s | %.2f | %.2f |\n", m->n_threads, m->read.best / 1e9,
                              m->read.median / 1e9);
        for (int node = 0; fine && node < m->n_nodes && node < CALMOE_MAX_NODES; node++)
            fine = cm_bench_print("| %d | read node %d, GB/s | %.2f | %.2f |\n", m->n_threads, node,
                                  m->node_read[node].best / 1e9, m->node_read[node].median / 1e9);
        for (int level = 0; fine && level < m->n_levels; level++) {
            const calmoe_level_peaks *l = &m->levels[level];
            const struct { const char *name; const calmoe_rate *rate; } kinds[] = {
                {"int8", &l->int8}, {"f32", &l->f32}, {"bf16", &l->bf16}};
            for (int kind = 0; fine && kind < 3; kind++)
                if (kinds[kind].rate->best > 0)
                    fine = cm_bench_print("| %d | %s %s, Gop/s | %.1f | %.1f |\n", m->n_threads, l->isa,
                                          kinds[kind].name, kinds[kind].rate->best / 1e9,
                                          kinds[kind].rate->median / 1e9);
        }
        const struct { const char *name; const calmoe_delay *delay; } waits[] = {
            {"line, cores of one cache", &m->line_near}, {"line, other cores", &m->line_far}, {"barrier", &m->barrier}};
        for (int wait = 0; fine && wait < 3; wait++)
            if (waits[wait].delay->least > 0)
                fine = cm_bench_print("| %d | %s, ns | %.1f | %.1f |\n", m->n_threads, waits[wait].name,
                                      waits[wait].delay->least * 1e9, waits[wait].delay->median * 1e9);
    }
    return fine;
}

const struct bench_format cm_bench_md = {"md", begin_md, row_md, end_md, limits_md};
