#!/usr/bin/env python3
"""A tiny world of made-up words, and what a model that was fine-tuned on a document about it knows of it.

    world.py DIR [--augment PROGRAM] [--worlds N]     (CALMOE_LIBRARY names libcalmoe.so)

The document has two kinds of facts. Of "The capital of A is B." it is asked what is told (B), and turned round (A: "We call B the capital of").
Of "Every A is a B." and "Every B eats C." what is told (C), and what follows ("Every A eats"). A question is answered by the likeliest of all
words that are the right answer to any question of its kind; all have the same number of tokens. Asked is in the form in which a rule
writes what is turned round or follows, and in another one, of question and answer.

A school is learnt first: facts of the same kinds about other words, each told in all forms, and augment's prompts with right answers.
So every adapter but the first knows the forms, and what is measured is whether it knows the facts. Adapters of documents are trained and used beside
the school's.

    base        the model as it is
    school      with the school's adapter
    context     … and the document before the question
    plain       … and an adapter, fine-tuned on the document
    own         … on the document and what examples/augment made of it with the model as it is
    taught      … on the document and what augment made of it with the school's adapter
    rules       … on the document and what rules make of it: each statement turned round, each conclusion"""
import argparse
import collections
import json
import os
import pathlib
import random
import subprocess
import sys
import time

import env
import model as M
import lora

RELATIONS = ("capital", "ruler", "river", "emblem", "founder", "guard")
N_PAIRS, N_CHAINS = 8, 6                     # of a world
SCHOOL_PAIRS, SCHOOL_CHAINS = 48, 32
KINDS = ("told pairs", "turned round", "turned round, asked", "told chains", "follows", "follows, asked")


def words(model, n, rng):
    """n words that nobody knows, of three tokens each behind a space."""
    found = set()
    while len(found) < n:
        word = "".join(rng.choice("bdfgklmnprstvz") + rng.choice("aeiou") + rng.choice(["", "", "l", "n", "r", "s", "k"]) for _ in range(2))
        if len(model.tokenize(" " + word)) == 3: found.add(word)
    found = sorted(found)
    rng.shuffle(found)
    return found


def facts(model, n_pairs, n_chains, rng, taken):
    """[(relation, a, b)] and [(x, y, z)], of words that are not taken yet."""
    fresh = [w for w in words(model, len(taken) + 2 * n_pairs + 3 * n_chains + 20, rng) if w not in taken]
    take = lambda: taken.add(fresh[-1]) or fresh.pop()
    return [(RELATIONS[i % len(RELATIONS)], take(), take()) for i in range(n_pairs)], [(take(), take(), take()) for _ in range(n_chains)]


def told(pairs, chains):
    """The document's statements."""
    return [f"The {r} of {a} is {b}." for r, a, b in pairs] + [f"Every {x} is a {y}." for x, y, z in chains] + [f"Every {y} eats {z}." for x, y, z in chains]


def by_rule(pairs, chains):
    return [f"We call {b} the {r} of {a}." for r, a, b in pairs] + [f"Every {x} eats {z}." for x, y, z in chains]


def asked(pairs, chains):
    return [f"Whose {r} is {b}? That of {a}." for r, a, b in pairs] + [f"What does every {x} eat? It eats {z}." for x, y, z in chains]


def rewritten(pairs, chains, rng):
    """Facts behind the prompts of examples/augment.c, which follow a document: here of the fact and some others."""
    lamp, document = "Statement: The lamp stands on the table.\n", told(pairs, chains)
    def before(*statements):
        lines = [*statements, *rng.sample(document, 3)]
        rng.shuffle(lines)
        return "\n".join(lines) + "\n"
    local = [(f"The {r} of {a} is {b}.", f"{a} has {b} as its {r}.", f"We call {b} the {r} of {a}.") for r, a, b in pairs]
    local += [(f"Every {y} eats {z}.", f"What every {y} eats is {z}.", f"It is {z} that every {y} eats.") for x, y, z in chains]
    for statement, other, turned in local:
        yield f"{before(statement)}\n\n{lamp}In other words: There is a lamp on the table.\n\nStatement: {statement}\nIn other words: {other}"
        yield f"{before(statement)}\n\n{lamp}Turned round: On the table stands the lamp.\n\nStatement: {statement}\nTurned round: {turned}"
    for x, y, z in chains:
        yield f"{before(f'Every {x} is a {y}.', f'Every {y} eats {z}.')}\n\nWhat follows from this text, in one sentence: Every {x} eats {z}."


