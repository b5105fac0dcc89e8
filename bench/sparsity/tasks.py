#!/usr/bin/env python3
"""Early exits on tasks with right answers: what is proven, and what it saves (the table of docs/SPARSITY.md).

    bench/sparsity/tasks.py DIR --build build/release --out FOLDER

DIR is the folder that tools/train filled. For each task (translations of software messages; questions about commands,
numbers and functions), each loss and each measure of confidence, `calmoe calibrate` proves a policy for each bound; then
answers to prompts that calibration has not seen are written in turns by the full model and under each policy. --out
keeps every calibration and measurement, and a run that was stopped goes on with what is missing; --tables prints them.
Policies are sought by bytes, which are the same on every machine; speeds are measured with one thread, and nothing else
should run then (--measure-again measures anew what was calibrated before)."""
import argparse
import collections
import json
import os
import pathlib
import statistics
import subprocess
import sys

import measure
import prompts

Loss = collections.namedtuple("Loss", "name loss deltas has_references")
LOSSES = [Loss("tokens", "token_disagreement", "1%,5%,10%", False),
          Loss("ROUGE-L", "rouge_l", "2%,5%,10%", False),
          Loss("ROUGE-L, references", "rouge_l", "2%,5%", True)]
MEASURES = {"softmax": ["--measures", "softmax", "--no-width"], "state": ["--measures", "state", "--no-width"],
            "static": ["--measures", "always", "--no-width"], "any, and fewer experts": []}


def stem(task, loss, measure):
    return f"{task}-{loss.loss}-{'risk' if loss.has_references else 'text'}-{measure.split(',')[0]}"


def calibrate(options, task, loss, measure, path):
    file = f"{options.out}/{task}.jsonl"
    prompts.write(file, calibrated(options, task), loss.has_references)
    command = [f"{options.build}/bin/calmoe", "calibrate", file, "-n", "0", "-a", str(options.answer), "--first", "0.3",
               "--loss", loss.loss, "--delta", loss.deltas, "--most", str(options.most), "--costs", "bytes", "-t", "1",
               "--splits", "1000", "--json", "-o", path + ".policy.json", *MEASURES[measure]]
    if options.model:
        command += ["-m", options.model]
    run = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if not run.stdout:
        sys.exit(run.returncode or 1)
    return json.loads(run.stdout)


