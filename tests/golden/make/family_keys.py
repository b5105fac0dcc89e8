"""What files of some families say beyond what all say, as converters write it: keys behind "<architecture>.", and the names
of tensors that are theirs alone."""
import math

import numpy as np

SIGMOID = 2                                                     # the number of this gating function in files


def rotated(config):
    """Dimensions of a head that are rotated."""
    return int(config.head_dim * config.rope_parameters["partial_rotary_factor"])


def experts_of_deepseek(config):
    """A router with sigmoids and biases for choosing, dense layers first, shared experts."""
    return {
        "leading_dense_block_count": config.first_k_dense_replace, "expert_count": config.n_routed_experts,
        "expert_shared_count": config.n_shared_experts, "expert_feed_forward_length": config.moe_intermediate_size,
        "expert_weights_scale": float(config.routed_scaling_factor), "expert_weights_norm": bool(config.norm_topk_prob),
        "expert_gating_func": SIGMOID, "expert_used_count": config.num_experts_per_tok,
    }


def as_deepseek(c):
    """Of dots.llm1 and Ling 2."""
    return {**experts_of_deepseek(c), **({"rope.dimension_count": rotated(c)} if "partial_rotary_factor" in c.rope_parameters else {})}


def of_ernie(c):
    return {"expert_count": c.moe_num_experts, "expert_used_count": c.moe_k, "interleave_moe_layer_step": c.moe_layer_interval,
            "leading_dense_block_count": c.moe_layer_start_index, "expert_feed_forward_length": c.moe_intermediate_size,
            "expert_shared_count": c.moe_num_shared_experts}


def of_phi(c):
    """LongRoPE's magnitude is one of the lengths of two contexts."""
    original = c.rope_parameters["original_max_position_embeddings"]
    size = c.hidden_size // c.num_attention_heads
    return {"rope.dimension_count": int(size * c.rope_parameters.get("partial_rotary_factor", 1.0)), "attention.sliding_window": c.sliding_window,
            "rope.scaling.original_context_length": original,
            "rope.scaling.attn_factor": math.sqrt(1 + math.log(c.max_position_embeddings / original) / math.log(original))}


def of_mistral_3(c):
    p = c.rope_parameters
    return {"rope.dimension_count": c.head_dim, "rope.scaling.type": p["rope_type"], "rope.scaling.factor": float(p["factor"]),
            "rope.scaling.original_context_length": p["original_max_position_embeddings"],
            "rope.scaling.yarn_beta_fast": float(p["beta_fast"]), "rope.scaling.yarn_beta_slow": float(p["beta_slow"]),
            "rope.scaling.yarn_log_multiplier": float(p["mscale_all_dim"]),
            "attention.temperature_scale": float(p["llama_4_scaling_beta"])}


def of_exaone_moe(c):
    return {"leading_dense_block_count": c.first_k_dense_replace, "expert_shared_count": c.num_shared_experts,
            "expert_feed_forward_length": c.moe_intermediate_size, "expert_gating_func": SIGMOID,
            "expert_weights_scale": float(c.routed_scaling_factor), "expert_weights_norm": bool(c.norm_topk_prob),
            "attention.sliding_window": c.sliding_window,
            "attention.sliding_window_pattern": [kind == "sliding_attention" for kind in c.layer_types],
            "rope.scaling.type": "none"}


def of_afmoe(c):
    return {"rope.dimension_count": c.head_dim, "attention.sliding_window": c.sliding_window,
            "leading_dense_block_count": c.num_dense_layers, "expert_feed_forward_length": c.moe_intermediate_size,
            "expert_shared_count": c.num_shared_experts, "expert_weights_scale": float(c.route_scale), "expert_weights_norm": True}


def of_laguna(c):
    p = c.rope_parameters["full_attention"]
    yarn = {"rope.scaling.type": "yarn", "rope.scaling.factor": float(p["factor"]),
            "rope.scaling.original_context_length": p["original_max_position_embeddings"],
            "rope.scaling.yarn_attn_factor": float(p["attention_factor"]), "rope.scaling.yarn_beta_fast": float(p["beta_fast"]),
            "rope.scaling.yarn_beta_slow": float(p["beta_slow"])} if p["rope_type"] == "yarn" else {}
    windows = {"attention.sliding_window": c.sliding_window, "rope.dimension_count_swa": c.head_dim,
               "rope.freq_base_swa": float(c.rope_parameters["sliding_attention"]["rope_theta"])} if c.sliding_window else {}
    return {"rope.dimension_count": int(c.head_dim * p["partial_rotary_factor"]), **yarn, **windows,
            "expert_feed_forward_length": c.moe_intermediate_size, "leading_dense_block_count": 1,
            "expert_shared_feed_forward_length": c.shared_expert_intermediate_size, "expert_gating_func": SIGMOID,
            "expert_weights_scale": float(c.moe_routed_scaling_factor), "expert_weights_norm": True}


