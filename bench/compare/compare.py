#!/usr/bin/env python3
"""compare.py - calmoe and other engines on the same files, alternately, in one table with ratios.

In every round each engine has its turn, in an order shuffled from a fixed seed, so that whatever the machine does
meanwhile hits all alike. Each turn is a process of its own: load, warm up, then the tests (a prompt of N tokens read:
ppN; N tokens generated: tgN); never are two engines loaded at once. A ratio is the median of the rounds' ratios.
Before the rounds each engine runs once in each of its modes, and the fastest for each test is kept.

  compare.py --setup DIR                                 makes a virtual environment with the peers that install there
  compare.py --python DIR/bin/python --ik PATH/llama-bench -m MODEL.gguf -t 2 -o result.json
  compare.py --show result.json ...                      prints saved results again"""
import argparse
import json
import os
import platform
import random
import shlex
import signal
import statistics
import subprocess
import sys
import time

import engines
from engines import BY_KEY, ENGINES, Job, NotFound

NOISY = 0.10  # a spread of more than this share of the median is marked


def say(text):
    print(f"compare: {text}", file=sys.stderr, flush=True)


def machine():
    """What runs here, as the system tells it."""
    facts = {"system": f"{platform.system()} {platform.release()}", "date": time.strftime("%Y-%m-%d")}
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        lines = dict(line.split(":", 1) for line in file if ":" in line)
    keys = {key.strip(): value.strip() for key, value in lines.items()}
    facts["cpu"] = keys.get("model name", platform.machine())
    if "cpu family" in keys:
        facts["cpu"] += f" (family {keys['cpu family']}, model {keys.get('model', '?')})"
    wanted = ("avx2", "avx_vnni", "avx512_vnni", "avx512_bf16", "amx_int8", "asimddp")
    have = (keys.get("flags") or keys.get("Features") or "").split()
    facts["instructions"] = " ".join(name for name in wanted if name in have)
    facts["cores"] = len(os.sched_getaffinity(0))
    facts["nodes"] = len([name for name in os.listdir("/sys/devices/system/node") if name[4:].isdigit()]
                         if os.path.isdir("/sys/devices/system/node") else [0])
    facts["memory_gib"] = round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    return facts


def run_alone(argv, timeout):
    """Runs a command as a group of processes, so that none of it is left when the time is over."""
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace",
                          start_new_session=True) as process:
        try:
            stdout, stderr = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired as error:
            os.killpg(process.pid, signal.SIGKILL)
            raise NotFound(f"not done after {timeout:g} s") from error
    return subprocess.CompletedProcess(argv, process.returncode, stdout, stderr)


class Contestant:
    """An engine in one form (calmoe: one for each instruction set), with the mode that it uses for each test."""

    def __init__(self, engine, found, name, extra=()):
        self.engine, self.found, self.name, self.extra = engine, found, name, tuple(extra)
        self.modes = {}      # test -> flags
        self.failed = ""     # the sentence that says why, on this model
        self.rates = {}      # test -> one rate for each round, None where it failed

    def measure(self, settings, model, threads, tests, flags):
        """{test: tokens/s}: one process, the tests that are asked for."""
        job = Job(model, threads, settings.prompt if "pp" in tests else 0, settings.tokens if "tg" in tests else 0,
                  settings.repeats, (*self.extra, *flags), settings.depth)
        argv = shlex.split(settings.prefix) + self.engine.command(self.found, job)
        done = run_alone(argv, settings.timeout)
        if done.returncode != 0:
            raise NotFound(f"exit status {done.returncode}: " + engines.last_words(done.stderr or done.stdout))
        try:
            rates = self.engine.parse(done.stdout, job)
            return {test: statistics.median(rates[test]) for test in tests}
        except (ValueError, KeyError, TypeError) as error:
            raise NotFound(f"{error} ({engines.last_words(done.stderr)})") from error

    def choose_modes(self, settings, model, threads, tests):
        """Keeps the fastest mode for each test; a mode that fails is left out."""
        forced = settings.forced_modes.get(self.engine.key)
        modes = [forced] if forced is not None else self.engine.modes
        if len(modes) == 1:
            self.modes = {test: modes[0] for test in tests}
            return
        best, why = {}, ""
        for flags in modes:
            try:
                rates = self.measure(settings, model, threads, tests, flags)
            except NotFound as error:
                why = str(error)
                say(f"  {self.name} [{' '.join(flags)}]: {why}")
                continue
            say(f"  {self.name} [{' '.join(flags)}]: " + ", ".join(f"{t} {r:.2f}" for t, r in rates.items()))
            for test, rate in rates.items():
                if test not in best or rate > best[test][0]:
                    best[test] = (rate, flags)
        self.modes = {test: flags for test, (_, flags) in best.items()}
        self.failed = "" if best else why

    def round(self, settings, model, threads, tests):
        """One turn: tests of the same mode share a process. What fails is tried a second time."""
        groups = {}
        for test in tests:
            groups.setdefault(self.modes[test], []).append(test)
        for flags, group in groups.items():
            try:
                rates = self.measure(settings, model, threads, group, flags)
            except NotFound as error:
                say(f"  {self.name}: {error}; once more")
                rates = self.measure(settings, model, threads, group, flags)
            for test in group:
                self.rates[test].append(rates[test])


