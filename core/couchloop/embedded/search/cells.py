"""Cells of the earth, by which points are found: the squares of S2, as terms.

The sphere is a cube of six faces; each is divided into four again and again, along a curve.
"""

from __future__ import annotations

import math
from typing import Final

from couchloop.embedded.search.geo import Point

_LEVELS: Final = range(4, 17, 2)
"""Of the cells that are indexed."""
_DEPTH: Final = 30
_SWAP, _INVERT = 1, 2
_POSITIONS: Final = ((0, 1, 3, 2), (0, 3, 1, 2), (2, 3, 1, 0), (2, 1, 3, 0))
"""Of the four parts on the curve, by the curve's direction."""
_TURNS: Final = (_SWAP, 0, 0, _INVERT | _SWAP)


def _vector(point: Point) -> tuple[float, float, float]:
    lat, lon = math.radians(point.lat), math.radians(point.lon)
    return math.cos(lon) * math.cos(lat), math.sin(lon) * math.cos(lat), math.sin(lat)


def _on_face(x: float, y: float, z: float) -> tuple[int, float, float]:
    """Return which face a vector goes through, and where."""
    axis = max(range(3), key=lambda index: abs((x, y, z)[index]))
    face = axis if (x, y, z)[axis] >= 0 else axis + 3
    match face:
        case 0:
            return face, y / x, z / x
        case 1:
            return face, -x / y, z / y
        case 2:
            return face, -x / z, -y / z
        case 3:
            return face, z / x, y / x
        case 4:
            return face, z / y, -x / y
        case _:
            return face, -y / z, -x / z


def _column(part: float) -> int:
    """Return in which column of the finest cells a part of a face is."""
    share = 0.5 * math.sqrt(1 + 3 * abs(part))
    share = share if part >= 0 else 1 - share
    return max(0, min(int(share * (1 << _DEPTH)), (1 << _DEPTH) - 1))


def cell(point: Point) -> int:
    """Return the finest cell of a point."""
    face, u, v = _on_face(*_vector(point))
    columns, rows = _column(u), _column(v)
    number, direction = face, face & _SWAP
    for bit in reversed(range(_DEPTH)):
        part = (columns >> bit & 1) << 1 | rows >> bit & 1
        position = _POSITIONS[direction][part]
        number = number << 2 | position
        direction ^= _TURNS[position]
    return number << 1 | 1


def terms(point: Point) -> list[str]:
    """Return the terms of the cells that a point is in."""
    finest, found = cell(point), []
    for level in _LEVELS:
        mark = 1 << 2 * (_DEPTH - level)
        found.append(f"{finest & -mark | mark:016x}".rstrip("0"))
    return found
