#!/usr/bin/env python3
"""Write the golden adapters: adapters/NAME/ has an adapter for the golden model NAME as Hugging Face's PEFT saves it
(adapter_config.json, adapter_model.safetensors), and expect.gguf, the tokens and what PEFT's model answers to them.

    python3 make_adapters.py [--out DIR] [NAME ...]

NAME_file has an adapter.gguf beside it: the same adapter in one file, with the tensors that a converter would give it.
NAME_modules is the same as NAME in the form of transformers 4, where each expert was a module of its own.
NAME_prefix and NAME_cartridge are keys and values before the first token; NAME_projected was trained behind a projection.
"""
import argparse
import json
import os
import shutil

import numpy as np
import peft
import torch
from gguf import GGUFReader, GGUFType, GGUFWriter
from safetensors import safe_open
from safetensors.numpy import save_file

from make_models import MODELS, build, permute

HERE = os.path.dirname(os.path.abspath(__file__))
ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"]
DENSE = ["gate_proj", "up_proj", "down_proj"]
EXPERTS = ["mlp.experts.gate_up_proj", "mlp.experts.down_proj"]

# name: what PEFT is asked for
ADAPTERS = {
    "llama": dict(r=3, lora_alpha=5, target_modules=[*ATTENTION, *DENSE, "lm_head", "embed_tokens"],
                  rank_pattern={"down_proj": 2, r"layers\.\d+\.self_attn.v_proj": 4},
                  alpha_pattern={"layers.1.self_attn.q_proj": 9, r"^model.layers.2.mlp.(gate|up)_proj": 2}),
    "qwen3moe": dict(r=2, lora_alpha=3, use_rslora=True, target_modules=ATTENTION,
                     target_parameters=[*EXPERTS, "mlp.gate.weight"]),
    "deepseek3": dict(r=3, lora_alpha=4, target_modules=["q_a_proj", "q_b_proj", "kv_a_proj_with_mqa", "kv_b_proj", "o_proj", *DENSE],
                      target_parameters=EXPERTS),
    "deepseek2old": dict(r=2, lora_alpha=3, target_modules=["q_proj", "kv_b_proj", *DENSE]),
    "gptoss": dict(r=2, lora_alpha=3, target_modules=[*ATTENTION, "lm_head"], target_parameters=[*EXPERTS, "mlp.router.weight"]),
    "gemma3": dict(r=4, lora_alpha=6, target_modules=[*ATTENTION, *DENSE, "embed_tokens"]),
    "mixtral": dict(r=2, lora_alpha=3, target_modules=["q_proj", "k_proj"], target_parameters=EXPERTS),
}
# name of a folder: the kind of prefix, and what PEFT is asked for
PREFIXES = {
    "llama_prefix": (peft.PrefixTuningConfig, dict(num_virtual_tokens=5)),
    "llama_projected": (peft.PrefixTuningConfig, dict(num_virtual_tokens=3, prefix_projection=True, encoder_hidden_size=6)),
    "qwen3moe_prefix": (peft.PrefixTuningConfig, dict(num_virtual_tokens=9)),
    "gptoss_prefix": (peft.PrefixTuningConfig, dict(num_virtual_tokens=4)),
    "gemma3_prefix": (peft.PrefixTuningConfig, dict(num_virtual_tokens=7)),
    "llama4_cartridge": (peft.CartridgeConfig, dict(num_virtual_tokens=6)),
}
AS_ONE_FILE = {"llama"}
AS_MODULES = {"qwen3moe"}


def seeded(model, seed):
    """Random numbers for all halves, so large that everything that is added shows."""
    gen = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in sorted(model.named_parameters()):
            if "lora_" in name:
                p.copy_(0.5 / np.sqrt(p.shape[-1]) * torch.randn(p.shape, generator=gen))


def seeded_prefix(model, seed):
    """Likewise: keys and values of about the size of a model's own."""
    gen = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in sorted(model.prompt_encoder.named_parameters()):
            p.copy_(torch.randn(p.shape, generator=gen))


def check_same(model, reader):
    """That the model is the one of the file."""
    found = next(t.data for t in reader.tensors if t.name == "blk.0.attn_output.weight")
    wanted = model.model.layers[0].self_attn.o_proj.weight.detach().numpy()
    assert np.array_equal(found.reshape(wanted.shape), wanted), "other weights than in the file"


def as_one_file(name, folder, config):
    """The same adapter with the names and shapes that a converter gives it: of a Llama."""
    arch = MODELS[name][1]
    names = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
             "self_attn.o_proj": "attn_output", **{f"mlp.{x}_proj": f"ffn_{x}" for x in ("gate", "up", "down")}}
    g = GGUFWriter(os.path.join(folder, "adapter.gguf"), arch)
    g.add_type(GGUFType.ADAPTER)
    g.add_string("adapter.type", "lora")
    g.add_float32("adapter.lora.alpha", 5.0)
    with safe_open(os.path.join(folder, "adapter_model.safetensors"), "np") as f:
        for key in (k for k in f.keys() if ".lora_" in k):
            module, _, end = key.removeprefix("base_model.model.").partition(".lora_")
            half, w = "ab"["B" in end], f.get_tensor(key)
            if module == "model.embed_tokens":
                target, w = "token_embd", w.T if half == "a" else w
            elif module == "lm_head":
                target = "output"
            else:
                _, _, layer, path = module.split(".", 3)
                target = f"blk.{layer}.{names[path]}"
                if half == "b" and path in ("self_attn.q_proj", "self_attn.k_proj"):
                    w = permute(w, config.num_attention_heads if "q_proj" in path else config.num_key_value_heads)
            g.add_tensor(f"{target}.weight.lora_{half}", np.ascontiguousarray(w))
    g.write_header_to_file()
    g.write_kv_data_to_file()
    g.write_tensors_to_file()
    g.close()


