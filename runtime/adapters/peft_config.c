/* runtime/adapters/peft_config.c - see peft_config.h. */
#include "runtime/adapters/peft_config.h"

#include <math.h>
#include <regex.h>
#include <stdio.h>
#include <string.h>

enum { MAX_PATTERN_BYTES = 256 };

/* Members that, unless they are absent, null, false, empty or as stated, change more than products of matrices, or
 * change them in another way. */
static const struct refused {
    const char *key;
    const char *fine; /* a text that asks for nothing; NULL: no text does */
    const char *why;
} refused[] = {
    {"use_dora", NULL, "it is a DoRA, which scales the model's own weights, too"},
    {"modules_to_save", NULL, "it replaces whole modules of the model, and only what is added to matrices is run"},
    {"bias", "none", "it changes biases, and only what is added to matrices is run"},
    {"lora_bias", NULL, "it has biases of its own, and only what is added to matrices is run"},
    {"trainable_token_indices", NULL, "it replaces rows of the embedding, and only what is added to matrices is run"},
    {"alora_invocation_tokens", NULL, "it works from certain tokens on (aLoRA); only those that work from the first "
                                      "one "
                                      "are run"},
    {"layer_replication", NULL, "it repeats layers of the model"},
    {"use_qalora", NULL, "it pools inputs (QA-LoRA), which is not run"},
    {"velora_config", NULL, "it is a VeLoRA, which is not run"},
    {"kasa_config", NULL, "it is a KaSA, which is not run"},
    {"arrow_config", NULL, "it chooses among adapters (Arrow), which is not run"},
    {"use_bdlora", NULL, "it is block-diagonal (BD-LoRA), which is not run"},
    {"monteclora_config", NULL, "it draws its matrices at random (MonteCLoRA), which is not run"},
};

/* How the two matrices began (init_lora_weights), where the model's weights were left as they are. Other ways (PiSSA,
 * OLoRA, CorDA, LoftQ, LoRA-GA) take something off the weights first, so that the adapter is for other weights. */
static const char *const fine_beginnings[] = {"gaussian", "eva", "orthogonal", "mica"};

static bool asks_for_something(const struct json_value *value, const char *fine)
{
    size_t n;
    switch (cm_json_sort(value)) {
    case JSON_IS_ABSENT:
    case JSON_IS_NULL: return false;
    case JSON_IS_BOOL: return cm_json_integer(value) != 0;
    case JSON_IS_ARRAY:
    case JSON_IS_OBJECT: return cm_json_length(value) > 0;
    case JSON_IS_TEXT: return !fine || strcmp(cm_json_bytes(value, &n), fine) != 0;
    default: return true;
    }
}

static calmoe_status read_kind(const struct adapter_reading *reading, const struct json_value *root, bool *has_prefix)
{
    /* A cartridge is trained otherwise than a prefix, and is one. */
    static const char *const prefixes[] = {"PREFIX_TUNING", "CARTRIDGE"};
    const struct json_value type = cm_json_get(root, "peft_type");
    const char *name;
    CM_TRY(cm_json_text(reading->ctx, &type, &name));
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++) *has_prefix |= strcmp(name, prefixes[i]) == 0;
    if (*has_prefix || strcmp(name, "LORA") == 0) return CALMOE_OK;
    return cm_fail(reading->ctx, CALMOE_UNSUPPORTED,
                   "'%s' is an adapter of the kind '%.40s'; LORA, PREFIX_TUNING and CARTRIDGE are run", reading->name,
                   name);
}

static calmoe_status check(const struct adapter_reading *reading, const struct json_value *root)
{
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        const struct json_value value = cm_json_get(root, refused[i].key);
        if (asks_for_something(&value, refused[i].fine))
            return cm_fail(reading->ctx, CALMOE_UNSUPPORTED, "'%s' cannot be run: %s (%s)", reading->name,
                           refused[i].why, refused[i].key);
    }
    return CALMOE_OK;
}

static calmoe_status check_beginning(const struct adapter_reading *reading, const struct json_value *root)
{
    const struct json_value value = cm_json_get(root, "init_lora_weights");
    size_t n;
    if (cm_json_sort(&value) != JSON_IS_TEXT) return CALMOE_OK;
    const char *name = cm_json_bytes(&value, &n);
    for (size_t i = 0; i < sizeof fine_beginnings / sizeof *fine_beginnings; i++)
        if (strcmp(name, fine_beginnings[i]) == 0) return CALMOE_OK;
    return cm_fail(reading->ctx, CALMOE_UNSUPPORTED, "'%s' cannot be run: it began with other weights than the model's "
                   "own ('%.40s', init_lora_weights), and fits those; PEFT saves it for the model's own by "
                   "path_initial_model_for_weight_conversion", reading->name, name);
}

