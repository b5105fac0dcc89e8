"""The layers of gated delta nets in GGUF form: tensors of `linear_attn.*`, and the keys that tell of them.

Value heads are in groups in published weights: head j belongs to key head j // r, of r value heads for each key head. Files
of qwen35 and qwen35moe have them in turn instead, so that head j belongs to key head j % Hk; those of qwen3next keep groups.
"""
import numpy as np


def in_turn(w, config, size, axis=0):
    """Value heads of `size` rows (or columns) each, from groups to turns."""
    n_keys = config.linear_num_key_heads
    parts = np.moveaxis(w, axis, 0)
    parts = parts.reshape(n_keys, -1, size, *parts.shape[1:]).swapaxes(0, 1).reshape(parts.shape)
    return np.moveaxis(parts, 0, axis)


def split_qkvz(w, config):
    """Rows of in_proj_qkvz stand by key head: q, k, then r heads of v and of z. Returns rows of q, k, v, z."""
    r = config.linear_num_value_heads // config.linear_num_key_heads
    dk, dv = config.linear_key_head_dim, config.linear_value_head_dim
    by_head = w.reshape(config.linear_num_key_heads, 2 * dk + 2 * r * dv, w.shape[1])
    return [part.reshape(-1, w.shape[1]) for part in np.split(by_head, [dk, 2 * dk, 2 * dk + r * dv], axis=1)]


def delta_tensors(short, w, config, arch, is_old):
    """{GGUF name: array} of one tensor `linear_attn.SHORT`; is_old: q, k, v and z in one tensor, as early files had them."""
    dv, n_keys = config.linear_value_head_dim, config.linear_num_key_heads * config.linear_key_head_dim
    turn = (lambda w, size, axis=0: in_turn(w, config, size, axis)) if arch != "qwen3next" else (lambda w, *_: w)
    after_keys = lambda w: np.concatenate([w[:2 * n_keys], turn(w[2 * n_keys:], dv)])
    if short == "in_proj_qkvz.weight":
        if is_old:
            return {"ssm_in.weight": w}
        q, k, v, z = split_qkvz(w, config)
        return {"attn_qkv.weight": np.concatenate([q, k, v]), "attn_gate.weight": z}
    return {
        "in_proj_qkv.weight": lambda: {"attn_qkv.weight": after_keys(w)},
        "in_proj_z.weight": lambda: {"attn_gate.weight": turn(w, dv)},
        "in_proj_ba.weight": lambda: {"ssm_ba.weight": w},
        "in_proj_b.weight": lambda: {"ssm_beta.weight": turn(w, 1)},
        "in_proj_a.weight": lambda: {"ssm_alpha.weight": turn(w, 1)},
        "conv1d.weight": lambda: {"ssm_conv1d.weight": after_keys(w[:, 0])},
        "dt_bias": lambda: {"ssm_dt.bias": turn(w, 1)},
        "A_log": lambda: {"ssm_a": turn(-np.exp(w), 1)},
        "norm.weight": lambda: {"ssm_norm.weight": w},
        "out_proj.weight": lambda: {"ssm_out.weight": turn(w, dv, 1)},
    }[short]()


def add_delta_keys(g, config):
    g.add_ssm_conv_kernel(config.linear_conv_kernel_dim)
    g.add_ssm_state_size(config.linear_key_head_dim)
    g.add_ssm_group_count(config.linear_num_key_heads)
    g.add_ssm_time_step_rank(config.linear_num_value_heads)
    g.add_ssm_inner_size(config.linear_num_value_heads * config.linear_value_head_dim)
    g.add_full_attention_interval(config.layer_types.index("full_attention") + 1)
