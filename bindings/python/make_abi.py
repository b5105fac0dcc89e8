#!/usr/bin/env python3
"""Writes calmoe/_abi.py, the C interface as ctypes knows it, from the headers in include/calmoe.

    make_abi.py            writes it anew: after every change of a public header
    make_abi.py --check    says whether the file still says what the headers say (exit status 1: it does not)
    make_abi.py --layout   prints a C program that compares every struct of the file with the compiler's

The headers are regular: structs, enums, callbacks and functions are declared with typedef and CALMOE_API, one way
each. What this script does not understand it refuses by its text, so that nothing is left out in silence.
"""
from __future__ import annotations

import ctypes
import importlib
import re
import sys
import textwrap
from pathlib import Path
from typing import Callable

HERE = Path(__file__).resolve().parent
INCLUDE = HERE.parent.parent / "include" / "calmoe"
TARGET = HERE / "calmoe" / "_abi.py"

SCALARS = {
    "int": "c_int", "unsigned": "c_uint", "char": "c_char", "unsigned char": "c_ubyte", "float": "c_float",
    "double": "c_double", "size_t": "c_size_t", "int32_t": "c_int32", "uint32_t": "c_uint32", "int64_t": "c_int64",
    "uint64_t": "c_uint64",
}
POINTERS = {"void": "c_void_p", "const char": "c_char_p"}

HEAD = '''"""The C interface of calmoe, as ctypes knows it. Made from include/calmoe/*.h by make_abi.py: do not edit.

Handles such as calmoe_model are c_void_p; everything else has the header's name, type and order.
"""
'''


def fail(what: str, text: str) -> None:
    sys.exit(f"make_abi.py: {what}: {' '.join(text.split())[:200]}")


def read_headers() -> str:
    """All headers as one text without comments and preprocessor lines, each after those that it includes."""
    done: list[str] = []
    texts: list[str] = []

    def read(name: str) -> None:
        if name in done:
            return
        done.append(name)
        text = (INCLUDE / name).read_text()
        for included in re.findall(r'#include "calmoe/([a-z_]+\.h)"', text):
            read(included)
        texts.append(text)

    for path in sorted(INCLUDE.glob("*.h")):
        read(path.name)
    return "\n".join(texts)


