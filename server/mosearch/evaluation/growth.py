"""How figures grow with size: one small plot for each, both axes logarithmic, as one SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

_COLUMNS = 3
_WIDTH, _HEIGHT = 250, 180
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 8, 34, 26
_INSET = 22
_INK, _GREY, _BLUE = "#111827", "#9ca3af", "#2563eb"


@dataclass(frozen=True, slots=True)
class Growth:
    """One figure at several sizes."""

    title: str
    points: Sequence[tuple[float, float]]
    """(size, value), both above zero."""
    power: float
    """The value grows as the size to this power."""


def svg(growths: Sequence[Growth]) -> str:
    """A grid of plots with a line through the points of each, and the power with which it grows."""
    rows = math.ceil(len(growths) / _COLUMNS)
    width, height = _COLUMNS * _WIDTH, rows * _HEIGHT
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        'font-family="sans-serif" font-size="10">',
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
    ]
    for number, growth in enumerate(growths):
        row, column = divmod(number, _COLUMNS)
        parts += [f'<g transform="translate({column * _WIDTH} {row * _HEIGHT})">', *_panel(growth), "</g>"]
    return "\n".join([*parts, "</svg>", ""])


def _panel(growth: Growth) -> list[str]:
    sizes = [math.log10(size) for size, _ in growth.points]
    values = [math.log10(value) for _, value in growth.points]
    low, high = _range(values)
    left, right = min(sizes), max(max(sizes), min(sizes) + 1)

    def place(x: float, y: float) -> tuple[float, float]:
        across = _LEFT + _INSET + (x - left) / (right - left) * (_WIDTH - _LEFT - _RIGHT - 2 * _INSET)
        return across, _HEIGHT - _BOTTOM - (y - low) / (high - low) * (_HEIGHT - _TOP - _BOTTOM)

    parts = [_text(_LEFT, 16, growth.title, "start", 'font-size="12"')]
    for tick in _ticks(low, high):
        _, down = place(left, math.log10(tick))
        parts.append(f'<path d="M{_LEFT} {down:.1f}H{_WIDTH - _RIGHT}" stroke="#e5e7eb"/>')
        parts.append(_text(_LEFT - 5, down + 3, f"{tick:g}", "end"))
    placed = [place(x, y) for x, y in zip(sizes, values, strict=True)]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
    parts.append(f'<polyline points="{path}" fill="none" stroke="{_BLUE}" stroke-width="1.5"/>')
    for (x, y), (size, value) in zip(placed, growth.points, strict=True):
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{_BLUE}"/>')
        parts.append(_text(x, y - 6, _short(value), "middle"))
        parts.append(_text(x, _HEIGHT - _BOTTOM + 14, f"{size:,.0f}", "middle", f'style="fill:{_GREY}"'))
    parts.append(_text(_WIDTH - _RIGHT, 16, f"n^{growth.power:.2f}", "end", f'style="fill:{_GREY}"'))
    return parts


def _range(values: Sequence[float]) -> tuple[float, float]:
    """A decade at least, so that small changes look small."""
    middle, half = (min(values) + max(values)) / 2, (max(values) - min(values)) / 2
    return middle - max(0.5, 1.15 * half), middle + max(0.5, 1.15 * half)


def _ticks(low: float, high: float) -> list[float]:
    steps = (1, 2, 5) if high - low < 2 else (1,)
    decades = range(math.floor(low), math.ceil(high) + 1)
    found = [step * 10.0**decade for decade in decades for step in steps]
    return [tick for tick in found if low <= math.log10(tick) <= high]


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _text(x: float, y: float, text: str, anchor: str, more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{_INK}" {more}>{escape(text)}</text>'
