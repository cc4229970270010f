"""A line plot as SVG, small enough to keep beside the table it draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

_WIDTH, _HEIGHT = 560, 320
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 24, 36, 48
_TICKS = 5
_COLOURS = ("#2563eb", "#b45309", "#15803d", "#7c3aed")


@dataclass(frozen=True, slots=True)
class Point:
    x: float
    y: float
    label: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    name: str
    points: Sequence[Point]


def svg(title: str, x_axis: str, y_axis: str, lines: Sequence[Line]) -> str:
    """Lines through points, in the order given, with ticks on both axes; x begins at 0."""
    points = [point for line in lines for point in line.points]
    right = max(point.x for point in points) * 1.08 or 1.0
    low, high = min(point.y for point in points), max(point.y for point in points)
    margin = (high - low) * 0.25 or 0.01
    low, high = low - margin, high + margin

    def place(x: float, y: float) -> tuple[float, float]:
        across = _LEFT + x / right * (_WIDTH - _LEFT - _RIGHT)
        return across, _HEIGHT - _BOTTOM - (y - low) / (high - low) * (_HEIGHT - _TOP - _BOTTOM)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#ffffff"/>',
        _text(_WIDTH / 2, 20, title, "middle", 'font-size="14"'),
        _text(_WIDTH / 2, _HEIGHT - 8, x_axis, "middle"),
        _text(16, _HEIGHT / 2, y_axis, "middle", f'transform="rotate(-90 16 {_HEIGHT / 2})"'),
    ]
    for tick in range(_TICKS + 1):
        x, y = tick / _TICKS * right, low + tick / _TICKS * (high - low)
        across, _ = place(x, low)
        _, down = place(0, y)
        parts.append(_text(across, _HEIGHT - _BOTTOM + 18, f"{x:.0f}", "middle"))
        parts.append(_text(_LEFT - 8, down + 4, f"{y:.3f}", "end"))
        parts.append(f'<path d="M{_LEFT} {down:.1f}H{_WIDTH - _RIGHT}" stroke="#e5e7eb"/>')
    for colour, line in zip(_COLOURS, lines, strict=False):
        placed = [place(point.x, point.y) for point in line.points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for (x, y), point in zip(placed, line.points, strict=True):
            parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"/>')
            parts.append(_text(x, y - 10, point.label, "middle"))
    return "\n".join([*parts, "</svg>", ""])


def _text(x: float, y: float, text: str, anchor: str, more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="#111827" {more}>{escape(text)}</text>'