class Abi:
    """What the headers declare, in their order."""

    def __init__(self, source: str) -> None:
        self.version = re.search(r'CALMOE_VERSION_TEXT\s+"([^"]+)"', source).group(1)  # type: ignore[union-attr]
        self.status = re.findall(r"^\s*X\((\w+),", source, re.M)
        self.constants: dict[str, int] = {f"CALMOE_{name}": i for i, name in enumerate(self.status)}
        self.enums: list[str] = []
        self.handles: list[str] = []
        self.lines: list[str] = []
        self.structs: dict[str, list[str]] = {}
        self.functions: list[str] = []
        self.callbacks: list[str] = []
        text = re.sub(r"/\*.*?\*/", " ", source, flags=re.S)
        text = re.sub(r"^[ \t]*#(?:.*\\\n)*.*$", "", text, flags=re.M)
        text = re.sub(r'extern "C" \{|^\}\s*$', "", text, flags=re.M)
        self.read(text)

    def read(self, text: str) -> None:
        patterns: tuple[tuple[str, Callable[[re.Match[str]], None]], ...] = (
            (r"typedef enum (calmoe_status) \{.*?\} \1;", lambda m: self.enums.append(m[1])),
            (r"typedef enum (?:\w+ )?\{([^{}]*)\} (\w+);", lambda m: self.add_enum(m[1], m[2])),
            (r"typedef struct (\w+) \1;", lambda m: self.handles.append(m[1])),
            (r"typedef struct (\w+) \{(.*?)\} \1;", lambda m: self.add_struct(m[1], m[2])),
            (r"typedef (\w+) \(\*(\w+)\)\((.*?)\);", lambda m: self.add_callback(m[2], m[1], m[3])),
            (r"enum(?: \w+)? \{([^{}]*)\};", lambda m: self.add_enum(m[1])),
            (r"CALMOE_API ([\w ]+?[ *]+)(\w+)\((.*?)\);", lambda m: self.add_function(m[2], m[1], m[3])),
        )
        at = 0
        while text[at:].strip():
            at += len(text[at:]) - len(text[at:].lstrip())
            for pattern, add in patterns:
                match = re.compile(pattern, re.S).match(text, at)
                if match:
                    add(match)
                    at = match.end()
                    break
            else:
                fail("not understood", text[at:])

    def type_of(self, c: str, is_result: bool = False) -> str:
        """The ctypes type of a C type such as "const char **"."""
        c = " ".join(re.sub(r"\*", " * ", c).split())
        if c == "void":
            return "None"
        if c.endswith("*"):
            inner = c[:-1].strip()
            if inner.endswith("const"):
                inner = inner[:-5].strip()
            plain = inner.replace("const ", "")
            if inner in POINTERS:
                return POINTERS[inner]
            if plain in POINTERS:
                return POINTERS[plain]
            if plain in self.handles:
                return "c_void_p"
            return f"POINTER({self.type_of(inner)})"
        c = c.replace("const ", "")
        if c in self.enums:
            return "c_int"
        if c in SCALARS:
            return SCALARS[c]
        if c in self.structs or c in self.callbacks:
            return c
        fail("an unknown type", c)
        return ""

    def split(self, declaration: str) -> list[tuple[str, str, str]]:
        """(type, name, array sizes) of each declarator of "const char *a, b[4]"."""
        first, *others = [part.strip() for part in declaration.split(",")]
        match = re.match(r"(.*?[\s*])(\w+)((?:\[\w+\])*)$", first, re.S)
        if not match:
            fail("a declaration", declaration)
        assert match
        out = [(match[1].strip(), match[2], match[3])]
        base = match[1].replace("*", "").strip()
        for other in others:
            match = re.match(r"(\**)(\w+)((?:\[\w+\])*)$", other)
            if not match:
                fail("a declarator", other)
            assert match
            out.append((base + match[1], match[2], match[3]))
        return out

    def add_struct(self, name: str, body: str) -> None:
        fields = []
        for declaration in filter(None, (part.strip() for part in body.split(";"))):
            callback = re.match(r"(\w+) \(\*(\w+)\)\((.*)\)$", declaration, re.S)
            if callback:
                fields.append((callback[2], self.callback(callback[1], callback[3])))
                continue
            for c_type, field, sizes in self.split(declaration):
                ctype = self.type_of(c_type)
                for size in reversed(re.findall(r"\[(\w+)\]", sizes)):
                    ctype += f" * {self.constants.get(size) or int(size)}"
                fields.append((field, ctype))
        self.structs[name] = [field for field, _ in fields]
        rows = "".join(f'        ("{field}", {ctype}),\n' for field, ctype in fields)
        self.lines.append(f"class {name}(Structure):\n    _fields_ = [\n{rows}    ]\n\n")

    def add_enum(self, body: str, name: str = "") -> None:
        self.enums.append(name)
        value = 0
        for row in filter(None, (part.strip() for part in body.split(","))):
            name, _, given = (part.strip() for part in row.partition("="))
            value = int(given) if given else value
            self.constants[name] = value
            value += 1

    def arguments(self, text: str) -> list[str]:
        if text.strip() == "void":
            return []
        out = []
        for part in text.split(","):
            part = part.strip()
            is_array = part.endswith("]")
            match = re.match(r"(.*?[\s*])\w+(?:\[\w*\])?$", part, re.S)
            if not match:
                fail("an argument", part)
            assert match
            out.append(self.type_of(match[1] + ("*" if is_array else "")))
        return out

    def callback(self, result: str, arguments: str) -> str:
        return f"CFUNCTYPE({', '.join([self.type_of(result), *self.arguments(arguments)])})"

    def add_callback(self, name: str, result: str, arguments: str) -> None:
        self.callbacks.append(name)
        self.lines.append(f"{name} = {self.callback(result, arguments)}\n\n")

    def add_function(self, name: str, result: str, arguments: str) -> None:
        restype = self.type_of(result)
        types = self.arguments(arguments)
        if restype == "c_char_p" and "POINTER(c_size_t)" in types:
            restype = "POINTER(c_char)"  # bytes with a length: no NUL ends them
        row = f'    "{name}": ({restype}, [{", ".join(types)}]),'
        self.functions.append(textwrap.fill(row, 118, subsequent_indent=8 * " ") + "\n")

    def text(self) -> str:
        constants = "".join(f"{name} = {value}\n" for name, value in self.constants.items())
        body = "\n".join(self.lines) + "".join(self.functions)
        used = ", ".join(sorted(set(re.findall(r"\b(?:c_\w+|CFUNCTYPE|POINTER|Structure)\b", body))))
        imports = textwrap.fill(f"from ctypes import ({used})", 118, subsequent_indent=20 * " ") + "\n\n"
        return (HEAD + imports + f'VERSION = "{self.version}"\n\n' + constants + "\n" + "\n".join(self.lines)
                + "\n# name: (result, arguments)\nFUNCTIONS = {\n" + "".join(self.functions) + "}\n")


def print_layout(abi: Abi) -> None:
    """The program fails at the first struct or constant that the compiler sees otherwise."""
    sys.path.insert(0, str(HERE / "calmoe"))
    _abi = importlib.import_module("_abi")  # the file by itself: the package would load the library

    headers = "".join(f"#include <calmoe/{path.name}>\n" for path in sorted(INCLUDE.glob("*.h")))
    rows = []
    for name, fields in abi.structs.items():
        struct = getattr(_abi, name)
        rows.append(f"_Static_assert(sizeof({name}) == {ctypes.sizeof(struct)}, \"sizeof {name}\");")
        for field in fields:
            where = getattr(struct, field)
            rows.append(f"_Static_assert(offsetof({name}, {field}) == {where.offset} && "
                        f"sizeof((({name} *)0)->{field}) == {where.size}, \"{name}.{field}\");")
    for name, value in abi.constants.items():
        rows.append(f"_Static_assert({name} == {value}, \"{name}\");")
    print(f"#include <stddef.h>\n{headers}" + "\n".join(rows) + "\nint main(void) { return 0; }")


def main() -> int:
    abi = Abi(read_headers())
    if "--layout" in sys.argv:
        print_layout(abi)
    elif "--check" in sys.argv:
        if not TARGET.exists() or TARGET.read_text() != abi.text():
            print("bindings/python/calmoe/_abi.py is not what include/calmoe says; run bindings/python/make_abi.py")
            return 1
    else:
        TARGET.write_text(abi.text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
