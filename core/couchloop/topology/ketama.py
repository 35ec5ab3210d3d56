"""Ketama: keys are spread over nodes by hashes alone, without a map of vbuckets (RFC 0026).

Each node has 160 points on a circle of 2**32; a key belongs to the node of the first point at or
after the key's own hash. So a node that comes or goes moves the keys around its points, no others.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from hashlib import md5
from struct import Struct
from typing import Final

KETAMA: Final = "ketama"
"""As configurations call it (`nodeLocator`)."""
_ROUNDS: Final = 40
_POINTS: Final = Struct("<4I")
"""Points of one digest."""
_HASH: Final = Struct("<I")


def circle(nodes: Iterable[tuple[int, str]]) -> tuple[array[int], array[int]]:
    """Return the points of all nodes, in order, and the node of each.

    Args:
        nodes: of each its index, and its "host:port": all clients must call it alike.

    """
    owners: dict[int, int] = {}
    for index, name in nodes:
        for number in range(_ROUNDS):
            digest = md5(f"{name}-{number}".encode(), usedforsecurity=False).digest()
            owners.update(dict.fromkeys(_POINTS.unpack(digest), index))
    points = sorted(owners)
    return array("L", points), array("h", [owners[point] for point in points])


def point_of(key: bytes, points: Sequence[int]) -> int:
    """Return which of *points* is that of *key*, by its index; there is at least one."""
    (hashed,) = _HASH.unpack_from(md5(key, usedforsecurity=False).digest())
    index = bisect_left(points, hashed)
    return index if index < len(points) else 0