def calibrated(options, task):
    every = prompts.exchanges(options.dir, task)
    return every[:min(options.prompts, len(every) * 4 // 5)]


def fresh(options, task):
    """Prompts that calibration has not seen."""
    return prompts.exchanges(options.dir, task)[len(calibrated(options, task)):][:options.measured]


def rouge_l_loss(answer, wanted):
    """1 - F1 of the longest common subsequence of tokens, as runtime/proof/losses.h has it."""
    row = [0] * (len(wanted) + 1)
    for token in answer:
        before = 0
        for j, other in enumerate(wanted):
            before, row[j + 1] = row[j + 1], before + 1 if token == other else max(row[j + 1], row[j])
    return 1 - 2 * row[-1] / (len(answer) + len(wanted)) if answer or wanted else 0.0


def try_out(options, task, loss, policy_path, deltas):
    """{delta: figures} of answers to fresh prompts."""
    calmoe = measure.open_library(options.build)
    model = calmoe.Model(options.model)
    writer, policy = measure.Writer(model, options.answer), calmoe.Policy(model, policy_path)
    items = fresh(options, task)
    asked = [model.tokenize(item["prompt"], special=True) for item in items]
    found = {}
    for delta in deltas:
        losses = []

        def see(i, full, early):
            if loss.has_references:
                right = model.tokenize(items[i]["answer"])
                losses.append(max(0.0, rouge_l_loss(early, right) - rouge_l_loss(full, right)))
            else:
                losses.append(rouge_l_loss(early, full))

        figures = measure.measure(writer, policy, delta, asked, options.block, see)
        figures["fresh_loss"] = statistics.fmean(losses) if loss.loss == "rouge_l" else None
        found[f"{delta:g}"] = figures
    return found


def fill(options):
    os.makedirs(options.out, exist_ok=True)
    for task in options.tasks:
        for loss in LOSSES:
            for name in MEASURES:
                path = os.path.join(options.out, stem(task, loss, name))
                is_there = os.path.exists(path + ".json")
                if is_there and not options.measure_again:
                    continue
                print(f"tasks: {stem(task, loss, name)}", file=sys.stderr, flush=True)
                found = (json.loads(pathlib.Path(path + ".json").read_text()) if is_there
                         else calibrate(options, task, loss, name, path))
                proven = [row["delta"] for row in found["findings"] if row["answer"] == "proven"]
                found["measured"] = try_out(options, task, loss, path + ".policy.json", proven) if proven else {}
                with open(path + ".json", "w", encoding="utf-8") as file:
                    json.dump(found, file, indent=1)


def cells(row, measured):
    """Of one bound: what was proven, its coverage over divisions, and what was measured."""
    split = row["splits"]
    covered = "–" if not split["proven"] else f"{100 * (1 - split['violated'] / split['splits']):.1f} %"
    if row["answer"] != "proven":
        return ["OFF", "–", "10", "1", "1", covered, "–"]
    return [f"`{row['policy']}`", f"{100 * row['mean_loss']:.2f} %", f"{measured['layers']:.2f}", f"{measured['bytes']:.2f}",
            measure.speed_cell(measured), covered,
            "–" if measured["fresh_loss"] is None else f"{100 * measured['fresh_loss']:.2f} %"]


def results_of(options, task, loss):
    """{measure: calibration and measurement} of those that are there."""
    paths = {name: os.path.join(options.out, stem(task, loss, name) + ".json") for name in MEASURES}
    return {name: json.loads(pathlib.Path(path).read_text()) for name, path in paths.items() if os.path.exists(path)}


def print_all(options):
    """A table of each task and loss: every measure with its policy."""
    for task in options.tasks:
        for loss in LOSSES:
            results = results_of(options, task, loss)
            if not results:
                continue
            any_one = next(iter(results.values()))
            print(f"\n**{task}, {loss.name}**; each token at the first layer that agrees would take "
                  f"{any_one['oracle_layers']:.2f} layers\n")
            print("| δ | measure | policy | mean loss | layers | bytes | speed-up | covered | loss, fresh prompts |")
            print("|" + "---|" * 9)
            for i in range(len(any_one["findings"])):
                for name, found in results.items():
                    row = found["findings"][i]
                    figures = found["measured"].get(f"{row['delta']:g}")
                    print("| " + " | ".join([f"{100 * row['delta']:g} %", name, *cells(row, figures)]) + " |")


def short_cell(found, i):
    """Layers and speed-up of a measure at a bound."""
    row = found["findings"][i]
    if row["answer"] != "proven":
        return "OFF"
    figures = found["measured"][f"{row['delta']:g}"]
    return f"{figures['layers']:.2f}, {figures['speed_up']:.2f}"


def print_short(options):
    """One table: a row for each task, loss and bound; measures beside each other, and more of the best of them."""
    print("| task, loss | δ | " + " | ".join(MEASURES) + " | best: mean loss | layers | bytes | speed-up | covered | loss, fresh prompts |")
    print("|" + "---|" * (8 + len(MEASURES)))
    notes = []
    for task in options.tasks:
        for loss in LOSSES:
            results = results_of(options, task, loss)
            if len(results) < len(MEASURES):
                continue
            first, second = results["softmax"]["prompts"]
            notes.append(f"{task}: {first} + {second} prompts, answers of {results['softmax']['mean_answer']:.1f} tokens, "
                         f"{results['softmax']['oracle_layers']:.2f} layers if each left at the first that agrees")
            for i in range(len(results["softmax"]["findings"])):
                proven = [found for found in results.values() if found["findings"][i]["answer"] == "proven"]
                delta = results["softmax"]["findings"][i]["delta"]
                best = min(proven, key=lambda found: found["measured"][f"{delta:g}"]["bytes"], default=results["softmax"])
                more = cells(best["findings"][i], best["measured"].get(f"{delta:g}"))[1:]
                print("| " + " | ".join([f"{task}, {loss.name}", f"{100 * delta:g} %",
                                         *(short_cell(found, i) for found in results.values()), *more]) + " |")
    print("\nCells of a measure: layers a token of 10, speed-up. " + "; ".join(dict.fromkeys(notes)) + ".")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dir", help="the folder that tools/train/tasks.py filled")
    parser.add_argument("--build", default="build/release", help="folder with bin/calmoe and libcalmoe.so")
    parser.add_argument("--model", help="GGUF file (default: the embedded model)")
    parser.add_argument("--out", default="tasks", help="folder for results (default: tasks)")
    parser.add_argument("--tasks", nargs="+", default=list(prompts.TASKS), choices=list(prompts.TASKS))
    parser.add_argument("--prompts", type=int, default=700, help="to calibrate on, of each task (default 700)")
    parser.add_argument("--measured", type=int, default=128, help="fresh prompts to measure on (default 128)")
    parser.add_argument("--block", type=int, default=16, help="prompts of each ratio of speeds (default 16)")
    parser.add_argument("--answer", type=int, default=32, help="tokens of an answer at most (default 32)")
    parser.add_argument("--most", type=int, default=24, help="policies of each search (default 24)")
    parser.add_argument("--measure-again", action="store_true", help="measure what is calibrated, too")
    parser.add_argument("--all", action="store_true", help="print every policy, instead of measures side by side")
    parser.add_argument("--tables", action="store_true", help="only print the tables of --out")
    options = parser.parse_args()
    if not options.tables:
        fill(options)
    (print_all if options.all else print_short)(options)


if __name__ == "__main__":
    main()
