/* tools/calmoe_quantize.c - `calmoe quantize`: a copy of a model file in another weight type. */
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <calmoe/quantize.h>

#include "tools/command.h"
#include "tools/front.h"
#include "tools/output_file.h"

struct settings {
    int requantize, keep_quantized, threads;
    const char *merge;
    float scale;
};

#define AT(member) offsetof(struct settings, member)
static const struct cli_option options[] = {
    {"requantize", 0, CLI_FLAG, AT(requantize), 0, 0, NULL,
     "convert weights that are quantized already, too: they get the losses of both times"},
    {"keep-quantized", 0, CLI_FLAG, AT(keep_quantized), 0, 0, NULL,
     "leave weights that are quantized already as they are, and convert the others"},
    {"lora-merge", 0, CLI_TEXT, AT(merge), 0, 0, "ADAPTER", "add an adapter (LoRA) to the weights for good"},
    {"lora-scale", 0, CLI_REAL, AT(scale), -1000, 1000, "S", "so strongly (default 1)"},
    {"threads", 't', CLI_INT, AT(threads), 0, 4096, "N", "threads, 0 = every core (default)"},
};

static const struct cli_command description = {
    .name         = "calmoe quantize",
    .summary      = "Writes a copy of the GGUF file IN to OUT with its weight matrices in TYPE.",
    .operands     = "IN OUT TYPE",
    .max_operands = 3,
    .options      = options,
    .n_options    = sizeof options / sizeof options[0],
    .notes        = "TYPE is f32, f16, bf16, q4_0, q8_0, q4_k or q6_k. Norms, vectors and the router stay as they\n"
                    "are, and with q4_k the output head becomes q6_k. Rows that the type's block does not divide\n"
                    "become q8_0, or stay as they are where 32 does not divide them either; stderr tells of each such\n"
                    "tensor. A file that is quantized already is refused, unless one of the options says what to do.\n"
                    "Weights that are NaN, infinite, or too large for TYPE are an error; calmoe inspect --check\n"
                    "lists them. OUT is written whole or not at all; Ctrl-C stops and leaves nothing behind.\n\n"
                    "Example:\n  calmoe quantize model-f16.gguf model-q8.gguf q8_0\n",
};

/* The size of a GGUF file, or of all its shards. */
static double megabytes(const struct front *front, const char *path)
{
    calmoe_model        *model = NULL;
    calmoe_model_info    info  = {.size = sizeof info};
    calmoe_model_options contents;
    calmoe_model_options_init(&contents);
    contents.contents_only = 1;
    if (calmoe_model_open(front->context, path, &contents, &model) == CALMOE_OK)
        (void)calmoe_model_get_info(model, &info);
    calmoe_model_close(&model);
    return (double)info.n_file_bytes / 1e6;
}

/* ---- what happens to the tensors ---- */

enum { MAX_ROLES = 32, ROLE_BYTES = 96 };

struct role { /* tensors of several layers with the same fallback: "blk.*.ffn_down_exps.weight" */
    char     name[ROLE_BYTES];
    char     from[16], to[16];
    uint64_t n_columns, n;
    int      block;
};

struct fates {
    const char *type;
    uint64_t    n[CALMOE_N_TENSOR_FATES];
    struct role roles[MAX_ROLES];
    int         n_roles;
};

/* A tensor's name with a star for each number. */
static void name_role(const char *name, char role[ROLE_BYTES])
{
    size_t n = 0;
    while (*name != '\0' && n + 1 < ROLE_BYTES) {
        const bool is_number = isdigit((unsigned char)*name) && n > 0 && role[n - 1] == '.';
        role[n++] = is_number ? '*' : *name++;
        while (is_number && isdigit((unsigned char)*name)) name++;
    }
    role[n] = '\0';
    cm_clean_text(role);
}

static void note_tensor(void *user, const calmoe_quantized_tensor *tensor)
{
    struct fates *const fates = user;
    struct role         role  = {.n_columns = tensor->n_columns, .block = tensor->block};
    fates->n[tensor->fate]++;
    if (tensor->fate != CALMOE_TENSOR_FALLBACK) return;
    name_role(tensor->name, role.name);
    snprintf(role.from, sizeof role.from, "%s", tensor->from);
    snprintf(role.to, sizeof role.to, "%s", tensor->to);
    for (int i = 0; i < fates->n_roles; i++) {
        struct role *const known = &fates->roles[i];
        if (strcmp(known->name, role.name) != 0 || strcmp(known->from, role.from) != 0 ||
            strcmp(known->to, role.to) != 0 || known->n_columns != role.n_columns)
            continue;
        known->n++;
        return;
    }
    role.n = 1;
    if (fates->n_roles < MAX_ROLES) fates->roles[fates->n_roles++] = role;
}

