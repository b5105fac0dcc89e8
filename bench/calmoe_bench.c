/* bench/calmoe_bench.c - the program `calmoe-bench`: how many tokens a second a model makes here. */
#include <limits.h>
#include <string.h>

#include "bench/bench.h"

struct settings {
    const char       *model, *isa, *output;
    int               threads, kv;
    struct bench_plan plan;
};

#define AT(member) offsetof(struct settings, member)
static const struct cli_option options[] = {
    {"model", 'm', CLI_TEXT, AT(model), 0, 0, "MODEL", "GGUF file (default: the embedded model)"},
    {"prompt", 'p', CLI_INT, AT(plan.n_prompt), 0, 1 << 24, "N",
     "read a prompt of N tokens, 0 = do not (default 512)"},
    {"tokens", 'n', CLI_INT, AT(plan.n_tokens), 0, 1 << 24, "N",
     "generate N tokens, 0 = do not (default 128)"},
    {"batch", 'b', CLI_INT, AT(plan.batch), 1, BENCH_MAX_BATCH, "N",
     "sessions that generate together (default 1)"},
    {"repeats", 'r', CLI_INT, AT(plan.n_repeats), 1, BENCH_MAX_REPEATS, "N",
     "repetitions after one warm-up (default 5)"},
    {"threads", 't', CLI_INT, AT(threads), 0, 4096, "N", "threads, 0 = every core (default)"},
    {"isa", 0, CLI_TEXT, AT(isa), 0, 0, "LEVEL",
     "instruction set: ref, avx2, avx512vnni (default: the best here)"},
    {"kv", 0, CLI_CHOICE, AT(kv), 0, 0, "f16|f32", "type of keys and values (default f16)"},
    {"output", 'o', CLI_TEXT, AT(output), 0, 0, "FORMAT", "md (default), csv, json, jsonl"},
};

static const struct cli_command description = {
    .name      = "calmoe-bench",
    .summary   = "Measures a model's speed: tests ppN (reading a prompt) and tgN (generating), in tokens/s.",
    .options   = options,
    .n_options = sizeof options / sizeof options[0],
    .notes     =
        "Each test begins with empty sessions, takes random tokens of a fixed seed, and reports the median,\n"
        "the slowest and the fastest repetition; tg counts the tokens of all sessions of the batch, and\n"
        "computes every token's logits. waiting (wait_share) is the mean share of a step that a thread\n"
        "waits for others. active_bytes_per_token is computed from the file's tensors. bandwidth_share,\n"
        "peak_share and imbalance are not measured by this version: null in JSON, empty in CSV.\n\n"
        "Example:\n  calmoe-bench -m model.gguf -p 512 -n 128 -t 8 -o md\n",
};

/* The bytes that one token reads: of a layer's experts (tensors whose last dimension counts them) the
 * share that is used, of an embedding that is not also the output one row. An estimate. */
static double active_bytes(const calmoe_model *model, const calmoe_model_info *info)
{
    calmoe_tensor_info tensor;
    double             sum = 0, embedding = 0, embedding_row = 0;
    bool               has_output = false;
    for (uint64_t i = 0; calmoe_model_get_tensor(model, i, &tensor) == CALMOE_OK; i++) {
        const double n_bytes    = (double)tensor.n_bytes;
        const bool   is_experts = tensor.n_dims == 3 && info->n_experts > 1 &&
                                tensor.shape[2] == (uint64_t)info->n_experts;
        if (strcmp(tensor.name, "output.weight") == 0) has_output = true;
        if (strcmp(tensor.name, "token_embd.weight") == 0) {
            embedding     = n_bytes;
            embedding_row = n_bytes / (double)(tensor.shape[1] != 0 ? tensor.shape[1] : 1);
        } else {
            sum += is_experts ? n_bytes * info->n_experts_used / info->n_experts : n_bytes;
        }
    }
    return sum + (has_output ? embedding_row : embedding);
}

/* The weight type that most bytes of the file have. */
static const char *main_type(const calmoe_model *model)
{
    struct { const char *type; uint64_t n_bytes; } sums[64];
    int                n_sums = 0, best = 0;
    calmoe_tensor_info tensor;
    for (uint64_t i = 0; calmoe_model_get_tensor(model, i, &tensor) == CALMOE_OK; i++) {
        int at = 0;
        while (at < n_sums && strcmp(sums[at].type, tensor.type) != 0) at++;
        if (at == 64) continue;
        if (at == n_sums) {
            sums[n_sums].type      = tensor.type;
            sums[n_sums++].n_bytes = 0;
        }
        sums[at].n_bytes += tensor.n_bytes;
        if (sums[at].n_bytes > sums[best].n_bytes) best = at;
    }
    return n_sums > 0 ? sums[best].type : "";
}

static bool measure_all(const struct front *front, const struct settings *settings,
                        const struct bench_format *format)
{
    struct bench_row row;
    memset(&row, 0, sizeof row);
    row.info.size = sizeof row.info;
    if (!cm_front_succeeded(front, calmoe_model_get_info(front->model, &row.info))) return false;
    row.type                   = main_type(front->model);
    row.active_bytes_per_token = active_bytes(front->model, &row.info);
    bool fine                  = format->begin == NULL || format->begin();
    for (int test = 0; fine && test < cm_bench_n_tests(); test++)
        if (cm_bench_has_test(&settings->plan, test))
            fine = cm_bench_measure(front, &settings->plan, test, &row) && format->row(&row);
    if (format->end != NULL) fine = format->end() && fine;
    return fine;
}

static int run(int argc, char **argv)
{
    struct settings settings = {.output = "md", .plan = {512, 128, 1, 5}};
    struct front    front    = {0};
    int             n_operands;
    const int       parsed = cm_cli_parse(&description, argc, argv, &settings, &n_operands);
    if (parsed != CLI_GO_ON) return parsed;
    const struct bench_format *format = cm_bench_format(settings.output);
    if (format == NULL)
        return cm_usage_error(description.name, "option '-o' wants one of %s, found '%s'",
                              cm_bench_format_names(), settings.output);
    if (settings.plan.n_prompt == 0 && settings.plan.n_tokens == 0)
        return cm_usage_error(description.name, "wanted a test, found 0 for both -p and -n");

    calmoe_engine_options engine;
    calmoe_engine_options_init(&engine);
    engine.n_threads  = settings.threads;
    engine.isa        = settings.isa;
    engine.kv_float32 = settings.kv;
    engine.max_rows   = settings.plan.batch > 512 ? settings.plan.batch : 512;
    const bool fine   = cm_front_open_model(&front, settings.model, false) &&
                      cm_front_open_engine(&front, &engine) && measure_all(&front, &settings, format);
    cm_front_close(&front);
    return fine ? 0 : 1;
}

int main(int argc, char **argv)
{
    cm_begin_streams();
    return cm_end_streams(run(argc, argv));
}
