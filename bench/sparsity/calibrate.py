#!/usr/bin/env python3
"""Calibrates a model on held-out texts and prints the tables of docs/SPARSITY.md in Markdown.

    bench/sparsity/calibrate.py --calmoe build/release/bin/calmoe --texts FOLDER --out FOLDER

--texts holds *.heldout.jsonl as tools/train/prepare.py writes them (lines {"text": …}), a domain each. --out gets
policy.json, for calmoe run --policy and calmoe-bench --policy, and calibration.json, from which --tables prints the
tables again. Options behind -- go to calmoe calibrate. Costs are measured, so nothing else should run."""
import argparse
import glob
import json
import os
import subprocess
import sys


def calibrate(options):
    texts = sorted(glob.glob(os.path.join(options.texts, "*.heldout.jsonl")))
    if not texts:
        sys.exit(f"no *.heldout.jsonl in '{options.texts}'")
    os.makedirs(options.out, exist_ok=True)
    command = [options.calmoe, "calibrate", *texts, "-n", str(options.prompts), "-p", "64", "-a", "64",
               "--first", "0.25", "--max-exits", "3", "--rivals", "--splits", "1000", "--json",
               "-o", os.path.join(options.out, "policy.json"), *options.more]
    if options.model:
        command += ["-m", options.model]
    print(" ".join(command), file=sys.stderr)
    run = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if not run.stdout:
        sys.exit(run.returncode or 1)
    with open(os.path.join(options.out, "calibration.json"), "w") as file:
        file.write(run.stdout)


def percent(share, digits=1):
    return "–" if share is None else f"{100 * share:.{digits}f} %"


def delta_of(row):
    return f"{100 * row['delta']:g} %"


def row_of(cells):
    print("| " + " | ".join(str(cell) for cell in cells) + " |")


def head(*names):
    row_of(names)
    row_of("---" for _ in names)


def print_ladder(rows):
    head("δ", "answer", "mean loss", "p", "time of a token", "layers", "experts", "policy")
    for row in rows:
        row_of([delta_of(row), row["answer"], percent(row["mean_loss"], 2), f"{row['p']:.2g}", percent(row["time"]),
                f"{row['layers']:.2f}", f"{row['experts']:.2f}",
                f"`{row['policy']}`" if row["answer"] == "proven" else row["sentence"]])


def print_rivals(rows):
    head("δ", "depth and width", "depth alone", "width alone", "static", "gain over the better one of depth and width")
    for row in rows:
        times = [row["time"], row["depth"]["time"], row["width"]["time"], row["static"]["time"]]
        row_of([delta_of(row), *(percent(time) for time in times), f"{min(times[1], times[2]) / times[0]:.2f}"])


def print_splits(rows):
    head("δ", "divisions", "proven", "above δ", "mean risk / δ", "mean time")
    for row in rows:
        split = row["splits"]
        risk = split["mean_risk"]
        row_of([delta_of(row), split["splits"], percent(split["proven"] / split["splits"]),
                percent(split["violated"] / split["splits"], 2),
                "–" if risk is None else f"{risk / row['delta']:.2f}", percent(split["mean_time"])])


def print_tables(path):
    with open(path) as file:
        found = json.load(file)
    first, second = found["prompts"]
    costs = found["microseconds"]
    print(f"{first + second} prompts (hash {found['prompts_hash']}): {first} to find policies, {second} to prove them; "
          f"answers of {found['mean_answer']:.1f} tokens; {found['policies']} policies tried. Measured, in microseconds "
          f"a token: {costs['token']:.4g} whole; a layer {costs['layer']:.3g} and {costs['expert']:.3g} for each expert, "
          f"skipped {costs['fill']:.3g}; the vocabulary {costs['head']:.3g}. Layers a token if each left at the first "
          f"that agrees with the last: {found['oracle_layers']:.2f}.\n")
    print_ladder(found["findings"])
    print()
    if "depth" in found["findings"][0]:                # of --rivals
        print_rivals(found["findings"])
    print()
    print_splits(found["findings"])


def main():
    own, more = sys.argv[1:], []
    if "--" in own:
        more = own[own.index("--") + 1:]
        own = own[:own.index("--")]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calmoe", default="calmoe", help="the program (default: on the PATH)")
    parser.add_argument("--model", help="GGUF file (default: the embedded model)")
    parser.add_argument("--texts", help="folder of *.heldout.jsonl")
    parser.add_argument("--prompts", type=int, default=2100, help="in all (default 2100)")
    parser.add_argument("--out", default="calibration", help="folder for results (default: calibration)")
    parser.add_argument("--tables", action="store_true", help="only print the tables of --out")
    options = parser.parse_args(own)
    options.more = more
    if not options.tables:
        if not options.texts:
            parser.error("--texts is needed")
        calibrate(options)
    print_tables(os.path.join(options.out, "calibration.json"))


if __name__ == "__main__":
    main()
