"""Documents as values of types: what msgspec takes, what its failures become."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from typing import Annotated, Any, Literal, TypedDict, TypeVar
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from couchloop import typed
from couchloop.exceptions import (
    ArgumentError,
    CouchbaseError,
    FeatureNotAvailableError,
    InvalidSettingError,
    ValueFormatError,
)
from couchloop.hot.encoding import Passthrough
from couchloop.hot.result import ValueResult
from couchloop.operations.reading import TypedReader
from couchloop.transcoder import (
    FMT_AUTO,
    FMT_BYTES,
    FMT_JSON,
    FMT_PICKLE,
    FMT_UTF8,
    RawJSONTranscoder,
    RawStringTranscoder,
    Transcoder,
    encode_json,
)

pytest.importorskip("msgspec")

import msgspec

SECRET = "hunter2"


class Colour(Enum):
    """Of a user."""

    RED = "red"


@dataclass
class Place:
    """Where somebody is."""

    city: str
    at: tuple[float, float] = (0.0, 0.0)


class Small(TypedDict):
    """A dict with types."""

    number: int


class Strict(msgspec.Struct, forbid_unknown_fields=True):
    """One that knows all its fields."""

    name: str = ""


class Checked(msgspec.Struct):
    """One with code of the user's."""

    word: str

    def __post_init__(self) -> None:
        if self.word == "value":
            raise ValueError(f"not {self.word} {SECRET}")
        if self.word == "key":
            raise KeyError(SECRET)


class User(msgspec.Struct):
    """A document."""

    name: str
    logins: int = 0
    tags: list[str] = []
    places: dict[str, Place] = {}
    colour: Colour | None = None
    kind: Literal["a", "b"] | None = None
    since: datetime | None = None
    id: UUID | None = None
    short: Annotated[str, msgspec.Meta(max_length=3)] | None = None
    numbered: dict[int, int] = {}
    strict: Strict | None = None
    checked: Checked | None = None


def read(kind: Any, data: bytes, flags: int = FMT_JSON, behind: Any = None) -> Any:
    """Read a document as an operation does."""
    return TypedReader(kind, behind or Transcoder()).decode_value(data, flags)


def test_values_are_of_the_type() -> None:
    """Structs, dataclasses, TypedDicts and what is made of them."""
    data = b'{"name": "Ada", "places": {"home": {"city": "London", "at": [51.5, 0]}}, "more": 1}'
    assert read(User, data) == User("Ada", places={"home": Place("London", (51.5, 0.0))})
    assert read(Place, b'{"city": "Rome"}') == Place("Rome")
    assert read(Small, b'{"number": 1}') == {"number": 1}
    assert read(list[Place], b'[{"city": "Rome"}]') == [Place("Rome")]
    assert read(dict[str, int] | None, b"null") is None
    assert read(memoryview, b'"YWJj"').tobytes() == b"abc"
    assert read(Any, b"[1]") == read(object, b"[1]") == [1]


MISFITS: list[tuple[Any, bytes, str, str]] = [
    (User, b"5", "the document does not fit User: expected object, got int", "$"),
    (User, b"{}", "the field name does not fit User: it is missing", "$.name"),
    (User, b'{"name": 5}', "the field name does not fit User: expected str, got int", "$.name"),
    (
        User,
        b'{"name": "", "tags": ["", 7]}',
        "the field tags[…] does not fit User: expected str, got int",
        "$.tags[1]",
    ),
    (
        User,
        b'{"name": "", "places": {"hunter2": {}}}',
        "the field places[...].city does not fit User: it is missing",
        "$.places[...].city",
    ),
    (
        User,
        b'{"name": "", "numbered": {"hunter2": 1}}',
        "the field numbered does not fit User: expected int, got str",
        "$.numbered",
    ),
    (
        User,
        b'{"name": "", "colour": "hunter2"}',
        "the field colour does not fit User: its value is none of those that the type takes",
        "$.colour",
    ),
    (
        User,
        b'{"name": "", "kind": "hunter2"}',
        "the field kind does not fit User: its value is none of those that the type takes",
        "$.kind",
    ),
    (
        User,
        b'{"name": "", "since": "hunter2"}',
        "the field since does not fit User: invalid RFC3339 encoded datetime",
        "$.since",
    ),
    (
        User,
        b'{"name": "", "id": "hunter2"}',
        "the field id does not fit User: invalid UUID",
        "$.id",
    ),
    (
        User,
        b'{"name": "", "short": "hunter2"}',
        "the field short does not fit User: expected str of length <= 3",
        "$.short",
    ),
    (
        User,
        b'{"name": "", "strict": {"hunter2": 1}}',
        "the field strict does not fit User: it has a field that the type does not know",
        "$.strict",
    ),
    (
        User,
        b'{"name": "", "checked": {"word": "value"}}',
        "the field checked does not fit User: code of the type raised ValueError",
        "$.checked",
    ),
    (
        Checked,
        b'{"word": "key"}',
        "the document does not fit Checked: code of the type raised KeyError",
        "$",
    ),
    (
        list[int],
        b'[1, 2, "hunter2"]',
        "the field […] does not fit list[int]: expected int, got str",
        "$[2]",
    ),
]


