#!/usr/bin/env python3
"""table.py - what leaving out layers and experts gains and costs on one model, all ways side by side.

Each row is one calmoe-bench run: OFF and the policy answer the same prompts in turns. Rows: a static exit after each
layer, a static number of experts, each measure of confidence at some thresholds, width rules, and, where policies
of `calmoe calibrate` are given, each at each bound: depth alone, width alone, both.

  table.py --bench build/bin/calmoe-bench -m MODEL.gguf -f TEXT... -b 1 4 8 -o result.json
  table.py --bench ... -f TEXT... --only calibrated --policies depth=d.json width=w.json joint=j.json --deltas 1% 5% 10%
  table.py --show result.json

Give it several hundred prompts' worth of text that the model was not trained on: agreement is measured on them. It
proves nothing; `calmoe calibrate` does."""
import argparse
import json
import shlex
import subprocess
import sys

THRESHOLDS = {"softmax": (0.3, 0.5, 0.7, 0.9, 0.97), "lead": (0.3, 0.5, 0.7, 0.9, 0.97), "shortlist": (0.5, 0.7, 0.9, 0.97),
              "state": (0.8, 0.9, 0.95, 0.98), "classifier": (0.5, 0.7, 0.8, 0.9, 0.95)}
WIDTHS = [("ratio", (0.1, 0.2, 0.3, 0.5)), ("top_p", (0.7, 0.8, 0.9, 0.95))]


def run(arguments, options, repeats=None):
    """Rows of one calmoe-bench run, or None with its sentence where it refuses."""
    command = shlex.split(arguments.wrap) + [arguments.bench, *options, "-o", "jsonl", "-p", str(arguments.prompt),
                                             "-n", str(arguments.tokens), "-r", str(repeats or arguments.repeats),
                                             "-b", ",".join(map(str, arguments.batch))]
    for option, value in (("-m", arguments.model), ("-t", arguments.threads), ("--exits", arguments.exits)):
        command += [option, str(value)] if value is not None else []
    for text in arguments.texts:
        command += ["-f", text]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        print(f"table: {' '.join(options)}: {done.stderr.strip().splitlines()[-1]}", file=sys.stderr)
        return None
    return [json.loads(line) for line in done.stdout.splitlines()]


