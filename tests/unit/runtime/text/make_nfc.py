"""Writes the tables of normalisation form C and the cases of their test, out of Python's unicodedata.

    python3 make_nfc.py data  > runtime/text/nfc_data.c
    python3 make_nfc.py cases > tests/unit/runtime/text/nfc_cases.inc
"""
import random
import sys
import unicodedata as ucd

POINTS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
HANGUL_V, HANGUL_T = range(0x1161, 0x1176), range(0x11A8, 0x11C3)


def decomposition(point):
    """The canonical one, one step: [] or one or two points."""
    text = ucd.decomposition(chr(point))
    return [] if not text or "<" in text else [int(item, 16) for item in text.split()]


def nfc(*points):
    return ucd.normalize("NFC", "".join(map(chr, points)))


def ranges(values):
    """[first, last, value] of neighbours with the same value; values: {point: value}."""
    found = []
    for point in sorted(values):
        if found and found[-1][1] == point - 1 and found[-1][2] == values[point]:
            found[-1][1] = point
        else:
            found.append([point, point, values[point]])
    return found


def rows(declaration, items, comment):
    lines, line = [f"/* {comment} */", f"{declaration} = {{"], "    "
    for item in items:
        if len(line) + len(item) + 1 > 119:
            lines.append(line)
            line = "    "
        line += f"{item},"
    return "\n".join(lines + [line, "};", ""])


def numbers(*values):
    return "{" + ",".join(f"{v:#x}" if v > 9 else str(v) for v in values) + "}"


def data():
    split = {c: decomposition(c) for c in POINTS if decomposition(c)}
    made = sorted(c for c in split if len(split[c]) == 2 and nfc(*split[c]) == chr(c))
    apart = sorted(c for c in split if len(split[c]) == 2 and c not in set(made))
    single = sorted(c for c in split if len(split[c]) == 1)
    order = sorted(range(len(made)), key=lambda i: split[made[i]])
    classes = {c: ucd.combining(chr(c)) for c in POINTS if ucd.combining(chr(c))}
    seconds = {split[c][1] for c in made} | set(HANGUL_V) | set(HANGUL_T)
    unclean = {c: 0 for c in POINTS if c in classes or c in seconds or c in split and c not in set(made)}
    print(f"""/* nfc_data.c - the tables of nfc.c: data of Unicode {ucd.unidata_version}, written by make_nfc.py. */
#include "runtime/text/nfc_data.h"
""")
    print(rows("const struct nfc_pair cm_nfc_made[]",
               [numbers(c, *split[c]) for c in made],
               "Points that two others make, in order: {made, first, second}. Hangul is computed instead."))
    print(rows("const uint16_t cm_nfc_made_order[]", map(str, order),
               "Rows of cm_nfc_made by their first and second point."))
    print(rows("const struct nfc_pair cm_nfc_apart[]",
               [numbers(c, *split[c]) for c in apart], "Points that are taken apart and never made again."))
    runs = ranges({c: 0 for c in single})
    print(rows("const struct nfc_run cm_nfc_single_runs[]",
               [numbers(first, last, single.index(first)) for first, last, _ in runs],
               "Points for which another stands: {first, last, where theirs begin in cm_nfc_singles}."))
    print(rows("const uint32_t cm_nfc_singles[]", [f"{split[c][0]:#x}" for c in single], "Those that stand for them."))
    print(rows("const struct nfc_class cm_nfc_classes[]", [numbers(*r) for r in ranges(classes)],
               "Canonical combining classes other than 0: {first, last, class}."))
    print(rows("const struct nfc_range cm_nfc_unclean[]", [numbers(*r[:2]) for r in ranges(unclean)],
               "Points that may stand otherwise in a normalised text: a text without them is normalised."))
    for name in ("made", "apart", "single_runs", "classes", "unclean"):
        print(f"const int cm_nfc_n_{name} = sizeof cm_nfc_{name} / sizeof cm_nfc_{name}[0];")


# ---- cases ----

def escaped(text):
    """As a C string, octal where a reader's editor might compose it."""
    return "".join(ch if " " <= ch <= "~" and ch not in '"\\?' else
                   "".join(f"\\{b:03o}" for b in ch.encode()) for ch in text)


def cases():
    pick = random.Random(1)
    marks = [c for c in POINTS if ucd.combining(chr(c))]
    split = [c for c in POINTS if decomposition(c)]
    starters = [0x41, 0x65, 0x6F, 0x75, 0x3B1, 0x915, 0x5D0, 0x1100, 0x1161, 0x11A8, 0xAC00, 0x9C7, 0x9BE, 0x20]
    texts = ["", "plain", "cafe\u0301 caf\u00e9", "\u0301", "\u0301\u0300", "a\u0323\u0307", "a\u0307\u0323",
             "a\u0315\u0300\u05ae\u0301b", "\u1e0a\u0323", "D\u0323\u0307", "\u212b \u2126 \u212a", "\u0958",
             "\ufb1d\ufb2a", "\u0344", "\u1112\u1161\u11ab\u1100\u1173\u11af", "\uac00\u11a8\u11a8", "\uac01\u11a8",
             "\u1100\u0300\u1161", "\u09c7\u09be", "\u09c7\u0300\u09be", "\u0b47\u0300\u0b3e",
             "\U0001d15e\U0001d1bc\U0002f800\uf900", "e\u0327\u0301\u0302", "\u00e9\u0327", "\u1fb3\u0345\u0313",
             "\u0915\u093c\u094d", "ao\u0302\u0300 \u1ed3", "\u0061\u0305\u0315\u0300\u05ae\u0062", "\u2adc\u0338"]
    for _ in range(150):
        points = [pick.choice(starters)]
        for _ in range(pick.randrange(1, 9)):
            points.append(pick.choice(pick.choice([marks, split, starters, [0x300, 0x301, 0x323, 0x345]])))
        texts.append("".join(map(chr, points)))
    print("/* Made by make_nfc.py: text, the same in normalisation form C. */")
    for text in texts:
        print('{ "%s",\n  "%s" },' % (escaped(text), escaped(ucd.normalize("NFC", text))))


{"data": data, "cases": cases}[sys.argv[1]]()
