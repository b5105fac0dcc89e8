/* bench/bench_report.c - the table of output forms, and the simplest of them, CSV. */
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "bench/bench.h"

bool cm_bench_print(const char *format, ...)
{
    char    line[2048];
    va_list arguments;
    va_start(arguments, format);
    const int n = vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    return n >= 0 && cm_put(line, (size_t)n < sizeof line ? (size_t)n : sizeof line - 1);
}

static bool begin_csv(const calmoe_machine *machines, int n_machines)
{
    (void)machines;
    (void)n_machines;
    bool fine = cm_bench_print("model,fingerprint,type,file_bytes,parameters,active_parameters,version,isa,threads,"
                               "batch,test,depth,repeats,tokens_per_s_median,tokens_per_s_min,tokens_per_s_max,noisy,"
                               "active_bytes_per_token,bytes_per_s,bandwidth_share,operations_per_s,peak_share,");
    for (int phase = 0; fine && phase < CALMOE_N_PHASES; phase++)
        fine = cm_bench_print("%s_share,", calmoe_phase_name(phase));
    return fine && cm_bench_print("wait_share,imbalance,experts_touched,packed_bytes,node_bytes,open_seconds,cpu,"
                                  "read_bytes_per_s,peak_operations_per_s,node_read_bytes_per_token,"
                                  "remote_bytes_per_token,counting,counting_low,counting_high\n");
}

static bool put_real(double number, const char *after)
{
    return isnan(number) ? cm_bench_print("%s", after) : cm_bench_print("%.9g%s", number, after);
}

static bool put_reals(const double *numbers, int n)
{
    bool fine = true;
    for (int i = 0; fine && i < n; i++) fine = put_real(numbers[i], ",");
    return fine;
}

/* The rest of a quoted list. */
static bool put_nodes(const double *numbers, int n)
{
    bool fine = true;
    for (int i = 0; fine && i < n; i++) fine = put_real(numbers[i], i < n - 1 ? " " : "");
    return fine && cm_bench_print("\",");
}

static bool row_csv(const struct bench_row *row)
{
    const struct bench_model *model = row->model;
    const double peak = cm_bench_peak(row->machine, row->isa, model->type);
    bool fine = cm_bench_print("\"%s\",%s,%s,%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%s,%s,%d,%d,%s,%d,%d,", model->name,
                               model->info.fingerprint, model->type, model->info.n_file_bytes,
                               model->info.n_parameters, model->info.n_active_parameters, calmoe_version(), row->isa,
                               row->n_threads, row->test.batch, row->name, row->test.depth, row->n_repeats);
    fine = fine && put_reals((const double[]){row->median, row->min, row->max, row->is_noisy ? 1 : 0,
                                              model->active_bytes_per_token, row->bytes_per_s, row->bandwidth_share,
                                              row->operations_per_s, row->peak_share}, 9);
    fine = fine && put_reals(row->phase_share, CALMOE_N_PHASES);
    fine = fine && put_reals((const double[]){row->wait_share, row->imbalance, row->experts_touched}, 3) &&
           cm_bench_print("%" PRIu64 ",\"", row->n_packed_bytes);
    for (int node = 0; fine && node < row->n_nodes; node++)
        fine = cm_bench_print("%s%" PRIu64, node > 0 ? " " : "", row->node_bytes[node]);
    return fine && cm_bench_print("\",") && put_real(row->open_seconds, ",") &&
           cm_bench_print("\"%s\",", row->machine->cpu) && put_real(row->read_bytes_per_s, ",") &&
           put_real(peak > 0 ? peak : NAN, ",\"") && put_nodes(row->node_reads, row->n_nodes) &&
           put_real(row->remote_bytes, ",") && put_real(row->counting, ",") && put_real(row->counting_low, ",") &&
           put_real(row->counting_high, "\n");
}

static bool limits_csv(const calmoe_machine *machines, int n_machines)
{
    bool fine = cm_bench_print("cpu,cores,nodes,threads,what,best,median\n");
    for (int i = 0; fine && i < n_machines; i++) {
        const calmoe_machine *m = &machines[i];
        char head[160];
        snprintf(head, sizeof head, "\"%s\",%d,%d,%d", m->cpu, m->n_cores, m->n_nodes, m->n_threads);
        fine = cm_bench_print("%s,read_bytes_per_s,%.9g,%.9g\n", head, m->read.best, m->read.median);
        for (int node = 0; fine && node < m->n_nodes && node < CALMOE_MAX_NODES; node++)
            fine = cm_bench_print("%s,node%d_read_bytes_per_s,%.9g,%.9g\n", head, node, m->node_read[node].best,
                                  m->node_read[node].median);
        for (int level = 0; fine && level < m->n_levels; level++) {
            const calmoe_level_peaks *l = &m->levels[level];
            fine = cm_bench_print("%s,%s_int8_operations_per_s,%.9g,%.9g\n", head, l->isa, l->int8.best,
                                  l->int8.median) &&
                   cm_bench_print("%s,%s_f32_operations_per_s,%.9g,%.9g\n", head, l->isa, l->f32.best,
                                  l->f32.median) &&
                   cm_bench_print("%s,%s_bf16_operations_per_s,%.9g,%.9g\n", head, l->isa, l->bf16.best,
                                  l->bf16.median);
        }
        fine = fine && cm_bench_print("%s,line_near_s,%.9g,%.9g\n", head, m->line_near.least, m->line_near.median) &&
               cm_bench_print("%s,line_far_s,%.9g,%.9g\n", head, m->line_far.least, m->line_far.median) &&
               cm_bench_print("%s,barrier_s,%.9g,%.9g\n", head, m->barrier.least, m->barrier.median);
    }
    return fine;
}

const struct bench_format cm_bench_csv = {"csv", begin_csv, row_csv, NULL, limits_csv};

static const struct bench_format *const formats[] = {&cm_bench_md, &cm_bench_csv, &cm_bench_json, &cm_bench_jsonl};
enum { N_FORMATS = sizeof formats / sizeof formats[0] };

const struct bench_format *cm_bench_format(const char *name)
{
    for (int i = 0; i < N_FORMATS; i++)
        if (strcmp(formats[i]->name, name) == 0) return formats[i];
    return NULL;
}

const char *cm_bench_format_names(void)
{
    static char names[128];
    names[0] = '\0';
    for (int i = 0; i < N_FORMATS; i++)
        snprintf(names + strlen(names), sizeof names - strlen(names), "%s%s", i == 0 ? "" : ", ",
                 formats[i]->name);
    return names;
}
