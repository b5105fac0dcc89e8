/* runtime/families/family_list.c - all families: one row each; and those that one would look for here in vain. */
#include <stddef.h>
#include <string.h>

#include "runtime/families/family.h"

extern const struct family cm_family_mixtral, cm_family_olmoe, cm_family_qwen2_moe, cm_family_qwen3_moe,
    cm_family_granite_moe, cm_family_llama, cm_family_qwen2, cm_family_qwen3, cm_family_gpt_oss, cm_family_qwen3_next,
    cm_family_qwen35_moe, cm_family_qwen35, cm_family_gemma_3, cm_family_gemma_4, cm_family_gemma_4_moe,
    cm_family_deepseek2, cm_family_glm4_moe, cm_family_minimax_m2, cm_family_ernie45_moe, cm_family_hunyuan_moe,
    cm_family_dots1, cm_family_bailing_moe2, cm_family_chatglm, cm_family_llama4, cm_family_glm4,
    cm_family_ernie45, cm_family_hunyuan, cm_family_bloom, cm_family_baichuan, cm_family_phimoe;
extern const struct family cm_family_qwen3_vl, cm_family_qwen3_vl_moe, cm_family_granite, cm_family_hy3,
    cm_family_exaone_moe, cm_family_mistral_3, cm_family_mistral_4, cm_family_deepseek2_dense;
extern const struct family cm_family_lfm2, cm_family_lfm2_moe, cm_family_granite_hybrid, cm_family_granite_hybrid_moe,
    cm_family_nemotron_h, cm_family_nemotron_h_moe;
extern const struct family cm_family_gemma, cm_family_gemma_2, cm_family_phi3, cm_family_smollm3, cm_family_seed_oss,
    cm_family_deepseek, cm_family_bailing_moe, cm_family_afmoe, cm_family_laguna;

static const struct family *const rows[] = {
    &cm_family_mixtral,     &cm_family_olmoe, &cm_family_qwen2_moe, &cm_family_qwen3_moe,
    &cm_family_granite_moe, &cm_family_llama, &cm_family_qwen2,     &cm_family_qwen3,
    &cm_family_gpt_oss,     &cm_family_qwen3_next, &cm_family_qwen35_moe, &cm_family_qwen35,
    &cm_family_gemma_3,     &cm_family_gemma_4, &cm_family_gemma_4_moe, &cm_family_deepseek2,
    &cm_family_glm4_moe,    &cm_family_minimax_m2, &cm_family_ernie45_moe, &cm_family_hunyuan_moe,
    &cm_family_dots1,       &cm_family_bailing_moe2, &cm_family_chatglm, &cm_family_llama4,
    &cm_family_glm4,        &cm_family_ernie45, &cm_family_hunyuan,
    &cm_family_lfm2,        &cm_family_lfm2_moe, &cm_family_granite_hybrid, &cm_family_granite_hybrid_moe,
    &cm_family_nemotron_h,  &cm_family_nemotron_h_moe, &cm_family_phimoe, &cm_family_baichuan,
    &cm_family_bloom,       &cm_family_qwen3_vl, &cm_family_qwen3_vl_moe, &cm_family_granite, &cm_family_hy3,
    &cm_family_exaone_moe,  &cm_family_mistral_3, &cm_family_mistral_4, &cm_family_deepseek2_dense,
    &cm_family_gemma,       &cm_family_gemma_2, &cm_family_phi3, &cm_family_smollm3, &cm_family_seed_oss,
    &cm_family_deepseek,    &cm_family_bailing_moe, &cm_family_afmoe, &cm_family_laguna,
};

/* Architectures of files that people have, and the names of their families: who opens one is told what it is. */
static const struct {
    const char *architecture, *name;
} not_run[] = {
    {"jamba", "Jamba"},
    {"bailingmoe3", "Ling 3"},
    {"glm-dsa", "GLM-5"},
    {"gemma3n", "Gemma 3n"},
    {"minimax-m3", "MiniMax-M3"},
    {"deepseek32", "DeepSeek-V3.2"},
    {"deepseek4", "DeepSeek-V4"},
    {"command-r", "Command R"},
    {"grok", "Grok"},
    {"dbrx", "DBRX"},
    {"kimi-linear", "Kimi-Linear"},
    {"step35", "Step-3.5"},
    {"mimo2", "MiMo-V2"},
    {"smallthinker", "SmallThinker"},
    {"grovemoe", "GroveMoE"},
    {"cohere2", "Command R7B"},
    {"olmo2", "OLMo 2"},
    {"exaone4", "EXAONE 4"},
    {"apertus", "Apertus"},
    {"falcon-h1", "Falcon-H1"},
};

const char *cm_family_not_run(const char *architecture)
{
    for (size_t i = 0; i < sizeof not_run / sizeof *not_run; i++)
        if (strcmp(not_run[i].architecture, architecture) == 0) return not_run[i].name;
    return NULL;
}

bool cm_family_needs_key(const struct family *family, const char *name)
{
    for (const char *const *key = family ? family->keys : NULL; key && *key; key++)
        if (strcmp(*key, name) == 0) return true;
    return false;
}

const struct family *cm_family_at(int i)
{
    return i >= 0 && i < (int)(sizeof rows / sizeof *rows) ? rows[i] : NULL;
}

const struct family *cm_family_of(const char *architecture, bool has_experts)
{
    const struct family *family;
    for (int i = 0; (family = cm_family_at(i)) != NULL; i++)
        if (strcmp(family->architecture, architecture) == 0 && family->has_experts == has_experts) return family;
    return NULL;
}