@pytest.mark.parametrize(("kind", "data", "text", "path"), MISFITS)
@pytest.mark.parametrize("is_converted", [False, True])
def test_what_does_not_fit(
    kind: Any, data: bytes, text: str, path: str, is_converted: bool
) -> None:
    """The error names the field and the types, and has the value nowhere: nor in its causes."""
    behind = Transcoder(json_decode=msgspec.json.decode) if is_converted else None
    with pytest.raises(ValueFormatError) as caught:
        read(kind, data, behind=behind)
    error = caught.value
    assert (str(error), error.path) == (text, path)
    assert error.inner_cause is None
    shown = traceback.format_exception(error, chain=True)
    assert SECRET not in "".join(shown)


@given(st.text(), st.text())
def test_no_text_of_a_document_is_told(key: str, value: str) -> None:
    """Whatever the document holds, equal failures have equal texts."""
    data = msgspec.json.encode({"name": "", "places": {key: {"city": [value]}}})
    with pytest.raises(ValueFormatError) as caught:
        read(User, data)
    assert str(caught.value) == (
        "the field places[...].city does not fit User: expected str, got array"
    )
    with pytest.raises(ValueFormatError) as caught:
        read(User, msgspec.json.encode({"name": "", "kind": f"?{value}"}))
    assert str(caught.value).endswith("its value is none of those that the type takes")


def test_json_is_what_it_is_without_a_type() -> None:
    """What msgspec does not read and `json` does is read all the same."""
    assert read(Place, b'\xef\xbb\xbf{"city": "Rome"}') == Place("Rome")
    assert read(Place, b'{"city": "\\ud800"}') == Place("\ud800")
    with pytest.raises(ValueFormatError, match="is not valid JSON") as caught:
        read(Place, b'{"city": ')
    assert caught.value.path is None


@pytest.mark.parametrize(
    ("flags", "name"),
    [
        (FMT_UTF8, "FMT_UTF8"),
        (FMT_BYTES, "FMT_BYTES"),
        (FMT_PICKLE, "FMT_PICKLE"),
        (4, "FMT_UTF8"),
        (0x0F000000, "of no known format"),
    ],
)
def test_what_is_no_json(flags: int, name: str) -> None:
    """The flags of a document count, also those of old clients."""
    with pytest.raises(ValueFormatError) as caught:
        read(Place, b'{"city": "Rome"}', flags)
    assert str(caught.value) == (
        f"type= reads JSON, and the document is {name}: without it the value is given in its own "
        "format"
    )
    assert read(Place, b'{"city": "Rome"}', 0) == Place("Rome")


class Own(Transcoder):
    """Reads what only it can."""

    def decode_value(self, value: Any, flags: int) -> Any:
        """Give a dict, or text."""
        return {"city": bytes(value).decode()[::-1]} if flags == 0x0F000000 else "text"


class Renamed(Transcoder):
    """Reads as ours does."""


def test_transcoders_behind() -> None:
    """One of the user's reads first, and what it gives is converted; ours are not asked."""
    assert read(Place, b"emoR", 0x0F000000, Own()) == Place("Rome")
    with pytest.raises(ValueFormatError, match="expected object, got str"):
        read(Place, b"emoR", 0, Own())
    data = b'{"city": "Rome"}'
    behinds = [Renamed(), RawJSONTranscoder(), RawStringTranscoder(), Passthrough(Transcoder())]
    for behind in behinds:
        assert read(Place, data, behind=behind) == Place("Rome")


def local() -> Any:
    """Give a type whose names nobody can resolve."""

    @dataclass
    class Broken:
        field: NoSuchName  # type: ignore[name-defined]  # noqa: F821 - that is what is tested

    return Broken


class Plain:
    """A class without fields."""


UNUSABLE: list[Any] = [5, "User", User(""), Plain, Callable, local(), Place | User, lambda: None]


@pytest.mark.parametrize("kind", UNUSABLE)
def test_what_is_no_type(kind: Any) -> None:
    """It is refused at the call, as an ArgumentError and a TypeError, each time."""
    for _ in range(2):
        with pytest.raises(InvalidSettingError, match="can be read from JSON") as caught:
            TypedReader(kind, Transcoder())
        assert isinstance(caught.value, ArgumentError)
        assert isinstance(caught.value, TypeError)
        assert caught.value.objextra is kind


def test_decoders_are_kept_within_bounds() -> None:
    """The decoder of a type is made once; of thousands of types not all are kept."""
    assert typed.decoder_of(User) == typed.decoder_of(User)
    for number in range(1000):
        typed.decoder_of(Annotated[int, msgspec.Meta(ge=number)])
    assert typed._decoder_of.cache_info().currsize <= 256
    unhashable = Annotated[int, msgspec.Meta(extra={"a": []}), []]
    assert typed.decoder_of(unhashable)(b"5") == 5


