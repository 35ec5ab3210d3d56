"""What an index makes of a document: which of its values are fields, of which type."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any, Final, NamedTuple

from couchloop.embedded.search import dates
from couchloop.embedded.search.errors import SearchError
from couchloop.embedded.search.geo import parse_point, rounded
from couchloop.embedded.search.shapes import ShapeError, parse_shape
from couchloop.embedded.search.vectors import read_vector

_DEEPEST: Final = 100
"""Objects within objects that are looked into."""
_COLLECTION_MODE: Final = "scope.collection."
ALL: Final = "_all"
"""The field of all fields."""


class Options(NamedTuple):
    """What is done with a field."""

    indexed: bool = True
    store: bool = False
    in_all: bool = True
    docvalues: bool = True
    vectors: bool = True
    """Whether positions are kept."""
    analyzer: str = ""


class Field(NamedTuple):
    """One value of a document."""

    name: str
    kind: str
    """`text`, `number`, `boolean`, `datetime`, `geopoint`, `geoshape`, `IP` or `vector`."""
    value: Any
    places: tuple[int, ...]
    """Index in each array on the way to it."""
    options: Options
    layout: str = ""
    """Of a date: how it was written; of a vector: the metric by which it is compared."""


class _Place(NamedTuple):
    """Where a walk through a document is."""

    path: tuple[str, ...]
    indexes: tuple[int, ...]
    own: Mapping[str, Any] | None
    """The mapping of just this path, if there is one."""
    nearest: Mapping[str, Any]
    """The mapping of the nearest path that has one: whether it is dynamic counts."""
    analyzer: str

    def below(self, name: str) -> _Place:
        """Return the place of a member."""
        properties = None if self.own is None else self.own.get("properties")
        own = properties.get(name) if isinstance(properties, dict) else None
        if not isinstance(own, dict):
            return self._replace(path=(*self.path, name), own=None)
        analyzer = own.get("default_analyzer") or self.analyzer
        return self._replace(path=(*self.path, name), own=own, nearest=own, analyzer=analyzer)

    def within(self, index: int) -> _Place:
        """Return the place of an element."""
        return self._replace(indexes=(*self.indexes, index))


@dataclass(slots=True)
class IndexMapping:
    """A mapping, as a definition has it.

    Args:
        params: of the definition.
    """

    params: Mapping[str, Any]
    _mapping: Mapping[str, Any] = field(init=False)
    _types: Mapping[str, Any] = field(init=False)
    _config: Mapping[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        self._mapping = _object(self.params.get("mapping"))
        self._types = _object(self._mapping.get("types"))
        self._config = _object(self.params.get("doc_config"))

    @property
    def by_collection(self) -> bool:
        """Whether documents are told apart by their collections."""
        return str(self._config.get("mode") or "").startswith(_COLLECTION_MODE)

    @property
    def default_analyzer(self) -> str:
        """Name of the analyzer of what has none of its own."""
        return str(self._mapping.get("default_analyzer") or "standard")

    @property
    def default_field(self) -> str:
        """Name of the field in which is searched where a query names none."""
        return str(self._mapping.get("default_field") or ALL)

    @property
    def analyzers(self) -> Mapping[str, Any]:
        """Analyzers that the index defines itself."""
        return _object(_object(self._mapping.get("analysis")).get("analyzers"))

    @property
    def date_parser(self) -> str:
        """Name of the parser of dates."""
        return str(self._mapping.get("default_datetime_parser") or dates.DEFAULT_PARSER)

    # --- documents ------------------------------------------------------------------------------

    def fields(self, key: str, document: Any, scope: str, collection: str) -> Iterator[Field]:
        """Yield what of a document is indexed.

        Args:
            key: of the document.
            document: as JSON says it.
            scope: name of its scope.
            collection: name of its collection.
        """
        mapping = self._of(key, document, scope, collection)
        if mapping is None or mapping.get("enabled") is False:
            return
        analyzer = str(mapping.get("default_analyzer") or self.default_analyzer)
        yield from self._walk(document, _Place((), (), mapping, mapping, analyzer))

    def _of(self, key: str, document: Any, scope: str, collection: str) -> Mapping[str, Any] | None:
        """Return the mapping of a document's type, None if none is for it."""
        mode = str(self._config.get("mode") or "type_field")
        kind = self._type(mode.removeprefix(_COLLECTION_MODE), key, document)
        default = _object(self._mapping.get("default_mapping"))
        if not mode.startswith(_COLLECTION_MODE):
            found = self._types.get(kind)
            return found if isinstance(found, dict) else default
        where = f"{scope}.{collection}"
        for name in (f"{where}.{kind}", where):
            found = self._types.get(name)
            if isinstance(found, dict):
                return found
        return default if where == "_default._default" else None

    def _type(self, mode: str, key: str, document: Any) -> str:
        if mode == "docid_prefix":
            delimiter = str(self._config.get("docid_prefix_delim") or "")
            return key.partition(delimiter)[0] if delimiter and delimiter in key else ""
        if mode == "docid_regexp" and self._types:
            raise SearchError("docid_regexp is not supported by the embedded search service")
        if mode == "type_field" and isinstance(document, dict):
            kind = document.get(str(self._config.get("type_field") or "type"))
            return kind if isinstance(kind, str) else ""
        return ""

    def _walk(self, value: Any, place: _Place) -> Iterator[Field]:
        if place.own is not None and place.own.get("enabled") is False:
            return
        if len(place.path) + len(place.indexes) > _DEEPEST:
            return
        if isinstance(value, (dict, list)):
            yield from self._whole(value, place)
        if isinstance(value, dict):
            for name, inner in value.items():
                yield from self._walk(inner, place.below(name))
        elif isinstance(value, list):
            for index, inner in enumerate(value):
                yield from self._walk(inner, place.within(index))
        elif value is not None and place.path:
            yield from self._simple(value, place)

    def _whole(self, value: Any, place: _Place) -> Iterator[Field]:
        """Yield an object or an array that is one value: a place, a shape, a vector."""
        for name, given, options in self._described(place):
            made = _value(str(given.get("type") or "text"), value, given)
            if made is not None:
                yield Field(name, made[0], made[1], place.indexes, options, made[2])

    def _simple(self, value: Any, place: _Place) -> Iterator[Field]:
        if place.own is not None:
            for name, given, options in self._described(place):
                made = _value(str(given.get("type") or "text"), value, given)
                if made is not None:
                    yield Field(name, made[0], made[1], place.indexes, options, made[2])
            return
        if place.nearest.get("dynamic") is False:
            return
        made = _guessed(value)
        if made is None:
            return
        mapping = self._mapping
        options = Options(
            indexed=mapping.get("index_dynamic", True) is not False,
            store=mapping.get("store_dynamic", True) is not False,
            docvalues=mapping.get("docvalues_dynamic", True) is not False,
            vectors=made[0] == "text",
            analyzer=place.analyzer,
        )
        yield Field(".".join(place.path), made[0], made[1], place.indexes, options, made[2])

    def _described(self, place: _Place) -> Iterator[tuple[str, Mapping[str, Any], Options]]:
        """Yield name, description and options of each field that is made of a value."""
        given = None if place.own is None else place.own.get("fields")
        for each in given if isinstance(given, list) else ():
            if not isinstance(each, dict):
                continue
            last = str(each.get("name") or place.path[-1]) if place.path else str(each.get("name"))
            options = Options(
                indexed=each.get("index") is True,
                store=each.get("store") is True,
                in_all=each.get("include_in_all") is True,
                docvalues=each.get("docvalues") is True,
                vectors=each.get("include_term_vectors") is True,
                analyzer=str(each.get("analyzer") or place.analyzer),
            )
            yield ".".join((*place.path[:-1], last)), each, options

    # --- queries --------------------------------------------------------------------------------

    def analyzer_of(self, name: str) -> str:
        """Return the name of the analyzer for what is looked up in a field."""
        default = _object(self._mapping.get("default_mapping"))
        for mapping in (*self._types.values(), default):
            found = _analyzer_of(_object(mapping), name.split("."))
            if found:
                return found
        return self.default_analyzer

    def is_indexed(self, name: str, kind: str) -> bool:
        """Whether a field of that name can be of that type."""
        if name in {"", self.default_field}:
            return True
        mappings = [_object(each) for each in self._types.values()]
        mappings.append(_object(self._mapping.get("default_mapping")))
        return any(
            _is_indexed(mapping, name.split("."), kind)
            for mapping in mappings
            if mapping.get("enabled") is not False
        )


