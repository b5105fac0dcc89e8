/* tools/calmoe_inspect.c - `calmoe inspect`: shows what a model file is and what it contains. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/command.h"
#include "tools/front.h"

struct settings {
    int tensors;
    int metadata;
    int check;
    int json;
};

static const struct cli_option options[] = {
    {"tensors", 0, CLI_FLAG, offsetof(struct settings, tensors), 0, 0, NULL,
     "list the tensors too: name, type, shape, bytes"},
    {"metadata", 0, CLI_FLAG, offsetof(struct settings, metadata), 0, 0, NULL,
     "list the metadata too: key = value, long values shortened"},
    {"check", 0, CLI_FLAG, offsetof(struct settings, check), 0, 0, NULL,
     "read all weights and name the tensors that hold NaN or infinite ones"},
    {"json", 0, CLI_FLAG, offsetof(struct settings, json), 0, 0, NULL,
     "print all that as one JSON object"},
};

static const struct cli_command description = {
    .name         = "calmoe inspect",
    .summary      = "Says what a model file is: family, sizes, tokenizer, weight types, fingerprint.",
    .operands     = "[MODEL]",
    .max_operands = 1,
    .options      = options,
    .n_options    = sizeof options / sizeof options[0],
    .notes        = "MODEL is a GGUF file or the first of its shards, with or without weights; without it,\n"
                    "the embedded model. A file of a kind that calmoe does not run is described as far as\n"
                    "it is understood, with exit status 1. --check reads the whole file; it ends with exit status\n"
                    "1 where a weight is NaN or infinite, or of a type that cannot be read.\n\n"
                    "Example:\n  calmoe inspect model.gguf --tensors\n  calmoe inspect model.gguf --check\n",
};

enum { MAX_TYPES = 64, TEXT_SHORT = 160, TEXT_LONG = 4096 };

struct type_share { /* the tensors of one type */
    const char *type;
    uint64_t    n_tensors;
    uint64_t    n_bytes;
};

struct summary {
    calmoe_model_info info;
    struct type_share types[MAX_TYPES];
    int               n_types;
    uint64_t          n_tensor_bytes;
};

static int more_bytes_first(const void *a, const void *b)
{
    const struct type_share *const left = a, *const right = b;
    return (left->n_bytes < right->n_bytes) - (left->n_bytes > right->n_bytes);
}

static bool summarize(const struct front *front, struct summary *summary)
{
    calmoe_tensor_info tensor = {.size = sizeof tensor};
    memset(summary, 0, sizeof *summary);
    summary->info.size = sizeof summary->info;
    if (!cm_front_succeeded(front, calmoe_model_get_info(front->model, &summary->info))) return false;
    for (uint64_t i = 0; calmoe_model_get_tensor(front->model, i, &tensor) == CALMOE_OK; i++) {
        int type = 0;
        while (type < summary->n_types && strcmp(summary->types[type].type, tensor.type) != 0) type++;
        if (type == MAX_TYPES) continue;
        if (type == summary->n_types) summary->types[summary->n_types++].type = tensor.type;
        summary->types[type].n_tensors++;
        summary->types[type].n_bytes += tensor.n_bytes;
        summary->n_tensor_bytes += tensor.n_bytes;
    }
    qsort(summary->types, (size_t)summary->n_types, sizeof summary->types[0], more_bytes_first);
    return true;
}

/* ---- are all weights finite? ---- */

struct bad_tensor { /* one that was found; see calmoe_bad_tensor */
    calmoe_bad_tensor found;
    char              name[256], type[16], place[96];
};

struct findings {
    struct bad_tensor *tensors; /* (n) */
    int                n;
    bool               failed;  /* there was no memory for more */
};

static void note_bad(void *user, const calmoe_bad_tensor *found)
{
    struct findings *const   findings = user;
    struct bad_tensor *const grown    = realloc(findings->tensors, (size_t)(findings->n + 1) * sizeof *grown);
    if (grown == NULL) {
        findings->failed = true;
        return;
    }
    findings->tensors             = grown;
    struct bad_tensor *const last = &grown[findings->n++];
    last->found                   = *found;
    snprintf(last->name, sizeof last->name, "%s", found->name);
    snprintf(last->type, sizeof last->type, "%s", found->type);
    snprintf(last->place, sizeof last->place, "%s", found->first_place);
}

/* True if all weights are finite; else the sentence is on stderr, and *findings says where the others are. */
static bool check_numbers(const struct front *front, struct findings *findings)
{
    struct progress_bar  bar;
    calmoe_check_options check;
    calmoe_check_options_init(&check);
    check.on_bad        = note_bad;
    check.on_bad_user   = findings;
    check.progress      = cm_bar_move;
    check.progress_user = &bar;
    cm_catch_interrupt();
    cm_bar_begin(&bar, "checking");
    const calmoe_status status = calmoe_model_check(front->model, &check);
    cm_bar_end(&bar);
    if (findings->failed) cm_say("no memory for all that was found");
    return cm_front_succeeded(front, status) && !findings->failed;
}

