/* bench/report_json.c - writes rows and limits as JSON: as one array, or as one object a line. */
#include "bench/bench.h"

static void add_rate(struct json_output *json, struct json_node *in, const char *name, const calmoe_rate *rate)
{
    struct json_node *node = cm_json_object(json, in, name);
    cm_json_real(json, node, "best", rate->best);
    cm_json_real(json, node, "median", rate->median);
}

/* null if it was not measured. */
static void add_delay(struct json_output *json, struct json_node *in, const char *name, const calmoe_delay *delay)
{
    if (!(delay->least > 0)) {
        cm_json_null(json, in, name);
        return;
    }
    struct json_node *object = cm_json_object(json, in, name);
    cm_json_real(json, object, "least", delay->least);
    cm_json_real(json, object, "median", delay->median);
}

static void add_machine(struct json_output *json, struct json_node *in, const calmoe_machine *machine)
{
    cm_json_text(json, in, "cpu", machine->cpu);
    cm_json_integer(json, in, "cores", (uint64_t)machine->n_cores);
    cm_json_integer(json, in, "nodes", (uint64_t)machine->n_nodes);
    cm_json_integer(json, in, "threads", (uint64_t)machine->n_threads);
    add_rate(json, in, "read_bytes_per_s", &machine->read);
    struct json_node *nodes = cm_json_array(json, in, "node_read_bytes_per_s");
    for (int node = 0; node < machine->n_nodes && node < CALMOE_MAX_NODES; node++)
        add_rate(json, nodes, NULL, &machine->node_read[node]);
    struct json_node *levels = cm_json_array(json, in, "levels");
    for (int i = 0; i < machine->n_levels; i++) {
        struct json_node *level = cm_json_object(json, levels, NULL);
        cm_json_text(json, level, "isa", machine->levels[i].isa);
        add_rate(json, level, "int8_operations_per_s", &machine->levels[i].int8);
        add_rate(json, level, "f32_operations_per_s", &machine->levels[i].f32);
        add_rate(json, level, "bf16_operations_per_s", &machine->levels[i].bf16);
    }
    add_delay(json, in, "line_near_s", &machine->line_near);
    add_delay(json, in, "line_far_s", &machine->line_far);
    add_delay(json, in, "barrier_s", &machine->barrier);
    cm_json_real(json, in, "seconds", machine->seconds);
}

static void add_model(struct json_output *json, struct json_node *in, const struct bench_model *model)
{
    cm_json_text(json, in, "model", model->name);
    cm_json_text(json, in, "fingerprint", model->info.fingerprint);
    cm_json_text(json, in, "type", model->type);
    cm_json_integer(json, in, "file_bytes", model->info.n_file_bytes);
    cm_json_integer(json, in, "parameters", model->info.n_parameters);
    cm_json_integer(json, in, "active_parameters", model->info.n_active_parameters);
}

static void add_disk(struct json_output *json, struct json_node *in, const struct bench_row *row)
{
    const calmoe_disk_stats *disk = &row->disk;
    cm_json_integer(json, in, "experts", (uint64_t)disk->n_experts);
    cm_json_integer(json, in, "experts_in_memory", (uint64_t)(disk->n_slots + disk->n_kept));
    cm_json_integer(json, in, "kept_by_plan", (uint64_t)disk->n_kept);
    cm_json_integer(json, in, "memory_bytes", disk->n_slot_bytes);
    cm_json_integer(json, in, "past_cache", (uint64_t)disk->is_direct);
    cm_json_integer(json, in, "io_uring", (uint64_t)disk->uses_io_uring);
    cm_json_integer(json, in, "wanted", disk->n_wanted);
    cm_json_integer(json, in, "hits", disk->n_there);
    cm_json_integer(json, in, "named_ahead", disk->n_ahead);
    cm_json_integer(json, in, "lookahead_asked", disk->n_asked);
    cm_json_integer(json, in, "lookahead_named", disk->n_named);
    cm_json_integer(json, in, "reads", disk->n_reads);
    cm_json_real(json, in, "bytes_per_token", (double)disk->n_bytes / row->disk_tokens);
    cm_json_real(json, in, "waited_seconds_per_token", disk->waited_seconds / row->disk_tokens);
}