static calmoe_status read_numbers(const struct adapter_reading *reading, struct peft_config *out)
{
    const struct json_value alpha = cm_json_get(&out->root, "lora_alpha");
    struct json_value       root;
    CM_TRY(cm_json_number(reading->ctx, &alpha, -1e9, 1e9, &out->alpha));
    CM_TRY(cm_json_find(reading->ctx, &out->root, "use_rslora", &root));
    if (root.json && cm_json_sort(&root) != JSON_IS_NULL)
        CM_TRY(cm_json_bool(reading->ctx, &root, &out->divides_by_root));
    out->patterns = cm_json_get(&out->root, "alpha_pattern");
    reading->out->alpha = cm_json_length(&out->patterns) > 0 ? 0.0f : (float)out->alpha;
    return CALMOE_OK;
}

static calmoe_status read_prefix(const struct adapter_reading *reading, struct peft_config *out)
{
    const struct json_value n = cm_json_get(&out->root, "num_virtual_tokens");
    const struct json_value n_models = cm_json_get(&out->root, "num_transformer_submodules");
    int64_t                 n_positions;
    CM_TRY(cm_json_int(reading->ctx, &n, 1, ADAPTER_MAX_POSITIONS, &n_positions));
    out->n_positions = (int)n_positions;
    if (asks_for_something(&n_models, NULL) && cm_json_integer(&n_models) != 1)
        return cm_fail(reading->ctx, CALMOE_UNSUPPORTED, "'%s' is for a model with an encoder and a decoder "
                       "(num_transformer_submodules)", reading->name);
    return CALMOE_OK;
}

calmoe_status cm_peft_config_open(const struct adapter_reading *reading, const char *path, struct peft_config *out)
{
    *out = (struct peft_config){0};
    CM_TRY(cm_json_open(reading->ctx, path, &out->document));
    out->root = cm_json_root(&out->document);
    if (!cm_json_is_object(&out->root)) return cm_json_wrong(reading->ctx, &out->root, "an object");
    CM_TRY(read_kind(reading, &out->root, &out->has_prefix));
    CM_TRY(check(reading, &out->root));
    CM_TRY(check_beginning(reading, &out->root));
    return out->has_prefix ? read_prefix(reading, out) : read_numbers(reading, out);
}

void cm_peft_config_close(struct peft_config *config) { cm_json_close(&config->document); }

/* ---- patterns ---- */

/* PEFT reads a pattern as a regular expression of Python, behind nothing or a dot, up to the module's end. Of those
 * this
 * takes what POSIX writes alike, and \d; repetitions with numbers can cost any time and room, so they are none. False:
 * something else is in it. */
static bool translate(const char *pattern, char *out, size_t n_out)
{
    size_t n = (size_t)snprintf(out, n_out, "^(.*\\.)?(");
    if (strlen(pattern) > MAX_PATTERN_BYTES || strstr(pattern, "(?")) return false;
    for (const char *at = pattern; *at; at++) {
        if (*at == '{' || (*at == '\\' && at[1] != '.' && at[1] != 'd')) return false;
        if (*at == '\\' && at[1] == 'd') n += (size_t)snprintf(out + n, n_out - n, "[0-9]");
        else if (*at == '\\') n += (size_t)snprintf(out + n, n_out - n, "[.]");
        else out[n++] = *at;
        if (*at == '\\') at++;
    }
    snprintf(out + n, n_out - n, ")$");
    return true;
}

static calmoe_status matches(const struct adapter_reading *reading, const char *pattern, const char *module, bool *does)
{
    char    text[5 * MAX_PATTERN_BYTES + 32];
    regex_t compiled;
    if (!translate(pattern, text, sizeof text) || regcomp(&compiled, text, REG_EXTENDED | REG_NOSUB) != 0)
        return cm_fail(reading->ctx, CALMOE_UNSUPPORTED, "'%s': alpha_pattern has '%.80s', which is not read here; "
                                                         "names of "
                       "modules, and simple regular expressions are", reading->name, pattern);
    *does = regexec(&compiled, module, 0, NULL, 0) == 0;
    regfree(&compiled);
    return CALMOE_OK;
}

calmoe_status cm_peft_scale(const struct adapter_reading *reading, const struct peft_config *config,
                            const char *module, int rank, float *scale)
{
    double            alpha = config->alpha;
    struct json_value member = {0};
    bool              does = false;
    while (!does && cm_json_next(&config->patterns, &member)) {
        CM_TRY(matches(reading, member.key, module, &does));
        if (does) CM_TRY(cm_json_number(reading->ctx, &member, -1e9, 1e9, &alpha));
    }
    *scale = (float)(alpha / (config->divides_by_root ? sqrt(rank) : rank));
    return CALMOE_OK;
}
