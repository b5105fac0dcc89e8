#!/usr/bin/env python3
"""Fine-tune a low-rank adapter (LoRA) of calmoe-nano on lines of text: GGUF, as `calmoe run --lora` reads it.

    lora.py OUT.gguf DATA.jsonl [DATA.jsonl …]      (CALMOE_LIBRARY names libcalmoe.so)

DATA: an object a line, of which "text" is learnt; so what examples/augment writes. Steps take the files by turns, whatever their lengths; a
file may be named twice. A text is a row of its own, from the vocabulary's end-of-text token to a line break. Where a matrix is W,
W + alpha / rank * B A is used, with A random and B zero at the beginning; AdamW; of all exits only the last layer's loss. Routers, norms and the
embedding stay. --on names an adapter that is there already, and will be beside this one when it is used: the two are added up."""
import argparse
import json
import pathlib
import sys
import time

import env
import gguf
import torch
import torch.nn.functional as F
import model as M

HERE = pathlib.Path(__file__).resolve()
sys.path[:0] = [str(HERE.parents[2] / "bindings" / "python")]
NANO = HERE.parents[2] / "models" / "calmoe-nano.gguf"
ADAPTED = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate_exps", "ffn_up_exps", "ffn_down_exps")


def read_rows(path, model):
    """The tokens of a file's texts."""
    end = model.tokenize("<|endoftext|>", special=True)
    with open(path) as f: texts = [json.loads(line)["text"] for line in f]
    return [end + model.tokenize(text + "\n") for text in texts]


def begin(w, rank, generator):
    """{name: (A, B)}: A (…, rank, in), B (…, out, rank), a pair for each matrix of a stack."""
    pairs = {}
    for name, matrix in w.items():
        if name.split(".")[-2] not in ADAPTED: continue
        *stack, n_out, n_in = matrix.shape
        a = torch.randn(*stack, rank, n_in, generator=generator) * n_in ** -0.5
        pairs[name] = (a.requires_grad_(), torch.zeros(*stack, n_out, rank, requires_grad=True))
    return pairs


def batch(rows, n_tokens, generator):
    """Some of the rows, drawn until there are so many tokens, filled up behind their ends: inputs, targets (-100 = nothing is learnt there)."""
    drawn, longest = [], 0
    while not drawn or longest * len(drawn) < n_tokens:
        drawn.append(rows[int(torch.randint(len(rows), (), generator=generator))])
        longest = max(longest, len(drawn[-1]) - 1)
    fill = lambda row, value: row + [value] * (longest - len(row))
    return torch.tensor([fill(r[:-1], 0) for r in drawn]), torch.tensor([fill(r[1:], -100) for r in drawn])


def add(w, path):
    """The weights with an adapter added to them."""
    read = gguf.GGUFReader(path)
    halves = {t.name: torch.from_numpy(gguf.quants.dequantize(t.data, t.tensor_type).copy()) for t in read.tensors}
    alpha, out = read.fields["adapter.lora.alpha"].contents(), dict(w)
    for name in {n.rsplit(".", 1)[0] for n in halves}:
        a, b = halves[name + ".lora_a"], halves[name + ".lora_b"]
        out[name] = w[name] + alpha / a.shape[-2] * (b @ a)
    return out


def write(path, pairs, alpha):
    out = gguf.GGUFWriter(path, "qwen3moe")
    out.add_type("adapter")
    out.add_string("adapter.type", "lora")
    out.add_float32("adapter.lora.alpha", alpha)
    for name, (a, b) in pairs.items():
        out.add_tensor(name + ".lora_a", a.detach().numpy())
        out.add_tensor(name + ".lora_b", b.detach().numpy())
    out.write_header_to_file(); out.write_kv_data_to_file(); out.write_tensors_to_file(); out.close()


def train(out, files, cfg, w, steps=150, n_tokens=400, rank=16, alpha=32.0, rate=2e-3, seed=1, say=lambda text: None):
    """files: for each the tokens of its texts. Answers the mean losses of the first and the last ten steps."""
    generator = torch.Generator().manual_seed(seed)
    pairs = begin(w, rank, generator)
    tables = M.rope_table(cfg, cfg.context)
    optimizer = torch.optim.AdamW([half for pair in pairs.values() for half in pair], lr=rate, weight_decay=0.01)
    began, losses = time.time(), []
    for step in range(steps):
        for group in optimizer.param_groups: group["lr"] = rate * min(1, (step + 1) / 10, 2 * (steps - step) / steps)
        ids, targets = batch(files[step % len(files)], n_tokens, generator)
        adapted = {**w, **{name: w[name] + alpha / rank * (b @ a) for name, (a, b) in pairs.items()}}
        states, _ = M.forward(cfg, adapted, ids, *tables)
        logits = M.exit_norm(cfg, w, states[-1]) @ w["token_embd.weight"].T
        loss = F.cross_entropy(logits, targets.view(-1), ignore_index=-100)
        optimizer.zero_grad(); loss.backward()
        torch.nn.utils.clip_grad_norm_([half for pair in pairs.values() for half in pair], 1.0)
        optimizer.step()
        losses.append(loss.item())
        if step % 25 == 24: say(f"step {step + 1}: {sum(losses[-25:]) / 25:.3f} nats a token, {time.time() - began:.0f} s")
    write(out, pairs, alpha)
    mean = lambda part: sum(part) / len(part)
    return mean(losses[:10]), mean(losses[-10:])


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("out", help="the adapter to write")
    ap.add_argument("data", nargs="+", help="JSON lines with \"text\"")
    ap.add_argument("--steps", type=int, default=150)
    ap.add_argument("--tokens", type=int, default=400, help="of a step (default 400)")
    ap.add_argument("--on", metavar="ADAPTER.gguf", help="the adapter beside which this one is going to be used")
    ap.add_argument("--rank", type=int, default=16)
    ap.add_argument("--alpha", type=float, default=32.0)
    ap.add_argument("--rate", type=float, default=2e-3, help="largest learning rate (default 2e-3)")
    ap.add_argument("--seed", type=int, default=1)
    ap.add_argument("--threads", type=int, help="default: all cores")
    a = ap.parse_args()
    import calmoe
    if a.threads: torch.set_num_threads(a.threads)
    model = calmoe.Model(NANO)
    cfg, w = M.load_gguf(NANO)
    if a.on: w = add(w, a.on)
    first, last = train(a.out, [read_rows(path, model) for path in a.data], cfg, w, a.steps, a.tokens, a.rank, a.alpha, a.rate, a.seed,
                        lambda text: print(text, flush=True))
    print(f"{a.out}: {first:.2f} to {last:.2f} nats a token")


if __name__ == "__main__":
    main()
