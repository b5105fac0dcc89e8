"""The engines that compare.py knows: one record each, in the table ENGINES at the end.

A record says how an engine is found, which of its modes are tried, the command that measures one job, and how the
answer is read. To add an engine, add a record. Every command loads the model in a process of its own, warms up,
and times `repeats` repetitions of reading a prompt and of generating; loading is outside the time."""
import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from typing import Callable

HERE = os.path.dirname(os.path.abspath(__file__))


class NotFound(Exception):
    """The engine cannot be used here; the text is the sentence that says why."""


@dataclass(frozen=True)
class Job:
    """What one process measures. A length of 0 leaves that test out."""
    model: str
    threads: int
    n_prompt: int
    n_tokens: int
    repeats: int
    flags: tuple = ()
    depth: int = 0  # positions that are in the context before tokens are generated


@dataclass(frozen=True)
class Found:
    """An engine in place: what is started, and what it calls itself."""
    program: str
    version: str


@dataclass(frozen=True)
class Engine:
    key: str                              # of options: ik, llama, …
    title: str                            # of the table
    package: str                          # name in the Python package index; "" = given by path
    modes: tuple                          # tuples of flags; the fastest of a pre-run is kept for each test
    find: Callable                        # (settings) -> Found, or raises NotFound
    command: Callable                     # (found, job) -> argv
    parse: Callable                       # (stdout, job) -> {"pp": [tokens/s …], "tg": […]}
    greedy: Callable = None               # (found, model, threads, prompt, n) -> argv that prints token ids as JSON


def answer_of(argv, timeout=120):
    """(stdout, "") of a short command, or ("", why not)."""
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=timeout, errors="replace")
    except (OSError, subprocess.TimeoutExpired) as error:
        return "", str(error)
    if done.returncode != 0:
        return "", last_words(done.stderr or done.stdout)
    return done.stdout, ""


