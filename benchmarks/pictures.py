"""The pictures of docs/performance.md, as SVG: bars of costs, and lines of growth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from math import ceil, floor, log10
from typing import Final

from benchmarks.raw import Figures
from benchmarks.works import IN_FLIGHT, NODES, SIZES

COLORS: Final = {
    "pure": "#c0392b",
    "compiled": "#e59866",
    "official, lean": "#7f8c8d",
    "bare loop": "#bdc3c7",
}
_BAR, _LEFT, _WIDTH = 13, 250, 860

LINES: Final = {"twisted": "#c0392b", "gevent": "#2471a3", "decoding": "#7f8c8d"}
_PANEL_WIDTH, _PANEL_HEIGHT, _GAP = 330, 200, 90
_BASE: Final = "growth/couchloop/pure"

Points = list[tuple[float, float]]


def _svg(width: float, height: float, parts: Sequence[str]) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
        'font-family="sans-serif" font-size="12">'
    )
    back = f'<rect width="{width:.0f}" height="{height:.0f}" fill="white"/>'
    return "\n".join([head, back, *parts, "</svg>"]) + "\n"


def _text(x: float, y: float, text: str, more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}"{more and " " + more}>{escape(text)}</text>'


def draw_costs(rows: Sequence[tuple[str, Mapping[str, float]]]) -> str:
    """Draw CPU per operation as bars, a row of them for each work."""
    longest = max((value for _, row in rows for value in row.values()), default=1.0)
    scale = (_WIDTH - _LEFT - 70) / longest
    title = "Client CPU per operation, microseconds (less is better)"
    parts = [_text(10, 22, title, 'font-size="15"')]
    for index, (name, color) in enumerate(COLORS.items()):
        x = 425 + index * 108
        parts.append(f'<rect x="{x}" y="12" width="12" height="12" fill="{color}"/>')
        parts.append(_text(x + 17, 22, name))
    top = 48
    for label, row in rows:
        parts.append(_text(_LEFT - 8, top + 20, label, 'text-anchor="end"'))
        for line, (who, value) in enumerate(row.items()):
            y = top + line * (_BAR + 1)
            parts.append(
                f'<rect x="{_LEFT}" y="{y}" width="{value * scale:.1f}" height="{_BAR}" '
                f'fill="{COLORS[who]}"/>'
            )
            parts.append(_text(_LEFT + value * scale + 4, y + 11, f"{value:.1f}"))
        top += len(row) * (_BAR + 1) + 12
    return _svg(_WIDTH, top + 10, parts)


def _points(medians: Figures, names: Mapping[int, str]) -> Points:
    found = ((x, medians.get(name, {}).get("cpu_us")) for x, name in names.items())
    return [(x, y) for x, y in found if y is not None]


def draw_growth(medians: Figures) -> str:
    """Draw four panels: nodes, operations in flight, bytes of a document got, and stored."""
    nodes: dict[str, Points] = {}
    flight: dict[str, Points] = {}
    got: dict[str, Points] = {}
    stored: dict[str, Points] = {}
    for loop in ("twisted", "gevent"):
        get = f"{_BASE}/{loop}/get"
        by_nodes = {n: f"{get}/64" + (f"/{n} nodes" if n > 1 else "") for n in NODES}
        nodes[loop] = _points(medians, by_nodes)
        flight[loop] = _points(medians, {many: f"{get}/{many}" for many in IN_FLIGHT})
        for operation, lines in (("get", got), ("upsert", stored)):
            by_size = {
                size: f"{_BASE}/{loop}/{operation}/{'1' if size > 100_000 else '64'}/{size} bytes"
                for size in SIZES
            }
            lines[loop] = _points(medians, by_size)
    decoded = {size: f"{_BASE}/core/decode/1/{size} bytes" for size in SIZES}
    got["decoding"] = _points(medians, decoded)
    panels = [
        ("get, by nodes", nodes, False),
        ("get, by operations in flight", flight, False),
        ("get, by bytes of the document", got, True),
        ("upsert, by bytes of the document", stored, True),
    ]
    parts = [_text(10, 22, "Client CPU per operation, microseconds", 'font-size="15"')]
    for index, (name, color) in enumerate(LINES.items()):
        x = 425 + index * 108
        parts.append(f'<rect x="{x}" y="12" width="12" height="12" fill="{color}"/>')
        parts.append(_text(x + 17, 22, name))
    for number, (title, lines, is_log) in enumerate(panels):
        left = 70 + number % 2 * (_PANEL_WIDTH + _GAP)
        top = 65 + number // 2 * (_PANEL_HEIGHT + _GAP)
        parts += _panel(left, top, title, lines, is_log=is_log)
    width = 70 + 2 * _PANEL_WIDTH + _GAP + 30
    return _svg(width, 65 + 2 * (_PANEL_HEIGHT + _GAP) - 40, parts)


def _panel(
    left: float, top: float, title: str, lines: Mapping[str, Points], *, is_log: bool
) -> list[str]:
    """Draw one panel: x in powers of ten; y likewise, or from 0 on."""
    parts = [_text(left, top - 12, title, 'font-weight="bold"')]
    every = [point for points in lines.values() for point in points]
    if not every:
        return [*parts, _text(left, top + 20, "not measured")]
    first = floor(log10(min(x for x, _ in every)))
    last = max(first + 1, ceil(log10(max(x for x, _ in every))))
    most = max(y for _, y in every)
    low = floor(log10(min(y for _, y in every))) if is_log else 0
    high = max(low + 1, ceil(log10(most))) if is_log else most * 1.15

    def place(x: float, y: float) -> tuple[float, float]:
        across = (log10(x) - first) / (last - first)
        up = ((log10(y) if is_log else y) - low) / (high - low)
        return left + across * _PANEL_WIDTH, top + (1 - up) * _PANEL_HEIGHT

    bottom = top + _PANEL_HEIGHT
    parts.append(
        f'<rect x="{left}" y="{top}" width="{_PANEL_WIDTH}" height="{_PANEL_HEIGHT}" '
        'fill="none" stroke="#bdc3c7"/>'
    )
    for power in range(first, last + 1):
        x, _ = place(10.0**power, 1.0)
        parts.append(_text(x, bottom + 16, _short(10**power), 'text-anchor="middle"'))
    ticks = [10.0**power for power in range(low, ceil(high) + 1)] if is_log else [0.0, most]
    for tick in ticks:
        _, y = place(1.0, tick)
        parts.append(f'<path d="M{left} {y:.1f}h{_PANEL_WIDTH}" stroke="#ecf0f1"/>')
        said = _short(tick) if is_log or not tick else f"{tick:.1f}"
        parts.append(_text(left - 6, y + 4, said, 'text-anchor="end"'))
    for name, points in lines.items():
        placed = [place(x, y) for x, y in points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
        parts.append(
            f'<polyline points="{path}" fill="none" stroke="{LINES[name]}" stroke-width="2"/>'
        )
        parts += [
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{LINES[name]}"/>' for x, y in placed
        ]
    return parts


def _short(value: float) -> str:
    """Return a power of ten as people write it."""
    for unit, name in ((1_000_000, "M"), (1000, "k")):
        if value >= unit:
            return f"{value / unit:.0f} {name}"
    return f"{value:g}"
