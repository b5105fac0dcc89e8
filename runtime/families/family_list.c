/* runtime/families/family_list.c - all families: one row each. */
#include <stddef.h>
#include <string.h>

#include "runtime/families/family.h"

extern const struct family cm_family_mixtral, cm_family_olmoe, cm_family_qwen2_moe, cm_family_qwen3_moe,
    cm_family_granite_moe, cm_family_llama, cm_family_qwen2, cm_family_qwen3, cm_family_gpt_oss, cm_family_qwen3_next,
    cm_family_qwen35_moe, cm_family_qwen35, cm_family_gemma_3, cm_family_gemma_4, cm_family_gemma_4_moe,
    cm_family_deepseek2, cm_family_lfm2, cm_family_lfm2_moe, cm_family_granite_hybrid, cm_family_granite_hybrid_moe,
    cm_family_nemotron_h, cm_family_nemotron_h_moe;

static const struct family *const rows[] = {
    &cm_family_mixtral,     &cm_family_olmoe, &cm_family_qwen2_moe, &cm_family_qwen3_moe,
    &cm_family_granite_moe, &cm_family_llama, &cm_family_qwen2,     &cm_family_qwen3,
    &cm_family_gpt_oss,     &cm_family_qwen3_next, &cm_family_qwen35_moe, &cm_family_qwen35,
    &cm_family_gemma_3,     &cm_family_gemma_4, &cm_family_gemma_4_moe, &cm_family_deepseek2,
    &cm_family_lfm2,        &cm_family_lfm2_moe, &cm_family_granite_hybrid, &cm_family_granite_hybrid_moe,
    &cm_family_nemotron_h,  &cm_family_nemotron_h_moe,
};

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