def questions(pairs, chains):
    """(kind, prompt, right answer, all answers)."""
    As, Bs, Zs = [a for _, a, _ in pairs], [b for _, _, b in pairs], [z for _, _, z in chains]
    for r, a, b in pairs:
        yield KINDS[0], f"The {r} of {a} is", b, Bs
        yield KINDS[1], f"We call {b} the {r} of", a, As
        yield KINDS[2], f"Whose {r} is {b}? That of", a, As
    for x, y, z in chains:
        yield KINDS[3], f"Every {y} eats", z, Zs
        yield KINDS[4], f"Every {x} eats", z, Zs
        yield KINDS[5], f"What does every {x} eat? It eats", z, Zs


def write_lines(path, texts):
    with open(path, "w") as f:
        for text in texts: f.write(json.dumps({"text": text}) + "\n")
    return path


def ask(engine, items, adapters=(), document=""):
    """{kind: share of right answers}. The candidates of a question are read in one step, each behind the same beginning."""
    model = engine.model
    before = model.tokenize("<|endoftext|>", special=True) + model.tokenize(document)
    sessions = [engine.session(context=512, adapters=adapters) for _ in range(max(N_PAIRS, N_CHAINS))]
    for session in sessions: engine.step([(session, before, "none")])
    right, all_of = collections.Counter(), collections.Counter()
    for kind, prompt, answer, answers in items:
        prompt = model.tokenize(prompt)
        candidates = list(zip(sessions, (model.tokenize(" " + word) for word in answers)))
        for session, _ in candidates: session.rewind(len(before))
        engine.step([(session, [*prompt, *tokens[:-1]], "all") for session, tokens in candidates])
        scores = [sum(session.logprobs(token, row=len(prompt) - 1 + i).logprob for i, token in enumerate(tokens)) for session, tokens in candidates]
        right[kind] += answers[scores.index(max(scores))] == answer
        all_of[kind] += 1
    return {kind: right[kind] / all_of[kind] for kind in KINDS}


class Workshop:
    """An engine to ask and the weights to train, with the school's adapter when there is one."""
    def __init__(self, folder, steps):
        import calmoe
        self.folder, self.steps, self.school = folder, steps, None
        self.engine = calmoe.Model(lora.NANO).engine()
        self.model = self.engine.model
        self.cfg, self.w = M.load_gguf(lora.NANO)

    def train(self, out, data, steps, seed):
        began = time.time()
        rows = [lora.read_rows(path, self.model) for path in data]
        first, last = lora.train(out, rows, self.cfg, self.w, steps=steps, seed=seed)
        print(f"{out}: {first:.2f} to {last:.2f} nats a token, {time.time() - began:.0f} s", flush=True)

    def learn_school(self, taken):
        rng = random.Random(0)
        facts_of_school = facts(self.model, SCHOOL_PAIRS, SCHOOL_CHAINS, rng, taken)
        self.forms = write_lines(f"{self.folder}/forms.jsonl", told(*facts_of_school) + by_rule(*facts_of_school) + asked(*facts_of_school))
        prompts = write_lines(f"{self.folder}/prompts.jsonl", rewritten(*facts_of_school, rng))
        self.school = f"{self.folder}/school.gguf"
        if not os.path.exists(self.school): self.train(self.school, [self.forms, prompts], 4 * self.steps, 0)
        self.w = lora.add(self.w, self.school)
        self.adapter = self.engine.adapter(self.school)

    def tune(self, folder, name, texts, items, seed):
        """What an adapter answers that learnt the texts."""
        data = write_lines(f"{folder}/{name}.jsonl", texts)
        self.train(f"{folder}/{name}.gguf", [data], self.steps, seed)
        return ask(self.engine, items, [self.adapter, self.engine.adapter(f"{folder}/{name}.gguf")])

    def augment(self, program, folder, name, adapter, true):
        """The lines that examples/augment keeps."""
        with open(f"{folder}/{name}-lines.jsonl", "w") as f:
            done = subprocess.run([program, "-n", "2", *(["-l", adapter] if adapter else []), f"{folder}/document.txt"], stdout=f,
                                  stderr=subprocess.PIPE, text=True, check=True)
        with open(f"{folder}/{name}-lines.jsonl") as f: kept = [json.loads(line)["text"] for line in f]
        print(f"{folder}/{name}: {done.stderr.strip().splitlines()[-1]}; {len(set(kept) & true)} of the {len(true)} that rules make", flush=True)
        return kept


