"""Prompts of tools/train's held-out exchanges, as JSON lines that `calmoe calibrate` reads."""
import json
import os
import pathlib
import random
import sys

HERE = pathlib.Path(__file__).resolve()
sys.path[:0] = [str(HERE.parents[2] / "tools" / "train"), str(HERE.parents[2] / "bindings" / "python")]
from clean import lines, prompt_text  # noqa: E402

# A task of the tables → files of DIR/tasks, as patterns.
TASKS = {"translation": ["??-??"], "questions": ["what", "which", "number", "function"]}


def exchanges(folder, task, seed=1):
    """Held-out exchanges of a task as {"task", "prompt", "answer"}, shuffled. Each message is there once, in one direction of one
    language: what is proven takes prompts for independent, and a message and its translations are not."""
    found = {}
    for pattern in TASKS[task]:
        for item in lines(f"{folder}/tasks/{pattern}.heldout.jsonl"):
            found.setdefault(item["key"], []).append(item)
    if not found:
        sys.exit(f"no exchanges of '{task}' in '{folder}/tasks'")
    draw = random.Random(seed)
    chosen = [draw.choice(found[key]) for key in sorted(found)]
    draw.shuffle(chosen)
    return [{"task": item["task"], "prompt": prompt_text(item["user"]), "answer": item["answer"]} for item in chosen]


def write(path, prompts, with_answers):
    with open(path, "w", encoding="utf-8") as file:
        for prompt in prompts:
            kept = ("prompt", "answer") if with_answers else ("prompt",)
            file.write(json.dumps({name: prompt[name] for name in kept}, ensure_ascii=False) + "\n")


def write_mixture(folder, into):
    """A file of prompts for each direction of translation and one of questions; their paths."""
    os.makedirs(into, exist_ok=True)
    by_file = {}
    for task in TASKS:
        for prompt in exchanges(folder, task):
            by_file.setdefault(prompt["task"] if task == "translation" else task, []).append(prompt)
    paths = [f"{into}/{name}.prompts.jsonl" for name in sorted(by_file)]
    for path, name in zip(paths, sorted(by_file)):
        write(path, by_file[name], False)
    return paths
