"""Shapes on the earth: what is taken for one, and how two of them lie to each other.

They are those of GeoJSON, and circles and boxes. Sides are the shortest ways between corners, as
for a server; the sides of a box go along parallels.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from couchloop.embedded.search.errors import SearchError
from couchloop.embedded.search.geo import Point, parse_distance
from couchloop.embedded.search.sphere import (
    NEAR,
    Arc,
    Ring,
    Vector,
    angle,
    crosses,
    gap,
    middle,
    vector,
)

_RADIUS: Final = 6_378_137.0
"""Of the earth, in metres."""
_STEP: Final = 0.25
"""Degrees after which a side along a parallel bends: it is some metres off in between."""
_HALF: Final = 180.0
_DEEPEST: Final = 20
"""Collections within collections."""


class ShapeError(ValueError):
    """A value stands for no shape; the text says why."""


class Part(ABC):
    """A shape that is one."""

    corners: Sequence[Vector] = ()
    sides: Sequence[Arc] = ()

    def halves(self) -> Iterator[Vector]:
        """Yield the middle of each of its sides."""
        return map(middle, self.sides)

    @abstractmethod
    def has(self, place: Vector) -> bool:
        """Whether a place is in it, or on its border."""

    def gap(self, place: Vector) -> float:
        """Return how far a place is from it, in radians: 0 within."""
        if self.has(place):
            return 0.0
        return self.edge(place)

    def edge(self, place: Vector) -> float:
        """Return how far a place is from its border, in radians."""
        if self.sides:
            return min(gap(place, side) for side in self.sides)
        return min((angle(place, corner) for corner in self.corners), default=math.inf)

    def meets(self, other: Part) -> bool:
        """Whether both have some place in common."""
        if isinstance(other, _Circle):
            return other.meets(self)
        return (
            any(map(other.has, self.corners))
            or any(map(self.has, other.corners))
            or any(crosses(one, side) for one in self.sides for side in other.sides)
        )

    def holds(self, other: Part) -> bool:
        """Whether all of another is in it."""
        if isinstance(other, _Circle):
            return self.has(other.centre) and self.edge(other.centre) >= other.radius - NEAR
        return (
            all(map(self.has, other.corners))
            and all(map(self.has, other.halves()))
            and not any(crosses(one, side) for one in self.sides for side in other.sides)
            and not any(other.surrounds(corner) for corner in self.corners)
        )

    def surrounds(self, place: Vector) -> bool:
        """Whether a place is in it, and not on its border."""
        return self.has(place) and self.edge(place) > NEAR


class _Line(Part):
    """Places, one after the other; a single one is a point."""

    def __init__(self, corners: Sequence[Vector]) -> None:
        self.corners = corners
        self.sides = list(pairwise(corners))

    def has(self, place: Vector) -> bool:
        return self.edge(place) <= NEAR


class _Polygon(Part):
    """What is to the left of closed lines: within the first, and not in a hole."""

    def __init__(self, rings: Sequence[Ring]) -> None:
        self._rings = rings
        # One that is gone round to the right is all the rest of the earth.
        self._inverse = rings[0].is_clockwise
        self.sides = [arc for ring in rings for arc in ring.arcs]
        self.corners = [arc[0] for arc in self.sides]

    def has(self, place: Vector) -> bool:
        within = sum(ring.has(place) for ring in self._rings) % 2 == 1
        return within != self._inverse or self.edge(place) <= NEAR


class _Box(Part):
    """What is between two parallels and two meridians."""

    def __init__(self, one: Point, other: Point) -> None:
        self.south, self.north = sorted((one.lat, other.lat))
        west, east = sorted((one.lon, other.lon))
        if east - west > _HALF:
            # The short way round, over the date line.
            west, east = east, west + 2 * _HALF
        self.west, self.width = west, east - west
        steps = max(1, math.ceil(self.width / _STEP))
        lons = [west + self.width * step / steps for step in range(steps + 1)]
        lats = (self.south, (self.south + self.north) / 2, self.north)
        below = [Point(lon, self.south) for lon in lons]
        above = [Point(lon, self.north) for lon in reversed(lons)]
        around = [*below, Point(east, lats[1]), *above, Point(west, lats[1])]
        self.corners = [vector(point) for point in around]
        self.sides = list(zip(self.corners, [*self.corners[1:], self.corners[0]], strict=True))

    def has(self, place: Vector) -> bool:
        lat = math.degrees(math.asin(max(-1.0, min(1.0, place.z))))
        lon = math.degrees(math.atan2(place.y, place.x))
        # A thousandth of a metre: sides bend in between, and corners are rounded.
        slack = 1e-8
        if not self.south - slack <= lat <= self.north + slack:
            return False
        aside = (lon - self.west + slack) % (2 * _HALF) - slack
        return aside <= self.width + slack or abs(lat) >= 90 - slack

    def halves(self) -> Iterator[Vector]:
        # Those of its pieces are off.
        return iter(())

    def meets(self, other: Part) -> bool:
        if not isinstance(other, _Box):
            return super().meets(other)
        if self.south > other.north or other.south > self.north:
            return False
        # One of them begins within the other.
        turn = 2 * _HALF
        return (other.west - self.west) % turn <= self.width or (
            self.west - other.west
        ) % turn <= other.width

    def holds(self, other: Part) -> bool:
        if not isinstance(other, _Box):
            return super().holds(other)
        aside = (other.west - self.west) % (2 * _HALF)
        return (
            self.south <= other.south
            and other.north <= self.north
            and aside + other.width <= self.width
        )


class _Circle(Part):
    """What is around a place."""

    def __init__(self, centre: Vector, radius: float) -> None:
        self.centre, self.radius = centre, radius

    def has(self, place: Vector) -> bool:
        return angle(self.centre, place) <= self.radius + NEAR

    def edge(self, place: Vector) -> float:
        return abs(angle(self.centre, place) - self.radius)

    def meets(self, other: Part) -> bool:
        return other.gap(self.centre) <= self.radius + NEAR

    def gap(self, place: Vector) -> float:
        return max(0.0, angle(self.centre, place) - self.radius)

    def holds(self, other: Part) -> bool:
        if isinstance(other, _Circle):
            return angle(self.centre, other.centre) + other.radius <= self.radius + NEAR
        return all(map(self.has, other.corners))


@dataclass(frozen=True, slots=True)
class Shape:
    """A shape, of one part or of several."""

    parts: Sequence[Part]
    shown: Mapping[str, Any]
    """It as JSON."""

    @property
    def size(self) -> int:
        """How many corners and sides are looked at."""
        return sum(1 + len(part.sides) for part in self.parts)

    def meets(self, other: Shape) -> bool:
        """Whether both have some place in common."""
        return any(one.meets(part) for one in self.parts for part in other.parts)

    def holds(self, other: Shape) -> bool:
        """Whether each part of another is within one of its own."""
        return all(any(one.holds(part) for one in self.parts) for part in other.parts)


NOWHERE: Final = Shape((), {})

RELATIONS: Final[Mapping[str, Callable[[Shape, Shape], bool]]] = {
    "intersects": lambda asked, stored: asked.meets(stored),
    "contains": lambda asked, stored: stored.holds(asked),
    "within": lambda asked, stored: asked.holds(stored),
}
"""By name: how a shape that is asked for, and a document's, may lie to each other."""


