#!/usr/bin/env python3
"""Write the golden models: NAME.gguf (a tiny random model of each family) and NAME.expect.gguf (what it must answer).

The answers come from Hugging Face transformers in float32. The path is the one of a published file:
HF model -> save_pretrained (safetensors under the published names) -> the converter below -> GGUF.

    python3 make_models.py [--out DIR] [--keep-hf DIR] [NAME ...]

Weights come from a seeded generator. Seeds are tried upwards from a fixed start until the model is a fair test
(see `fair`): no near-ties in routing or in the greedy choice, every expert used, no degenerate continuation.
"""
import argparse
import math
import os
import tempfile
import zlib

import numpy as np
import torch
import transformers
from gguf import GGUFWriter, RopeScalingType
from safetensors import safe_open
from transformers.utils import logging as hf_logging

import further_block
import toy_tokenizer as toy
from delta_layers import add_delta_keys, delta_tensors
from family_keys import add_family_keys, fused
from hybrid_layers import ARCHITECTURES as HYBRIDS, add_hybrid_keys, hybrid_tensors
from mla_layers import add_mla_keys, add_router_keys, mla_tensors

HERE = os.path.dirname(os.path.abspath(__file__))
N_GREEDY = 16
TEXT = "The 12 experts route\n it's n\u00e9w!"
# Of models whose layers keep a state: longer than the 64 tokens that their authors' code computes at once.
LONG_TEXT = TEXT + " It was a bright cold day in the layers, and the router (3 of 7) sent token 41 to expert 5; then the rest of it went on."

hf_logging.set_verbosity_error()
hf_logging.disable_progress_bar()


# ---------------------------------------------------------------- the models

