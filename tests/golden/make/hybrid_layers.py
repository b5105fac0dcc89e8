"""Layers of Mamba-2 and of short convolutions in GGUF form: tensors of `mamba.*`, `mixer.*` and `conv.*`, and the keys that
tell of them. Layers of Nemotron-H are one half each, and all of their tensors are `mixer.*`."""
import numpy as np
from gguf import ExpertGatingFuncType

ARCHITECTURES = ("lfm2", "lfm2moe", "granitehybrid", "nemotron_h", "nemotron_h_moe")

MAMBA = {
    "in_proj.weight": lambda w, groups: {"ssm_in.weight": w},
    "conv1d.weight": lambda w, groups: {"ssm_conv1d.weight": w[:, 0]},
    "conv1d.bias": lambda w, groups: {"ssm_conv1d.bias": w},
    "dt_bias": lambda w, groups: {"ssm_dt.bias": w},
    "A_log": lambda w, groups: {"ssm_a": -np.exp(w)[:, None]},
    "D": lambda w, groups: {"ssm_d": w[:, None]},
    "norm.weight": lambda w, groups: {"ssm_norm.weight": w.reshape(groups, -1)},
    "out_proj.weight": lambda w, groups: {"ssm_out.weight": w},
}
SHORTCONV = {
    "conv.in_proj.weight": "shortconv.in_proj.weight", "conv.out_proj.weight": "shortconv.out_proj.weight",
    "operator_norm.weight": "attn_norm.weight", "ffn_norm.weight": "ffn_norm.weight",
    "self_attn.out_proj.weight": "attn_output.weight",
    "self_attn.q_layernorm.weight": "attn_q_norm.weight", "self_attn.k_layernorm.weight": "attn_k_norm.weight",
    "feed_forward.w1.weight": "ffn_gate.weight", "feed_forward.w3.weight": "ffn_up.weight",
    "feed_forward.w2.weight": "ffn_down.weight",
    "feed_forward.gate.weight": "ffn_gate_inp.weight", "feed_forward.expert_bias": "exp_probs_b.bias",
    **{f"self_attn.{x}_proj.weight": f"attn_{x}.weight" for x in "qkv"},
}
ONE_HALF = {                                                    # of Nemotron-H
    "norm.weight": "attn_norm.weight", "mixer.o_proj.weight": "attn_output.weight",
    "mixer.up_proj.weight": "ffn_up.weight", "mixer.down_proj.weight": "ffn_down.weight",
    "mixer.shared_experts.up_proj.weight": "ffn_up_shexp.weight",
    "mixer.shared_experts.down_proj.weight": "ffn_down_shexp.weight",
    "mixer.gate.weight": "ffn_gate_inp.weight", "mixer.gate.e_score_correction_bias": "exp_probs_b.bias",
    **{f"mixer.{x}_proj.weight": f"attn_{x}.weight" for x in "qkv"},
}


def n_groups(config):
    return getattr(config, "mamba_n_groups", None) or config.n_groups


def hybrid_tensors(short, w, config, arch):
    """{GGUF name: array} of one tensor of a layer; None: it is as in other families."""
    part = short.split(".", 1)[1]
    if arch.startswith("lfm2"):
        if short == "conv.conv.weight":
            return {"shortconv.conv.weight": w[:, 0]}
        return {SHORTCONV[short]: w} if short in SHORTCONV else None
    if short.startswith("mamba.") or (short.startswith("mixer.") and part in MAMBA):
        return MAMBA[part](w, n_groups(config))
    if arch.startswith("nemotron_h"):
        return {ONE_HALF[short]: w} if short in ONE_HALF else None
    if arch == "granitehybrid" and not config.num_local_experts and short.startswith("shared_mlp."):   # it is all there is
        if short.endswith("output_linear.weight"):
            return {"ffn_down.weight": w}
        gate, up = np.split(w, 2)
        return {"ffn_gate.weight": gate, "ffn_up.weight": up}
    return None


def by_block(config, kinds, value, n_blocks):
    """A list for the file: value for layers of these kinds, 0 for others; a further block is of all kinds."""
    further = [value] * (n_blocks - len(config.layer_types))
    return [value if kind in kinds else 0 for kind in config.layer_types] + further


