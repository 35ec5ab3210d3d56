"""Fetching parts of a document, and its expiry with it, of a whole bucket in virtual time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from struct import pack
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from couchloop import subdocument as sd
from couchloop.embedded import EmbeddedCluster
from couchloop.embedded.subdocument import paths as server
from couchloop.exceptions import (
    ArgumentError,
    CouchbaseError,
    DocumentNotJsonError,
    InvalidSettingError,
    NotFoundError,
    ProtocolError,
    SubdocPathInvalidError,
    SubdocPathTooBigError,
    ValueFormatError,
)
from couchloop.hot.frames import Frame
from couchloop.operations import document as docs
from couchloop.operations import projection
from couchloop.result import ValueResult
from couchloop.transcoder import FMT_BYTES, FMT_UTF8, Transcoder
from tests.core.session.support import opened
from tests.core.world import World, defaults
from tests.share import share

DOCUMENT = {
    "name": {"first": "Ada", "last": "L."},
    "tags": ["a", "b", {"c": 1, "d": 2}],
    "e.mail": "x@y",
    "n": None,
}


def with_document(value: Any = DOCUMENT, **more: Any) -> World:
    """Return a world whose bucket has a document, `k`."""
    w = opened()
    w.do(docs.upsert(w.defaults, "k", value, **more))
    return w


def fetched(w: World, *project: str, **more: Any) -> Any:
    """Fetch parts of `k`."""
    return w.do(docs.get(w.defaults, "k", project=project, **more))


class TestParts:
    """`project`."""

    @pytest.mark.parametrize(
        ("project", "expected"),
        [
            (["name.first"], {"name": {"first": "Ada"}}),
            (["name.first", "name"], {"name": DOCUMENT["name"]}),
            (["name", "name.first"], {"name": DOCUMENT["name"]}),
            (["tags[1]", "tags[0]"], {"tags": ["b", "a"]}),
            (["tags[-1].c", "tags[-1].d"], {"tags": [{"c": 1, "d": 2}]}),
            (["`e.mail`", "n"], {"e.mail": "x@y", "n": None}),
            (["zz", "name.zz", "n.x", "tags.x"], {}),
        ],
    )
    @pytest.mark.parametrize("many", [False, True])
    def test_what_is_put_together(
        self, project: list[str], expected: dict[str, Any], many: bool
    ) -> None:
        """Each part is where it is in the document; more than 16 paths give the same."""
        w = with_document()
        if many:
            project = [*project, *(f"not{number}" for number in range(17))]
        result = fetched(w, *project)
        assert isinstance(result, ValueResult)
        assert result.value == expected
        assert result.cas == w.do(docs.get(w.defaults, "k")).cas
        assert (result.success, result.expiry) == (True, None)

    @pytest.mark.parametrize("count", [15, 16, 17, 40])
    @pytest.mark.parametrize("with_expiry", [False, True])
    def test_any_number(self, count: int, with_expiry: bool) -> None:
        """However many paths: one request, one state of the document."""
        w = with_document({f"p{number}": number for number in range(50)}, ttl=100)
        before = len(w.writes)
        result = fetched(w, *(f"p{number}" for number in range(count)), with_expiry=with_expiry)
        assert result.value == {f"p{number}": number for number in range(count)}
        assert (result.expiry is not None) is with_expiry
        assert len(w.writes) == before + 1

    def test_arrays(self) -> None:
        """The root may be an array."""
        w = with_document([{"a": 1}, 2])
        assert fetched(w, "[0].a").value == [{"a": 1}]
        assert fetched(w, "[1]", *(f"[{n}]" for n in range(5, 25))).value == [2]

    @pytest.mark.parametrize("many", [False, True])
    def test_documents_that_are_not_json(self, many: bool) -> None:
        """They have no parts."""
        more = [f"p{number}" for number in range(17)] if many else []
        for value, flags in ((b"\xff", FMT_BYTES), ("text", FMT_UTF8)):
            w = with_document(value, format=flags)
            with pytest.raises(DocumentNotJsonError) as caught:
                fetched(w, "a", *more)
            assert caught.value.key == "k"

    def test_no_document(self) -> None:
        """It is a NotFoundError, or a quiet miss."""
        w = opened()
        with pytest.raises(NotFoundError):
            fetched(w, "a")
        result = fetched(w, "a", quiet=True)
        assert (result.success, result.value, result.expiry) == (False, None, None)

    def test_paths_that_are_too_deep(self) -> None:
        """What the server refuses is the error of the path."""
        w = with_document()
        with pytest.raises(SubdocPathTooBigError):
            fetched(w, ".".join("a" * 32))

    @pytest.mark.parametrize(
        ("project", "more", "kind"),
        [
            ([], {}, ArgumentError),
            ("name", {}, ArgumentError),
            (5, {}, ArgumentError),
            ({"name"}, {}, ArgumentError),
            ([5], {}, ArgumentError),
            (["a..b"], {}, SubdocPathInvalidError),
            ([""], {}, SubdocPathInvalidError),
            (["a[x]"], {}, SubdocPathInvalidError),
            (["`a"], {}, SubdocPathInvalidError),
            (["a" * 1025], {}, SubdocPathTooBigError),
            (["a"], {"ttl": 5}, ArgumentError),
            (["a"], {"no_format": True}, ArgumentError),
        ],
    )
    def test_bad_input(self, project: Any, more: Any, kind: type[CouchbaseError]) -> None:
        """What is no list of paths is refused with the key, before anything is sent."""
        with pytest.raises(kind) as caught:
            docs.get(defaults(), "k", project=project, **more)
        assert type(caught.value) is kind
        assert caught.value.key == "k"

    def test_hooks_that_fail(self) -> None:
        """What a transcoder raises is a ValueFormatError."""

        class Failing(Transcoder):
            def decode_value(self, value: Any, flags: int) -> Any:
                raise ZeroDivisionError

        w = with_document()
        for project in (["n"], None, [f"p{number}" for number in range(20)]):
            with pytest.raises(ValueFormatError) as caught:
                w.do(
                    docs.get(
                        w.defaults, "k", project=project, with_expiry=True, transcoder=Failing()
                    )
                )
            assert isinstance(caught.value.inner_cause, ZeroDivisionError)
            assert caught.value.key == "k"


class TestExpiry:
    """`with_expiry`."""

    def test_read_back(self) -> None:
        """What was given comes back as a datetime with a time zone."""
        w = opened()
        moment = datetime.fromtimestamp(w.cluster.clock.wall() + 5000, UTC).replace(microsecond=0)
        w.defaults.wall_clock = w.cluster.clock.wall
        w.do(docs.upsert(w.defaults, "k", {"a": 1}, expiry=moment))
        result = w.do(docs.get(w.defaults, "k", with_expiry=True))
        assert result.expiry == result.expiry_time == moment
        assert result.expiry.utcoffset() == timedelta()
        assert result.value == {"a": 1}
        assert fetched(w, "a", with_expiry=True).expiry == moment

    @pytest.mark.parametrize(
        ("value", "format_"), [("text", FMT_UTF8), (b"\0\xff", FMT_BYTES), ({"a": [1]}, None)]
    )
    def test_documents_of_any_format(self, value: Any, format_: int | None) -> None:
        """The value and its flags are those that a plain get gives."""
        w = with_document(value, format=format_)
        plain = w.do(docs.get(w.defaults, "k"))
        result = w.do(docs.get(w.defaults, "k", with_expiry=True))
        assert (result.value, result.flags, result.cas) == (plain.value, plain.flags, plain.cas)
        assert result.expiry is None
        raw = w.do(docs.get(w.defaults, "k", with_expiry=True, no_format=True)).value
        assert raw == w.do(docs.get(w.defaults, "k", no_format=True)).value

    def test_empty_documents(self) -> None:
        """A document without a byte has a value all the same."""
        w = with_document(b"", format=FMT_BYTES)
        assert w.do(docs.get(w.defaults, "k", with_expiry=True)).value == b""

    def test_not_asked(self) -> None:
        """A plain get tells no expiry."""
        w = with_document(ttl=100)
        assert w.do(docs.get(w.defaults, "k")).expiry is None

    def test_bad_input(self) -> None:
        """A text is no truth."""
        with pytest.raises(InvalidSettingError):
            docs.get(defaults(), "k", with_expiry="false")  # type: ignore[arg-type]

    def test_in_batches(self) -> None:
        """Each document of a batch has its own expiry."""
        w = opened()
        w.do(docs.upsert(w.defaults, "a", {"x": 1}, ttl=100))
        w.do(docs.upsert(w.defaults, "b", {"x": 2}))
        found = w.do_batch(docs.get_multi(w.defaults, ["a", "b"], with_expiry=True))
        assert [found[key].expiry is None for key in "ab"] == [False, True]
        found = w.do_batch(docs.get_multi(w.defaults, ["a", "b"], project=["x"]))
        assert [found[key].value for key in "ab"] == [{"x": 1}, {"x": 2}]


@given(st.binary(max_size=30), st.booleans())
def test_any_body(data: bytes, whole: bool) -> None:
    """Whatever a peer sends is a result, or an error of the client's with the key."""
    op = docs.get(defaults(), "k", project=None if whole else ["a"], with_expiry=True)
    frame = Frame(0x81, 0xD0, 0, 0, 0, 7, b"", b"", b"", data)
    try:
        assert op.decode(frame).cas == 7
    except CouchbaseError as error:
        assert error.key == "k"  # noqa: PT017 - either may come