def as_modules(folder, n_experts):
    """Experts one by one: of A (experts * rank, inputs) its rows, of B (outputs, rank * experts) every so manyth column."""
    to, halves = {}, {}
    with safe_open(os.path.join(folder, "adapter_model.safetensors"), "np") as f:
        for key in f.keys():
            (halves if ".mlp.experts." in key else to)[key] = f.get_tensor(key)
    for key in [k for k in halves if k.endswith("lora_A.weight")]:
        a, b = halves[key], halves[key.replace("lora_A", "lora_B")]
        layer = key.split(".mlp.experts.")[0]
        is_down = a.shape[1] < b.shape[0] and b.shape[0] > 2 * a.shape[1]
        for e in range(n_experts):
            rows = a.reshape(n_experts, -1, a.shape[1])[e]
            columns = b.reshape(b.shape[0], -1, n_experts)[:, :, e]
            parts = {"down_proj": columns} if is_down else dict(zip(("gate_proj", "up_proj"), np.split(columns, 2)))
            for part, of_part in parts.items():
                to[f"{layer}.mlp.experts.{e}.{part}.lora_A.weight"] = np.ascontiguousarray(rows)
                to[f"{layer}.mlp.experts.{e}.{part}.lora_B.weight"] = np.ascontiguousarray(of_part)
    os.makedirs(folder + "_modules", exist_ok=True)
    save_file(to, os.path.join(folder + "_modules", "adapter_model.safetensors"), metadata={"format": "pt"})
    for name in ("adapter_config.json", "expect.gguf"):
        shutil.copyfile(os.path.join(folder, name), os.path.join(folder + "_modules", name))


def write_expected(folder, tokens, logits):
    g = GGUFWriter(os.path.join(folder, "expect.gguf"), "calmoe-golden")
    g.add_string("calmoe.golden.source", f"peft {peft.__version__}")
    g.add_tensor("tokens", np.array(tokens, dtype=np.int32))
    g.add_tensor("logits", logits)
    g.write_header_to_file()
    g.write_kv_data_to_file()
    g.write_tensors_to_file()
    g.close()


def opened(name):
    """The golden model's vocabulary, seed and tokens; the model is checked to be the file's."""
    golden = os.path.join(HERE, "..", f"{name}")
    reader, expect = GGUFReader(golden + ".gguf"), GGUFReader(golden + ".expect.gguf")
    seed = int(expect.get_field("calmoe.golden.seed").contents())
    vocab = MODELS[name][2]()
    check_same(build(name, vocab, seed), reader)
    return vocab, seed, next(t.data for t in expect.tensors if t.name == "tokens").tolist()


def save(model, folder):
    model.save_pretrained(folder)
    for leftover in ("README.md",):
        if os.path.exists(os.path.join(folder, leftover)):
            os.remove(os.path.join(folder, leftover))
    tidy_config(os.path.join(folder, "adapter_config.json"))


def make_prefix(folder_name, out):
    name = folder_name.partition("_")[0]
    kind, asked = PREFIXES[folder_name]
    folder = os.path.join(out, folder_name)
    vocab, seed, tokens = opened(name)
    model = peft.get_peft_model(build(name, vocab, seed), kind(task_type="CAUSAL_LM", **asked)).eval()
    seeded_prefix(model, 2000 + seed)
    with torch.no_grad():
        logits = model(torch.tensor([tokens])).logits[0].numpy().copy()
    save(model, folder)
    write_expected(folder, tokens, logits)
    print(folder, {f: os.path.getsize(os.path.join(folder, f)) for f in sorted(os.listdir(folder))})


def make(name, out):
    vocab, seed, tokens = opened(name)
    asked = dict(ADAPTERS[name])
    if name in AS_ONE_FILE:                                     # one alpha / rank for all, as a file has it
        asked = {k: v for k, v in asked.items() if "pattern" not in k}
    for variant in ([asked, ADAPTERS[name]] if name in AS_ONE_FILE else [asked]):
        is_file = name in AS_ONE_FILE and variant is asked
        folder = os.path.join(out, name + ("_file" if is_file else ""))
        base = build(name, vocab, seed)
        model = peft.get_peft_model(base, peft.LoraConfig(task_type="CAUSAL_LM", **variant)).eval()
        seeded(model, 1000 + seed)
        with torch.no_grad():
            logits = model(torch.tensor([tokens]), use_cache=False).logits[0].numpy().copy()
        save(model, folder)
        if is_file:
            as_one_file(name, folder, base.config)
        write_expected(folder, tokens, logits)
        if name in AS_MODULES:
            as_modules(folder, base.config.num_experts)
        print(folder, {f: os.path.getsize(os.path.join(folder, f)) for f in sorted(os.listdir(folder))})


def tidy_config(path):
    """Lists in an order that does not change from run to run, and no paths."""
    with open(path) as f:
        config = json.load(f)
    for key in ("target_modules", "target_parameters"):
        if isinstance(config.get(key), list):
            config[key] = sorted(config[key])
    config["base_model_name_or_path"] = None
    with open(path, "w") as f:
        json.dump(config, f, indent=1, sort_keys=True)
        f.write("\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", default=os.path.join(HERE, "..", "adapters"))
    parser.add_argument("names", nargs="*")
    args = parser.parse_args()
    for wanted in args.names or [*ADAPTERS, *PREFIXES]:
        (make_prefix if wanted in PREFIXES else make)(wanted, args.out)
