"""The benchmark's table and picture."""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import escape
from itertools import product
from pathlib import Path
from typing import Final

Figures = Mapping[str, Mapping[str, float]]

PEERS: Final = {
    ("twisted", "1"): "twisted",
    ("twisted", "64"): "twisted",
    ("twisted", "batch"): "sync",
    ("twisted", "batch-frozen"): "sync",
    ("gevent", "1"): "sync",
    ("gevent", "64"): "sync",
    ("gevent", "batch"): "sync",
    ("gevent", "batch-frozen"): "sync",
}
"""Which API of the official SDK a measurement stands beside."""

QUERIES: Final = {
    "rows/stream": "rows of a query, 200 bytes each",
    "select/1": "a query of one document, one at a time",
}
"""What is measured of queries."""

SHAPES: Final = {
    "1": "one at a time",
    "64": "64 in flight",
    "batch": "batches of 1000, a key",
    "batch-frozen": "the same after gc.freeze()",
}


def _rows(medians: Figures) -> list[tuple[str, float, float | None, float | None, float | None]]:
    """Return (label, ours, bare, official lean, official default), CPU in microseconds."""

    def cpu(name: str) -> float | None:
        return medians[name]["cpu_us"] if name in medians else None

    rows = []
    for operation in ("get", "upsert"):
        for (loop, shape), peer in PEERS.items():
            ours = cpu(f"couchloop/{loop}/{operation}/{shape}")
            if ours is None:
                continue
            rows.append(
                (
                    f"{loop}: {operation}, {SHAPES[shape]}",
                    ours,
                    cpu(f"bare/{loop}/{operation}/{shape}"),
                    cpu(f"official/lean/{peer}/{operation}/{shape}"),
                    cpu(f"official/default/{peer}/{operation}/{shape}"),
                )
            )
    return rows


def table(medians: Figures) -> str:
    """Write the medians as a Markdown table."""
    lines = [
        (
            "| work | couchloop | bare loop | official, lean | official, default | "
            "of lean | of default | p50 / p99 / p99.9 |"
        ),
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]

    def cpu(name: str) -> float | None:
        return medians[name]["cpu_us"] if name in medians else None

    def figure(value: float | None) -> str:
        return "" if value is None else f"{value:.1f}"

    def ratio(ours: float, theirs: float | None) -> str:
        return "" if not theirs else f"1/{theirs / ours:.1f}"

    for label, ours, bare, lean, default in _rows(medians):
        loop, operation = label.replace(",", "").split(": ")[0], label.split(": ")[1].split(",")[0]
        shape = next(key for key, text in SHAPES.items() if label.endswith(text))
        mine = medians[f"couchloop/{loop}/{operation}/{shape}"]
        latency = ""
        if "p50_us" in mine:
            latency = f"{mine['p50_us']:.0f} / {mine['p99_us']:.0f} / {mine['p999_us']:.0f}"
        lines.append(
            f"| {label} | {ours:.1f} | {figure(bare)} | {figure(lean)} | {figure(default)} | "
            f"{ratio(ours, lean)} | {ratio(ours, default)} | {latency} |"
        )
    if "couchloop/core/decode/1" in medians:
        lines.append(
            f"| decoding the document by itself | "
            f"{medians['couchloop/core/decode/1']['cpu_us']:.1f} | | | | | | |"
        )
    for (loop, peer), (what, said) in product(
        (("twisted", "twisted"), ("gevent", "sync")), QUERIES.items()
    ):
        of_rows = cpu(f"couchloop/{loop}/{what}")
        if of_rows is not None:
            lean = cpu(f"official/lean/{peer}/{what}")
            default = cpu(f"official/default/{peer}/{what}")
            lines.append(
                f"| {loop}: {said} | {of_rows:.2f} | | {figure(lean)} | "
                f"{figure(default)} | {ratio(of_rows, lean)} | {ratio(of_rows, default)} | |"
            )
    for loop in ("twisted", "gevent"):
        idle = medians.get(f"idle/{loop}/bucket/3 nodes")
        if idle is not None:
            lines.append(
                f"| {loop}: memory of an idle Bucket on three nodes, KB | {idle['kb']:.0f} |"
                " | | | | | |"
            )
    return "\n".join(lines)


def save_table(page: Path, text: str) -> None:
    """Put the table between the page's markers."""
    content = page.read_text()
    page.write_text(
        re.sub(
            r"(<!-- table -->\n).*?(\n<!-- /table -->)",
            lambda match: match.group(1) + text + match.group(2),
            content,
            flags=re.DOTALL,
        )
    )


_COLORS: Final = {"couchloop": "#c0392b", "official, lean": "#7f8c8d", "bare loop": "#bdc3c7"}
_ROW, _BAR, _LEFT, _WIDTH = 58, 14, 250, 820


def draw(medians: Figures) -> str:
    """Draw CPU per operation as bars: ours, the official SDK in its fastest setting, the loop."""
    rows = _rows(medians)
    longest = max((value or 0.0 for row in rows for value in (row[1], row[3])), default=1.0)
    scale = (_WIDTH - _LEFT - 70) / longest
    height = 60 + _ROW * len(rows)
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" '
            'font-family="sans-serif" font-size="12">'
        ),
        f'<rect width="{_WIDTH}" height="{height}" fill="white"/>',
        (
            '<text x="10" y="22" font-size="15">Client CPU per operation, microseconds '
            "(less is better)</text>"
        ),
    ]
    for index, (name, color) in enumerate(_COLORS.items()):
        x = 430 + index * 130
        parts.append(f'<rect x="{x}" y="12" width="12" height="12" fill="{color}"/>')
        parts.append(f'<text x="{x + 17}" y="22">{name}</text>')
    for number, (label, ours, bare, lean, _default) in enumerate(rows):
        top = 48 + number * _ROW
        parts.append(
            f'<text x="{_LEFT - 8}" y="{top + 20}" text-anchor="end">{escape(label)}</text>'
        )
        bars = (("couchloop", ours), ("official, lean", lean), ("bare loop", bare))
        for line, (name, value) in enumerate(bars):
            if value is None:
                continue
            y = top + line * (_BAR + 1)
            parts.append(
                f'<rect x="{_LEFT}" y="{y}" width="{value * scale:.1f}" height="{_BAR}" '
                f'fill="{_COLORS[name]}"/>'
                f'<text x="{_LEFT + value * scale + 4:.1f}" y="{y + 11}">{value:.1f}</text>'
            )
    parts.append("</svg>")
    return "\n".join(parts) + "\n"
