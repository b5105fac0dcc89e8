/* bench/figures.c - computes the reported figures from the counts. Pure, except for cm_bench_describe(), which asks the
 * model. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "bench/bench.h"

static const char *name_of(const calmoe_model_info *info)
{
    const char *path  = info->path != NULL ? info->path : "";
    const char *slash = strrchr(path, '/');
    if (info->name != NULL && info->name[0] != '\0') return info->name;
    return slash != NULL ? slash + 1 : path;
}

/* The model's name, or its file's, without characters that would break a line or a column. */
static void put_name(struct bench_model *model)
{
    snprintf(model->name, sizeof model->name, "%s", name_of(&model->info));
    cm_clean_text(model->name);
    for (char *at = model->name; *at != '\0'; at++)
        if (*at == '|' || *at == '"') *at = ' ';
}

struct type_sum {
    char     type[16];
    uint64_t n_bytes;
};

/* Adds to the sum of a type. If there are more types than room, later ones are left out. */
static void add_type(struct type_sum *sums, int n_sums, const calmoe_tensor_info *tensor)
{
    for (int i = 0; i < n_sums; i++) {
        if (sums[i].type[0] == '\0') snprintf(sums[i].type, sizeof sums[i].type, "%s", tensor->type);
        if (strcmp(sums[i].type, tensor->type) != 0) continue;
        sums[i].n_bytes += tensor->n_bytes;
        return;
    }
}

/* What one token reads of a tensor: of a layer's experts (a tensor whose last dimension counts them) the share that it
 * takes, of an embedding that is not also the output matrix one row. Bytes are those of the file; operations are those
 * of matrices. */
static void add_tensor(struct bench_model *model, const calmoe_tensor_info *tensor, bool is_tied)
{
    const calmoe_model_info *info = &model->info;
    const bool   is_experts = tensor->n_dims == 3 && info->n_experts > 1 &&
                              tensor->shape[2] == (uint64_t)info->n_experts;
    const double share = is_experts ? (double)info->n_experts_used / info->n_experts : 1.0;
    const double operations = 2.0 * (double)tensor->shape[0] * (double)tensor->shape[1] * (double)tensor->shape[2];
    const bool   is_embedding = strcmp(tensor->name, "token_embd.weight") == 0;
    const bool   is_head = strcmp(tensor->name, "output.weight") == 0 || (is_embedding && is_tied);
    if (is_embedding && !is_tied) {
        const uint64_t n_rows = tensor->shape[1] != 0 ? tensor->shape[1] : 1;
        model->active_bytes_per_token += (double)tensor->n_bytes / (double)n_rows;
    } else {
        model->active_bytes_per_token += share * (double)tensor->n_bytes;
        if (is_head) model->head_operations += operations;
        else if (tensor->n_dims > 1) model->body_operations += share * operations;
    }
}

bool cm_bench_describe(const struct front *front, bool kv_float32, struct bench_model *out)
{
    enum { N_TYPES = 64 };
    struct type_sum    sums[N_TYPES];
    calmoe_tensor_info tensor = {.size = sizeof tensor};
    bool               is_tied = true;
    memset(out, 0, sizeof *out);
    memset(sums, 0, sizeof sums);
    out->info.size = sizeof out->info;
    if (!cm_front_succeeded(front, calmoe_model_get_info(front->model, &out->info))) return false;
    put_name(out);
    for (uint64_t i = 0; calmoe_model_get_tensor(front->model, i, &tensor) == CALMOE_OK; i++)
        if (strcmp(tensor.name, "output.weight") == 0) is_tied = false;
    for (uint64_t i = 0; calmoe_model_get_tensor(front->model, i, &tensor) == CALMOE_OK; i++) {
        add_tensor(out, &tensor, is_tied);
        add_type(sums, N_TYPES, &tensor);
    }
    const struct type_sum *most = &sums[0];
    for (int i = 1; i < N_TYPES; i++)
        if (sums[i].n_bytes > most->n_bytes) most = &sums[i];
    memcpy(out->type, most->type, sizeof out->type);
    out->kv_bytes_per_position = (double)out->info.n_kept_values * (kv_float32 ? 4 : 2);
    return true;
}

double cm_bench_kv_bytes(const struct bench_test *test, double kv_bytes_per_position)
{
    const int n_step = test->is_prompt ? BENCH_MAX_ROWS_IN_STEP : 1;
    double    positions = 0.0;
    for (int at = 0; at < test->n_tokens; at += n_step) { /* each step reads all positions up to its last row */
        const int left = test->n_tokens - at;
        positions += (double)test->depth + at + (left < n_step ? left : n_step);
    }
    return positions * test->batch * kv_bytes_per_position;
}

double cm_bench_peak(const calmoe_machine *machine, const char *isa, const char *type)
{
    const bool is_float = strcmp(type, "f32") == 0 || strcmp(type, "f16") == 0 || strcmp(type, "bf16") == 0;
    for (int i = 0; i < machine->n_levels; i++)
        if (strcmp(machine->levels[i].isa, isa) == 0)
            return is_float ? machine->levels[i].f32.best : machine->levels[i].int8.best;
    return 0.0;
}

/* NAN if the limit was not measured. */
static double share_of(double value, double limit)
{
    return limit > 0.0 ? value / limit : NAN;
}

static double operations_of(const struct bench_row *row)
{
    const struct bench_test *test = &row->test;
    const double n_rows = (double)test->n_tokens * test->batch;
    return n_rows * row->model->body_operations + (test->is_prompt ? 1.0 : n_rows) * row->model->head_operations;
}

void cm_bench_figures(const calmoe_stats *stats, const double *phases, struct bench_row *row)
{
    const struct bench_model *model = row->model;
    const double seconds = stats->step_seconds;
    const double n_layer_steps = (double)stats->n_steps * model->info.n_routed_layers;
    const double kv_bytes = row->n_repeats * cm_bench_kv_bytes(&row->test, model->kv_bytes_per_position);
    row->is_noisy = (row->max - row->min) > BENCH_NOISE * row->median;
    row->wait_share = stats->wait_share;
    row->bytes_per_s = share_of((double)stats->n_weight_bytes + kv_bytes, seconds);
    if (stats->n_weight_bytes == 0) row->bytes_per_s = NAN;
    row->bandwidth_share = share_of(row->bytes_per_s, row->read_bytes_per_s);
    row->operations_per_s = share_of(row->n_repeats * operations_of(row), seconds);
    row->peak_share = share_of(row->operations_per_s, cm_bench_peak(row->machine, row->isa, model->type));
    double phase_seconds = 0.0;
    for (int phase = 0; phase < CALMOE_N_PHASES; phase++) phase_seconds += phases[phase];
    for (int phase = 0; phase < CALMOE_N_PHASES; phase++)
        row->phase_share[phase] = phase_seconds > 0.0 ? share_of(phases[phase], seconds) : NAN;
    row->imbalance = stats->imbalance > 0.0 ? stats->imbalance : NAN;
    row->experts_touched = NAN;
    if (stats->n_experts_touched > 0)
        row->experts_touched = share_of((double)stats->n_experts_touched, n_layer_steps);
    row->n_packed_bytes = stats->n_packed_bytes;
    row->n_nodes = stats->n_nodes < CALMOE_MAX_NODES ? stats->n_nodes : CALMOE_MAX_NODES;
    memcpy(row->node_bytes, stats->node_bytes, sizeof row->node_bytes);
}
