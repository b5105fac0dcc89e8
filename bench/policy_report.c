/* bench/policy_report.c - rows of policies in all forms of output. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "bench/policy_bench.h"

/* x per token that the side generated. */
static double per_token(const struct policy_side *side, double x)
{
    return side->n_tokens > 0 ? x / side->n_tokens : NAN;
}

/* ---- md ---- */

static bool begin_md(void)
{
    return cm_bench_print("calmoe %s\n\n| policy | batch | tg | tokens/s OFF | tokens/s | speed-up | min | max | "
                          "layers | experts | MB/token | of | agreement | same tokens | same answers |\n"
                          "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: "
                          "| ---: | ---: |\n", calmoe_version());
}

static bool row_md(const struct policy_row *row)
{
    const struct policy_side *off = &row->off_side, *on = &row->on_side;
    return cm_bench_print("| %.60s | %d | %d | %.1f | %.1f | %.3f%s | %.3f | %.3f | %.2f | %.2f | %.3f | %.3f | "
                          "%.2f %% | %.1f | %.0f %% |\n", row->name, row->batch, row->n_tokens, row->off.median,
                          row->on.median, row->ratio.median, row->is_noisy ? " ~" : "", row->ratio.min,
                          row->ratio.max, per_token(on, on->n_layers), per_token(on, on->n_experts),
                          per_token(on, on->n_bytes) / 1e6, per_token(off, off->n_bytes) / 1e6, 100 * row->agreement,
                          row->same_tokens, 100 * row->same_answers);
}

/* Microseconds per token for each phase. */
static bool side_md(const struct policy_row *row, const char *label, const struct policy_side *side)
{
    double counted = side->wait_seconds;
    bool   fine = cm_bench_print("| %.40s %d | %s |", row->name, row->batch, label);
    for (int phase = 0; fine && phase < CALMOE_N_PHASES; phase++) {
        counted += side->phase_seconds[phase];
        fine = cm_bench_print(" %.1f |", 1e6 * per_token(side, side->phase_seconds[phase]));
    }
    return fine && cm_bench_print(" %.1f | %.1f | %.1f |\n", 1e6 * per_token(side, side->wait_seconds),
                                  1e6 * per_token(side, side->seconds - counted),
                                  1e6 * per_token(side, side->seconds));
}

static bool end_md(const struct policy_row *rows, int n_rows)
{
    bool is_noisy = false;
    bool fine = cm_bench_print("\nMicroseconds of a token:\n\n| policy, batch | |");
    for (int phase = 0; fine && phase < CALMOE_N_PHASES; phase++)
        fine = cm_bench_print(" %s |", calmoe_phase_name(phase));
    fine = fine && cm_bench_print(" waiting | between | step |\n| --- | --- |");
    for (int phase = 0; fine && phase < CALMOE_N_PHASES + 3; phase++) fine = cm_bench_print(" ---: |");
    fine = fine && cm_bench_print("\n");
    for (int i = 0; fine && i < n_rows; i++) {
        is_noisy = is_noisy || rows[i].is_noisy;
        fine = side_md(&rows[i], "OFF", &rows[i].off_side) && side_md(&rows[i], "policy", &rows[i].on_side);
    }
    for (int i = 0; fine && i < n_rows; i++)
        if (rows[i].n_drafted > 0)
            fine = cm_bench_print("\n%s: %.1f %% of %llu drafts accepted, in %llu rounds\n", rows[i].name,
                                  100.0 * (double)rows[i].n_accepted / (double)rows[i].n_drafted,
                                  (unsigned long long)rows[i].n_drafted, (unsigned long long)rows[i].n_rounds);
    for (int i = 0; fine && i < n_rows; i++)
        if (rows[i].n_members > 1)
            fine = cm_bench_print("\n%s, batch %d: policy %d of %d that are proven for it%s\n", rows[i].name,
                                  rows[i].batch, rows[i].member, rows[i].n_members,
                                  rows[i].cost > 0.0 ? ", the cheapest by these costs" : "");
    return fine && (!is_noisy || cm_bench_print("\n~: the least and the greatest speed-up differ by more than %.0f %% "
                                                "of the median\n", 100 * BENCH_NOISE));
}

