"""What a client asks: the body of a search, read and checked as the service does it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from couchloop.embedded.search.decoding import finite, kind_of
from couchloop.embedded.search.errors import RequestError
from couchloop.embedded.search.facets import Facet, parse_facet
from couchloop.embedded.search.parsing import parse_query
from couchloop.embedded.search.queries import MatchNoneQuery, Query
from couchloop.embedded.search.sorting import ByScore, Order, parse_sort
from couchloop.embedded.search.vectors import Vector, read_vector

MOST_HITS: Final = 10_000
"""Size and offset together."""
_DEFAULT_SIZE: Final = 10
_SEARCH: Final = "bleve: QueryBleve parsing searchRequest, err: "
_CONTROL: Final = "bleve: QueryBleve parsing queryCtlParams, err: "
_INT: Final = "readUint64"


class Near(NamedTuple):
    """Which vectors are looked for."""

    field: str
    vector: Vector
    most: int
    """How many are wanted."""
    boost: float
    filter: Query | None


_TIMEOUT: Final = 10.0
"""Seconds that a search may take where it does not say."""


@dataclass(frozen=True, slots=True)
class Control:
    """How a search is to be done."""

    level: str = ""
    """Of consistency: empty or `at_plus`."""
    vectors: Mapping[str, Any] = field(default_factory=dict)
    """By the name of an index: sequence numbers by `vbucket/uuid`."""
    complete: bool = False
    """Whether it fails if any partition does."""
    timeout: float = _TIMEOUT
    """Seconds; 0: none."""
    validate: bool = False
    """Whether fields that are not indexed are a mistake."""


@dataclass(frozen=True, slots=True)
class SearchRequest:
    """What a client asks."""

    query: Query
    given: Any
    """The query as it was given."""
    size: int
    offset: int
    fields: Sequence[str] | None
    style: str | None
    """Of marks; None: nothing is marked."""
    marked: Sequence[str] | None
    """In which fields; None: in all where something was found."""
    facets: Mapping[str, Facet] | None
    sort: Sequence[Order]
    sort_given: Sequence[Any]
    explain: bool
    locations: bool
    scored: bool
    after: Sequence[str] | None
    before: Sequence[str] | None
    collections: Sequence[str]
    near: Sequence[Near]
    near_and: bool
    """Whether hits must be near too."""
    control: Control

    @property
    def needs_locations(self) -> bool:
        """Whether it matters where terms are."""
        return self.locations or self.style is not None


class _Reader:
    """Reads members of an object, whatever the case of their names.

    Args:
        given: the object.
        struct: what the service calls what it reads.
        prefix: before what is said of a mistake.
    """

    def __init__(self, given: Mapping[str, Any], struct: str, prefix: str) -> None:
        self._given = {name.lower(): value for name, value in given.items()}
        self._struct = struct
        self._prefix = prefix

    def _wrong(self, name: str, what: str) -> RequestError:
        return RequestError(f"{self._prefix}{self._struct}: {name[:1].upper()}{name[1:]}: {what}")

    def value(self, name: str) -> Any:
        return self._given.get(name.lower())

    def boolean(self, name: str, shown: str = "") -> bool:
        value = self.value(name)
        if value is None or isinstance(value, bool):
            return value is True
        what = f"ReadBool: expect t or f, but found {_first(value)}"
        raise self._wrong(shown or name, what)

    def integer(self, name: str) -> int | None:
        value = self.value(name)
        if value is None or (isinstance(value, int) and not isinstance(value, bool)):
            if value is not None and not -(1 << 63) <= value < 1 << 63:
                raise self._wrong(name, f"{_INT}: overflow: {str(value)[:20]}")
            return value
        if isinstance(value, float):
            raise self._wrong(name, f"{_INT}: can not decode float as int")
        raise self._wrong(name, f"{_INT}: unexpected character: \ufffd")

    def text(self, name: str) -> str | None:
        value = self.value(name)
        if value is None or isinstance(value, str):
            return value
        raise self._wrong(name, f'ReadString: expects " or n, but found {_first(value)}')

    def array(self, name: str, kind: str, shown: str = "") -> list[Any] | None:
        value = self.value(name)
        if value is None or isinstance(value, list):
            return value
        what = f"{kind}: ReadArrayCB: expect [ or n, but found {_first(value)}"
        raise self._wrong(shown or name, what)

    def texts(self, name: str, shown: str = "") -> list[str] | None:
        value = self.array(name, "[]string", shown)
        for each in value or ():
            if not isinstance(each, str):
                what = f'[]string: ReadString: expects " or n, but found {_first(each)}'
                raise self._wrong(shown or name, what)
        return value

    def object(self, name: str, reading: str = "readObjectStart") -> dict[str, Any] | None:
        value = self.value(name)
        if value is None or isinstance(value, dict):
            return value
        raise self._wrong(name, f"{reading}: expect {{ or n, but found {_first(value)}")


def _first(value: Any) -> str:
    """Return with which sign the JSON of a value begins."""
    return json.dumps(value)[:1]


def parse_request(body: Any) -> SearchRequest:
    """Return what JSON asks. Raises RequestError."""
    if not isinstance(body, dict):
        found = "null" if body is None else _first(body)
        text = f"readObjectStart: expect {{ or n, but found {found}"
        raise RequestError(f"{_CONTROL}{text}")
    control = _control(body)
    reader = _Reader(body, "cbft.SearchRequest", _SEARCH)
    try:
        return _request(reader, control)
    except RequestError as error:
        text = str(error)
        raise RequestError(text if text.startswith("bleve: ") else _SEARCH + text) from None


def _control(body: dict[str, Any]) -> Control:
    ctl = _Reader(body, "cbgt.QueryCtlParams", _CONTROL).object("ctl")
    if ctl is None:
        return Control()
    reader = _Reader(ctl, "cbgt.QueryCtlParams: Ctl: cbgt.QueryCtl", _CONTROL)
    timeout = reader.integer("timeout")
    consistency = reader.object("consistency") or {}
    inner = _Reader(consistency, "cbgt.QueryCtlParams: Ctl: cbgt.ConsistencyParams", _CONTROL)
    level = inner.text("level") or ""
    return Control(
        level=level,
        vectors=inner.object("vectors") or {},
        complete=inner.text("results") == "complete",
        timeout=_TIMEOUT if timeout is None else max(0, timeout) / 1000,
        validate=reader.boolean("validate"),
    )


def _request(reader: _Reader, control: Control) -> SearchRequest:
    offset = _positive(reader.integer("from"), reader.integer("offset"), 0)
    size = _positive(reader.integer("size"), reader.integer("limit"), _DEFAULT_SIZE)
    fields = reader.texts("fields")
    sort = reader.array("sort", "[]json.RawMessage")
    highlight = reader.object("highlight")
    facets = reader.object("facets", "ReadMapCB")
    explain = reader.boolean("explain")
    locations = reader.boolean("includeLocations")
    score = reader.text("score")
    after = reader.texts("search_after", "SearchAfter")
    before = reader.texts("search_before", "SearchBefore")
    collections = reader.texts("collections") or []
    given = reader.value("query")
    query = MatchNoneQuery() if given is None else parse_query(given)
    orders: list[Order] = [ByScore(descends=True)] if sort is None else parse_sort(sort)
    query.check()
    _check_pages(len(orders), offset, after, before)
    style, marked = _highlight(highlight)
    return SearchRequest(
        query=query,
        given=given,
        size=size,
        offset=offset,
        fields=fields,
        style=style,
        marked=marked,
        facets=None if facets is None else _facets(facets),
        sort=orders,
        sort_given=["-_score"] if sort is None else sort,
        explain=explain,
        locations=locations,
        scored=score != "none",
        after=after or None,
        before=before or None,
        collections=collections,
        near=_near(reader),
        near_and=_operator(reader) == "and",
        control=control,
    )


def _positive(first: int | None, second: int | None, default: int) -> int:
    """Return what is given under either name, the default if it is negative."""
    found = first if first is not None else second
    return default if found is None or found < 0 else found


def _check_pages(
    orders: int, offset: int, after: list[str] | None, before: list[str] | None
) -> None:
    if after and before:
        raise RequestError("cannot use search after and search before together")
    for given, which in ((after, "after"), (before, "before")):
        if given and offset:
            raise RequestError(f"cannot use search {which} with from !=0")
        if given and len(given) != orders:
            raise RequestError(f"search {which} must have same size as sort order")


def check_window(request: SearchRequest) -> None:
    """Raise RequestError if more is asked for than is ever answered."""
    if request.size + request.offset > MOST_HITS:
        raise RequestError(
            f"bleve: bleveMaxResultWindow exceeded, from: {request.offset}, size: {request.size}, "
            f"bleveMaxResultWindow: {MOST_HITS}"
        )


def _highlight(given: dict[str, Any] | None) -> tuple[str | None, Sequence[str] | None]:
    if given is None:
        return None, None
    reader = _Reader(given, "cbft.SearchRequest: Highlight: bleve.HighlightRequest", _SEARCH)
    return reader.text("style") or "html", reader.texts("fields")


def _facets(given: dict[str, Any]) -> dict[str, Facet]:
    found = {}
    for name, each in given.items():
        if not isinstance(each, dict):
            text = f"readObjectStart: expect {{ or n, but found {_first(each)}"
            raise RequestError(f"cbft.SearchRequest: Facets: bleve.FacetRequest: {text}")
        found[name] = parse_facet(each)
    return found


def _operator(reader: _Reader) -> str:
    operator = reader.text("knn_operator") or "or"
    if operator not in {"or", "and"}:
        raise RequestError(f"knn operator must be either 'and' or 'or', not '{operator}'")
    return operator


def _near(reader: _Reader) -> list[Near]:
    return [_one_near(each) for each in reader.array("knn", "[]json.RawMessage") or ()]


def _one_near(given: Any) -> Near:
    if not isinstance(given, dict):
        raise RequestError("knn query cannot be nil")
    encoded = given.get("vector_base64")
    vector = read_vector(encoded if isinstance(encoded, str) else given.get("vector"))
    count, boost, name = given.get("k"), given.get("boost", 1.0), given.get("field")
    if vector is None or not isinstance(count, int) or isinstance(count, bool) or count < 1:
        raise RequestError("k must be greater than 0 and vector must be non-empty")
    if count > MOST_HITS:
        raise RequestError(f"k must be less than {MOST_HITS}")
    if not isinstance(name, str) or kind_of(boost) not in {"number", "null"}:
        raise RequestError("knn: field must be a string, and boost a number")
    chosen = given.get("filter")
    query = None if chosen is None else parse_query(chosen)
    if query is not None:
        query.check()
    return Near(name, vector, count, 1.0 if boost is None else finite(boost, "knn boost"), query)


def echo(request: SearchRequest) -> dict[str, Any]:
    """Return a request as the service shows it to who wants an explanation."""
    return {
        "query": _echo_query(request.given),
        "size": request.size,
        "from": request.offset,
        "highlight": None
        if request.style is None
        else {"style": request.style, "fields": request.marked},
        "fields": request.fields,
        "facets": None if request.facets is None else {},
        "explain": request.explain,
        "sort": request.sort_given,
        "includeLocations": request.locations,
        "search_after": request.after,
        "search_before": request.before,
    }


def _echo_query(given: Any) -> Any:
    if not isinstance(given, dict):
        return given
    for name in ("conjuncts", "disjuncts"):
        parts = given.get(name)
        if isinstance(parts, list):
            return given | {name: [_echo_query(part) for part in parts]}
    if "match" in given:
        return {"prefix_length": 0, "fuzziness": 0, "operator": "or"} | given
    if "match_all" in given:
        return {"boost": given.get("boost"), "match_all": {}}
    return given
