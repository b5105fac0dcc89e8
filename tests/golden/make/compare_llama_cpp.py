#!/usr/bin/env python3
"""Greedy text of calmoe beside llama.cpp's (llama-cpp-python), token by token.

    python3 compare_llama_cpp.py CALMOE MODEL.gguf [--tokens 64]

calmoe generates; llama.cpp then reads the same tokens, so that one near-tie does not hide all that follows. Printed is every
position where llama.cpp's first choice is another token, with the margin by which it preferred it. The two engines round
activations differently (calmoe keeps a block's scale in float32, llama.cpp in float16), so near-ties may fall either way.
"""
import argparse
import json
import subprocess

import numpy as np
from llama_cpp import Llama

PROMPTS = [
    "The function returns the number of", "int main(int argc, char **argv)\n{\n", "Das Programm wird mit",
    "La commande", "def __init__(self", "Функция возвращает", "SYNOPSIS\n", "ファイル", "The file is", "static void",
    "import os\n", "Die Datei", "Le fichier", "Если", "#include <stdio.h>\n", "class ", "for (i = 0;", "If the option",
    "Die Option", "Cette page",
]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("calmoe")
    parser.add_argument("model")
    parser.add_argument("--tokens", type=int, default=64)
    args = parser.parse_args()
    llama = Llama(args.model, n_ctx=512, n_threads=2, verbose=False, logits_all=True)
    total = differing = identical = 0
    for prompt in PROMPTS:
        run = subprocess.run([args.calmoe, "run", "-m", args.model, "-p", prompt, "-n", str(args.tokens), "--ignore-eos",
                              "--json"], capture_output=True, text=True, check=True)
        tokens = json.loads(run.stdout)["tokens"]
        ids = llama.tokenize(prompt.encode(), add_bos=False, special=False)
        llama.reset()
        llama.eval(ids + tokens[:-1])
        ties = []
        for i, token in enumerate(tokens):
            logits = np.array(llama.scores[len(ids) - 1 + i])
            if int(logits.argmax()) != token:
                ties.append((i, float(logits.max() - logits[token]), float(logits.max() - logits.min())))
        total += len(tokens)
        differing += len(ties)
        identical += not ties
        listed = ", ".join(f"token {i}: {margin:.3f} of {spread:.0f}" for i, margin, spread in ties)
        print(f"{prompt!r:44} {len(tokens) - len(ties)}/{len(tokens)}  {listed}")
    print(f"{total - differing} of {total} tokens are llama.cpp's first choice; {identical} of {len(PROMPTS)} texts identical")


if __name__ == "__main__":
    main()
