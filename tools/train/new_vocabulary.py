#!/usr/bin/env python3
"""A checkpoint for train.py --start: a GGUF file's weights under the vocabulary of another tokenizer.

    new_vocabulary.py TOKENIZER.json MODEL.gguf START.pt

Layers stay as they are. A token that both vocabularies have keeps its embedding; another begins with the mean of the
embeddings of the old tokens that spell it, the longest ones first. The optimizer begins anew."""
import argparse
import json

import env
import gguf
import torch
import model as M
import train as T


def spelled(text, old):
    """Ids of the old tokens that spell a new one, from its beginning on the longest that fits. Every byte is a token."""
    ids, at = [], 0
    while at < len(text):
        size = next(n for n in range(len(text) - at, 0, -1) if text[at:at + n] in old)
        ids.append(old[text[at:at + size]])
        at += size
    return ids


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("tokenizer", help="the new vocabulary, of prepare.py")
    ap.add_argument("model", help="the GGUF file, of export_gguf.py")
    ap.add_argument("out", help="the checkpoint")
    a = ap.parse_args()
    cfg, w = M.load_gguf(a.model)
    old = {t: i for i, t in enumerate(gguf.GGUFReader(a.model).fields["tokenizer.ggml.tokens"].contents())}
    tokenizer = json.load(open(a.tokenizer, encoding="utf-8"))
    new = dict(tokenizer["model"]["vocab"]) | {t["content"]: t["id"] for t in tokenizer["added_tokens"]}
    table = w["token_embd.weight"]
    cfg.vocab = len(new)
    w["token_embd.weight"] = torch.zeros(cfg.vocab, cfg.embd)
    for text, i in new.items():
        w["token_embd.weight"][i] = table[[old[text]] if text in old else spelled(text, old)].mean(0)
    w = {n: t.float().contiguous() for n, t in w.items()}
    M.save(a.out, cfg, w, optimizer=T.Optimizer(w, 0, 0, 0).state(), tokens=0, cool=[0, 0])
    print(f"{sum(t in old for t in new)} of {len(new)} tokens are in both vocabularies")


if __name__ == "__main__":
    main()
