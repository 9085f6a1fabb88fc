# SPDX-License-Identifier: Apache-2.0
"""Plots for the benchmarks, as SVG text: bars of ratios, to the left and to the right of 1, and lines over sizes. All scales
are logarithmic: what grows in proportion is a straight line, and what does not is seen to bend.
"""

import math
from html import escape

COLOURS = ["#1f5fa8", "#c4501b", "#3c8a3f", "#7a4fa3", "#9a7d0a", "#777777"]
FONT = 'font-family="sans-serif" font-size="13"'
WIDTH = 860


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _text(x: float, y: float, text: str, more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" {more}>{escape(text)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, more: str = 'stroke="#ddd"') -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" {more}/>'


def _document(height: float, title: str, parts: list[str]) -> str:
    head = (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" width="{WIDTH}" '
            f'height="{height:.0f}" {FONT}>\n<rect width="100%" height="100%" fill="white"/>')
    return "\n".join([head, _text(20, 28, title, 'font-size="17" font-weight="bold"'), *parts, "</svg>", ""])


def _decades(low: float, high: float) -> tuple[int, int]:
    """Exponents of ten that enclose both."""
    first = math.floor(math.log10(low) + 1e-9)
    return first, max(math.ceil(math.log10(high) - 1e-9), first + 1)


def bars(title: str, unit: str, groups: dict[str, dict[str, float | None]]) -> str:
    """A group of bars for each row; a bar for each name that has a value in it."""
    left, top, bar, between = 300, 86, 17, 18
    names = list(dict.fromkeys(name for values in groups.values() for name in values))
    values = [value for group in groups.values() for value in group.values() if value]
    first, last = _decades(min(values + [1]), max(values))

    def at(value: float) -> float:
        return left + (math.log10(value) - first) / (last - first) * (WIDTH - left - 90)

    parts, x = [], 20.0
    for index, name in enumerate(names):
        parts += [f'<rect x="{x:.0f}" y="44" width="12" height="12" fill="{COLOURS[index % len(COLOURS)]}"/>',
                  _text(x + 17, 55, name)]
        x += 34 + 7.6 * len(name)
    y = float(top)
    bodies = []
    for row, group in groups.items():
        shown = [(name, group[name]) for name in names if group.get(name)]
        bodies.append(_text(left - 12, y + bar * len(shown) / 2 + 4, row, 'text-anchor="end"'))
        for name, value in shown:
            colour = COLOURS[names.index(name) % len(COLOURS)]
            begin, end = sorted((at(1), at(value)))
            bodies += [f'<rect x="{begin:.1f}" y="{y:.1f}" width="{max(end - begin, 1):.1f}" height="{bar - 3}" fill="{colour}"/>',
                       _text(end + 5, y + bar - 6, _number(value), 'font-size="11"')]
            y += bar
        y += between
    for exponent in range(first, last + 1):
        parts += [_line(at(10**exponent), top - 8, at(10**exponent), y - between + 4),
                  _text(at(10**exponent), y + 4, _number(10.0**exponent), 'text-anchor="middle" fill="#555"')]
    parts += [*bodies, _line(at(1), top - 8, at(1), y - between + 4, 'stroke="#333"')]
    parts.append(_text(left, y + 24, unit, 'fill="#555"'))
    return _document(y + 40, title, parts)


def lines(title: str, across: str, up: str, series: dict[str, list[tuple[float, float]]]) -> str:
    """A line for each name over (size, cost)."""
    left, top, right, bottom = 90, 70, WIDTH - 240, 400
    points = [point for line in series.values() for point in line if point[1] > 0]
    x0, x1 = _decades(min(x for x, _ in points), max(x for x, _ in points))
    y0, y1 = _decades(min(y for _, y in points), max(y for _, y in points))

    def place(x: float, y: float) -> tuple[float, float]:
        return (left + (math.log10(x) - x0) / (x1 - x0) * (right - left),
                bottom - (math.log10(y) - y0) / (y1 - y0) * (bottom - top))

    parts = []
    for exponent in range(x0, x1 + 1):
        x, _ = place(10.0**exponent, 10.0**y0)
        parts += [_line(x, top, x, bottom), _text(x, bottom + 20, _number(10.0**exponent), 'text-anchor="middle" fill="#555"')]
    for exponent in range(y0, y1 + 1):
        _, y = place(10.0**x0, 10.0**exponent)
        parts += [_line(left, y, right, y), _text(left - 8, y + 4, _number(10.0**exponent), 'text-anchor="end" fill="#555"')]
    labels = []
    for index, (name, line) in enumerate(series.items()):
        colour = COLOURS[index % len(COLOURS)]
        shown = [(*place(x, y), y) for x, y in line if y > 0]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y, _ in shown)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for x, y, value in shown:
            parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>',
                      _text(x, y - 8, _number(value), f'font-size="11" text-anchor="middle" fill="{colour}"')]
        labels.append([shown[-1][1] + 4, name, colour])
    labels.sort()
    for before, label in zip(labels, labels[1:]):
        label[0] = max(label[0], before[0] + 17)
    parts += [_text(right + 14, y, name, f'fill="{colour}"') for y, name, colour in labels]
    parts += [_text((left + right) / 2, bottom + 42, across, 'text-anchor="middle" fill="#555"'), _text(20, top - 18, up, 'fill="#555"')]
    return _document(bottom + 60, title, parts)