def test_without_msgspec(monkeypatch: pytest.MonkeyPatch) -> None:
    """Errors say what is to be installed, on the way in and on the way out."""
    monkeypatch.setattr(typed, "msgspec", None)
    for call in (
        lambda: TypedReader(Place, Transcoder()),
        lambda: encode_json(Place("Rome")),
        lambda: encode_json([Place("Rome")]),
        lambda: ValueResult("k", {"city": "Rome"}, 1, FMT_JSON).content_as[Place],
    ):
        with pytest.raises(FeatureNotAvailableError) as caught:
            call()
        assert str(caught.value).endswith("is not installed: pip install 'couchloop[fast]'")
    assert encode_json({"a": 1}) == b'{"a":1}'
    assert ValueResult("k", {}, 1, FMT_JSON).content_as[dict] == {}


# Writing


def test_records_are_written() -> None:
    """Structs and dataclasses, also within what JSON has; nothing else that JSON has not."""
    user = User("Ada", tags=["x"], since=datetime(2026, 1, 1, tzinfo=UTC), id=UUID(int=1))
    assert read(User, encode_json(user)) == user
    assert encode_json([Place("Rome")]) == encode_json((Place("Rome"),))
    assert encode_json({"a": [Place("Rome")]}) == b'{"a":[{"city":"Rome","at":[0.0,0.0]}]}'
    for wrong in (datetime.now(UTC), UUID(int=1), Colour.RED, {1, 2}, Plain(), User, [Plain()]):
        with pytest.raises(ValueFormatError, match="JSON"):
            encode_json(wrong)


@dataclass
class Measured:
    """A number, and more of the like."""

    number: float | None = None
    inner: list[Any] = field(default_factory=list)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_what_is_no_number_of_json(number: float) -> None:
    """NaN and Infinity are refused wherever they are; null is not."""
    assert encode_json(Measured()) == b'{"number":null,"inner":[]}'
    for value in (Measured(number), Measured(inner=[number]), [Measured(number)]):
        with pytest.raises(ValueFormatError, match="Out of range float values"):
            encode_json(value)


def test_records_that_cannot_be_written() -> None:
    """They are ValueFormatErrors: what msgspec cannot write, and what contains itself."""
    circle = Measured()
    circle.inner.append(circle)
    for wrong in (Measured(inner=[Plain()]), circle, [circle]):
        with pytest.raises(ValueFormatError, match="cannot be written as JSON"):
            encode_json(wrong)
    assert encode_json(Measured(inner=["\ud800"])) == b'{"number":null,"inner":["\\ud800"]}'


def test_whoever_allows_pickles_gets_objects_back() -> None:
    """`FMT_AUTO` pickles a dataclass where that is allowed, as before there were types."""
    pickles = Transcoder(allow_pickle=True)
    for value in (Place("Rome"), [Place("Rome")]):
        data, flags = pickles.encode_value(value, FMT_AUTO)
        assert flags == FMT_PICKLE
        assert pickles.decode_value(data, flags) == value
    assert pickles.encode_value({"a": (1,)}, FMT_AUTO) == (b'{"a":[1]}', FMT_JSON)
    assert Transcoder().encode_value(Place("Rome"), FMT_AUTO)[1] == FMT_JSON


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False, width=32),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.text(), st.integers(), st.lists(st.text(), max_size=4), JSON)
def test_there_and_back(name: str, logins: int, tags: list[str], inner: Any) -> None:
    """What is written is read as it was, straight and by way of what JSON has."""
    user = User(name, logins, tags)
    data = encode_json(user)
    assert read(User, data) == user
    assert read(User, data, behind=Transcoder(json_decode=msgspec.json.decode)) == user
    assert read(Any, data) == msgspec.to_builtins(user)
    try:
        data = encode_json(Measured(inner=[inner]))
    except ValueFormatError:
        assert "inf" in repr(inner)
    else:
        assert read(Measured, data) == Measured(inner=[inner])


# content_as


def test_content_as() -> None:
    """A value is converted to a type that is no class of it, and checked against one that is."""
    result = ValueResult("k", {"city": "Rome", "at": [1, 2]}, 1, FMT_JSON)
    assert result.content_as[Place] == Place("Rome", (1.0, 2.0))
    assert result.content_as[dict] is result.value
    assert result.content_as[object] is result.value
    assert ValueResult("k", Place("Rome"), 1, FMT_JSON).content_as[Place] == Place("Rome")
    assert ValueResult("k", "2026-01-01T00:00:00Z", 1, FMT_JSON).content_as[datetime].year == 2026
    with pytest.raises(ValueFormatError) as caught:
        assert result.content_as[Small]
    assert caught.value.key == "k"
    assert caught.value.path == "$.number"
    kinds: list[Any] = [5, Plain]
    for kind in kinds:
        with pytest.raises(TypeError) as refused:
            result.content_as[kind]
        assert isinstance(refused.value, CouchbaseError)


V = TypeVar("V")


def test_results_name_the_type_of_their_value() -> None:
    """`ValueResult[User]` can be written in annotations, and is the class itself."""
    assert ValueResult[User].__origin__ is ValueResult  # type: ignore[attr-defined]
    assert isinstance(ValueResult[int]("k", 1, 1, 2), ValueResult)
    assert ValueResult.__mro__[1].__name__ == "OperationResult"
