"""The benchmark's tables, and where they stand in docs/performance.md."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from benchmarks.marks import marks_table
from benchmarks.pictures import draw_costs, draw_growth
from benchmarks.raw import Figures
from benchmarks.works import IN_FLIGHT, LOADS, LOOPS, NODES, PEERS, SIZES, TURNS, TWINS

GUARD: Final = Path(__file__).resolve().parent.parent / "tools" / "guard.json"
NONE: Final = "n/a"
"""What was not measured, or failed."""

SHAPES: Final = {
    "64": "64 in flight",
    "1": "one at a time",
    "batch": "batches of 1000, a key",
    "batch/frozen": "the same after gc.freeze()",
    "batch/no collector": "the same with gc_while_decoding=off",
    "64/uncompressed": "64 in flight, compression=off",
}
QUERIES: Final = {
    "rows/stream": "rows of a query, 200 bytes each",
    "select/1": "a query of one document, one at a time",
}


def write(medians: Figures, folder: Path | None) -> list[str]:
    """Return all tables that there is anything for; put them into the page in *folder*, if any."""
    made = {
        "costs": costs_table(medians),
        "marks": marks_table(medians),
        "growth": growth_table(medians),
        "turns": turns_table(medians),
        "latency": latency_table(medians),
        "compression": compression_table(medians),
        "instructions": instructions_table(medians),
    }
    texts = {name: "\n".join(lines) for name, lines in made.items() if len(lines) > _HEAD}
    if folder is not None:
        page = folder / "performance.md"
        content = page.read_text(encoding="utf-8")
        for name, text in texts.items():
            content = placed(content, name, text)
        page.write_text(content, encoding="utf-8")
        if "costs" in texts:
            (folder / "performance.svg").write_text(draw_costs(bars(medians)), encoding="utf-8")
        if "growth" in texts:
            (folder / "growth.svg").write_text(draw_growth(medians), encoding="utf-8")
    return list(texts.values())


def placed(content: str, name: str, text: str) -> str:
    """Return the page *content* with *text* between the two comments of that name.

    Raises ValueError if it has no such comments.
    """
    pattern = rf"(<!-- {name} -->\n).*?(\n?<!-- /{name} -->)"
    made, count = re.subn(
        pattern, lambda found: f"{found[1]}{text}\n{found[2].strip()}", content, flags=re.DOTALL
    )
    if not count:
        raise ValueError(f"the page has no place for the table {name!r}")
    return made


_HEAD: Final = 2
"""Lines of a table that has no rows."""


def _head(*columns: str) -> list[str]:
    return [_row(columns), _row(["---", *["---:"] * (len(columns) - 1)])]


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _figure(value: float | None) -> str:
    """Return a number with as many digits as say something."""
    if value is None:
        return NONE
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 1 else f"{value:.2g}"


def _ratio(ours: float | None, theirs: float | None) -> str:
    return f"1/{theirs / ours:.1f}" if ours and theirs else NONE


def _of(medians: Figures, name: str, figure: str = "cpu_us") -> float | None:
    return medians.get(name, {}).get(figure)


# Costs


def costs_table(medians: Figures) -> list[str]:
    """Return CPU per operation, of everybody."""
    lines = _head(
        "work",
        "pure",
        "compiled",
        "bare loop",
        "official, lean",
        "official, default",
        "pure, of lean",
        "compiled, of lean",
        "pure, of default",
    )
    for loop in LOOPS:
        for operation in ("get", "upsert"):
            for shape, said in SHAPES.items():
                if shape == "64/uncompressed" and operation == "get":
                    continue
                if shape == "batch/no collector" and operation == "upsert":
                    continue
                lines += _cost(medians, loop, operation, shape, f"{loop}: {operation}, {said}")
        lines += _cost(medians, loop, "typed", "64", f"{loop}: get of three fields, 64 in flight")
    for twin in TWINS:
        decode = _of(medians, f"costs/couchloop/{twin}/core/decode/1")
        if decode is not None:
            lines.append(_row([f"decoding the document, {twin}", _figure(decode), *[""] * 7]))
    for loop, peer in PEERS.items():
        for what, said in QUERIES.items():
            ours = _of(medians, f"queries/couchloop/pure/{loop}/{what}")
            lean = _of(medians, f"queries/official/lean/{peer}/{what}")
            default = _of(medians, f"queries/official/default/{peer}/{what}")
            if ours is not None:
                cells = [f"{loop}: {said}", _figure(ours), "", "", _figure(lean), _figure(default)]
                lines.append(_row([*cells, _ratio(ours, lean), "", _ratio(ours, default)]))
    for loop in LOOPS:
        idle = _of(medians, f"queries/idle/{loop}/bucket/3 nodes", "kb")
        if idle is not None:
            said = f"{loop}: memory of an idle Bucket on three nodes, KB"
            lines.append(_row([said, _figure(idle), *[""] * 7]))
    return lines


def _peer(loop: str, operation: str, shape: str) -> str:
    """Return the rest of the name of what the official SDK does in place of this."""
    operation = "get" if operation == "typed" else operation
    plain, _, variant = shape.partition("/")
    # Batches are its synchronous client's alone.
    api = "sync" if plain == "batch" else PEERS[loop]
    kept = "/frozen" if variant == "frozen" else ""
    return f"{api}/{operation}/{plain}{kept}"


def _cost(medians: Figures, loop: str, operation: str, shape: str, said: str) -> list[str]:
    ours = {
        twin: _of(medians, f"costs/couchloop/{twin}/{loop}/{operation}/{shape}") for twin in TWINS
    }
    if not any(ours.values()):
        return []
    peer = _peer(loop, operation, shape)
    lean = _of(medians, f"costs/official/lean/{peer}")
    default = _of(medians, f"costs/official/default/{peer}")
    bare = _of(medians, f"costs/bare/{loop}/{operation}/{shape}")
    cells = [
        *(_figure(ours[twin]) for twin in TWINS),
        _figure(bare) if bare else "",
        _figure(lean),
        _figure(default) if default else "",
        *(_ratio(ours[twin], lean) for twin in TWINS),
        _ratio(ours["pure"], default) if default else "",
    ]
    return [_row([said, *cells])]


def bars(medians: Figures) -> list[tuple[str, dict[str, float]]]:
    """Return the rows of the picture of costs: a label, and a bar for each who was measured."""
    rows = []
    for operation in ("get", "upsert"):
        for loop in LOOPS:
            for shape in ("1", "64", "batch"):
                names = {
                    "pure": f"costs/couchloop/pure/{loop}/{operation}/{shape}",
                    "compiled": f"costs/couchloop/compiled/{loop}/{operation}/{shape}",
                    "official, lean": f"costs/official/lean/{_peer(loop, operation, shape)}",
                    "bare loop": f"costs/bare/{loop}/{operation}/{shape}",
                }
                found = {who: _of(medians, name) for who, name in names.items()}
                known = {who: value for who, value in found.items() if value is not None}
                if known:
                    rows.append((f"{loop}: {operation}, {SHAPES[shape]}", known))
    return rows


# Growth, turns, latency


def growth_table(medians: Figures) -> list[str]:
    """Return CPU per get as one thing after the other is made larger."""
    base = "growth/couchloop/pure"
    lines = _head("a get, pure", *LOOPS, "decoding")
    rows: list[tuple[str, str]] = [
        (f"{nodes} node{'s' * (nodes > 1)}", f"get/64/{nodes} nodes" if nodes > 1 else "get/64")
        for nodes in NODES
    ]
    rows += [(f"{many:,} in flight", f"get/{many}") for many in IN_FLIGHT[1:]]
    rows += [
        (f"10,000 {what} wait beside", f"get/64/beside {what}") for what in ("operations", "timers")
    ]
    for said, name in rows:
        found = [_of(medians, f"{base}/{loop}/{name}") for loop in LOOPS]
        if any(found):
            lines.append(_row([said, *map(_figure, found), ""]))
    for operation in ("get", "upsert"):
        for size in SIZES:
            shape = "1" if size > 100_000 else "64"
            names = [f"{base}/{loop}/{operation}/{shape}/{size} bytes" for loop in LOOPS]
            found = [_of(medians, name) for name in names]
            decode = _of(medians, f"{base}/core/decode/1/{size} bytes")
            if any(found):
                cells = [*map(_figure, found), _figure(decode) if operation == "get" else ""]
                lines.append(_row([f"{operation} of {size:,} bytes", *cells]))
    return lines


def turns_table(medians: Figures) -> list[str]:
    """Return the longest turns beside much work."""
    lines = _head(
        "while",
        "loop",
        "longest turn, ms",
        "of that the collector, ms",
        "transcoding of one, ms",
        "turns",
    )
    for said, (keys, size) in TURNS.items():
        for operation in ("get", "upsert"):
            for loop in LOOPS:
                name = f"turns/couchloop/pure/{loop}/{operation}/{keys}/{size} bytes"
                if name in medians:
                    figures = medians[name]
                    parts = ("longest_ms", "collector_ms", "call_ms")
                    cells = [_figure(figures.get(each)) for each in parts]
                    lines.append(
                        _row([f"{operation}: {said}", loop, *cells, f"{figures['turns']:,.0f}"])
                    )
    return lines


def latency_table(medians: Figures) -> list[str]:
    """Return latencies at loads."""
    lines = _head(
        "client", "maximum, per second", *(f"at {load} %: p50 / p99 / p99.9" for load in LOADS)
    )
    for loop, peer in PEERS.items():
        for said, name in (
            (loop, f"latency/couchloop/pure/{loop}/latency/open"),
            (f"official, {peer}, lean", f"latency/official/lean/{peer}/latency/open"),
        ):
            figures = medians.get(name)
            if figures is None:
                continue
            cells = [
                " / ".join(
                    _figure(figures.get(f"{part}_{load}")) for part in ("p50", "p99", "p999")
                )
                for load in LOADS
            ]
            lines.append(_row([said, _figure(figures["maximum"]), *cells]))
    return lines


# Compression, instructions

_BYTE: Final = 0.008
"""Microseconds that a byte takes at 1 Gbit/s."""


def compression_table(medians: Figures) -> list[str]:
    """Return what Snappy takes and saves."""
    lines = _head(
        "document", "bytes", "to this part", "CPU, µs", "saved at 1 Gbit/s, µs", "pays there"
    )
    figures = medians.get("compression/couchloop/pure/core/compression/1", {})
    for name, ratio in figures.items():
        if name.endswith("/ratio"):
            kind, size, _ = name.split("/")
            cpu = figures[f"{kind}/{size}/cpu_us"]
            saved = max(0.0, 1 - ratio) * int(size) * _BYTE
            cells = [f"{int(size):,}", f"{ratio:.2f}", f"{cpu:.1f}", f"{saved:.1f}"]
            lines.append(_row([kind, *cells, "yes" if saved > cpu else "no"]))
    return lines


def instructions_table(medians: Figures, guard: Path = GUARD) -> list[str]:
    """Return thousands of instructions of an operation: of the core by itself, and of adapters."""
    lines = _head("work", *TWINS, "compiled, of pure")
    if not any(name.startswith("instructions/") for name in medians):
        # What the page has of adapters stays.
        return lines
    rows: list[tuple[str, Sequence[float | None]]] = []
    known: Mapping[str, Mapping[str, Mapping[str, float]]] = json.loads(guard.read_text())
    for key, counts in known.items():
        if not key.startswith("instructions"):
            continue
        for name in counts["pure"]:
            said = f"core: {name.replace('_', ' ')}"
            rows.append((said, [counts.get(twin, {}).get(name) for twin in TWINS]))
        break
    said_of = {"64": "64 in flight", "1": "one at a time", "batch": "batches of 1000, a key"}
    for loop in LOOPS:
        for operation in ("get", "typed", "upsert"):
            for shape, said in said_of.items():
                names = [
                    f"instructions/couchloop/{twin}/{loop}/{operation}/{shape}" for twin in TWINS
                ]
                found = [_of(medians, name, "instructions") for name in names]
                what = "get of three fields" if operation == "typed" else operation
                rows.append((f"{loop}: {what}, {said}", found))
    for said, (pure, compiled) in rows:
        if pure or compiled:
            part = f"{compiled / pure:.2f}" if pure and compiled else NONE
            cells = [NONE if each is None else f"{each / 1000:.1f}" for each in (pure, compiled)]
            lines.append(_row([said, *cells, part]))
    return lines