/* ---- csv ---- */

static bool side_header_csv(const char *side)
{
    bool fine = cm_bench_print("%s_layers_per_token,%s_experts_per_token,%s_bytes_per_token,", side, side, side);
    for (int phase = 0; fine && phase < CALMOE_N_PHASES; phase++)
        fine = cm_bench_print("%s_%s_seconds_per_token,", side, calmoe_phase_name(phase));
    return fine && cm_bench_print("%s_wait_seconds_per_token,%s_step_seconds_per_token", side, side);
}

static bool begin_csv(void)
{
    return cm_bench_print("model,fingerprint,type,version,isa,threads,batch,prompt,tokens,repeats,policy,rung,delta,"
                          "off_tokens_per_s_median,off_tokens_per_s_min,off_tokens_per_s_max,tokens_per_s_median,"
                          "tokens_per_s_min,tokens_per_s_max,speed_up_median,speed_up_min,speed_up_max,noisy,answers,"
                          "agreement,same_tokens,same_answers,rounds,drafted,accepted,") &&
           side_header_csv("off") && cm_bench_print(",") && side_header_csv("policy") && cm_bench_print("\n");
}

static bool rates_csv(const struct policy_rates *rates)
{
    return cm_bench_print("%.9g,%.9g,%.9g,", rates->median, rates->min, rates->max);
}

static bool side_csv(const struct policy_side *side)
{
    bool fine = cm_bench_print("%.9g,%.9g,%.9g,", per_token(side, side->n_layers), per_token(side, side->n_experts),
                               per_token(side, side->n_bytes));
    for (int phase = 0; fine && phase < CALMOE_N_PHASES; phase++)
        fine = cm_bench_print("%.9g,", per_token(side, side->phase_seconds[phase]));
    return fine && cm_bench_print("%.9g,%.9g", per_token(side, side->wait_seconds), per_token(side, side->seconds));
}

static bool row_csv(const struct policy_row *row)
{
    char delta[32] = "";
    if (!isnan(row->delta)) snprintf(delta, sizeof delta, "%.9g", row->delta);
    return cm_bench_print("\"%s\",%s,%s,%s,%s,%d,%d,%d,%d,%d,\"%s\",%d,%s,", row->model->name,
                          row->model->info.fingerprint, row->model->type, calmoe_version(), row->isa, row->n_threads,
                          row->batch, row->n_prompt, row->n_tokens, row->n_repeats, row->name, row->rung, delta) &&
           rates_csv(&row->off) && rates_csv(&row->on) && rates_csv(&row->ratio) &&
           cm_bench_print("%d,%d,%.9g,%.9g,%.9g,%llu,%llu,%llu,", row->is_noisy ? 1 : 0, row->n_answers,
                          row->agreement, row->same_tokens, row->same_answers, (unsigned long long)row->n_rounds,
                          (unsigned long long)row->n_drafted, (unsigned long long)row->n_accepted) &&
           side_csv(&row->off_side) && cm_bench_print(",") && side_csv(&row->on_side) && cm_bench_print("\n");
}

/* ---- json ---- */

static void add_rates(struct json_output *json, struct json_node *in, const char *name,
                      const struct policy_rates *rates)
{
    struct json_node *node = cm_json_object(json, in, name);
    cm_json_real(json, node, "median", rates->median);
    cm_json_real(json, node, "min", rates->min);
    cm_json_real(json, node, "max", rates->max);
}

