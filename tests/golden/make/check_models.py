#!/usr/bin/env python3
"""Check the golden models independently of transformers and of the converter.

A second implementation, numpy in float64, reads NAME.gguf alone (metadata and tensors), computes the forward pass
from the published equations and compares with NAME.expect.gguf. Also checked: the tokenizer in the file gives the
expected ids, the greedy continuation, the routing. With llama-cpp-python installed, its logits are compared too.

    python3 check_models.py [--dir DIR] [--mistakes] [NAME ...]

With --mistakes the forward pass is done again with one deliberate mistake at a time (wrong pairing, bias left out, …),
and each mistake must move the logits by more than the limit: proof that the files can tell right from wrong.
"""
import argparse
import glob
import os
import sys

import numpy as np
from gguf import GGUFReader

LIMIT = 1e-4        # largest |difference| of a logit, relative to the range of the logits

# architecture: rope pairing, weights renormalised over the chosen experts
ARCH = {
    "llama": ("norm", True), "granitemoe": ("norm", True), "olmoe": ("neox", False), "qwen2moe": ("neox", False),
    "qwen3moe": ("neox", True), "qwen2": ("neox", None), "qwen3": ("neox", None), "gpt-oss": ("neox", True),
    "qwen3next": ("neox", True), "qwen35moe": ("neox", True), "qwen35": ("neox", None),
    "gemma3": ("neox", None), "gemma4": ("neox", True), "deepseek2": ("norm", False), "glm4moe": ("neox", True),
    "minimax-m2": ("neox", True), "ernie4_5-moe": ("norm", True), "hunyuan-moe": ("neox", True), "dots1": ("neox", True),
    "bailingmoe2": ("neox", True), "chatglm": ("norm", None), "llama4": ("norm", False),
    "glm4": ("norm", None), "ernie4_5": ("norm", None), "hunyuan-dense": ("neox", None),
    "lfm2": ("neox", None), "lfm2moe": ("neox", True), "granitehybrid": ("norm", True), "nemotron_h": ("norm", None),
    "nemotron_h_moe": ("norm", True), "phimoe": ("neox", False), "bloom": ("neox", None), "baichuan": ("norm", None),
    "exaone-moe": ("neox", True), "mistral3": ("norm", None), "mistral4": ("norm", False),
    "gemma": ("neox", None), "gemma2": ("neox", None), "phi3": ("neox", None), "smollm3": ("norm", None), "seed_oss": ("neox", None),
    "deepseek": ("norm", False), "bailingmoe": ("norm", True), "afmoe": ("neox", True), "laguna": ("neox", True),
}
CENTRED = ("phimoe", "bloom")       # norms that take the mean off, with a bias
PHI_MAGNITUDE = 1.243163121016122   # of the model's sines and cosines; files have another
SIGMOID = 2         # the number of this gating function in files
SIGMOIDS = ("llama4", "glm4moe", "minimax-m2", "dots1", "bailingmoe2", "lfm2moe", "nemotron_h_moe", "afmoe")   # who has it unsaid


class File:
    """A GGUF file; for --mistakes with keys changed, tensors hidden or swapped."""

    def __init__(self, path, changed=None, hidden=(), swapped=None):
        self.changed, self.hidden, self.swapped = changed or {}, hidden, swapped or {}
        self.reader = GGUFReader(path)
        self.tensors = {t.name: t for t in self.reader.tensors}
        self.arch = self.key("general.architecture")

    def key(self, name, default=None):
        f = self.reader.fields.get(name)
        return default if f is None else f.contents()

    def own(self, name, default=None):
        if name in self.changed:
            return default if self.changed[name] is None else self.changed[name]
        return self.key(f"{self.arch}.{name}", default)

    def __contains__(self, name):
        return name in self.tensors and not any(part in name for part in self.hidden)

    def __getitem__(self, name):
        t = self.tensors[self.swapped.get(name, name)]
        return t.data.astype(np.float64) if t.data.dtype == np.float32 else t.data

    def get(self, name, default=None):
        return self[name] if name in self else default


def rms(x, w, eps):
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + eps) * w


def eps_of(f):
    return f.own("attention.layer_norm_rms_epsilon", f.own("attention.layer_norm_epsilon"))


def norm(f, name, x, centres=None):
    """A norm of the stream."""
    w, eps = f[f"{name}.weight"], eps_of(f)
    if not (f.arch in CENTRED if centres is None else centres):
        return rms(x, w, eps)
    x = x - x.mean(-1, keepdims=True)
    return rms(x, w, eps) + f.get(f"{name}.bias", 0.0)


def slopes(f):
    """By which scores fall with distance, of each head; None: positions are rotated."""
    n = f.own("attention.head_count")
    if f.own("no slopes") or not (f.arch == "bloom" or f.arch == "baichuan" and n == 40):
        return None
    p = 2 ** int(np.log2(n))
    return np.array([2.0 ** (-8 * (h + 1) / p) if h < p else 2.0 ** (-8 * (2 * (h - p) + 1) / (2 * p)) for h in range(n)])


