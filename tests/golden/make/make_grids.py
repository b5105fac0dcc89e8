#!/usr/bin/env python3
"""Write kernels/quant/iq_grids.c: the vectors that the weight types IQ1 to IQ3 name by number, from the gguf module.

An entry is the digits of 8 weights, 2 bits each, or of 4 weights, 3 bits each, the first weight's lowest; a digit is the
place of a magnitude (IQ1: of -1, 0, 1) in ascending order.

    python3 make_grids.py [--out FILE]
"""
import argparse
import os

from gguf import quants

HERE = os.path.dirname(os.path.abspath(__file__))
HEAD = """/* iq_grids.c - the vectors ("grids") that the weight types IQ1 to IQ3 name by number: facts of the file format,
 * written by tests/golden/make/make_grids.py. An entry is the digits of 8 weights, 2 bits each, or of 4 weights, 3
 * bits each; the first weight's are the lowest bits. A digit is the place of a magnitude (IQ1: of -1, 0, 1) in
 * ascending order. */
#include "kernels/quant/code_book.h"
"""
GRIDS = [("iq1", quants.IQ1_S), ("iq2_xxs", quants.IQ2_XXS), ("iq2_xs", quants.IQ2_XS), ("iq2_s", quants.IQ2_S),
         ("iq3_xxs", quants.IQ3_XXS), ("iq3_s", quants.IQ3_S)]
A_LINE = 16


def entries(kind):
    kind.init_grid()
    n_bits = {8: 2, 4: 3}[kind.grid_shape[1]]
    place = {value: i for i, value in enumerate(sorted(kind.grid_map))}
    for vector in kind.grid.reshape(kind.grid_shape):
        yield sum(place[value] << n_bits * i for i, value in enumerate(vector.tolist()))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--out", default=os.path.join(HERE, "../../../kernels/quant/iq_grids.c"))
    a = p.parse_args()
    with open(a.out, "w") as f:
        f.write(HEAD + "\n/* clang-format off */\n")
        for name, kind in GRIDS:
            numbers = list(entries(kind))
            f.write(f"const uint16_t cm_grid_{name}[{len(numbers)}] = {{\n")
            for i in range(0, len(numbers), A_LINE):
                f.write("    " + ", ".join(f"{n:5d}" for n in numbers[i:i + A_LINE]) + ",\n")
            f.write("};\n")
        f.write("/* clang-format on */\n")


if __name__ == "__main__":
    main()