static void add_figures(struct json_output *json, struct json_node *in, const struct bench_row *row)
{
    cm_json_real(json, in, "active_bytes_per_token", row->model->active_bytes_per_token);
    cm_json_real(json, in, "bytes_per_s", row->bytes_per_s);
    cm_json_real(json, in, "read_bytes_per_s", row->read_bytes_per_s);
    cm_json_real(json, in, "bandwidth_share", row->bandwidth_share);
    cm_json_real(json, in, "operations_per_s", row->operations_per_s);
    cm_json_real(json, in, "peak_share", row->peak_share);
    cm_json_real(json, in, "wait_share", row->wait_share);
    struct json_node *phases = cm_json_object(json, in, "phase_share");
    for (int phase = 0; phase < CALMOE_N_PHASES; phase++)
        cm_json_real(json, phases, calmoe_phase_name(phase), row->phase_share[phase]);
    cm_json_real(json, in, "imbalance", row->imbalance);
    cm_json_real(json, in, "experts_touched", row->experts_touched);
    cm_json_integer(json, in, "packed_bytes", row->n_packed_bytes);
    struct json_node *nodes = cm_json_array(json, in, "node_bytes");
    for (int node = 0; node < row->n_nodes; node++) cm_json_integer(json, nodes, NULL, row->node_bytes[node]);
    struct json_node *reads = cm_json_array(json, in, "node_read_bytes_per_token");
    for (int node = 0; node < row->n_nodes; node++) cm_json_real(json, reads, NULL, row->node_reads[node]);
    cm_json_real(json, in, "remote_bytes_per_token", row->remote_bytes);
    if (row->n_ranks > 1) {
        cm_json_integer(json, in, "ranks", (uint64_t)row->n_ranks);
        cm_json_real(json, in, "exchanges_per_token", row->exchanges);
        cm_json_real(json, in, "exchange_bytes_per_token", row->exchange_bytes);
        cm_json_real(json, in, "exchange_seconds_per_token", row->exchange_seconds);
    }
    if (row->disk.n_slots > 0) add_disk(json, cm_json_object(json, in, "disk"), row);
    cm_json_real(json, in, "counting", row->counting);
    cm_json_real(json, in, "counting_low", row->counting_low);
    cm_json_real(json, in, "counting_high", row->counting_high);
    cm_json_real(json, in, "open_seconds", row->open_seconds);
}

static void add_row(struct json_output *json, struct json_node *in, const struct bench_row *row)
{
    add_model(json, in, row->model);
    cm_json_text(json, in, "version", calmoe_version());
    cm_json_text(json, in, "isa", row->isa);
    cm_json_integer(json, in, "threads", (uint64_t)row->n_threads);
    cm_json_real(json, in, "mean_threads", row->mean_threads);
    cm_json_integer(json, in, "batch", (uint64_t)row->test.batch);
    cm_json_text(json, in, "test", row->name);
    if (row->n_adapters > 0) cm_json_integer(json, in, "adapters", (uint64_t)row->n_adapters);
    cm_json_integer(json, in, "depth", (uint64_t)row->test.depth);
    cm_json_integer(json, in, "repeats", (uint64_t)row->n_repeats);
    struct json_node *rate = cm_json_object(json, in, "tokens_per_s");
    cm_json_real(json, rate, "median", row->median);
    cm_json_real(json, rate, "min", row->min);
    cm_json_real(json, rate, "max", row->max);
    cm_json_integer(json, in, "noisy", row->is_noisy ? 1 : 0);
    add_figures(json, in, row);
    add_machine(json, cm_json_object(json, in, "machine"), row->machine);
}

static struct json_output all_rows; /* of -o json */

static bool begin_json(const calmoe_machine *machines, int n_machines)
{
    (void)machines;
    (void)n_machines;
    cm_json_open_array(&all_rows);
    return true;
}

static bool row_json(const struct bench_row *row)
{
    add_row(&all_rows, cm_json_object(&all_rows, all_rows.root, NULL), row);
    return true;
}

static bool write_all(void)
{
    const bool written = cm_json_write(&all_rows, false);
    cm_json_close(&all_rows);
    return written;
}

static bool end_json(const struct bench_row *rows, int n_rows)
{
    (void)rows;
    (void)n_rows;
    return write_all();
}

static bool limits_json(const calmoe_machine *machines, int n_machines)
{
    cm_json_open_array(&all_rows);
    for (int i = 0; i < n_machines; i++)
        add_machine(&all_rows, cm_json_object(&all_rows, all_rows.root, NULL), &machines[i]);
    return write_all();
}

static bool row_jsonl(const struct bench_row *row)
{
    struct json_output json;
    cm_json_open_object(&json);
    add_row(&json, json.root, row);
    const bool written = cm_json_write(&json, true);
    cm_json_close(&json);
    return written;
}

static bool limits_jsonl(const calmoe_machine *machines, int n_machines)
{
    bool written = true;
    for (int i = 0; written && i < n_machines; i++) {
        struct json_output json;
        cm_json_open_object(&json);
        add_machine(&json, json.root, &machines[i]);
        written = cm_json_write(&json, true);
        cm_json_close(&json);
    }
    return written;
}

const struct bench_format cm_bench_json = {"json", begin_json, row_json, end_json, limits_json};
const struct bench_format cm_bench_jsonl = {"jsonl", NULL, row_jsonl, NULL, limits_jsonl};