def qwen_toy(n_merges, n_pad=0):
    return toy.bpe("qwen2", n_merges, ["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
                   {"eos": "<|im_end|>", "padding": "<|endoftext|>", "bos": "<|endoftext|>"}, n_pad=n_pad)


def granite_toy(n_merges):
    return toy.bpe("refact", n_merges, ["<|end_of_text|>", "<fim_prefix>", "<|start_of_role|>", "<|end_of_role|>"],
                   {"bos": "<|end_of_text|>", "eos": "<|end_of_text|>", "padding": "<|end_of_text|>"}, specials_first=True)


def olmo_toy(n_merges):
    return toy.bpe("olmo", n_merges, ["<|endoftext|>", "<|padding|>"],
                   {"bos": "<|endoftext|>", "eos": "<|endoftext|>", "padding": "<|padding|>"})


def llama3_toy(n_merges):
    return toy.bpe("llama-bpe", n_merges, ["<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>"],
                   {"bos": "<|begin_of_text|>", "eos": "<|end_of_text|>", "eot": "<|eot_id|>"})


def gpt_oss_toy(n_merges):
    specials = ["startoftext", "endoftext", "return", "constrain", "channel", "start", "end", "message", "call"]
    return toy.bpe("gpt-4o", n_merges, [f"<|{name}|>" for name in specials],
                   {"bos": "<|startoftext|>", "eos": "<|return|>", "padding": "<|endoftext|>"})


def qwen35_toy(n_merges):
    return toy.bpe("qwen35", n_merges, ["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
                   {"eos": "<|im_end|>", "padding": "<|endoftext|>", "bos": "<|endoftext|>"})


def glm_toy(n_merges):
    """Ends: of the text, and the roles of whom the model answers to."""
    return toy.bpe("glm4", n_merges, ["<|endoftext|>", "[gMASK]", "<sop>", "<|system|>", "<|user|>", "<|assistant|>", "<|observation|>"],
                   {"eos": "<|endoftext|>", "padding": "<|endoftext|>", "eot": "<|user|>", "eom": "<|observation|>"})


def minimax_toy(n_merges):
    return toy.bpe("minimax-m2", n_merges, ["]~!b[", "]~b]", "[e~["], {"bos": "]~!b[", "eos": "[e~[", "unknown": "]~!b["})


def hunyuan_toy(n_merges, pre="hunyuan"):
    return toy.bpe(pre, n_merges, ["<|endoftext|>", "<|startoftext|>", "<|extra_0|>", "<|extra_4|>", "<|eos|>"],
                   {"eos": "<|eos|>", "padding": "<|endoftext|>", "bos": "<|startoftext|>"})


def dots_toy(n_merges):
    return toy.bpe("qwen2", n_merges, ["<|endoftext|>", "<|userprompt|>", "<|endofuserprompt|>", "<|response|>", "<|endofresponse|>"],
                   {"eos": "<|endofresponse|>", "padding": "<|endoftext|>", "bos": "<|endoftext|>"})


def ling_toy(n_merges, pre="bailingmoe2"):
    return toy.bpe(pre, n_merges, ["<|startoftext|>", "<|endoftext|>", "<role>", "</role>", "<|role_end|>"],
                   {"eos": "<|role_end|>", "padding": "<|endoftext|>", "bos": "<|startoftext|>"})


def llama4_toy(n_merges):
    return toy.bpe("llama4", n_merges, ["<|begin_of_text|>", "<|end_of_text|>", "<|eom|>", "<|eot|>"],
                   {"bos": "<|begin_of_text|>", "eos": "<|eot|>"})


def chatglm_toy(n_merges):
    return toy.bpe("chatglm-bpe", n_merges, ["<|endoftext|>", "[gMASK]", "<sop>", "<|user|>", "<|assistant|>", "<|observation|>"],
                   {"eos": "<|endoftext|>", "padding": "<|endoftext|>", "eot": "<|user|>"})


def deepseek_toy(pre, n_merges):
    return toy.bpe(pre, n_merges, ["<\uff5cbegin\u2581of\u2581sentence\uff5c>", "<\uff5cend\u2581of\u2581sentence\uff5c>"],
                   {"bos": "<\uff5cbegin\u2581of\u2581sentence\uff5c>", "eos": "<\uff5cend\u2581of\u2581sentence\uff5c>",
                    "padding": "<\uff5cend\u2581of\u2581sentence\uff5c>"})


def exaone_toy(n_merges):
    return toy.bpe("qwen2", n_merges, ["[PAD]", "<|endoftext|>", "<|endofturn|>"],
                   {"bos": "<|endoftext|>", "eos": "<|endofturn|>", "padding": "[PAD]"})


def mistral_toy(n_merges):
    return toy.bpe("pixtral", n_merges, ["<unk>", "<s>", "</s>"], {"bos": "<s>", "eos": "</s>", "unknown": "<unk>"}, specials_first=True)


def lfm2_toy(n_merges):
    return toy.bpe("lfm2", n_merges, ["<|pad|>", "<|startoftext|>", "<|endoftext|>", "<|im_start|>", "<|im_end|>"],
                   {"bos": "<|startoftext|>", "eos": "<|im_end|>", "padding": "<|pad|>"}, specials_first=True)


def granite4_toy(n_merges):
    return toy.bpe("dbrx", n_merges, ["<|pad|>", "<|end_of_text|>", "<|start_of_role|>", "<|end_of_role|>", "<|unk|>"],
                   {"bos": "<|end_of_text|>", "eos": "<|end_of_text|>", "padding": "<|pad|>", "unknown": "<|unk|>"})


def nemotron_toy(n_merges):
    return toy.bpe("pixtral", n_merges, ["<unk>", "<s>", "</s>", "<|im_start|>", "<|im_end|>"],
                   {"bos": "<s>", "eos": "<|im_end|>", "unknown": "<unk>"}, specials_first=True)


def bloom_toy(n_merges):
    return toy.bpe("bloom", n_merges, ["<unk>", "<s>", "</s>", "<pad>"],
                   {"unknown": "<unk>", "bos": "<s>", "eos": "</s>", "padding": "<pad>"}, specials_first=True)


def phi_toy(count):
    """Its control tokens stand behind the pieces in published files, before the bytes here."""
    return toy.spm(toy.SPM_PIECES[:count], ("<unk>", "<s>", "</s>", "<|endoftext|>", "<|assistant|>", "<|end|>", "<|user|>"),
                   unknown=0, bos=1, eos=3)


def smollm_toy(n_merges):
    return toy.bpe("smaug-bpe", n_merges, ["<|begin_of_text|>", "<|end_of_text|>", "<|im_start|>", "<|im_end|>"],
                   {"bos": "<|begin_of_text|>", "eos": "<|im_end|>", "padding": "<|im_end|>"})


def rope(theta, **more):
    return {"rope_type": "default", "rope_theta": theta, **more}


# name: (HF class stem, GGUF architecture, tokenizer, config)
# The eps of most are larger than in published models, so that a wrong eps shows; OLMoE's converter always writes 1e-5.
MODELS = {
    "mixtral": ("Mixtral", "llama", lambda: toy.spm_toy(29), dict(
        hidden_size=40, num_hidden_layers=3, num_attention_heads=6, num_key_value_heads=2, head_dim=8,
        num_local_experts=5, num_experts_per_tok=2, intermediate_size=12,
        rms_norm_eps=2e-3, rope_parameters=rope(1e6), max_position_embeddings=512)),
    "olmoe": ("Olmoe", "olmoe", lambda: olmo_toy(35), dict(
        hidden_size=40, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=4,
        num_experts=7, num_experts_per_tok=3, intermediate_size=8, norm_topk_prob=False,
        rms_norm_eps=1e-5, rope_parameters=rope(1e4), max_position_embeddings=256)),
    "qwen2moe": ("Qwen2Moe", "qwen2moe", lambda: qwen_toy(33), dict(
        hidden_size=40, num_hidden_layers=3, num_attention_heads=5, num_key_value_heads=1,
        num_experts=6, num_experts_per_tok=4, moe_intermediate_size=9, shared_expert_intermediate_size=20,
        intermediate_size=77, norm_topk_prob=False,
        rms_norm_eps=1e-3, rope_parameters=rope(1e6), max_position_embeddings=512)),
    "qwen3moe": ("Qwen3Moe", "qwen3moe", lambda: qwen_toy(41), dict(
        hidden_size=36, num_hidden_layers=4, num_attention_heads=6, num_key_value_heads=2, head_dim=10,
        num_experts=7, num_experts_per_tok=3, moe_intermediate_size=6, intermediate_size=77, norm_topk_prob=True,
        rms_norm_eps=3e-3, rope_parameters=rope(1e7), max_position_embeddings=512)),
    "granitemoe": ("GraniteMoe", "granitemoe", lambda: granite_toy(37), dict(
        hidden_size=40, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=4,
        num_local_experts=9, num_experts_per_tok=4, intermediate_size=9,
        embedding_multiplier=6.0, residual_multiplier=0.45, attention_multiplier=0.21, logits_scaling=3.0,
        tie_word_embeddings=True, rms_norm_eps=4e-3, rope_parameters=rope(1e4), max_position_embeddings=512)),
    "granitemoeshared": ("GraniteMoeShared", "granitemoe", lambda: granite_toy(30), dict(
        hidden_size=56, num_hidden_layers=3, num_attention_heads=7, num_key_value_heads=1,
        num_local_experts=5, num_experts_per_tok=2, intermediate_size=8, shared_intermediate_size=12,
        embedding_multiplier=12.0, residual_multiplier=0.35, attention_multiplier=0.5, logits_scaling=2.0,
        tie_word_embeddings=True, rms_norm_eps=2e-3, rope_parameters=rope(2e4), max_position_embeddings=512)),
    "llama": ("Llama", "llama", lambda: toy.spm_toy(27), dict(
        hidden_size=40, num_hidden_layers=4, num_attention_heads=4, num_key_value_heads=2, head_dim=14,
        intermediate_size=33, rms_norm_eps=1e-3, rope_parameters=rope(1e4), max_position_embeddings=512)),
    "llama3": ("Llama", "llama", lambda: llama3_toy(42), dict(
        hidden_size=40, num_hidden_layers=3, num_attention_heads=2, num_key_value_heads=1, head_dim=24,
        intermediate_size=72, tie_word_embeddings=True, rms_norm_eps=1e-5, max_position_embeddings=256,
        rope_parameters=rope(500.0, rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
                             original_max_position_embeddings=32))),
    "qwen2": ("Qwen2", "qwen2", lambda: qwen_toy(29, n_pad=5), dict(
        hidden_size=72, num_hidden_layers=3, num_attention_heads=6, num_key_value_heads=1,
        intermediate_size=24, tie_word_embeddings=True,
        rms_norm_eps=1e-3, rope_parameters=rope(1e6), max_position_embeddings=512)),
    "qwen3": ("Qwen3", "qwen3", lambda: qwen_toy(38), dict(
        hidden_size=40, num_hidden_layers=4, num_attention_heads=3, num_key_value_heads=3, head_dim=16,
        intermediate_size=50, tie_word_embeddings=True,
        rms_norm_eps=5e-3, rope_parameters=rope(5e4), max_position_embeddings=512)),
    "qwen2moemixed": ("Qwen2Moe", "qwen2moe", lambda: qwen_toy(36), dict(
        hidden_size=48, num_hidden_layers=4, num_attention_heads=4, num_key_value_heads=2,
        num_experts=5, num_experts_per_tok=2, moe_intermediate_size=10, shared_expert_intermediate_size=14,
        intermediate_size=22, decoder_sparse_step=2, norm_topk_prob=False,
        rms_norm_eps=2e-3, rope_parameters=rope(1e6), max_position_embeddings=512)),
    "qwen3moemixed": ("Qwen3Moe", "qwen3moe", lambda: qwen_toy(39), dict(
        hidden_size=32, num_hidden_layers=4, num_attention_heads=4, num_key_value_heads=2, head_dim=12,
        num_experts=6, num_experts_per_tok=2, moe_intermediate_size=8, intermediate_size=28, norm_topk_prob=True,
        mlp_only_layers=[0, 2], rms_norm_eps=2e-3, rope_parameters=rope(1e6), max_position_embeddings=512)),
    "llamabias": ("Llama", "llama", lambda: toy.spm_toy(31), dict(
        hidden_size=42, num_hidden_layers=3, num_attention_heads=6, num_key_value_heads=3, head_dim=10,
        intermediate_size=29, attention_bias=True, mlp_bias=True,
        rms_norm_eps=2e-3, rope_parameters=rope(2e4), max_position_embeddings=512)),
    # Layers 0 and 2 see a window, which the text is longer than. YaRN's ramp begins and ends between two pairs.
    "gptoss": ("GptOss", "gpt-oss", lambda: gpt_oss_toy(34), dict(
        hidden_size=36, num_hidden_layers=4, num_attention_heads=6, num_key_value_heads=2, head_dim=12,
        num_local_experts=5, num_experts_per_tok=3, intermediate_size=11, sliding_window=7, rms_norm_eps=2e-3,
        max_position_embeddings=4096,
        rope_parameters=rope(1e3, rope_type="yarn", factor=4.0, beta_fast=32.0, beta_slow=1.0, truncate=False,
                             original_max_position_embeddings=1024))),
    # Gated delta nets, and attention in every third or second layer.
    "qwen3next": ("Qwen3Next", "qwen3next", lambda: qwen_toy(35), dict(
        hidden_size=36, num_hidden_layers=4, num_attention_heads=4, num_key_value_heads=2, head_dim=16,
        linear_num_key_heads=3, linear_num_value_heads=6, linear_key_head_dim=10, linear_value_head_dim=10,
        full_attention_interval=3, num_experts=6, num_experts_per_tok=3, moe_intermediate_size=7,
        shared_expert_intermediate_size=12, intermediate_size=77, norm_topk_prob=True,
        rms_norm_eps=1e-3, rope_parameters=rope(1e4, partial_rotary_factor=0.25), max_position_embeddings=512)),
    "qwen3nextold": ("Qwen3Next", "qwen3next", lambda: qwen_toy(34), dict(
        hidden_size=32, num_hidden_layers=3, num_attention_heads=2, num_key_value_heads=1, head_dim=12,
        linear_num_key_heads=2, linear_num_value_heads=6, linear_key_head_dim=8, linear_value_head_dim=8,
        linear_conv_kernel_dim=3, full_attention_interval=2, num_experts=5, num_experts_per_tok=2,
        moe_intermediate_size=6, shared_expert_intermediate_size=9, intermediate_size=24, mlp_only_layers=[1],
        rms_norm_eps=2e-3, rope_parameters=rope(1e5, partial_rotary_factor=0.5), max_position_embeddings=512)),
    "qwen35moe": ("Qwen3_5Moe", "qwen35moe", lambda: qwen35_toy(40), dict(
        hidden_size=40, num_hidden_layers=5, num_attention_heads=6, num_key_value_heads=2, head_dim=16,
        linear_num_key_heads=2, linear_num_value_heads=4, linear_key_head_dim=8, linear_value_head_dim=8,
        full_attention_interval=4, num_experts=7, num_experts_per_tok=2, moe_intermediate_size=9,
        shared_expert_intermediate_size=10,
        rms_norm_eps=1e-3, rope_parameters=rope(1e4, partial_rotary_factor=0.25), max_position_embeddings=512)),
    "qwen35": ("Qwen3_5", "qwen35", lambda: qwen35_toy(31), dict(
        hidden_size=32, num_hidden_layers=4, num_attention_heads=3, num_key_value_heads=1, head_dim=24,
        linear_num_key_heads=2, linear_num_value_heads=6, linear_key_head_dim=12, linear_value_head_dim=20,
        full_attention_interval=2, intermediate_size=40, tie_word_embeddings=True,
        rms_norm_eps=2e-3, rope_parameters=rope(1e4, partial_rotary_factor=0.25), max_position_embeddings=512)),
    # Layer 5 sees all positions, at an eighth of their distance; the others see a window, which the text is longer than.
    "gemma3": ("Gemma3", "gemma3", lambda: toy.gemma3_toy(28), dict(
        hidden_size=36, num_hidden_layers=7, num_attention_heads=6, num_key_value_heads=2, head_dim=12,
        query_pre_attn_scalar=12, intermediate_size=26, sliding_window=7, rms_norm_eps=2e-3, tie_word_embeddings=True,
        max_position_embeddings=512,
        rope_parameters={"full_attention": rope(1e5, rope_type="linear", factor=8.0), "sliding_attention": rope(1e4)})),
    # Latent attention. The eps is what transformers has for the norms of latents, whatever the configuration says.
    "deepseek2": ("DeepseekV2", "deepseek2", lambda: deepseek_toy("deepseek-llm", 33), dict(
        hidden_size=40, num_hidden_layers=4, num_attention_heads=5, num_key_value_heads=5, q_lora_rank=None,
        kv_lora_rank=20, qk_nope_head_dim=14, qk_rope_head_dim=6, v_head_dim=10, first_k_dense_replace=1,
        n_routed_experts=12, num_experts_per_tok=3, n_group=4, topk_group=2, topk_method="group_limited_greedy",
        routed_scaling_factor=1.7, moe_intermediate_size=8, n_shared_experts=2, intermediate_size=28,
        rms_norm_eps=1e-6, rope_parameters=rope(1e4), max_position_embeddings=512)),
    "deepseek2old": ("DeepseekV2", "deepseek2", lambda: deepseek_toy("deepseek-llm", 30), dict(
        hidden_size=32, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=4, q_lora_rank=None,
        kv_lora_rank=24, qk_nope_head_dim=8, qk_rope_head_dim=4, v_head_dim=12, first_k_dense_replace=1,
        n_routed_experts=6, num_experts_per_tok=2, topk_method="greedy",
        routed_scaling_factor=1.0, moe_intermediate_size=7, n_shared_experts=1, intermediate_size=20,
        rms_norm_eps=1e-6, max_position_embeddings=2048,
        rope_parameters=rope(1e3, rope_type="yarn", factor=4.0, original_max_position_embeddings=512,
                             beta_fast=32, beta_slow=1, mscale=0.707, mscale_all_dim=0.707))),
    "deepseek3": ("DeepseekV3", "deepseek2", lambda: deepseek_toy("deepseek-v3", 36), dict(
        hidden_size=48, num_hidden_layers=4, num_attention_heads=8, num_key_value_heads=8, q_lora_rank=18,
        kv_lora_rank=16, qk_nope_head_dim=10, qk_rope_head_dim=8, v_head_dim=6, first_k_dense_replace=2,
        n_routed_experts=12, num_experts_per_tok=3, n_group=3, topk_group=2, norm_topk_prob=True,
        routed_scaling_factor=2.5, moe_intermediate_size=7, n_shared_experts=1, intermediate_size=24,
        rms_norm_eps=1e-6, max_position_embeddings=4096,
        rope_parameters=rope(1e3, rope_type="yarn", factor=8.0, original_max_position_embeddings=512,
                             beta_fast=32, beta_slow=1, mscale=1.0, mscale_all_dim=1.0))),
    # Layer 5 sees all positions: its heads are larger, half of each is turned, and its keys are its values.
    "gemma4moe": ("Gemma4", "gemma4", lambda: toy.gemma4_toy(28), dict(
        hidden_size=36, num_hidden_layers=6, num_attention_heads=6, num_key_value_heads=3, head_dim=12,
        global_head_dim=20, num_global_key_value_heads=2, attention_k_eq_v=True, intermediate_size=26, sliding_window=7,
        enable_moe_block=True, num_experts=5, top_k_experts=2, moe_intermediate_size=9, hidden_size_per_layer_input=0,
        final_logit_softcapping=8.0, rms_norm_eps=2e-3, tie_word_embeddings=True, max_position_embeddings=512,
        rope_parameters={"full_attention": rope(1e3, rope_type="proportional", partial_rotary_factor=0.5),
                         "sliding_attention": rope(1e4)})),
    "gemma4": ("Gemma4", "gemma4", lambda: toy.gemma3_toy(29), dict(
        hidden_size=36, num_hidden_layers=6, num_attention_heads=4, num_key_value_heads=2, head_dim=10,
        global_head_dim=16, attention_k_eq_v=False, intermediate_size=30,
        layer_types=[f"{kind}_attention" for kind in ("sliding", "sliding", "full") * 2], sliding_window=9, hidden_size_per_layer_input=0,
        final_logit_softcapping=10.0, rms_norm_eps=2e-3, tie_word_embeddings=True, max_position_embeddings=512,
        rope_parameters={"full_attention": rope(1e3, rope_type="proportional", partial_rotary_factor=0.25),
                         "sliding_attention": rope(1e4)})),
    # Half of each head is rotated; the text has a block behind it that predicts a further token.
    "glm4moe": ("Glm4Moe", "glm4moe", lambda: glm_toy(33), dict(
        hidden_size=40, num_hidden_layers=4, num_attention_heads=4, num_key_value_heads=2, head_dim=12,
        attention_bias=True, use_qk_norm=True, first_k_dense_replace=1, n_routed_experts=6, num_experts_per_tok=2,
        routed_scaling_factor=1.6, moe_intermediate_size=9, n_shared_experts=1, intermediate_size=26,
        rms_norm_eps=1e-3, rope_parameters=rope(1e4, partial_rotary_factor=0.5), max_position_embeddings=512)),
    "minimaxm2": ("MiniMaxM2", "minimax-m2", lambda: minimax_toy(35), dict(
        hidden_size=36, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2, head_dim=16,
        num_local_experts=7, num_experts_per_tok=3, intermediate_size=9,
        rms_norm_eps=2e-3, rope_parameters=rope(1e4, partial_rotary_factor=0.5), max_position_embeddings=512)),
    # Layers 1 and 3 have experts.
    "ernie": ("Ernie4_5_Moe", "ernie4_5-moe", lambda: toy.spm_toy(28), dict(
        hidden_size=40, num_hidden_layers=4, num_attention_heads=4, num_key_value_heads=2, head_dim=14,
        intermediate_size=26, moe_intermediate_size=7, moe_k=2, moe_num_experts=5, moe_num_shared_experts=2,
        moe_layer_start_index=1, moe_layer_interval=2, use_bias=False, tie_word_embeddings=True,
        rms_norm_eps=1e-3, rope_parameters=rope(5e4), max_position_embeddings=512)),
    "hunyuan": ("HunYuanMoEV1", "hunyuan-moe", lambda: hunyuan_toy(31), dict(
        hidden_size=40, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2, head_dim=14,
        intermediate_size=11, num_experts=6, moe_topk=2, tie_word_embeddings=True,
        rms_norm_eps=2e-3, rope_parameters=rope(1e6), max_position_embeddings=512)),
    "dots1": ("Dots1", "dots1", lambda: dots_toy(36), dict(
        hidden_size=36, num_hidden_layers=3, num_attention_heads=3, num_key_value_heads=3, head_dim=16,
        intermediate_size=28, moe_intermediate_size=7, n_shared_experts=2, n_routed_experts=8, num_experts_per_tok=3,
        first_k_dense_replace=1, norm_topk_prob=True, routed_scaling_factor=2.5, sliding_window=None,
        rms_norm_eps=2e-3, rope_parameters=rope(1e5), max_position_embeddings=512)),
    # Ling 2: its equations are GLM-4.5's with groups of experts; its files have q, k and v in one tensor.
    "ling2": ("Glm4Moe", "bailingmoe2", lambda: ling_toy(34), dict(
        hidden_size=40, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2, head_dim=12,
        attention_bias=False, use_qk_norm=True, first_k_dense_replace=1, n_routed_experts=12, num_experts_per_tok=3,
        n_group=4, topk_group=2, routed_scaling_factor=2.5, moe_intermediate_size=8, n_shared_experts=1,
        intermediate_size=24, rms_norm_eps=1e-3, rope_parameters=rope(6e5, partial_rotary_factor=0.5),
        max_position_embeddings=512)),
    "chatglm": ("Glm", "chatglm", lambda: chatglm_toy(33), dict(
        hidden_size=40, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2, head_dim=12,
        intermediate_size=30, attention_bias=True,
        rms_norm_eps=1e-3, rope_parameters=rope(1e4, partial_rotary_factor=0.5), max_position_embeddings=512)),
    "glm4": ("Glm4", "glm4", lambda: glm_toy(31), dict(
        hidden_size=40, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2, head_dim=12,
        intermediate_size=28, attention_bias=True,
        rms_norm_eps=1e-3, rope_parameters=rope(1e4, partial_rotary_factor=0.5), max_position_embeddings=512)),
    "erniedense": ("Ernie4_5", "ernie4_5", lambda: toy.spm_toy(29), dict(
        hidden_size=40, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=1, head_dim=14,
        intermediate_size=27, use_bias=False, tie_word_embeddings=True,
        rms_norm_eps=2e-3, rope_parameters=rope(5e4), max_position_embeddings=512)),
    "hunyuandense": ("HunYuanDenseV1", "hunyuan-dense", lambda: hunyuan_toy(33, "hunyuan-dense"), dict(
        hidden_size=40, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2, head_dim=14,
        intermediate_size=29, tie_word_embeddings=True,
        rms_norm_eps=2e-3, rope_parameters=rope(1e6), max_position_embeddings=512)),
    # Layer 3 sees all positions and does not rotate; the others see chunks of 9. Layers 1, 3 and 5 have experts.
    "llama4": ("Llama4", "llama4", lambda: llama4_toy(35), dict(
        hidden_size=40, num_hidden_layers=6, num_attention_heads=4, num_key_value_heads=2, head_dim=14,
        intermediate_size=11, intermediate_size_mlp=26, num_local_experts=5, num_experts_per_tok=1,
        interleave_moe_layer_step=2, use_qk_norm=True, attention_chunk_size=9, floor_scale=6, attn_scale=0.4,
        rms_norm_eps=2e-3, rope_parameters=rope(5e3), max_position_embeddings=512)),
    # Short convolutions; layers 1 and 4 attend, layer 0 is dense.
    "lfm2moe": ("Lfm2Moe", "lfm2moe", lambda: lfm2_toy(33), dict(
        hidden_size=36, num_hidden_layers=5, layer_types=["conv", "full_attention", "conv", "conv", "full_attention"],
        num_attention_heads=6, num_key_value_heads=2, intermediate_size=26, moe_intermediate_size=9, num_experts=7,
        num_experts_per_tok=3, num_dense_layers=1, conv_L_cache=3, tie_word_embeddings=True,
        norm_eps=2e-3, rope_parameters=rope(1e5), max_position_embeddings=512)),
    "lfm2": ("Lfm2", "lfm2", lambda: lfm2_toy(30), dict(
        hidden_size=40, num_hidden_layers=4, layer_types=["conv", "conv", "full_attention", "conv"],
        num_attention_heads=4, num_key_value_heads=1, intermediate_size=34, block_auto_adjust_ff_dim=False, conv_L_cache=5,
        tie_word_embeddings=False, norm_eps=1e-3, rope_parameters=rope(1e4), max_position_embeddings=512)),
    # Mamba-2; layer 2 attends, unrotated; the dense one's layer 1, rotated.
    "granitehybridmoe": ("GraniteMoeHybrid", "granitehybrid", lambda: granite4_toy(35), dict(
        hidden_size=36, num_hidden_layers=4,
        layer_types=["linear_attention", "linear_attention", "full_attention", "linear_attention"],
        num_attention_heads=6, num_key_value_heads=2, num_local_experts=7, num_experts_per_tok=3, intermediate_size=9,
        shared_intermediate_size=14, mamba_n_heads=6, mamba_d_head=12, mamba_d_state=10, mamba_d_conv=4, mamba_chunk_size=32,
        embedding_multiplier=6.0, residual_multiplier=0.45, attention_multiplier=0.3, logits_scaling=3.0,
        tie_word_embeddings=True, rms_norm_eps=2e-3, rope_parameters=rope(1e4), max_position_embeddings=512)),
    "granitehybrid": ("GraniteMoeHybrid", "granitehybrid", lambda: granite4_toy(32), dict(
        hidden_size=40, num_hidden_layers=3, layer_types=["linear_attention", "full_attention", "linear_attention"],
        num_attention_heads=4, num_key_value_heads=4, num_local_experts=0, num_experts_per_tok=0, intermediate_size=30,
        shared_intermediate_size=30, mamba_n_heads=4, mamba_d_head=20, mamba_d_state=18, mamba_d_conv=3, mamba_chunk_size=32,
        position_embedding_type="rope", embedding_multiplier=5.0, residual_multiplier=0.6, attention_multiplier=0.25,
        logits_scaling=2.0, tie_word_embeddings=True, rms_norm_eps=1e-3, rope_parameters=rope(1e3),
        max_position_embeddings=512)),
    # Each layer is one half: Mamba-2 in groups, attention, or a feed-forward half without gate.
    "nemotronhmoe": ("NemotronH", "nemotron_h_moe", lambda: nemotron_toy(34), dict(
        hidden_size=36, layers_block_type=["linear_attention", "moe", "linear_attention", "moe", "full_attention", "moe"],
        num_attention_heads=6, num_key_value_heads=2, head_dim=10, ssm_state_size=12, n_groups=3, mamba_num_heads=6,
        mamba_head_dim=9, conv_kernel=4, chunk_size=32, n_routed_experts=8, num_experts_per_tok=2, n_group=2, topk_group=1,
        moe_intermediate_size=10, moe_shared_expert_intermediate_size=15, routed_scaling_factor=2.5, norm_topk_prob=True,
        layer_norm_epsilon=2e-3, max_position_embeddings=512)),
    "nemotronh": ("NemotronH", "nemotron_h", lambda: nemotron_toy(31), dict(
        hidden_size=40, layers_block_type=["linear_attention", "mlp", "full_attention", "mlp", "linear_attention"],
        num_attention_heads=4, num_key_value_heads=2, head_dim=12, ssm_state_size=16, n_groups=2, mamba_num_heads=4,
        mamba_head_dim=18, conv_kernel=4, chunk_size=32, intermediate_size=34,
        layer_norm_epsilon=1e-3, max_position_embeddings=512)),
    # LongRoPE: transformers 5 has the short factors at any length, so they are the file's long ones here. 1.2431631 is
    # the published model's own number, which files do not have.
    "phimoe": ("Phimoe", "phimoe", lambda: phi_toy(28), dict(
        hidden_size=40, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2,
        num_local_experts=5, num_experts_per_tok=2, intermediate_size=9, attention_bias=True, lm_head_bias=True,
        router_jitter_noise=0.01, sliding_window=131072, rms_norm_eps=2e-3, max_position_embeddings=131072,
        rope_parameters=rope(1e3, rope_type="longrope", short_factor=[1.0, 1.3, 1.9, 3.1, 5.7], long_factor=[9.0] * 5,
                             short_mscale=1.243163121016122, long_mscale=1.243163121016122,
                             original_max_position_embeddings=4096))),
    # Layers 0, 2 and 3 see a window and rotate; layers 1 and 4 see all positions and do not.
    "exaonemoe": ("ExaoneMoe", "exaone-moe", lambda: exaone_toy(34), dict(
        hidden_size=36, num_hidden_layers=5, num_attention_heads=4, num_key_value_heads=2, head_dim=12,
        layer_types=[f"{kind}_attention" for kind in ("sliding", "full", "sliding", "sliding", "full")], sliding_window=7,
        intermediate_size=26, moe_intermediate_size=8, num_experts=6, num_experts_per_tok=2, num_shared_experts=2,
        first_k_dense_replace=1, n_group=1, topk_group=1, norm_topk_prob=True, routed_scaling_factor=2.5,
        rms_norm_eps=2e-3, rope_parameters=rope(1e4), max_position_embeddings=512)),
    # Queries grow at every seventh position, or eighth.
    "mistral3": ("Ministral3", "mistral3", lambda: mistral_toy(35), dict(
        hidden_size=40, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2, head_dim=14,
        intermediate_size=28, sliding_window=None, rms_norm_eps=2e-3, max_position_embeddings=512,
        rope_parameters=rope(1e2, rope_type="yarn", factor=8.0, original_max_position_embeddings=7, beta_fast=4.0,
                             beta_slow=1.0, mscale=1.0, mscale_all_dim=1.0, llama_4_scaling_beta=0.4))),
    "mistral4": ("Mistral4", "mistral4", lambda: mistral_toy(33), dict(
        hidden_size=40, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=4, q_lora_rank=18,
        kv_lora_rank=20, qk_nope_head_dim=10, qk_rope_head_dim=6, v_head_dim=8, first_k_dense_replace=1,
        n_routed_experts=6, num_experts_per_tok=2, n_group=1, topk_group=1, norm_topk_prob=True,
        routed_scaling_factor=1.0, moe_intermediate_size=8, n_shared_experts=1, intermediate_size=24,
        rms_norm_eps=1e-6, max_position_embeddings=512,
        rope_parameters=rope(1e2, rope_type="yarn", factor=8.0, original_max_position_embeddings=8, beta_fast=32.0,
                             beta_slow=1.0, mscale=1.0, mscale_all_dim=1.0, llama_4_scaling_beta=0.1))),
    # DeepSeek's layers without experts.
    "youtu": ("Youtu", "deepseek2", lambda: deepseek_toy("deepseek-v3", 32), dict(
        hidden_size=36, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=4, q_lora_rank=20,
        kv_lora_rank=16, qk_nope_head_dim=10, qk_rope_head_dim=6, v_head_dim=12, intermediate_size=30,
        tie_word_embeddings=True, rms_norm_eps=1e-6, rope_parameters=rope(1e4), max_position_embeddings=512)),
    # No position is told but by slopes on scores; 6 heads are no power of two.
    "bloom": ("Bloom", "bloom", lambda: bloom_toy(34), dict(
        hidden_size=36, n_layer=3, n_head=6, layer_norm_epsilon=2e-3)),
    # Baichuan's 7B is Llama. Its 13B has BLOOM's slopes, by its 40 heads; transformers has no such model, but Llama's
    # layers with BLOOM's attention scores are it.
    "baichuan": ("Llama", "baichuan", lambda: toy.spm_toy(30), dict(
        hidden_size=40, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=4,
        intermediate_size=30, rms_norm_eps=2e-3, rope_parameters=rope(1e4), max_position_embeddings=512)),
    "baichuan13b": ("Llama", "baichuan", lambda: toy.spm_toy(29), dict(
        hidden_size=80, num_hidden_layers=2, num_attention_heads=40, num_key_value_heads=40,
        intermediate_size=26, rms_norm_eps=2e-3, rope_parameters=rope(1e4), max_position_embeddings=512)),
    "gemma": ("Gemma", "gemma", lambda: toy.gemma3_toy(30), dict(
        hidden_size=36, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=1, head_dim=12, intermediate_size=26,
        hidden_activation="gelu_pytorch_tanh", tie_word_embeddings=True, rms_norm_eps=2e-3, rope_parameters=rope(1e4),
        max_position_embeddings=512)),
    # Layers 0 and 2 see a window.
    "gemma2": ("Gemma2", "gemma2", lambda: toy.gemma3_toy(31), dict(
        hidden_size=36, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2, head_dim=12, query_pre_attn_scalar=12,
        intermediate_size=26, sliding_window=7, attn_logit_softcapping=3.0, final_logit_softcapping=10.0, tie_word_embeddings=True,
        rms_norm_eps=2e-3, rope_parameters=rope(1e4), max_position_embeddings=512)),
    # LongRoPE of a text beyond the original context: the long factors act. Three quarters of each head are rotated.
    "phi3": ("Phi3", "phi3", lambda: phi_toy(29), dict(
        hidden_size=48, num_hidden_layers=3, num_attention_heads=3, num_key_value_heads=1, intermediate_size=26,
        sliding_window=9, rms_norm_eps=2e-3, max_position_embeddings=64, original_max_position_embeddings=8,
        rope_parameters=rope(1e3, rope_type="longrope", partial_rotary_factor=0.75, short_factor=[9.0] * 6,
                             long_factor=[1.0, 1.3, 1.9, 3.1, 5.7, 8.0], original_max_position_embeddings=8))),
    # Layer 3 does not rotate.
    "smollm3": ("SmolLM3", "smollm3", lambda: smollm_toy(35), dict(
        hidden_size=40, num_hidden_layers=5, num_attention_heads=4, num_key_value_heads=2,
        intermediate_size=26, tie_word_embeddings=True, rms_norm_eps=2e-3, rope_parameters=rope(1e3), max_position_embeddings=512)),
    "seedoss": ("SeedOss", "seed_oss", lambda: qwen_toy(33), dict(
        hidden_size=40, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, head_dim=14,
        intermediate_size=26, attention_bias=True, attention_out_bias=False, residual_dropout=0.0, attention_dropout=0.0,
        rms_norm_eps=2e-3, rope_parameters=rope(1e5), max_position_embeddings=512)),
    # DeepSeek-MoE of 2024-01: Llama's layers with DeepSeek-V2's experts (use_experts). Layer 0 is dense.
    "deepseek": ("Llama", "deepseek", lambda: deepseek_toy("deepseek-llm", 31), dict(
        hidden_size=40, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=4, intermediate_size=26,
        first_k_dense_replace=1, n_routed_experts=7, num_experts_per_tok=3, n_shared_experts=2, moe_intermediate_size=8,
        n_group=1, topk_group=1, topk_method="greedy", routed_scaling_factor=1.0, norm_topk_prob=False,
        rms_norm_eps=2e-3, rope_parameters=rope(1e4), max_position_embeddings=512)),
    # Ling 1: Granite's layers with multipliers of 1; a softmax over the chosen logits is one over all, renormalised.
    "ling": ("GraniteMoeShared", "bailingmoe", lambda: ling_toy(35, "bailingmoe"), dict(
        hidden_size=40, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, num_local_experts=6,
        num_experts_per_tok=2, intermediate_size=9, shared_intermediate_size=18, embedding_multiplier=1.0,
        residual_multiplier=1.0, attention_multiplier=10 ** -0.5, logits_scaling=1.0, tie_word_embeddings=False,
        rms_norm_eps=2e-3, rope_parameters=rope(6e5), max_position_embeddings=512)),
    # Layer 3 sees all positions and does not rotate; the others see a window and do. Layer 0 is dense.
    "afmoe": ("Afmoe", "afmoe", lambda: qwen_toy(34), dict(
        hidden_size=36, num_hidden_layers=4, num_attention_heads=4, num_key_value_heads=2, head_dim=10, intermediate_size=24,
        moe_intermediate_size=8, num_experts=6, num_experts_per_tok=2, num_shared_experts=2, num_dense_layers=1,
        route_scale=2.5, sliding_window=7, global_attn_every_n_layers=4, mup_enabled=True,
        rms_norm_eps=2e-3, rope_parameters=rope(1e4), max_position_embeddings=512)),
    # Layer 0 sees all positions with half of each head rotated, by YaRN; the others a window, with more heads.
    "laguna": ("Laguna", "laguna", lambda: qwen_toy(37), dict(
        hidden_size=36, num_hidden_layers=3, num_attention_heads=4, num_attention_heads_per_layer=[4, 6, 6],
        num_key_value_heads=2, head_dim=12, layer_types=["full_attention", "sliding_attention", "sliding_attention"],
        intermediate_size=24, moe_intermediate_size=8, shared_expert_intermediate_size=11, num_experts=7, num_experts_per_tok=3,
        moe_routed_scaling_factor=2.5, sliding_window=7, rms_norm_eps=2e-3, max_position_embeddings=512,
        rope_parameters={"full_attention": rope(1e2, rope_type="yarn", factor=4.0, original_max_position_embeddings=16,
                                                beta_fast=4.0, beta_slow=1.0, attention_factor=1.3, partial_rotary_factor=0.5),
                         "sliding_attention": rope(1e4, partial_rotary_factor=1.0)})),
    # The larger ones' gates are for each element. Heads of 16 let workers compute them head by head.
    "lagunam": ("Laguna", "laguna", lambda: qwen_toy(36), dict(
        hidden_size=36, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, head_dim=16, gating="per-element",
        intermediate_size=24, moe_intermediate_size=8, shared_expert_intermediate_size=8, num_experts=6, num_experts_per_tok=2,
        moe_routed_scaling_factor=1.5, sliding_window=0, rms_norm_eps=2e-3, max_position_embeddings=512,
        rope_parameters={"full_attention": rope(1e3, partial_rotary_factor=0.5)})),
}
HAS_SLOPES = ("baichuan13b",)


def use_slopes(model):
    """Llama's layers with the positions of BLOOM: slopes on scores instead of rotation."""
    from transformers.models.bloom.modeling_bloom import build_alibi_tensor

    def attention(module, query, key, value, attention_mask, scaling, **_):
        n_heads, n_keys = query.shape[1], key.shape[2]
        slopes = build_alibi_tensor(torch.ones(1, n_keys), n_heads, torch.float32)
        scores = query @ key.transpose(2, 3) * scaling + slopes.reshape(1, n_heads, 1, n_keys) + attention_mask
        return (scores.softmax(-1) @ value).transpose(1, 2).contiguous(), None

    transformers.modeling_utils.ALL_ATTENTION_FUNCTIONS.register("slopes", attention)
    transformers.masking_utils.ALL_MASK_ATTENTION_FUNCTIONS.register("slopes", transformers.masking_utils.eager_mask)
    model.config._attn_implementation = "slopes"
    for module in model.modules():
        if type(module).__name__ == "LlamaRotaryEmbedding":     # cosines of 1, sines of 0
            module.inv_freq.zero_()


def use_experts(model):
    """Llama's layers with the feed-forward halves of DeepSeek-V2, but the first ones."""
    from transformers.models.deepseek_v2.modeling_deepseek_v2 import DeepseekV2Moe

    model.config.num_experts = model.config.n_routed_experts
    for layer in model.model.layers[model.config.first_k_dense_replace:]:
        layer.mlp = DeepseekV2Moe(model.config)


def is_norm_less_one(config, name):
    """Whether a norm multiplies by 1 + w. Files hold 1 + w."""
    has = config.model_type.startswith(("qwen3_next", "qwen3_5", "gemma3", "gemma2")) or config.model_type == "gemma"
    return has and "linear_attn" not in name


def build(name, vocab, seed):
    """The HF model with seeded weights."""
    stem, _, _, kw = MODELS[name]
    config = getattr(transformers, stem + ("TextConfig" if stem.startswith(("Qwen3_5", "Gemma3", "Gemma4", "Llama4")) else "Config"))(
        vocab_size=len(vocab.tokens), bos_token_id=vocab.ids.get("bos_token_id"), eos_token_id=vocab.ids["eos_token_id"],
        pad_token_id=vocab.ids.get("padding_token_id"), **kw)
    config._attn_implementation = "eager"
    config._experts_implementation = "eager"
    model = getattr(transformers, stem + "ForCausalLM")(config)
    if name == "deepseek":
        use_experts(model)
    model = model.float().eval()
    gen = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for pname, p in sorted(model.named_parameters()):
            r = torch.randn(p.shape, generator=gen)
            if pname.endswith("e_score_correction_bias"):       # of a softmax's probabilities
                p.copy_(0.1 * r)
            elif pname.endswith("bias"):
                p.copy_(0.4 * r)
            elif pname.endswith("sinks"):
                p.copy_(1.0 + r)
            elif stem == "GptOss" and pname.endswith("experts.gate_up_proj"):   # (E, inputs, outputs); one in twelve reaches the clamp at 7
                p.copy_(4.0 / math.sqrt(p.shape[1]) * r)
            elif stem == "GptOss" and pname.endswith("experts.down_proj"):      # the hidden state is about 15 large
                p.copy_(0.1 / math.sqrt(p.shape[1]) * r)
            elif pname.endswith("A_log"):                       # a state halves within a few to some dozen tokens
                p.copy_(r - 2.0)
            elif pname.endswith(("router.scale", "per_expert_scale")):
                p.copy_(1.0 + 0.3 * r)
            elif "norm" in pname or pname.endswith("ln_f.weight"):
                p.copy_(0.2 * r if is_norm_less_one(config, pname) else 1.0 + 0.2 * r)
                if config.tie_word_embeddings and pname in ("model.norm.weight", "model.embedding_norm.weight", "transformer.ln_f.weight"):     # else each token predicts itself
                    one = 1.0 if is_norm_less_one(config, pname) else 0.0
                    p.copy_((p + one) * torch.randn(p.shape, generator=gen).sign() - one)
            elif "embed_tokens" in pname or pname in ("model.embeddings.weight", "transformer.word_embeddings.weight"):
                wanted = 1.5 if stem.startswith(("Granite", "Gemma")) else 2.5   # size of the first stream and of the logits
                p.copy_((wanted / 7 if config.tie_word_embeddings else 1.0) * r)
            else:
                gain = 1.0 if stem == "Llama4" and "router" in pname else 2.5 if ("router" in pname or pname.endswith(("gate.weight", "gate.wg.weight"))) else 2.0 if "lm_head" in pname else 1.5
                if stem.startswith("Deepseek") and "self_attn" in pname:
                    gain = 1.0
                p.copy_(gain / math.sqrt(p.shape[-1]) * r)
        for bname, buffer in sorted(model.named_buffers()):
            if bname.endswith(("e_score_correction_bias", "expert_bias")):
                buffer.copy_(0.15 * torch.randn(buffer.shape, generator=gen))
        for bname, b in sorted(model.named_buffers()):
            if bname.endswith("layer_scalar"):
                b.copy_(0.9 + 0.2 * torch.rand(b.shape, generator=gen))
    if name in HAS_SLOPES:
        use_slopes(model)
    return model


# ---------------------------------------------------------------- the answers

def routers(model):
    """(number of the layer, its router, what is added to scores where experts are chosen and only there: [] or [bias])."""
    found = []
    for name, m in model.named_modules():
        if type(m).__name__.lower().endswith(("topkrouter", "gemma4textrouter", "moev1gate", "llama4router", "tokenchoicerouter")):
            owners = (m, getattr(m, "moe_statics", m), model.get_submodule(name.rsplit(".", 1)[0]))
            biases = [getattr(owner, bias).reshape(-1) for owner in dict.fromkeys(owners)
                      for bias in ("e_score_correction_bias", "expert_bias") if hasattr(owner, bias)]
            found.append((int(name.split("layers.")[1].split(".")[0]), m, biases))
    return found


def chosen(weights, logits):
    """[logits, weights, experts] of weights of all experts, which are 0 where an expert is not chosen."""
    experts = torch.topk(weights, int((weights[0] > 0).sum()), dim=1).indices
    return [t.detach().numpy().copy() for t in (logits, weights.gather(1, experts), experts)]


def run(model, ids):
    """logits [n, V], by MoE layer (router logits, weights, experts), residual stream after each block."""
    routes, hidden, hooks = {}, [], []
    for layer, m, biases in routers(model):
        hooks.append(m.register_forward_hook(
            lambda m, _i, out, layer=layer, biases=biases: routes.update({layer: [t.detach().numpy().copy() for t in (*out, *biases)]})))
        if type(m).__name__ == "Llama4Router":                  # (weights of all experts, logits)
            hooks.append(m.register_forward_hook(lambda _m, _i, out, layer=layer: routes.update({layer: chosen(*out)})))
        if type(m).__name__ == "Gemma4TextRouter":              # that gives probabilities in the place of its logits
            hooks.append(m.proj.register_forward_hook(
                lambda _m, _i, out, layer=layer: routes.update({f"{layer} logits": out.detach().numpy().copy()})))
    for layer in model.base_model.h if hasattr(model.base_model, "h") else model.model.layers:
        hooks.append(layer.register_forward_hook(
            lambda _m, _i, out: hidden.append((out[0] if isinstance(out, tuple) else out)[-len(ids):].reshape(len(ids), -1).numpy().copy())))
    with torch.no_grad():
        logits = model(torch.tensor([ids]), use_cache=False).logits[0].numpy().copy()
    for h in hooks:
        h.remove()
    if model.config.model_type == "laguna":                     # whose routers leave the scale to others
        for route in routes.values():
            route[1] *= routed_scale(model.config)
    for layer in [n for n in routes if not isinstance(n, str)]:
        routes[layer][0] = routes.pop(f"{layer} logits", routes[layer][0])
    return logits, routes, hidden


def greedy(model, ids):
    """Argmax continuation, without a KV cache; checked against generate(), which has one."""
    ids, steps = list(ids), []
    for _ in range(N_GREEDY):
        with torch.no_grad():
            steps.append(model(torch.tensor([ids]), use_cache=False).logits[0, -1].numpy().copy())
        ids.append(int(steps[-1].argmax()))
    tail = ids[-N_GREEDY:]
    model.generation_config = transformers.GenerationConfig(do_sample=False, max_new_tokens=N_GREEDY, eos_token_id=None,
                                                            pad_token_id=0, bos_token_id=None)
    prompt = torch.tensor([ids[:-N_GREEDY]])
    made = model.generate(prompt, attention_mask=torch.ones_like(prompt))[0, prompt.shape[1]:].tolist()
    assert made == tail, "generate() and the argmax loop differ"
    return tail, np.stack(steps)


def scores_of(logits, is_softmax):
    """What biases for choosing are added to."""
    if not is_softmax:
        return 1 / (1 + np.exp(-logits))
    e = np.exp(logits - logits.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def routed_scale(config):
    """By what weights of routed experts are multiplied behind all else."""
    names = ("routed_scaling_factor", "moe_routed_scaling_factor", "route_scale")
    return next((getattr(config, name) for name in names if hasattr(config, name)), 1.0)


def in_slot_order(route, by_logits, is_softmax):
    """Experts and weights with slot 0 = highest weight, or logit, or sigmoid with the bias for choosing; ties to the lower index."""
    logits, weights, experts, *bias = route
    scores = np.take_along_axis(logits, experts, 1) if by_logits else weights
    if bias:
        scores = np.take_along_axis(scores_of(logits.astype(np.float64), is_softmax) + bias[0], experts, 1)
    order = np.stack([np.lexsort((e, -s)) for s, e in zip(scores, experts)])
    return np.take_along_axis(experts, order, 1).astype(np.int32), np.take_along_axis(weights, order, 1).astype(np.float32)


def group_gap(config, scores):
    """How far the best group that is not taken lies behind the last that is, where groups are limited."""
    n_groups, n_taken = getattr(config, "n_group", None) or 1, getattr(config, "topk_group", None)
    if n_groups == 1:
        return math.inf, scores
    by_group = np.sort(scores.reshape(len(scores), n_groups, -1), axis=2)
    of_group = by_group[..., -1] if config.model_type == "deepseek_v2" else by_group[..., -2:].sum(-1)
    last, best = np.sort(of_group, axis=1)[:, [-n_taken, -n_taken - 1]].T
    taken = np.repeat(of_group >= last[:, None], scores.shape[1] // n_groups, axis=1)
    return float((last - best).min()), np.where(taken, scores, -1e9)


def threshold_gap(logits, _weights, experts):
    """How far a logit lies at least from the threshold up to which the sparse mixer counts it as near the largest."""
    gap, left = math.inf, logits.copy()
    for slot in range(experts.shape[1]):
        largest = left.max(1, keepdims=True)
        gap = min(gap, float(np.abs((largest - logits) / np.maximum(np.abs(logits), largest) - 0.02).min()))
        np.put_along_axis(left, experts[:, slot:slot + 1], -np.inf, 1)
    return gap


def fair(model, vocab, tail, steps, routes):
    """Figures of fairness, or None when the model would be a poor test."""
    top2 = np.sort(steps, axis=1)[:, -2:]
    margin = float((top2[:, 1] - top2[:, 0]).min())
    if margin < 2e-3 * np.ptp(steps) or len(set(tail)) < 9 or not set(tail) <= vocab.text_ids():
        return None
    if not routes:
        return {"greedy_margin": margin}
    gap, top_weight = math.inf, 0.0
    for logits, weights, experts, *bias in routes.values():
        k = experts.shape[1]
        between_groups, z = group_gap(model.config, scores_of(logits, model.config.model_type == "ernie4_5_moe") + bias[0] if bias else logits)
        z = -np.sort(-z, axis=1)[:, :k + 1]
        gap = min(gap, between_groups, float((z[:, :-1] - z[:, 1:]).min()))
        top_weight = max(top_weight, float(weights.max(axis=1).mean()) / routed_scale(model.config))
        if len(np.unique(experts)) < logits.shape[1]:
            return None
    if model.config.model_type == "phimoe":                     # weights are 1 but where logits lie near each other
        if not all(0.02 < (route[1] < 0.99).mean() and threshold_gap(*route) > 1e-3 for route in routes.values()):
            return None
        top_weight = 0.0
    if gap < 5e-4 or top_weight > 0.9:
        return None
    return {"router_gap": gap, "greedy_margin": margin, "mean_top_weight": top_weight}


# ---------------------------------------------------------------- the converter

def permute(w, n_head):
    """Row order for interleaved rope: row h*hd + 2i + s  <-  row h*hd + s*hd/2 + i."""
    return w.reshape(n_head, 2, w.shape[0] // n_head // 2, *w.shape[1:]).swapaxes(1, 2).reshape(w.shape)


def expert_stacks(short, w):
    """{GGUF name: array} of experts that are stored as (E, inputs, outputs), gate and up in alternating columns."""
    p = "bias" if short.endswith("bias") else "weight"
    w = w if p == "bias" else w.swapaxes(1, 2)
    if "down" in short:
        return {f"ffn_down_exps.{p}": w}
    return {f"ffn_gate_exps.{p}": w[:, 0::2], f"ffn_up_exps.{p}": w[:, 1::2]}


BLOCK_NAMES = {
    "input_layernorm.weight": "attn_norm.weight", "post_attention_layernorm.weight": "ffn_norm.weight",
    "self_attn.q_norm.weight": "attn_q_norm.weight", "self_attn.k_norm.weight": "attn_k_norm.weight",
    "self_attn.o_proj.weight": "attn_output.weight", "self_attn.o_proj.bias": "attn_output.bias",
    "experts.down_proj": "ffn_down_exps.weight", "router.proj.weight": "ffn_gate_inp.weight", "router.scale": "ffn_gate_inp.scale",
    "router.per_expert_scale": "ffn_down_exps.scale", "layer_scalar": "layer_output_scale.weight",
    "post_feedforward_layernorm_1.weight": "post_ffw_norm_1.weight", "post_feedforward_layernorm_2.weight": "post_ffw_norm_2.weight",
    "pre_feedforward_layernorm_2.weight": "pre_ffw_norm_2.weight",
    "self_attn.sinks": "attn_sinks.weight", "pre_feedforward_layernorm.weight": "ffn_norm.weight",
    "post_feedforward_layernorm.weight": "post_ffw_norm.weight",
    "mlp.router.weight": "ffn_gate_inp.weight", "mlp.router.bias": "ffn_gate_inp.bias",
    "block_sparse_moe.gate.weight": "ffn_gate_inp.weight", "mlp.gate.weight": "ffn_gate_inp.weight",
    "block_sparse_moe.router.layer.weight": "ffn_gate_inp.weight",
    "block_sparse_moe.output_linear.weight": "ffn_down_exps.weight", "shared_mlp.output_linear.weight": "ffn_down_shexp.weight",
    **{f"self_attn.{x}_proj.{p}": f"attn_{x}.{p}" for x in "qkv" for p in ("weight", "bias")},
    **{f"mlp.{x}_proj.{p}": f"ffn_{x}.{p}" for x in ("gate", "up", "down") for p in ("weight", "bias")},
    **{f"mlp.shared_expert{s}.{x}_proj.weight": f"ffn_{x}_shexp.weight" for x in ("gate", "up", "down") for s in ("", "s")},
    **{f"{mlp}.e_score_correction_bias": "exp_probs_b.bias" for mlp in ("mlp", "mlp.gate", "mlp.experts", "block_sparse_moe", "mlp.moe_statics")},
    "feed_forward.router.weight": "ffn_gate_inp.weight",
    **{f"feed_forward.{x}_proj.weight": f"ffn_{x}.weight" for x in ("gate", "up", "down")},
    **{f"feed_forward.shared_expert.{x}_proj.weight": f"ffn_{x}_shexp.weight" for x in ("gate", "up", "down")},
    "input_layernorm.bias": "attn_norm.bias", "post_attention_layernorm.bias": "ffn_norm.bias",
    **{f"self_attention.query_key_value.{p}": f"attn_qkv.{p}" for p in ("weight", "bias")},
    **{f"self_attention.dense.{p}": f"attn_output.{p}" for p in ("weight", "bias")},
    **{f"mlp.dense_h_to_4h.{p}": f"ffn_up.{p}" for p in ("weight", "bias")},
    **{f"mlp.dense_4h_to_h.{p}": f"ffn_down.{p}" for p in ("weight", "bias")},
    "self_attn.qkv_proj.weight": "attn_qkv.weight", "self_attn.gate_proj.weight": "attn_gate.weight",
    "self_attn.g_proj.weight": "attn_gate.weight", "pre_mlp_layernorm.weight": "ffn_norm.weight", "mlp.expert_bias": "exp_probs_b.bias",
    "mlp.router.gate.weight": "ffn_gate_inp.weight", "mlp.gate.wg.weight": "ffn_gate_inp.weight", "mlp.gate_up_proj.weight": "ffn_up.weight",
    "post_self_attn_layernorm.weight": "post_attention_norm.weight", "post_mlp_layernorm.weight": "post_ffw_norm.weight",
    "self_attn.query_layernorm.weight": "attn_q_norm.weight", "self_attn.key_layernorm.weight": "attn_k_norm.weight",
    **{f"mlp.shared_mlp.{x}_proj.weight": f"ffn_{x}_shexp.weight" for x in ("gate", "up", "down")},
}
EXPERT_NAMES = {"w1": "gate", "w3": "up", "w2": "down", "gate_proj": "gate", "up_proj": "up", "down_proj": "down"}


def convert(hf, config, arch, is_old=False):
    """{published safetensors name: array} -> {GGUF name: array}, in the order of a converted file."""
    hf = {n: w + 1.0 if "norm" in n and is_norm_less_one(config, n) else w for n, w in hf.items()}
    hf = {n.replace("backbone.", "model.").replace("transformer.h.", "model.layers."): w for n, w in hf.items()}
    last_norm = "token_embd_norm.weight" if arch.startswith("lfm2") else "output_norm.weight"
    globals_ = {"model.embed_tokens.weight": "token_embd.weight", "model.embeddings.weight": "token_embd.weight",
                **{f"model.{n}.weight": last_norm for n in ("norm", "norm_f", "embedding_norm")},
                "model.norm.bias": "output_norm.bias", "lm_head.bias": "output.bias",
                "transformer.word_embeddings.weight": "token_embd.weight",
                **{f"transformer.word_embeddings_layernorm.{p}": f"token_embd_norm.{p}" for p in ("weight", "bias")},
                **{f"transformer.ln_f.{p}": f"output_norm.{p}" for p in ("weight", "bias")}}
    out = {gguf: hf[n] for n, gguf in globals_.items() if n in hf}
    if not config.tie_word_embeddings:
        out["output.weight"] = hf["lm_head.weight"]
    used = {*globals_, "lm_head.weight"}
    if getattr(config, "rope_parameters", None) and config.rope_parameters.get("rope_type") == "llama3":
        out["rope_freqs.weight"] = llama3_factors(config)
    if arch == "gemma4":                                        # pairs that are not turned: a factor beyond all positions
        size = config.per_layer_config["full_attention"].head_dim
        turned = int(config.rope_parameters["full_attention"]["partial_rotary_factor"] * size // 2)
        out["rope_freqs.weight"] = np.array([1.0] * turned + [1e30] * (size // 2 - turned), dtype=np.float32)
    if arch == "phi3":
        for kind in ("long", "short"):
            out[f"rope_factors_{kind}.weight"] = np.array(config.rope_parameters[f"{kind}_factor"], dtype=np.float32)
    if arch == "phimoe":                                        # at this context the long factors act
        for kind, factors in (("long", "short_factor"), ("short", "long_factor")):
            out[f"rope_factors_{kind}.weight"] = np.array(config.rope_parameters[factors], dtype=np.float32)
    permuted = arch in ("llama", "granitemoe", "granitehybrid", "baichuan", "mistral3", "smollm3", "deepseek", "bailingmoe")
    for layer in range(config.num_hidden_layers):
        prefix, experts = f"model.layers.{layer}.", {}
        for name in sorted(n for n in hf if n.startswith(prefix)):
            short, w = name[len(prefix):], hf[name]
            used.add(name)
            if permuted and short.startswith("self_attn.q_proj"):
                w = permute(w, config.num_attention_heads)
            if permuted and short.startswith("self_attn.k_proj"):
                w = permute(w, config.num_key_value_heads)
            if "query_key_value" in short:                      # by head: q, k, v; files have all of q first
                w = w.reshape(config.n_head, 3, -1, *w.shape[1:]).swapaxes(0, 1).reshape(w.shape)
            if arch in HYBRIDS and (named := hybrid_tensors(short, w, config, arch)) is not None:
                out.update({f"blk.{layer}.{n}": part for n, part in named.items()})
            elif short.startswith("linear_attn."):
                named = delta_tensors(short.split(".", 1)[1], w, config, arch, is_old)
                out.update({f"blk.{layer}.{n}": part for n, part in named.items()})
            elif arch in ("deepseek2", "mistral4") and short.startswith("self_attn."):
                named = mla_tensors(short.split(".")[1], w, config, is_old)
                out.update({f"blk.{layer}.{n}": part for n, part in named.items()})
            elif arch == "llama4" and ".experts." in short:     # (E, inputs, outputs); gate's columns, then up's
                parts = {"down": w} if "down" in short else dict(zip(("gate", "up"), np.split(w, 2, axis=2)))
                out.update({f"blk.{layer}.ffn_{part}_exps.weight": x.swapaxes(1, 2) for part, x in parts.items()})
            elif arch == "gpt-oss" and ".experts." in short:
                out.update({f"blk.{layer}.{n}": part for n, part in expert_stacks(short, w).items()})
            elif arch.startswith(("gpt-oss", "qwen3next", "qwen35", "gemma2", "gemma3", "gemma4", "glm4moe", "seed_oss", "afmoe")) and short == "post_attention_layernorm.weight":
                out[f"blk.{layer}.post_attention_norm.weight"] = w
            elif arch == "gemma4" and short == "experts.gate_up_proj":     # gate rows, then up rows
                out[f"blk.{layer}.ffn_gate_up_exps.weight"] = w
            elif arch in ("mistral4", "deepseek") and short.startswith("mlp.experts."):  # gate rows, then up rows; or down
                out[f"blk.{layer}.ffn_{'down' if 'down' in short else 'gate_up'}_exps.weight"] = w
            elif ".experts." in short and not short.endswith("bias"):                     # ....experts.E.w1.weight
                _, _, e, part, _ = short.split(".")
                experts.setdefault(EXPERT_NAMES[part], {})[int(e)] = w
            elif short.endswith("input_linear.weight"):         # gate rows, then up rows
                kind = "shexp" if short.startswith("shared_mlp") else "exps"
                gate, up = np.split(w, 2, axis=-2)
                out[f"blk.{layer}.ffn_gate_{kind}.weight"], out[f"blk.{layer}.ffn_up_{kind}.weight"] = gate, up
            elif short == "mlp.shared_expert_gate.weight":      # [1, n_embd] -> 1-D
                out[f"blk.{layer}.ffn_gate_inp_shexp.weight"] = w[0]
            else:
                out[f"blk.{layer}.{BLOCK_NAMES[short]}"] = w
        for part, stack in experts.items():
            out[f"blk.{layer}.ffn_{part}_exps.weight"] = np.stack([stack[e] for e in range(len(stack))])
    assert used >= set(hf), set(hf) - used
    return {n: np.ascontiguousarray(w, dtype=np.float32) for n, w in out.items()}


def unread_block(tensors, config):
    """A block that predicts a further token of which a layer is one half: nobody runs it here."""
    d, last = config.hidden_size, config.num_hidden_layers
    of = config.layer_types.index("full_attention") if hasattr(config, "layer_types") else last - 1
    copied = {n.replace(f"blk.{of}.", f"blk.{last}."): w for n, w in tensors.items() if n.startswith(f"blk.{of}.")}
    norms = {f"blk.{last}.nextn.{n}.weight": np.ones(d, np.float32) for n in ("enorm", "hnorm", "shared_head_norm")}
    return {**copied, f"blk.{last}.nextn.eh_proj.weight": np.ones((d, 2 * d), np.float32), **norms}


def llama3_factors(config):
    """What each rope frequency is divided by."""
    p = config.rope_parameters
    low, high = p["low_freq_factor"], p["high_freq_factor"]
    factors = []
    for i in range(config.head_dim // 2):
        wavelength = 2 * math.pi * p["rope_theta"] ** (2 * i / config.head_dim)
        t = p["original_max_position_embeddings"] / wavelength
        ramp = (t - low) / (high - low)
        factors.append(1.0 if t > high else p["factor"] if t < low else 1 / ((1 - ramp) / p["factor"] + ramp))
    return np.array(factors, dtype=np.float32)


def write_model(path, name, config, arch, vocab, tensors):
    g = GGUFWriter(path, arch)
    g.add_type("model")
    g.add_name(f"calmoe golden {name}")
    n_blocks = 1 + max(int(n.split(".")[1]) for n in tensors if n.startswith("blk."))
    g.add_block_count(n_blocks)
    if n_blocks > config.num_hidden_layers:
        g.add_nextn_predict_layers(n_blocks - config.num_hidden_layers)
    g.add_context_length(getattr(config, "max_position_embeddings", 512))
    g.add_embedding_length(config.hidden_size)
    if arch in HYBRIDS:
        add_hybrid_keys(g, config, arch, n_blocks)
    else:
        add_keys(g, name, config, arch)
    add_vocabulary(g, vocab)
    g.add_quantization_version(2)
    for tname, w in tensors.items():
        g.add_tensor(tname, w)
    finish(g)


def add_keys(g, name, config, arch):
    if arch == "bloom":
        add_family_keys(g, arch, config)
        g.add_file_type(0)
        return
    if hasattr(config, "intermediate_size"):
        g.add_feed_forward_length(getattr(config, "intermediate_size_mlp", config.intermediate_size))
    if arch == "laguna":                                        # which may have more in layers that see a window
        g.add_head_count(config.num_attention_heads_per_layer)
    else:
        g.add_head_count(config.num_attention_heads)
    is_old = name.endswith("old")
    has_latents = arch in ("deepseek2", "mistral4")
    if arch != "gemma4":
        g.add_head_count_kv(1 if has_latents and not is_old else config.num_key_value_heads)
    rope = config.rope_parameters.get("full_attention", config.rope_parameters)
    if arch != "baichuan":                                      # whose files do not say it
        g.add_rope_freq_base(rope["rope_theta"])
    g.add_layer_norm_rms_eps(config.rms_norm_eps)
    head_dim = MODELS[name][3].get("head_dim")
    n_experts = MODELS[name][3].get("num_experts") or MODELS[name][3].get("num_local_experts")
    if n_experts:
        g.add_expert_count(n_experts)
        g.add_expert_used_count(MODELS[name][3].get("top_k_experts") or config.num_experts_per_tok)
    if head_dim and arch != "gemma4":
        g.add_key_length(head_dim)
        g.add_value_length(head_dim)
    g.add_file_type(0)
    if arch in ("llama", "granitemoe"):
        g.add_vocab_size(config.vocab_size)
        g.add_rope_dimension_count(head_dim or config.hidden_size // config.num_attention_heads)
    if has_latents:
        add_mla_keys(g, config, is_old)
        add_router_keys(g, config)
    if hasattr(config, "linear_num_key_heads"):
        add_delta_keys(g, config)
        g.add_rope_dimension_count(int(head_dim * config.rope_parameters["partial_rotary_factor"]))
    if arch.startswith("qwen35"):
        g.add_rope_dimension_sections([11, 11, 10, 0])
    if arch in ("qwen2moe", "qwen3moe", "qwen3next", "qwen35moe"):
        g.add_expert_feed_forward_length(config.moe_intermediate_size)
    if arch in ("qwen2moe", "qwen3next", "qwen35moe"):
        g.add_expert_shared_feed_forward_length(config.shared_expert_intermediate_size)
    if arch == "gpt-oss":
        g.add_expert_feed_forward_length(config.intermediate_size)
        g.add_sliding_window(config.sliding_window)
        g.add_rope_scaling_type(RopeScalingType.YARN)
        g.add_rope_scaling_factor(rope["factor"])
        g.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])
    if arch == "gemma4":
        kw = MODELS[name][3]
        kinds = [kind == "sliding_attention" for kind in config.layer_types]
        for key, size in (("key_length", kw["global_head_dim"]), ("value_length", kw["global_head_dim"]),
                          ("key_length_swa", head_dim), ("value_length_swa", head_dim)):
            g.add_uint32(f"gemma4.attention.{key}", size)
        kv = kw["num_key_value_heads"]
        global_kv = kw.get("num_global_key_value_heads", kv)
        g.add_head_count_kv([kv if kind else global_kv for kind in kinds])
        g.add_sliding_window(config.sliding_window)
        g.add_array("gemma4.attention.sliding_window_pattern", kinds)
        g.add_float32("gemma4.rope.freq_base_swa", config.rope_parameters["sliding_attention"]["rope_theta"])
        g.add_rope_dimension_count(kw["global_head_dim"])
        g.add_uint32("gemma4.rope.dimension_count_swa", head_dim)
        g.add_final_logit_softcapping(config.final_logit_softcapping)
    if arch == "gemma3":                                        # the windows' own base is the family's, 10000
        g.add_sliding_window(config.sliding_window)
        g.add_rope_scaling_type(RopeScalingType.LINEAR)
        g.add_rope_scaling_factor(rope["factor"])
    add_family_keys(g, arch, config)
    if arch == "granitemoe":
        g.add_attention_scale(config.attention_multiplier)
        g.add_embedding_scale(config.embedding_multiplier)
        g.add_residual_scale(config.residual_multiplier)
        g.add_logit_scale(config.logits_scaling)
        if shared := getattr(config, "shared_intermediate_size", 0):
            g.add_expert_shared_feed_forward_length(shared)


def add_vocabulary(g, vocab):
    g.add_tokenizer_model(vocab.model)
    g.add_tokenizer_pre(vocab.pre)
    g.add_token_list(vocab.tokens)
    if vocab.scores:
        g.add_token_scores(vocab.scores)
    g.add_token_types(vocab.types)
    if vocab.merges:
        g.add_token_merges(vocab.merges)
    for key, value in vocab.ids.items():
        (g.add_bool if isinstance(value, bool) else g.add_uint32)(f"tokenizer.ggml.{key}", value)


def write_expectations(path, name, seed, text, ids, logits, routes, hidden, tail, steps, figures):
    g = GGUFWriter(path, "calmoe-golden")
    g.add_name(f"calmoe golden {name}: expectations")
    g.add_string("calmoe.golden.source", f"transformers {transformers.__version__}, torch {torch.__version__.split('+')[0]}")
    g.add_uint32("calmoe.golden.seed", seed)
    g.add_string("calmoe.golden.text", text)
    for key, value in figures.items():
        g.add_float32(f"calmoe.golden.{key}", value)
    g.add_tensor("tokens", np.array(ids, dtype=np.int32))
    g.add_tensor("logits", logits)
    g.add_tensor("greedy", np.array(tail, dtype=np.int32))
    g.add_tensor("greedy_logits", steps)
    for layer, route in routes.items():
        experts, weights = in_slot_order(route, by_logits=name.startswith(("gemma4", "phimoe")), is_softmax=name == "ernie")  # Gemma 4 scales weights by expert
        g.add_tensor(f"route.{layer}.experts", experts)
        g.add_tensor(f"route.{layer}.weights", weights)
        g.add_tensor(f"route.{layer}.logits", route[0].astype(np.float32))
    for layer, h in enumerate(hidden):
        g.add_tensor(f"hidden.{layer}", h)
    finish(g)


def finish(g):
    g.write_header_to_file()
    g.write_kv_data_to_file()
    g.write_tensors_to_file()
    g.close()


def first_seed(name):
    """Where the search begins: of the first models by their place, of all behind them by their name, so that models can
    be added anywhere without changing others."""
    names = list(MODELS)
    place = names.index(name)
    if place <= names.index("deepseek3"):
        return 1000 * (1 + place)
    return {"gemma4moe": 20000, "gemma4": 21000}.get(name, 100000 + zlib.crc32(name.encode()) % 1000000)


def make(name, out, keep_hf):
    _, arch, vocab_of, _ = MODELS[name]
    vocab = vocab_of()
    text = LONG_TEXT if arch.startswith(("qwen3next", "qwen35")) or arch in HYBRIDS else TEXT
    ids = vocab.encode(text)
    start = first_seed(name)
    for seed in range(start, start + 1000):
        model = build(name, vocab, seed)
        tail, steps = greedy(model, ids)
        figures = fair(model, vocab, tail, steps, run(model, ids + tail)[1])
        if figures:
            break
    else:
        raise SystemExit(f"{name}: no fair seed found")
    logits, routes, hidden = run(model, ids)
    with tempfile.TemporaryDirectory() as scratch:
        saved = os.path.join(keep_hf, name) if keep_hf else scratch
        model.save_pretrained(saved)
        with safe_open(os.path.join(saved, "model.safetensors"), "np") as f:
            hf = {n: f.get_tensor(n) for n in f.keys()}
    tensors = convert(hf, model.config, arch, name.endswith("old"))
    if arch in ("bailingmoe2", "chatglm"):
        tensors = fused(tensors)
    path = os.path.join(out, f"{name}.gguf")
    if name in further_block.MODELS:
        tensors.update(further_block.tensors(name, tensors, model.config))
        is_less_one = is_norm_less_one(model.config, "model.norm.weight")
        further_block.write(path.replace(".gguf", ".further.gguf"), name, model, ids, is_less_one, finish)
    if name == "nemotronhmoe":
        tensors.update(unread_block(tensors, model.config))
    write_model(path, name, model.config, arch, vocab, tensors)
    write_expectations(path.replace(".gguf", ".expect.gguf"), name, seed, text, ids, logits, routes, hidden, tail, steps, figures)
    print(f"{name:17s} seed {seed}  V {len(vocab.tokens)}  n {len(ids)}  {os.path.getsize(path)} bytes  "
          + "  ".join(f"{k} {v:.2e}" for k, v in figures.items()) + f"  greedy {tail}", flush=True)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(MODELS)}; default: all")
    p.add_argument("--out", default=os.path.dirname(HERE))
    p.add_argument("--keep-hf", metavar="DIR", help="keep the HF checkpoints in DIR/NAME")
    a = p.parse_args()
    torch.set_num_threads(1)
    for name in a.names or MODELS:
        make(name, a.out, a.keep_hf)


if __name__ == "__main__":
    main()
