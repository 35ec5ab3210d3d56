"""Queries about places: around a point, in a box, in a polygon, or by shapes."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from couchloop.embedded.search import cells, geo
from couchloop.embedded.search.errors import SearchError
from couchloop.embedded.search.geo import ORIGIN, Point
from couchloop.embedded.search.index import Entry
from couchloop.embedded.search.queries import Simple
from couchloop.embedded.search.searchers import Context, Match, Matches, Searcher
from couchloop.embedded.search.shapes import NOWHERE, RELATIONS, Shape

_METRES_OF_DEGREE: Final = 111_195.0
_CORNERS: Final = 3
_STEPS_OF_SIDES: Final = 5
"""What it takes to compare a side of a shape with one of another."""


class _Around:
    """Finds documents that have a place which is as it should be."""

    weight = 1.0

    def __init__(
        self, context: Context, accepts: Callable[[Entry], bool], match: Match, steps: int
    ) -> None:
        self._context = context
        self._steps = steps
        self._entries = context.shard.entries
        self._accepts = accepts
        self._match = match

    def scale(self, norm: float) -> None:
        """Weigh it against others."""
        self._match = self._match._replace(score=norm)

    def matches(self) -> Matches:
        """Return the documents."""
        self._context.budget.spend(self._steps * len(self._entries))
        return {
            number: self._match for number, each in self._entries.items() if self._accepts(each)
        }


@dataclass(frozen=True, slots=True)
class _PlaceQuery(Simple, ABC):
    """What queries about places have in common."""

    def fields(self) -> Sequence[tuple[str, str]]:
        """Return the field, a place."""
        return [(self.field, "geopoint")] if self.field else []

    def searcher(self, context: Context) -> Searcher:
        """Return what finds it in a partition. Raises SearchError."""
        field = context.field(self.field)
        accepts = self.accepts()

        def has(entry: Entry) -> bool:
            return any(map(accepts, entry.points.get(field, ())))

        # It is looked up as one cell or as several, of which a point is in one.
        border = list(self.border())
        found = {cells.terms(point)[-1] for point in border}
        match = Match(self.boost, partial=len(found) > 1)
        return _Around(context, has, match, 1 + len(border) // _CORNERS)

    @abstractmethod
    def accepts(self) -> Callable[[Point], bool]:
        """Return what tells whether a point is within. Raises SearchError."""

    @abstractmethod
    def border(self) -> Iterator[Point]:
        """Yield some points about how far it goes."""


@dataclass(frozen=True, slots=True)
class GeoDistanceQuery(_PlaceQuery):
    """Places around another."""

    location: Point = ORIGIN
    distance: str = ""

    def accepts(self) -> Callable[[Point], bool]:
        """Return what tells whether a point is within. Raises SearchError."""
        radius = geo.parse_distance(self.distance)
        return lambda point: geo.distance(self.location, point) <= radius

    def border(self) -> Iterator[Point]:
        """Yield the points farthest to the north, the south, and so on."""
        degrees = geo.parse_distance(self.distance) / _METRES_OF_DEGREE
        lon, lat = self.location
        wide = degrees / max(0.01, math.cos(math.radians(max(-89.0, min(89.0, lat)))))
        for step_lon, step_lat in ((0, 0), (wide, 0), (-wide, 0), (0, degrees), (0, -degrees)):
            yield _sane(Point(lon + step_lon, lat + step_lat))


def _sane(point: Point) -> Point:
    """Return a point that is on the earth: queries' need not be."""
    lon = point.lon if abs(point.lon) <= 360 else 180.0
    lat = point.lat if math.isfinite(point.lat) else 90.0
    return Point(lon, max(-90.0, min(90.0, lat)))


@dataclass(frozen=True, slots=True)
class GeoBoxQuery(_PlaceQuery):
    """Places in a box."""

    top_left: Point = ORIGIN
    bottom_right: Point = ORIGIN

    def accepts(self) -> Callable[[Point], bool]:
        """Return what tells whether a point is within."""
        return lambda point: geo.in_box(point, self.top_left, self.bottom_right)

    def border(self) -> Iterator[Point]:
        """Yield two corners."""
        yield _sane(self.top_left)
        yield _sane(self.bottom_right)


@dataclass(frozen=True, slots=True)
class GeoPolygonQuery(_PlaceQuery):
    """Places in a polygon."""

    corners: Sequence[Point] = ()

    def accepts(self) -> Callable[[Point], bool]:
        """Return what tells whether a point is within. Raises SearchError."""
        if len(self.corners) < _CORNERS:
            raise SearchError("Too few points specified for the polygon boundary")
        return lambda point: geo.in_polygon(point, self.corners)

    def border(self) -> Iterator[Point]:
        """Yield the corners."""
        return map(_sane, self.corners)


class _Related:
    """Finds documents with a shape that lies to another as it should."""

    weight = 1.0

    def __init__(self, context: Context, query: GeoShapeQuery) -> None:
        self._context = context
        self._field = context.field(query.field)
        self._shape = query.shape
        self._relates = RELATIONS.get(query.relation)
        # It is looked up by several cells, of which a document need not have all.
        self._match = Match(query.boost, partial=query.shape.size > 1)

    def scale(self, norm: float) -> None:
        """Weigh it against others."""
        self._match = self._match._replace(score=norm)

    def matches(self) -> Matches:
        """Return the documents. Raises SearchError."""
        found = self._context.shard.entries.items()
        return {number: self._match for number, entry in found if self._accepts(entry)}

    def _accepts(self, entry: Entry) -> bool:
        spend, size = self._context.budget.spend, self._shape.size
        spend(1)
        # As for a server, nothing is related in a way that there is none of.
        relates = self._relates
        for each in entry.shapes.get(self._field, ()):
            spend(_STEPS_OF_SIDES * size * each.size)
            if relates is not None and relates(self._shape, each):
                return True
        return False


@dataclass(frozen=True, slots=True)
class GeoShapeQuery(Simple):
    """Shapes that lie to another in some way."""

    shape: Shape = NOWHERE
    relation: str = ""

    def fields(self) -> Sequence[tuple[str, str]]:
        """Return the field, a shape."""
        return [(self.field, "geoshape")] if self.field else []

    def searcher(self, context: Context) -> Searcher:
        """Return what finds it in a partition."""
        return _Related(context, self)
