/* runtime/adapters/peft_modules.c - see peft_modules.h. */
#include "runtime/adapters/peft_modules.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of a layer: behind "layers.3.", and the tensor behind "blk.3.". */
static const struct row {
    const char      *path, *role;
    enum module_form form;
} rows[] = {
    {"self_attn.q_proj", "attn_q.weight", MODULE_HEADS},
    {"self_attn.k_proj", "attn_k.weight", MODULE_HEADS},
    {"self_attn.v_proj", "attn_v.weight", MODULE_AS_IT_IS},
    {"self_attn.o_proj", "attn_output.weight", MODULE_AS_IT_IS},
    {"self_attn.out_proj", "attn_output.weight", MODULE_AS_IT_IS},
    {"self_attn.qkv_proj", "attn_qkv.weight", MODULE_AS_IT_IS},
    {"attention.query_key_value", "attn_qkv.weight", MODULE_AS_IT_IS},
    {"attention.dense", "attn_output.weight", MODULE_AS_IT_IS},
    {"self_attn.q_a_proj", "attn_q_a.weight", MODULE_AS_IT_IS},
    {"self_attn.q_b_proj", "attn_q_b.weight", MODULE_AS_IT_IS},
    {"self_attn.kv_a_proj_with_mqa", "attn_kv_a_mqa.weight", MODULE_AS_IT_IS},
    {"self_attn.kv_b_proj", "", MODULE_KEY_VALUE},
    {"mamba.in_proj", "ssm_in.weight", MODULE_AS_IT_IS},
    {"mamba.out_proj", "ssm_out.weight", MODULE_AS_IT_IS},
    {"conv.in_proj", "shortconv.in_proj.weight", MODULE_AS_IT_IS},
    {"conv.out_proj", "shortconv.out_proj.weight", MODULE_AS_IT_IS},
    {"mlp.gate_proj", "ffn_gate.weight", MODULE_AS_IT_IS},
    {"mlp.up_proj", "ffn_up.weight", MODULE_AS_IT_IS},
    {"mlp.down_proj", "ffn_down.weight", MODULE_AS_IT_IS},
    {"mlp.gate_up_proj", ".weight", MODULE_GATE_UP},
    {"feed_forward.gate_proj", "ffn_gate.weight", MODULE_AS_IT_IS},
    {"feed_forward.up_proj", "ffn_up.weight", MODULE_AS_IT_IS},
    {"feed_forward.down_proj", "ffn_down.weight", MODULE_AS_IT_IS},
    {"feed_forward.w1", "ffn_gate.weight", MODULE_AS_IT_IS},
    {"feed_forward.w3", "ffn_up.weight", MODULE_AS_IT_IS},
    {"feed_forward.w2", "ffn_down.weight", MODULE_AS_IT_IS},
    {"mlp.gate", "ffn_gate_inp.weight", MODULE_AS_IT_IS},
    {"mlp.gate.wg", "ffn_gate_inp.weight", MODULE_AS_IT_IS},
    {"mlp.router", "ffn_gate_inp.weight", MODULE_AS_IT_IS},
    {"router.proj", "ffn_gate_inp.weight", MODULE_AS_IT_IS},
    {"feed_forward.router", "ffn_gate_inp.weight", MODULE_AS_IT_IS},
    {"feed_forward.gate", "ffn_gate_inp.weight", MODULE_AS_IT_IS},
    {"block_sparse_moe.gate", "ffn_gate_inp.weight", MODULE_AS_IT_IS},
    {"block_sparse_moe.router.layer", "ffn_gate_inp.weight", MODULE_AS_IT_IS},
    {"mlp.shared_expert_gate", "ffn_gate_inp_shexp.weight", MODULE_AS_IT_IS},
    {"mlp.shared_expert.gate_proj", "ffn_gate_shexp.weight", MODULE_AS_IT_IS},
    {"mlp.shared_expert.up_proj", "ffn_up_shexp.weight", MODULE_AS_IT_IS},
    {"mlp.shared_expert.down_proj", "ffn_down_shexp.weight", MODULE_AS_IT_IS},
    {"mlp.shared_experts.gate_proj", "ffn_gate_shexp.weight", MODULE_AS_IT_IS},
    {"mlp.shared_experts.up_proj", "ffn_up_shexp.weight", MODULE_AS_IT_IS},
    {"mlp.shared_experts.down_proj", "ffn_down_shexp.weight", MODULE_AS_IT_IS},
    {"mlp.shared_mlp.gate_proj", "ffn_gate_shexp.weight", MODULE_AS_IT_IS},
    {"mlp.shared_mlp.up_proj", "ffn_up_shexp.weight", MODULE_AS_IT_IS},
    {"mlp.shared_mlp.down_proj", "ffn_down_shexp.weight", MODULE_AS_IT_IS},
    {"feed_forward.shared_expert.gate_proj", "ffn_gate_shexp.weight", MODULE_AS_IT_IS},
    {"feed_forward.shared_expert.up_proj", "ffn_up_shexp.weight", MODULE_AS_IT_IS},
    {"feed_forward.shared_expert.down_proj", "ffn_down_shexp.weight", MODULE_AS_IT_IS},
    {"shared_mlp.input_linear", "_shexp.weight", MODULE_GATE_UP},
    {"shared_mlp.output_linear", "ffn_down_shexp.weight", MODULE_AS_IT_IS},
    {"mlp.experts", "", MODULE_EXPERTS},
    {"feed_forward.experts", "", MODULE_EXPERTS},
    {"block_sparse_moe.experts", "", MODULE_EXPERTS},
    {"block_sparse_moe.input_linear", "", MODULE_EXPERTS},
    {"block_sparse_moe.output_linear", "", MODULE_EXPERTS},
    {"experts", "", MODULE_EXPERTS},
};

