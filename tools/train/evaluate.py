#!/usr/bin/env python3
"""Measure a calmoe-nano GGUF file on the held-out documents: what is shipped, Q8_0 rounding included.

Bits a byte are counted with sliding windows (every token sees at least half a window, except at the start of a domain), over UTF-8
bytes of the text; the cost of the end-of-document tokens is charged to the model as well. Prints Markdown tables.
"""
import argparse, json, lzma, math, os, subprocess, sys
import env
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
import model as M

DOMAINS = ["en", "de", "fr", "ru", "ja", "c", "python"]
PROMPTS = {"en": "The file system is", "de": "Mit diesem Befehl können Sie", "fr": "Cette fonction permet de", "ru": "Эта команда позволяет",
           "ja": "このコマンドは", "c": "static int ext4_", "python": "def read_file(path):\n",
           "chat": "<|im_start|>user\nWhat does ls do?<|im_end|>\n<|im_start|>assistant\n"}


def table(head, rows):
    print("| " + " | ".join(map(str, head)) + " |\n|" + "---|" * len(head))
    for r in rows: print("| " + " | ".join(str(x) for x in r) + " |")
    print(flush=True)


@torch.no_grad()
def generate(cfg, w, tok, prompt, n, temperature, seed=1):
    g = torch.Generator().manual_seed(seed)
    cos, sin = M.rope_table(cfg, cfg.context)
    ids = tok.encode(prompt).ids
    end = {tok.token_to_id("<|endoftext|>"), tok.token_to_id("<|im_end|>")}
    first = len(ids)
    for _ in range(n):
        states, _ = M.forward(cfg, w, torch.tensor([ids[-cfg.context:]]), cos, sin)
        logits = M.exit_norm(cfg, w, states[-1][-1]) @ w["token_embd.weight"].T
        t = int(logits.argmax()) if temperature == 0 else int(torch.multinomial((logits / temperature).softmax(-1), 1, generator=g))
        if t in end: break
        ids.append(t)
    return tok.decode(ids[first:], skip_special_tokens=False)