def line_up(settings):
    """(contestants, {key: why not}). calmoe stands once for each instruction set asked for."""
    line, absent = [], {}
    for engine in ENGINES:
        if settings.engines and engine.key not in settings.engines and engine.key != "calmoe":
            continue
        try:
            found = engine.find(settings)
        except NotFound as error:
            absent[engine.title] = str(error)
            continue
        version = settings.versions.get(engine.key)
        if version:
            found = engines.Found(found.program, version)
        if engine.key == "calmoe":
            for isa in settings.isa or [None]:
                name = engine.title + (f" {isa}" if isa else "")
                line.append(Contestant(engine, found, name, ("--isa", isa) if isa else ()))
        else:
            line.append(Contestant(engine, found, engine.title))
    return line, absent


def warm_cache(model):
    with open(model, "rb", buffering=0) as file:
        while file.read(1 << 24):
            pass


def greedy_tokens(contestant, settings, model, threads):
    """The first tokens that the engine picks, or None where that is not to be had."""
    if contestant.engine.greedy is None:
        return None
    argv = contestant.engine.greedy(contestant.found, model, threads, settings.check, 16)
    stdout, why = engines.answer_of(shlex.split(settings.prefix) + argv, settings.timeout)
    if why:
        say(f"  {contestant.name}: no first tokens: {why}")
        return None
    return engines.json_of(stdout)["tokens"]


def compare(settings, line, model, threads, chosen, save):
    """One table: one model, one number of threads. Yields what save() keeps after every round."""
    tests = [test for test, n in (("pp", settings.prompt), ("tg", settings.tokens)) if n]
    for contestant in line:
        contestant.rates = {test: [] for test in tests}
        if contestant.name in chosen:
            contestant.modes, contestant.failed = chosen[contestant.name]
        else:
            contestant.failed = ""
            contestant.choose_modes(settings, model, threads, tests)
            chosen[contestant.name] = (contestant.modes, contestant.failed)
    shuffle = random.Random(settings.seed)
    tokens = {}
    for number in range(settings.rounds):
        order = [contestant for contestant in line if not contestant.failed]
        shuffle.shuffle(order)
        for contestant in order:
            try:
                contestant.round(settings, model, threads, tests)
            except NotFound as error:
                contestant.failed = str(error)
            last = {test: rates[-1] for test, rates in contestant.rates.items() if rates}
            say(f"  round {number + 1}: {contestant.name}: " +
                (contestant.failed or ", ".join(f"{test} {rate:.2f}" for test, rate in last.items())))
        save(table_of(settings, line, model, threads, tests, tokens))
    if settings.check:
        for contestant in line:
            if not contestant.failed:
                tokens[contestant.name] = greedy_tokens(contestant, settings, model, threads)
        save(table_of(settings, line, model, threads, tests, tokens))


def table_of(settings, line, model, threads, tests, tokens):
    lengths = {"pp": settings.prompt, "tg": settings.tokens}
    rows = []
    for contestant in line:
        row = {"engine": contestant.name, "key": contestant.engine.key, "version": contestant.found.version,
               "failed": contestant.failed, "modes": {t: " ".join(f) for t, f in contestant.modes.items()},
               "rates": contestant.rates}
        if tokens.get(contestant.name):
            row["first_tokens"] = tokens[contestant.name]
        rows.append(row)
    return {"model": os.path.basename(model), "bytes": os.path.getsize(model), "threads": threads,
            "depth": settings.depth, "tests": [f"{test}{lengths[test]}" for test in tests], "seed": settings.seed,
            "rows": rows}