def _analyzer_of(mapping: Mapping[str, Any], path: list[str]) -> str:
    """Return the analyzer that a mapping has for a path, empty if it says nothing."""
    default = ""
    for name in path:
        default = str(mapping.get("default_analyzer") or default)
        below = _object(mapping.get("properties")).get(name)
        if not isinstance(below, dict):
            return default
        mapping = below
    fields = mapping.get("fields")
    for each in fields if isinstance(fields, list) else ():
        if isinstance(each, dict) and (each.get("name") or path[-1]) == path[-1]:
            return str(each.get("analyzer") or default)
    return default


def _is_indexed(mapping: Mapping[str, Any], path: list[str], kind: str) -> bool:
    for name in path[:-1]:
        below = _object(mapping.get("properties")).get(name)
        if not isinstance(below, dict):
            return mapping.get("dynamic") is not False
        mapping = below
    for name, below in _object(mapping.get("properties")).items():
        fields = below.get("fields") if isinstance(below, dict) else None
        for each in fields if isinstance(fields, list) else ():
            if (
                isinstance(each, dict)
                and (each.get("name") or name) == path[-1]
                and (each.get("type") or "text") == kind
            ):
                return each.get("index") is True
    return mapping.get("dynamic") is not False


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


_Made = tuple[str, Any, str]
"""Type, value, and of a date the layout."""