static void say_fallbacks(const struct fates *fates)
{
    for (int i = 0; i < fates->n_roles; i++) {
        const struct role *const role = &fates->roles[i];
        const bool               stays = strcmp(role->from, role->to) == 0;
        cm_say("%s (%" PRIu64 " tensor%s): rows of %" PRIu64 " are no multiple of %d; %s%s instead of %s", role->name,
               role->n, role->n == 1 ? "" : "s", role->n_columns, role->block, stays ? "stays " : "", role->to,
               fates->type);
    }
    if (fates->n_roles == MAX_ROLES) cm_say("and possibly more");
}

static void say_counts(const struct fates *fates, const calmoe_quantize_result *result)
{
    static const char *const words[CALMOE_N_TENSOR_FATES] = {
        [CALMOE_TENSOR_CONVERTED] = "converted",      [CALMOE_TENSOR_FINER] = "in more bits",
        [CALMOE_TENSOR_FALLBACK] = "fell back"     , [CALMOE_TENSOR_UNCHANGED] = "of that type already",
        [CALMOE_TENSOR_QUANTIZED] = "left quantized", [CALMOE_TENSOR_KEPT] = "kept",
    };
    char   text[256] = "";
    size_t n = 0;
    for (int fate = CALMOE_N_TENSOR_FATES - 1; fate >= 0; fate--)
        if (fates->n[fate] > 0)
            n += (size_t)snprintf(text + n, sizeof text - n, "%s%" PRIu64 " %s", n > 0 ? ", " : "", fates->n[fate],
                                  words[fate]);
    cm_say("tensors: %s", text);
    if (result->relative_error > 0)
        cm_say("relative error of what was converted: %.2g %%", 100 * result->relative_error);
    if (result->n_requantized > 0)
        cm_say("%" PRIu64 " tensor%s quantized before and keep the losses of that time",
               result->n_requantized, result->n_requantized == 1 ? " was" : "s were");
}

/* ---- the work ---- */

static bool quantize(const struct settings *settings, char *const *operands)
{
    const char *const       in = operands[0], *const out = operands[1], *const type = operands[2];
    struct front            front = {0};
    struct progress_bar     bar;
    calmoe_quantize_options how;
    calmoe_quantize_result  result = {.size = sizeof result};
    struct fates            fates  = {.type = type};
    if (!cm_front_open(&front)) return false;
    calmoe_quantize_options_init(&how);
    how.quantized      = settings->requantize       ? CALMOE_QUANTIZED_CONVERT
                         : settings->keep_quantized ? CALMOE_QUANTIZED_KEEP
                                                    : CALMOE_QUANTIZED_REFUSE;
    how.on_tensor      = note_tensor;
    how.on_tensor_user = &fates;
    how.progress       = cm_bar_move;
    how.progress_user  = &bar;
    how.n_threads      = settings->threads;
    how.adapter        = settings->merge;
    how.adapter_scale  = settings->scale;
    cm_catch_interrupt();
    cm_bar_begin(&bar, "quantizing");
    const calmoe_status status = calmoe_quantize(front.context, in, out, type, &how, &result);
    cm_bar_end(&bar);
    const bool succeeded = cm_front_succeeded(&front, status);
    if (succeeded) {
        say_fallbacks(&fates);
        say_counts(&fates, &result);
        cm_say("wrote '%s': %s, %.1f MB from %.1f MB", out, result.type, megabytes(&front, out), megabytes(&front, in));
    }
    cm_front_close(&front);
    return succeeded;
}

static int run(int argc, char **argv)
{
    struct settings settings = {.scale = 1};
    int             n_operands;
    const int       parsed = cm_cli_parse(&description, argc, argv, &settings, &n_operands);
    if (parsed != CLI_GO_ON) return parsed;
    if (n_operands < 3)
        return cm_usage_error(description.name, "wanted %s, found %d argument%s", description.operands,
                              n_operands, n_operands == 1 ? "" : "s");
    if (cm_is_same_file(argv[1], argv[2]))
        return cm_usage_error(description.name, "OUT is the same file as IN, '%s'; wanted another", argv[1]);
    if (settings.requantize && settings.keep_quantized)
        return cm_usage_error(description.name, "wanted --requantize or --keep-quantized, found both");
    return quantize(&settings, argv + 1) ? 0 : 1;
}

const struct command cm_command_quantize = {
    .name    = "quantize",
    .summary = "write a model file in another weight type",
    .run     = run,
};