def last_words(text):
    """The last line that says something, one line long."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "it said nothing"


def json_of(stdout):
    """The JSON value in what a program printed, which may have printed other lines before it."""
    for start in re.finditer(r"^[\[{]", stdout, re.MULTILINE):
        try:
            return json.JSONDecoder().raw_decode(stdout[start.start():])[0]
        except ValueError:
            continue
    raise ValueError("no JSON in the output")


# calmoe ------------------------------------------------------------------------------------------------------------

def find_calmoe(settings):
    stdout, why = answer_of([settings.calmoe, "--version"])
    if why:
        raise NotFound(f"{settings.calmoe}: {why}")
    return Found(settings.calmoe, stdout.split()[-1] if stdout.split() else "")


def calmoe_command(found, job):
    return [found.program, "-m", job.model, "-t", str(job.threads), "-p", str(job.n_prompt),
            "-n", str(job.n_tokens), "-r", str(job.repeats), "-o", "json",
            *(("-d", str(job.depth)) if job.depth else ()), *job.flags]


def calmoe_rates(stdout, job):
    rates = {}
    for row in json_of(stdout):
        for test, length in (("pp", job.n_prompt), ("tg", job.n_tokens)):
            if row["test"] == f"{test}{length}" + (f"@{job.depth}" if job.depth else ""):
                rates[test] = [row["tokens_per_s"]["median"]]
    return rates


def calmoe_greedy(found, model, threads, prompt, n):
    run = os.path.join(os.path.dirname(found.program), "calmoe")
    return [run, "run", "-m", model, "-t", str(threads), "-p", prompt, "-n", str(n), "--temp", "0", "--json"]


# llama-bench, of llama.cpp and of ik_llama.cpp -----------------------------------------------------------------------

def find_binary(option):
    def find(settings):
        path = getattr(settings, option)
        if not path:
            raise NotFound(f"no path was given (--{option.replace('_', '-')} PATH/llama-bench)")
        if not os.access(path, os.X_OK):
            raise NotFound(f"{path} is not a program")
        return Found(path, "version not told by the program")
    return find


def llama_bench_command(behind_depth):
    """The two have different options for what was read before: behind_depth(job) -> argv."""
    def command(found, job):
        lengths = ["-p", str(job.n_prompt), "-n", str(job.n_tokens)]
        return [found.program, "-m", job.model, "-t", str(job.threads), *(behind_depth(job) if job.depth else lengths),
                "-r", str(job.repeats), "-o", "json", *job.flags]
    return command


def llama_behind_depth(job):
    return ["-p", "0", "-n", str(job.n_tokens), "-d", str(job.depth)]


def ik_behind_depth(job):
    return ["-p", "0", "-n", "0", "-gp", f"{job.depth},{job.n_tokens}"]


def llama_bench_rates(stdout, job):
    rates = {}
    for row in json_of(stdout):
        test = "tg" if row["n_gen"] else "pp"
        if row["n_gen"] == job.n_tokens if test == "tg" else row["n_prompt"] == job.n_prompt:
            rates[test] = row["samples_ts"]
    return rates


# engines inside a Python package, by a small program that runs in their virtual environment ---------------------------

def find_package(module, option):
    probe = ("import importlib.metadata, sys; import {0}; "
             "print(importlib.metadata.version(sys.argv[1]))").format(module)

    def find(settings):
        python = getattr(settings, option) or settings.python
        if not python:
            raise NotFound("no virtual environment was given (--setup DIR makes one)")
        package = module.replace("_", "-")
        package += "-python" if module.endswith("llama_cpp") else ""
        stdout, why = answer_of([python, "-c", probe, package])
        if why:
            raise NotFound(f"{module} does not import: {why}")
        return Found(python, last_words(stdout))
    return find


def runner_command(script, module):
    def command(found, job):
        if job.depth:
            raise NotFound("it is not measured behind a depth")
        return [found.program, os.path.join(HERE, script), module, job.model, str(job.threads), str(job.n_prompt),
                str(job.n_tokens), str(job.repeats), *job.flags]
    return command


def runner_rates(stdout, job):
    return {test: rates for test, rates in json_of(stdout).items() if rates}


def llama_greedy(module):
    def greedy(found, model, threads, prompt, n):
        return [found.program, os.path.join(HERE, "run_llama.py"), module, model, str(threads), "0", str(n), "1",
                "greedy=" + prompt]
    return greedy


def find_kt(settings):
    """kt-kernel computes expert layers; a whole model runs only inside SGLang, which drives it from a GPU."""
    if not settings.python:
        raise NotFound("no virtual environment was given (--setup DIR makes one)")
    stdout, why = answer_of([settings.python, "-c", "import importlib.metadata as m; print(m.version('kt-kernel'))"])
    if why:
        raise NotFound(f"not installed: {why}")
    _, why = answer_of([settings.python, "-c", "import kt_kernel, sglang"])
    raise NotFound(f"version {last_words(stdout)} installs, but it computes expert layers only; a whole model needs "
                   f"its fork of SGLang on an NVIDIA GPU" + (f" ({why})" if why else ""))


ENGINES = (
    Engine("calmoe", "calmoe", "", ((),), find_calmoe, calmoe_command, calmoe_rates, calmoe_greedy),
    Engine("ik", "ik_llama.cpp", "",
           (("-rtr", "0"), ("-rtr", "1"), ("-rtr", "1", "-thp", "1"), ("-rtr", "1", "-muge", "1", "-mqkv", "1"),
            ("-rtr", "1", "-fa", "0")),
           find_binary("ik"), llama_bench_command(ik_behind_depth), llama_bench_rates),
    Engine("llama-bench", "llama.cpp (llama-bench)", "", ((), ("-fa", "1"), ("-mmp", "0", "-fa", "1")),
           find_binary("llama_bench"), llama_bench_command(llama_behind_depth), llama_bench_rates),
    Engine("llama", "llama.cpp (llama-cpp-python)", "llama-cpp-python",
           (("repack=1", "fa=1"), ("repack=1", "fa=0"), ("repack=0", "fa=1")),
           find_package("llama_cpp", "llama_python"), runner_command("run_llama.py", "llama_cpp"), runner_rates,
           llama_greedy("llama_cpp")),
    Engine("ik-wheel", "ik_llama.cpp (ik-llama-cpp-python)", "ik-llama-cpp-python",
           (("repack=1", "fa=1"), ("repack=0", "fa=1")),
           find_package("ik_llama_cpp", "ik_python"), runner_command("run_llama.py", "ik_llama_cpp"), runner_rates,
           llama_greedy("ik_llama_cpp")),
    Engine("fastllm", "fastllm", "ftllm", (("device=cpu",), ("device=numa",)),
           find_package("ftllm", "python"), runner_command("run_fastllm.py", "ftllm"), runner_rates),
    Engine("kt", "ktransformers (kt-kernel)", "kt-kernel", ((),), find_kt, None, None),
)
BY_KEY = {engine.key: engine for engine in ENGINES}

# What fastllm's package needs to run a GGUF file on a CPU; its other requirements (CUDA, web user interface) are left out.
EXTRA_PACKAGES = {"ftllm": ("transformers", "jinja2", "fastapi", "pillow", "uvicorn", "openai", "shortuuid", "numpy"),
                  "kt-kernel": ("numpy",), "ik-llama-cpp-python": ("numpy",), "llama-cpp-python": ()}
WITHOUT_REQUIREMENTS = ("ftllm", "kt-kernel", "ik-llama-cpp-python")


def set_up(folder, say):
    """Makes a virtual environment in the folder and installs the peers by name. What fails is told and left out."""
    python = os.path.join(folder, "bin", "python")
    if not os.path.exists(python):
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    for engine in ENGINES:
        if not engine.package:
            continue
        wheel = () if engine.package == "llama-cpp-python" else ("--only-binary", ":all:")
        bare = ("--no-deps",) if engine.package in WITHOUT_REQUIREMENTS else ()
        steps = [(*wheel, *bare, engine.package)]
        if EXTRA_PACKAGES.get(engine.package):
            steps.append(("--only-binary", ":all:", *EXTRA_PACKAGES[engine.package]))
        why = ""
        for step in steps:
            why = why or answer_of([python, "-m", "pip", "install", "-q", "--disable-pip-version-check", *step], 3600)[1]
        say(f"{engine.package}: " + (f"not installed: {why}" if why else "installed"))
    return python