static void print_findings(const struct findings *findings, bool are_finite)
{
    if (findings->n == 0) {
        printf("%-12s %s\n", "numbers", are_finite ? "all weights are finite" : "not all weights could be checked");
        return;
    }
    printf("%-12s %d tensor%s with weights that are NaN or infinite\n", "numbers", findings->n,
           findings->n == 1 ? "" : "s");
    for (int i = 0; i < findings->n; i++) {
        struct bad_tensor *const bad = &findings->tensors[i];
        cm_clean_text(bad->name);
        printf("  %s (%s): %" PRIu64 " NaN, %" PRIu64 " infinite; the first, %s, at %s\n", bad->name, bad->type,
               bad->found.n_nan, bad->found.n_infinite, bad->found.first_is_nan ? "NaN" : "infinite", bad->place);
    }
}

static void add_findings(struct json_output *json, const struct findings *findings)
{
    struct json_node *const list = cm_json_array(json, json->root, "bad_tensors");
    for (int i = 0; i < findings->n; i++) {
        const struct bad_tensor *const bad  = &findings->tensors[i];
        struct json_node *const        node = cm_json_object(json, list, NULL);
        cm_json_text(json, node, "name", bad->name);
        cm_json_text(json, node, "type", bad->type);
        cm_json_integer(json, node, "n_nan", bad->found.n_nan);
        cm_json_integer(json, node, "n_infinite", bad->found.n_infinite);
        struct json_node *const first = cm_json_array(json, node, "first");
        for (int d = 0; d < 4; d++) cm_json_integer(json, first, NULL, bad->found.first[d]);
        cm_json_text(json, node, "first_place", bad->place);
    }
}

/* ---- for people ---- */

/* Writes a count in about four characters: 950, 51.2 k, 7.24 B. */
static const char *short_count(uint64_t n, char *text, size_t n_text)
{
    static const char *const units[] = {"", " k", " M", " B", " T"};
    double                   number  = (double)n;
    int                      unit    = 0;
    while (number >= 999.5 && unit < 4) number /= 1000, unit++;
    snprintf(text, n_text, unit == 0 ? "%.0f%s" : "%.3g%s", number, units[unit]);
    return text;
}

static void print_label_text(const char *label, const char *found, const char *missing)
{
    char text[TEXT_SHORT * 2];
    snprintf(text, sizeof text, "%s", found != NULL && found[0] != '\0' ? found : missing);
    cm_clean_text(text);
    printf("%-12s %s\n", label, text);
}

static void print_shape_of_model(const calmoe_model_info *info)
{
    char all[32], active[32];
    if (info->n_layers > 0) {
        printf("%-12s %d\n%-12s %d\n", "layers", info->n_layers, "width", info->width);
        printf("%-12s %d of %d, %d for keys and values\n", "heads", info->n_heads, info->head_size,
               info->n_kv_heads);
        if (info->n_attention_layers < info->n_layers)
            printf("%-12s in %d of the layers; %d keep a state\n", "attention", info->n_attention_layers,
                   info->n_state_layers);
        if (info->n_experts > 1)
            printf("%-12s %d of %d for a token, %d wide\n", "experts", info->n_experts_used,
                   info->n_experts, info->expert_width);
        else
            printf("%-12s none: one feed-forward block, %d wide\n", "experts", info->expert_width);
        if (info->shared_width > 0)
            printf("%-12s %d wide, for every token\n", "shared", info->shared_width);
        if (info->n_routed_layers > 0 && info->n_routed_layers + info->n_dense_layers < info->n_layers)
            printf("%-12s in %d of the layers; %d are a mixer alone\n", "routing", info->n_routed_layers,
                   info->n_layers - info->n_routed_layers - info->n_dense_layers);
        if (info->n_dense_layers > 0 && info->n_dense_layers < info->n_layers)
            printf("%-12s %d of the layers, %d wide\n", "dense", info->n_dense_layers, info->dense_width);
    }
    if (info->n_vocab > 0) printf("%-12s %d tokens\n", "vocabulary", info->n_vocab);
    if (info->context_length > 0) printf("%-12s %d tokens\n", "context", info->context_length);
    print_label_text("tokenizer", info->tokenizer, "none");
    char chat[256];
    snprintf(chat, sizeof chat, "no format that is known%s%.200s", info->chat_problem[0] ? ": " : "",
             info->chat_problem);
    print_label_text("chat", info->chat_format, chat);
    if (info->n_parameters > 0)
        printf("%-12s %s, of which a token reads %s\n", "parameters",
               short_count(info->n_parameters, all, sizeof all),
               short_count(info->n_active_parameters, active, sizeof active));
}

