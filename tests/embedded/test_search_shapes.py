"""Shapes on the earth, and what searches for them find."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from couchloop.embedded.search.budget import Budget
from couchloop.embedded.search.engine import Item, LiveIndex, search
from couchloop.embedded.search.errors import RequestError, SearchError
from couchloop.embedded.search.index import Source
from couchloop.embedded.search.requests import parse_request
from couchloop.embedded.search.shapes import RELATIONS, ShapeError, parse_shape

Json = dict[str, Any]


def point(lon: float, lat: float) -> Json:
    """Return a point."""
    return {"type": "Point", "coordinates": [lon, lat]}


def line(*places: tuple[float, float]) -> Json:
    """Return a line."""
    return {"type": "LineString", "coordinates": [list(each) for each in places]}


def square(west: float, south: float, east: float, north: float, *holes: Json) -> Json:
    """Return a square, gone round to the left; holes are squares."""
    around = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {
        "type": "Polygon",
        "coordinates": [around, *(each["coordinates"][0][::-1] for each in holes)],
    }


def box(west: float, south: float, east: float, north: float) -> Json:
    """Return what is between two parallels and two meridians."""
    return {"type": "Envelope", "coordinates": [[west, north], [east, south]]}


def circle(lon: float, lat: float, radius: str) -> Json:
    """Return a circle."""
    return {"type": "Circle", "coordinates": [lon, lat], "radius": radius}


def several(kind: str, *shapes: Json) -> Json:
    """Return shapes as one."""
    if kind == "GeometryCollection":
        return {"type": kind, "geometries": list(shapes)}
    return {"type": kind, "coordinates": [each["coordinates"] for each in shapes]}


RING = square(0, 0, 10, 10, square(4, 4, 6, 6))
CORNER = square(0, 0, 1, 1)
CORNERS = several("MultiPolygon", CORNER, square(8, 8, 9, 9))

# What is asked for, what is stored, and which relations hold.
CASES: list[tuple[Json, Json, str]] = [
    (point(5, 5), point(5, 5), "intersects contains within"),
    (point(5, 5), point(5, 5.001), ""),
    (point(5, 5), square(0, 0, 10, 10), "intersects contains"),
    (point(0, 0), square(0, 0, 10, 10), "intersects contains"),
    (point(11, 5), square(0, 0, 10, 10), ""),
    (square(0, 0, 10, 10), point(5, 5), "intersects within"),
    (RING, point(5, 5), ""),
    (RING, point(4, 5), "intersects within"),
    (RING, point(2, 5), "intersects within"),
    (RING, square(4.5, 4.5, 5.5, 5.5), ""),
    (RING, square(1, 1, 2, 2), "intersects within"),
    (RING, square(3, 3, 7, 7), "intersects"),
    (RING, circle(5, 5, "10km"), ""),
    (RING, circle(5, 5, "200km"), "intersects"),
    (RING, circle(2, 2, "10km"), "intersects within"),
    (RING, line((5, 5), (2, 5)), "intersects"),
    (RING, line((2, 5), (8, 5)), "intersects"),
    (RING, line((2, 2), (8, 2)), "intersects within"),
    (RING, square(-1, -1, 11, 11), "intersects contains"),
    (RING, square(-1, 4, 11, 6), "intersects"),
    (square(0, 0, 10, 10), square(20, 20, 30, 30), ""),
    (square(0, 0, 10, 10), square(5, 5, 15, 15), "intersects"),
    (square(0, 0, 10, 10), square(10, 0, 20, 10), "intersects"),
    (square(0, 0, 10, 10), square(0, 0, 10, 10), "intersects contains within"),
    (CORNERS, several("MultiPoint", point(0.5, 0.5), point(8.5, 8.5)), "intersects within"),
    (CORNERS, several("MultiPoint", point(0.5, 0.5), point(5, 5)), "intersects"),
    (CORNERS, square(0, 0, 10, 10), "intersects contains"),
    (CORNERS, several("MultiLineString", line((0.2, 0.2), (0.8, 0.8))), "intersects within"),
    (several("GeometryCollection", CORNERS, point(20, 20)), point(20, 20), "intersects within"),
    (line((0, 0), (10, 0)), line((5, -5), (5, 5)), "intersects"),
    (line((0, 0), (10, 0)), line((0, 1), (10, 1)), ""),
    (line((0, 0), (10, 0)), point(5, 0), "intersects within"),
    (line((0, 0), (10, 0)), line((2, 0), (4, 0)), "intersects within"),
    # The shortest way between two places at 60 degrees north goes far to the north of them.
    (line((-45, 60), (45, 60)), point(0, 60), ""),
    (line((-45, 60), (45, 60)), square(-1, 65, 1, 70), "intersects"),
    # The side of a box goes along the parallel.
    (box(-45, 50, 45, 60), point(0, 60), "intersects within"),
    (box(-45, 50, 45, 60), point(0, 61), ""),
    (box(-45, 50, 45, 60), square(-1, 52, 1, 53), "intersects within"),
    (box(170, -10, -170, 10), point(179, 0), "intersects within"),
    (box(170, -10, -170, 10), point(-179, 0), "intersects within"),
    (box(170, -10, -170, 10), point(0, 0), ""),
    (square(170, -10, 190, 10), point(-179, 0), "intersects within"),
    (circle(0, 0, "112km"), point(1, 0), "intersects within"),
    (circle(0, 0, "110km"), point(1, 0), ""),
    (circle(0, 0, "112km"), circle(2, 0, "112km"), "intersects"),
    (circle(0, 0, "110km"), circle(2, 0, "110km"), ""),
    (circle(0, 0, "300km"), circle(1, 0, "100km"), "intersects within"),
    (circle(0, 0, "300km"), square(-1, -1, 1, 1), "intersects within"),
    (circle(0, 0, "300km"), square(-9, -9, 9, 9), "intersects contains"),
    (circle(5, -1, "120km"), square(0, 0, 10, 10), "intersects"),
    (circle(5, 20, "300km"), line((0, 0), (10, 0)), ""),
    (circle(0, 90, "100km"), point(77, 89.5), "intersects within"),
    # One that is gone round to the right is all but that.
    ({"type": "Polygon", "coordinates": [CORNER["coordinates"][0][::-1]]}, point(0.5, 0.5), ""),
    (
        {"type": "Polygon", "coordinates": [CORNER["coordinates"][0][::-1]]},
        point(100, 5),
        "intersects within",
    ),
]


@pytest.mark.parametrize(("asked", "stored", "relations"), CASES)
def test_relations(asked: Json, stored: Json, relations: str) -> None:
    """Shapes meet, hold and are held as they lie; the two sides changed, likewise."""
    one, other = parse_shape(asked), parse_shape(stored)
    held = {name for name, relates in RELATIONS.items() if relates(one, other)}
    assert held == set(relations.split())
    turned = {"contains": "within", "within": "contains"}
    held = {name for name, relates in RELATIONS.items() if relates(other, one)}
    assert held == {turned.get(name, name) for name in relations.split()}


CORNERS_OF_SQUARES = st.tuples(st.integers(-20, 20), st.integers(-20, 20), st.integers(1, 12))
SQUARES = CORNERS_OF_SQUARES.map(lambda at: (at[0], at[1], at[0] + at[2], at[1] + at[2]))


@given(one=SQUARES, other=SQUARES)
def test_squares(one: tuple[int, ...], other: tuple[int, ...]) -> None:
    """Boxes lie to each other as their bounds say."""
    west, south, east, north = one
    far_west, far_south, far_east, far_north = other
    first, second = parse_shape(box(*one)), parse_shape(box(*other))
    meets = west <= far_east and far_west <= east and south <= far_north and far_south <= north
    holds = west <= far_west and far_east <= east and south <= far_south and far_north <= north
    assert first.meets(second) == meets
    assert first.holds(second) == holds


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (None, "a shape is an object with a type"),
        ({"type": 1}, "a shape is an object with a type"),
        ({}, "unknown shape type: "),
        ({"type": "Blob"}, "unknown shape type: blob"),
        ({"type": "point"}, "invalid coordinates of a shape"),
        ({"type": "point", "coordinates": [1]}, "invalid coordinates of a shape"),
        ({"type": "point", "coordinates": [1, True]}, "invalid coordinates of a shape"),
        ({"type": "point", "coordinates": [1, 1e300]}, "invalid coordinates of a shape"),
        ({"type": "linestring", "coordinates": []}, "invalid coordinates of a shape"),
        ({"type": "polygon", "coordinates": [[[0, 0], [1, 1]]]}, "invalid coordinates of a shape"),
        (
            {"type": "polygon", "coordinates": [[[0, 0], [1, 1], [0, 0]]]},
            "invalid coordinates of a shape",
        ),
        (
            {"type": "polygon", "coordinates": [[[-120, 10], [0, -10], [120, 10]]]},
            "a polygon is larger than half of the earth",
        ),
        (circle(0, 0, "far"), 'strconv.ParseFloat: parsing "far": invalid syntax'),
        (circle(0, 0, "-1m"), "the radius of a circle is not between"),
        ({"type": "circle", "coordinates": [0, 0], "radius": 7}, "the radius of a circle is"),
        ({"type": "geometrycollection", "geometries": 7}, "invalid coordinates of a shape"),
    ],
)
def test_mistakes(given: object, words: str) -> None:
    """What is no shape is refused."""
    with pytest.raises(ShapeError, match=f"^{words}".replace("(", "\\(")):
        parse_shape(given)


def test_collections_within_collections() -> None:
    """They are not looked into for ever."""
    value = point(0, 0)
    for _ in range(30):
        value = several("GeometryCollection", value)
    with pytest.raises(ShapeError, match="exceeded max depth"):
        parse_shape(value)


# --- searching -----------------------------------------------------------------------------------

FIELD = {"name": "area", "type": "geoshape", "index": True, "store": True, "include_in_all": True}
MAPPING = {
    "default_mapping": {
        "dynamic": False,
        "properties": {"area": {"dynamic": False, "fields": [FIELD]}},
    },
}


def live(**areas: object) -> LiveIndex:
    """Return an index of documents by their keys."""
    index = LiveIndex({"mapping": MAPPING}, ["one"])
    index.follow(
        Item(key, area, 0, lambda key=key, area=area: Source(key, {"area": area}))  # type: ignore[misc]
        for key, area in areas.items()
    )
    return index


def asking(shape: object, relation: object = "intersects", **more: object) -> Json:
    """Return a search for a shape."""
    geometry = {"shape": shape, "relation": relation}
    return {"query": {"geometry": geometry, "field": "area"}, "fields": ["*"], **more}


def found(request: Json, index: LiveIndex) -> list[str]:
    """Return the keys of what is found."""
    return sorted(hit["id"] for hit in search(parse_request(request), [index])["hits"])


def test_searches() -> None:
    """Documents are found by their shapes; what is no shape is not, and a list is several."""
    index = live(
        inside=square(1, 1, 2, 2),
        around=square(-1, -1, 11, 11),
        aside=point(30, 30),
        both=[point(40, 40), point(5, 5)],
        none={"type": "blob", "coordinates": [5, 5]},
        text="5,5",
    )
    asked = square(0, 0, 10, 10)
    assert found(asking(asked), index) == ["around", "both", "inside"]
    assert found(asking(asked, "within"), index) == ["both", "inside"]
    assert found(asking(asked, "contains"), index) == ["around"]
    assert found(asking(asked, "beside"), index) == []
    everywhere: Json = {"query": {"geometry": {"shape": asked, "relation": "within"}}}
    assert found(everywhere, index) == ["both", "inside"]
    (hit,) = search(parse_request(asking(point(30, 30))), [index])["hits"]
    assert hit["fields"] == {"area": point(30, 30)}


@pytest.mark.parametrize(
    ("geometry", "words"),
    [
        ({"shape": {"type": "blob"}}, "unknown shape type: blob"),
        ({"shape": [1]}, "cannot unmarshal array"),
        ({"shape": point(0, 0), "relation": 7}, "cannot unmarshal number"),
        (7, "cannot unmarshal number"),
    ],
)
def test_mistakes_in_searches(geometry: object, words: str) -> None:
    """A search for what is no shape is refused."""
    with pytest.raises(RequestError, match=words):
        parse_request({"query": {"geometry": geometry}})


def test_too_much() -> None:
    """Shapes of many sides are not compared for ever."""
    many = line(*((at / 100, at % 2) for at in range(1000)))
    request = parse_request(asking(many))
    with pytest.raises(SearchError, match="context deadline exceeded"):
        search(request, [live(a=many)], Budget(steps=1_000_000))