def test_what_a_server_does_not_tell() -> None:
    """An expiry that is no number is a ProtocolError."""
    op = docs.get(defaults(), "k", project=["a"], with_expiry=True)
    for expiry in (
        pack(">HI", 0xC0, 0),
        pack(">HI", 0, 4) + b'"no"',
        pack(">HI", 0, 11) + b"1" * 11,
    ):
        frame = Frame(0x81, 0xD0, 0, 0, 0, 7, b"", b"", b"", expiry + pack(">HI", 0, 1) + b"1")
        with pytest.raises(ProtocolError):
            op.decode(frame)


names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)


@given(st.lists(names | st.integers(0, 5), min_size=1, max_size=6))
def test_paths_are_read_as_they_were_written(components: list[str | int]) -> None:
    """What `path` writes is read as the same names and indexes."""
    assert projection.components_of(sd.path(*components)) == components


@given(st.text('ab.[]`\\"01-é', max_size=8))
def test_paths_are_read_as_the_server_does(path: str) -> None:
    """Where the server sees a path there is one, and where it sees none there is none."""
    try:
        expected = len(server.parse(path))
    except server.PathError:
        expected = 0
    # A bad escape, or a bare quotation mark, makes a name that no key of a document has: to the
    # server it leads nowhere, here it is told at the call.
    is_no_name = "\\" in path or '"' in path
    assert len(projection.components_of(path)) in {expected, 0 if is_no_name else expected}


@settings(max_examples=share(40), deadline=None)
@given(
    st.dictionaries(names, st.integers() | st.dictionaries(names, st.integers(), max_size=3)),
    st.data(),
)
def test_more_paths_give_what_few_do(document: dict[str, Any], data: Any) -> None:
    """Parts that are taken here are those that the server would give."""
    w = World(EmbeddedCluster(1, seed=0, vbuckets=4))
    w.open()
    w.do(docs.upsert(w.defaults, "k", document))
    known = [sd.path(name) for name in document]
    known += [
        sd.path(name, inner)
        for name, value in document.items()
        if isinstance(value, dict)
        for inner in value
    ]
    wanted = data.draw(st.lists(st.sampled_from([*known, "zz", "zz[0]"]), min_size=1, max_size=8))
    few = fetched(w, *wanted).value
    assert fetched(w, *wanted, *(f"`no.{n}`" for n in range(17))).value == few