def exit_sets(n_layers):
    """One exit at half, and three round it."""
    half = max(1, n_layers // 2)
    three = sorted({max(1, n_layers * part // 10) for part in (3, 5, 7)})
    return [[half], three]


def plans(arguments, n_layers, n_used):
    """(section, options) of each row."""
    for layer in range(1, n_layers):
        yield "static exit", ["--exit", f"always:1@{layer}"]
    for k in range(1, n_used):
        yield "static k", ["--width", f"fixed:{k}"]
    for measure, thresholds in THRESHOLDS.items():
        if measure == "classifier" and not arguments.exits:
            continue
        for layers in exit_sets(n_layers):
            if measure == "state" and layers[0] < 2:
                continue
            for threshold in thresholds:
                yield measure, ["--exit", f"{measure}:{threshold}@{','.join(map(str, layers))}"]
    for rule, bounds in WIDTHS if n_used > 1 else []:
        for bound in bounds:
            yield rule, ["--width", f"{rule}:{bound}"]
    for policy in arguments.policies:
        name, file = policy.split("=", 1)
        for delta in arguments.deltas:
            yield f"calibrated {name}", ["--policy", file, "--quality", delta]


def measure(arguments):
    """All rows as [{"section", "policy", "batches": [row of calmoe-bench, ...]}, ...]."""
    first = run(arguments, ["--exit", "always:1@1"], repeats=1)
    if first is None:
        sys.exit(1)
    n_layers = len(first[0]["exits"])
    n_used = round(first[0]["off"]["experts_per_token"] / n_layers)
    wanted = [plan for plan in plans(arguments, n_layers, n_used)
              if not arguments.only or any(plan[0].startswith(only) for only in arguments.only)]
    table = []
    for i, (section, options) in enumerate(wanted):
        print(f"table: {i + 1} of {len(wanted)}: {' '.join(options)}", file=sys.stderr, flush=True)
        rows = run(arguments, options)
        if rows:
            table.append({"section": section, "policy": rows[0]["policy"], "n_layers": n_layers, "batches": rows})
            if arguments.output:
                with open(arguments.output, "w", encoding="utf-8") as file:
                    json.dump(table, file, indent=1)
    return table


def show_oracle(path):
    """What `calmoe fit-exits --json` found: how deep tokens need to go that leave at the first exit that agrees."""
    with open(path, encoding="utf-8") as file:
        report = json.load(file)
    n_layers = report["layers"]
    print(f"\nOracle, {report['judged_tokens']} tokens, each leaving at the first exit whose likeliest token is the "
          "full model's:\n\n| exits | layers | of | tokens that agree |\n"
          "| --- | ---: | ---: | --- |")
    for name, label in (("before", "as is"), ("after", "fitted")):
        reached = ", ".join(f"{100 * exit[name]['agreement']:.1f} % after {exit['layer']}" for exit in report["exits"])
        print(f"| {label} | {report[name]['oracle_layers']:.2f} | {n_layers} | {reached} |")


def speed(row):
    rates = row["speed_up"]
    return f"{rates['median']:.2f} ({rates['min']:.2f} to {rates['max']:.2f})"


def show(table):
    if not table:
        print("table: no rows", file=sys.stderr)
        return
    first = table[0]["batches"]
    model = first[0]
    print(f"{model['model']} ({model['fingerprint']}), {model['threads']} threads, {model['isa']}: answers of "
          f"{model['tokens']} tokens to prompts of {model['prompt']}, {model['repeats']} repetitions; speed-up: median "
          "(least to greatest)\n")
    heads = [f"speed-up, batch {row['batch']}" for row in first]
    print("| what | policy | layers | experts | MB/token | by OFF | disagreement | " + " | ".join(heads) + " |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: |" + " ---: |" * len(heads))
    for entry in table:
        row = entry["batches"][0]
        on, off = row["on"], row["off"]
        tokens = sum(r["answers"] for r in entry["batches"])
        differ = sum((1 - r["agreement"]) * r["answers"] for r in entry["batches"]) / tokens
        print(f"| {entry['section']} | `{entry['policy']}` | {on['layers_per_token']:.2f} | "
              f"{on['experts_per_token']:.1f} | {on['bytes_per_token'] / 1e6:.2f} | "
              f"{on['bytes_per_token'] / off['bytes_per_token']:.2f} | {100 * differ:.2f} % | "
              + " | ".join(speed(r) for r in entry["batches"]) + " |")
    parts = [name for name in first[0]["off"]["phase_seconds_per_token"]]
    print("\nMicroseconds of a token, batch " + f"{first[0]['batch']}:\n\n| policy | " + " | ".join(parts)
          + " | waiting | step |\n| --- |" + " ---: |" * (len(parts) + 2))
    for name, side in [("OFF", first[0]["off"])] + [(e["policy"], e["batches"][0]["on"]) for e in table]:
        values = [*side["phase_seconds_per_token"].values(), side["wait_seconds_per_token"],
                  side["step_seconds_per_token"]]
        print(f"| `{name}` | " + " | ".join(f"{1e6 * value:.1f}" for value in values) + " |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bench", default="calmoe-bench", help="the program calmoe-bench")
    parser.add_argument("--wrap", default="", help="command that each run is put behind")
    parser.add_argument("-m", "--model", help="GGUF file (default: the embedded model)")
    parser.add_argument("-f", "--texts", nargs="+", default=[], help="texts that prompts are cut of")
    parser.add_argument("-b", "--batch", nargs="+", type=int, default=[1, 4, 8])
    parser.add_argument("-p", "--prompt", type=int, default=64, help="tokens of a prompt")
    parser.add_argument("-n", "--tokens", type=int, default=96, help="tokens of an answer")
    parser.add_argument("-r", "--repeats", type=int, default=9)
    parser.add_argument("-t", "--threads", type=int)
    parser.add_argument("--exits", help="exits fitted to the model; then classifiers are rows too")
    parser.add_argument("--policies", nargs="+", default=[], metavar="NAME=FILE", help="files of calmoe calibrate")
    parser.add_argument("--deltas", nargs="+", default=["1%", "5%", "10%"])
    parser.add_argument("--only", nargs="+", help="only sections that begin so: static, softmax, calibrated, ...")
    parser.add_argument("-o", "--output", metavar="FILE", help="keep all rows as JSON")
    parser.add_argument("--oracle", metavar="FILE", help="what `calmoe fit-exits --json` printed")
    parser.add_argument("--show", metavar="FILE", nargs="+", help="print kept rows and end")
    arguments = parser.parse_args()
    table = [] if arguments.show else measure(arguments)
    for path in arguments.show or []:
        with open(path, encoding="utf-8") as file:
            table += json.load(file)
    show(table)
    if arguments.oracle:
        show_oracle(arguments.oracle)


if __name__ == "__main__":
    main()
