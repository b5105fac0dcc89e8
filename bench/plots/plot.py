#!/usr/bin/env python3
"""bench/plots/plot.py - a curve of tokens/s as SVG, from what calmoe-bench writes with -o json.

    calmoe-bench -m MODEL -p 0 -n 32 -b 1,2,4,8,16 -o json > batch.json
    bench/plots/plot.py batch batch.json -o batch.svg

Points are medians with the range of the repetitions. The dashed line is what the streaming read of the same run would
allow for the bytes that these steps read, so a point's height as a share of it is its share of the limit.
"""
import argparse
import html
import json
import math
import sys

AXES = {  # name: (what stands under the axis, where a row of JSON has it)
    "depth": ("positions in the context", lambda row: row["depth"]),
    "batch": ("sessions that generate together", lambda row: row["batch"]),
    "experts": ("experts of a token", lambda row: round(row["experts_touched"])),
    "threads": ("threads", lambda row: row["threads"]),
}
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 560, 320, 64, 16, 44, 48


def points_of(rows, axis):
    """(x, median, least, most, what the read allows) of each row, by x."""
    found = []
    for row in rows:
        rate, share = row["tokens_per_s"], row.get("bandwidth_share")
        found.append((AXES[axis][1](row), rate["median"], rate["min"], rate["max"],
                      rate["median"] / share if share else None))
    return sorted(found, key=lambda point: point[0])


def round_step(most):
    """A step of 1, 2 or 5 times a power of ten with which an axis to `most` has at most six marks."""
    power = 10 ** math.floor(math.log10(most / 5))
    return next(power * factor for factor in (1, 2, 5, 10) if most / (power * factor) <= 6)


def draw(points, title, label):
    """The SVG's text. x goes by doublings; 0 stands one doubling left of the least x above it."""
    positive = [point[0] for point in points if point[0] > 0] or [1]
    at = lambda x: math.log2(x) if x > 0 else math.log2(min(positive)) - 1
    first, last = at(points[0][0]), at(points[-1][0])
    most = max(max(point[3], point[4] or 0) for point in points)
    step = round_step(most)
    top = step * math.ceil(most / step)
    px = lambda x: LEFT + 20 + (at(x) - first) / max(last - first, 1e-9) * (WIDTH - LEFT - RIGHT - 40)
    py = lambda y: HEIGHT - BOTTOM - y / top * (HEIGHT - TOP - BOTTOM)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" '
           'font-family="sans-serif" font-size="12">',
           f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
           f'<text x="{LEFT}" y="20" font-size="13" font-weight="bold">{html.escape(title)}</text>',
           f'<text x="{LEFT}" y="36" fill="#555555">tokens/s in all</text>']
    y = 0
    while y <= top * 1.0001:
        out.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{py(y):.1f}" y2="{py(y):.1f}" stroke="#dddddd"/>'
                   f'<text x="{LEFT - 8}" y="{py(y) + 4:.1f}" text-anchor="end">{y:g}</text>')
        y += step
    for x, *_ in points:
        out.append(f'<text x="{px(x):.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{x:,}</text>')
    out.append(f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 10}" text-anchor="end" fill="#555555">{label}</text>')
    limits = [f"{px(x):.1f},{py(limit):.1f}" for x, _, _, _, limit in points if limit]
    medians = [f"{px(x):.1f},{py(median):.1f}" for x, median, *_ in points]
    out.append(f'<polyline points="{" ".join(limits)}" fill="none" stroke="#999999" stroke-dasharray="5 4"/>')
    out.append(f'<polyline points="{" ".join(medians)}" fill="none" stroke="#1f5fa8" stroke-width="2"/>')
    for x, median, least, greatest, _ in points:
        out.append(f'<line x1="{px(x):.1f}" x2="{px(x):.1f}" y1="{py(least):.1f}" y2="{py(greatest):.1f}" '
                   'stroke="#1f5fa8" stroke-width="2"/>'
                   f'<circle cx="{px(x):.1f}" cy="{py(median):.1f}" r="3.5" fill="#1f5fa8"/>')
    out.append(f'<text x="{WIDTH - RIGHT}" y="36" text-anchor="end" fill="#555555">- - what the streaming read allows</text>')
    return "\n".join(out + ["</svg>\n"])


def main():
    parser = argparse.ArgumentParser(description="A curve of tokens/s as SVG, from calmoe-bench -o json.")
    parser.add_argument("axis", choices=AXES)
    parser.add_argument("files", nargs="+", metavar="FILE.json")
    parser.add_argument("-o", "--output", required=True, metavar="FILE.svg")
    parser.add_argument("--title", help="default: model, type and processor")
    options = parser.parse_args()
    rows = []
    for name in options.files:
        with open(name, encoding="utf-8") as file:
            rows += [row for row in json.load(file) if row["test"].startswith("tg")]
    if not rows:
        sys.exit("plot.py: no test of generation (tgN) in these files")
    title = options.title or f'{rows[0]["model"]}, {rows[0]["type"]}, {rows[0]["machine"]["cpu"]}'
    with open(options.output, "w", encoding="utf-8") as file:
        file.write(draw(points_of(rows, options.axis), title, AXES[options.axis][0]))


if __name__ == "__main__":
    main()