KEYS = {
    "afmoe": of_afmoe,
    "laguna": of_laguna,
    "exaone-moe": of_exaone_moe,
    "mistral3": of_mistral_3,
    "phimoe": of_phi,
    "phi3": of_phi,
    "gemma2": lambda c: {"attention.sliding_window": c.sliding_window, "attn_logit_softcapping": c.attn_logit_softcapping,
                         "final_logit_softcapping": c.final_logit_softcapping},
    "smollm3": lambda c: {"rope.dimension_count": c.hidden_size // c.num_attention_heads},
    "deepseek": lambda c: {"rope.dimension_count": c.hidden_size // c.num_attention_heads,
                           **{k: v for k, v in experts_of_deepseek(c).items() if k not in ("expert_gating_func", "expert_weights_norm")}},
    "bailingmoe": lambda c: {"rope.dimension_count": c.hidden_size // c.num_attention_heads, "leading_dense_block_count": 0,
                             "expert_feed_forward_length": c.intermediate_size, "expert_shared_count": 2,
                             "expert_weights_scale": 1.0, "expert_weights_norm": True},
    "bloom": lambda c: {"feed_forward_length": 4 * c.hidden_size, "attention.head_count": c.n_head,
                        "attention.head_count_kv": c.n_head, "attention.layer_norm_epsilon": c.layer_norm_epsilon},
    "baichuan": lambda c: {"rope.dimension_count": c.hidden_size // c.num_attention_heads},
    "ernie4_5-moe": of_ernie,
    "hunyuan-moe": lambda c: {"expert_feed_forward_length": c.intermediate_size,
                              "expert_shared_feed_forward_length": c.intermediate_size, "expert_shared_count": 1},
    "dots1": as_deepseek,
    "bailingmoe2": lambda c: {**as_deepseek(c), "expert_group_count": c.n_group, "expert_group_used_count": c.topk_group,
                              "expert_shared_feed_forward_length": c.moe_intermediate_size * c.n_shared_experts},
    "llama4": lambda c: {"rope.dimension_count": c.head_dim, "interleave_moe_layer_step": c.interleave_moe_layer_step,
                         "expert_feed_forward_length": c.intermediate_size, "attention.sliding_window": c.attention_chunk_size,
                         "attention.temperature_length": c.floor_scale, "attention.temperature_scale": c.attn_scale},
    "glm4": lambda c: {"rope.dimension_count": rotated(c)},
    "chatglm": lambda c: {"rope.dimension_count": rotated(c)},
    "glm4moe": lambda c: {"rope.dimension_count": rotated(c), **experts_of_deepseek(c)},
    "minimax-m2": lambda c: {"rope.dimension_count": rotated(c), "expert_feed_forward_length": c.intermediate_size,
                             "expert_gating_func": SIGMOID},
}


def family_keys(arch, config):
    """{key behind "<architecture>.": int, float, bool, text or list}."""
    return KEYS[arch](config) if arch in KEYS else {}


def add_family_keys(g, arch, config):
    for key, value in family_keys(arch, config).items():
        add = next(add for kind, add in ((bool, g.add_bool), (int, g.add_uint32), (str, g.add_string), (list, g.add_array),
                                         (float, g.add_float32)) if isinstance(value, kind))
        add(f"{arch}.{key}", value)


def fused(tensors):
    """q, k and v of each layer in one tensor, q's rows first."""
    out = {}
    for name, w in tensors.items():
        kind = next((k for k in ("weight", "bias") for x in "kv" if name.endswith(f"attn_{x}.{k}")), None)
        if name.endswith(("attn_q.weight", "attn_q.bias")):
            out[name.replace("attn_q.", "attn_qkv.")] = np.concatenate([tensors[name.replace("attn_q.", f"attn_{x}.")] for x in "qkv"])
        elif not kind:
            out[name] = w
    return out
