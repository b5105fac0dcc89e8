"""What files of some families say beyond what all say, as converters write it: keys behind "<architecture>.", and the names
of tensors that are theirs alone."""
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


KEYS = {
    "glm4moe": lambda c: {"rope.dimension_count": rotated(c), **experts_of_deepseek(c)},
    "minimax-m2": lambda c: {"rope.dimension_count": rotated(c), "expert_feed_forward_length": c.intermediate_size,
                             "expert_gating_func": SIGMOID},
}


def family_keys(arch, config):
    """{key behind "<architecture>.": int, float or bool}."""
    return KEYS[arch](config) if arch in KEYS else {}


def add_family_keys(g, arch, config):
    for key, value in family_keys(arch, config).items():
        add = g.add_bool if isinstance(value, bool) else g.add_uint32 if isinstance(value, int) else g.add_float32
        add(f"{arch}.{key}", value)