def silu(x):
    return x / (1 + np.exp(-x))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softmax(z):
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def yarn(f, freq, hd, rounds):
    """The frequencies, and what sines and cosines are multiplied by. The ramp may begin and end between two pairs."""
    base, factor, length = (f.own("rope." + key) for key in ("freq_base", "scaling.factor", "scaling.original_context_length"))
    betas = f.own("rope.scaling.yarn_beta_fast", 32.0), f.own("rope.scaling.yarn_beta_slow", 1.0)
    low, high = (hd * np.log(length / (turns * 2 * np.pi)) / (2 * np.log(base)) for turns in betas)
    if rounds:
        low, high = np.floor(low), np.ceil(high)
    low, high = max(low, 0), min(high, hd - 1)
    ramp = np.clip((np.arange(hd // 2) - low) / max(high - low, 1e-3), 0, 1)
    # DeepSeek's sines and cosines keep their length, and its scores grow instead; Mistral's keep it, too
    if own := f.own("rope.scaling.yarn_attn_factor"):
        return freq / factor * ramp + freq * (1 - ramp), own
    return freq / factor * ramp + freq * (1 - ramp), 1.0 if f.own("rope.scaling.yarn_log_multiplier") else 0.1 * np.log(factor) + 1


def has_window(f, layer):
    """Whether the layer sees a window, where the file has one: by its list, or by the family's period."""
    pattern = f.own("attention.sliding_window_pattern")
    period = {"gemma3": 6, "gemma4": 6, "llama4": 4, "afmoe": 4, "laguna": 4, "phi3": 1 << 20}.get(f.arch, 2)
    return pattern[layer] if pattern else (layer if f.arch == "laguna" else layer + 1) % period != 0


def growth(f, n):
    """Of Mistral's queries with their position, by which files of Mistral Small 4 are silent."""
    temperature = f.own("attention.temperature_scale", 0.1 if f.arch == "mistral4" else 0.0)
    length = f.own("rope.scaling.original_context_length", 1)
    return (1 + temperature * np.log1p(np.floor(np.arange(n) / length)))[:, None, None]


def is_rotated(f):
    return not f.arch.startswith("nemotron_h") and f.own("rope.scaling.finetuned", True) and slopes(f) is None


def rotate(f, x, pairing, rounds, has_window):
    """x [n, heads, hd]; the first rope.dimension_count dimensions are rotated, all where the file does not say."""
    if not is_rotated(f):
        return x
    n_rot = f.own("rope.dimension_count_swa" if has_window and f.arch in ("gemma4", "laguna") else "rope.dimension_count", x.shape[2])
    if n_rot < x.shape[2]:
        return np.concatenate([rotate(f, x[..., :n_rot], pairing, rounds, has_window), x[..., n_rot:]], axis=-1)
    n, _, hd = x.shape
    factors, magnitude = f.get("rope_freqs.weight"), 1.0
    is_local = has_window and f.arch in ("gemma3", "gemma4", "laguna")               # another base, and no scaling
    freq = (f.own("rope.freq_base_swa", 10000.0) if is_local else f.own("rope.freq_base", 10000.0)) ** (-2 * np.arange(hd // 2) / hd)
    if f.own("rope.scaling.type") == "linear" and not is_local:
        freq = freq / f.own("rope.scaling.factor")
    if factors is not None and not is_local:
        freq = freq / factors
    if "rope_factors_long.weight" in f:                             # of a context beyond the original one
        own = PHI_MAGNITUDE if f.arch == "phimoe" else f.own("rope.scaling.attn_factor")
        freq, magnitude = freq / f["rope_factors_long.weight"], f.own("own magnitude", own)
    if f.own("rope.scaling.type") == "yarn" and not is_local:
        freq, magnitude = yarn(f, freq, hd, rounds)
    angle = np.arange(n)[:, None, None] * freq
    c, s = np.cos(angle) * magnitude, np.sin(angle) * magnitude
    y = np.empty_like(x)
    first, second = (slice(0, None, 2), slice(1, None, 2)) if pairing == "norm" else (slice(0, hd // 2), slice(hd // 2, None))
    a, b = x[..., first], x[..., second]
    y[..., first], y[..., second] = a * c - b * s, a * s + b * c
    return y


def attention(f, layer, x, eps, pairing, rounds, norms_behind=None, plain_norms=True, chunked=True):
    blk = f"blk.{layer}"
    n, d = x.shape
    heads = f.own("attention.head_count")
    heads = heads[layer] if isinstance(heads, list) else heads
    kv = f.own("attention.head_count_kv", heads)
    kv = kv[layer] if isinstance(kv, list) else kv
    hd = f.own("attention.key_length", d // heads)
    if has_window(f, layer):
        hd = f.own("attention.key_length_swa", hd)
    if f"{blk}.attn_qkv.weight" in f:
        parts = x @ f[f"{blk}.attn_qkv.weight"].T + f.get(f"{blk}.attn_qkv.bias", 0.0)
        q, k, v = np.split(parts, [heads * hd, (heads + kv) * hd], axis=1)
    else:
        q, k, v = (x @ f[f"{blk}.attn_{p}.weight"].T if f"{blk}.attn_{p}.weight" in f else None for p in "qkv")
    v = k if v is None else v                                       # Gemma 4: keys are values
    gate = None
    if q.shape[1] == 2 * heads * hd:                                # of each head a query, then a gate
        q, gate = (half.reshape(n, -1) for half in np.split(q.reshape(n, heads, 2 * hd), 2, axis=2))
    if f"{blk}.attn_q.bias" in f:
        q, k, v = (y + f[f"{blk}.attn_{p}.bias"] for y, p in zip((q, k, v), "qkv"))
    norms = [f.get(f"{blk}.attn_{p}_norm.weight") for p in "qk"]
    if norms[0] is not None and norms[0].size == q.shape[1]:        # over the whole vector
        q, k = rms(q, norms[0], eps), rms(k, norms[1], eps)
    q, k, v = q.reshape(n, heads, hd), k.reshape(n, kv, hd), v.reshape(n, kv, hd)
    if f.arch == "gemma4":
        v = rms(v, 1.0, eps)
    behind = f.arch.startswith("hunyuan") if norms_behind is None else norms_behind
    has_head_norms = norms[0] is not None and norms[0].size == hd   # over each head
    if has_head_norms and not behind:
        q, k = rms(q, norms[0], eps), rms(k, norms[1], eps)
    sinks, window = f.get(f"{blk}.attn_sinks.weight"), f.own("attention.sliding_window") if has_window(f, layer) else None
    is_left = f.arch in ("exaone-moe", "afmoe") and not window or f.arch == "smollm3" and layer % 4 == 3
    if slopes(f) is not None or is_left and not f.own("all rotated"):
        pass
    elif f.arch == "llama4" and not window:                           # no rotation; queries grow with their position
        q = q * (1 + f.own("attention.temperature_scale") * np.log1p(np.floor((np.arange(n) + 1) / f.own("attention.temperature_length"))))[:, None, None]
    else:
        q, k = rotate(f, q, pairing, rounds, window), rotate(f, k, pairing, rounds, window)
    if f.arch == "llama4" and window and plain_norms:
        q, k = rms(q, 1.0, eps), rms(k, 1.0, eps)
    if has_head_norms and behind:
        q, k = rms(q, norms[0], eps), rms(k, norms[1], eps)
    if f.arch == "mistral3":
        q = q * growth(f, n)
    scale = f.own("attention.scale", 1.0 if f.arch == "gemma4" else 1 / np.sqrt(hd))
    out = np.empty((n, heads, hd))
    for h in range(heads):
        g = h // (heads // kv)
        score = q[:, h] @ k[:, g].T * scale
        if cap := f.own("attn_logit_softcapping"):
            score = cap * np.tanh(score / cap)
        if (fall := slopes(f)) is not None:
            score += fall[h] * np.minimum(np.arange(n)[None] - np.arange(n)[:, None], 0)
        score[np.triu_indices(n, 1)] = -np.inf
        if window and f.arch == "llama4" and chunked:
            score[np.arange(n)[None] // window < np.arange(n)[:, None] // window] = -np.inf
        elif window:
            score[np.tril_indices(n, -window)] = -np.inf
        if sinks is not None:                       # takes its share and has no value
            score = np.concatenate([score, np.full((n, 1), sinks[h])], axis=1)
        out[:, h] = softmax(score)[:, :n] @ v[:, g]
    out = out.reshape(n, -1)
    if gate is not None:
        out = out * sigmoid(gate)
    if (own := f.get(f"{blk}.attn_gate.weight")) is not None:       # of each head, or of each of its elements
        g = x @ own.T
        out = out * np.repeat(sigmoid(g) if f.arch == "afmoe" else np.log1p(np.exp(g)), out.shape[1] // g.shape[1], axis=1)
    return out @ f[f"{blk}.attn_output.weight"].T + f.get(f"{blk}.attn_output.bias", 0.0)


def attend(q, k, v, scale):
    """q, k [n, heads, size], v [n, heads, size of a value]: what each head attends of what is not behind it."""
    score = np.einsum("ihd,jhd->hij", q, k) * scale
    score[:, *np.triu_indices(len(q), 1)] = -np.inf
    return np.einsum("hij,jhd->ihd", softmax(score), v)


def latent_attention(f, layer, x, eps, pairing):
    """DeepSeek's, by the keys and values of all heads, which engines do not compute."""
    blk, n, heads = f"blk.{layer}", len(x), f.own("attention.head_count")
    rotated, latent = f.own("rope.dimension_count"), f.own("attention.kv_lora_rank")
    if f"{blk}.attn_q_a.weight" in f:
        q = rms(x @ f[f"{blk}.attn_q_a.weight"].T, f[f"{blk}.attn_q_a_norm.weight"], eps) @ f[f"{blk}.attn_q_b.weight"].T
    else:
        q = x @ f[f"{blk}.attn_q.weight"].T
    q = q.reshape(n, heads, -1)
    c, shared = np.split(x @ f[f"{blk}.attn_kv_a_mqa.weight"].T, [latent], axis=1)
    c, plain = rms(c, f[f"{blk}.attn_kv_a_norm.weight"], eps), q.shape[2] - rotated
    if f"{blk}.attn_kv_b.weight" in f:
        k, v = np.split((c @ f[f"{blk}.attn_kv_b.weight"].T).reshape(n, heads, -1), [plain], axis=2)
    else:
        k, v = np.einsum("nc,hcp->nhp", c, f[f"{blk}.attn_k_b.weight"]), np.einsum("nc,hvc->nhv", c, f[f"{blk}.attn_v_b.weight"])
    turned = rotate(f, np.concatenate([q[..., plain:], shared[:, None]], axis=1), pairing, True, None)
    q = np.concatenate([q[..., :plain], turned[:, :-1]], axis=2) * (growth(f, n) if f.arch == "mistral4" else 1)
    k = np.concatenate([k, np.repeat(turned[:, -1:], heads, axis=1)], axis=2)
    m = 1 + f.own("rope.scaling.yarn_log_multiplier", 0.0) * np.log(f.own("rope.scaling.factor", 1.0))
    return attend(q, k, v, m * m / np.sqrt(q.shape[2])).reshape(n, -1) @ f[f"{blk}.attn_output.weight"].T


def convolved(x, taps, bias=0.0):
    """Each channel over positions; taps (channels, taps), the last is of the token itself."""
    n, padded = len(x), np.concatenate([np.zeros((taps.shape[1] - 1, x.shape[1])), x])
    return sum(padded[i:i + n] * taps[:, i] for i in range(taps.shape[1])) + bias


def short_convolution(f, blk, x):
    b, c, inputs = np.split(x @ f[f"{blk}.shortconv.in_proj.weight"].T, 3, axis=1)
    return (c * convolved(b * inputs, f[f"{blk}.shortconv.conv.weight"])) @ f[f"{blk}.shortconv.out_proj.weight"].T


def mamba2(f, blk, x, eps, norm_first=False):
    """norm_first: what is read is normed before it is gated."""
    n, n_heads, n_groups = len(x), f.own("ssm.time_step_rank"), f.own("ssm.group_count")
    size, values = f.own("ssm.state_size"), f.own("ssm.inner_size")
    z, xbc, dt = np.split(x @ f[f"{blk}.ssm_in.weight"].T, [values, 2 * values + 2 * n_groups * size], axis=1)
    xbc = silu(convolved(xbc, f[f"{blk}.ssm_conv1d.weight"], f.get(f"{blk}.ssm_conv1d.bias", 0.0)))
    inputs, writes, reads = np.split(xbc, [values, values + n_groups * size], axis=1)
    inputs = inputs.reshape(n, n_heads, -1)
    of_head = np.arange(n_heads) // (n_heads // n_groups)
    writes, reads = (y.reshape(n, n_groups, size)[:, of_head] for y in (writes, reads))
    dt = np.log1p(np.exp(dt + f.get(f"{blk}.ssm_dt.bias", 0.0)))
    decay, skip = np.exp(dt * f[f"{blk}.ssm_a"][:, 0]), f.get(f"{blk}.ssm_d", np.zeros((n_heads, 1)))
    state, out = np.zeros((n_heads, inputs.shape[2], size)), np.empty_like(inputs)
    for t in range(n):
        state = decay[t, :, None, None] * state + (dt[t, :, None] * inputs[t])[:, :, None] * writes[t][:, None, :]
        out[t] = np.einsum("hvk,hk->hv", state, reads[t]) + skip * inputs[t]
    out, norm = out.reshape(n, -1), lambda y: rms(y.reshape(n, n_groups, -1), f[f"{blk}.ssm_norm.weight"], eps).reshape(n, -1)
    out = norm(out) * silu(z) if norm_first else norm(out * silu(z))
    return out @ f[f"{blk}.ssm_out.weight"].T


def delta_inputs(f, blk, x, sizes):
    """q, k, v (one row, all heads), z, beta, alpha of the projections, value heads in the file's order."""
    n_keys, n_values, dk, dv = sizes
    n, r = len(x), n_values // n_keys
    if f"{blk}.ssm_in.weight" in f:                                 # by key head: q, k, r heads of v, r of z
        parts = (x @ f[f"{blk}.ssm_in.weight"].T).reshape(n, n_keys, -1)
        q, k, v, z = (p.reshape(n, -1) for p in np.split(parts, [dk, 2 * dk, 2 * dk + r * dv], axis=2))
        qkv = np.concatenate([q, k, v], axis=1)
    else:
        qkv, z = x @ f[f"{blk}.attn_qkv.weight"].T, x @ f[f"{blk}.attn_gate.weight"].T
    if f"{blk}.ssm_ba.weight" in f:                                 # by key head: r of beta, r of alpha
        pairs = (x @ f[f"{blk}.ssm_ba.weight"].T).reshape(n, n_keys, 2, r)
        return qkv, z, pairs[:, :, 0].reshape(n, -1), pairs[:, :, 1].reshape(n, -1)
    return qkv, z, x @ f[f"{blk}.ssm_beta.weight"].T, x @ f[f"{blk}.ssm_alpha.weight"].T


def delta_net(f, blk, x, eps, in_turn=None):
    n = len(x)
    n_keys, n_values, dk = f.own("ssm.group_count"), f.own("ssm.time_step_rank"), f.own("ssm.state_size")
    dv = f.own("ssm.inner_size") // n_values
    qkv, z, beta, alpha = delta_inputs(f, blk, x, (n_keys, n_values, dk, dv))
    qkv = silu(convolved(qkv, f[f"{blk}.ssm_conv1d.weight"]))
    q, k, v = np.split(qkv, [n_keys * dk, 2 * n_keys * dk], axis=1)
    q, k = (y.reshape(n, n_keys, dk) / np.sqrt((y.reshape(n, n_keys, dk) ** 2).sum(-1, keepdims=True) + 1e-6) for y in (q, k))
    v, decay = v.reshape(n, n_values, dv), np.exp(f[f"{blk}.ssm_a"] * np.log1p(np.exp(alpha + f[f"{blk}.ssm_dt.bias"])))
    heads = np.arange(n_values)
    in_turn = f.arch != "qwen3next" if in_turn is None else in_turn
    key_of = heads % n_keys if in_turn else heads // (n_values // n_keys)
    state, out = np.zeros((n_values, dk, dv)), np.empty((n, n_values, dv))
    for t in range(n):
        keys, queries = k[t, key_of], q[t, key_of] / np.sqrt(dk)
        state *= decay[t, :, None, None]
        u = v[t] - np.einsum("hkv,hk->hv", state, keys)
        state += keys[:, :, None] * (sigmoid(beta[t])[:, None] * u)[:, None, :]
        out[t] = np.einsum("hkv,hk->hv", state, queries)
    out = rms(out, f[f"{blk}.ssm_norm.weight"], eps) * silu(z.reshape(out.shape))
    return out.reshape(n, -1) @ f[f"{blk}.ssm_out.weight"].T


def swiglu(x, gate, up, down, gate_bias=0.0, up_bias=0.0, down_bias=0.0):
    return (silu(x @ gate.T + gate_bias) * (x @ up.T + up_bias)) @ down.T + down_bias


def geglu(x, gate, up, down, gate_bias=0.0, up_bias=0.0, down_bias=0.0):
    g = x @ gate.T + gate_bias
    return (g * (1 + np.tanh(np.sqrt(2 / np.pi) * (g + 0.044715 * g ** 3))) / 2 * (x @ up.T + up_bias)) @ down.T + down_bias


def gelu(x, up, down, up_bias=0.0, down_bias=0.0):
    u = x @ up.T + up_bias
    return (u * (1 + np.tanh(np.sqrt(2 / np.pi) * (u + 0.044715 * u ** 3))) / 2) @ down.T + down_bias


def relu(x, up, down, *_):
    return np.maximum(x @ up.T, 0) @ down.T


def relu_squared(x, up, down, up_bias=0.0, down_bias=0.0):
    return np.maximum(x @ up.T + up_bias, 0) ** 2 @ down.T + down_bias


def clamped(x, gate, up, down, gate_bias=0.0, up_bias=0.0, down_bias=0.0):
    g, u = np.minimum(x @ gate.T + gate_bias, 7), np.clip(x @ up.T + up_bias, -7, 7)
    return (g / (1 + np.exp(-1.702 * g)) * (u + 1)) @ down.T + down_bias


def beside_dense(f, layer, a, renormalise, routes, expert):
    """Gemma 4: a dense part and routed experts, each with norms of its own; a is the stream."""
    blk, eps = f"blk.{layer}", eps_of(f)
    dense = expert(rms(a, f[f"{blk}.ffn_norm.weight"], eps), *(f[f"{blk}.ffn_{part}.weight"] for part in ("gate", "up", "down")))
    p = softmax(rms(a, f[f"{blk}.ffn_gate_inp.scale"], eps) / np.sqrt(a.shape[1]) @ f[f"{blk}.ffn_gate_inp.weight"].T)
    experts = np.argsort(-p, axis=1, kind="stable")[:, :f.own("expert_used_count")]
    weights = np.take_along_axis(p, experts, 1)
    if renormalise:
        weights /= weights.sum(1, keepdims=True)
    scales = f.get(f"{blk}.ffn_down_exps.scale", np.ones(p.shape[1]))
    routes[layer] = experts, weights * scales[experts]
    x, y = rms(a, f[f"{blk}.pre_ffw_norm_2.weight"], eps), np.zeros_like(a)
    gate, up = np.split(f[f"{blk}.ffn_gate_up_exps.weight"], 2, axis=1)
    down = f[f"{blk}.ffn_down_exps.weight"]
    for t in range(len(x)):
        for e, w in zip(*(part[t] for part in routes[layer])):
            y[t] += w * expert(x[t], gate[e], up[e], down[e])
    return rms(dense, f[f"{blk}.post_ffw_norm_1.weight"], eps) + rms(y, f[f"{blk}.post_ffw_norm_2.weight"], eps)


def in_best_groups(f, choice, by_sum):
    """choice with -inf in groups that are not among the best: by their best two added, or by their best."""
    n_groups, n_taken = f.own("expert_group_count", 1), f.own("expert_group_used_count", 1)
    if n_groups < 2:
        return choice
    by_group = np.sort(choice.reshape(len(choice), n_groups, -1), axis=2)
    of_group = by_group[..., -2:].sum(-1) if by_sum else by_group[..., -1]
    least = np.sort(of_group, axis=1)[:, -n_taken, None]
    return np.where(np.repeat(of_group >= least, choice.shape[1] // n_groups, axis=1), choice, -np.inf)


def gating_of(f):
    return f.own("expert_gating_func", SIGMOID if f.arch in SIGMOIDS else 1)


def sparse_mixer(z, k):
    """Phi-3.5-MoE's: the best, weighted by a softmax over those whose logits lie near; then without it the next."""
    experts, weights = np.argsort(-z, axis=1, kind="stable")[:, :k], np.empty((len(z), k))
    for t, logits in enumerate(z):
        left = logits.copy()
        for slot, e in enumerate(experts[t]):
            near = (logits[e] - logits) / np.maximum(np.abs(logits), logits[e]) <= 0.02
            weights[t, slot] = 1 / np.exp(left[near] - logits[e]).sum()
            left[e] = -np.inf
    return experts, weights


def route(f, blk, x, renormalise):
    """Experts of each token, best first, and their weights."""
    z = x @ f[f"{blk}.ffn_gate_inp.weight"].T + f.get(f"{blk}.ffn_gate_inp.bias", 0.0)
    if f.arch == "phimoe" and not renormalise and f.own("expert_gating_func") is None:
        return sparse_mixer(z, f.own("expert_used_count"))
    is_sigmoid = gating_of(f) == SIGMOID
    p = sigmoid(z) if is_sigmoid else softmax(z)
    choice = in_best_groups(f, p + f.get(f"{blk}.exp_probs_b.bias", 0.0), is_sigmoid)
    experts = np.argsort(-choice, axis=1, kind="stable")[:, :f.own("expert_used_count")]
    weights = np.take_along_axis(p, experts, 1)
    if f.own("expert_weights_norm", renormalise):
        weights /= weights.sum(1, keepdims=True)
    return experts, weights * f.own("expert_weights_scale", 1.0)


def feed_forward(f, layer, x, renormalise, routes, expert, at_input=None):
    """at_input: weights go on what experts read, not on what they give."""
    blk = f"blk.{layer}"
    of = ("up", "down") if expert in (relu, relu_squared, gelu) else ("gate", "up", "down")
    at_input = f.arch == "llama4" if at_input is None else at_input
    if f"{blk}.ffn_gate_inp.weight" not in f:
        if len(of) == 3 and f"{blk}.ffn_gate.weight" not in f:
            return expert(x, *np.split(f[f"{blk}.ffn_up.weight"], 2), f[f"{blk}.ffn_down.weight"])
        parts = [f"{blk}.ffn_{p}" for p in of]
        return expert(x, *(f[f"{p}.weight"] for p in parts), *(f.get(f"{p}.bias", 0.0) for p in parts))
    experts, weights = routes[layer] = route(f, blk, x, renormalise)
    fused = f.get(f"{blk}.ffn_gate_up_exps.weight")
    stacks = ([f[f"{blk}.ffn_{part}_exps.weight"] for part in of] if fused is None else
              [*np.split(fused, 2, axis=1), f[f"{blk}.ffn_down_exps.weight"]])
    stacks += [f.get(f"{blk}.ffn_{part}_exps.bias", np.zeros(len(stacks[0]))) for part in of]
    y = np.zeros_like(x)
    for t in range(len(x)):
        for e, w in zip(experts[t], weights[t]):
            y[t] += expert(w * x[t], *(s[e] for s in stacks)) if at_input else w * expert(x[t], *(s[e] for s in stacks))
    if f"{blk}.ffn_up_shexp.weight" in f:
        shared = (expert if len(of) == 2 else swiglu)(x, *(f[f"{blk}.ffn_{part}_shexp.weight"] for part in of))
        if f"{blk}.ffn_gate_inp_shexp.weight" in f:
            shared *= 1 / (1 + np.exp(-(x @ f[f"{blk}.ffn_gate_inp_shexp.weight"])))[:, None]
        y += shared
    return y


EXPERTS = {"bloom": gelu, "gpt-oss": clamped, **{f"gemma{n}": geglu for n in ("", 2)}, "gemma3": geglu, "gemma4": geglu, "nemotron_h": relu_squared, "nemotron_h_moe": relu_squared}


def mix(f, layer, x, pairing, rounds, in_turn, norm_first, norms_behind, more):
    """What a layer's mixer makes of its normed input; None: it has none."""
    blk, eps = f"blk.{layer}", eps_of(f)
    if f"{blk}.shortconv.conv.weight" in f:
        return short_convolution(f, blk, x)
    if f"{blk}.ssm_in.weight" in f and f"{blk}.ssm_conv1d.bias" in f.tensors:
        return mamba2(f, blk, x, eps, norm_first)
    if f"{blk}.ssm_a" in f:
        return delta_net(f, blk, x, eps, in_turn)
    if f"{blk}.attn_kv_a_mqa.weight" in f:
        return latent_attention(f, layer, x, eps, pairing)
    if f"{blk}.attn_output.weight" not in f:
        return None
    return attention(f, layer, x, eps, pairing, rounds, norms_behind, **more)


def forward(f, ids, pairing=None, renormalise=None, rounds=False, expert=None, in_turn=None, norms_behind=None, at_input=None,
            norm_first=False, centres=None, **more):
    """rounds: YaRN's ramp begins and ends at whole pairs; expert: what one computes; norms_behind: of q and k, their rotation;
    norm_first: Mamba-2 norms before it gates; centres: norms take the mean off."""
    pairing = pairing or ARCH[f.arch][0]
    expert = expert or EXPERTS.get(f.arch, swiglu)
    ffn_norm = "ffn_norm" if "blk.0.ffn_norm.weight" in f else "post_attention_norm"

    def after(name, y):                                             # Gemma's and GLM-4's norms of what a half gives
        return rms(y, f[name], eps) if f.arch.startswith(("gemma", "glm4", "afmoe")) and f.arch != "glm4moe" and name in f else y

    renormalise = ARCH[f.arch][1] if renormalise is None else renormalise
    eps, residual = eps_of(f), f.own("residual_scale", 1.0)
    routes, hidden = {}, []
    has_first_norm = f.arch == "bloom" and not f.own("no first norm")
    x = f["token_embd.weight"][ids] * f.own("embedding_scale", np.sqrt(f.own("embedding_length")) if f.arch.startswith(("gemma", "afmoe")) else 1.0)
    x = norm(f, "token_embd_norm", x, centres) if has_first_norm else x
    for layer in range(f.own("block_count") - f.own("nextn_predict_layers", 0)):
        blk = f"blk.{layer}"
        normed = norm(f, f"{blk}.attn_norm", x, centres)
        y = mix(f, layer, normed, pairing, rounds, in_turn, norm_first, norms_behind, more)
        if f.arch.startswith("nemotron_h"):                         # a layer is one half
            x = x + (feed_forward(f, layer, normed, renormalise, routes, expert) if y is None else y)
            hidden.append(x)
            continue
        x = x + residual * after(f"{blk}.post_attention_norm.weight", y)
        if f.arch == "gemma4" and f"{blk}.ffn_gate_inp.weight" in f:
            y = beside_dense(f, layer, x, renormalise, routes, expert)
        else:
            y = feed_forward(f, layer, norm(f, f"{blk}.{ffn_norm}", x, centres), renormalise, routes, expert, at_input)
        x = (x + residual * after(f"{blk}.post_ffw_norm.weight", y)) * f.get(f"{blk}.layer_output_scale.weight", 1.0)
        hidden.append(x)
    head = f.get("output.weight")
    head = f["token_embd.weight"] if head is None else head
    last = "output_norm" if "output_norm.weight" in f else "token_embd_norm"
    logits, cap = norm(f, last, x, centres) @ head.T / f.own("logit_scale", 1.0), f.own("final_logit_softcapping")
    logits = logits + f.get("output.bias", 0.0)
    return cap * np.tanh(logits / cap) if cap else logits, routes, hidden


def tokenizer_ids(f, text):
    """Ids by the file's own tokenizer data, with a small tokenizer of its own (letters, digits and signs of the golden text)."""
    import regex
    tokens = f.key("tokenizer.ggml.tokens")
    vocab = {t: i for i, t in enumerate(tokens)}
    ids = [f.key("tokenizer.ggml.bos_token_id")] if f.key("tokenizer.ggml.add_bos_token", False) else []
    if f.key("tokenizer.ggml.model") == "llama":
        scores = f.key("tokenizer.ggml.scores")
        symbols = list(("\u2581" if f.key("tokenizer.ggml.add_space_prefix", True) else "") + text.replace(" ", "\u2581"))
        while True:
            pairs = [(scores[vocab[a + b]], -i) for i, (a, b) in enumerate(zip(symbols, symbols[1:])) if a + b in vocab]
            if not pairs:
                break
            i = -max(pairs)[1]
            symbols[i:i + 2] = [symbols[i] + symbols[i + 1]]
        for s in symbols:
            ids += [vocab[s]] if s in vocab else [vocab[f"<0x{b:02X}>"] for b in s.encode()]
        return ids
    from toy_tokenizer import PRE, REGEX, byte_map
    is_plain = f.key("tokenizer.ggml.model") == "gemma4"
    chars = byte_map()
    text = text.replace(" ", "\u2581") if is_plain else text
    pieces = [text]
    for stage in PRE[f.key("tokenizer.ggml.pre")]:
        pattern = r"\p{N}|[^\p{N}]+" if stage == "digits" else REGEX[stage]
        pieces = [m for p in pieces for m in regex.splititer(f"({pattern})", p) if m]   # gaps between matches are pieces, too
    rank = {tuple(m.split(" ", 1)): i for i, m in enumerate(f.key("tokenizer.ggml.merges"))}
    for p in pieces:
        symbols = list(p) if is_plain else [chars[b] for b in p.encode()]
        while True:
            pairs = [(rank[ab], i) for i, ab in enumerate(zip(symbols, symbols[1:])) if ab in rank]
            if not pairs:
                break
            i = min(pairs)[1]
            symbols[i:i + 2] = [symbols[i] + symbols[i + 1]]
        for s in symbols:
            ids += [vocab[s]] if s in vocab else [vocab[f"<0x{b:02X}>"] for b in s.encode()]
    return ids


def llama_cpp_logits(path, ids):
    """Logits by llama.cpp with a float32 KV cache, and the llama.cpp model; None without llama-cpp-python."""
    try:
        import llama_cpp
    except ImportError:
        return None
    m = llama_cpp.Llama(path, n_ctx=256, n_batch=256, n_threads=1, logits_all=True, verbose=False, flash_attn=False,
                        type_k=llama_cpp.GGML_TYPE_F32, type_v=llama_cpp.GGML_TYPE_F32)
    m.eval(ids)
    return np.array(m.scores[:len(ids)], dtype=np.float64), m


def check(path):
    f, want = File(path), File(path.replace(".gguf", ".expect.gguf"))
    ids, problems = want["tokens"].tolist(), []
    logits, routes, hidden = forward(f, ids)
    scale = float(np.ptp(want["logits"]))
    worst = float(np.abs(logits - want["logits"]).max()) / scale
    if not worst <= LIMIT:
        problems.append("logits")
    for layer, h in enumerate(hidden):
        if np.abs(h - want[f"hidden.{layer}"]).max() > LIMIT * np.abs(h).max():
            problems.append(f"hidden.{layer}")
    weight_diff = 0.0
    for layer, (experts, weights) in routes.items():
        if not np.array_equal(experts, want[f"route.{layer}.experts"]):
            problems.append(f"route.{layer}.experts")
        weight_diff = max(weight_diff, float(np.abs(weights - want[f"route.{layer}.weights"]).max()))
    if weight_diff > 1e-4:
        problems.append("route weights")
    everything = ids + want["greedy"].tolist()
    after, _, _ = forward(f, everything)
    after = after[len(ids) - 1:-1]
    if not np.array_equal(after.argmax(1), want["greedy"]) or np.abs(after - want["greedy_logits"]).max() > LIMIT * scale:
        problems.append("greedy")
    if tokenizer_ids(f, want.key("calmoe.golden.text")) != ids:
        problems.append("tokens")
    line = f"{os.path.basename(path):22s} logits {worst:.1e} of range {scale:.1f}  route weights {weight_diff:.1e}"
    is_mixed = any("ffn_gate_inp.weight" in t for t in f.tensors) and any("ffn_down.weight" in t for t in f.tensors)
    is_mixed |= f.own("ssm.inner_size", 0) != f.own("ssm.state_size", 0) * f.own("ssm.time_step_rank", 0)
    if not is_mixed and (other := llama_cpp_logits(path, ids)) is not None:     # llama.cpp wants experts in all layers, values as long as keys
        other, m = other
        llama = float(np.abs(other - want["logits"]).max()) / scale
        line += f"  llama.cpp {llama:.1e}"
        if not llama <= 1e-3 and f.own("rope.scaling.type") != "yarn":    # llama.cpp rounds the ends of YaRN's ramp
            problems.append("llama.cpp logits")
        text = want.key("calmoe.golden.text").encode()
        if m.tokenize(text, add_bos=bool(f.key("tokenizer.ggml.add_bos_token", False)), special=False) != ids:
            problems.append("llama.cpp tokens")
    print(line + "  " + ("ok" if not problems else "WRONG: " + ", ".join(problems)))
    return not problems


def mistakes(path):
    f, want = File(path), File(path.replace(".gguf", ".expect.gguf"))
    ids, scale = want["tokens"].tolist(), float(np.ptp(want["logits"]))
    pairing, renormalise = ARCH[f.arch]
    eps = "attention.layer_norm_epsilon" if f.arch == "bloom" else "attention.layer_norm_rms_epsilon"
    cases = {}
    if is_rotated(f):
        cases = {"pairing": (f, {"pairing": "neox" if pairing == "norm" else "norm"}),
                 "theta": (File(path, {"rope.freq_base": 1.1 * f.own("rope.freq_base", 10000.0)}), {})}
    if slopes(f) is not None:
        cases["no slopes"] = File(path, {"no slopes": True, "rope.scaling.finetuned": False}), {}
    if f.arch in CENTRED:
        cases["norms uncentred"] = f, {"centres": False}
    if f.arch == "bloom":
        cases["no first norm"], cases["relu"] = (File(path, {"no first norm": True}), {}), (f, {"expert": relu})
    if f.arch in ("phimoe", "phi3"):
        cases["other magnitude"] = File(path, {"own magnitude": f.own("rope.scaling.attn_factor") if f.arch == "phimoe" else 1.0}), {}
        cases["short factors"] = File(path, swapped={"rope_factors_long.weight": "rope_factors_short.weight"}), {}
    if f.arch in ("mistral3", "mistral4"):
        cases["no growth"] = File(path, {"attention.temperature_scale": 0.0}), {}
    if any("attn_output" in t for t in f.tensors) and any("attn_gate.weight" in t for t in f.tensors) and not f.own("ssm.state_size"):
        cases["no gates"] = File(path, hidden=("attn_gate",)), {}
    if f.arch == "afmoe":
        cases["embedding unscaled"] = File(path, {"embedding_scale": 1.0}), {}
        for norm in ("post_attention_norm", "post_ffw_norm"):
            cases["no " + norm] = File(path, hidden=(norm,)), {}
    if f.arch == "laguna" and f.own("attention.sliding_window"):
        cases["YaRN's own magnitude"] = File(path, {"rope.scaling.yarn_attn_factor": None}), {}
        cases["no window"] = File(path, {"attention.sliding_window": 1000}), {}
        cases["the base of all"] = File(path, {"rope.freq_base_swa": f.own("rope.freq_base")}), {}
    if f.arch in ("exaone-moe", "gemma2", "phi3", "afmoe"):
        cases["no window"] = File(path, {"attention.sliding_window": 1000}), {}
    if f.arch == "gemma2":
        for key in ("attn_logit_softcapping", "final_logit_softcapping"):
            cases["no " + key] = File(path, {key: None}), {}
    if f.arch in ("exaone-moe", "smollm3", "afmoe"):
        cases["all rotated"] = File(path, {"all rotated": True}), {}
    if f.arch not in ("olmoe", "deepseek2", "mistral4"):    # always 1e-5, and 1e-6, there, too small to show
        cases["eps"] = File(path, {eps: 1e-6 if f.own(eps) > 1e-6 else 1e-5}), {}
    if any("ffn_gate_inp.weight" in t for t in f.tensors):
        if (told := f.own("expert_weights_norm")) is None:
            cases["renormalise"] = f, {"renormalise": not renormalise}
        else:
            cases["renormalise"] = File(path, {"expert_weights_norm": not told}), {}
    if any("ffn_gate_inp.weight" in t for t in f.tensors) and f.arch not in ("gpt-oss", "gemma4"):
        cases["gating"] = File(path, {"expert_gating_func": 1 if gating_of(f) == SIGMOID else SIGMOID}), {}
    for key, other in (("expert_weights_scale", 1.0), ("expert_group_used_count", f.own("expert_group_count")),
                       ("rope.scaling.yarn_log_multiplier", 0.0)):
        if f.own(key) not in (None, other):
            cases["no " + key] = File(path, {key: other}), {}
    for key in ("attention.scale", "residual_scale", "embedding_scale", "logit_scale"):
        if f.own(key):
            cases["no " + key] = File(path, {key: None}), {}
    if f.arch == "gemma3":
        for key in ("attention.sliding_window", "rope.scaling.type"):
            cases["no " + key] = File(path, {key: None}), {}
        cases["the base of all"] = File(path, {"rope.freq_base_swa": f.own("rope.freq_base")}), {}
        cases["silu"], cases["embedding unscaled"] = (f, {"expert": swiglu}), (File(path, {"embedding_scale": 1.0}), {})
        for norm in ("post_attention_norm", "post_ffw_norm"):
            cases["no " + norm] = File(path, hidden=(norm,)), {}
    if f.arch == "gemma4":
        cases["no window"] = File(path, {"attention.sliding_window": 1000}), {}
        cases["no cap"] = File(path, {"final_logit_softcapping": None}), {}
        cases["scores scaled"] = File(path, {"attention.scale": 0.3}), {}
        for part in ("layer_output_scale", "ffn_down_exps.scale", "post_ffw_norm.weight", "post_attention_norm"):
            if any(part in t for t in f.tensors):
                cases["no " + part] = File(path, hidden=(part,)), {}
    if f.arch == "llama4":
        cases["no chunks"], cases["a window"] = (File(path, {"attention.sliding_window": 1000}), {}), (f, {"chunked": False})
        cases["no norms"], cases["weights at outputs"] = (f, {"plain_norms": False}), (f, {"at_input": False})
        cases["no temperature"] = File(path, {"attention.temperature_scale": 0.0}), {}
    if f.arch == "gpt-oss":
        for key in ("attention.sliding_window", "rope.scaling.type"):
            cases["no " + key] = File(path, {key: None}), {}
        cases["YaRN rounded"], cases["no clamp"] = (f, {"rounds": True}), (f, {"expert": swiglu})
    for part in ("attn_sinks", "ffn_gate_inp.bias", "ffn_gate_exps.bias", "ffn_up_exps.bias", "ffn_down_exps.bias",
                 "attn_q.bias", "attn_qkv.bias", "attn_output.bias", "ffn_gate.bias", "ffn_up.bias", "ffn_down.bias", "rope_freqs", "_shexp",
                 "attn_norm.bias", "ffn_norm.bias", "output_norm.bias", "output.bias",
                 "gate_inp_shexp", "exp_probs_b"):
        if any(part in t for t in f.tensors):
            cases["no " + part] = File(path, hidden=(part,)), {}
    if any("attn_q_norm" in t for t in f.tensors):
        if next(f[t] for t in f.tensors if "attn_q_norm" in t).size == f.own("attention.key_length"):
            cases["norms behind rotation"] = f, {"norms_behind": not f.arch.startswith("hunyuan")}
        cases["no q, k norm"] = File(path, hidden=("attn_q_norm", "attn_k_norm")), {}
    gates = [t for t in f.tensors if "ffn_gate" in t and "inp" not in t and "gate_up" not in t and t.endswith(".weight")]
    swap = {t: t.replace("gate", "up") for t in gates}
    if swap:
        cases["gate and up swapped"] = File(path, swapped={**swap, **{u: t for t, u in swap.items()}}), {}
    heads = f.own("attention.head_count")
    head = f.own("attention.key_length", f.own("embedding_length") // (heads[0] if isinstance(heads, list) else heads))
    if f.arch not in ("deepseek2", "mistral4") and is_rotated(f) and f.own("rope.dimension_count", head) != head and f.arch != "phi3":
        cases["all dimensions rotated"] = File(path, {"rope.dimension_count": None}), {}
    if any("ssm_conv1d.bias" in t for t in f.tensors):              # Mamba-2
        cases["norm before gate"] = f, {"norm_first": True}
        for part in ("ssm_conv1d.bias", "ssm_dt.bias", "ssm_d"):
            cases["no " + part] = File(path, hidden=(part,)), {}
    elif f.own("ssm.state_size"):
        cases["order of value heads"] = f, {"in_turn": f.arch == "qwen3next"}
    if f.arch == "granitehybrid":
        cases["rotation"] = File(path, {"rope.scaling.finetuned": not is_rotated(f)}), {}
    if f.arch.startswith("nemotron_h"):
        cases["no square"] = f, {"expert": relu}
    moved = {}
    for case, (g, kw) in cases.items():
        moved[case] = float(np.abs(forward(g, ids, **kw)[0] - want["logits"]).max()) / scale
    unseen = [case for case, m in moved.items() if not m > LIMIT]
    print(f"{os.path.basename(path):22s} " + "  ".join(f"{c} {m:.0e}" for c, m in moved.items())
          + ("  ok" if not unseen else "  UNSEEN: " + ", ".join(unseen)))
    return not unseen


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("names", nargs="*", metavar="NAME")
    p.add_argument("--dir", default=os.path.dirname(here))
    p.add_argument("--mistakes", action="store_true")
    a = p.parse_args()
    paths = [os.path.join(a.dir, f"{n}.gguf") for n in a.names] or sorted(
        e.replace(".expect.gguf", ".gguf") for e in glob.glob(os.path.join(a.dir, "*.expect.gguf")))
    sys.exit(0 if paths and all([(mistakes if a.mistakes else check)(p) for p in paths]) else 1)


if __name__ == "__main__":
    main()
