"""Views of the embedded cluster without HTTP: the order of keys, JavaScript, what is kept."""

from __future__ import annotations

import unicodedata
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from couchloop.embedded.storage.document import Document
from couchloop.embedded.views.collation import sort_key
from couchloop.embedded.views.functions import map_function, reduce_function
from couchloop.embedded.views.index import Index, Stored
from couchloop.embedded.views.protocols import Source, ViewFailedError

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)

IN_ORDER: list[Any] = [
    None,
    False,
    True,
    -123.1,
    -1,
    0,
    1,
    1.5,
    2**63,
    "",
    " ",
    "_",
    "-",
    ",",
    ".",
    "`",
    "^",
    "~",
    "$",
    "1",
    "10",
    "2",
    "a",
    "A",
    "á",
    "Á",
    "a/b",
    "ab",
    "aB",
    "Ab",
    "AB",
    "äb",
    "ac",
    "b",
    "B",
    "ba",
    "strasse",
    "straße",
    "z",
    "zz",
    "ж",
    "法",
    [],
    [None],
    [1],
    [1, 2],
    [1, 2, 3],
    [1, 3],
    ["a"],
    ["a", "b"],
    [[]],
    {},
    {"a": 1},
    {"a": 2},
    {"a": 2, "b": 1},
    {"b": 1},
]
"""Keys as a server orders them."""


def test_order() -> None:
    """Types come in their order, and within them values do: text by letters, accents, case."""
    for before, after in pairwise(IN_ORDER):
        assert sort_key(before) < sort_key(after), (before, after)


@given(VALUES, VALUES)
def test_any_two_keys_have_an_order(one: Any, other: Any) -> None:
    """Whatever two keys are, they can be compared."""
    assert isinstance(sort_key(one) < sort_key(other), bool)


@given(st.text())
def test_composed_letters(text: str) -> None:
    """How Unicode writes a text makes no difference, nor do characters that control something."""
    assert sort_key(text) == sort_key(unicodedata.normalize("NFD", text))
    assert sort_key(text) == sort_key(f"\x00{text}\x07")


def mapped(text: str, *documents: str) -> list[Any]:
    """What a map function of JavaScript gives."""
    function = map_function(text, {})
    return function([Source(each, {"id": str(i)}) for i, each in enumerate(documents)])


def javascript() -> None:
    """Skip where the extra is not installed."""
    pytest.importorskip("quickjs")


class TestJavaScript:
    """Functions that an engine runs."""

    @pytest.fixture(autouse=True)
    def engine(self) -> None:
        javascript()

    def test_map(self) -> None:
        """Several rows per document; what is missing is null; one that throws has none."""
        text = """function (doc, meta) {
            if (doc.bad) { throw new Error("bad"); }
            emit(doc.a, meta.id); emit([doc.a, null]); emit();
        }"""
        found = mapped(text, '{"a":"\\u0000é"}', '{"bad":1}', '{"a":1.5}')
        assert found == [
            [["\0é", "0"], [["\0é", None], None], [None, None]],
            "Error: bad",
            [[1.5, "2"], [[1.5, None], None], [None, None]],
        ]

    def test_helpers(self) -> None:
        """What a server's functions can call is there."""
        text = """function (doc, meta) {
            log("not told");
            emit(dateToArray(new Date(0)), decodeBase64("AP8="));
            emit(dateToArray("no date"), sum([1, 2.5]));
            decodeBase64("x");
        }"""
        assert mapped(text, "1") == ["Invalid base64 source."]
        found = mapped(text.replace('decodeBase64("x");', ""), "1")
        assert found == [[[[1970, 1, 1, 0, 0, 0], [0, 255]], [None, 3.5]]]

    @pytest.mark.parametrize("text", ["function (doc {", "5", "", "function (doc) {};"])
    def test_no_function(self, text: str) -> None:
        """What is no function is refused."""
        with pytest.raises(ViewFailedError):
            map_function(text, {})

    def test_endless(self) -> None:
        """A function that does not end is ended; one that fills the memory is stopped."""
        with pytest.raises(ViewFailedError, match="taken more than 1 s"):
            mapped("function (doc, meta) { while (true) {} }", "1")
        filling = (
            "function (doc, meta) { var a = []; while (true) { a.push(Array(999).fill(1)); } }"
        )
        try:
            (found,) = mapped(filling, "1")
        except ViewFailedError:
            return
        assert isinstance(found, str)

    def test_no_way_out(self) -> None:
        """Nothing of the machine can be reached, and nothing stays from one view to the other."""
        names = ("std", "os", "require", "process", "fetch", "Worker", "load", "print")
        for name in names:
            assert mapped(f"function (doc) {{ emit(typeof {name}); }}", "1") == [
                [["undefined", None]]
            ]
        mapped("function (doc) { globalThis.kept = 1; emit(1); }", "1")
        assert mapped("function (doc) { emit(typeof kept); }", "1") == [[["undefined", None]]]

    def test_harness_changed(self) -> None:
        """A function that changes what it is called with fails, and no more."""
        text = "function (doc) { Array.prototype.join = function () { return 'x'; }; emit(1); }"
        with pytest.raises(ViewFailedError):
            mapped(text, "1")

    def test_reduce(self) -> None:
        """An own reduce has keys and values, or values that are reduced."""
        function = reduce_function("function (k, v, again) { return [k, sum(v), again]; }", {})
        assert function is not None
        assert function(["a", "b"], [1, 2], False) == [["a", "b"], 3, False]
        assert function(None, [3, 4], True) == [None, 7, True]
        nothing = reduce_function("function () {}", {})
        assert nothing is not None
        assert nothing([1], [1], False) is None
        thrower = reduce_function("function () { throw new TypeError('no'); }", {})
        assert thrower is not None
        with pytest.raises(ViewFailedError, match="TypeError: no"):
            thrower([1], [1], False)


