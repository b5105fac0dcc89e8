"""Layers of latent attention in GGUF form: tensors of `self_attn.*`, and the keys that tell of them.

Published weights have key and value matrices of all heads in one: by head the rows of K' (nope dimensions), then those of V.
Files have them apart, K not transposed any more; old ones (`is_old`) have them as they are.
"""
import numpy as np
from gguf import ExpertGatingFuncType, RopeScalingType

NAMES = {
    "q_proj": "attn_q", "q_a_proj": "attn_q_a", "q_a_layernorm": "attn_q_a_norm", "q_b_proj": "attn_q_b",
    "kv_a_proj_with_mqa": "attn_kv_a_mqa", "kv_a_layernorm": "attn_kv_a_norm", "o_proj": "attn_output",
}


def mla_tensors(short, w, config, is_old):
    """{GGUF name: array} of one tensor `self_attn.SHORT.weight`."""
    if short != "kv_b_proj":
        return {f"{NAMES[short]}.weight": w}
    if is_old:
        return {"attn_kv_b.weight": w}
    by_head = w.reshape(config.num_attention_heads, config.qk_nope_head_dim + config.v_head_dim, config.kv_lora_rank)
    k, v = np.split(by_head, [config.qk_nope_head_dim], axis=1)
    return {"attn_k_b.weight": k.swapaxes(1, 2), "attn_v_b.weight": v}


def add_mla_keys(g, config, is_old):
    key_size = config.qk_nope_head_dim + config.qk_rope_head_dim
    if config.q_lora_rank:
        g.add_q_lora_rank(config.q_lora_rank)
    g.add_kv_lora_rank(config.kv_lora_rank)
    if is_old:
        g.add_key_length(key_size)
        g.add_value_length(config.v_head_dim)
    else:
        g.add_key_length(config.kv_lora_rank + config.qk_rope_head_dim)
        g.add_value_length(config.kv_lora_rank)
        g.add_key_length_mla(key_size)
        g.add_value_length_mla(config.v_head_dim)
    g.add_rope_dimension_count(config.qk_rope_head_dim)
    p = config.rope_parameters
    if p["rope_type"] == "yarn":
        g.add_rope_scaling_type(RopeScalingType.YARN)
        g.add_rope_scaling_factor(p["factor"])
        g.add_rope_scaling_orig_ctx_len(p["original_max_position_embeddings"])
        g.add_rope_scaling_yarn_log_mul(0.1 * p["mscale_all_dim"])


def add_router_keys(g, config):
    if config.model_type == "youtu":                            # all layers are dense
        g.add_leading_dense_block_count(config.num_hidden_layers)
        return
    is_sigmoid = config.model_type == "deepseek_v3"
    g.add_leading_dense_block_count(config.first_k_dense_replace)
    g.add_expert_count(config.n_routed_experts)
    g.add_expert_used_count(config.num_experts_per_tok)
    g.add_expert_feed_forward_length(config.moe_intermediate_size)
    g.add_expert_shared_count(config.n_shared_experts)
    g.add_expert_weights_scale(config.routed_scaling_factor)
    if config.n_group:
        g.add_expert_group_count(config.n_group)
        g.add_expert_group_used_count(config.topk_group)
    if config.norm_topk_prob:
        g.add_expert_weights_norm(config.norm_topk_prob)
    g.add_expert_gating_func(ExpertGatingFuncType.SIGMOID if is_sigmoid else ExpertGatingFuncType.SOFTMAX)
