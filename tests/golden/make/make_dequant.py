#!/usr/bin/env python3
"""Write dequant.gguf: for each weight type T random blocks `t.raw`, stored as T, and `t.f32`, what they mean.

Quants are random bytes. Half-precision scales are finite and cover zero, both signs, subnormals, the smallest and the
largest values; MXFP4 exponents run over both ends of their range. `t.f32` is gguf.quants.dequantize of `t.raw`.

    python3 make_dequant.py [--out FILE]
"""
import argparse
import os

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType as T, GGUFWriter
from gguf.quants import dequantize
from importlib.metadata import version

HERE = os.path.dirname(os.path.abspath(__file__))
ROWS, BLOCKS = 2, 8
# type -> byte offsets of its half-precision scales within a block
TYPES = {
    T.Q4_0: [0], T.Q4_1: [0, 2], T.Q5_0: [0], T.Q5_1: [0, 2], T.Q8_0: [0],
    T.Q2_K: [80, 82], T.Q3_K: [108], T.Q4_K: [0, 2], T.Q5_K: [0, 2], T.Q6_K: [208],
    T.IQ4_NL: [0], T.IQ4_XS: [0], T.MXFP4: [],
    T.IQ1_S: [0], T.IQ1_M: [], T.IQ2_XXS: [0], T.IQ2_XS: [0], T.IQ2_S: [0], T.IQ3_XXS: [0], T.IQ3_S: [0],
    T.TQ1_0: [52], T.TQ2_0: [64],
}
# half-precision bit patterns that every scale field meets: zeros, subnormals, smallest normal, one, largest
HALVES = [0x0000, 0x8000, 0x0001, 0x8001, 0x03FF, 0x83FF, 0x0400, 0x3C00, 0x7BFF, 0xFBFF]
EXPONENTS = [0, 1, 2, 3, 64, 120, 126, 127, 128, 130, 160, 200, 240, 252, 253, 254]


def scales(rng, n):
    """n half-precision values as bits: each special one once, the others of sizes met in models."""
    ordinary = (rng.choice([-1, 1], n) * 2.0 ** rng.uniform(-14, 0, n)).astype(np.float16).view(np.uint16)
    ordinary[rng.permutation(n)[:len(HALVES)]] = HALVES
    return ordinary


def floats(rng, shape):
    """Finite float32 bit patterns of every exponent, with both zeros and subnormals."""
    bits = rng.integers(0, 2**32, shape, dtype=np.uint32)
    bits[(bits & 0x7F800000) == 0x7F800000] ^= 0x40000000
    bits[..., :4] = np.array([0, 0x80000000, 1, 0x807FFFFF], dtype=np.uint32)
    return bits.view(np.float32)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--out", default=os.path.join(os.path.dirname(HERE), "dequant.gguf"))
    a = p.parse_args()
    g = GGUFWriter(a.out, "calmoe-golden")
    g.add_name("calmoe golden: dequantization")
    g.add_string("calmoe.golden.source", f"gguf {version('gguf')}")

    rng = np.random.default_rng(1)
    f32 = floats(rng, (ROWS, 64))
    g.add_tensor("f32.raw", f32)
    g.add_tensor("f32.f32", f32)
    bits = rng.integers(0, 2**16, (ROWS, 256), dtype=np.uint16)
    bits[0, :len(HALVES)] = HALVES
    bits[(bits & 0x7C00) == 0x7C00] ^= 0x4000          # no infinities, no NaNs
    g.add_tensor("f16.raw", bits.view(np.float16))
    g.add_tensor("f16.f32", bits.view(np.float16).astype(np.float32))
    bits = (floats(rng, (ROWS, 256)).view(np.uint32) >> 16).astype(np.uint16)
    bits[0, :4] = [0, 0x8000, 1, 0x807F]
    g.add_tensor("bf16.raw", bits.view(np.uint8), raw_dtype=T.BF16)
    g.add_tensor("bf16.f32", (bits.astype(np.uint32) << 16).view(np.float32))

    for t, offsets in TYPES.items():
        size = GGML_QUANT_SIZES[t][1]
        blocks = rng.integers(0, 256, (ROWS * BLOCKS, size), dtype=np.uint8)
        for o in offsets:
            blocks[:, o:o + 2] = scales(rng, len(blocks))[:, None].view(np.uint8)
        if t == T.MXFP4:
            blocks[:, 0] = rng.permutation(EXPONENTS)
        if t == T.IQ1_M:  # the scale in quarters, the top bits of the last four uint16
            quarters = scales(rng, len(blocks))[:, None] >> np.array([0, 4, 8, 12]) & 15
            blocks[:, 49::2] = blocks[:, 49::2] & 15 | (quarters << 4).astype(np.uint8)
        raw = blocks.reshape(ROWS, BLOCKS * size)
        with np.errstate(over="ignore"):
            want = dequantize(raw, t)
        assert want.dtype == np.float32 and not np.isnan(want).any(), t
        name = t.name.lower()
        g.add_tensor(f"{name}.raw", raw, raw_dtype=t)
        g.add_tensor(f"{name}.f32", want)
        print(f"{name:7s} {want.shape}  |y| <= {np.abs(want).max():.3g}, infinities {np.isinf(want).sum()}, "
              f"subnormals {((want != 0) & (np.abs(want) < 2.0 ** -126)).sum()}, -0 {(np.signbit(want) & (want == 0)).sum()}")
    g.write_header_to_file()
    g.write_kv_data_to_file()
    g.write_tensors_to_file()
    g.close()


if __name__ == "__main__":
    main()
