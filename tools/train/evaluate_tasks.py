#!/usr/bin/env python3
"""Answers of models to the held-out exchanges of tasks.py, by the runtime itself: a Markdown table, models beside each other.

    evaluate_tasks.py DIR MODEL.gguf [MODEL.gguf…]      (CALMOE_LIBRARY names libcalmoe.so)

Greedy answers at full depth. chrF: character n-grams of 1 to 6, recall counted twice (Popović 2015), over all answers together; ROUGE-L: the longest
common subsequence of words (of characters in Japanese), its F1, mean of the answers; exact: the same but for case, spaces and a final stop;
bits a byte: what the model finds the right answer worth, its end included, by bytes of the answer."""
import argparse
import collections
import glob
import math
import os
import pathlib
import random
import re
import sys

HERE = pathlib.Path(__file__).resolve()
sys.path[:0] = [str(HERE.parents[2] / "bindings" / "python")]
from clean import lines, prompt_text


def ngrams(text, n):
    text = text.replace(" ", "")
    return collections.Counter(text[i:i + n] for i in range(len(text) - n + 1))


def chrf(pairs, beta=2.0, longest=6):
    """chrF in percent of (answer, reference) pairs taken together: the mean over the lengths n of what has n-grams at all."""
    scores = []
    for n in range(1, longest + 1):
        same = said = wanted = 0
        for answer, reference in pairs:
            a, r = ngrams(answer, n), ngrams(reference, n)
            same += (a & r).total(); said += a.total(); wanted += r.total()
        if not wanted: continue
        p, r = same / max(1, said), same / wanted
        scores.append((1 + beta ** 2) * p * r / (beta ** 2 * p + r) if p + r else 0.0)
    return 100 * sum(scores) / max(1, len(scores))


def words(text):
    """Words and numbers in lower case; what is written without spaces by its characters."""
    return re.findall(r"[\u3040-\u30ff\u3400-\u9fff]|[^\W\u3040-\u30ff\u3400-\u9fff]+", text.lower())


def rouge_l(answer, reference):
    a, r = words(answer), words(reference)
    if not a or not r: return float(a == r)
    row = [0] * (len(r) + 1)
    for x in a:
        before = 0
        for j, y in enumerate(r): before, row[j + 1] = row[j + 1], before + 1 if x == y else max(row[j + 1], row[j])
    return 2 * row[-1] / (len(a) + len(r))


def same(answer, reference):
    plain = lambda t: re.sub(r"\s+", " ", t).strip().rstrip(".。…").lower()
    return plain(answer) == plain(reference)


def ask(engine, session, model, item, longest):
    """(answer, bits that the right answer costs)."""
    prompt = model.tokenize(prompt_text(item["user"]), special=True)
    right = [*model.tokenize(item["answer"]), *model.tokenize("<|im_end|>", special=True)]
    session.rewind(0)
    engine.step([(session, [*prompt, *right[:-1]], "all")])
    bits = -sum(session.logprobs(token, row=len(prompt) - 1 + i).logprob for i, token in enumerate(right)) / math.log(2)
    session.rewind(len(prompt) - 1)
    session.feed_tokens(prompt[-1:])
    session.set_limits(longest)
    return session.generate().strip(), bits


def evaluate(path, tasks, threads, longest):
    import calmoe
    model = calmoe.Model(path)
    engine = model.engine(threads=threads)
    session = engine.session()
    out = {}
    for task, items in tasks.items():
        asked = [ask(engine, session, model, item, longest) for item in items]
        pairs = [(a, item["answer"]) for (a, _), item in zip(asked, items)]
        out[task] = {"pairs": pairs, "chrf": chrf(pairs), "rouge": 100 * sum(rouge_l(*p) for p in pairs) / len(pairs),
                     "exact": 100 * sum(same(*p) for p in pairs) / len(pairs),
                     "bits": sum(b for _, b in asked) / sum(len(r.encode()) for _, r in pairs)}
    return out


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("dir", help="the folder that tasks.py filled")
    ap.add_argument("models", nargs="+", help="GGUF files")
    ap.add_argument("-n", type=int, default=200, help="exchanges of each task (default 200)")
    ap.add_argument("--tasks", default="*", help="pattern of the tasks' names (default: all)")
    ap.add_argument("--known", action="store_true", help="ask what was learnt instead of what was held out")
    ap.add_argument("--threads", type=int, default=os.cpu_count())
    ap.add_argument("--longest", type=int, default=64, help="tokens of an answer (default 64)")
    ap.add_argument("--samples", type=int, default=3, help="answers to show of each task (default 3)")
    a = ap.parse_args()
    tasks = {}
    for path in sorted(glob.glob(f"{a.dir}/tasks/{a.tasks}.{'train' if a.known else 'heldout'}.jsonl")):
        items = list(lines(path))
        random.Random(1).shuffle(items)
        if a.known: items.sort(key=lambda d: -d["weight"])
        if items: tasks[items[0]["task"]] = items[:a.n]
    found = {path: evaluate(path, tasks, a.threads, a.longest) for path in a.models}
    print("| task | exchanges | " + " | ".join(f"{m}, {pathlib.Path(p).stem}" for m in ("chrF", "ROUGE-L", "exact %", "bits a byte") for p in a.models) + " |")
    print("|" + "---|" * (2 + 4 * len(a.models)))
    for task, items in tasks.items():
        cells = [f"{found[p][task][m]:.{2 if m == 'bits' else 1}f}" for m in ("chrf", "rouge", "exact", "bits") for p in a.models]
        print(f"| {task} | {len(items)} | " + " | ".join(cells) + " |")
    for task, items in tasks.items():
        for i in range(min(a.samples, len(items))):
            print(f"\n{items[i]['user']}\n    right: {items[i]['answer']}")
            for p in a.models: print(f"    {pathlib.Path(p).stem}: {found[p][task]['pairs'][i][0][:160]}")


if __name__ == "__main__":
    main()