static void print_summary(const struct summary *summary)
{
    const calmoe_model_info *const info = &summary->info;
    print_label_text("file", info->path, "");
    print_label_text("name", info->name, "none");
    print_label_text("family", info->family,
                     summary->n_tensor_bytes > 0 ? "none that runs" : "none: a vocabulary only");
    print_shape_of_model(info);
    printf("%-12s %" PRIu64 " bytes\n", "size", info->n_file_bytes);
    printf("%-12s %s\n", "fingerprint", info->fingerprint);
    for (int i = 0; i < summary->n_types; i++) {
        const struct type_share *const share = &summary->types[i];
        printf("%-12s %-6s %6" PRIu64 " tensor%s %14" PRIu64 " bytes %5.1f %%\n", i == 0 ? "weights" : "",
               share->type, share->n_tensors, share->n_tensors == 1 ? " " : "s", share->n_bytes,
               100.0 * (double)share->n_bytes / (double)summary->n_tensor_bytes);
    }
}

static void print_tensors(const calmoe_model *model)
{
    calmoe_tensor_info tensor = {.size = sizeof tensor};
    printf("\n%-44s %-6s %-24s %14s\n", "tensor", "type", "shape", "bytes");
    for (uint64_t i = 0; calmoe_model_get_tensor(model, i, &tensor) == CALMOE_OK; i++) {
        char   name[256], shape[96];
        size_t n_shape = 0;
        snprintf(name, sizeof name, "%s", tensor.name);
        cm_clean_text(name);
        shape[0] = '\0';
        for (int d = 0; d < tensor.n_dims && d < 4 && n_shape < sizeof shape; d++)
            n_shape += (size_t)snprintf(shape + n_shape, sizeof shape - n_shape, "%s%" PRIu64,
                                        d == 0 ? "" : " x ", tensor.shape[d]);
        printf("%-44s %-6s %-24s %14" PRIu64 "\n", name, tensor.type, shape, tensor.n_bytes);
    }
}

static void print_metadata(const calmoe_model *model)
{
    char        text[TEXT_SHORT], key_text[256];
    const char *key;
    printf("\n");
    for (uint64_t i = 0; calmoe_model_get_metadata(model, i, &key, text, sizeof text) == CALMOE_OK; i++) {
        snprintf(key_text, sizeof key_text, "%s", key);
        cm_clean_text(key_text);
        cm_clean_text(text);
        printf("%s = %s\n", key_text, text);
    }
}

/* ---- for programs ---- */