@torch.no_grad()
def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("gguf"); ap.add_argument("dir", help="the folder that prepare.py filled")
    ap.add_argument("--threads", type=int, default=2)
    ap.add_argument("--bf16", action="store_true", help="layers in bfloat16, head in float32: much faster where the processor has bfloat16, the same to about 0.1 %%")
    ap.add_argument("--share", type=float, default=1.0, help="share of the held-out documents to use (default 1: all)")
    ap.add_argument("--exits-every", type=int, default=8, help="measure the exits on every n-th batch of windows (default 8)")
    ap.add_argument("--json", help="write the figures there too")
    a = ap.parse_args()
    torch.set_num_threads(a.threads)
    tok = Tokenizer.from_file(f"{a.dir}/tokenizer.json")
    cfg, w = M.load_gguf(a.gguf)
    C, half, L, E = cfg.context, cfg.context // 2, cfg.layers, cfg.experts
    cos, sin = M.rope_table(cfg, C)
    emb = w["token_embd.weight"]
    inner = {n: t if "gate_inp" in n or not a.bf16 else t.bfloat16() for n, t in w.items()}
    eos = tok.token_to_id("<|endoftext|>")
    res, use = {}, {}
    for dom in DOMAINS:
        docs = [json.loads(l)["text"] for l in open(f"{a.dir}/text/{dom}.heldout.jsonl")]
        docs = docs[:math.ceil(len(docs) * a.share)]                     # they are in the order of a hash
        raw = "".join(docs).encode()
        ids = [eos]
        for e in tok.encode_batch(docs): ids += e.ids + [eos]
        ids = torch.tensor(ids)
        starts = list(range(0, max(1, len(ids) - 1 - half), half))       # window s predicts ids[s+1 … s+C]; scored: its last half
        bits = scored = measured = 0
        nll_exit, agree, confident, conf_ok = torch.zeros(L), torch.zeros(L), torch.zeros(L), torch.zeros(L)
        counts = torch.zeros(L, E)
        full = [s for s in starts if s + C < len(ids)]
        batches = [full[i:i + 8] for i in range(0, len(full), 8)] + [[s] for s in starts if s + C >= len(ids)]
        for bi, group in enumerate(batches):
            win = torch.stack([ids[s:s + C + 1] for s in group])
            t = win.shape[1] - 1
            states, routing = M.forward(cfg, inner, win[:, :-1], cos, sin)
            states = [s.float() for s in states]
            keep = torch.zeros(len(group), t, dtype=torch.bool)
            for r, s in enumerate(group): keep[r, 0 if s == 0 else half:] = True
            k, target = keep.view(-1), win[:, 1:][keep]
            last = M.exit_norm(cfg, w, states[-1][k]) @ emb.T
            bits += F.cross_entropy(last, target, reduction="sum").item() / math.log(2)
            scored += len(target)
            for i, (e, _) in enumerate(routing): counts[i] += e[k].reshape(-1).bincount(minlength=E)
            if bi % a.exits_every == 0:
                best = last.argmax(-1); measured += len(best)
                for i in range(L):
                    lg = M.exit_norm(cfg, w, states[i][k]) @ emb.T
                    nll_exit[i] += F.cross_entropy(lg, target, reduction="sum")
                    p = lg.softmax(-1).topk(2, -1); same = p.indices[:, 0] == best
                    agree[i] += same.sum()
                    sure = p.values[:, 0] - p.values[:, 1] >= 0.5                 # CALM's softmax response
                    confident[i] += sure.sum(); conf_ok[i] += (same & sure).sum()
        assert scored == len(ids) - 1
        size = len(raw)
        with open(os.path.join(a.dir, "heldout.tmp"), "wb") as f: f.write(raw)
        z = subprocess.run(["zstd", "-19", "--long=27", "-c", "-q", f.name], capture_output=True, check=True).stdout
        os.remove(f.name)
        x = lzma.compress(raw, preset=9 | lzma.PRESET_EXTREME)
        res[dom] = {"documents": len(docs), "bytes": len(raw), "bits_per_byte": bits / size, "xz": 8 * len(x) / len(raw), "zstd": 8 * len(z) / len(raw),
                    "tokens": len(ids) - 1, "measured": measured, "agree": (agree / measured).tolist(), "nll": (nll_exit / measured).tolist(),
                    "sure": (confident / measured).tolist(), "sure_agree": (conf_ok / confident.clamp(min=1)).tolist()}
        use[dom] = counts / counts.sum(1, keepdim=True)
        print(f"{dom}: {res[dom]['bits_per_byte']:.3f} bits a byte", file=sys.stderr)

    print("### Held-out bits a byte\n")
    table(["domain", "documents", "bytes", "tokens", "calmoe-nano", "xz -9e", "zstd -19 --long=27"],
          [[d, r["documents"], r["bytes"], r["tokens"], f"**{r['bits_per_byte']:.3f}**", f"{r['xz']:.3f}", f"{r['zstd']:.3f}"] for d, r in res.items()])
    total = sum(r["measured"] for r in res.values())
    mean = lambda key, i: sum(r[key][i] * r["measured"] for r in res.values()) / total
    print("### Exits: share of tokens where a layer's argmax equals the last layer's\n")
    print(f"{total} held-out tokens. `sure`: the two best probabilities differ by at least 0.5 (CALM's softmax response); `right when sure`: agreement among those.\n")
    rows = []
    for i in range(L):
        sure = mean("sure", i)
        ok = sum(r["sure"][i] * r["sure_agree"][i] * r["measured"] for r in res.values()) / total / max(sure, 1e-9)
        rows.append([i + 1, f"**{100 * mean('agree', i):.1f} %**", *[f"{100 * r['agree'][i]:.1f}" for r in res.values()], f"{mean('nll', i):.3f}", f"{100 * sure:.1f} %", f"{100 * ok:.2f} %"])
    table(["layer", "all", *res, "nats a token", "sure", "right when sure"], rows)
    U = torch.stack([use[d] for d in DOMAINS])                            # [domain, layer, expert]
    mean_use = U.mean(0)
    print("### Experts: share of a domain's tokens that an expert is chosen for (top experts; even use would be "
          f"{100 * cfg.used / E:.1f} %)\n")
    pick = sorted({0, L // 3, 2 * L // 3, L - 1})
    cell = lambda d, i: ", ".join(f"{e}: {100 * cfg.used * v:.0f} %" for v, e in zip(*[z.tolist() for z in use[d][i].topk(3)]))
    table(["domain", *[f"layer {i + 1}" for i in pick]], [[d, *[cell(d, i) for i in pick]] for d in DOMAINS])
    tv = (U - mean_use).abs().sum(-1).mean(0) / 2
    table(["layer", *range(1, L + 1)],
          [["busiest expert, × even", *[f"{E * v:.2f}" for v in mean_use.max(1).values]],
           ["idlest expert, × even", *[f"{E * v:.2f}" for v in mean_use.min(1).values]],
           ["specialisation (distance of a domain's use from the mean use, 0–1)", *[f"{v:.2f}" for v in tv]]])
    print("### Samples\n")
    out = {}
    for d, p in PROMPTS.items():
        g, s = generate(cfg, w, tok, p, 48, 0), generate(cfg, w, tok, p, 48, 0.7)
        out[d] = {"prompt": p, "greedy": g, "t0.7": s}
        print(f"**{d}**, prompt `{json.dumps(p, ensure_ascii=False)[1:-1]}`\n\n```\n[greedy] {g}\n[temperature 0.7] {s}\n```\n")
    if a.json:
        json.dump({"domains": res, "use": {d: u.tolist() for d, u in use.items()}, "samples": out}, open(a.json, "w"), ensure_ascii=False, indent=1)

if __name__ == "__main__":
    main()