def parse_shape(value: object) -> Shape:
    """Return the shape that JSON stands for. Raises ShapeError."""
    parts = list(_parts(value, 0))
    names = ("type", "coordinates", "radius", "geometries")
    given = value if isinstance(value, Mapping) else {}
    return Shape(parts, {name: given[name] for name in names if name in given})


def _parts(value: object, depth: int) -> Iterator[Part]:
    if not isinstance(value, Mapping) or not isinstance(value.get("type", ""), str):
        raise ShapeError("a shape is an object with a type")
    kind = value.get("type", "").lower()
    if kind == "geometrycollection":
        if depth >= _DEEPEST:
            raise ShapeError("exceeded max depth of collections within collections")
        for each in _list(value.get("geometries")):
            yield from _parts(each, depth + 1)
        return
    read = _KINDS.get(kind)
    if read is None:
        raise ShapeError(f"unknown shape type: {kind}")
    yield from read(value)


def _list(value: object, least: int = 1) -> Sequence[object]:
    if not isinstance(value, list) or len(value) < least:
        raise ShapeError("invalid coordinates of a shape")
    return value


def _point(value: object) -> Point:
    lon, lat, *_ = _list(value, 2)
    for each in (lon, lat):
        if isinstance(each, bool) or not isinstance(each, (int, float)) or abs(each) > 1e6:
            raise ShapeError("invalid coordinates of a shape")
    return Point(float(lon), float(lat))  # type: ignore[arg-type] # checked above


def _vector(value: object) -> Vector:
    return vector(_point(value))


def _line(value: object) -> Part:
    return _Line([_vector(each) for each in _list(value)])


def _ring(value: object) -> Ring:
    corners = [_vector(each) for each in _list(value, 3)]
    # Some are given twice: the first is the last, too.
    corners = [
        each
        for each, last in zip(corners, [corners[-1], *corners], strict=False)
        if angle(each, last) > NEAR
    ]
    if len(corners) < 3:
        raise ShapeError("invalid coordinates of a shape")
    try:
        return Ring(corners)
    except ValueError as error:
        raise ShapeError(f"{error}, which the embedded search service does not know") from None


def _polygon(value: object) -> Part:
    return _Polygon([_ring(each) for each in _list(value)])


def _box(given: Mapping[str, Any]) -> Iterator[Part]:
    corners = _list(given.get("coordinates"), 2)
    yield _Box(_point(corners[0]), _point(corners[1]))


def _circle(given: Mapping[str, Any]) -> Iterator[Part]:
    radius = given.get("radius")
    if not isinstance(radius, str):
        raise ShapeError("the radius of a circle is a text")
    try:
        metres = parse_distance(radius)
    except SearchError as error:
        raise ShapeError(str(error)) from None
    if not 0 <= metres < math.inf:
        raise ShapeError(f"the radius of a circle is not between 0 and the earth's: {radius}")
    yield _Circle(_vector(given.get("coordinates")), min(math.pi, metres / _RADIUS))


def _single(read: Callable[[object], Part]) -> Callable[[Mapping[str, Any]], Iterator[Part]]:
    return lambda given: iter((read(given.get("coordinates")),))


def _several(read: Callable[[object], Part]) -> Callable[[Mapping[str, Any]], Iterator[Part]]:
    return lambda given: map(read, _list(given.get("coordinates")))


def _dot(value: object) -> Part:
    return _Line([_vector(value)])


_KINDS: Final[Mapping[str, Callable[[Mapping[str, Any]], Iterator[Part]]]] = {
    "point": _single(_dot),
    "multipoint": _several(_dot),
    "linestring": _single(_line),
    "multilinestring": _several(_line),
    "polygon": _single(_polygon),
    "multipolygon": _several(_polygon),
    "envelope": _box,
    "circle": _circle,
}
