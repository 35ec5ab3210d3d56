"""Points on the earth: what is taken for one, distances, boxes, polygons."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from couchloop.embedded.search.errors import SearchError

_EQUATOR: Final = 6_378_137.0
_POLE: Final = 6_356_752.3142
"""Half an axis of the earth (WGS 84), in metres."""
_BASE_32: Final = "0123456789bcdefghjkmnpqrstuvwxyz"
_LONGEST_HASH: Final = 12
_SCALE_LON: Final = ((1 << 32) - 1) / 360.0
_SCALE_LAT: Final = ((1 << 32) - 1) / 180.0
UNITS: Final = {
    **dict.fromkeys(("in", "inch"), 0.0254),
    **dict.fromkeys(("yd", "yards"), 0.9144),
    **dict.fromkeys(("ft", "feet"), 0.3048),
    **dict.fromkeys(("km", "kilometers"), 1000.0),
    **dict.fromkeys(("nm", "nauticalmiles"), 1852.0),
    **dict.fromkeys(("mm", "millimeters"), 0.001),
    **dict.fromkeys(("cm", "centimeters"), 0.01),
    **dict.fromkeys(("mi", "miles"), 1609.344),
    **dict.fromkeys(("m", "meters"), 1.0),
}
"""Metres of each unit."""
_LONGEST_FIRST: Final = sorted(UNITS, key=len, reverse=True)
_NUMBER: Final = re.compile(
    r"[+-]?(?:\d+(?:_?\d)*\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|[+-]?(?:inf|infinity)|nan",
    re.ASCII | re.IGNORECASE,
)


class Point(NamedTuple):
    """A place; degrees."""

    lon: float
    lat: float


ORIGIN: Final = Point(0.0, 0.0)


def parse_float(text: str) -> float:
    """Return a number. Raises SearchError, with Go's words."""
    if not _NUMBER.fullmatch(text) or "_" in text:
        quoted = text.replace("\\", "\\\\").replace('"', '\\"')
        raise SearchError(f'strconv.ParseFloat: parsing "{quoted}": invalid syntax')
    return float(text)


def parse_distance(text: str) -> float:
    """Return metres. Raises SearchError."""
    for unit in _LONGEST_FIRST:
        if text.endswith(unit):
            return parse_float(text.removesuffix(unit)) * UNITS[unit]
    return parse_float(text)


def parse_point(value: object) -> Point | None:
    """Return the place that a value of a document, or of a query, stands for; None: none."""
    match value:
        case {"lat": lat, "lon": lon} | {"lat": lat, "lng": lon}:
            return _from_numbers(lon, lat)
        case [lon, lat]:
            return _from_numbers(lon, lat)
        case str():
            return _from_text(value)
    return None


def _from_numbers(*degrees: object) -> Point | None:
    found = []
    for each in degrees:
        if isinstance(each, bool) or not isinstance(each, (int, float)):
            return None
        try:
            found.append(float(each))
        except OverflowError:
            return None
    return Point(*found) if all(map(math.isfinite, found)) else None


def _from_text(text: str) -> Point | None:
    if "," in text:
        parts = text.split(",")
        if len(parts) != 2:
            return None
        try:
            lat, lon = (parse_float(part.strip()) for part in parts)
        except SearchError:
            return None
        return _from_numbers(lon, lat)
    if len(text) > _LONGEST_HASH:
        return None
    return _decode_hash(text) if text else Point(0.0, 0.0)


def _decode_hash(text: str) -> Point:
    """Return the middle of a geohash; a sign that is none has all bits, as the service takes it."""
    lons, lats, even = [-180.0, 180.0], [-90.0, 90.0], True
    for character in text:
        index = _BASE_32.find(character)
        bits = index if index >= 0 else 0x1F
        for shift in (4, 3, 2, 1, 0):
            halved = lons if even else lats
            halved[0 if bits >> shift & 1 else 1] = (halved[0] + halved[1]) / 2
            even = not even
    return Point(sum(lons) / 2, sum(lats) / 2)


# --- points as numbers ---------------------------------------------------------------------------


def _spread(number: int) -> int:
    result = 0
    for bit in range(32):
        result |= (number >> bit & 1) << 2 * bit
    return result


def _gather(number: int) -> int:
    result = 0
    for bit in range(32):
        result |= (number >> 2 * bit & 1) << bit
    return result


def _scaled(value: float, scale: float) -> int:
    return max(0, min(int(value * scale), (1 << 32) - 1))


def to_number(point: Point) -> int:
    """Return a point as 64 bits, signed: those of longitude and latitude in turn."""
    lon = _scaled(point.lon + 180.0, _SCALE_LON)
    lat = _scaled(point.lat + 90.0, _SCALE_LAT)
    number = _spread(lon) | _spread(lat) << 1
    return number - (1 << 64) if number >> 63 else number


def rounded(point: Point) -> Point:
    """Return a point as the index keeps it."""
    number = to_number(point)
    lon, lat = _gather(number), _gather(number >> 1)
    return Point(lon / _SCALE_LON - 180.0, lat / _SCALE_LAT - 90.0)


# --- measuring -----------------------------------------------------------------------------------


def distance(one: Point, other: Point) -> float:
    """Return metres, on a sphere that fits the earth half way between the two."""
    lat, other_lat = math.radians(one.lat), math.radians(other.lat)
    lon = math.radians(one.lon) - math.radians(other.lon)
    sine = math.sin((lat - other_lat) / 2) ** 2
    sine += math.cos(lat) * math.cos(other_lat) * math.sin(lon / 2) ** 2
    return 2 * _radius((lat + other_lat) / 2) * math.asin(min(1.0, math.sqrt(max(0.0, sine))))


def _radius(lat: float) -> float:
    """Return how far the middle of the earth is at a latitude in radians."""
    across, along = _EQUATOR * math.cos(lat), _POLE * math.sin(lat)
    far = math.hypot(_EQUATOR * across, _POLE * along)
    return far / math.hypot(across, along)


def in_box(point: Point, top_left: Point, bottom_right: Point) -> bool:
    """Whether a point is in a box, which may go over the date line."""
    if not bottom_right.lat <= point.lat <= top_left.lat:
        return False
    if top_left.lon <= bottom_right.lon:
        return top_left.lon <= point.lon <= bottom_right.lon
    return point.lon >= top_left.lon or point.lon <= bottom_right.lon


def in_polygon(point: Point, corners: Sequence[Point]) -> bool:
    """Whether a point is in a polygon, which closes by itself."""
    inside = False
    last = corners[-1]
    for corner in corners:
        if (corner.lat > point.lat) != (last.lat > point.lat):
            share = (point.lat - corner.lat) / (last.lat - corner.lat)
            if point.lon < corner.lon + share * (last.lon - corner.lon):
                inside = not inside
        last = corner
    return inside