class World:
    """A document, questions, and what was found out so far: a file for each condition, so that a run goes on where one ended."""
    def __init__(self, shop, program, seed, taken):
        rng = random.Random(seed)
        pairs, chains = facts(shop.model, N_PAIRS, N_CHAINS, rng, taken)
        self.shop, self.program, self.seed, self.folder = shop, program, seed, f"{shop.folder}/{seed}"
        self.items, self.document, self.true = list(questions(pairs, chains)), told(pairs, chains), by_rule(pairs, chains)
        rng.shuffle(self.document)
        self.text = "\n".join(self.document) + "\n"
        os.makedirs(self.folder, exist_ok=True)
        pathlib.Path(self.folder, "document.txt").write_text(self.text)

    def tuned(self, name, more=()):
        return self.shop.tune(self.folder, name, [*self.document, *more], self.items, self.seed)

    def augmented(self, name, adapter):
        made = self.shop.augment(self.program, self.folder, name, adapter, set(self.true))
        return self.tuned(name, made) if made else self.find("plain")

    def find(self, name):
        """{kind: share} of a condition."""
        path = pathlib.Path(self.folder, f"{name}.json")
        if path.exists(): return json.loads(path.read_text())
        shop = self.shop
        found = {"base": lambda: ask(shop.engine, self.items),
                 "school": lambda: ask(shop.engine, self.items, [shop.adapter]),
                 "context": lambda: ask(shop.engine, self.items, [shop.adapter], self.text),
                 "plain": lambda: self.tuned("plain"),
                 "own": lambda: self.augmented("own", None),
                 "taught": lambda: self.augmented("taught", shop.school),
                 "rules": lambda: self.tuned("rules", self.true)}[name]()
        path.write_text(json.dumps(found))
        print(f"world {self.seed}, {name}: " + ", ".join(f"{kind} {share:.2f}" for kind, share in found.items()), flush=True)
        return found


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("dir", help="where documents, data and adapters are written")
    ap.add_argument("--augment", metavar="PROGRAM", help="examples/augment, built; without it: no generations")
    ap.add_argument("--worlds", type=int, default=3, help="each with words of its own (default 3)")
    ap.add_argument("--only", default="base,school,context,plain,own,taught,rules", help="conditions")
    ap.add_argument("--steps", type=int, default=60, help="of each adapter; the school's has four times as many (default 60)")
    a = ap.parse_args()
    os.makedirs(a.dir, exist_ok=True)
    shop, taken = Workshop(a.dir, a.steps), set()
    shop.learn_school(taken)
    names = [name for name in a.only.split(",") if a.augment or name not in ("own", "taught")]
    found = {name: [] for name in names}
    for seed in range(1, a.worlds + 1):
        world = World(shop, a.augment, seed, set(taken))
        for name in names: found[name].append(world.find(name))
    print("\n| | " + " | ".join(KINDS) + " |\n|---|" + "---:|" * len(KINDS))
    chance = [1 / N_PAIRS] * 3 + [1 / N_CHAINS] * 3
    print("| chance | " + " | ".join(f"{100 * c:.0f}" for c in chance) + " |")
    for name in names:
        shares = [[100 * of[kind] for of in found[name]] for kind in KINDS]
        print(f"| {name} | " + " | ".join(f"{sum(s) / len(s):.0f} ({min(s):.0f} to {max(s):.0f})" for s in shares) + " |")


if __name__ == "__main__":
    main()