/* One expert's matrix: behind "experts.7.". */
static const struct {
    const char *path, *part;
} experts[] = {
    {"gate_proj", "gate"}, {"up_proj", "up"}, {"down_proj", "down"}, {"w1", "gate"}, {"w3", "up"}, {"w2", "down"},
};

/* What may stand in front of "layers.3.", or of the embedding. */
static const char *const beginnings[] = {
    "model.", "model.language_model.", "language_model.model.", "language_model.", "backbone.", "transformer.", "",
};

static bool begins_with(const char *text, const char *beginning)
{
    return strncmp(text, beginning, strlen(beginning)) == 0;
}

/* The number at *at, which moves behind it and the dot that follows; -1: there is none. */
static int take_number(const char **at)
{
    char *end;
    if (!isdigit((unsigned char)**at) || strlen(*at) < 2) return -1;
    const long n = strtol(*at, &end, 10);
    if (*end != '.' || n > 65535) return -1;
    *at = end + 1;
    return (int)n;
}

static bool find_expert(const char *path, struct module *out)
{
    const char *at = strstr(path, "experts.");
    if (!at || (at != path && at[-1] != '.')) return false;
    at += strlen("experts.");
    out->expert = take_number(&at);
    for (size_t i = 0; out->expert >= 0 && i < sizeof experts / sizeof *experts; i++) {
        if (strcmp(at, experts[i].path) != 0) continue;
        out->form = MODULE_AS_IT_IS;
        snprintf(out->role, sizeof out->role, "blk.%d.ffn_%s_exps.weight", out->layer, experts[i].part);
        return true;
    }
    return false;
}

static bool find_in_layer(const char *path, struct module *out)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (strcmp(path, rows[i].path) != 0) continue;
        out->form = rows[i].form;
        if (out->form == MODULE_GATE_UP) snprintf(out->role, sizeof out->role, "%s", rows[i].role);
        else if (rows[i].role[0] != '\0')
            snprintf(out->role, sizeof out->role, "blk.%d.%s", out->layer, rows[i].role);
        return true;
    }
    return find_expert(path, out);
}

static bool find_behind(const char *path, struct module *out)
{
    if (strcmp(path, "lm_head") == 0) {
        snprintf(out->role, sizeof out->role, "output.weight");
        return true;
    }
    if (strcmp(path, "embed_tokens") == 0 || strcmp(path, "embeddings") == 0) {
        out->form = MODULE_EMBEDDING;
        snprintf(out->role, sizeof out->role, "token_embd.weight");
        return true;
    }
    if (!begins_with(path, "layers.")) return false;
    const char *at = path + strlen("layers.");
    out->layer = take_number(&at);
    return out->layer >= 0 && find_in_layer(at, out);
}

bool cm_peft_module(const char *name, struct module *out)
{
    for (size_t i = 0; i < sizeof beginnings / sizeof *beginnings; i++) {
        *out = (struct module){.form = MODULE_AS_IT_IS, .layer = -1, .expert = -1};
        if (begins_with(name, beginnings[i]) && find_behind(name + strlen(beginnings[i]), out)) return true;
    }
    return false;
}
