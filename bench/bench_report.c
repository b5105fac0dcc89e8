/* bench/bench_report.c - the forms of output, a row each. */
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "bench/bench.h"

static bool print(const char *format, ...) __attribute__((format(printf, 1, 2)));
static bool print(const char *format, ...)
{
    char    line[2048];
    va_list arguments;
    va_start(arguments, format);
    const int n = vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    return n >= 0 && cm_put(line, (size_t)n < sizeof line ? (size_t)n : sizeof line - 1);
}

/* The model's name, or its file's, without what would break a line or a column. */
static const char *model_name(const struct bench_row *row, char *text, size_t n_text)
{
    const char *path  = row->info.path != NULL ? row->info.path : "";
    const char *slash = strrchr(path, '/');
    const char *name  = row->info.name != NULL ? row->info.name : "";
    snprintf(text, n_text, "%s", name[0] != '\0' ? name : slash != NULL ? slash + 1 : path);
    cm_clean_text(text);
    for (char *at = text; *at != '\0'; at++)
        if (*at == '|' || *at == '"') *at = ' ';
    return text;
}

/* ---- md ---- */

static bool begin_md(void)
{
    return print("| model | type | size MB | parameters | active | isa | threads | batch | test | "
                 "tokens/s | min | max | waiting |\n"
                 "| --- | --- | ---: | ---: | ---: | --- | ---: | ---: | --- | "
                 "---: | ---: | ---: | ---: |\n");
}

static bool row_md(const struct bench_row *row)
{
    char name[256];
    return print("| %s | %s | %.1f | %.2f M | %.2f M | %s | %d | %d | %s | "
                 "%.2f | %.2f | %.2f | %.1f %% |\n",
                 model_name(row, name, sizeof name), row->type, (double)row->info.n_file_bytes / 1e6,
                 (double)row->info.n_parameters / 1e6, (double)row->info.n_active_parameters / 1e6,
                 row->isa, row->n_threads, row->batch, row->test, row->median, row->min, row->max,
                 100 * row->wait_share);
}

/* ---- csv ---- */

static bool begin_csv(void)
{
    return print("model,type,file_bytes,parameters,active_parameters,isa,threads,batch,test,repeats,"
                 "tokens_per_s_median,tokens_per_s_min,tokens_per_s_max,active_bytes_per_token,"
                 "bandwidth_share,peak_share,wait_share,imbalance\n");
}

static bool put_csv_real(double number, const char *after)
{
    return isnan(number) ? print("%s", after) : print("%.9g%s", number, after);
}

static bool row_csv(const struct bench_row *row)
{
    char name[256];
    return print("\"%s\",%s,%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%s,%d,%d,%s,%d,",
                 model_name(row, name, sizeof name), row->type, row->info.n_file_bytes,
                 row->info.n_parameters, row->info.n_active_parameters, row->isa, row->n_threads, row->batch,
                 row->test, row->n_repeats) &&
           put_csv_real(row->median, ",") && put_csv_real(row->min, ",") && put_csv_real(row->max, ",") &&
           put_csv_real(row->active_bytes_per_token, ",") && put_csv_real(row->bandwidth_share, ",") &&
           put_csv_real(row->peak_share, ",") && put_csv_real(row->wait_share, ",") &&
           put_csv_real(row->imbalance, "\n");
}

/* ---- json, jsonl ---- */

static void add_members(struct json_output *json, struct json_node *in, const struct bench_row *row)
{
    char name[256];
    cm_json_text(json, in, "model", model_name(row, name, sizeof name));
    cm_json_text(json, in, "fingerprint", row->info.fingerprint);
    cm_json_text(json, in, "type", row->type);
    cm_json_integer(json, in, "file_bytes", row->info.n_file_bytes);
    cm_json_integer(json, in, "parameters", row->info.n_parameters);
    cm_json_integer(json, in, "active_parameters", row->info.n_active_parameters);
    cm_json_text(json, in, "version", calmoe_version());
    cm_json_text(json, in, "isa", row->isa);
    cm_json_integer(json, in, "threads", (uint64_t)row->n_threads);
    cm_json_integer(json, in, "batch", (uint64_t)row->batch);
    cm_json_text(json, in, "test", row->test);
    cm_json_integer(json, in, "repeats", (uint64_t)row->n_repeats);
    struct json_node *rate = cm_json_object(json, in, "tokens_per_s");
    cm_json_real(json, rate, "median", row->median);
    cm_json_real(json, rate, "min", row->min);
    cm_json_real(json, rate, "max", row->max);
    cm_json_real(json, in, "active_bytes_per_token", row->active_bytes_per_token);
    cm_json_real(json, in, "bandwidth_share", row->bandwidth_share);
    cm_json_real(json, in, "peak_share", row->peak_share);
    cm_json_real(json, in, "wait_share", row->wait_share);
    cm_json_real(json, in, "imbalance", row->imbalance);
}

static struct json_output all_rows; /* of -o json */

static bool begin_json(void)
{
    cm_json_open_array(&all_rows);
    return true;
}

static bool row_json(const struct bench_row *row)
{
    add_members(&all_rows, cm_json_object(&all_rows, all_rows.root, NULL), row);
    return true;
}

static bool end_json(void)
{
    const bool written = cm_json_write(&all_rows, false);
    cm_json_close(&all_rows);
    return written;
}

static bool row_jsonl(const struct bench_row *row)
{
    struct json_output json;
    cm_json_open_object(&json);
    add_members(&json, json.root, row);
    const bool written = cm_json_write(&json, true);
    cm_json_close(&json);
    return written;
}

static const struct bench_format formats[] = {
    {"md", begin_md, row_md, NULL},
    {"csv", begin_csv, row_csv, NULL},
    {"json", begin_json, row_json, end_json},
    {"jsonl", NULL, row_jsonl, NULL},
};
enum { N_FORMATS = sizeof formats / sizeof formats[0] };

const struct bench_format *cm_bench_format(const char *name)
{
    for (int i = 0; i < N_FORMATS; i++)
        if (strcmp(formats[i].name, name) == 0) return &formats[i];
    return NULL;
}

const char *cm_bench_format_names(void)
{
    static char names[128];
    names[0] = '\0';
    for (int i = 0; i < N_FORMATS; i++)
        snprintf(names + strlen(names), sizeof names - strlen(names), "%s%s", i == 0 ? "" : ", ",
                 formats[i].name);
    return names;
}