def stored(key: str, value: bytes, **members: Any) -> Stored:
    """A document of vbucket 3."""
    return Stored(3, 0, key, Document(value, 0, **members))


class TestIndex:
    """What is kept of documents."""

    def test_each_document_is_mapped_once(self) -> None:
        """One is mapped again when it has changed, and forgotten when it is gone."""
        seen: list[str] = []

        def by_value(doc: Any, meta: dict[str, Any]) -> Any:
            seen.append(meta["id"])
            yield doc, None

        index = Index(map_function("python", {"python": by_value}))
        a, b = stored("a", b"2"), stored("b", b"1")
        assert index.update([a, b])
        assert [row.id for row in index.rows] == ["b", "a"]
        assert not index.update([b, a])
        assert seen == ["a", "b"]
        a.document.expiry, a.document.cas = 5, 7
        assert index.update([a])
        assert seen == ["a", "b", "a"]
        assert [row.id for row in index.rows] == ["a"]

    def test_metadata(self) -> None:
        """A map function learns of a document what a server tells it."""

        def told(doc: Any, meta: dict[str, Any]) -> Any:
            yield doc, meta

        index = Index(map_function("python", {"python": told}))
        index.update([stored("a", b"\xff\x00", cas=1, seqno=9, flags=2, expiry=3, rev_seqno=4)])
        (row,) = index.rows
        assert row.key == "/wA="
        assert row.value == {
            "id": "a",
            "rev": "4-00000000000000010000000300000002",
            "seq": "9",
            "vb": "3",
            "expiration": 3,
            "flags": 2,
            "type": "base64",
        }

    def test_failures(self) -> None:
        """A document for which the function fails has no rows, and it is kept why."""

        def failing(doc: Any, meta: dict[str, Any]) -> Any:
            yield 1, None
            yield {"long": "x" * 5000, "nan": float("nan"), "object": object()}[doc], None

        def deep(doc: Any, meta: dict[str, Any]) -> Any:
            key: Any = 1
            for _ in range(400):
                key = [key]
            return [(key, None)]

        index = Index(map_function("python", {"python": failing}))
        names = ("long", "nan", "object", "other")
        index.update([stored(name, f'"{name}"'.encode()) for name in names])
        assert not index.rows
        assert index.failures["long"] == "too long key emitted: 5002 bytes"
        assert index.failures["nan"].startswith("ValueError")
        assert index.failures["object"].startswith("TypeError")
        assert index.failures["other"] == "KeyError: 'other'"
        index.update([])
        assert not index.failures
        index = Index(map_function("python", {"python": deep}))
        index.update([stored("a", b"1")])
        assert len(index.rows) == 1


def test_built_in_reduces() -> None:
    """They count, add, and tell of numbers; the latter two refuse all else."""
    results: dict[str, tuple[Any, Any]] = {
        "_count": (3, 7),
        "_sum": (6.5, 7),
        "_stats": (
            {"sum": 6.5, "count": 3, "min": 1, "max": 3.5, "sumsqr": 17.25},
            {"sum": 13.0, "count": 6, "min": 1, "max": 3.5, "sumsqr": 34.5},
        ),
    }
    for name, (reduced, again) in results.items():
        function = reduce_function(name, {})
        assert function is not None
        assert function([1, 2, 3], [1, 2, 3.5], False) == reduced
        partial = [reduced, reduced] if name == "_stats" else [3, 4]
        assert function(None, partial, True) == again
        if name != "_count":
            with pytest.raises(ViewFailedError, match=f"Builtin {name} function requires map"):
                function([1], [True], False)
    assert reduce_function(None, {}) is None