def add_mamba_keys(g, config, state_size, n_taps, n_heads, head_size):
    g.add_ssm_conv_kernel(n_taps)
    g.add_ssm_state_size(state_size)
    g.add_ssm_group_count(n_groups(config))
    g.add_ssm_inner_size(n_heads * head_size)
    g.add_ssm_time_step_rank(n_heads)


def add_lfm2_keys(g, config, arch):
    g.add_feed_forward_length(config.intermediate_size)
    g.add_vocab_size(config.vocab_size)
    g.add_shortconv_l_cache(config.conv_L_cache)
    g.add_layer_norm_rms_eps(config.norm_eps)
    g.add_rope_freq_base(config.rope_parameters["rope_theta"])
    if arch == "lfm2moe":
        g.add_expert_count(config.num_experts)
        g.add_expert_used_count(config.num_experts_per_tok)
        g.add_expert_feed_forward_length(config.moe_intermediate_size)
        g.add_leading_dense_block_count(config.num_dense_layers)
        g.add_expert_gating_func(ExpertGatingFuncType.SIGMOID)


def add_granite_keys(g, config):
    g.add_feed_forward_length(config.intermediate_size)
    g.add_vocab_size(config.vocab_size)
    g.add_layer_norm_rms_eps(config.rms_norm_eps)
    g.add_rope_freq_base(config.rope_parameters["rope_theta"])
    g.add_rope_dimension_count(config.hidden_size // config.num_attention_heads)
    g.add_attention_scale(config.attention_multiplier)
    g.add_embedding_scale(config.embedding_multiplier)
    g.add_residual_scale(config.residual_multiplier)
    g.add_logit_scale(config.logits_scaling)
    g.add_rope_scaling_finetuned(config.position_embedding_type == "rope")
    g.add_expert_count(config.num_local_experts)
    g.add_expert_used_count(config.num_experts_per_tok if config.num_local_experts else 0)
    g.add_expert_shared_feed_forward_length(config.shared_intermediate_size)
    add_mamba_keys(g, config, config.mamba_d_state, config.mamba_d_conv, config.mamba_n_heads, config.mamba_d_head)


def add_nemotron_keys(g, config, arch, n_blocks):
    g.add_vocab_size(config.vocab_size)
    g.add_layer_norm_rms_eps(config.layer_norm_epsilon)
    g.add_layer_norm_eps(config.layer_norm_epsilon)             # files say it twice
    g.add_rope_freq_base(10000.0)                               # nothing is rotated
    g.add_rope_dimension_count(config.hidden_size // config.num_attention_heads)
    g.add_rope_scaling_finetuned(False)
    g.add_key_length(config.head_dim)
    g.add_value_length(config.head_dim)
    width = config.moe_intermediate_size if arch == "nemotron_h_moe" else config.intermediate_size
    g.add_feed_forward_length(by_block(config, ("mlp", "moe"), width, n_blocks))
    add_mamba_keys(g, config, config.ssm_state_size, config.conv_kernel, config.mamba_num_heads, config.mamba_head_dim)
    if arch == "nemotron_h_moe":
        g.add_expert_count(config.n_routed_experts)
        g.add_expert_used_count(config.num_experts_per_tok)
        g.add_expert_feed_forward_length(config.moe_intermediate_size)
        g.add_expert_shared_feed_forward_length(config.moe_shared_expert_intermediate_size)
        g.add_expert_shared_count(config.n_shared_experts)
        g.add_expert_weights_norm(config.norm_topk_prob)
        g.add_expert_weights_scale(config.routed_scaling_factor)
        g.add_expert_group_count(config.n_group)
        g.add_expert_group_used_count(config.topk_group)


def add_hybrid_keys(g, config, arch, n_blocks):
    """All keys of such a file but those that every file has."""
    g.add_head_count(config.num_attention_heads)
    g.add_head_count_kv(by_block(config, ("full_attention",), config.num_key_value_heads, n_blocks))
    g.add_file_type(0)
    if arch.startswith("lfm2"):
        add_lfm2_keys(g, config, arch)
    elif arch == "granitehybrid":
        add_granite_keys(g, config)
    else:
        add_nemotron_keys(g, config, arch, n_blocks)