# the report ----------------------------------------------------------------------------------------------------------

def with_range(values, digits):
    """median (least–greatest), with a mark where they lie far apart"""
    middle = statistics.median(values)
    text = f"{middle:.{digits}f}"
    if len(values) > 1:
        text += f" ({min(values):.{digits}f}–{max(values):.{digits}f})"
        text += " !" if max(values) - min(values) > NOISY * middle else ""
    return text


def reference_of(rows, wanted):
    """The row that the ratios refer to: the engine asked for, else the first peer that ran, else the first row."""
    ran = [row for row in rows if not row["failed"] and all(row["rates"].values())]
    for row in ran:
        if row["key"] == wanted:
            return row
    return next((row for row in ran if row["key"] != "calmoe"), ran[0] if ran else None)


def ratios(row, reference, test):
    return [mine / other for mine, other in zip(row["rates"][test], reference["rates"][test])]


def agreement(row, rows):
    """How many of the first greedy tokens are those of the first row that has some."""
    first = next((other["first_tokens"] for other in rows if other.get("first_tokens")), None)
    mine = row.get("first_tokens")
    if not first or not mine:
        return "–"
    same = next((i for i, (a, b) in enumerate(zip(first, mine)) if a != b), min(len(first), len(mine)))
    return f"first {same} of {min(len(first), len(mine))}"


def markdown_table(table, wanted):
    rows, keys = table["rows"], [test[:2] for test in table["tests"]]
    reference = reference_of(rows, wanted)
    check = any(row.get("first_tokens") for row in rows)
    name = reference["engine"] if reference else ""
    head = ["engine", "mode"]
    for test in table["tests"]:
        head += [f"{test}, tokens/s", f"× {name}"]
    head += ["same first tokens"] if check else []
    n_rounds = max([len(rates) for row in rows for rates in row["rates"].values()] or [0])
    yield (f"**{table['model']}**, {table['bytes'] / 1e9:.2f} GB, {table['threads']} thread"
           f"{'s' if table['threads'] != 1 else ''}, {n_rounds} rounds"
           + (f", behind {table['depth']} positions" if table.get("depth") else ""))
    yield ""
    yield "| " + " | ".join(head) + " |"
    yield "|---|---|" + "---:|" * (len(head) - 2)
    for row in rows:
        if row["failed"] or not all(row["rates"].values()):
            continue
        modes = [row["modes"].get(key, "") for key in keys]
        mode = modes[0] if len(set(modes)) == 1 else "; ".join(f"{key}: {m or 'default'}" for key, m in zip(keys, modes))
        cells = [row["engine"], mode or "default"]
        for key in keys:
            cells += [with_range(row["rates"][key], 1), with_range(ratios(row, reference, key), 2)]
        yield "| " + " | ".join(cells + ([agreement(row, rows)] if check else [])) + " |"
    for row in rows:
        if row["failed"]:
            yield f"\nNot in the table: {row['engine']} {row['version']}: {row['failed']}."
    yield ""


def markdown(result, wanted):
    facts = result["machine"]
    yield (f"{facts['cpu']}, {facts['cores']} cores, {facts['nodes']} NUMA node{'s' if facts['nodes'] != 1 else ''}, "
           f"{facts['memory_gib']} GiB; {facts['instructions']}; {facts['system']}; {facts['date']}")
    yield ""
    seen = {}
    for table in result["tables"]:
        for row in table["rows"]:
            seen.setdefault(row["key"], f"{BY_KEY[row['key']].title} {row['version']}")
    yield "Versions: " + "; ".join(seen.values()) + "."
    for name, why in result["absent"].items():
        yield f"Not here: {name}: {why}."
    yield "Median (least–greatest) of the rounds; '!' marks a spread of more than 10 %."
    yield ""
    for table in result["tables"]:
        yield from markdown_table(table, wanted)


def same_table(table):
    """What two tables have in common when the later one replaces the earlier one."""
    return table["model"], table["threads"], tuple(table["tests"]), table.get("depth", 0)


