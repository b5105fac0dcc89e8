#!/usr/bin/env python3
"""Calibrates the embedded model's ladder and prints the table of docs/SPARSITY.md in Markdown.

    bench/sparsity/calibrate.py DIR --build build/release --out FOLDER

DIR is the folder that tools/train filled. Prompts are pieces of its held-out documents, seven domains, and its held-out
questions and messages to translate, as conversations: as many of each direction of translation as of a domain. --out gets
policy.json, for calmoe run --policy and calmoe-bench --policy, and calibration.json, from which --tables prints the
table again. Then answers to some of the prompts are written in turns by the full model and under each bound's policy,
with one thread. Options behind -- go to calmoe calibrate. Times are measured, so nothing else should run."""
import argparse
import glob
import itertools
import json
import os
import random
import statistics
import subprocess
import sys

import measure
import prompts


def calibrate(options):
    texts = sorted(glob.glob(os.path.join(options.dir, "text", "*.heldout.jsonl")))
    if not texts:
        sys.exit(f"no text/*.heldout.jsonl in '{options.dir}'")
    texts += prompts.write_mixture(options.dir, options.out)
    command = [f"{options.build}/bin/calmoe", "calibrate", *texts, "-n", str(options.prompts), "-p", "32", "-a", "32",
               "--first", "0.25", "--delta", "0.5%,1%,2%,5%,10%", "--most", "48", "--splits", "1000", "--json",
               "-o", os.path.join(options.out, "policy.json"), *options.more]
    if options.model:
        command += ["-m", options.model]
    print(" ".join(command), file=sys.stderr)
    run = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if not run.stdout:
        sys.exit(run.returncode or 1)
    found = json.loads(run.stdout)
    found["measured"] = try_out(options) if any(row["answer"] == "proven" for row in found["findings"]) else {}
    with open(os.path.join(options.out, "calibration.json"), "w") as file:
        json.dump(found, file, indent=1)


def try_out(options):
    """{delta: figures}: what the policies save on some prompts of each file."""
    calmoe = measure.open_library(options.build)
    model = calmoe.Model(options.model)
    writer, policy = measure.Writer(model, 32), calmoe.Policy(model, os.path.join(options.out, "policy.json"))
    asked = []
    for path in sorted(glob.glob(os.path.join(options.dir, "text", "*.heldout.jsonl"))):
        texts = itertools.islice(prompts.lines(path), options.measured)
        asked += [model.tokenize(line["text"])[:32] for line in texts]
    for path in prompts.write_mixture(options.dir, options.out):
        turns = itertools.islice(prompts.lines(path), options.measured)
        asked += [model.tokenize(line["prompt"], special=True) for line in turns]
    random.Random(1).shuffle(asked)
    deltas = sorted({rung.delta for rung in policy.rungs if rung.is_proven})
    return {f"{delta:g}": measure.measure(writer, policy, delta, asked, len(asked) // 16) for delta in deltas}


def percent(share, digits=1):
    return "–" if share is None else f"{100 * share:.{digits}f} %"


def delta_of(row):
    return f"{100 * row['delta']:g} %"


def row_of(cells):
    print("| " + " | ".join(str(cell) for cell in cells) + " |")


def head(*names):
    row_of(names)
    row_of("---" for _ in names)


def print_ladder(found):
    head("δ", "mean loss", "p", "policy (members of the front)", "layers", "bytes", "speed-up", "divided: above δ")
    for row in found["findings"]:
        split, figures = row["splits"], found["measured"].get(f"{row['delta']:g}")
        if row["answer"] != "proven":
            row_of([delta_of(row), percent(row["mean_loss"], 2), f"{row['p']:.2g}", "OFF: " + row["sentence"], "", "", "", ""])
            continue
        row_of([delta_of(row), percent(row["mean_loss"], 2), f"{row['p']:.2g}", f"`{row['policy']}` ({row['members']})",
                f"{figures['layers']:.2f}", f"{figures['bytes']:.2f}", measure.speed_cell(figures),
                percent(split["violated"] / split["splits"], 1)])


def print_tables(path):
    with open(path) as file:
        found = json.load(file)
    first, second = found["prompts"]
    unit = "microseconds" if "microseconds" in found else "kilobytes"  # of --costs bytes
    costs = found[unit]
    print(f"{first + second} prompts (hash {found['prompts_hash']}): {first} to find policies, {second} to prove them; "
          f"answers of {found['mean_answer']:.1f} tokens; {found['policies']} policies tried. In {unit} a token takes "
          f"{costs['token']:.4g}; a layer {costs['layer']:.3g} and {costs['expert']:.3g} for each expert, skipped "
          f"{costs['fill']:.3g}; the vocabulary {costs['head']:.3g}. Layers a token if each left at the first that agrees "
          f"with the last: {found['oracle_layers']:.2f}.\n")
    print_ladder(found)
    rates = [figures["rate_off"] for figures in found["measured"].values()]
    if rates:
        print(f"\nFull model: {statistics.median(rates):.0f} tokens/s, one thread.")


def main():
    own, more = sys.argv[1:], []
    if "--" in own:
        more = own[own.index("--") + 1:]
        own = own[:own.index("--")]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build/release", help="folder with bin/calmoe and libcalmoe.so")
    parser.add_argument("--model", help="GGUF file (default: the embedded model)")
    parser.add_argument("dir", nargs="?", help="the folder that tools/train filled")
    parser.add_argument("--prompts", type=int, default=2400, help="in all (default 2400)")
    parser.add_argument("--measured", type=int, default=8, help="of each file, to measure speeds on (default 8)")
    parser.add_argument("--out", default="calibration", help="folder for results (default: calibration)")
    parser.add_argument("--tables", action="store_true", help="only print the tables of --out")
    options = parser.parse_args(own)
    options.more = more
    if not options.tables:
        if not options.dir:
            parser.error("DIR is needed")
        calibrate(options)
    print_tables(os.path.join(options.out, "calibration.json"))


if __name__ == "__main__":
    main()
