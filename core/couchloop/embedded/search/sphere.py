"""Lines on a ball: places as vectors, the shortest ways between them, and what they enclose."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple, TypeAlias

from couchloop.embedded.search.geo import Point

NEAR: Final = 1e-9
"""Angle in radians within which two places are the same: some millimetres on the earth."""
_THROUGH: Final = 1e-9
"""Cosine below which a place is too far from the middle to be drawn on a flat map."""


class Vector(NamedTuple):
    """A place as a vector of length 1."""

    x: float
    y: float
    z: float


Arc: TypeAlias = tuple[Vector, Vector]
"""The shortest way from one place to another."""


def vector(point: Point) -> Vector:
    """Return a place as a vector."""
    lon, lat = math.radians(point.lon), math.radians(point.lat)
    return Vector(math.cos(lat) * math.cos(lon), math.cos(lat) * math.sin(lon), math.sin(lat))


def _dot(one: Sequence[float], other: Sequence[float]) -> float:
    return one[0] * other[0] + one[1] * other[1] + one[2] * other[2]


def _cross(one: Sequence[float], other: Sequence[float]) -> tuple[float, float, float]:
    return (
        one[1] * other[2] - one[2] * other[1],
        one[2] * other[0] - one[0] * other[2],
        one[0] * other[1] - one[1] * other[0],
    )


def _unit(one: Sequence[float]) -> Vector | None:
    size = math.sqrt(_dot(one, one))
    return Vector(one[0] / size, one[1] / size, one[2] / size) if size > NEAR else None


def angle(one: Vector, other: Vector) -> float:
    """Return how far two places are from each other, in radians."""
    across = _cross(one, other)
    return math.atan2(math.sqrt(_dot(across, across)), _dot(one, other))


def middle(arc: Arc) -> Vector:
    """Return the place half way."""
    one, other = arc
    return _unit((one.x + other.x, one.y + other.y, one.z + other.z)) or one


def gap(place: Vector, arc: Arc) -> float:
    """Return how far a place is from a way, in radians."""
    one, other = arc
    pole = _unit(_cross(one, other))
    if pole is not None:
        # The nearest place of the whole circle is on the way if it is in front of both ends.
        side = _cross(pole, place)
        if _dot(side, one) <= 0 <= _dot(side, other):
            return abs(math.asin(max(-1.0, min(1.0, _dot(pole, place)))))
    return min(angle(place, one), angle(place, other))


def crosses(one: Arc, other: Arc) -> bool:
    """Whether two ways go through each other; one that only touches does not."""
    (a, b), (c, d) = one, other
    first = _cross(a, b)
    left, right = -_dot(first, c), _dot(first, d)
    if left * right <= 0:
        return False
    second = _cross(c, d)
    return left * -_dot(second, b) > 0 and left * _dot(second, a) > 0


class Ring:
    """A closed line, and what is within; seen from its middle, where shortest ways are straight.

    Args:
        corners: of it, at least three, each once.

    Raises ValueError if it has no middle from which all of it can be seen.
    """

    def __init__(self, corners: Sequence[Vector]) -> None:
        total = [sum(axis) for axis in zip(*corners, strict=True)]
        centre = _unit(total)
        if centre is None or any(_dot(centre, each) <= _THROUGH for each in corners):
            raise ValueError("a polygon is larger than half of the earth")
        self._centre = centre
        aside: Sequence[float] = (0.0, 0.0, 1.0) if abs(centre.z) < 0.9 else (1.0, 0.0, 0.0)
        self._east = _unit(_cross(aside, centre)) or centre
        self._north = _cross(centre, self._east)
        self._flat = [self._seen(each) for each in corners]
        self.arcs: list[Arc] = list(zip(corners, [*corners[1:], corners[0]], strict=True))

    def _seen(self, place: Vector) -> tuple[float, float]:
        depth = _dot(self._centre, place)
        return _dot(self._east, place) / depth, _dot(self._north, place) / depth

    @property
    def is_clockwise(self) -> bool:
        """Whether its corners go round to the right."""
        flat = self._flat
        pairs = zip(flat, [*flat[1:], flat[0]], strict=True)
        return sum(x * other_y - other_x * y for (x, y), (other_x, other_y) in pairs) < 0

    def has(self, place: Vector) -> bool:
        """Whether a place is within; of one on the line itself either may be said."""
        if _dot(self._centre, place) <= _THROUGH:
            return False
        x, y = self._seen(place)
        inside = False
        last_x, last_y = self._flat[-1]
        for corner_x, corner_y in self._flat:
            if (corner_y > y) != (last_y > y):
                share = (y - corner_y) / (last_y - corner_y)
                if x < corner_x + share * (last_x - corner_x):
                    inside = not inside
            last_x, last_y = corner_x, corner_y
        return inside