def merged(paths):
    """Saved results as one; a later table replaces an earlier one of the same model, threads and tests."""
    result, tables = None, {}
    for path in paths:
        with open(path, encoding="utf-8") as file:
            one = json.load(file)
        result = result or {**one, "absent": {}}
        result["absent"].update(one["absent"])
        tables.update({same_table(table): table for table in one["tables"]})
    result["tables"] = list(tables.values())
    return result


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("-m", "--model", nargs="+", default=[], help="GGUF files")
    add("-t", "--threads", type=int, nargs="+", default=[len(os.sched_getaffinity(0))])
    add("-p", "--prompt", type=int, default=512, help="tokens of the prompt, 0 = leave that test out (512)")
    add("-n", "--tokens", type=int, default=64, help="tokens to generate, 0 = leave that test out (64)")
    add("-d", "--depth", type=int, default=0,
        help="positions in the context before tokens are generated; then with -p 0 only (0)")
    add("--rounds", type=int, default=5, help="rounds (5)")
    add("--repeats", type=int, default=1, help="repetitions in each turn; their median counts (1)")
    add("--seed", type=int, default=1, help="of the order in the rounds (1)")
    add("--isa", nargs="+", help="instruction sets of calmoe, a row each (default: the best here)")
    add("--engines", nargs="+", choices=list(BY_KEY), help="only these, and calmoe")
    add("--reference", default="ik", choices=list(BY_KEY), help="the ratios' divisor (ik, else the first peer)")
    add("--mode", action="append", default=[], metavar="ENGINE=FLAGS", help="use these flags; no pre-run")
    add("--version-of", action="append", default=[], metavar="ENGINE=TEXT", help="for engines that do not tell")
    add("--calmoe", default="build/release/bin/calmoe-bench", help="path of calmoe-bench")
    add("--ik", help="path of ik_llama.cpp's llama-bench")
    add("--llama-bench", help="path of llama.cpp's llama-bench")
    add("--python", help="the virtual environment's python, for the peers that are packages")
    add("--llama-python", help="another python, for llama-cpp-python only")
    add("--ik-python", help="another python, for ik-llama-cpp-python only")
    add("--setup", metavar="DIR", help="make a virtual environment and install the peers there")
    add("--prefix", default="", help="a command put before every measurement, such as 'numactl -N 0'")
    add("--check", nargs="?", const="The gate sends each token to a few experts, and", default="",
        metavar="PROMPT", help="also compare the first 16 greedy tokens")
    add("--timeout", type=float, default=300, help="seconds for one process (300)")
    add("-o", "--output", help="save the result as JSON, after every round")
    add("--show", nargs="+", metavar="FILE", help="print saved results")
    settings = parser.parse_args()
    if settings.depth and settings.prompt:
        parser.error("--depth goes with -p 0: it is for generation")
    pairs = lambda texts: dict(text.split("=", 1) for text in texts)
    settings.versions = pairs(settings.version_of)
    settings.forced_modes = {key: tuple(shlex.split(flags)) for key, flags in pairs(settings.mode).items()}
    return settings


def main():
    settings = parse_arguments()
    if settings.show:
        print("\n".join(markdown(merged(settings.show), settings.reference)))
        return 0
    if settings.setup:
        settings.python = engines.set_up(settings.setup, say)
        if not settings.model:
            return 0
    line, absent = line_up(settings)
    for name, why in absent.items():
        say(f"not here: {name}: {why}")
    if not settings.model or not any(contestant.engine.key == "calmoe" for contestant in line):
        say("wanted -m MODEL and --calmoe PATH")
        return 2
    result = {"schema": "calmoe-compare-1", "machine": machine(), "absent": absent, "tables": []}

    def save(table):
        others = [other for other in result["tables"] if same_table(other) != same_table(table)]
        result["tables"] = others + [table]
        if settings.output:
            with open(settings.output, "w", encoding="utf-8") as file:
                json.dump(result, file, indent=1)

    for model in settings.model:
        warm_cache(model)
        chosen = {}
        for threads in settings.threads:
            say(f"{model}, {threads} threads")
            compare(settings, line, model, threads, chosen, save)
    print("\n".join(markdown(result, settings.reference)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