static void add_summary(struct json_output *json, const struct summary *summary)
{
    const calmoe_model_info *const info = &summary->info;
    const struct { const char *name, *text; } texts[] = {
        {"path", info->path},           {"name", info->name},
        {"family", info->family},       {"tokenizer", info->tokenizer},
        {"chat_format", info->chat_format}, {"fingerprint", info->fingerprint},
    };
    const struct { const char *name; uint64_t number; } numbers[] = {
        {"n_layers", (uint64_t)info->n_layers},
        {"width", (uint64_t)info->width},
        {"n_heads", (uint64_t)info->n_heads},
        {"n_kv_heads", (uint64_t)info->n_kv_heads},
        {"head_size", (uint64_t)info->head_size},
        {"n_experts", (uint64_t)info->n_experts},
        {"n_experts_used", (uint64_t)info->n_experts_used},
        {"expert_width", (uint64_t)info->expert_width},
        {"shared_width", (uint64_t)info->shared_width},
        {"n_attention_layers", (uint64_t)info->n_attention_layers},
        {"n_state_layers", (uint64_t)info->n_state_layers},
        {"n_routed_layers", (uint64_t)info->n_routed_layers},
        {"n_dense_layers", (uint64_t)info->n_dense_layers},
        {"dense_width", (uint64_t)info->dense_width},
        {"n_vocab", (uint64_t)info->n_vocab},
        {"context_length", (uint64_t)info->context_length},
        {"n_parameters", info->n_parameters},
        {"n_active_parameters", info->n_active_parameters},
        {"n_file_bytes", info->n_file_bytes},
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        cm_json_text(json, json->root, texts[i].name, texts[i].text != NULL ? texts[i].text : "");
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        cm_json_integer(json, json->root, numbers[i].name, numbers[i].number);
    struct json_node *types = cm_json_array(json, json->root, "types");
    for (int i = 0; i < summary->n_types; i++) {
        struct json_node *type = cm_json_object(json, types, NULL);
        cm_json_text(json, type, "type", summary->types[i].type);
        cm_json_integer(json, type, "n_tensors", summary->types[i].n_tensors);
        cm_json_integer(json, type, "n_bytes", summary->types[i].n_bytes);
    }
}

static void add_tensors(struct json_output *json, const calmoe_model *model)
{
    calmoe_tensor_info tensor = {.size = sizeof tensor};
    struct json_node  *tensors = cm_json_array(json, json->root, "tensors");
    for (uint64_t i = 0; calmoe_model_get_tensor(model, i, &tensor) == CALMOE_OK; i++) {
        struct json_node *node = cm_json_object(json, tensors, NULL);
        cm_json_text(json, node, "name", tensor.name);
        cm_json_text(json, node, "type", tensor.type);
        struct json_node *shape = cm_json_array(json, node, "shape");
        for (int d = 0; d < tensor.n_dims && d < 4; d++)
            cm_json_integer(json, shape, NULL, tensor.shape[d]);
        cm_json_integer(json, node, "n_bytes", tensor.n_bytes);
        cm_json_integer(json, node, "shard", (uint64_t)tensor.shard);
    }
}

static void add_metadata(struct json_output *json, const calmoe_model *model)
{
    char              text[TEXT_LONG];
    const char       *key;
    struct json_node *metadata = cm_json_array(json, json->root, "metadata"); /* keys may occur twice */
    for (uint64_t i = 0; calmoe_model_get_metadata(model, i, &key, text, sizeof text) == CALMOE_OK; i++) {
        struct json_node *node = cm_json_object(json, metadata, NULL);
        cm_json_text(json, node, "key", key);
        cm_json_text(json, node, "value", text);
    }
}

static bool print_json(const calmoe_model *model, const struct settings *settings,
                       const struct summary *summary, const struct findings *findings)
{
    struct json_output json;
    cm_json_open_object(&json);
    add_summary(&json, summary);
    if (settings->check) add_findings(&json, findings);
    if (settings->tensors) add_tensors(&json, model);
    if (settings->metadata) add_metadata(&json, model);
    const bool written = cm_json_write(&json, false);
    cm_json_close(&json);
    return written;
}

static bool open_as(struct front *front, const char *path, bool vocabulary_only, bool contents_only)
{
    calmoe_model_options parts;
    calmoe_model_options_init(&parts);
    parts.vocabulary_only = vocabulary_only;
    parts.contents_only   = contents_only;
    return calmoe_model_open(front->context, path, &parts, &front->model) == CALMOE_OK;
}

/* Opens the file as a model. If it is not a model that can run, prints why, and opens it as a vocabulary, or for
 * whatever it contains. *is_runnable says whether it is what it should be: a model that can run, or a file that holds
 * only a vocabulary. */
static bool open_any(struct front *front, const char *path, bool *is_runnable)
{
    if (!cm_front_open(front)) return false;
    const calmoe_status status = calmoe_model_open(front->context, path, NULL, &front->model);
    *is_runnable               = status == CALMOE_OK;
    if (status == CALMOE_IO) return cm_front_succeeded(front, status);
    if (*is_runnable) return true;

    char reason[1024];
    snprintf(reason, sizeof reason, "%s", calmoe_context_message(front->context));
    calmoe_tensor_info tensor = {.size = sizeof tensor};
    const bool is_vocabulary = open_as(front, path, true, false);
    const bool opened        = is_vocabulary || open_as(front, path, false, true);
    *is_runnable = is_vocabulary && calmoe_model_get_tensor(front->model, 0, &tensor) != CALMOE_OK;
    if (!*is_runnable) cm_say("%s", reason);
    return opened;
}

static int run(int argc, char **argv)
{
    struct settings settings = {0};
    struct front    front    = {0};
    struct findings findings = {0};
    struct summary  summary;
    int             n_operands;
    bool            is_runnable = false;
    const int       parsed      = cm_cli_parse(&description, argc, argv, &settings, &n_operands);
    if (parsed != CLI_GO_ON) return parsed;
    const char *const path      = n_operands > 0 ? argv[1] : NULL;
    bool              succeeded = open_any(&front, path, &is_runnable) && summarize(&front, &summary);
    const bool        are_finite = !succeeded || !settings.check || check_numbers(&front, &findings);
    if (succeeded && settings.json) {
        succeeded = print_json(front.model, &settings, &summary, &findings);
    } else if (succeeded) {
        print_summary(&summary);
        if (settings.check) print_findings(&findings, are_finite);
        if (settings.tensors) print_tensors(front.model);
        if (settings.metadata) print_metadata(front.model);
    }
    free(findings.tensors);
    cm_front_close(&front);
    return succeeded && is_runnable && are_finite ? 0 : 1;
}

const struct command cm_command_inspect = {
    .name    = "inspect",
    .summary = "what a model file is and what is in it",
    .run     = run,
};