static void add_side(struct json_output *json, struct json_node *in, const char *name, const struct policy_side *side)
{
    struct json_node *node = cm_json_object(json, in, name);
    cm_json_real(json, node, "layers_per_token", per_token(side, side->n_layers));
    cm_json_real(json, node, "experts_per_token", per_token(side, side->n_experts));
    cm_json_real(json, node, "bytes_per_token", per_token(side, side->n_bytes));
    struct json_node *phases = cm_json_object(json, node, "phase_seconds_per_token");
    for (int phase = 0; phase < CALMOE_N_PHASES; phase++)
        cm_json_real(json, phases, calmoe_phase_name(phase), per_token(side, side->phase_seconds[phase]));
    cm_json_real(json, node, "wait_seconds_per_token", per_token(side, side->wait_seconds));
    cm_json_real(json, node, "step_seconds_per_token", per_token(side, side->seconds));
}

static void add_row(struct json_output *json, struct json_node *in, const struct policy_row *row)
{
    cm_json_text(json, in, "model", row->model->name);
    cm_json_text(json, in, "fingerprint", row->model->info.fingerprint);
    cm_json_text(json, in, "type", row->model->type);
    cm_json_text(json, in, "version", calmoe_version());
    cm_json_text(json, in, "isa", row->isa);
    cm_json_integer(json, in, "threads", (uint64_t)row->n_threads);
    cm_json_integer(json, in, "batch", (uint64_t)row->batch);
    cm_json_integer(json, in, "prompt", (uint64_t)row->n_prompt);
    cm_json_integer(json, in, "tokens", (uint64_t)row->n_tokens);
    cm_json_integer(json, in, "repeats", (uint64_t)row->n_repeats);
    cm_json_text(json, in, "policy", row->name);
    if (row->rung >= 0) cm_json_integer(json, in, "rung", (uint64_t)row->rung);
    else cm_json_null(json, in, "rung");
    cm_json_real(json, in, "delta", row->delta);
    cm_json_integer(json, in, "member", (uint64_t)row->member);
    cm_json_integer(json, in, "members", (uint64_t)row->n_members);
    cm_json_real(json, in, "expected_cost", row->cost);
    add_rates(json, in, "off_tokens_per_s", &row->off);
    add_rates(json, in, "tokens_per_s", &row->on);
    add_rates(json, in, "speed_up", &row->ratio);
    cm_json_integer(json, in, "noisy", row->is_noisy ? 1 : 0);
    cm_json_integer(json, in, "answers", (uint64_t)row->n_answers);
    cm_json_real(json, in, "agreement", row->agreement);
    cm_json_real(json, in, "same_tokens", row->same_tokens);
    cm_json_real(json, in, "same_answers", row->same_answers);
    cm_json_integer(json, in, "rounds", row->n_rounds);
    cm_json_integer(json, in, "drafted", row->n_drafted);
    cm_json_integer(json, in, "accepted", row->n_accepted);
    add_side(json, in, "off", &row->off_side);
    add_side(json, in, "on", &row->on_side);
    struct json_node *exits = cm_json_array(json, in, "exits");
    const int         n_layers = row->model->info.n_layers;
    for (int i = 0; i < n_layers && i < (int)(sizeof row->exits / sizeof row->exits[0]); i++)
        cm_json_integer(json, exits, NULL, row->exits[i]);
}

static bool end_json(const struct policy_row *rows, int n_rows)
{
    struct json_output json;
    cm_json_open_array(&json);
    for (int i = 0; i < n_rows; i++) add_row(&json, cm_json_object(&json, json.root, NULL), &rows[i]);
    const bool written = cm_json_write(&json, false);
    cm_json_close(&json);
    return written;
}

static bool row_jsonl(const struct policy_row *row)
{
    struct json_output json;
    cm_json_open_object(&json);
    add_row(&json, json.root, row);
    const bool written = cm_json_write(&json, true);
    cm_json_close(&json);
    return written;
}

static const struct policy_format formats[] = {{"md", begin_md, row_md, end_md},
                                               {"csv", begin_csv, row_csv, NULL},
                                               {"json", NULL, NULL, end_json},
                                               {"jsonl", NULL, row_jsonl, NULL}};

const struct policy_format *cm_policy_format(const char *name)
{
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++)
        if (strcmp(formats[i].name, name) == 0) return &formats[i];
    return NULL;
}
