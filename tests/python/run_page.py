#!/usr/bin/env python3
"""Runs a page like a notebook: its ```python blocks in their order, in one namespace.

    run_page.py PAGE            where a ```text block follows, what is printed must be just that
    run_page.py --write PAGE    writes what was printed into those blocks
"""
import contextlib
import io
import os
import re
import sys
import tempfile
import traceback

BLOCK = re.compile(r"^```python\n(?P<code>.*?)^```\n(?P<between>\s*)(?:^```text\n(?P<text>.*?)^```\n)?", re.S | re.M)


def main():
    is_written = sys.argv[1] == "--write"
    path = os.path.abspath(sys.argv[-1])
    with open(path) as file:
        page = file.read()
    namespace, n_blocks, n_compared = {"__name__": "__main__"}, 0, 0
    pieces, at = [], 0
    os.chdir(tempfile.mkdtemp())
    for block in BLOCK.finditer(page):
        line = page.count("\n", 0, block.start("code")) + 1
        said = io.StringIO()
        try:
            with contextlib.redirect_stdout(said):
                exec(compile("\n" * (line - 1) + block["code"], path, "exec"), namespace)
        except Exception:
            print(said.getvalue() + traceback.format_exc() + f"{path}:{line}: this block failed")
            return 1
        n_blocks += 1
        pieces.append(page[at:block.start()])
        at = block.end()
        if block["text"] is None:
            pieces.append(block[0])
            continue
        n_compared += 1
        if said.getvalue() != block["text"] and not is_written:
            print(f"{path}:{line}: printed was\n{said.getvalue()}wanted is\n{block['text']}")
            return 1
        pieces.append(f"```python\n{block['code']}```\n{block['between']}```text\n{said.getvalue()}```\n")
    if is_written:
        with open(path, "w") as file:
            file.write("".join(pieces) + page[at:])
    if n_compared == 0:
        print(f"{path}: no block with an output was found")
        return 1
    print(f"{path}: {n_blocks} blocks ran, the output of {n_compared} is as written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
