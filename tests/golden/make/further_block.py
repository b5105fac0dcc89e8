"""The block behind the layers of a golden model that predicts a further token (multi-token prediction, MTP), and its answers.

transformers runs no such block. Its layer is a copy of one of the model's own, which transformers does run; what stands
around it is computed here, by the published formulas: with the token at position p + 1 and the model's state h behind its
last norm at position p,

    x = eh_proj [ RMSNorm_e(embedding of the token) ; RMSNorm_h(h) ],   logits = head(RMSNorm_s(layer(x)))

say the token at p + 2. Embedding and head are the model's; GLM-4.5's block has some of its own, here the model's with their
rows moved on by 1 and 2. For further drafts the block's own state takes the place of h: behind RMSNorm_s in Qwen3.5 and
Ling 2, before it in GLM-4.5 and DeepSeek-V3.
"""
import copy
import zlib

import numpy as np
import torch
from gguf import GGUFWriter

MODELS = {"qwen35moe": True, "qwen3next": True, "glm4moe": False, "deepseek3": False, "ling2": True}   # whether states are handed on normed
HAVE_OWN = ("glm4moe",)
N_DRAFTS = 3


def copied_layer(config):
    kinds = getattr(config, "layer_types", None) or []
    return kinds.index("full_attention") if "linear_attention" in kinds else config.num_hidden_layers - 1


def parts(name, config):
    """Its own weights, which depend on the model's name only."""
    rng, d = np.random.default_rng(zlib.crc32(name.encode())), config.hidden_size
    norms = {n: (1.0 + 0.2 * rng.standard_normal(d)).astype(np.float32) for n in ("enorm", "hnorm", "shared_head_norm")}
    return {"eh_proj": (rng.standard_normal((d, 2 * d)) / np.sqrt(2 * d)).astype(np.float32), **norms}


def tensors(name, converted, config):
    """{GGUF name: array}, behind the layers; converted: the model's."""
    of, last = copied_layer(config), config.num_hidden_layers
    out = {n.replace(f"blk.{of}.", f"blk.{last}."): w for n, w in converted.items() if n.startswith(f"blk.{of}.")}
    for n, w in parts(name, config).items():
        is_lings = name == "ling2" and n == "shared_head_norm"
        out[f"blk.{last}.{'layer_output_norm' if is_lings else 'nextn.' + n}.weight"] = w
    if name in HAVE_OWN:
        out[f"blk.{last}.nextn.embed_tokens.weight"] = np.roll(converted["token_embd.weight"], 1, axis=0)
        out[f"blk.{last}.nextn.shared_head_head.weight"] = np.roll(converted["output.weight"], 2, axis=0)
    return out


def rms(x, w, eps):
    return x * torch.rsqrt((x * x).mean(-1, keepdim=True) + eps) * torch.from_numpy(w)


def answers(name, model, ids, is_less_one):
    """Logits (len(ids) - 1, V) of the tokens two places on; then drafts, and the logits of each."""
    p, config = parts(name, model.config), model.config
    one = copy.deepcopy(model)
    of = copied_layer(config)
    one.config.num_hidden_layers = 1
    if getattr(config, "layer_types", None):
        one.config.layer_types = ["full_attention"]
    one.model.config = one.config
    one.model.layers = torch.nn.ModuleList([one.model.layers[of]])
    before = []
    one.model.norm.register_forward_pre_hook(lambda _m, args: before.append(args[0][0]))
    with torch.no_grad():
        one.model.norm.weight.copy_(torch.from_numpy(p["shared_head_norm"]) - (1.0 if is_less_one else 0.0))
        h = model.model(torch.tensor([ids]), use_cache=False).last_hidden_state[0]
        embedding, head, eps = model.get_input_embeddings().weight, model.lm_head.weight, config.rms_norm_eps
        if name in HAVE_OWN:
            embedding, head = torch.roll(embedding, 1, 0), torch.roll(head, 2, 0)

        def join(token, state):
            return torch.cat([rms(embedding[token], p["enorm"], eps), rms(state, p["hnorm"], eps)]) @ torch.from_numpy(p["eh_proj"]).T

        x = [join(t, h[i]) for i, t in enumerate(ids[1:])]
        first, drafts, rows = None, [], []
        for _ in range(N_DRAFTS):
            out = one.model(inputs_embeds=torch.stack(x)[None], use_cache=False).last_hidden_state[0]
            logits = out @ head.T
            first = logits.numpy().copy() if first is None else first
            rows.append(logits[-1].numpy().copy())
            drafts.append(int(rows[-1].argmax()))
            x.append(join(drafts[-1], out[-1] if MODELS[name] else before[-1][-1]))
    return first, drafts, np.stack(rows)


def write(path, name, model, ids, is_less_one, finish):
    first, drafts, rows = answers(name, model, ids, is_less_one)
    g = GGUFWriter(path, "calmoe-golden")
    g.add_name(f"calmoe golden {name}: expectations of the block that predicts a further token")
    g.add_tensor("tokens", np.array(ids, dtype=np.int32))
    g.add_tensor("logits", first)
    g.add_tensor("drafts", np.array(drafts, dtype=np.int32))
    g.add_tensor("draft_logits", rows)
    finish(g)
    top = np.sort(rows, axis=1)
    print(f"{name:17s} drafts {drafts}, margins {np.round(top[:, -1] - top[:, -2], 3)}", flush=True)