def _guessed(value: Any) -> _Made | None:
    """Return what a value is taken for where nothing says it."""
    if isinstance(value, str):
        date = dates.parse(value)
        if date is not None and dates.is_indexable(date.nanoseconds):
            return "datetime", date.nanoseconds, date.layout
        return "text", value, ""
    if isinstance(value, bool):
        return "boolean", value, ""
    return _number(value)


def _number(value: Any) -> _Made | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return ("number", number, "") if math.isfinite(number) else None


def _value(kind: str, value: Any, given: Mapping[str, Any]) -> _Made | None:
    """Return a value as a field of a type, None if it is none: types are strict."""
    match kind:
        case "text" if isinstance(value, str):
            return kind, value, ""
        case "number":
            return _number(value)
        case "boolean" if isinstance(value, bool):
            return kind, value, ""
        case "datetime" if isinstance(value, str):
            if str(given.get("date_format") or dates.DEFAULT_PARSER) != dates.DEFAULT_PARSER:
                return None
            date = dates.parse(value)
            if date is None or not dates.is_indexable(date.nanoseconds):
                return None
            return kind, date.nanoseconds, date.layout
        case "geopoint":
            point = parse_point(value)
            return None if point is None else (kind, rounded(point), "")
        case "geoshape":
            return _shape(value)
        case "IP" if isinstance(value, str):
            return _address(value)
        case "vector" | "vector_base64":
            return _vector(kind, value, given)
    return None


def _shape(value: object) -> _Made | None:
    try:
        return "geoshape", parse_shape(value), ""
    except ShapeError:
        return None


def _address(text: str) -> _Made | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    # As 16 bytes, those of version 4 within those of version 6.
    packed = address.packed if address.version == 6 else b"\0" * 10 + b"\xff\xff" + address.packed
    return "IP", packed.decode("ascii", "surrogateescape"), ""


def _vector(kind: str, value: Any, given: Mapping[str, Any]) -> _Made | None:
    vector = read_vector(value) if isinstance(value, str) == (kind == "vector_base64") else None
    dims = given.get("dims")
    metric = str(given.get("similarity") or "l2_norm")
    return None if vector is None or len(vector) != dims else ("vector", vector, metric)
